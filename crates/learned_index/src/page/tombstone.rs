//! Tombstones: which slots of a leaf are dead.
//!
//! A few are listed in the leaf behind its blocks, in space that every leaf keeps free for them.
//! When they outgrow it, a page of their own holds a bit for each slot of the leaf.

use zerocopy::IntoBytes;

use super::edit::Edit;
use super::leaf::{Leaf, MARKS_AT, Marks};
use super::{
    CONTENT_END, CONTENT_START, PageBytes, PageKind, check_kind, is_kind, lower_edit, new_page,
    read, set_lower, write,
};
use crate::corruption::{Result, ensure};
use crate::entry::Block;
use crate::key::Code;

/// CRC-32 of the seal of the leaf and of the map.
const CHECK_AT: usize = CONTENT_START + 4;
const MAP_AT: usize = CONTENT_START + 8;
/// Slots that a map page has bits for.
pub(crate) const MAP_SLOTS: usize = (CONTENT_END - MAP_AT) * 8;

const _: () = assert!(MAP_SLOTS == 65_088);

/// The edits that list `dead` - ascending, all of the leaf's dead slots, old and new - in the
/// leaf. `None` if they do not fit there.
pub(crate) fn list<C: Code>(leaf: &Leaf<'_, C>, dead: &[u16]) -> Option<Vec<Edit>> {
    if dead.len() > leaf.tombstone_capacity() || leaf.tombstone_page().is_some() {
        return None;
    }
    let slots = dead.iter().flat_map(|slot| slot.to_le_bytes()).collect::<Vec<_>>();
    let (offset, lower) = lower_edit(leaf.tombstones_at() + slots.len());
    Some(vec![
        Edit { offset, bytes: lower[..].into() },
        marks_edit(dead.len(), 0, &slots),
        Edit { offset: leaf.tombstones_at() as u16, bytes: slots[..].into() },
    ])
}

/// The edit of the leaf that counts its dead slots and points to their page.
pub(crate) fn point_to_map(tombstones: usize, page: Block) -> Edit {
    marks_edit(tombstones, page, &[])
}

fn marks_edit(tombstones: usize, page: Block, list: &[u8]) -> Edit {
    let mut marks = Marks { tombstones: tombstones as u16, check: 0, tombstone_page: page };
    marks.check = marks_check(&marks, list);
    Edit { offset: MARKS_AT as u16, bytes: marks.as_bytes().into() }
}

/// What a leaf's marks must have in `check`: they lie outside the seal. 0 if nothing is dead.
#[inline]
pub(crate) fn marks_check(marks: &Marks, list: &[u8]) -> u16 {
    if marks.tombstones == 0 && marks.tombstone_page == 0 {
        return 0;
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&marks.tombstones.to_le_bytes());
    hasher.update(&marks.tombstone_page.to_le_bytes());
    hasher.update(list);
    hasher.finalize() as u16
}

/// Depends on the leaf too: the slots of another one in its place would be others.
fn map_check<C: Code>(leaf: &Leaf<'_, C>, page: &PageBytes) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&leaf.checksum().to_le_bytes());
    hasher.update(&page[MAP_AT..CONTENT_END]);
    hasher.finalize()
}

/// A map page with the dead slots of a leaf.
pub(crate) fn map<C: Code>(leaf: &Leaf<'_, C>, dead: &[u16]) -> PageBytes {
    let mut page = new_page(PageKind::Tombstones, 0);
    write(&mut page, CONTENT_START, &leaf.at());
    for &slot in dead {
        page[MAP_AT + usize::from(slot) / 8] |= 1 << (slot % 8);
    }
    let check = map_check(leaf, &page);
    write(&mut page, CHECK_AT, &check);
    // Without a hole: every byte of the map is content.
    set_lower(&mut page, CONTENT_END);
    page
}

/// The edits of a map page that set the bits of `dead`: its check, and the bytes from the first
/// to the last that differ. None if nothing differs.
pub(crate) fn map_edits<C: Code>(leaf: &Leaf<'_, C>, page: &PageBytes, dead: &[u16]) -> Vec<Edit> {
    let mut changed = *page;
    for &slot in dead {
        changed[MAP_AT + usize::from(slot) / 8] |= 1 << (slot % 8);
    }
    let differing = (MAP_AT..CONTENT_END).filter(|&at| changed[at] != page[at]);
    let Some((first, last)) = differing.fold(None, |range: Option<(usize, usize)>, at| {
        Some((range.map_or(at, |(first, _)| first), at))
    }) else {
        return Vec::new();
    };
    let check = map_check(leaf, &changed).to_le_bytes();
    vec![
        Edit { offset: CHECK_AT as u16, bytes: check[..].into() },
        Edit { offset: first as u16, bytes: changed[first..=last].into() },
    ]
}

/// Checks that a page is the map of this leaf.
pub(crate) fn check_map<C: Code>(page: &PageBytes, leaf: &Leaf<'_, C>) -> Result<()> {
    check_kind(page, PageKind::Tombstones, "a tombstone page")?;
    let found: u32 = read(page, CONTENT_START);
    ensure(found == leaf.at(), "the tombstone page of this leaf's block", found.into())?;
    let check: u32 = read(page, CHECK_AT);
    ensure(check == map_check(leaf, page), "the check of the tombstones", check.into())
}

/// The leaf whose map a page is, if it is one.
pub(crate) fn owner_of(page: &PageBytes) -> Option<Block> {
    is_kind(page, PageKind::Tombstones).then(|| read(page, CONTENT_START))
}

/// The marks of 64 slots: a bit for each.
#[inline]
pub(crate) fn word(page: &PageBytes, index: usize) -> u64 {
    let at = MAP_AT + index * 8;
    if at + 8 <= CONTENT_END { read(page, at) } else { 0 }
}

/// Whether a map page marks a slot as dead.
#[inline]
pub(crate) fn is_dead(page: &PageBytes, slot: usize) -> bool {
    page.get(MAP_AT + slot / 8).is_some_and(|byte| byte >> (slot % 8) & 1 == 1)
}
