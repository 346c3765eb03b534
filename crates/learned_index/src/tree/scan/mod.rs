//! Scanning: the entries of some intervals, in either direction, with reversals and marks.
//!
//! A scan's position is an entry, not a slot. Matches are copied in portions into memory of the
//! scan: no page stays locked between two calls. A portion has every match between two positions,
//! from the delta trees and the leaves alike, all of them read under one state of the index. What
//! happens to the index after that does not matter to the portion; the next one begins, under
//! whatever state there is then, at the position where this one ends.
//!
//! - `point`: the short way to one key; `portion`: every other portion
//! - `dead`: leaving out what is dead in a leaf; `kills`: remembering what the caller found dead
//! - `locks`: predicate locks of serializable transactions
//! - `visible`: checking a portion against the table
//! - `work`: what a scan has done

mod dead;
mod kills;
mod locks;
mod point;
mod portion;
mod visible;
mod work;

use kills::Kills;
pub use kills::ManyDead;
pub use locks::{NoLocks, PredicateLocks};
pub use visible::{Rows, Unasked, Visibility};
pub use work::Work;

use super::attempt::Interruption;
use super::directory::Directory;
use crate::corruption::Result;
use crate::entries::Entries;
use crate::entry::{Entry, Fence, HeapTid};
use crate::key::{Code, Intervals, Key, NullClass, Word};
use crate::partition::partition_point;
use crate::stop::{StopPoint, stop_at};
use crate::store::Store;

/// Entries copied at once: first, and later at most (or twice as many). A scan that is read on
/// copies more at a time.
const FIRST_PORTION: usize = 64;
const LARGEST_PORTION: usize = 512;
/// Entries copied at once after others were passed over.
const PORTION_AFTER_SKIP: usize = 16;

/// Entries copied at once where the scan was sent.
const PORTION_AFTER_SEEK: usize = 4;

/// How an entry is known to be that of its row still when it is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It is not: the caller asks the heap for each row, under an MVCC snapshot.
    Nothing,
    /// VACUUM waits for the pages that the portion was copied from.
    Pins,
    /// Each portion is checked against the table after it was copied, see [`Visibility`].
    Checks,
}

/// A leaf that entries were copied from, pinned for a second look.
struct Source<P> {
    pin: P,
    /// Slots that were dead.
    dead: usize,
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// In index order.
    Forward,
    /// Against it.
    Backward,
}

/// Where a scan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand<C> {
    /// Nothing was returned yet: the next entry is the first one, from whichever end.
    Outside,
    /// At the entry returned last.
    At(Entry<C>),
    /// Behind the last entry, where a forward scan ended.
    End,
    /// Before the first entry, where a backward scan ended.
    Start,
    /// At a position, between the entries on its two sides.
    From(Fence<C>),
}

/// A scan over the entries of sorted, disjoint intervals. `P` is the store's pin.
pub struct Scan<P, C = Word> {
    intervals: Intervals<C>,
    stand: Stand<C>,
    mark: Stand<C>,
    /// A portion of the matches, in index order.
    copied: Entries<C>,
    /// The entry of the portion that was returned last.
    current: usize,
    portion: usize,
    /// Hold off vacuum while entries of the portion are still to be returned.
    pins: Vec<P>,
    /// Those of the portion before, while the next one is copied.
    old_pins: Vec<P>,
    guard: Guard,
    /// The leaf that the portion was copied from, for [`Guard::Checks`].
    source: Option<Source<P>>,
    /// Which blocks of the portion were all-visible: memory kept from portion to portion.
    all_visible: Vec<bool>,
    /// Slots of a leaf that match: memory kept from leaf to leaf.
    ranges: Vec<(usize, usize)>,
    /// Which entries of the portion are dead, as the caller says.
    kills: Kills<C>,
    /// Matches from the delta trees, and the other half of merging them with those of a leaf.
    fresh: Vec<Entry<C>>,
    merged: Entries<C>,
    /// The direction in which nothing comes after the portion.
    exhausted: Option<Direction>,
    /// Up to where the portion is complete, in the direction in which it was copied.
    reached: Fence<C>,
    /// From where on a portion that was copied forward is complete.
    begin: Fence<C>,
    /// Keys of a list before this one have been asked for.
    asked: usize,
    /// The interval that was looked for last.
    interval: usize,
    /// Leaves that a portion of a list of keys may be copied from.
    leaves: usize,
    work: Work,
}

impl<C: Code, P> Default for Scan<P, C> {
    fn default() -> Scan<P, C> {
        Scan {
            intervals: Intervals::default(),
            stand: Stand::Outside,
            mark: Stand::Outside,
            copied: Entries::default(),
            current: 0,
            portion: FIRST_PORTION,
            pins: Vec::new(),
            old_pins: Vec::new(),
            guard: Guard::Nothing,
            source: None,
            all_visible: Vec::new(),
            ranges: Vec::new(),
            kills: Kills::none(),
            fresh: Vec::new(),
            merged: Entries::default(),
            exhausted: None,
            reached: Fence::MIN,
            begin: Fence::MAX,
            asked: 0,
            interval: 0,
            leaves: 1,
            work: Work::default(),
        }
    }
}

impl<C: Code, P> Scan<P, C> {
    /// A scan of nothing.
    pub fn new() -> Scan<P, C> {
        Scan::default()
    }

    /// Begins again. The caller then sets [`Scan::intervals_mut`].
    pub fn restart<S: Store<Pin = P, Code = C>>(&mut self, store: &S, guard: Guard) {
        self.forget(store);
        self.guard = guard;
        self.stand = Stand::Outside;
        self.mark = Stand::Outside;
        self.portion = FIRST_PORTION;
        self.asked = 0;
        self.interval = 0;
        self.leaves = 1;
    }

    /// Releases what the scan holds of the store.
    pub fn release<S: Store<Pin = P, Code = C>>(&mut self, store: &S) {
        self.release_copied(store);
        self.old_pins.drain(..).for_each(|pin| store.unpin(pin));
    }

    /// Releases what the portion holds that is being copied.
    fn release_copied<S: Store<Pin = P, Code = C>>(&mut self, store: &S) {
        self.pins.drain(..).for_each(|pin| store.unpin(pin));
        if let Some(source) = self.source.take() {
            store.unpin(source.pin);
        }
    }

    /// What the scan has done.
    pub fn work(&self) -> Work {
        self.work
    }

    /// The intervals to scan, to be changed before the first entry is asked for.
    pub fn intervals_mut(&mut self) -> &mut Intervals<C> {
        &mut self.intervals
    }

    /// Copies as much as possible at a time: for callers that take all entries.
    pub fn take_all(&mut self) {
        self.portion = LARGEST_PORTION;
    }

    /// Goes to the next entry in a direction, if it was copied already. Never panics.
    #[inline]
    pub fn step(&mut self, direction: Direction) -> bool {
        let next = match direction {
            Direction::Forward => self.current.wrapping_add(1),
            Direction::Backward => self.current.wrapping_sub(1),
        };
        let Some(entry) = self.copied.get(next) else { return false };
        self.current = next;
        self.stand = Stand::At(entry);
        true
    }

    /// The entry that was returned last, where it was copied to: null class, code and TID.
    #[inline]
    pub fn here(&self) -> Option<(NullClass, &C, HeapTid)> {
        let (code, tid) = (self.copied.codes().get(self.current)?, self.copied.tids());
        Some((self.copied.class(), code, *tid.get(self.current)?))
    }

    /// The next entry in a direction. `None` at the end; after that the other direction gives
    /// the entry that was returned last before the end.
    pub fn next<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        direction: Direction,
    ) -> Result<Option<Entry<C>>> {
        self.next_of(store, directory, direction, &mut NoLocks::default(), &mut Unasked)
    }

    /// [`Scan::next`], which locks what it reads.
    pub fn next_locked<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        direction: Direction,
        locks: &mut impl PredicateLocks,
    ) -> Result<Option<Entry<C>>> {
        self.next_of(store, directory, direction, locks, &mut Unasked)
    }

    /// [`Scan::next`] of a scan under [`Guard::Checks`].
    pub fn next_visible<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        direction: Direction,
        table: &mut impl Visibility,
    ) -> Result<Option<Entry<C>>> {
        self.next_of(store, directory, direction, &mut NoLocks::default(), table)
    }

    #[inline]
    fn next_of<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        direction: Direction,
        locks: &mut impl PredicateLocks,
        table: &mut impl Visibility,
    ) -> Result<Option<Entry<C>>> {
        if self.step(direction) {
            return Ok(self.copied.get(self.current));
        }
        if !self.next_portion(store, directory, direction, locks, table)? {
            return Ok(None);
        }
        let Some(entry) = self.copied.get(self.current) else { return Ok(None) };
        self.stand = Stand::At(entry);
        Ok(Some(entry))
    }

    /// The codes of the rest of the portion, or else of the next one, in index order, and their
    /// class: for callers that take them all, of a scan under [`Guard::Checks`]. None at the end.
    pub fn next_codes<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        table: &mut impl Visibility,
    ) -> Result<(NullClass, &[C])> {
        let (forward, locks) = (Direction::Forward, &mut NoLocks::default());
        let mut rest = self.current.wrapping_add(1);
        if rest >= self.copied.len() {
            if !self.next_portion(store, directory, forward, locks, table)? {
                return Ok((NullClass::Value, &[]));
            }
            rest = 0;
        }
        if let Some(last) = self.copied.last() {
            (self.current, self.stand) = (self.copied.len() - 1, Stand::At(last));
        }
        Ok((self.copied.class(), self.copied.codes().get(rest..).unwrap_or(&[])))
    }

    /// The heap TIDs that were copied together, in index order, and which of them was returned
    /// last.
    #[inline]
    pub fn copied(&self) -> (&[HeapTid], usize) {
        (self.copied.tids(), self.current)
    }

    /// Goes to a position, whatever was returned before: [`Scan::next`] gives the first entry at or
    /// after it, or, backward, the last one before it.
    pub fn seek<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        direction: Direction,
        position: Fence<C>,
    ) {
        let before = partition_point(0..self.copied.len(), |index| {
            self.copied.get(index).is_some_and(|entry| Fence::at(entry) < position)
        });
        // Within the portion: everything there is between its first entry, or where it begins, and
        // its last.
        let after_first = before > 0 || (direction == Direction::Forward && self.begin <= position);
        if after_first && before < self.copied.len() {
            self.current = match direction {
                Direction::Forward => before.wrapping_sub(1),
                Direction::Backward => before,
            };
            return;
        }
        self.forget(store);
        self.stand = Stand::From(position);
        self.portion = PORTION_AFTER_SEEK;
    }

    /// Passes over the values before a code, in this direction, none of which the caller wants. The
    /// next one, if it was copied already; otherwise the one that [`Scan::next`] gives.
    pub fn skip_to(&mut self, direction: Direction, code: C) -> Option<Entry<C>> {
        let (codes, at) = (self.copied.codes(), self.current);
        let behind = match direction {
            Direction::Forward => {
                let next = at.wrapping_add(1);
                let rest = codes.get(next..).unwrap_or(&[]);
                next + rest.partition_point(|&other| other < code)
            }
            Direction::Backward => {
                let before = codes.get(..at).unwrap_or(&[]);
                before.partition_point(|&other| other <= code).wrapping_sub(1)
            }
        };
        if let Some(entry) = self.copied.get(behind) {
            (self.current, self.stand) = (behind, Stand::At(entry));
            return Some(entry);
        }
        // As if the last one before the code had been returned.
        let beside = match direction {
            Direction::Forward => code.previous().map(|code| (code, HeapTid::from_u64(u64::MAX))),
            Direction::Backward => code.next().map(|code| (code, HeapTid::MIN)),
        };
        if let Some((code, tid)) = beside {
            self.stand = Stand::At(Entry { key: Key::value(code), tid });
            self.portion = PORTION_AFTER_SKIP;
        }
        self.current = match direction {
            Direction::Forward => self.copied.len().saturating_sub(1),
            Direction::Backward => 0,
        };
        None
    }

    /// Passes over the entries up to a key, in this direction, and those of that key: the one that
    /// was returned last is among them. Whether the next one was copied already.
    pub fn skip_past(&mut self, direction: Direction, last: Key<C>) -> bool {
        let (codes, at) = (self.copied.codes(), self.current);
        let (behind, edge) = match direction {
            Direction::Forward => {
                let next = at.wrapping_add(1);
                let rest = codes.get(next..).unwrap_or(&[]);
                (next + rest.partition_point(|&other| other <= last.code), codes.len())
            }
            Direction::Backward => {
                let before = codes.get(..at).unwrap_or(&[]);
                (before.partition_point(|&other| other < last.code), 0)
            }
        };
        let is_copied = behind != edge;
        // The last one of them that was copied; `behind` is where a neighbour of it would be.
        self.current = match direction {
            Direction::Forward => behind.wrapping_sub(1),
            Direction::Backward => behind,
        };
        if is_copied {
            self.stand = self.copied.get(self.current).map_or(self.stand, Stand::At);
        } else {
            let tid = match direction {
                Direction::Forward => HeapTid::from_u64(u64::MAX),
                Direction::Backward => HeapTid::MIN,
            };
            self.stand = Stand::At(Entry { key: last, tid });
            self.portion = PORTION_AFTER_SEEK;
        }
        is_copied
    }

    /// Ends the scan: the caller wants nothing of what comes in this direction.
    pub fn skip_rest<S: Store<Pin = P, Code = C>>(&mut self, store: &S, direction: Direction) {
        self.forget(store);
        self.end(direction);
    }

    /// The next portion of heap TIDs in index order, for callers that take them all. Locks what it
    /// reads.
    pub fn next_tids<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        locks: &mut impl PredicateLocks,
    ) -> Result<&[HeapTid]> {
        if !self.next_portion(store, directory, Direction::Forward, locks, &mut Unasked)? {
            return Ok(&[]);
        }
        if let Some(last) = self.copied.last() {
            (self.current, self.stand) = (self.copied.len() - 1, Stand::At(last));
        }
        Ok(self.copied.tids())
    }

    /// Remembers where the scan stands.
    pub fn mark(&mut self) {
        self.mark = self.stand;
    }

    /// Returns to the mark: the next entry will be the one next to the marked one.
    pub fn restore<S: Store<Pin = P, Code = C>>(&mut self, store: &S) {
        if self.stand == self.mark {
            return;
        }
        self.stand = self.mark;
        if let Stand::At(entry) = self.mark
            && let Some(at) = self.copied.position(entry)
        {
            self.current = at;
            return;
        }
        self.forget(store);
    }

    /// Drops the portion. Without one, `current` must not have a neighbour.
    fn forget<S: Store<Pin = P, Code = C>>(&mut self, store: &S) {
        self.exhausted = None;
        self.copied.clear();
        self.current = 0;
        self.release(store);
    }

    #[cold]
    fn end(&mut self, direction: Direction) {
        self.stand = match direction {
            Direction::Forward => Stand::End,
            Direction::Backward => Stand::Start,
        };
    }

    /// Copies the entries next to the current place, and drops those that the snapshot does not see
    /// if it has to. False at the end.
    fn next_portion<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        direction: Direction,
        locks: &mut impl PredicateLocks,
        table: &mut impl Visibility,
    ) -> Result<bool> {
        loop {
            if !self.copy_portion(store, directory, direction, locks)? {
                return Ok(false);
            }
            if self.guard == Guard::Checks {
                let farthest = match direction {
                    Direction::Forward => self.copied.last(),
                    Direction::Backward => self.copied.get(0),
                };
                self.keep_visible(store, directory, table)?;
                if self.copied.is_empty() {
                    self.stand = farthest.map_or(self.stand, Stand::At);
                    continue;
                }
            }
            if direction == Direction::Backward {
                self.current = self.copied.len() - 1;
            }
            stop_at(StopPoint::ScanCopied);
            return Ok(true);
        }
    }

    /// Ends the scan where nothing is known to come after the portion, which costs nothing. Whether
    /// it did.
    #[inline]
    pub fn end_if_exhausted<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        direction: Direction,
    ) -> bool {
        let ends = self.exhausted.take() == Some(direction) && matches!(self.stand, Stand::At(_));
        if ends {
            self.forget(store);
            self.end(direction);
        }
        ends
    }

    /// Copies the entries next to the current place. False at the end.
    #[inline(always)]
    fn copy_portion<S: Store<Pin = P, Code = C>, L: PredicateLocks>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        direction: Direction,
        locks: &mut L,
    ) -> Result<bool> {
        if self.end_if_exhausted(store, direction) {
            return Ok(false);
        }
        let stand = self.stand;
        std::mem::swap(&mut self.pins, &mut self.old_pins);
        self.kills.forget();
        if L::LOCKS {
            self.lock_single_key(locks);
        }
        let leaves = self.leaves;
        let found = loop {
            directory.refresh(store)?;
            self.kills.word = directory.state().word;
            self.copied.clear();
            self.current = 0;
            self.begin = match (direction, stand) {
                (Direction::Forward, Stand::From(position)) => position,
                _ => Fence::MAX,
            };
            if self.guard == Guard::Checks {
                self.fresh.clear();
            }
            let copied = match (direction, stand) {
                (Direction::Forward, Stand::End) | (Direction::Backward, Stand::Start) => Ok(false),
                (Direction::Forward, Stand::At(entry)) => {
                    self.copy_from(store, directory, Fence::past(entry))
                }
                (Direction::Forward, Stand::From(position)) => {
                    self.copy_from(store, directory, position)
                }
                (Direction::Backward, Stand::From(position)) => {
                    self.copy_before(store, directory, position)
                }
                (Direction::Forward, _) => match self.copy_point(store, directory) {
                    Ok(None) => self.copy_from(store, directory, Fence::MIN),
                    found => found.map(|found| found == Some(true)),
                },
                (Direction::Backward, Stand::At(entry)) => {
                    self.copy_before(store, directory, Fence::at(entry))
                }
                (Direction::Backward, _) => self.copy_before(store, directory, Fence::MAX),
            };
            match copied {
                Ok(found) => {
                    if !L::LOCKS || !self.lock_read(store, directory, direction, found, locks)? {
                        break found;
                    }
                    // What was locked only now is read again: it may have changed before that.
                    self.release_copied(store);
                    self.leaves = leaves;
                }
                Err(Interruption::Corrupted(corruption)) => return Err(corruption),
                Err(Interruption::Changed) => self.release_copied(store),
            }
        };
        self.old_pins.drain(..).for_each(|pin| store.unpin(pin));
        self.portion = (self.portion * 2).min(LARGEST_PORTION);
        if !found {
            self.end(direction);
        }
        Ok(found)
    }
}
