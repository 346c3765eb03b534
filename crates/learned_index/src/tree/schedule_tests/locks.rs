//! A reader that locks what it reads, and writers that look for its locks: of each row that is
//! inserted where it reads, either the reader finds the entry, or the writer finds the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use shuttle::thread;

use super::World;
use super::heap::Heap;
use super::scheduler::Random;
use crate::entry::{Entry, Fence};
use crate::fault::{Fault, injected};
use crate::key::{Code, Interval, Sample};
use crate::predicate::{Held, Lock, marker, parts_of};
use crate::store::Store;
use crate::store::concurrent::ConcurrentStore;
use crate::tree::directory::Directory;
use crate::tree::scan::{Direction, Guard, PredicateLocks, Scan};

/// What the core's table of predicate locks does. Nothing in it is a point where another thread may
/// go on.
pub(super) struct LockTable<C>(Mutex<State<C>>);

struct State<C> {
    /// What the reader has locked; 0 is the whole index.
    locked: BTreeSet<u32>,
    /// Rows that were inserted, and whether the writer has met a lock.
    inserted: BTreeMap<Entry<C>, bool>,
    scans: Vec<Read<C>>,
}

/// A scan that has come to its end, or as far as it was asked to.
struct Read<C> {
    intervals: Vec<Interval<C>>,
    /// The positions between which it has read.
    from: Fence<C>,
    to: Fence<C>,
    found: BTreeSet<Entry<C>>,
}

fn name_of(number: Option<u32>) -> u32 {
    number.map_or(0, |number| number + 1)
}

impl<C> Default for LockTable<C> {
    fn default() -> LockTable<C> {
        let (locked, inserted, scans) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        LockTable(Mutex::new(State { locked, inserted, scans }))
    }
}

impl<C: Code> LockTable<C> {
    /// Inserts, then looks for readers.
    pub(super) fn check_around<T>(&self, entry: Entry<C>, insert: impl FnOnce() -> T) -> T {
        if injected(Fault::CheckBeforeInserting) {
            self.check(entry);
            return insert();
        }
        let inserted = insert();
        thread::yield_now();
        self.check(entry);
        inserted
    }

    fn check(&self, entry: Entry<C>) {
        let mut state = self.0.lock().unwrap();
        let mut met = state.locked.contains(&name_of(None));
        let is_locked = |number| state.locked.contains(&name_of(Some(number)));
        parts_of(entry.key.word(), |part| {
            met |= is_locked(marker(part.group())) && is_locked(part.number());
        });
        state.inserted.insert(entry, met);
    }

    /// Of all rows that are there in the end: what a reader has not found, its writer has met the
    /// reader's lock for.
    pub(super) fn expect_no_row_between(&self, heap: &Heap<C>) {
        let state = self.0.lock().unwrap();
        let now = heap.now();
        let alive = heap.alive_between(now, now);
        for (entry, met) in state.inserted.iter().filter(|(entry, _)| alive.contains(entry)) {
            for scan in &state.scans {
                let read = scan.intervals.iter().any(|interval| interval.contains(entry.key))
                    && (scan.from..scan.to).contains(&Fence::at(*entry));
                assert!(
                    !read || *met || scan.found.contains(entry),
                    "{entry:?} came between reading and locking of {:?}",
                    scan.intervals
                );
            }
        }
    }
}

/// The locks of the reader.
struct Taken<'w, C> {
    table: &'w LockTable<C>,
    held: Held,
}

impl<C> PredicateLocks for Taken<'_, C> {
    const LOCKS: bool = true;

    fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    fn lock(&mut self, lock: Lock) {
        self.table.0.lock().unwrap().locked.insert(name_of(lock.number()));
        thread::yield_now();
    }
}

impl<C: Sample> World<C> {
    /// Some scans of one transaction, each to its end or not.
    pub(super) fn locking_reader(&self, mut random: Random) {
        let mut directory = self.directory(&mut random);
        let mut locks = Taken { table: &self.locks, held: Held::default() };
        for _ in 0..1 + random.below(4) {
            self.read_and_lock(&mut random, &mut directory, &mut locks);
        }
    }

    fn read_and_lock(
        &self,
        random: &mut Random,
        directory: &mut Directory<C>,
        locks: &mut Taken<'_, C>,
    ) {
        let intervals = self.some_intervals(random);
        let mut scan: Scan<<ConcurrentStore<C> as Store>::Pin, C> = Scan::new();
        scan.restart(&self.store, if random.one_in(2) { Guard::Pins } else { Guard::Nothing });
        scan.intervals_mut().set_union(intervals.iter().copied());
        let forward = random.one_in(2);
        let direction = if forward { Direction::Forward } else { Direction::Backward };
        let limit = if random.one_in(2) { usize::MAX } else { 1 + random.below(90) as usize };
        let mut found = Vec::new();
        let mut ended = false;
        while found.len() < limit {
            match scan.next_locked(&self.store, directory, direction, locks).unwrap() {
                Some(entry) => found.push(entry),
                None => {
                    ended = true;
                    break;
                }
            }
        }
        scan.release(&self.store);
        let last = found.last().copied().filter(|_| !ended);
        self.locks.0.lock().unwrap().scans.push(Read {
            intervals,
            from: last.filter(|_| !forward).map_or(Fence::MIN, Fence::at),
            to: last.filter(|_| forward).map_or(Fence::MAX, Fence::past),
            found: found.into_iter().collect(),
        });
    }
}
