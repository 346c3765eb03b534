//! The threads that change an index: they insert, merge and vacuum.

use std::ops::ControlFlow;

use shuttle::sync::Mutex;
use shuttle::thread;

use super::heap::{Heap, Status};
use super::images::{SHARED_KEYS, numbered, shared_key};
use super::locks::LockTable;
use super::removal::Table;
use super::scheduler::Random;
use crate::entry::HeapTid;
use crate::key::{Key, Sample};
use crate::store::concurrent::ConcurrentStore;
use crate::tree::build::BuildOptions;
use crate::tree::delta::{Row, Unique, insert, insert_removing, insert_unique_removing, open_tree};
use crate::tree::directory::Directory;
use crate::tree::merge::{Limits, merge_step};
use crate::tree::vacuum::{bulk_delete, sweep};

/// What the threads of one schedule share.
pub(super) struct World<C> {
    pub(super) store: ConcurrentStore<C>,
    pub(super) heap: Heap<C>,
    /// The thread that merges or vacuums has it.
    pub(super) exclusion: Mutex<()>,
    pub(super) options: BuildOptions,
    pub(super) last: u64,
    /// How many words at the end of a code are not of the key.
    pub(super) included: usize,
    /// Keys at the end of the table that some threads keep to: all are in the delta tree.
    pub(super) tail: u64,
    pub(super) locks: LockTable<C>,
}

fn tiny_limits(random: &mut Random) -> Limits {
    Limits { leaves: 1 + random.below(2) as usize, entries: 1 + random.below(8) as usize }
}

impl<C: Sample> World<C> {
    /// Whether two keys are equal, apart from what is stored beside them.
    pub(super) fn is_same(&self, one: Key<C>, other: Key<C>) -> bool {
        let first = |key: Key<C>| key.code.with_last(self.included, 0);
        first(one) == first(other)
    }

    pub(super) fn directory(&self, random: &mut Random) -> Directory<C> {
        // Without memory every lookup reads directory pages.
        let memory = if random.one_in(3) { 0 } else { 1 << 20 };
        Directory::open(&self.store, memory).unwrap()
    }

    fn next_key(&self, random: &mut Random, ascending: bool, row: u64) -> Key<C> {
        if ascending {
            return numbered(self.last + 1 + row);
        }
        if random.one_in(2) {
            shared_key(random.below(SHARED_KEYS))
        } else {
            numbered(random.next() >> 3)
        }
    }

    pub(super) fn inserter(&self, mut random: Random, ascending: bool) {
        let mut directory = self.directory(&mut random);
        for row in 0..4 + random.below(12) {
            let key = self.next_key(&mut random, ascending, row);
            let entry = self.heap.begin(key);
            let (unchanged, mut table) = (random.one_in(2), Table::of(&self.heap, random.next()));
            self.locks.check_around(entry, || {
                insert_removing(&self.store, &mut directory, entry, unchanged, &mut table).unwrap()
            });
            self.heap.indexed(entry.tid);
            self.finish(entry.tid, &mut random);
        }
    }

    /// The end of a transaction that wrote a row.
    fn finish(&self, tid: HeapTid, random: &mut Random) {
        if random.one_in(8) { self.heap.kill(tid) } else { self.heap.commit(tid) }
    }

    /// Inserts into a unique index: few keys, many rows that are dead already.
    pub(super) fn unique_inserter(&self, mut random: Random) {
        let mut directory = self.directory(&mut random);
        for _ in 0..3 + random.below(6) {
            let mut key: Key<C> = shared_key(random.below(2));
            if self.included > 0 {
                key.code = key.code.with_last(self.included, random.below(3));
            }
            let entry = self.heap.begin(key);
            loop {
                let look = |tid| {
                    thread::yield_now();
                    assert!(tid != entry.tid, "{entry:?} is there before it was inserted");
                    let has = self.heap.has_key(tid, |other| self.is_same(other, key));
                    assert!(has, "{key:?}, {tid:?} lost its TID under a look");
                    match self.heap.status(tid) {
                        Status::Dead if self.heap.is_removable(tid) => {
                            ControlFlow::Continue(Row::Dead)
                        }
                        Status::Dead => ControlFlow::Continue(Row::Gone),
                        in_the_way => ControlFlow::Break((tid, in_the_way)),
                    }
                };
                let (unchanged, seed) = (random.one_in(2), random.next());
                let table = &mut Table::of(&self.heap, seed);
                let (store, directory) = (&self.store, &mut directory);
                let outcome =
                    insert_unique_removing(store, directory, entry, true, unchanged, table, look);
                match outcome.unwrap() {
                    Unique::Inserted(_) => {
                        self.locks.check_around(entry, || ());
                        self.heap.indexed(entry.tid);
                        thread::yield_now();
                        self.finish(entry.tid, &mut random);
                        let alive = self.heap.alive_with(|other| self.is_same(other, key));
                        assert!(alive <= 1, "{key:?} is there twice");
                        break;
                    }
                    Unique::Stopped((other, Status::Running)) => {
                        while self.heap.status(other) == Status::Running {
                            thread::yield_now();
                        }
                    }
                    Unique::Stopped((other, _)) if random.one_in(2) => {
                        // An update: the old row goes, and the new one is tried again.
                        if self.heap.status(other) == Status::Alive {
                            self.heap.kill(other);
                        }
                    }
                    Unique::Stopped(_) => {
                        self.heap.forget(entry.tid);
                        break;
                    }
                    Unique::Checked => panic!("checked, but not inserted"),
                }
            }
        }
    }

    pub(super) fn merger(&self, mut random: Random) {
        let mut spare = Vec::new();
        for _ in 0..2 + random.below(8) {
            if let Ok(_exclusion) = self.exclusion.try_lock() {
                let limits = tiny_limits(&mut random);
                merge_step(&self.store, self.options, limits, 1, &mut spare).unwrap();
            }
            thread::yield_now();
        }
    }

    pub(super) fn vacuum(&self, mut random: Random) {
        for _ in 0..1 + random.below(2) {
            let alive = self.heap.alive();
            for _ in 0..if alive.is_empty() { 0 } else { random.below(30) } {
                let tid = *random.pick(&alive);
                if self.heap.status(tid) == Status::Alive {
                    self.heap.kill(tid);
                }
            }
            self.remove_dead();
        }
    }

    /// Deletes a few rows, vacuums, and gives their TIDs to others, after which everybody sees all
    /// rows: again and again.
    pub(super) fn turnover(&self, mut random: Random) {
        let mut directory = self.directory(&mut random);
        for _ in 0..3 {
            let alive = self.heap.alive();
            let count = 1 + random.below(2);
            for _ in 0..if alive.is_empty() { 0 } else { count } {
                let tid = *random.pick(&alive);
                if self.heap.status(tid) == Status::Alive {
                    self.heap.kill(tid);
                }
            }
            self.remove_dead();
            for row in 0..count {
                let entry = self.heap.begin(self.next_key(&mut random, false, row));
                insert(&self.store, &mut directory, entry).unwrap();
                self.heap.indexed(entry.tid);
                self.heap.commit(entry.tid);
            }
            self.heap.mark_visible();
        }
    }

    fn remove_dead(&self) {
        let dead = self.heap.dead();
        let _exclusion = self.exclusion.lock().unwrap();
        let is_dead = |tid| dead.contains(&tid);
        let stats = bulk_delete(&self.store, self.options, is_dead, || {}).unwrap();
        let rest = dead.iter().filter(|&&tid| !self.heap.was_removed(tid)).count();
        assert_eq!(stats.removed, rest as u64, "entries removed");
        self.heap.recycle(&dead);
        self.heap.mark_visible();
    }

    /// Opens delta trees, as an insert does that others overtake after it has found none.
    pub(super) fn late_opener(&self, mut random: Random) {
        let mut directory = self.directory(&mut random);
        for _ in 0..12 {
            directory.refresh(&self.store).unwrap();
            thread::yield_now();
            if directory.state().active.is_none() {
                open_tree(&self.store, &mut directory).unwrap();
            }
        }
    }

    /// Vacuum that only looks for what crashes and errors have left behind, again and again.
    pub(super) fn sweeper(&self, mut random: Random) {
        for _ in 0..4 + random.below(8) {
            {
                let _exclusion = self.exclusion.lock().unwrap();
                sweep(&self.store, &mut || {}).unwrap();
            }
            thread::yield_now();
        }
    }

    /// A key at the end of the table, where all rows are in the delta tree.
    pub(super) fn tail_key(&self, random: &mut Random) -> Key<C> {
        numbered(self.last.saturating_sub(random.below(self.tail)))
    }

    pub(super) fn tail_inserter(&self, mut random: Random) {
        let mut directory = self.directory(&mut random);
        for _ in 0..6 + random.below(12) {
            let entry = self.heap.begin(self.tail_key(&mut random));
            insert(&self.store, &mut directory, entry).unwrap();
            self.heap.indexed(entry.tid);
            self.finish(entry.tid, &mut random);
        }
    }

    pub(super) fn tail_vacuum(&self, mut random: Random) {
        let before_tail = numbered(self.last - self.tail);
        for _ in 0..2 {
            let now = self.heap.now();
            for entry in self.heap.alive_between(now, now) {
                if entry.key > before_tail && !random.one_in(3) {
                    self.heap.kill(entry.tid);
                }
            }
            self.remove_dead();
        }
    }
}
