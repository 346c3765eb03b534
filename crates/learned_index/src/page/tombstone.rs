//! Tombstones: which slots of a leaf are dead.
//!
//! A few are listed in the leaf behind its blocks, in space that every leaf keeps free for them.
//! When they outgrow it, a page of their own holds a bit for each slot of the leaf.

use zerocopy::IntoBytes;

use super::leaf::{Leaf, MARKS_AT, Marks};
use super::{
    CONTENT_END, CONTENT_START, PageBytes, PageKind, expect_kind, lower_edit, new_page, read,
    set_lower, write,
};
use crate::corruption::{Result, ensure};
use crate::entry::Block;

const MAP_AT: usize = CONTENT_START + 8;
/// Slots that a map page has bits for.
pub(crate) const MAP_SLOTS: usize = (CONTENT_END - MAP_AT) * 8;

const _: () = assert!(MAP_SLOTS == 65_088);

/// Bytes to be written over a page at an offset: what is changed in place and logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Offset in the page.
    pub offset: u16,
    /// The new bytes.
    pub bytes: Vec<u8>,
}

impl Edit {
    /// Carries the edit out.
    pub fn apply(&self, page: &mut PageBytes) {
        let start = usize::from(self.offset);
        page[start..start + self.bytes.len()].copy_from_slice(&self.bytes);
    }
}

/// The edits that list `dead` - ascending, all of the leaf's dead slots, old and new - in the
/// leaf. `None` if they do not fit there.
pub(crate) fn list(leaf: &Leaf<'_>, dead: &[u16]) -> Option<Vec<Edit>> {
    if dead.len() > leaf.tombstone_capacity() || leaf.tombstone_page().is_some() {
        return None;
    }
    let slots = dead.iter().flat_map(|slot| slot.to_le_bytes()).collect::<Vec<_>>();
    let (offset, lower) = lower_edit(leaf.tombstones_at() + slots.len());
    Some(vec![
        Edit { offset, bytes: lower.to_vec() },
        marks(dead.len(), 0),
        Edit { offset: leaf.tombstones_at() as u16, bytes: slots },
    ])
}

/// The edit of the leaf that counts its dead slots and points to their page.
pub(crate) fn marks(tombstones: usize, page: Block) -> Edit {
    let marks = Marks { tombstones: tombstones as u16, padding: 0, tombstone_page: page };
    Edit { offset: MARKS_AT as u16, bytes: marks.as_bytes().to_vec() }
}

/// A map page with the dead slots of one leaf.
pub(crate) fn map(owner: Block, dead: &[u16], birth: u64) -> PageBytes {
    let mut page = new_page(PageKind::Tombstones, birth);
    write(&mut page, CONTENT_START, &owner);
    for &slot in dead {
        page[MAP_AT + usize::from(slot) / 8] |= 1 << (slot % 8);
    }
    // Without a hole: every byte of the map is content.
    set_lower(&mut page, CONTENT_END);
    page
}

/// The edit of a map page that makes its bits those of `dead`: the bytes from the first to the
/// last that differ.
pub(crate) fn map_edit(page: &PageBytes, dead: &[u16]) -> Option<Edit> {
    let mut changed = *page;
    for &slot in dead {
        changed[MAP_AT + usize::from(slot) / 8] |= 1 << (slot % 8);
    }
    let first = (MAP_AT..CONTENT_END).find(|&at| changed[at] != page[at])?;
    let last = (MAP_AT..CONTENT_END).rev().find(|&at| changed[at] != page[at])?;
    Some(Edit { offset: first as u16, bytes: changed[first..=last].to_vec() })
}

/// Checks that a page is the map of this leaf.
pub(crate) fn expect_map(page: &PageBytes, owner: Block) -> Result<()> {
    expect_kind(page, PageKind::Tombstones, "a tombstone page")?;
    let found: u32 = read(page, CONTENT_START);
    ensure(found == owner, "the tombstone page of this leaf", found.into())
}

/// Whether a map page marks a slot as dead.
#[inline]
pub(crate) fn is_dead(page: &PageBytes, slot: usize) -> bool {
    page.get(MAP_AT + slot / 8).is_some_and(|byte| byte >> (slot % 8) & 1 == 1)
}
