//! Directory pages: the low fences of leaves, or of other directory pages, with their blocks.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    CONTENT_END, CONTENT_START, PageBytes, PageKind, check_kind, fence_len, new_page, read,
    read_fence, seal, set_lower, verify_seal, write, write_fence,
};
use crate::corruption::{Result, ensure_at_most, ensure_that};
use crate::entry::{Block, Fence};
use crate::key::{Code, Word};

/// One child of a directory page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child<C = Word> {
    /// The first position that belongs to the child.
    pub low: Fence<C>,
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

/// A child as stored, behind its low fence.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StoredChild {
    block: u32,
    leaves: u32,
    birth: u64,
}

const CHILDREN_AT: usize = CONTENT_START + size_of::<Header>();

/// Bytes of a stored child.
const fn child_len<C>() -> usize {
    fence_len::<C>() + size_of::<StoredChild>()
}

/// Children that fit a page.
pub const fn capacity<C>() -> usize {
    (CONTENT_END - CHILDREN_AT) / child_len::<C>()
}

const _: () =
    assert!(size_of::<Header>() == 8 && child_len::<u64>() == 32 && capacity::<u64>() == 254);

/// A directory page of at most [`capacity`] children.
pub fn encode<C: Code>(level: u16, children: &[Child<C>], birth: u64) -> PageBytes {
    let mut page = new_page(PageKind::Directory, birth);
    let header = Header { level, children: children.len() as u16, padding: 0 };
    write(&mut page, CONTENT_START, &header);
    let mut at = CHILDREN_AT;
    for child in children {
        let Child { low, block, leaves, birth } = *child;
        write_fence(&mut page, at, low);
        write(&mut page, at + fence_len::<C>(), &StoredChild { block, leaves, birth });
        at += child_len::<C>();
    }
    set_lower(&mut page, at);
    seal(&mut page, CONTENT_START..at);
    page
}

/// Reads a directory page: its level and its children, whose fences ascend.
pub fn decode<C: Code>(page: &PageBytes) -> Result<(u16, Vec<Child<C>>)> {
    check_kind(page, PageKind::Directory, "a directory page")?;
    verify_seal(page)?;
    let header: Header = read(page, CONTENT_START);
    let count = usize::from(header.children);
    ensure_at_most!(count, capacity::<C>(), "children")?;
    let children: Vec<Child<C>> = (0..count)
        .map(|index| {
            let at = CHILDREN_AT + index * child_len::<C>();
            let StoredChild { block, leaves, birth } = read(page, at + fence_len::<C>());
            Child { low: read_fence(page, at), block, leaves, birth }
        })
        .collect();
    let ascending = children.is_sorted_by(|left, right| left.low < right.low);
    ensure_that(ascending, "fences that ascend")?;
    Ok((header.level, children))
}
