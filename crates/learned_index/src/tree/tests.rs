use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::build::{BuildOptions, Builder};
use super::check::check;
use super::directory::Directory;
use super::load::Loader;
use super::scan::{Direction, Guard, Scan};
use super::vacuum::bulk_delete;
use crate::corruption::Result;
use crate::entry::{Block, Entry, HeapTid};
use crate::key::{Interval, Key, NullClass};

use crate::model::ModelChoice;
use crate::page::meta::{Identity, KeyColumn};
use crate::sort::MemorySpill;
use crate::store::Store;
use crate::store::memory::MemoryStore;

const MODELS: [ModelChoice; 5] = [
    ModelChoice::Auto,
    ModelChoice::Linear,
    ModelChoice::Rmi,
    ModelChoice::Pgm,
    ModelChoice::RadixSpline,
];

const PLAIN: BuildOptions = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };

fn identity(nulls_first: bool) -> Identity {
    Identity::of_column(42, KeyColumn { key_type: 1, descending: false, nulls_first })
}

/// An index and its oracle.
struct Case {
    store: MemoryStore,
    entries: BTreeSet<Entry>,
    nulls_first: bool,
}

impl Case {
    fn build(
        values: &[Option<u64>],
        rows_per_block: u64,
        nulls_first: bool,
        options: BuildOptions,
        memory: usize,
    ) -> Case {
        let mut loader = Loader::new(
            MemoryStore::new(),
            identity(nulls_first),
            options,
            None,
            memory,
            MemorySpill::default,
        );
        let class = if nulls_first { NullClass::NullsFirst } else { NullClass::NullsLast };
        let mut entries = BTreeSet::new();
        for (row, value) in (0u64..).zip(values) {
            let tid =
                HeapTid::new((row / rows_per_block) as u32, (row % rows_per_block) as u16 + 1);
            let key = match value {
                Some(code) => {
                    loader.push(*code, tid, true).unwrap();
                    Key::value(*code)
                }
                None => {
                    loader.push_null(tid, true).unwrap();
                    Key { class, code: 0 }
                }
            };
            entries.insert(Entry { key, tid });
        }
        let (store, state) = loader.finish().unwrap();
        assert_eq!(state.values + state.nulls, values.len() as u64);
        Case { store, entries, nulls_first }
    }

    fn plain(values: &[Option<u64>]) -> Case {
        Case::build(values, 100, false, PLAIN, 1 << 20)
    }

    fn directory(&self) -> Directory {
        self.directory_within(1 << 24)
    }

    fn directory_within(&self, memory: usize) -> Directory {
        let directory = Directory::open(&self.store, memory).unwrap();
        assert_eq!(directory.identity().nulls_first(), self.nulls_first);
        directory
    }

    /// Entries that the scan gives, forward and backward, against the oracle's.
    fn assert_interval(&self, directory: &mut Directory, low: Key, high: Key) {
        let expected: Vec<Entry> = if low > high {
            Vec::new()
        } else {
            let first = Entry { key: low, tid: HeapTid::MIN };
            let last = Entry { key: high, tid: HeapTid::from_u64(u64::MAX) };
            self.entries.range(first..=last).copied().collect()
        };
        let mut scan = Scan::new();
        for direction in [Direction::Forward, Direction::Backward] {
            scan.restart(&self.store, Guard::Nothing);
            set(&mut scan, low, high);
            let mut found = collect(&mut scan, &self.store, directory, direction).unwrap();
            if direction == Direction::Backward {
                found.reverse();
            }
            let differs = found.iter().zip(&expected).position(|(left, right)| left != right);
            let place = (found.len(), expected.len(), differs);
            assert!(found == expected, "{low:?} to {high:?} {direction:?}: {place:?}");
        }
    }
}

fn set(scan: &mut Scan<Block>, first: Key, last: Key) {
    let interval = Interval { low: first, high: last };
    scan.intervals_mut().set_union((first <= last).then_some(interval));
}

fn collect(
    scan: &mut Scan<Block>,
    store: &MemoryStore,
    directory: &mut Directory,
    direction: Direction,
) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    while let Some(entry) = scan.next(store, directory, direction)? {
        found.push(entry);
    }
    Ok(found)
}

fn clustered(random: &mut StdRng, rows: usize) -> Vec<Option<u64>> {
    let mut cluster = 0;
    (0..rows)
        .map(|row| {
            if row % 97 == 0 {
                cluster = random.random::<u64>() >> 3;
            }
            Some(cluster + random.random_range(0..5_000))
        })
        .collect()
}

/// Key sets as the field knows them, some with NULLs.
fn key_sets(rows: usize) -> Vec<(&'static str, Vec<Option<u64>>)> {
    let mut random = StdRng::seed_from_u64(11);
    let mut clock = 1u64 << 63;
    let poisson: Vec<Option<u64>> = (0..rows)
        .map(|_| {
            clock += (-random.random::<f64>().max(1e-12).ln() * 1e6) as u64;
            Some(clock)
        })
        .collect();
    let row = |row: usize| row as u64;
    vec![
        ("empty", Vec::new()),
        ("one row", vec![Some(7)]),
        ("one NULL", vec![None]),
        ("all NULL", vec![None; rows]),
        ("serial", (0..rows).map(|i| Some((1 << 63) + row(i))).collect()),
        ("descending", (0..rows).map(|i| Some(row(rows - i))).collect()),
        (
            "jittered",
            (0..rows).map(|i| Some(row(i) * 1_000_000 + random.random_range(0..100_000))).collect(),
        ),
        ("poisson", poisson),
        (
            "lognormal",
            (0..rows)
                .map(|_| Some((20.0 + 4.0 * (random.random::<f64>() * 6.0 - 3.0)).exp() as u64))
                .collect(),
        ),
        ("uniform", (0..rows).map(|_| Some(random.random::<u64>() >> 2)).collect()),
        ("clustered", clustered(&mut random, rows)),
        (
            "outliers",
            (0..rows)
                .map(|i| Some(if i % 997 == 0 { u64::MAX - row(i) % 21 } else { row(i) * 3 }))
                .collect(),
        ),
        ("one value", vec![Some(5); rows]),
        ("extremes", (0..rows).map(|i| Some([0, u64::MAX][i % 2])).collect()),
        ("ten each", (0..rows).map(|i| Some(row(i) / 10)).collect()),
        (
            "few and NULL",
            (0..rows).map(|i| (i % 3 != 0).then(|| random.random_range(0..50))).collect(),
        ),
    ]
}

#[test]
fn every_interval_of_every_key_set_gives_the_entries_of_the_oracle() {
    let mut random = StdRng::seed_from_u64(3);
    for (index, (name, values)) in key_sets(30_000).into_iter().enumerate() {
        let nulls_first = index % 2 == 0;
        let fillfactor = if index % 3 == 0 { 40 } else { 100 };
        let options = BuildOptions { model: MODELS[index % 5], fillfactor };
        let case = Case::build(&values, 113, nulls_first, options, 256 * 1024);
        let mut alive = 0u64;
        let report = check(&case.store, true, |_| alive += 1)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((report.entries, alive), (values.len() as u64, values.len() as u64), "{name}");
        let keys: Vec<u64> = values.iter().filter_map(|value| *value).collect();
        for memory in [1 << 24, 0] {
            let mut directory = case.directory_within(memory);
            case.assert_interval(&mut directory, Key::MIN, Key::MAX);
            case.assert_interval(&mut directory, Key::value(0), Key::value(u64::MAX));
            let mut pick = || match keys.as_slice() {
                [] => random.random(),
                keys => {
                    let key = keys[random.random_range(0..keys.len())];
                    key.wrapping_add(random.random_range(0..3)).wrapping_sub(1)
                }
            };
            for round in 0..150 {
                let (low, high) = (pick(), pick());
                let high = if round % 2 == 0 { low } else { high };
                case.assert_interval(&mut directory, Key::value(low), Key::value(high));
            }
        }
    }
}

#[test]
fn lists_of_keys_give_each_match_once_and_in_order() {
    let mut random = StdRng::seed_from_u64(5);
    for (name, values) in key_sets(20_000) {
        let mut case = Case::plain(&values);
        let keys: Vec<u64> = values.iter().filter_map(|value| *value).collect();
        for dead_of_seven in [0, 3] {
            let dies = |tid: HeapTid| tid.to_u64().wrapping_mul(0x9E37_79B9) % 7 < dead_of_seven;
            bulk_delete(&case.store, PLAIN, dies, || {}).unwrap();
            case.entries.retain(|entry| !dies(entry.tid));
            for count in [0usize, 1, 2, 50, 3_000] {
                let list: Vec<u64> = (0..count)
                    .map(|_| match keys.as_slice() {
                        [] => random.random(),
                        keys => keys[random.random_range(0..keys.len())]
                            .saturating_add(random.random_range(0..2)),
                    })
                    .collect();
                assert_list(name, &case, &list);
                for seed in 0..4 {
                    walk_list(&case, &list, seed);
                }
            }
        }
    }
}

/// All matches of a list of keys, from either end, and with or without pins.
fn assert_list(name: &str, case: &Case, list: &[u64]) {
    let expected = matches_of(case, list);
    let mut directory = case.directory();
    let mut scan = Scan::new();
    for direction in [Direction::Forward, Direction::Backward] {
        for guard in [Guard::Nothing, Guard::Pins, Guard::Checks] {
            scan.restart(&case.store, guard);
            scan.intervals_mut().set_points(list.iter().map(|&code| Key::value(code)));
            let mut found = collect(&mut scan, &case.store, &mut directory, direction).unwrap();
            if direction == Direction::Backward {
                found.reverse();
            }
            let differs = found.iter().zip(&expected).position(|(left, right)| left != right);
            let place = (found.len(), expected.len(), differs);
            let keys = list.len();
            assert!(found == expected, "{name}, {keys} keys, {direction:?}: {place:?}");
        }
    }
}

fn matches_of(case: &Case, list: &[u64]) -> Vec<Entry> {
    let wanted: BTreeSet<u64> = list.iter().copied().collect();
    let is_wanted =
        |entry: &&Entry| entry.key.class == NullClass::Value && wanted.contains(&entry.key.code);
    case.entries.iter().filter(is_wanted).copied().collect()
}

/// A scan moved, reversed, marked and restored at random, against a position in a vector.
fn walk_range(case: &Case, low: Key, high: Key, seed: u64) {
    let inside = case.entries.iter().filter(|entry| low <= entry.key && entry.key <= high);
    walk(case, inside.copied().collect(), seed, |scan| set(scan, low, high));
}

fn walk_list(case: &Case, list: &[u64], seed: u64) {
    let keys = || list.iter().map(|&code| Key::value(code));
    walk(case, matches_of(case, list), seed, |scan| scan.intervals_mut().set_points(keys()));
}

fn walk(case: &Case, inside: Vec<Entry>, seed: u64, set: impl Fn(&mut Scan<Block>)) {
    let mut directory = case.directory();
    let mut scan = Scan::new();
    let guards = [Guard::Nothing, Guard::Pins, Guard::Checks];
    scan.restart(&case.store, guards[(seed % 3) as usize]);
    set(&mut scan);
    let mut random = StdRng::seed_from_u64(seed);
    // The oracle's place: the index of the entry returned last; -1 and len are the ends.
    let len = inside.len() as i64;
    let mut at: Option<i64> = None;
    let mut marked: Option<i64> = None;
    for _ in 0..60 {
        let steps = [1, 3, 100, 2000][random.random_range(0..4)];
        match random.random_range(0..6) {
            0 => {
                scan.mark();
                marked = at;
            }
            1 => {
                scan.restore(&case.store);
                at = marked;
            }
            way => {
                let (direction, step) =
                    if way % 2 == 0 { (Direction::Forward, 1) } else { (Direction::Backward, -1) };
                for _ in 0..steps {
                    let start = if step == 1 { -1 } else { len };
                    at = Some((at.unwrap_or(start) + step).clamp(-1, len));
                    let expected = at
                        .and_then(|at| usize::try_from(at).ok())
                        .and_then(|at| inside.get(at))
                        .copied();
                    let found = scan.next(&case.store, &mut directory, direction).unwrap();
                    assert_eq!(found, expected);
                }
            }
        }
    }
}

#[test]
fn a_scan_that_reverses_and_returns_to_marks_skips_and_repeats_nothing() {
    for (index, (_, values)) in key_sets(5_000).into_iter().enumerate() {
        let case = Case::plain(&values);
        for seed in 0..6 {
            walk_range(&case, Key::MIN, Key::MAX, seed + 10 * index as u64);
            let middle = values.get(values.len() / 2).copied().flatten().unwrap_or(3);
            walk_range(&case, Key::value(0), Key::value(middle), seed);
        }
    }
}

#[test]
fn dead_entries_vanish_and_the_others_stay_whatever_share_dies() {
    for (name, values) in key_sets(30_000) {
        let mut case = Case::plain(&values);
        // A leaf's list, then a page of its own, then more on that page.
        for (pass, one_in) in [(0, 5_000), (1, 700), (2, 9), (3, 2)] {
            let dies =
                |tid: HeapTid| tid.to_u64().wrapping_mul(0x9E37_79B9 + pass).is_multiple_of(one_in);
            let before = case.entries.len();
            let stats = bulk_delete(&case.store, PLAIN, dies, || {}).unwrap();
            case.entries.retain(|entry| !dies(entry.tid));
            assert_eq!(stats.alive, case.entries.len() as u64, "{name}");
            assert_eq!(stats.removed, (before - case.entries.len()) as u64, "{name}");
            let mut alive = 0;
            let report = check(&case.store, true, |_| alive += 1).unwrap();
            assert_eq!(alive, case.entries.len());
            assert_eq!(report.entries, alive as u64 + report.dead);
            assert_eq!(report.lost, 0, "{name}");
            let mut directory = case.directory();
            case.assert_interval(&mut directory, Key::MIN, Key::MAX);
            for code in [3, 5, 1 << 63, (1 << 63) + 9_999] {
                case.assert_interval(&mut directory, Key::value(code), Key::value(code + 2_000));
            }
            walk_range(&case, Key::MIN, Key::MAX, pass);
        }
        let stats = bulk_delete(&case.store, PLAIN, |_| true, || {}).unwrap();
        assert_eq!(stats.alive, 0);
        case.entries.clear();
        case.assert_interval(&mut case.directory(), Key::MIN, Key::MAX);
    }
}

#[test]
fn no_entry_is_lost_where_the_last_leaf_is_unlike_those_before() {
    let hash = |number: u64| {
        let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 1
    };
    let build = |entries: &[(u64, HeapTid)]| {
        let options = BuildOptions { model: ModelChoice::Linear, fillfactor: 100 };
        let mut builder = Builder::new(MemoryStore::new(), identity(false), options);
        entries.iter().for_each(|&(code, tid)| assert!(builder.try_push(code, tid)));
        builder.finish().1
    };
    for (head, tid_bits, jitter) in
        (300..1_500).step_by(60).flat_map(|head| [(head, 10, 2), (head, 14, 64), (head, 20, 1_000)])
    {
        // Random keys, then a dense tail, over a heap in another order.
        let mut codes: Vec<u64> = (0..head).map(hash).collect();
        codes.sort_unstable();
        codes.extend((0..4_000).map(|row| (1 << 63) + row * 1_024 + hash(row) % jitter));
        let entries: Vec<(u64, HeapTid)> = (0u64..)
            .zip(codes)
            .map(|(row, code)| {
                let bits = if row < head { 28 } else { tid_bits };
                let block = (hash(row + 7) & ((1 << bits) - 1)) as u32;
                (code, HeapTid::new(block, 1 + (row % 100) as u16))
            })
            .collect();
        // Around the length at which one more leaf is needed.
        let (mut fits, mut too_long) = (head as usize, entries.len());
        let leaves = build(&entries[..fits]).leaves + 1;
        while too_long - fits > 1 {
            let middle = (fits + too_long) / 2;
            if build(&entries[..middle]).leaves > leaves {
                too_long = middle;
            } else {
                fits = middle;
            }
        }
        for len in fits - 30..(fits + 2).min(entries.len()) {
            assert_eq!(build(&entries[..len]).values, len as u64);
        }
    }
}

#[test]
fn an_abandoned_build_leaves_no_page_behind() {
    let options = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };
    let mut abandoned = Builder::new(MemoryStore::new(), identity(false), options);
    for row in 0..400_000u64 {
        assert!(abandoned.try_push(row * row, HeapTid::new(row as u32, 1)));
    }
    let mut rows = 0;
    let store = abandoned.into_entries(|code, tid| {
        assert_eq!((code, tid), (rows * rows, HeapTid::new(rows as u32, 1)));
        rows += 1;
    });
    let store = store.unwrap();
    assert_eq!(rows, 400_000);
    assert!(store.blocks() > 50);
    let mut builder = Builder::new(store, identity(false), options);
    assert!(builder.try_push(7, HeapTid::new(1, 1)));
    let (store, _) = builder.finish();
    // Vacuum sees every page, not only those that the directory names.
    let stats = bulk_delete(&store, PLAIN, |_| false, || {}).unwrap();
    assert_eq!(stats.alive, 1);
}

#[test]
fn one_page_is_read_for_a_warm_point_lookup() {
    let mut random = StdRng::seed_from_u64(9);
    let values: Vec<Option<u64>> = (0..300_000).map(|_| Some(random.random())).collect();
    let case = Case::plain(&values);
    let mut directory = case.directory();
    let mut scan = Scan::new();
    let mut reads = Vec::new();
    for value in values.iter().take(2_000) {
        let before = case.store.reads();
        scan.restart(&case.store, Guard::Nothing);
        set(&mut scan, Key::value(value.unwrap()), Key::value(value.unwrap()));
        let found = collect(&mut scan, &case.store, &mut directory, Direction::Forward).unwrap();
        assert_eq!(found.iter().map(|entry| Some(entry.key.code)).collect::<Vec<_>>(), [*value]);
        reads.push(case.store.reads() - before);
    }
    assert!(reads[0] <= 2, "a directory page and a leaf: {}", reads[0]);
    assert!(reads[1_000..].iter().all(|&reads| reads == 1));
}

#[test]
fn a_damaged_page_is_an_error_and_never_a_wrong_answer() {
    let mut random = StdRng::seed_from_u64(13);
    let values: Vec<Option<u64>> = (0..20_000)
        .map(|row| (row % 50 != 0).then(|| row * 10 + random.random_range(0..10)))
        .collect();
    let mut whole = Case::plain(&values);
    let mut errors = 0;
    for round in 0..600 {
        // Nothing dead, then lists of dead slots, then maps of them.
        if round == 200 || round == 400 {
            let one_in = if round == 200 { 2_000 } else { 3 };
            let dies = |tid: HeapTid| tid.to_u64().is_multiple_of(one_in);
            bulk_delete(&whole.store, PLAIN, dies, || {}).unwrap();
            whole.entries.retain(|entry| !dies(entry.tid));
        }
        let store = whole.store.clone();
        let block = random.random_range(0..store.blocks());
        store.damage(block, |page| match round % 3 {
            0 => page.fill(0),
            1 => random.fill(&mut page[..]),
            _ => {
                // Behind PostgreSQL's header, which is not this crate's to check.
                let at = random.random_range(24..page.len());
                page[at] ^= 1 << random.random_range(0..8);
            }
        });
        let damaged = || -> Result<Vec<Entry>> {
            let mut directory = Directory::open(&store, 1 << 20)?;
            let mut scan = Scan::new();
            for code in [0, 77, 100_000] {
                scan.restart(&store, Guard::Nothing);
                set(&mut scan, Key::value(code), Key::value(code));
                collect(&mut scan, &store, &mut directory, Direction::Forward)?;
            }
            scan.restart(&store, Guard::Nothing);
            set(&mut scan, Key::MIN, Key::MAX);
            collect(&mut scan, &store, &mut directory, Direction::Forward)
        };
        match damaged() {
            Ok(found) => assert_eq!(found, whole.entries.iter().copied().collect::<Vec<_>>()),
            Err(_) => errors += 1,
        }
        let _ = check(&store, true, |_| {});
        let _ = bulk_delete(&store, PLAIN, |_| false, || {});
    }
    assert!(errors > 300, "{errors} of 600 faults were seen");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_values_in_any_order_are_found(
        values in prop::collection::vec(
            prop_oneof![Just(None), any::<u64>().prop_map(Some), (0u64..40).prop_map(Some)],
            0..3_000,
        ),
        nulls_first in any::<bool>(),
        fillfactor in 10u32..=100,
        rows_per_block in 1u64..300,
        model in 0usize..5,
        bounds in prop::collection::vec((any::<u64>(), any::<u64>()), 10),
    ) {
        let options = BuildOptions { model: MODELS[model], fillfactor };
        let case = Case::build(&values, rows_per_block, nulls_first, options, 64 * 1024);
        check(&case.store, true, |_| {}).unwrap();
        let mut directory = case.directory();
        case.assert_interval(&mut directory, Key::MIN, Key::MAX);
        for (low, high) in bounds {
            case.assert_interval(&mut directory, Key::value(low), Key::value(high));
            case.assert_interval(&mut directory, Key::value(low % 40), Key::value(high % 40));
        }
    }
}
