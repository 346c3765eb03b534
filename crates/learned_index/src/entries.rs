//! A run of entries in memory, column by column: what leaves are read into, and written from.

use std::ops::Range;

use crate::entry::{Entry, HeapTid};
use crate::key::{Code, Key, NullClass, Word};
use crate::memory::{Add, Room};
use crate::partition::partition_point;

/// Entries of one null class, mostly in index order. Keeps its memory when it is refilled.
#[derive(Clone, Debug)]
pub struct Entries<C = Word> {
    class: NullClass,
    codes: Vec<C>,
    tids: Vec<HeapTid>,
}

impl<C: Code> Default for Entries<C> {
    fn default() -> Entries<C> {
        Entries::of(NullClass::Value)
    }
}

impl<C: Code> Entries<C> {
    /// None yet, of this class.
    pub const fn of(class: NullClass) -> Entries<C> {
        Entries { class, codes: Vec::new(), tids: Vec::new() }
    }

    /// Drops all of them.
    #[inline]
    pub fn clear(&mut self) {
        self.codes.clear();
        self.tids.clear();
    }

    /// Says of which class the entries are.
    #[inline]
    pub(crate) fn set_class(&mut self, class: NullClass) {
        self.class = class;
    }

    /// Their null class.
    #[inline]
    pub fn class(&self) -> NullClass {
        self.class
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.tids.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.tids.is_empty()
    }

    /// Their key codes.
    #[inline]
    pub fn codes(&self) -> &[C] {
        &self.codes
    }

    /// Their heap TIDs.
    #[inline]
    pub fn tids(&self) -> &[HeapTid] {
        &self.tids
    }

    /// The entry at an index, if there is one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Entry<C>> {
        let (&code, &tid) = (self.codes.get(index)?, self.tids.get(index)?);
        Some(Entry { key: Key { class: self.class, code }, tid })
    }

    /// The last entry, if there is one.
    pub fn last(&self) -> Option<Entry<C>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Where an entry is among those in index order.
    pub fn position(&self, entry: Entry<C>) -> Option<usize> {
        let code = entry.key.code;
        let run = self.codes.partition_point(|&other| other < code);
        let same = self.codes[run..].iter().take_while(|&&other| other == code).count();
        let at = self.tids[run..run + same].iter().position(|&tid| tid == entry.tid);
        at.filter(|_| entry.key.class == self.class).map(|at| run + at)
    }

    /// All entries.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Entry<C>> {
        let class = self.class;
        let entry = move |(&code, &tid)| Entry { key: Key { class, code }, tid };
        self.codes.iter().zip(&self.tids).map(entry)
    }

    /// Makes room for this many more entries.
    #[inline]
    pub fn make_room(&mut self, more: usize) {
        self.codes.make_room(more);
        self.tids.make_room(more);
    }

    /// Adds an entry.
    #[inline]
    pub fn add(&mut self, code: C, tid: HeapTid) {
        self.codes.add(code);
        self.tids.add(tid);
    }

    /// Adds an entry, for which there is room.
    #[inline]
    pub(crate) fn push(&mut self, code: C, tid: HeapTid) {
        self.codes.push(code);
        self.tids.push(tid);
    }

    /// The columns, to decode more into: the same number into both. The caller has made room.
    #[inline]
    pub(crate) fn columns(&mut self) -> (&mut Vec<C>, &mut Vec<HeapTid>) {
        (&mut self.codes, &mut self.tids)
    }

    /// Asks of every entry from the `first`-th on, in order, whether to keep it, and drops the
    /// others.
    #[inline]
    pub(crate) fn keep_from(&mut self, first: usize, mut keep: impl FnMut(Entry<C>) -> bool) {
        let mut kept = first;
        for read in first..self.tids.len() {
            let (code, tid) = (self.codes[read], self.tids[read]);
            if keep(Entry { key: Key { class: self.class, code }, tid }) {
                (self.codes[kept], self.tids[kept]) = (code, tid);
                kept += 1;
            }
        }
        self.codes.truncate(kept);
        self.tids.truncate(kept);
    }

    /// Drops the first `count` entries.
    pub(crate) fn drop_front(&mut self, count: usize) {
        self.codes.drain(..count);
        self.tids.drain(..count);
    }

    /// Becomes these entries, and others of their class; both in index order.
    pub(crate) fn merge(&mut self, some: &Entries<C>, others: &[Entry<C>]) {
        self.clear();
        self.class = some.class;
        self.make_room(some.len() + others.len());
        // Mostly the others are few: what stands between two of them is copied as a whole.
        let mut done = 0;
        for other in others {
            let (code, tid) = (other.key.code, other.tid);
            let before = |at: usize| (some.codes[at], some.tids[at]) < (code, tid);
            let next = partition_point(done..some.len(), before);
            self.extend(some, done..next);
            self.push(code, tid);
            done = next;
        }
        self.extend(some, done..some.len());
    }

    /// Adds entries of others, for which there is room.
    #[inline]
    fn extend(&mut self, others: &Entries<C>, range: Range<usize>) {
        self.codes.extend_from_slice(&others.codes[range.clone()]);
        self.tids.extend_from_slice(&others.tids[range]);
    }
}
