//! Leaves of a B-tree, read as nbtree.h and itup.h describe them: the entries of an index in order,
//! without running anything of its table's.

use learned_index::entry::{Block, Entry, HeapTid};
use learned_index::memory::Add;
use learned_index::page::{PAGE_SIZE, PageBytes};
use learned_index::store::Store;
use pgrx::prelude::*;

use crate::column::KeyColumns;
use crate::column::code::IndexCode;
use crate::relation::OpenIndex;
use crate::storage::buffers::IndexStore;

/// Where a page's line pointers begin, and how long one is.
const LINE_POINTERS_AT: usize = 24;
const LINE_POINTER: usize = 4;
/// `BTPageOpaqueData`, at the end of the page.
const SPECIAL: usize = PAGE_SIZE - 16;
const NEXT_AT: usize = SPECIAL + 4;
const FLAGS_AT: usize = SPECIAL + 12;
/// `BTP_LEAF`, `BTP_DELETED` and `BTP_HALF_DEAD`.
const LEAF: u16 = 1;
const GONE: u16 = 1 << 2 | 1 << 4;
/// `LP_NORMAL` of a line pointer.
const NORMAL: u32 = 1;
/// `INDEX_ALT_TID_MASK` of a tuple's size; `BT_IS_POSTING` and `BT_OFFSET_MASK` of its offset.
const OTHER_TID: u16 = 0x2000;
const POSTING: u16 = 0x2000;
const COUNT: u16 = 0x0FFF;
const TID: usize = 6;
/// No tuple with columns that a learned index can have is longer, apart from its heap TIDs.
const LONGEST_TUPLE: usize = 512;

/// A copy of a leaf, aligned as tuples ask for, with room behind it: reading a damaged tuple ends
/// there.
#[repr(C, align(8))]
struct Copied([u8; PAGE_SIZE + LONGEST_TUPLE]);

/// A leaf of a B-tree.
pub(super) struct BTreeLeaf {
    page: Box<Copied>,
}

impl BTreeLeaf {
    /// Reads a block. `None` if it is no leaf, or one that is being deleted.
    pub(super) fn read<C: IndexCode>(store: &IndexStore<C>, block: Block) -> Option<BTreeLeaf> {
        let mut page = Box::new(Copied([0; PAGE_SIZE + LONGEST_TUPLE]));
        {
            let locked: &PageBytes = &store.read(block, 0);
            page.0[..PAGE_SIZE].copy_from_slice(locked);
        }
        let leaf = BTreeLeaf { page };
        let is_leaf = usize::from(leaf.u16_at(16)) == SPECIAL
            && leaf.u16_at(FLAGS_AT) & (LEAF | GONE) == LEAF;
        is_leaf.then_some(leaf)
    }

    /// The leaf to the right.
    pub(super) fn next(&self) -> Option<Block> {
        let next = self.u32_at(NEXT_AT);
        (next != 0).then_some(next)
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let found = self.page.0.get(at..).and_then(|rest| rest.first_chunk());
        found.copied().unwrap_or([0; N])
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_ne_bytes(self.bytes(at))
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.bytes(at))
    }

    fn tid_at(&self, at: usize) -> HeapTid {
        let block = u32::from(self.u16_at(at)) << 16 | u32::from(self.u16_at(at + 2));
        HeapTid::new(block, self.u16_at(at + 4))
    }

    /// Where the tuples of entries begin, those that are known to be dead left out.
    fn tuples(&self) -> impl Iterator<Item = usize> {
        let end = usize::from(self.u16_at(12)).min(SPECIAL);
        let slots = end.saturating_sub(LINE_POINTERS_AT) / LINE_POINTER;
        // All but the last page of a level begin with their high key.
        (usize::from(self.next().is_some())..slots).filter_map(|slot| {
            let pointer = self.u32_at(LINE_POINTERS_AT + LINE_POINTER * slot);
            let at = (pointer & 0x7FFF) as usize;
            let is_tuple = pointer >> 15 & 3 == NORMAL && at.is_multiple_of(8) && at < SPECIAL;
            is_tuple.then_some(at)
        })
    }

    /// The heap TIDs of a tuple: where the first of them is, and how many they are.
    fn tids(&self, tuple: usize) -> (usize, usize) {
        let (size, offset) = (self.u16_at(tuple + TID), self.u16_at(tuple + 4));
        if size & OTHER_TID == 0 {
            return (tuple, 1);
        }
        if offset & POSTING == 0 {
            return (tuple, 0);
        }
        let first = tuple + self.tid_at(tuple).block() as usize;
        let room = SPECIAL.saturating_sub(first) / TID;
        (first, usize::from(offset & COUNT).min(room))
    }

    /// How many entries it has.
    pub(super) fn count(&self) -> usize {
        self.tuples().map(|tuple| self.tids(tuple).1).sum()
    }

    /// Adds its entries.
    ///
    /// # Safety
    /// The leaf is of this index, whose columns these are.
    pub(super) unsafe fn entries<C: IndexCode>(
        &self,
        index: OpenIndex,
        columns: C::Columns,
        into: &mut Vec<Entry<C>>,
    ) {
        let count = index.stored_columns().count();
        let mut values = vec![pg_sys::Datum::null(); count];
        let mut is_null = vec![true; count];
        for tuple in self.tuples() {
            let (first, number) = self.tids(tuple);
            // SAFETY: the tuple lies in the copy, aligned, and its columns are of a fixed width and
            // end within the room behind the page at the latest.
            let key = unsafe {
                pg_sys::index_deform_tuple(
                    self.page.0.as_ptr().add(tuple).cast_mut().cast(),
                    index.tuple_descriptor(),
                    values.as_mut_ptr(),
                    is_null.as_mut_ptr(),
                );
                columns.key(values.as_ptr(), is_null.as_ptr())
            };
            let tids = (0..number).map(|tid| self.tid_at(first + TID * tid));
            // On a damaged page there may be any.
            let valid = tids.filter(|tid| tid.offset() > 0);
            into.add_all(valid.map(|tid| Entry { key, tid }));
        }
    }
}
