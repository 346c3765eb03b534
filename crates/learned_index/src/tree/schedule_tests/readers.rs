//! The threads that read an index, and say which of the rows that they met were dead.

use std::collections::BTreeSet;

use shuttle::thread;

use super::World;
use super::heap::{Heap, Time};
use super::images::{SHARED_KEYS, numbered, shared_key};
use super::removal::Table;
use super::scheduler::Random;
use crate::entry::{Entry, Fence, HeapTid};
use crate::key::{Code, Interval, Intervals, Key, Sample};
use crate::store::Store;
use crate::store::concurrent::{ConcurrentStore, Standby};
use crate::tree::check::{check, contains};
use crate::tree::count::{CodeFilter, CodesOfSlots, Count, CountedTable, MapBytes, SeenLeaf};
use crate::tree::delta::remove_killed;
use crate::tree::directory::Directory;
use crate::tree::mark::mark_killed;
use crate::tree::scan::{Direction, Guard, Rows, Scan, Visibility};

/// The table as a scan with a snapshot asks it.
struct Snapshot<'w, C> {
    heap: &'w Heap<C>,
    snapshot: Time,
}

impl<C: Code> Visibility for Snapshot<'_, C> {
    fn all_visible(&mut self, tids: &[HeapTid], answers: &mut [bool]) {
        for (tid, answer) in tids.iter().zip(answers) {
            thread::yield_now();
            *answer = self.heap.is_all_visible(tid.block());
        }
        thread::yield_now();
    }
}

impl<C: Code> CountedTable for Snapshot<'_, C> {
    fn blocks(&mut self) -> u32 {
        self.heap.blocks()
    }

    fn read_map(&mut self, page: u32, bytes: &mut MapBytes) {
        thread::yield_now();
        self.heap.read_map(page, bytes);
    }
}

impl<C: Code> Rows for Snapshot<'_, C> {
    fn sees(&mut self, tid: HeapTid) -> bool {
        self.heap.sees(self.snapshot, tid)
    }
}

impl<C: Sample> World<C> {
    /// Counts what snapshots see.
    pub(super) fn counter(&self, mut random: Random) {
        let mut directory = self.directory(&mut random);
        for _ in 0..1 + random.below(3) {
            let intervals = self.some_intervals(&mut random);
            // As if there were conditions that intervals do not express.
            let filtered = random.one_in(4);
            self.count_once(&mut directory, &intervals, filtered);
        }
    }

    /// Counts all rows again and again, with what it remembers of the counts before.
    pub(super) fn recounter(&self, _: Random) {
        let mut directory = Directory::open(&self.store, 1 << 20).unwrap();
        for _ in 0..6 {
            let all = Interval { low: Key::MIN, high: Key::MAX };
            self.count_once(&mut directory, &[all], false);
            thread::yield_now();
        }
    }

    /// Looks into copies of leaves of which everybody sees all rows.
    pub(super) fn looker(&self, mut random: Random) {
        let mut directory = self.directory(&mut random);
        for _ in 0..6 {
            let snapshot = self.heap.take_snapshot();
            let mut table = Snapshot { heap: &self.heap, snapshot };
            let (mut count, mut seen) = (Count::default(), SeenLeaf::default());
            let mut position = Fence::MIN;
            while position < Fence::MAX {
                thread::yield_now();
                let (store, directory) = (&self.store, &mut directory);
                if count.see(store, directory, &mut seen, position, &mut table).unwrap() {
                    self.expect_copy(&mut seen, position, snapshot);
                }
                position = seen.to();
            }
            self.heap.release_snapshot(snapshot);
        }
    }

    /// The copy has what a snapshot sees from a position on.
    fn expect_copy(&self, seen: &mut SeenLeaf<C>, from: Fence<C>, snapshot: Time) {
        let expected = self.heap.alive_between(snapshot, snapshot);
        let within =
            |entry: &&Entry<C>| from <= Fence::at(**entry) && Fence::at(**entry) < seen.to();
        let expected: Vec<Key<C>> = expected.iter().filter(within).map(|it| it.key).collect();
        let slots = seen.slots_between(from, seen.to()).unwrap();
        let found: Vec<Key<C>> =
            slots.clone().map(|slot| seen.key_at(slot).unwrap().unwrap()).collect();
        assert_eq!(found, expected, "a copy from {from:?} on");
        assert_eq!(seen.key_from(from).unwrap(), expected.first().copied());
        let mut codes = Vec::new();
        let visit = |block: CodesOfSlots<'_, C>| {
            let mut decoded = vec![C::MIN; block.count()];
            block.decode(0, &mut decoded);
            codes.extend(decoded);
        };
        seen.visit_codes(slots, visit).unwrap();
        assert!(codes.iter().eq(expected.iter().map(|key| &key.code)), "codes from {from:?} on");
        for (slot, key) in expected.iter().enumerate().rev().take(3) {
            let before = expected.partition_point(|other| other < key);
            assert_eq!(seen.slots_between(from, Fence::before(*key)).unwrap().len(), before);
            assert!(seen.slots_between(from, Fence::after(*key)).unwrap().len() > slot);
        }
    }

    /// Counts the rows of some intervals, or those with even codes.
    fn count_once(&self, directory: &mut Directory<C>, intervals: &[Interval<C>], filtered: bool) {
        let mut sorted = Intervals::new();
        sorted.set_union(intervals.iter().copied());
        let snapshot = self.heap.take_snapshot();
        let mut table = Snapshot { heap: &self.heap, snapshot };
        let even = |code: &C| code.word().is_multiple_of(2);
        let next = |code: C| code.next();
        let filter = filtered.then_some(CodeFilter { passes: &even, next: &next });
        let mut count = Count::default();
        let mut step = |count: &mut Count<C>| {
            count.step(&self.store, directory, sorted.as_slice(), filter, &mut table)
        };
        while step(&mut count).unwrap() {
            thread::yield_now();
        }
        let expected = self.heap.alive_between(snapshot, snapshot);
        let expected = expected.iter().filter(|entry| {
            sorted.contains(entry.key)
                && filter.is_none_or(|filter| (filter.passes)(&entry.key.code))
        });
        assert_eq!(count.counted().rows, expected.count() as u64, "{intervals:?}");
        self.heap.release_snapshot(snapshot);
    }

    /// Reads with pins, and dwells on them.
    pub(super) fn tail_reader(&self, mut random: Random) {
        let mut directory = self.directory(&mut random);
        let mut scan = Scan::new();
        for _ in 0..8 {
            scan.restart(&self.store, Guard::Pins);
            scan.intervals_mut().set(self.tail_key(&mut random), Key::MAX);
            let next = |scan: &mut Scan<_, C>, directory: &mut _| {
                scan.next(&self.store, directory, Direction::Forward).unwrap()
            };
            while let Some(entry) = next(&mut scan, &mut directory) {
                assert!(self.heap.has(entry), "{entry:?} lost its TID under a scan with pins");
                thread::yield_now();
            }
        }
        scan.release(&self.store);
    }

    /// Reads without pins, and says only much later which rows were dead.
    pub(super) fn late_killer(&self, mut random: Random) {
        let mut directory = self.directory(&mut random);
        let mut scan = Scan::new();
        for _ in 0..6 {
            let snapshot = self.heap.take_snapshot();
            let low = self.tail_key(&mut random);
            scan.restart(&self.store, Guard::Nothing);
            scan.intervals_mut().set(low, Key::MAX);
            let mut found = Vec::new();
            let next = |scan: &mut Scan<_, C>, directory: &mut _| {
                scan.next(&self.store, directory, Direction::Forward).unwrap()
            };
            while let Some(entry) = next(&mut scan, &mut directory) {
                found.push(entry);
                if self.heap.is_removable(entry.tid) {
                    scan.kill_current();
                }
                if scan.has_kills(false) && random.one_in(4) {
                    for _ in 0..random.below(400) {
                        thread::yield_now();
                    }
                    self.remember_kills(&mut random, &mut directory, &mut scan);
                }
            }
            self.expect_answer(&found, |key| key >= low, snapshot, snapshot);
            self.heap.release_snapshot(snapshot);
        }
    }

    pub(super) fn reader(&self, mut random: Random) {
        let mut directory = self.directory(&mut random);
        let mut scan = Scan::new();
        for _ in 0..1 + random.below(4) {
            self.read_once(&mut random, &mut directory, &mut scan);
        }
        scan.release(&self.store);
    }

    /// A check of the whole index, which must meet, and then find, all rows of a snapshot.
    pub(super) fn checker(&self, mut random: Random) {
        let snapshot = self.heap.take_snapshot();
        let mut seen = BTreeSet::new();
        let report = check(&self.store, random.one_in(2), |entry| {
            seen.insert(entry);
        });
        report.unwrap_or_else(|corruption| panic!("{corruption}"));
        let expected = self.heap.alive_between(snapshot, snapshot);
        let mut directory = self.directory(&mut random);
        for &entry in &expected {
            assert!(seen.contains(&Fence::at(entry)), "the check did not meet {entry:?}");
            if random.one_in(8) {
                let found = contains(&self.store, &mut directory, entry).unwrap();
                assert!(found, "{entry:?} was not found");
            }
        }
        self.heap.release_snapshot(snapshot);
    }

    pub(super) fn some_intervals(&self, random: &mut Random) -> Vec<Interval<C>> {
        let (mut low, mut high) = match random.below(4) {
            0 => (Key::MIN, Key::MAX),
            1 => {
                let key = shared_key(random.below(SHARED_KEYS));
                (key, key)
            }
            2 => (numbered(self.last.saturating_sub(random.below(30))), Key::MAX),
            _ => (numbered(random.next() >> 3), numbered(random.next() >> 3)),
        };
        if low > high {
            std::mem::swap(&mut low, &mut high);
        }
        let mut intervals = vec![Interval { low, high }];
        // A list of keys, from one leaf or from many.
        if random.one_in(4) {
            let keys = (0..SHARED_KEYS).filter(|_| random.one_in(2)).map(shared_key);
            intervals = keys.map(Interval::point).collect();
            let around = self.last.saturating_sub(random.below(30));
            intervals.extend(
                (around..around + 8).step_by(2).map(|code| Interval::point(numbered(code))),
            );
        }
        intervals
    }

    /// One scan. With pins: no row that it returns may have lost its TID to another one by then.
    /// With a snapshot: all rows of the snapshot. With checks: these and no others, though each is
    /// looked up only where the visibility map does not speak for it.
    fn read_once(
        &self,
        random: &mut Random,
        directory: &mut Directory<C>,
        scan: &mut Scan<<ConcurrentStore<C> as Store>::Pin, C>,
    ) {
        let intervals = self.some_intervals(random);
        let guard = *random.pick(&[Guard::Nothing, Guard::Pins, Guard::Checks]);
        let forward = random.one_in(2);
        let direction = if forward { Direction::Forward } else { Direction::Backward };
        scan.restart(&self.store, guard);
        scan.intervals_mut().set_union(intervals.iter().copied());
        if random.one_in(2) {
            scan.take_all();
        }
        let pins = guard == Guard::Pins;
        let snapshot = if pins { self.heap.now() } else { self.heap.take_snapshot() };
        let mut table = Snapshot { heap: &self.heap, snapshot };
        let mut found: Vec<Entry<C>> = Vec::new();
        let standby = Standby(&self.store);
        loop {
            let next = match guard {
                Guard::Checks => scan.next_visible(&standby, directory, direction, &mut table),
                _ => scan.next_visible(&self.store, directory, direction, &mut table),
            };
            let Some(entry) = next.unwrap() else { break };
            if pins {
                assert!(self.heap.has(entry), "{entry:?} lost its TID under a scan with pins");
            }
            // As the executor does it.
            let dropped = guard == Guard::Checks
                && !self.heap.is_all_visible(entry.tid.block())
                && !table.sees(entry.tid);
            assert!(!dropped, "{entry:?} was checked, and is not visible any more");
            found.push(entry);
            if random.one_in(8) {
                thread::yield_now();
            }
            if guard != Guard::Checks && self.heap.is_removable(entry.tid) {
                scan.kill_current();
            }
            if scan.has_kills(false) && random.one_in(3) {
                self.remember_kills(random, directory, scan);
            }
        }
        self.remember_kills(random, directory, scan);
        if !forward {
            found.reverse();
        }
        let end = if pins { self.heap.now() } else { snapshot };
        let is_inside = |key| intervals.iter().any(|interval| interval.contains(key));
        self.expect_answer(&found, is_inside, snapshot, end);
        if guard == Guard::Checks {
            let seen = self.heap.alive_between(snapshot, snapshot);
            for entry in found {
                assert!(seen.contains(&entry), "{entry:?} is not of the snapshot");
            }
        }
        if !pins {
            self.heap.release_snapshot(snapshot);
        }
    }

    /// What a server does when a portion ends: also on behalf of others.
    fn remember_kills(
        &self,
        random: &mut Random,
        directory: &mut Directory<C>,
        scan: &mut Scan<<ConcurrentStore<C> as Store>::Pin, C>,
    ) {
        let many = scan.remember_kills(&self.store, directory, random.one_in(2)).unwrap();
        let mut table = Table::of(&self.heap, random.next());
        if let Some(position) = many.in_active {
            remove_killed(&self.store, directory, position, &mut table).unwrap();
        }
        if let Some(position) = many.in_leaf
            && let Ok(_exclusion) = self.exclusion.try_lock()
        {
            mark_killed(&self.store, directory, position, random.one_in(2), &mut table).unwrap();
        }
    }

    fn expect_answer(
        &self,
        found: &[Entry<C>],
        is_inside: impl Fn(Key<C>) -> bool,
        start: Time,
        end: Time,
    ) {
        assert!(found.is_sorted_by(|left, right| left < right), "out of order: {found:?}");
        let mut expected = self.heap.alive_between(start, end);
        expected.retain(|entry| is_inside(entry.key));
        let found: BTreeSet<Entry<C>> = found.iter().copied().collect();
        let missed: Vec<&Entry<C>> = expected.difference(&found).collect();
        assert!(missed.is_empty(), "{} missed: {missed:?}", missed.len());
        for entry in found.difference(&expected) {
            assert!(
                is_inside(entry.key) && self.heap.had(*entry, start),
                "{entry:?} is not from this table"
            );
        }
    }
}
