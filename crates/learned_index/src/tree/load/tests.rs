use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::entry::Fence;
use crate::key::NullClass;
use crate::model::ModelChoice;
use crate::page::meta::KeyColumn;
use crate::sort::MemorySpill;
use crate::store::memory::MemoryStore;
use crate::tree::check::check;

const DISTINCT: Uniqueness = Uniqueness { nulls_not_distinct: false };
const NOT_DISTINCT: Uniqueness = Uniqueness { nulls_not_distinct: true };

/// A row in heap order: its value, and whether it is alive.
type Row = (Option<u64>, bool);

fn tid_of(row: usize) -> HeapTid {
    HeapTid::new((row / 50) as u32, (row % 50) as u16 + 1)
}

/// Spills in memory, which count their runs.
#[derive(Default)]
struct CountedSpill {
    inner: MemorySpill,
    runs: Rc<Cell<usize>>,
}

impl Spill for CountedSpill {
    fn create_run(&mut self) -> usize {
        self.runs.set(self.runs.get() + 1);
        self.inner.create_run()
    }

    fn write(&mut self, run: usize, bytes: &[u8]) {
        self.inner.write(run, bytes);
    }

    fn read(&mut self, run: usize, bytes: &mut [u8]) {
        self.inner.read(run, bytes);
    }

    fn poll(&mut self) {}
}

/// What loading came to, and the runs that it spilled.
type Loaded = (Result<(MemoryStore, State), BuildError>, usize);

/// Loads rows within the smallest memory limit.
fn load(rows: &[Row], unique: Option<Uniqueness>, nulls_first: bool) -> Loaded {
    let runs = Rc::new(Cell::new(0));
    let identity =
        Identity::of_column(1, KeyColumn { key_type: 1, descending: false, nulls_first });
    let options = BuildOptions { model: ModelChoice::Linear, fillfactor: 100 };
    let spill = || CountedSpill { runs: Rc::clone(&runs), ..CountedSpill::default() };
    let mut loader = Loader::new(MemoryStore::new(), identity, options, unique, 0, spill);
    let pushed = rows.iter().enumerate().try_for_each(|(row, &(value, alive))| match value {
        Some(code) => loader.push(code, tid_of(row), alive),
        None => loader.push_null(tid_of(row), alive),
    });
    let loaded = pushed.and_then(|()| loader.finish());
    (loaded, runs.get())
}

/// The oracle: keys that more than one living row has.
fn duplicates(rows: &[Row], unique: Uniqueness, nulls_first: bool) -> BTreeSet<Key> {
    let nulls = if nulls_first { NullClass::NullsFirst } else { NullClass::NullsLast };
    let mut living: BTreeMap<Key, usize> = BTreeMap::new();
    for &(value, _) in rows.iter().filter(|(_, alive)| *alive) {
        match value {
            Some(code) => *living.entry(Key::value(code)).or_default() += 1,
            None if unique.nulls_not_distinct => {
                *living.entry(Key { class: nulls, code: 0 }).or_default() += 1;
            }
            None => {}
        }
    }
    living.into_iter().filter(|(_, rows)| *rows > 1).map(|(key, _)| key).collect()
}

/// Every entry of an index, sorted, and those of the rows.
fn assert_entries(store: &MemoryStore, rows: &[Row]) {
    let mut found = Vec::new();
    check(store, true, |at: Fence| {
        let value = (at.class == NullClass::Value as u8).then_some(at.code);
        found.push((value, at.tid));
    })
    .unwrap();
    let numbered = rows.iter().enumerate();
    let mut expected: Vec<_> = numbered.map(|(row, &(value, _))| (value, tid_of(row))).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert!(found == expected, "entries differ from the rows");
}

/// Loads rows and compares with the oracle. Returns the runs spilled.
fn assert_loads_as_the_oracle(rows: &[Row], unique: Uniqueness, nulls_first: bool) -> usize {
    let duplicates = duplicates(rows, unique, nulls_first);
    let (loaded, runs) = load(rows, Some(unique), nulls_first);
    match loaded {
        Ok((store, _)) => {
            assert!(duplicates.is_empty(), "unnoticed: {duplicates:?}");
            assert_entries(&store, rows);
        }
        Err(BuildError::Duplicate { key }) => {
            assert!(duplicates.contains(&key), "{key:?} is none of {duplicates:?}");
        }
        Err(error) => panic!("{error}"),
    }
    runs
}

/// Living rows with values of their own, and `dead` dead ones with some of these values.
fn mixed(random: &mut StdRng, living: u64, dead: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = (0..living).map(|code| (Some(code * 3), true)).collect();
    rows.extend((0..dead).map(|_| (Some(random.random_range(0..living) * 3), false)));
    rows
}

proptest! {
    #[test]
    fn a_unique_load_fails_exactly_where_the_oracle_has_a_duplicate(
        mut rows in prop::collection::vec(
            (prop::option::weighted(0.9, 0u64..40), prop::bool::weighted(0.3)), 0..40,
        ),
        in_order: bool,
        nulls_not_distinct: bool,
        nulls_first: bool,
    ) {
        if in_order {
            rows.sort_by_key(|row| row.0);
        }
        assert_loads_as_the_oracle(&rows, Uniqueness { nulls_not_distinct }, nulls_first);
    }
}

#[test]
fn one_duplicate_among_many_rows_is_found_in_order_shuffled_and_spilled() {
    let mut random = StdRng::seed_from_u64(11);
    let mut spilled = 0;
    for (living, dead) in [(1, 1), (1_000, 0), (1_000, 30), (9_000, 9_000), (20_000, 3_000)] {
        let unique = mixed(&mut random, living, dead);
        for order in 0..3 {
            for duplicate in [false, true] {
                let mut rows = unique.clone();
                if duplicate {
                    rows.push((Some(random.random_range(0..living) * 3), true));
                }
                match order {
                    // Nothing is sorted; only some rows at the end are out of order; everything.
                    0 => rows.sort_by_key(|row| row.0),
                    1 => {
                        let tail = rows.len() - rows.len() / 10;
                        rows[..tail].sort_by_key(|row| row.0);
                    }
                    _ => rows.shuffle(&mut random),
                }
                let runs = assert_loads_as_the_oracle(&rows, DISTINCT, false);
                let (other, _) = load(&rows, None, false);
                assert_entries(&other.unwrap().0, &rows);
                spilled = spilled.max(runs);
            }
        }
    }
    assert!(spilled > 5, "only {spilled} runs were spilled");
}

#[test]
fn an_ordered_unique_load_notices_a_duplicate_at_once_and_spills_nothing() {
    let rows: Vec<Row> = (0..5_000).map(|code| (Some(code), true)).collect();
    let (loaded, runs) = load(&rows, Some(DISTINCT), false);
    assert_eq!((loaded.unwrap().1.values, runs), (5_000, 0));

    let identity = Identity::of_column(1, KeyColumn::ascending(1));
    let options = BuildOptions { model: ModelChoice::Linear, fillfactor: 100 };
    let spill = MemorySpill::default;
    let mut loader = Loader::new(MemoryStore::new(), identity, options, Some(DISTINCT), 0, spill);
    loader.push(7, tid_of(0), true).unwrap();
    loader.push(7, tid_of(1), false).unwrap();
    let duplicate = BuildError::Duplicate { key: Key::value(7) };
    assert_eq!(loader.push(7, tid_of(2), true), Err(duplicate));
}

#[test]
fn living_nulls_are_duplicates_only_where_they_are_not_distinct() {
    for nulls_first in [false, true] {
        let mut rows: Vec<Row> = vec![(None, false), (None, true), (None, false), (Some(1), true)];
        assert_loads_as_the_oracle(&rows, DISTINCT, nulls_first);
        assert_loads_as_the_oracle(&rows, NOT_DISTINCT, nulls_first);
        rows.push((None, true));
        assert_loads_as_the_oracle(&rows, DISTINCT, nulls_first);
        let class = if nulls_first { NullClass::NullsFirst } else { NullClass::NullsLast };
        let duplicate = BuildError::Duplicate { key: Key { class, code: 0 } };
        assert_eq!(load(&rows, Some(NOT_DISTINCT), nulls_first).0.err(), Some(duplicate));
    }
}

/// Keys of one word, with another word beside them.
#[test]
fn what_is_stored_beside_a_key_makes_no_difference_to_duplicates() {
    let identity =
        Identity { included_words: 1, ..Identity::of_column(1, KeyColumn::ascending(1)) };
    let options = BuildOptions { model: ModelChoice::Linear, fillfactor: 100 };
    let mut random = StdRng::seed_from_u64(5);
    for in_order in [false, true] {
        for duplicate in [false, true] {
            let mut rows: Vec<([u64; 2], bool)> =
                (0..3_000).map(|key| ([key, random.random()], true)).collect();
            // Dead ones are nobody's duplicates.
            rows.extend((0..500).map(|key| ([6 * key, random.random()], false)));
            if duplicate {
                rows.push(([1_234, random.random()], true));
            }
            rows.shuffle(&mut random);
            if in_order {
                rows.sort_unstable();
            }
            let spill = MemorySpill::default;
            let store: MemoryStore<[u64; 2]> = MemoryStore::default();
            let mut loader = Loader::new(store, identity, options, Some(DISTINCT), 0, spill);
            let pushed = rows
                .iter()
                .enumerate()
                .try_for_each(|(row, &(code, alive))| loader.push(code, tid_of(row), alive));
            let loaded = pushed.and_then(|()| loader.finish().map(|(_, state)| state.values));
            match loaded {
                Ok(values) => assert!(!duplicate && values == rows.len() as u64),
                Err(BuildError::Duplicate { key }) => assert!(duplicate && key.code[0] == 1_234),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_row_that_comes_twice_is_no_duplicate_but_an_error_of_its_own() {
    let identity = Identity::of_column(1, KeyColumn::ascending(1));
    let options = BuildOptions { model: ModelChoice::Linear, fillfactor: 100 };
    for unique in [None, Some(DISTINCT)] {
        for null in [false, true] {
            let spill = MemorySpill::default;
            let mut loader = Loader::new(MemoryStore::new(), identity, options, unique, 0, spill);
            for _ in 0..2 {
                if null {
                    loader.push_null(tid_of(3), true).unwrap();
                } else {
                    loader.push(5, tid_of(3), true).unwrap();
                }
            }
            assert_eq!(loader.finish().err(), Some(BuildError::Twice));
        }
    }
}
