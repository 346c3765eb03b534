//! Scanning: the entries of some intervals, in either direction, with reversals and marks.
//!
//! A scan's position is an entry, not a slot. Matches are copied leaf by leaf, in portions, into
//! memory of the scan: no page stays locked between two calls.

use super::directory::{Directory, LeafRef, verify_once};
use crate::corruption::{Corruption, Result, ensure};
use crate::entry::{Entry, Fence, HeapTid};
use crate::key::{Interval, Intervals, Key, NullClass};

use crate::page::leaf::Leaf;
use crate::page::tombstone;
use crate::store::Store;

/// Entries copied at once, first and at the most. A scan that is read on copies more at a time.
const FIRST_PORTION: usize = 64;
const LARGEST_PORTION: usize = 2048;
/// Keys of a list whose leaves are asked for ahead of reading them.
const KEYS_AHEAD: usize = 16;

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
enum Place {
    /// Nothing was returned yet: the next entry is the first one, from whichever end.
    Outside,
    /// At the entry returned last.
    At(Entry),
    /// Behind the last entry, where a forward scan ended.
    End,
    /// Before the first entry, where a backward scan ended.
    Start,
}

/// A scan over the entries of sorted, disjoint intervals. `P` is the store's pin.
pub struct Scan<P> {
    intervals: Intervals,
    place: Place,
    mark: Place,
    /// A portion of the matches, in index order, all from one leaf.
    codes: Vec<u64>,
    tids: Vec<HeapTid>,
    class: NullClass,
    /// The entry of the portion that was returned last.
    current: usize,
    portion: usize,
    /// Holds off vacuum while entries of the portion are still to be returned.
    pin: Option<P>,
    keep_pins: bool,
    /// Slots of a leaf that match, and its dead slots: memory kept from leaf to leaf.
    ranges: Vec<(usize, usize)>,
    dead: Vec<u16>,
    /// The first and the last entry copied from the last leaf, dead ones included.
    copied: Option<(Entry, Entry)>,
    /// The direction in which nothing comes after the portion.
    exhausted: Option<Direction>,
    /// Keys of a list before this one have been asked for.
    asked: usize,
}

impl<P> Default for Scan<P> {
    fn default() -> Scan<P> {
        Scan {
            intervals: Intervals::default(),
            place: Place::Outside,
            mark: Place::Outside,
            codes: Vec::new(),
            tids: Vec::new(),
            class: NullClass::Value,
            current: 0,
            portion: FIRST_PORTION,
            pin: None,
            keep_pins: false,
            ranges: Vec::new(),
            dead: Vec::new(),
            copied: None,
            exhausted: None,
            asked: 0,
        }
    }
}

impl<P> Scan<P> {
    /// A scan of nothing.
    pub fn new() -> Scan<P> {
        Scan::default()
    }

    /// Begins again. The caller then sets [`Scan::intervals_mut`]. `keep_pins`: vacuum must wait
    /// for a page until all that was copied from it has been returned.
    pub fn restart<S: Store<Pin = P>>(&mut self, store: &S, keep_pins: bool) {
        self.forget(store);
        self.keep_pins = keep_pins;
        self.place = Place::Outside;
        self.mark = Place::Outside;
        self.portion = FIRST_PORTION;
        self.asked = 0;
    }

    /// Releases what the scan holds of the store.
    pub fn release<S: Store<Pin = P>>(&mut self, store: &S) {
        if let Some(pin) = self.pin.take() {
            store.unpin(pin);
        }
    }

    /// The intervals to scan, to be changed before the first entry is asked for.
    pub fn intervals_mut(&mut self) -> &mut Intervals {
        &mut self.intervals
    }

    /// Copies as much as possible at a time: for callers that take all entries.
    pub fn take_all(&mut self) {
        self.portion = LARGEST_PORTION;
    }

    /// The next entry in a direction. `None` at the end; after that the other direction gives
    /// the entry that was returned last before the end.
    #[inline]
    pub fn next<S: Store<Pin = P>>(
        &mut self,
        store: &S,
        directory: &mut Directory,
        direction: Direction,
    ) -> Result<Option<Entry>> {
        let next = match direction {
            Direction::Forward => self.current.wrapping_add(1),
            Direction::Backward => self.current.wrapping_sub(1),
        };
        if next < self.tids.len() {
            self.current = next;
        } else if !self.next_portion(store, directory, direction)? {
            return Ok(None);
        }
        let entry = self.entry(self.current);
        self.place = Place::At(entry);
        Ok(Some(entry))
    }

    /// The next portion of heap TIDs in index order, for callers that take them all.
    pub fn next_tids<S: Store<Pin = P>>(
        &mut self,
        store: &S,
        directory: &mut Directory,
    ) -> Result<&[HeapTid]> {
        if !self.next_portion(store, directory, Direction::Forward)? {
            return Ok(&[]);
        }
        self.current = self.tids.len() - 1;
        self.place = Place::At(self.entry(self.current));
        Ok(&self.tids)
    }

    /// Remembers where the scan stands.
    pub fn mark(&mut self) {
        self.mark = self.place;
    }

    /// Returns to the mark: the next entry will be the one next to the marked one.
    pub fn restore<S: Store<Pin = P>>(&mut self, store: &S) {
        if self.place == self.mark {
            return;
        }
        self.place = self.mark;
        if let Place::At(entry) = self.mark {
            let code = entry.key.code;
            let run = self.codes.partition_point(|&other| other < code);
            let same = self.codes[run..].iter().take_while(|&&other| other == code).count();
            let at = self.tids[run..run + same].iter().position(|&tid| tid == entry.tid);
            if let Some(at) = at.filter(|_| entry.key.class == self.class) {
                self.current = run + at;
                return;
            }
        }
        self.forget(store);
    }

    fn entry(&self, index: usize) -> Entry {
        let key = Key { class: self.class, code: self.codes[index] };
        Entry { key, tid: self.tids[index] }
    }

    /// Drops the portion. Without one, `current` must not have a neighbour.
    fn forget<S: Store<Pin = P>>(&mut self, store: &S) {
        self.exhausted = None;
        self.codes.clear();
        self.tids.clear();
        self.current = 0;
        self.release(store);
    }

    #[cold]
    fn end(&mut self, direction: Direction) {
        self.place = match direction {
            Direction::Forward => Place::End,
            Direction::Backward => Place::Start,
        };
    }

    /// Copies the entries next to the current place. False at the end.
    fn next_portion<S: Store<Pin = P>>(
        &mut self,
        store: &S,
        directory: &mut Directory,
        direction: Direction,
    ) -> Result<bool> {
        let place = self.place;
        if self.exhausted.take() == Some(direction) && matches!(place, Place::At(_)) {
            self.forget(store);
            self.end(direction);
            return Ok(false);
        }
        let old_pin = self.pin.take();
        self.codes.clear();
        self.tids.clear();
        self.current = 0;
        let found = match (direction, place) {
            (Direction::Forward, Place::End) | (Direction::Backward, Place::Start) => Ok(false),
            (Direction::Forward, Place::At(entry)) => {
                self.copy_from(store, directory, Fence::past(entry))
            }
            (Direction::Forward, _) => self.copy_from(store, directory, Fence::MIN),
            (Direction::Backward, Place::At(entry)) => {
                self.copy_before(store, directory, Fence::at(entry))
            }
            (Direction::Backward, _) => self.copy_before(store, directory, Fence::MAX),
        };
        if let Some(pin) = old_pin {
            store.unpin(pin);
        }
        let found = found?;
        self.portion = (self.portion * 8).min(LARGEST_PORTION);
        if !found {
            self.end(direction);
        } else if direction == Direction::Backward {
            self.current = self.tids.len() - 1;
        }
        Ok(found)
    }

    /// Copies a portion of the first matches at or after a position.
    fn copy_from<S: Store<Pin = P>>(
        &mut self,
        store: &S,
        directory: &mut Directory,
        mut from: Fence,
    ) -> Result<bool> {
        loop {
            let intervals = self.intervals.as_slice();
            let mut index = intervals.partition_point(|interval| end_of(interval) <= from);
            let Some(interval) = intervals.get(index) else { return Ok(false) };
            from = from.max(Fence::before(interval.low));
            self.ask_ahead(store, directory, index)?;
            let Some(at) = directory.route(store, from)? else { return Ok(false) };
            let page = store.read(at.block, at.hint);
            let leaf = open_leaf(at, &page)?;
            ensure(
                leaf.low() <= from && from < leaf.high(),
                "a leaf that holds the key",
                from.code,
            )
            .map_err(|corruption| corruption.at(at.block))?;
            let high = leaf.high();
            self.ranges.clear();
            let mut room = self.portion;
            let intervals = self.intervals.as_slice();
            while let Some(interval) = intervals.get(index).filter(|_| room > 0) {
                from = from.max(Fence::before(interval.low));
                if from >= high {
                    break;
                }
                let named = |corruption: Corruption| corruption.at(at.block);
                let start = leaf.slot_of(from).map_err(named)?;
                let end = leaf.slot_of(end_of(interval)).map_err(named)?;
                let taken = end.saturating_sub(start).min(room);
                if taken > 0 {
                    self.ranges.push((start, start + taken));
                    room -= taken;
                }
                from = end_of(interval).min(high);
                if start + taken < end || end_of(interval) > high {
                    // The rest of this interval comes before the next one.
                    break;
                }
                index += 1;
            }
            self.exhausted = (index == intervals.len()).then_some(Direction::Forward);
            if self.copy_ranges(store, directory, at, page)? {
                return Ok(true);
            }
            // What was found is dead, or nothing was found up to `from`.
            if let Some((_, last)) = self.copied {
                from = Fence::past(last);
            }
        }
    }

    /// Copies a portion of the last matches before a position.
    fn copy_before<S: Store<Pin = P>>(
        &mut self,
        store: &S,
        directory: &mut Directory,
        mut to: Fence,
    ) -> Result<bool> {
        loop {
            let intervals = self.intervals.as_slice();
            let mut left = intervals.partition_point(|interval| Fence::before(interval.low) < to);
            let Some(interval) = left.checked_sub(1).and_then(|last| intervals.get(last)) else {
                return Ok(false);
            };
            to = to.min(end_of(interval));
            let Some(at) = directory.route_before(store, to)? else { return Ok(false) };
            let page = store.read(at.block, at.hint);
            let leaf = open_leaf(at, &page)?;
            ensure(leaf.low() < to && to <= leaf.high(), "a leaf that holds the key", to.code)
                .map_err(|corruption| corruption.at(at.block))?;
            let low = leaf.low();
            self.ranges.clear();
            let mut room = self.portion;
            while let Some(interval) =
                left.checked_sub(1).and_then(|last| intervals.get(last)).filter(|_| room > 0)
            {
                to = to.min(end_of(interval));
                if to <= low {
                    break;
                }
                let named = |corruption: Corruption| corruption.at(at.block);
                let start = leaf.slot_of(Fence::before(interval.low)).map_err(named)?;
                let end = leaf.slot_of(to).map_err(named)?;
                let taken = end.saturating_sub(start).min(room);
                if taken > 0 {
                    self.ranges.push((end - taken, end));
                    room -= taken;
                }
                to = Fence::before(interval.low).max(low);
                if start + taken < end || Fence::before(interval.low) < low {
                    break;
                }
                left -= 1;
            }
            self.exhausted = (left == 0).then_some(Direction::Backward);
            self.ranges.reverse();
            if self.copy_ranges(store, directory, at, page)? {
                return Ok(true);
            }
            if let Some((first, _)) = self.copied {
                to = Fence::at(first);
            }
        }
    }

    /// Copies the entries of `ranges` that are alive. False if there are none; then nothing stays
    /// pinned.
    fn copy_ranges<S: Store<Pin = P>>(
        &mut self,
        store: &S,
        directory: &mut Directory,
        at: LeafRef,
        page: S::Page<'_>,
    ) -> Result<bool> {
        let named = |corruption: Corruption| corruption.at(at.block);
        let leaf = Leaf::parse(&page).map_err(named)?;
        self.class = leaf.class();
        for &(start, end) in &self.ranges {
            leaf.decode(start, end, &mut self.codes, &mut self.tids).map_err(named)?;
        }
        let total: usize = self.ranges.iter().map(|(start, end)| end - start).sum();
        ensure(self.tids.len() == total, "as many entries as slots", self.tids.len() as u64)
            .map_err(named)?;
        self.copied = total.checked_sub(1).map(|last| (self.entry(0), self.entry(last)));
        if leaf.tombstones() > 0 && total > 0 {
            self.drop_dead(store, &leaf, at)?;
        }
        directory.remember(at, S::hint(&page));
        if self.tids.is_empty() {
            return Ok(false);
        }
        if self.keep_pins {
            self.pin = Some(S::pin(page));
        }
        Ok(true)
    }

    /// Takes the dead entries out of what was just copied from a leaf, which is still locked.
    ///
    /// A map of dead slots is read under the leaf's lock: nobody locks the two in another order,
    /// and replay registers them in this one.
    fn drop_dead<S: Store<Pin = P>>(
        &mut self,
        store: &S,
        leaf: &Leaf<'_>,
        at: LeafRef,
    ) -> Result<()> {
        let map = match leaf.tombstone_page() {
            None => None,
            Some(block) => {
                ensure(block != at.block, "a tombstone page of its own", block.into())?;
                let map = store.read(block, 0);
                tombstone::expect_map(&map, at.block).map_err(|corruption| corruption.at(block))?;
                Some(map)
            }
        };
        self.dead.clear();
        self.dead.extend(leaf.listed_tombstones());
        let (mut read, mut kept) = (0, 0);
        for slot in self.ranges.iter().flat_map(|&(start, end)| start..end) {
            let dead = match &map {
                Some(map) => tombstone::is_dead(map, slot),
                None => self.dead.binary_search(&(slot as u16)).is_ok(),
            };
            if !dead {
                self.codes[kept] = self.codes[read];
                self.tids[kept] = self.tids[read];
                kept += 1;
            }
            read += 1;
        }
        self.codes.truncate(kept);
        self.tids.truncate(kept);
        Ok(())
    }

    /// Asks for the leaves of the next keys of a list, before the first of them is read.
    fn ask_ahead<S: Store<Pin = P>>(
        &mut self,
        store: &S,
        directory: &mut Directory,
        index: usize,
    ) -> Result<()> {
        let keys = self.intervals.as_slice().len();
        if index + 1 >= keys || index < self.asked || !directory.has_unread_leaves() {
            return Ok(());
        }
        let ahead = index + 1..(index + KEYS_AHEAD).min(keys);
        self.asked = ahead.end;
        for interval in &self.intervals.as_slice()[ahead] {
            let Some(leaf) = directory.route(store, Fence::before(interval.low))? else { break };
            if leaf.hint == 0 {
                directory.remember_hint(leaf, store.prefetch(leaf.block));
            }
        }
        Ok(())
    }
}

/// The position after an interval.
fn end_of(interval: &Interval) -> Fence {
    Fence::after(interval.high)
}

/// A page as a leaf, checked as a whole when this session sees it for the first time.
fn open_leaf(at: LeafRef, page: &crate::page::PageBytes) -> Result<Leaf<'_>> {
    let opened = verify_once(at, page).and_then(|()| Leaf::parse(page));
    opened.map_err(|corruption| corruption.at(at.block))
}
