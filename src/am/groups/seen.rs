//! Groups in copies of leaves of whose entries everybody sees the rows (`tree/count/seen.rs` of the
//! pure crate): where one begins, how many rows it has, and what is first there. The copies need
//! neither pages nor the table; where there is none, others look.

use learned_index::corruption::Result;
use learned_index::entry::Fence;
use learned_index::key::{Interval, Intervals, Key};
use learned_index::tree::count::{Count, SeenLeaf};
use learned_index::tree::directory::Directory;
use learned_index::tree::scan::Direction;

use super::super::count::CountedHeap;
use super::super::scan::quals::QualCode;
use crate::storage::buffers::IndexStore;

/// The copies: of the leaf that was copied last, and of the one before.
pub(super) struct Seen<C: QualCode> {
    copies: [SeenLeaf<C>; 2],
    last: usize,
}

/// What leaves are copied from.
pub(super) struct Source<'s, C: QualCode> {
    pub(super) store: &'s IndexStore<C>,
    pub(super) directory: &'s mut Directory<C>,
    pub(super) count: &'s mut Count<C>,
    pub(super) heap: &'s mut CountedHeap,
}

impl<C: QualCode> Seen<C> {
    pub(super) fn nothing() -> Seen<C> {
        Seen { copies: [SeenLeaf::default(), SeenLeaf::default()], last: 0 }
    }

    /// How often a leaf was read.
    pub(super) fn reads(&self) -> u64 {
        self.copies.iter().map(SeenLeaf::reads).sum()
    }

    /// The copy that has the entries around a position.
    #[inline]
    fn known(&mut self, position: Fence<C>) -> Option<&mut SeenLeaf<C>> {
        self.copies.iter_mut().find(|copy| copy.has(position))
    }

    /// The same; the leaf is copied if it can be.
    fn copy(
        &mut self,
        source: &mut Source<'_, C>,
        position: Fence<C>,
    ) -> Result<Option<&mut SeenLeaf<C>>> {
        let found = self.copies.iter().position(|copy| copy.has(position));
        let place = found.unwrap_or(1 - self.last);
        let Source { store, directory, count, heap } = source;
        let copy = &mut self.copies[place];
        if !count.see(*store, directory, copy, position, *heap)? {
            return Ok(None);
        }
        self.last = place;
        Ok(Some(copy))
    }

    /// The first key at or after a position in some intervals; `None` if others have to look.
    pub(super) fn key_from(
        &mut self,
        mut source: Source<'_, C>,
        intervals: &[Interval<C>],
        mut position: Fence<C>,
    ) -> Result<Option<Option<Key<C>>>> {
        loop {
            let index = intervals.partition_point(|it| Fence::after(it.high) <= position);
            let Some(interval) = intervals.get(index) else { return Ok(Some(None)) };
            position = position.max(Fence::before(interval.low));
            let Some(copy) = self.copy(&mut source, position)? else { return Ok(None) };
            match copy.key_from(position)? {
                Some(key) if key <= interval.high => return Ok(Some(Some(key))),
                Some(_) => position = Fence::after(interval.high),
                None => position = copy.to(),
            }
        }
    }

    /// How many rows the first keys of some intervals have, and from where on others have to count.
    pub(super) fn count(
        &mut self,
        mut source: Source<'_, C>,
        parts: &[Interval<C>],
    ) -> Result<(u64, Option<Fence<C>>)> {
        let mut rows = 0;
        for part in parts {
            let (mut position, end) = (Fence::before(part.low), Fence::after(part.high));
            let Some(copy) = self.known(position) else { return Ok((rows, Some(position))) };
            rows += copy.slots_between(position, end)?.len() as u64;
            position = copy.to();
            if position >= end {
                continue;
            }
            // Many leaves are counted faster than they are copied; the next one may be the last.
            let Some(copy) = self.copy(&mut source, position)? else {
                return Ok((rows, Some(position)));
            };
            rows += copy.slots_between(position, end)?.len() as u64;
            if copy.to() < end {
                return Ok((rows, Some(copy.to())));
            }
        }
        Ok((rows, None))
    }

    /// The first key in some intervals, or the last; `None` if others have to look.
    pub(super) fn first(
        &mut self,
        parts: &Intervals<C>,
        direction: Direction,
    ) -> Result<Option<Option<Key<C>>>> {
        let mut parts = parts.as_slice();
        loop {
            let split = match direction {
                Direction::Forward => parts.split_first(),
                Direction::Backward => parts.split_last(),
            };
            let Some((part, rest)) = split else { return Ok(Some(None)) };
            let (from, to) = (Fence::before(part.low), Fence::after(part.high));
            let near = match direction {
                Direction::Forward => from,
                Direction::Backward => Fence::before(part.high),
            };
            let Some(copy) = self.known(near) else { return Ok(None) };
            let begins_there = copy.has(from);
            let slots = copy.slots_between(if begins_there { from } else { near }, to)?;
            let is_all = begins_there && to <= copy.to();
            let found = match direction {
                Direction::Forward => copy.key_at(slots.start)?.filter(|key| *key <= part.high),
                Direction::Backward if to <= copy.to() => match slots.end.checked_sub(1) {
                    Some(last) => copy.key_at(last)?.filter(|key| *key >= part.low),
                    None => None,
                },
                Direction::Backward => None,
            };
            match found {
                Some(key) => return Ok(Some(Some(key))),
                None if is_all => parts = rest,
                None => return Ok(None),
            }
        }
    }
}
