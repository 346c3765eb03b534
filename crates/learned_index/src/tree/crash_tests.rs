//! A crash after every record of the log: what was done before it is there, once, and everything
//! goes on from there to a right end.

use std::collections::{BTreeSet, HashSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::build::{BuildOptions, Builder};
use super::check::{CheckReport, check};
use super::delta::{Candidate, Table, Unique, insert, insert_unique, remove_killed};
use super::directory::Directory;
use super::mark::mark_killed;
use super::merge::{Limits, Step, merge_step};
use super::scan::{Direction, Guard, Scan};
use super::vacuum::bulk_delete;
use crate::entry::{Block, Entry, Fence, HeapTid};
use crate::fault::Fault;
use crate::fault::testing::{inject, set_full_at};
use crate::key::{Key, Sample};
use crate::model::ModelChoice;
use crate::page::PAGE_SIZE;
use crate::page::meta::{Identity, KeyColumn};
use crate::store::crash::{LoggedStore, Record, replay};
use crate::store::memory::MemoryStore;
use crate::store::{BulkStore, Store, Update};

/// Entries and children with which pages of delta trees are full.
const FULL_AT: usize = 4;

/// What was done up to some record, for recovery to find.
struct Done<C> {
    /// Records so far.
    records: usize,
    entries: BTreeSet<Entry<C>>,
}

/// A life of an index: its pages at the start, its log, and what was done when.
struct Life<C> {
    options: BuildOptions,
    start: MemoryStore<C>,
    log: Vec<Record>,
    done: Vec<Done<C>>,
}

fn key<C: Sample>(random: &mut StdRng) -> Key<C> {
    // Some keys have many rows.
    let number: u64 = random.random();
    let is_common = random.random_range(0..3) == 0;
    Key::value(C::of_any(if is_common { (number % 5) << 60 } else { number >> 3 }))
}

fn tid(number: u64) -> HeapTid {
    // Far apart, so that they take space in leaves.
    let block = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 36) as u32;
    HeapTid::new(block, (number % 50) as u16 + 1)
}

/// A table of which some rows are dead to all, and the entries that were marked or taken out.
struct DeadRows<'d, C> {
    dead: &'d HashSet<HeapTid>,
    removed: BTreeSet<Entry<C>>,
}

impl<C: Sample> Table<C> for DeadRows<'_, C> {
    type Horizon = ();

    fn find_dead(&mut self, _: Block, candidates: &mut [Candidate], _: bool) {
        for candidate in candidates {
            candidate.dead = self.dead.contains(&candidate.tid);
        }
    }

    fn before_removal(&mut self, (): (), entries: &[Entry<C>]) {
        self.removed.extend(entries);
    }
}

/// A scan of everything that meets dead rows, and marks many of them for all sessions. Returns
/// their entries.
fn mark_some<C: Sample>(
    store: &LoggedStore<C>,
    directory: &mut Directory<C>,
    dead: &HashSet<HeapTid>,
) -> BTreeSet<Entry<C>> {
    let mut table = DeadRows { dead, removed: BTreeSet::new() };
    let mut scan: Scan<Block, C> = Scan::new();
    scan.restart(store, Guard::Nothing);
    scan.intervals_mut().set(Key::MIN, Key::MAX);
    while let Some(entry) = scan.next(store, directory, Direction::Forward).unwrap() {
        if dead.contains(&entry.tid) {
            scan.kill_current();
            let many = scan.remember_kills(store, directory, false).unwrap();
            if let Some(position) = many.in_active {
                remove_killed(store, directory, position, &mut table).unwrap();
            }
            if let Some(position) = many.in_leaf {
                mark_killed(store, directory, position, true, &mut table).unwrap();
            }
        }
    }
    table.removed
}

impl<C: Sample> Life<C> {
    fn of(seed: u64) -> Life<C> {
        let mut random = StdRng::seed_from_u64(seed);
        // In full leaves the dead slots outgrow the list.
        let full = seed % 4 == 3;
        let (rows, fillfactor) =
            if full { (1_100, 100) } else { (random.random_range(0..200), 10) };
        let options = BuildOptions { model: ModelChoice::Linear, fillfactor };
        let identity = Identity::of_column(5, KeyColumn::ascending(1));
        let mut tids = 0;
        let mut new_entry = |random: &mut StdRng| {
            tids += 1;
            Entry { key: key(random), tid: tid(tids) }
        };
        let mut entries: BTreeSet<Entry<C>> = (0..rows).map(|_| new_entry(&mut random)).collect();
        let mut builder = Builder::new(MemoryStore::default(), identity, options);
        entries.iter().for_each(|entry| assert!(builder.try_push(entry.key.code, entry.tid)));
        let (start, _) = builder.finish();

        let store = LoggedStore::new(start.clone());
        let mut directory = Directory::open(&store, 1 << 20).unwrap();
        let mut done = vec![Done { records: 0, entries: entries.clone() }];
        let mut spare = Vec::new();
        for _ in 0..40 {
            match random.random_range(0..13) {
                12 => {
                    let dead: HashSet<HeapTid> = entries
                        .iter()
                        .map(|entry| entry.tid)
                        .filter(|_| random.random_range(0..3) == 0)
                        .collect();
                    let removed = mark_some(&store, &mut directory, &dead);
                    entries.retain(|entry| !removed.contains(entry));
                }
                0 => {
                    let dies = random.random_range(2..8);
                    let dead: HashSet<HeapTid> = entries
                        .iter()
                        .map(|entry| entry.tid)
                        .filter(|_| random.random_range(0..dies) == 0)
                        .collect();
                    bulk_delete(&store, options, |tid| dead.contains(&tid), || {}).unwrap();
                    entries.retain(|entry| !dead.contains(&entry.tid));
                }
                1..5 => {
                    let limits = Limits { leaves: 2, entries: random.random_range(1..20) };
                    merge_step(&store, options, limits, 1, &mut spare).unwrap();
                }
                action => {
                    let entry = new_entry(&mut random);
                    if action == 5 {
                        let look = |_| std::ops::ControlFlow::<()>::Continue(());
                        let result = insert_unique(&store, &mut directory, entry, true, look);
                        assert!(matches!(result.unwrap(), Unique::Inserted(_)));
                    } else {
                        insert(&store, &mut directory, entry).unwrap();
                    }
                    entries.insert(entry);
                }
            }
            done.push(Done { records: store.logged(), entries: entries.clone() });
        }
        Life { options, start, log: store.into_log(), done }
    }

    /// The last thing that was done after so many records, and what was being done.
    fn at(&self, records: usize) -> (&BTreeSet<Entry<C>>, &BTreeSet<Entry<C>>) {
        let after = self.done.partition_point(|done| done.records <= records);
        let next = self.done.get(after).unwrap_or(&self.done[after - 1]);
        (&self.done[after - 1].entries, &next.entries)
    }

    /// What a session finds after a crash, and what becomes of the index then.
    fn expect_recovery(&self, records: usize, recovered: &MemoryStore<C>, random: &mut StdRng) {
        let (before, after) = self.at(records);
        let (_, found) = checked(recovered);
        let must = before.intersection(after).copied().collect::<BTreeSet<_>>();
        let missing: Vec<_> = must.difference(&found).collect();
        assert!(missing.is_empty(), "missing after {records} records: {missing:?}");
        let surplus = found.iter().find(|&entry| !before.contains(entry) && !after.contains(entry));
        assert_eq!(surplus, None, "after {records} records");

        let mut store = recovered.clone();
        // The file had grown, but the pages were not logged yet. And what the free space map says
        // is anything.
        for _ in 0..random.random_range(0..3) {
            let end = store.blocks();
            store.overwrite(end, &[0; PAGE_SIZE]);
        }
        for _ in 0..random.random_range(0..4) {
            store.offer(random.random_range(1..store.blocks()));
        }
        self.go_on(&store, &found, &must, random);
    }

    fn go_on(
        &self,
        store: &MemoryStore<C>,
        found: &BTreeSet<Entry<C>>,
        must: &BTreeSet<Entry<C>>,
        random: &mut StdRng,
    ) {
        let mut entries = found.clone();
        let mut directory = Directory::open(store, 1 << 20).unwrap();
        let mut add = |entries: &mut BTreeSet<Entry<C>>, number: u64, random: &mut StdRng| {
            let entry = Entry { key: key(random), tid: tid((1 << 20) + number) };
            insert(store, &mut directory, entry).unwrap();
            assert!(entries.insert(entry));
        };
        for number in 0..random.random_range(0..12) {
            add(&mut entries, number, random);
        }
        let limits = Limits { leaves: 2, entries: 10 };
        for _ in 0..random.random_range(0..3) {
            merge_step(store, self.options, limits, 1, &mut Vec::new()).unwrap();
        }
        // Rows whose transactions did not commit before the crash, and some others.
        let mut dead: HashSet<HeapTid> = found.difference(must).map(|entry| entry.tid).collect();
        let alive: Vec<HeapTid> = entries.iter().map(|entry| entry.tid).collect();
        dead.extend(alive.choose_multiple(random, alive.len() / 8));
        vacuum(store, self.options, &mut entries, &dead);
        // Of what the crash has left behind only pages with the name of the tree that takes
        // inserts are still there, or of the next one: they go when it does.
        let (report, found) = checked(store);
        assert!(report.lost <= 2, "{report:?}");
        assert!(found == entries);
        for number in 100..100 + random.random_range(1..12) {
            add(&mut entries, number, random);
        }
        let mut steps = 0;
        while merge_step(store, self.options, limits, 1, &mut Vec::new()).unwrap() != Step::Idle {
            steps += 1;
            assert!(steps < 1_000, "a merge that does not end");
        }
        vacuum(store, self.options, &mut entries, &HashSet::new());
        let (report, found) = checked(store);
        assert_eq!((report.lost, report.delta_pages), (0, 0));
        assert!(found == entries);
    }
}

fn vacuum<C: Sample>(
    store: &MemoryStore<C>,
    options: BuildOptions,
    entries: &mut BTreeSet<Entry<C>>,
    dead: &HashSet<HeapTid>,
) {
    let before = entries.len();
    entries.retain(|entry| !dead.contains(&entry.tid));
    let stats = bulk_delete(store, options, |tid| dead.contains(&tid), || {}).unwrap();
    assert_eq!(stats.removed, (before - entries.len()) as u64);
    assert_eq!(stats.alive, entries.len() as u64);
}

/// What the index has, by its own check.
fn checked<C: Sample>(store: &MemoryStore<C>) -> (CheckReport, BTreeSet<Entry<C>>) {
    let mut seen = BTreeSet::new();
    let report = check(store, true, |at: Fence<C>| {
        let entry = Entry { key: Key::value(at.code), tid: at.tid };
        assert!(seen.insert(entry), "{entry:?} is there twice");
    });
    (report.unwrap(), seen)
}

/// Lives a life, and crashes after each of its records. Returns how many there were.
fn crash_everywhere<C: Sample>(seed: u64) -> usize {
    set_full_at(FULL_AT);
    let life = Life::<C>::of(seed);
    let mut random = StdRng::seed_from_u64(seed);
    let mut recovered = life.start.clone();
    for (records, record) in life.log.iter().enumerate() {
        life.expect_recovery(records, &recovered, &mut random);
        replay(&mut recovered, record);
    }
    life.expect_recovery(life.log.len(), &recovered, &mut random);
    life.log.len() + 1
}

#[test]
fn a_crash_after_any_record_loses_nothing_that_was_done() {
    let crashes: usize = (0..24).map(crash_everywhere::<u64>).sum();
    assert!(crashes > 2_000, "{crashes} crashes");
    let wide = |seed| crash_everywhere::<[u64; 2]>(seed) + crash_everywhere::<[u64; 3]>(seed);
    let crashes: usize = (24..36).map(wide).sum();
    assert!(crashes > 2_000, "{crashes} crashes of wide codes");
}

#[test]
fn freeing_before_publishing_is_noticed_after_a_crash() {
    fn is_noticed<C: Sample>() -> bool {
        (0..24).any(|seed| std::panic::catch_unwind(|| crash_everywhere::<C>(seed)).is_err())
    }
    inject(Some(Fault::FreeBeforePublish));
    let noticed = [is_noticed::<u64>(), is_noticed::<[u64; 2]>()];
    inject(None);
    assert_eq!(noticed, [true, true]);
}
