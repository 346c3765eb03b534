//! Cutting entries in order into leaves.

use crate::entries::Entries;
use crate::entry::{Block, Entry, Fence, HeapTid};
use crate::key::{Code, NullClass};
use crate::memory::Add;
use crate::page::PageBytes;
use crate::page::directory::Child;
use crate::page::leaf::MAX_ENTRIES;
use crate::page::leaf_builder::{FilledLeaf, LeafBuilder};
use crate::page::slots::TidStride;

/// Entries that are gathered before leaves are cut from them.
const GATHER: usize = 2 * MAX_ENTRIES;

/// Gathers entries of one null class and cuts them into leaves, each beginning where the one before
/// ends.
pub(super) struct LeafCutter<C> {
    filler: LeafBuilder,
    /// Entries that are not yet in a leaf; those before `taken` are.
    entries: Entries<C>,
    tid_codes: Vec<u64>,
    taken: usize,
    /// The largest line pointer so far.
    stride: u16,
    low: Fence<C>,
    birth: u64,
}

/// A leaf that was cut.
pub(super) struct NewLeaf<C> {
    pub(super) page: PageBytes,
    pub(super) low: Fence<C>,
    pub(super) first_code: C,
    pub(super) entries: usize,
    pub(super) class: NullClass,
}

impl<C: Code> NewLeaf<C> {
    /// The leaf's place in the directory.
    pub(super) fn child(&self, block: Block) -> Child<C> {
        Child { low: self.low, block, leaves: 1, birth: crate::page::birth(&self.page) }
    }
}

impl<C: Code> LeafCutter<C> {
    /// `low` is where the first leaf begins.
    pub(super) fn new(
        fillfactor: u32,
        class: NullClass,
        low: Fence<C>,
        birth: u64,
    ) -> LeafCutter<C> {
        LeafCutter {
            filler: LeafBuilder::new(fillfactor),
            entries: Entries::of(class),
            tid_codes: Vec::new(),
            taken: 0,
            stride: 1,
            low,
            birth,
        }
    }

    /// The null class of the entries being gathered.
    pub(super) fn class(&self) -> NullClass {
        self.entries.class()
    }

    /// Where the next leaf begins.
    pub(super) fn low(&self) -> Fence<C> {
        self.low
    }

    /// Whether nothing was gathered since the last leaf.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Goes on with another class, and a leaf that begins at `low`. Nothing may be gathered.
    pub(super) fn begin(&mut self, class: NullClass, low: Fence<C>) {
        self.entries.set_class(class);
        self.low = low;
    }

    /// Adds an entry that is behind all others.
    #[inline]
    pub(super) fn push(&mut self, code: C, tid: HeapTid, mut write: impl FnMut(NewLeaf<C>)) {
        self.entries.add(code, tid);
        if self.entries.len() >= GATHER {
            // A leaf that was filled too early is filled again, with what follows.
            drop(self.cut(MAX_ENTRIES, &mut write));
        }
    }

    /// What was gathered and is not in a leaf.
    pub(super) fn gathered(&self) -> impl Iterator<Item = Entry<C>> {
        self.entries.iter().skip(self.taken)
    }

    /// Cuts leaves off the front of what was gathered until no more than `keep` entries are left,
    /// or until the rest fits one leaf: then that leaf, which is not written yet, is returned.
    fn cut(&mut self, keep: usize, write: &mut impl FnMut(NewLeaf<C>)) -> Option<FilledLeaf<C>> {
        self.number_tids();
        let mut last = None;
        while self.entries.len() - self.taken > keep {
            let codes = &self.entries.codes()[self.taken..];
            let filled = self.filler.fill(codes, &self.tid_codes[self.taken..]);
            let next = self.taken + filled.entries;
            if next == self.entries.len() {
                // Perhaps the last leaf of the class: its high fence is not known yet.
                last = Some(filled);
                break;
            }
            let high = self.fence_between(next - 1, next);
            self.write_leaf(filled, high, write);
        }
        self.forget_taken();
        last
    }

    fn forget_taken(&mut self) {
        self.entries.drop_front(self.taken);
        self.tid_codes.drain(..self.taken);
        self.taken = 0;
    }

    /// Cuts all that was gathered; the last leaf ends at `end`.
    pub(super) fn finish(&mut self, end: Fence<C>, mut write: impl FnMut(NewLeaf<C>)) {
        if let Some(last) = self.cut(0, &mut write) {
            self.write_leaf(last, end, &mut write);
        }
        // A leaf takes at least one entry: the loop ends with none left, or with the last leaf.
        assert_eq!(self.taken, self.entries.len(), "entries left over");
        self.forget_taken();
    }

    /// A leaf without entries, up to `end`.
    pub(super) fn write_empty(
        &mut self,
        class: NullClass,
        end: Fence<C>,
        write: impl FnOnce(NewLeaf<C>),
    ) {
        let low = std::mem::replace(&mut self.low, end);
        let page = self.filler.fill(&[], &[]).into_page(class, low, end, 1, self.birth);
        write(NewLeaf { page, low, first_code: low.code, entries: 0, class });
    }

    /// Brings the numbers of the gathered TIDs up to date. A larger line pointer than ever before
    /// changes all of them.
    fn number_tids(&mut self) {
        let new = &self.entries.tids()[self.tid_codes.len()..];
        let largest = new.iter().map(|tid| tid.offset()).max().unwrap_or(0);
        if largest > self.stride {
            self.stride = largest;
            self.tid_codes.clear();
        }
        let stride = TidStride::new(self.stride);
        let new = &self.entries.tids()[self.tid_codes.len()..];
        self.tid_codes.add_all(new.iter().map(|&tid| stride.encode(tid)));
    }

    /// The boundary between two gathered entries. Between different codes it is the larger one
    /// without a TID, so that a search for that code comes to the right leaf at once.
    fn fence_between(&self, left: usize, right: usize) -> Fence<C> {
        let codes = self.entries.codes();
        let code = codes[right];
        let tid = if codes[left] == code { self.entries.tids()[right] } else { HeapTid::MIN };
        Fence { class: self.class() as u8, code, tid }
    }

    fn write_leaf(
        &mut self,
        filled: FilledLeaf<C>,
        high: Fence<C>,
        write: &mut impl FnMut(NewLeaf<C>),
    ) {
        let first_code = self.entries.codes()[self.taken];
        let entries = filled.entries;
        let low = std::mem::replace(&mut self.low, high);
        let page = filled.into_page(self.class(), low, high, self.stride, self.birth);
        write(NewLeaf { page, low, first_code, entries, class: self.class() });
        self.taken += entries;
    }
}
