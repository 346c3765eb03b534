//! Dead entries of one key: they are looked up once, few of them under a lock, and taken out of the
//! active tree.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ops::ControlFlow;

use super::build::{BuildOptions, Builder};
use super::check::check;
use super::delta::{
    Candidate, Row, Table, Unique, insert, insert_removing, insert_unique, insert_unique_removing,
};
use super::directory::Directory;
use super::merge::{Limits, Step, merge_step};
use crate::entry::{Block, Entry, HeapTid};
use crate::fault::{Fault, testing::inject};
use crate::key::Key;
use crate::model::ModelChoice;
use crate::page::meta::{Identity, KeyColumn};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::store::strict::StrictStore;

const OPTIONS: BuildOptions = BuildOptions { model: ModelChoice::Linear, fillfactor: 100 };
const KEY: Key = Key::value(1 << 40);

fn entry(row: u64) -> Entry {
    Entry { key: KEY, tid: HeapTid::new((row / 50) as u32, (row % 50) as u16 + 1) }
}

/// An index over other keys, and this many rows of the one key, about half of them in leaves.
fn index_with(rows: u64) -> (StrictStore, Directory) {
    let identity = Identity::of_column(5, KeyColumn::ascending(1));
    let mut builder = Builder::new(MemoryStore::new(), identity, OPTIONS);
    for other in 0..5_000 {
        assert!(builder.try_push(other, HeapTid::new(1 << 20, 1)));
    }
    for row in 0..rows / 2 {
        assert!(builder.try_push(KEY.code, entry(row).tid));
    }
    let store = StrictStore::new(builder.finish().0);
    store.be_patient(u64::MAX);
    let mut directory = Directory::open(&store, 1 << 24).unwrap();
    for row in rows / 2..rows {
        insert(&store, &mut directory, entry(row)).unwrap();
    }
    (store, directory)
}

/// Publishes one range. Does not freeze another tree.
fn merge_a_little(store: &StrictStore, leaves: usize) -> Step {
    let limits = Limits { leaves, entries: 700 };
    merge_step(store, OPTIONS, limits, u64::MAX, &mut Vec::new()).unwrap()
}

/// The table of a hot row: all versions but the last are dead.
struct AllDead<'c> {
    store: &'c StrictStore,
    removed: RefCell<HashSet<HeapTid>>,
    /// Rows asked for.
    asked: Cell<usize>,
}

impl AllDead<'_> {
    fn over(store: &StrictStore) -> AllDead<'_> {
        AllDead { store, removed: RefCell::default(), asked: Cell::new(0) }
    }
}

impl Table for AllDead<'_> {
    type Horizon = ();

    fn find_dead(&mut self, _: Block, candidates: &mut [Candidate], _: bool) {
        assert!(self.store.is_unlocked(), "the table is asked under a lock");
        self.asked.set(self.asked.get() + candidates.len());
        candidates.iter_mut().for_each(|candidate| candidate.dead = true);
    }

    fn before_removal(&mut self, (): (), entries: &[Entry]) {
        let mut removed = self.removed.borrow_mut();
        entries.iter().for_each(|entry| assert!(removed.insert(entry.tid), "{entry:?} goes twice"));
    }
}

#[test]
fn a_check_beside_a_merge_that_publishes_all_the_time_looks_at_each_row_a_few_times() {
    const ROWS: u64 = 6_000;
    let (store, mut directory) = index_with(ROWS);
    // Freezes the tree; the rest is merged while the rows are looked at.
    merge_step(&store, OPTIONS, Limits { leaves: 1, entries: 1 }, 1, &mut Vec::new()).unwrap();
    let mut looks = 0u64;
    let mut publishes = 0u64;
    let look = |_| {
        looks += 1;
        if looks.is_multiple_of(100) && store.is_unlocked() {
            publishes += u64::from(merge_a_little(&store, 1) != Step::Idle);
        }
        ControlFlow::<()>::Continue(())
    };
    let outcome = insert_unique(&store, &mut directory, entry(ROWS), true, look).unwrap();
    assert!(matches!(outcome, Unique::Inserted(_)));
    assert!(publishes >= 5, "{publishes} publishes");
    // Once where it was at first, and once where the merge has moved it.
    assert!((ROWS..=5 * ROWS / 2).contains(&looks), "{looks} looks at {ROWS} rows");
    assert_eq!(check(&store, true, |_| {}).unwrap().lost, 0);
}

/// What a check of a new row came to.
struct Looks {
    all: u64,
    under_lock: u64,
    publishes: u64,
}

/// Rows of the key while [`looks_beside_merges_of_other_keys`]: a third each in leaves, in the
/// frozen tree, in the active one.
const SPREAD: u64 = 6_000;

/// Checks a new row of the key while ranges of smaller keys are published all the time. Its own
/// rows, in many pages of each place, stay where they are.
fn looks_beside_merges_of_other_keys() -> Looks {
    // Neither codes nor TIDs that a leaf stores in few bytes.
    let any = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let tid = |n: u64| HeapTid::new(any(n) as u32, 1);
    let other = |n: u64| Entry { key: Key::value(n << 20 | any(n) >> 12), tid: tid(n) };
    let row = |n: u64| Entry { key: KEY, tid: tid(n) };
    let options = BuildOptions { fillfactor: 10, ..OPTIONS };
    let identity = Identity::of_column(5, KeyColumn::ascending(1));
    let mut builder = Builder::new(MemoryStore::new(), identity, options);
    assert!((0..30_000).all(|n| builder.try_push(other(n).key.code, other(n).tid)));
    let mut old: Vec<HeapTid> = (0..SPREAD / 3).map(tid).collect();
    old.sort_unstable();
    assert!(old.into_iter().all(|tid| builder.try_push(KEY.code, tid)));
    let store = StrictStore::new(builder.finish().0);
    store.be_patient(u64::MAX);
    let mut directory = Directory::open(&store, 1 << 24).unwrap();
    let mut add = |entry| {
        insert(&store, &mut directory, entry).unwrap();
    };
    (0..30_000).step_by(10).for_each(|n| add(Entry { tid: tid(n + 1), ..other(n) }));
    (SPREAD / 3..2 * SPREAD / 3).for_each(|n| add(row(n)));
    merge_step(&store, options, Limits { leaves: 1, entries: 1 }, 1, &mut Vec::new()).unwrap();
    (2 * SPREAD / 3..SPREAD).for_each(|n| add(row(n)));

    let mut looks = Looks { all: 0, under_lock: 0, publishes: 0 };
    let look = |_| {
        looks.all += 1;
        looks.under_lock += u64::from(!store.is_unlocked());
        if looks.all.is_multiple_of(100) && store.is_unlocked() {
            looks.publishes += u64::from(merge_a_little(&store, 1) != Step::Idle);
        }
        ControlFlow::<()>::Continue(())
    };
    let outcome = insert_unique(&store, &mut directory, row(SPREAD), true, look).unwrap();
    assert!(matches!(outcome, Unique::Inserted(_)));
    println!(
        "{} looks, {} under a lock, {} publishes",
        looks.all, looks.under_lock, looks.publishes
    );
    looks
}

#[test]
fn a_check_that_begins_again_looks_at_no_row_twice_that_stays_where_it_is() {
    let looks = looks_beside_merges_of_other_keys();
    assert!(looks.publishes >= 50, "{} publishes", looks.publishes);
    // Where few rows are in a page, they are not remembered.
    assert!((SPREAD..6 * SPREAD / 5).contains(&looks.all), "{} looks", looks.all);
    assert!(looks.under_lock <= 8, "{} rows were looked at under a lock", looks.under_lock);
}

#[test]
fn a_check_that_remembers_no_row_looks_at_them_again_and_again() {
    inject(Some(Fault::ForgetRows));
    let looks = looks_beside_merges_of_other_keys();
    inject(None);
    assert!(looks.all > 3 * SPREAD, "{} looks", looks.all);
}

#[test]
fn few_rows_are_looked_at_under_a_lock() {
    const ROWS: u64 = 4_000;
    let (store, mut directory) = index_with(ROWS);
    let mut under_lock = 0u64;
    let mut seen = HashSet::new();
    let look = |tid| {
        under_lock += u64::from(!store.is_unlocked());
        seen.insert(tid);
        ControlFlow::<()>::Continue(())
    };
    insert_unique(&store, &mut directory, entry(ROWS), true, look).unwrap();
    assert_eq!(seen.len() as u64, ROWS);
    assert!(under_lock <= 8, "{under_lock} rows were looked at under a lock");
}

#[test]
fn a_row_that_is_updated_again_and_again_costs_the_same_each_time() {
    let (store, mut directory) = index_with(2);
    let before = store.pages.blocks();
    let mut table = AllDead::over(&store);
    for row in 2..20_000 {
        let mut looks = 0;
        let look = |_| {
            looks += 1;
            ControlFlow::<(), Row>::Continue(Row::Dead)
        };
        insert_unique_removing(&store, &mut directory, entry(row), true, true, &mut table, look)
            .unwrap();
        // Where other entries have slots of their own, they are looked at once more.
        assert!(looks <= 3, "{looks} looks for version {row}");
    }
    let removed = table.removed.borrow().len();
    assert!(removed > 19_900, "{removed} versions were taken out");
    assert!(table.asked.get() < 50_000, "the table was asked for {} rows", table.asked.get());
    assert!(store.pages.blocks() <= before + 2, "{} blocks", store.pages.blocks());
}

#[test]
fn updates_of_another_column_do_not_make_the_tree_grow() {
    let (store, mut directory) = index_with(0);
    let mut table = AllDead::over(&store);
    let (mut blocks, mut next) = (Vec::new(), 0);
    for _ in 0..20 {
        for code in 0..3_000 {
            next += 1;
            let entry = Entry { key: Key::value(code * 7), ..entry(next) };
            insert_removing(&store, &mut directory, entry, true, &mut table).unwrap();
        }
        blocks.push(store.pages.blocks());
    }
    assert!(blocks[19] <= blocks[2], "{blocks:?}");
}
