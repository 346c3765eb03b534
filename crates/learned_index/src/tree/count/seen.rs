//! A copy of a leaf of whose entries everybody sees the rows: for callers that ask for many parts
//! of it, or for the values in its codes.
//!
//! The leaf is read as a count reads it: after the visibility map, under the word that was loaded
//! before that. It is copied only if it has no tombstones, if everybody sees all rows in its heap
//! blocks, and if no delta tree has an entry between its fences, all of it under that word. Then
//! its entries are all entries there whose rows the snapshot may see, and it sees each of them: so
//! what is found in the copy is right for as long as the snapshot lives.

use std::ops::Range;

use super::{Count, CountedTable, heap_blocks};
use crate::corruption::Result;
use crate::entry::{Fence, HeapTid, Side};
use crate::fault::{Fault, injected};
use crate::key::{Code, Key, NullClass, Word};
use crate::page::leaf::Head;
use crate::page::slots::CodesOfSlots;
use crate::page::{PAGE_SIZE, PageBytes};
use crate::stop::{StopPoint, stop_at};
use crate::store::Store;
use crate::tree::attempt::{Attempt, Interruption};
use crate::tree::directory::{Directory, Which};
use crate::tree::leaf::read_leaf;

/// Places that are remembered: where parts begin and end.
const REMEMBERED: usize = 4;

/// See the file.
pub struct SeenLeaf<C = Word> {
    page: Box<PageBytes>,
    /// `None`: there is no copy.
    head: Option<Head<C>>,
    /// Between which positions the copy has all entries; or, without one, between which positions
    /// there is none to be had.
    from: Fence<C>,
    to: Fence<C>,
    /// Positions, and the slots that they were found at.
    found: [(Fence<C>, usize); REMEMBERED],
    next: usize,
    reads: u64,
}

impl<C: Code> Default for SeenLeaf<C> {
    fn default() -> SeenLeaf<C> {
        SeenLeaf {
            page: Box::new([0; PAGE_SIZE]),
            head: None,
            from: Fence::MIN,
            to: Fence::MIN,
            found: [(Fence::MAX, 0); REMEMBERED],
            next: 0,
            reads: 0,
        }
    }
}

impl<C: Code> SeenLeaf<C> {
    /// Whether the copy has all entries around a position.
    #[inline]
    pub fn has(&self, position: Fence<C>) -> bool {
        self.head.is_some() && self.is_around(position)
    }

    #[inline]
    fn is_around(&self, position: Fence<C>) -> bool {
        self.from <= position && position < self.to
    }

    /// Whether the copy has all entries from one position to another.
    #[inline]
    pub fn has_between(&self, from: Fence<C>, to: Fence<C>) -> bool {
        self.has(from) && to <= self.to
    }

    /// Up to where the copy has all entries; or, where there is none to be had, up to where.
    pub fn to(&self) -> Fence<C> {
        self.to
    }

    /// How often a leaf was read.
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// The null class of its entries.
    pub fn class(&self) -> NullClass {
        self.head.map_or(NullClass::Value, |head| head.of(&self.page).class())
    }

    /// How many entries the copy has before a position.
    pub fn slot_of(&mut self, position: Fence<C>) -> Result<usize> {
        let Some(head) = self.head else { return Ok(0) };
        let leaf = head.of(&self.page);
        if position >= self.to {
            return Ok(leaf.entries());
        }
        let position = with_least_tid(position);
        if let Some((_, slot)) = self.found.iter().find(|(other, _)| *other == position) {
            return Ok(*slot);
        }
        let slot = if position <= self.from { 0 } else { leaf.slot_of(position)? };
        self.remember(position, slot);
        Ok(slot)
    }

    fn remember(&mut self, position: Fence<C>, slot: usize) {
        self.found[self.next] = (position, slot);
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// The key in a slot; `None` behind the last.
    pub fn key_at(&mut self, slot: usize) -> Result<Option<Key<C>>> {
        let Some(head) = self.head else { return Ok(None) };
        let leaf = head.of(&self.page);
        if slot >= leaf.entries() {
            return Ok(None);
        }
        let key = Key { class: leaf.class(), code: leaf.code(slot)? };
        Ok(Some(key))
    }

    /// The first key at or after a position.
    pub fn key_from(&mut self, position: Fence<C>) -> Result<Option<Key<C>>> {
        let slot = self.slot_of(position)?;
        let key = self.key_at(slot)?;
        // Mostly a part begins here: it is looked for next.
        if let Some(key) = key
            && (slot == 0 || position.tid == HeapTid::MIN || position.tid == HeapTid::AFTER_ALL)
            && !self.found.iter().any(|(other, _)| *other == Fence::before(key))
        {
            self.remember(Fence::before(key), slot);
        }
        Ok(key)
    }

    /// The slots between two positions, the first of which is within the copy.
    pub fn slots_between(&mut self, from: Fence<C>, to: Fence<C>) -> Result<Range<usize>> {
        let (start, end) = (self.slot_of(from)?, self.slot_of(to)?);
        Ok(start..end.max(start))
    }

    /// Calls `visit` with the codes of the slots of a range, block by block.
    pub fn visit_codes(
        &self,
        slots: Range<usize>,
        visit: impl FnMut(CodesOfSlots<'_, C>),
    ) -> Result<()> {
        match self.head {
            Some(head) => head.of(&self.page).visit_codes(slots, visit),
            None => Ok(()),
        }
    }

    fn forget(&mut self) {
        self.head = None;
        self.found = [(Fence::MAX, 0); REMEMBERED];
    }
}

/// The position with the least heap TID that has the same entries before it, if that is known.
fn with_least_tid<C: Code>(position: Fence<C>) -> Fence<C> {
    match position.code.next() {
        Some(code) if position.tid == HeapTid::AFTER_ALL => {
            Fence { code, tid: HeapTid::MIN, ..position }
        }
        _ => position,
    }
}

impl<C: Code> Count<C> {
    /// Copies the leaf around a position, if everybody sees the rows of all its entries and no
    /// others are there. Whether it was.
    ///
    /// # Errors
    /// If a page is damaged.
    pub fn see<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        seen: &mut SeenLeaf<C>,
        position: Fence<C>,
        table: &mut impl CountedTable,
    ) -> Result<bool> {
        if seen.is_around(position) {
            return Ok(seen.head.is_some());
        }
        loop {
            directory.refresh(store)?;
            match self.try_see(store, directory, seen, position, table) {
                Err(Interruption::Corrupted(corruption)) => return Err(corruption),
                Err(Interruption::Changed) => {}
                Ok(is_seen) => {
                    if !is_seen {
                        seen.forget();
                        seen.from = position;
                    }
                    return Ok(is_seen);
                }
            }
        }
    }

    fn try_see<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        seen: &mut SeenLeaf<C>,
        position: Fence<C>,
        table: &mut impl CountedTable,
    ) -> Attempt<bool> {
        seen.forget();
        seen.to = Fence::MAX;
        let word = directory.state().word;
        self.follow_word(word, table);
        let Some(at) = directory.route(store, position)? else { return Ok(false) };
        loop {
            let open = read_leaf(store, word, at)?;
            open.check_holds(Side::At, position)?;
            let leaf = open.view();
            directory.remember(open.at, &leaf);
            seen.reads += 1;
            (seen.from, seen.to) = (leaf.low(), leaf.high());
            if leaf.tombstones() > 0 || leaf.entries() == 0 {
                return Ok(false);
            }
            if !self.map.is_clean() {
                let blocks = heap_blocks(&leaf, &(0..leaf.entries()))?;
                if !self.map.has_read(&blocks) {
                    if injected(Fault::SeeBeforeMap) {
                        seen.page.copy_from_slice(&open.page()[..]);
                        seen.head = Some(open.head());
                    }
                    drop(open);
                    stop_at(StopPoint::CountBeforeMap);
                    self.map.read(&blocks, table);
                    stop_at(StopPoint::CountBeforeLeaf);
                    if injected(Fault::SeeBeforeMap) {
                        return Ok(self.map.are_clean(&blocks));
                    }
                    continue;
                }
                if !self.map.are_clean(&blocks) {
                    return Ok(false);
                }
            }
            seen.page.copy_from_slice(&open.page()[..]);
            seen.head = Some(open.head());
            break;
        }
        self.fresh.clear();
        let within = (seen.from, seen.to);
        for which in [Which::Active, Which::Frozen] {
            let reached = self.collect_fresh(store, directory, which, within)?;
            if injected(Fault::SeeNoDelta) {
                break;
            }
            if reached < seen.to || !self.fresh.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
