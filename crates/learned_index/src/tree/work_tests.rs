//! What scans say that they have done, against what is asked of the index otherwise.

use super::build::{BuildOptions, Builder};
use super::delta::insert;
use super::directory::Directory;
use super::inspect::predict;
use super::merge::{Limits, Step, merge_step};
use super::scan::{Direction, Guard, Scan, Work};
use super::stats::stats;
use super::stats_tests::{built, uneven};
use crate::entry::{Block, Entry, HeapTid};
use crate::key::Key;
use crate::model::ModelChoice;
use crate::page::meta::{Identity, KeyColumn};
use crate::store::memory::MemoryStore;

/// What scans of a session for these keys do, one after the other, and what they find.
fn looked_up(
    store: &MemoryStore,
    directory: &mut Directory,
    ranges: impl IntoIterator<Item = (u64, u64)>,
) -> (Work, usize) {
    let (mut scan, mut found): (Scan<Block>, _) = (Scan::new(), 0);
    for (low, high) in ranges {
        scan.restart(store, Guard::Nothing);
        scan.intervals_mut().set(Key::value(low), Key::value(high));
        while scan.next(store, directory, Direction::Forward).unwrap().is_some() {
            found += 1;
        }
    }
    (scan.work(), found)
}

/// Inserts keys that are not in the index yet.
fn add(store: &MemoryStore, keys: impl IntoIterator<Item = u64>) {
    let mut directory = Directory::open(store, 1 << 24).unwrap();
    for (row, key) in (0u64..).zip(keys) {
        let tid = HeapTid::new(1_000_000 + (row / 100) as u32, (row % 100) as u16 + 1);
        insert(store, &mut directory, Entry { key: Key::value(key), tid }).unwrap();
    }
}

#[test]
fn leaves_that_the_model_did_not_promise_are_counted_as_it_is_asked_for_them_by_hand() {
    // A line fits them.
    let keys: Vec<u64> = (0..1_200_000).map(|row| 16 * row + row * 7_919 % 7 * 2).collect();
    let options = BuildOptions { model: ModelChoice::Linear, fillfactor: 10 };
    let identity = Identity::of_column(7, KeyColumn::ascending(1));
    let mut builder = Builder::new(MemoryStore::default(), identity, options);
    for (row, &key) in (0u32..).zip(&keys) {
        assert!(builder.try_push(key, HeapTid::new(row / 100, (row % 100) as u16 + 1)));
    }
    let store: MemoryStore = builder.finish().0;
    // The merge adds leaves in the middle that the model does not know of. It trains the model anew
    // only at its end, which this test does not reach.
    let trained = stats(&store).unwrap().leaves;
    let added = keys[600_000..601_200].iter().chain(&keys[1_100_000..1_100_010]);
    add(&store, added.map(|key| key + 1));
    let limits = Limits { leaves: 1, entries: 1 << 18 };
    let step = merge_step(&store, options, limits, 1, &mut Vec::new()).unwrap();
    assert!(matches!(step, Step::Published { merged: 1_200, dropped: false, .. }), "{step:?}");
    println!("{trained} leaves before; {:?}", stats(&store).unwrap());
    assert!(stats(&store).unwrap().leaves > trained + 2);
    let mut directory = Directory::open(&store, 1 << 24).unwrap();
    // At first the session knows no model.
    let (first, found) = looked_up(&store, &mut directory, [(keys[7], keys[7])]);
    let expected = Work { by_directory: 1, ..Work::default() };
    assert_eq!((first, found), (expected, 1));
    looked_up(&store, &mut directory, keys.iter().step_by(100).map(|&key| (key, key)));
    let mut expected = Work::default();
    let asked = || keys.iter().skip(11).step_by(307).copied();
    for key in asked() {
        let answer = predict(&store, &mut directory, Key::value(key)).unwrap().unwrap();
        match answer.is_outside() {
            true => expected.by_search += 1,
            false => expected.by_model += 1,
        }
    }
    let ranges = asked().map(|key| (key, key));
    let (work, found) = looked_up(&store, &mut directory, ranges);
    assert_eq!(found, asked().count());
    println!("{work:?}, {expected:?} expected");
    assert!(work.by_search > 100 && work.by_model > 100, "{work:?}");
    assert_eq!(work, expected);
}

#[test]
fn unmerged_entries_count_once_for_each_scan_that_meets_them_and_leaves_for_each_read() {
    let keys: Vec<u64> = uneven(100_000).iter().map(|key| 2 * key).collect();
    let store: MemoryStore = built(ModelChoice::Auto, &keys);
    add(&store, keys[30_000..31_000].iter().map(|key| key + 1));
    let mut directory = Directory::open(&store, 1 << 24).unwrap();
    let mut work_of =
        |low: usize, high: usize| looked_up(&store, &mut directory, [(keys[low], keys[high])]);
    let (none, found) = work_of(100, 200);
    assert_eq!((none.unmerged, found), (0, 101));
    let (some, found) = work_of(30_500, 30_510);
    assert_eq!((some.unmerged, found), (10, 21));
    let (all, found) = work_of(0, keys.len() - 1);
    assert_eq!((all.unmerged, found), (1_000, 101_000));
    let leaves = u64::from(stats(&store).unwrap().leaves);
    assert!(all.leaves() >= leaves, "{all:?}");
    // A portion has entries of one leaf, and a leaf of thousands makes several portions.
    assert!(all.leaves() < 101_000 / 100, "{all:?}");
}
