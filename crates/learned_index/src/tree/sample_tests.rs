//! Samples against the keys that are there.

use super::build::BuildOptions;
use super::delta::insert;
use super::directory::Directory;
use super::merge::{Limits, Step, merge_step};
use super::sample::{SampledKey, sample};
use super::stats::stats;
use super::stats_tests::{built, uneven};
use super::vacuum::bulk_delete;
use crate::entry::{Entry, HeapTid};
use crate::key::{Interval, Key, Sample};
use crate::model::ModelChoice;
use crate::store::memory::MemoryStore;

const OPTIONS: BuildOptions = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };

/// Asserts that a sample of an interval tells the share of its keys up to each one, give or take.
fn assert_tells<C: Sample>(store: &MemoryStore<C>, keys: &[u64], (low, high): (u64, u64)) {
    let mut directory = Directory::open(store, 1 << 24).unwrap();
    let interval = Interval::values(C::of(low), C::of(high));
    let sampled = sample(store, &mut directory, &interval).unwrap();
    let mut there: Vec<C> =
        keys.iter().filter(|key| (low..=high).contains(key)).map(|key| C::of(*key)).collect();
    there.sort_unstable();
    assert!(sampled.is_sorted_by_key(|key| key.code));
    assert!(sampled.iter().all(|key| there.binary_search(&key.code).is_ok()), "keys of others");
    assert_eq!(sampled.last().map(|key| key.code), there.last().copied());
    let mut told = 0.0;
    let all = there.len() as f64;
    for SampledKey { code, entries, .. } in &sampled {
        told += entries;
        let exact = there.partition_point(|key| key <= code) as f64;
        assert!((told - exact).abs() <= 0.03 * all + 2.0, "{told} told, {exact} of {all}");
    }
    assert!((told - all).abs() <= 0.03 * all, "{told} of {all} told");
}

fn add<C: Sample>(store: &MemoryStore<C>, keys: impl Iterator<Item = u64>, all: &mut Vec<u64>) {
    let mut directory = Directory::open(store, 1 << 24).unwrap();
    for (row, key) in (0u64..).zip(keys) {
        let tid = HeapTid::new(100_000 + (row / 100) as u32, (row % 100) as u16 + 1);
        insert(store, &mut directory, Entry { key: Key::value(C::of(key)), tid }).unwrap();
        all.push(key);
    }
}

fn a_sample_tells_how_keys_are_distributed<C: Sample>() {
    let mut keys = uneven(400_000);
    let (store, greatest) = (built::<C>(ModelChoice::Auto, &keys), *keys.last().unwrap());
    let ranges = [(0, u64::MAX >> 8), (greatest / 3, greatest / 2), (greatest - 1_000, greatest)];
    ranges.iter().for_each(|range| assert_tells(&store, &keys, *range));
    // Rows behind all others, which wait to be merged, then half of them merged.
    add(&store, (0..60_000).map(|row| greatest + 1 + row * 7), &mut keys);
    let behind = (greatest + 1, u64::MAX >> 8);
    ranges.iter().chain([&behind]).for_each(|range| assert_tells(&store, &keys, *range));
    let limits = Limits { leaves: 4, entries: 10_000 };
    for _ in 0..3 {
        let step = merge_step(&store, OPTIONS, limits, 1, &mut Vec::new()).unwrap();
        assert!(matches!(step, Step::Published { .. }));
        assert_tells(&store, &keys, behind);
    }
    assert!(stats(&store).unwrap().merging, "the merge has ended");
}

#[test]
fn a_sample_tells_how_keys_of_one_word_are_distributed() {
    a_sample_tells_how_keys_are_distributed::<u64>();
}

#[test]
fn a_sample_tells_how_keys_of_several_words_are_distributed() {
    a_sample_tells_how_keys_are_distributed::<[u64; 2]>();
}

#[test]
fn a_sample_leaves_dead_entries_out() {
    let keys = uneven(100_000);
    let store: MemoryStore = built(ModelChoice::Auto, &keys);
    // The rows of the first two thirds, and of the last one every third.
    let is_dead = |tid: HeapTid| {
        let row = tid.block() * 100 + u32::from(tid.offset()) - 1;
        row < 66_000 || row.is_multiple_of(3)
    };
    bulk_delete(&store, OPTIONS, is_dead, || ()).unwrap();
    let row = |row: usize| row < 66_000 || row.is_multiple_of(3);
    let living: Vec<u64> =
        (0..).zip(&keys).filter(|(at, _)| !row(*at)).map(|(_, key)| *key).collect();
    assert_tells(&store, &living, (0, u64::MAX >> 8));
}

#[test]
fn of_an_empty_index_nothing_is_sampled() {
    let store: MemoryStore = built(ModelChoice::Auto, &[]);
    let mut directory = Directory::open(&store, 1 << 24).unwrap();
    assert_eq!(sample(&store, &mut directory, &Interval::VALUES).unwrap(), []);
}
