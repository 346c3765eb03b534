//! Dead rows that one session marks for all, and what VACUUM makes of the marks.

use std::collections::BTreeSet;

use super::build::{BuildOptions, Builder};
use super::check::check;
use super::delta::{Candidate, Table, insert};
use super::directory::Directory;
use super::mark::mark_killed;
use super::merge::{Limits, Step, merge_step};
use super::scan::{Direction, Guard, Scan};
use super::vacuum::{bulk_delete, is_all_known};
use crate::entry::{Block, Entry, Fence, HeapTid};
use crate::key::Key;
use crate::model::ModelChoice;
use crate::page::PAGE_SIZE;
use crate::page::meta::{Identity, KeyColumn};
use crate::store::memory::MemoryStore;
use crate::store::{BulkStore, Store};

const ROWS: u64 = 20_000;
const OPTIONS: BuildOptions = BuildOptions { model: ModelChoice::Linear, fillfactor: 100 };

/// A table in which every row is dead that it is asked for, and the entries that were marked.
#[derive(Default)]
struct AllDead {
    marked: BTreeSet<Entry>,
}

impl Table for AllDead {
    type Horizon = ();

    fn find_dead(&mut self, _: Block, candidates: &mut [Candidate], _: bool) {
        candidates.iter_mut().for_each(|candidate| candidate.dead = true);
    }

    fn before_removal(&mut self, (): (), entries: &[Entry]) {
        entries.iter().for_each(|&entry| assert!(self.marked.insert(entry), "{entry:?} twice"));
    }
}

fn code(row: u64) -> u64 {
    row.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 3
}

/// An index of rows with keys all over the place, in dozens of leaves.
fn index() -> (MemoryStore, Vec<Entry>) {
    let identity = Identity::of_column(5, KeyColumn::ascending(1));
    let mut entries: Vec<Entry> = (0..ROWS)
        .map(|row| Entry {
            key: Key::value(code(row)),
            tid: HeapTid::new((row / 50) as u32, (row % 50) as u16 + 1),
        })
        .collect();
    entries.sort_unstable();
    let mut builder = Builder::new(MemoryStore::new(), identity, OPTIONS);
    entries.iter().for_each(|entry| assert!(builder.try_push(entry.key.code, entry.tid)));
    (builder.finish().0, entries)
}

/// All entries that a new session sees, in a direction.
fn seen(store: &MemoryStore, direction: Direction) -> Vec<Entry> {
    let mut directory = Directory::open(store, 1 << 24).unwrap();
    let mut scan: Scan<Block> = Scan::new();
    scan.restart(store, Guard::Nothing);
    scan.intervals_mut().set(Key::MIN, Key::MAX);
    std::iter::from_fn(|| scan.next(store, &mut directory, direction).unwrap()).collect()
}

/// A scan that finds the first rows dead, and marks what it may.
fn mark_first(store: &MemoryStore, rows: usize, may_create: bool) -> BTreeSet<Entry> {
    let mut directory = Directory::open(store, 1 << 24).unwrap();
    let (mut scan, mut table): (Scan<Block>, AllDead) = (Scan::new(), AllDead::default());
    scan.restart(store, Guard::Nothing);
    scan.intervals_mut().set(Key::MIN, Key::MAX);
    for row in 0..rows {
        scan.next(store, &mut directory, Direction::Forward).unwrap();
        scan.kill_current();
        let many = scan.remember_kills(store, &mut directory, row + 1 == rows).unwrap();
        if let Some(position) = many.in_leaf {
            mark_killed(store, &mut directory, position, may_create, &mut table).unwrap();
        }
    }
    table.marked
}

#[test]
fn entries_that_one_session_marks_are_dead_for_all_and_vacuum_gives_their_leaves_back() {
    let (store, entries) = index();
    let dead = entries.len() * 3 / 4;
    let marked = mark_first(&store, dead, true);
    assert!(marked.len() > dead * 15 / 16, "{} of {dead} entries are marked", marked.len());
    let living: Vec<Entry> =
        entries.iter().copied().filter(|entry| !marked.contains(entry)).collect();
    assert_eq!(seen(&store, Direction::Forward), living);
    let mut backward = seen(&store, Direction::Backward);
    backward.reverse();
    assert_eq!(backward, living);
    // VACUUM finds nothing more to remove; the leaves are sparse all the same.
    let before = Directory::open(&store, 1 << 24).unwrap().leaves();
    let stats = bulk_delete(&store, OPTIONS, |_| false, || {}).unwrap();
    assert_eq!((stats.removed, stats.alive), (0, living.len() as u64));
    let after = Directory::open(&store, 1 << 24).unwrap().leaves();
    assert!(after * 3 < before, "{after} leaves of {before}");
    assert_eq!(seen(&store, Direction::Forward), living);
    assert_eq!(check(&store, true, |_| {}).unwrap().lost, 0);
}

#[test]
fn an_index_that_may_not_grow_keeps_what_its_leaves_have_no_room_to_mark() {
    let (store, entries) = index();
    let blocks = store.blocks();
    let marked = mark_first(&store, entries.len() / 2, false);
    assert_eq!(store.blocks(), blocks);
    let living: Vec<Entry> = entries.into_iter().filter(|entry| !marked.contains(entry)).collect();
    assert_eq!(seen(&store, Direction::Forward), living);
}

#[test]
fn a_lost_page_makes_a_difference_to_the_number_of_pages() {
    let (mut store, entries) = index();
    let mut directory = Directory::open(&store, 1 << 24).unwrap();
    for row in 0..2_000 {
        let tid = HeapTid::new(1 << 20, row % 200 + 1);
        let entry = Entry { key: Key::value(code(u64::from(row) + ROWS)), tid };
        insert(&store, &mut directory, entry).unwrap();
        assert!(is_all_known(&store, 0).unwrap(), "after {row} rows");
    }
    assert!(!is_all_known(&store, 1).unwrap());
    let end = store.blocks();
    store.overwrite(end, &[0; PAGE_SIZE]);
    assert!(!is_all_known(&store, 0).unwrap());
    assert!(is_all_known(&store, 1).unwrap(), "as if it were offered");
    let first = Fence::at(entries[0]);
    assert!(directory.route(&store, first).is_ok());
}

#[test]
fn a_merge_of_rows_behind_all_others_writes_few_leaves_and_of_scattered_rows_most() {
    let (store, entries) = index();
    let leaves = Directory::open(&store, 1 << 24).unwrap().leaves() as u64;
    let last = entries[entries.len() - 1].key.code;
    let to_merge = |code: &dyn Fn(u64) -> u64| {
        let store = store.clone();
        let mut directory = Directory::open(&store, 1 << 24).unwrap();
        for row in 0..5_000 {
            let tid = HeapTid::new((1 << 20) + row as u32 / 200, (row % 200) as u16 + 1);
            insert(&store, &mut directory, Entry { key: Key::value(code(row)), tid }).unwrap();
        }
        let found = directory.leaves_to_merge(&store).unwrap();
        // While a merge goes on, what it has left behind is not looked at.
        let limits = Limits { leaves: 1, entries: 700 };
        let mut left = found;
        while merge_step(&store, OPTIONS, limits, 1, &mut Vec::new()).unwrap() != Step::Idle {
            let less = directory.leaves_to_merge(&store).unwrap();
            assert!(less <= left + 5, "{less} leaves, {left} before");
            left = less;
        }
        assert_eq!(left, 0);
        found
    };
    let (behind, scattered) = (to_merge(&|row| last + 1 + row), to_merge(&|row| code(row + ROWS)));
    assert_eq!(behind, 1, "leaves");
    assert!((leaves - 5..=leaves).contains(&scattered), "{scattered} of {leaves} leaves");
}
