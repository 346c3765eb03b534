//! Directory pages: the low fences of leaves, or of other directory pages, with their blocks.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    CONTENT_END, CONTENT_START, PageBytes, PageKind, StoredFence, check_kind, new_page, read, seal,
    set_lower, verify_seal, write,
};
use crate::corruption::{Result, ensure_at_most, ensure_that};
use crate::entry::{Block, Fence};

/// One child of a directory page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// The first position that belongs to the child.
    pub low: Fence,
    /// Where it is.
    pub block: Block,
    /// Number of leaves below it; 1 for a leaf.
    pub leaves: u32,
    /// The epoch in which its page was written: with the block it names the page for ever.
    pub birth: u64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    /// 0: the children are leaves.
    level: u16,
    children: u16,
    padding: u32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StoredChild {
    low: StoredFence,
    block: u32,
    leaves: u32,
    birth: u64,
}

const CHILDREN_AT: usize = CONTENT_START + size_of::<Header>();

/// Children that fit a page.
pub const CAPACITY: usize = (CONTENT_END - CHILDREN_AT) / size_of::<StoredChild>();

const _: () =
    assert!(size_of::<Header>() == 8 && size_of::<StoredChild>() == 32 && CAPACITY == 254);

/// A directory page of at most [`CAPACITY`] children.
pub fn encode(level: u16, children: &[Child], birth: u64) -> PageBytes {
    let mut page = new_page(PageKind::Directory, birth);
    let header = Header { level, children: children.len() as u16, padding: 0 };
    write(&mut page, CONTENT_START, &header);
    let mut at = CHILDREN_AT;
    for child in children {
        let stored = StoredChild {
            low: child.low.into(),
            block: child.block,
            leaves: child.leaves,
            birth: child.birth,
        };
        write(&mut page, at, &stored);
        at += size_of::<StoredChild>();
    }
    set_lower(&mut page, at);
    seal(&mut page, CONTENT_START..at);
    page
}

/// Reads a directory page: its level and its children, whose fences ascend.
pub fn decode(page: &PageBytes) -> Result<(u16, Vec<Child>)> {
    check_kind(page, PageKind::Directory, "a directory page")?;
    verify_seal(page)?;
    let header: Header = read(page, CONTENT_START);
    let count = usize::from(header.children);
    ensure_at_most!(count, CAPACITY, "children")?;
    let children: Vec<Child> = (0..count)
        .map(|index| {
            let stored: StoredChild = read(page, CHILDREN_AT + index * size_of::<StoredChild>());
            Child {
                low: stored.low.into(),
                block: stored.block,
                leaves: stored.leaves,
                birth: stored.birth,
            }
        })
        .collect();
    let ascending = children.is_sorted_by(|left, right| left.low < right.low);
    ensure_that(ascending, "fences that ascend")?;
    Ok((header.level, children))
}
