//! A whole and sealed page in the place of another, as a disk that mixes up blocks leaves it: an error, or
//! the right answer. And an error that tells no key: whoever gets it may not be allowed to read the rows.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::build::{BuildOptions, Builder};
use super::delta::{insert, insert_unique};
use super::directory::Directory;
use super::merge::{Limits, merge_step};
use super::scan::{Direction, Scan};
use super::vacuum::bulk_delete;
use crate::corruption::Result;
use crate::entry::{Entry, HeapTid};
use crate::key::Key;
use crate::model::ModelChoice;
use crate::page::meta::Identity;
use crate::store::Store;
use crate::store::memory::MemoryStore;

const OPTIONS: BuildOptions = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };
/// Codes lie from here on: no other number of an index is that large.
const FIRST_CODE: u64 = 1 << 60;
const BUILT: u64 = 30_000;

fn entry(row: u64) -> Entry {
    // Not on a line, so that there are many leaves.
    let code = FIRST_CODE + row * 1_000_000 + row.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 1_000_000;
    Entry { key: Key::value(code), tid: HeapTid::new((row / 50) as u32, (row % 50) as u16 + 1) }
}

/// An index with leaves and a delta tree of several pages.
fn index() -> (MemoryStore, BTreeSet<Entry>) {
    let identity = Identity { incarnation: 5, key_type: 1, descending: false, nulls_first: false };
    let mut builder = Builder::new(MemoryStore::new(), identity, OPTIONS);
    let mut entries = BTreeSet::new();
    for row in (0..BUILT).filter(|row| row % 10 != 0) {
        assert!(builder.try_push(entry(row).key.code, entry(row).tid));
        entries.insert(entry(row));
    }
    let (store, _) = builder.finish();
    let mut directory = Directory::open(&store, 1 << 24).unwrap();
    for row in (0..BUILT).step_by(10) {
        insert(&store, &mut directory, entry(row)).unwrap();
        entries.insert(entry(row));
    }
    (store, entries)
}

fn read_all(store: &MemoryStore, direction: Direction) -> Result<Vec<Entry>> {
    let mut directory = Directory::open(store, 1 << 20)?;
    let mut scan = Scan::new();
    scan.restart(store, false);
    scan.intervals_mut().set(Key::MIN, Key::MAX);
    let mut found = Vec::new();
    while let Some(entry) = scan.next(store, &mut directory, direction)? {
        found.push(entry);
    }
    Ok(found)
}

fn write(store: &MemoryStore) -> Result<()> {
    let mut directory = Directory::open(store, 1 << 20)?;
    for row in (0..BUILT).step_by(300) {
        let new = Entry { tid: HeapTid::new(1_000_000, 1), ..entry(row) };
        insert(store, &mut directory, new)?;
        let look = |_| ControlFlow::<()>::Continue(());
        insert_unique(store, &mut directory, new, false, look)?;
    }
    Ok(())
}

#[test]
fn a_page_in_the_place_of_another_is_an_error_that_tells_no_key_or_changes_no_answer() {
    let (whole, entries) = index();
    let entries: Vec<Entry> = entries.into_iter().collect();
    let mut backward = entries.clone();
    backward.reverse();
    let mut errors = 0;
    for place in 0..whole.blocks() {
        for other in [1, 2, 5, 11, whole.blocks() / 2] {
            let other = (place + other) % whole.blocks();
            let swapped = || {
                let store = whole.clone();
                let page = *whole.read(other, 0);
                store.damage(place, |bytes| *bytes = page);
                store
            };
            let store = swapped();
            let mut failed = Vec::new();
            for (direction, expected) in
                [(Direction::Forward, &entries), (Direction::Backward, &backward)]
            {
                match read_all(&store, direction) {
                    Ok(found) => assert!(&found == expected, "{other} instead of {place}"),
                    Err(corruption) => failed.push(corruption),
                }
            }
            failed.extend(write(&swapped()).err());
            let store = swapped();
            let merged = (0..50).try_for_each(|_| {
                merge_step(&store, OPTIONS, Limits::for_leaves(100), 1, &mut Vec::new()).map(drop)
            });
            failed.extend(merged.err());
            failed.extend(bulk_delete(&swapped(), OPTIONS, |_| false, || {}).err());
            for corruption in &failed {
                let found = corruption.found;
                let last = FIRST_CODE + BUILT * 1_000_000;
                assert!(!(FIRST_CODE..=last).contains(&found), "a key: {corruption}");
            }
            errors += failed.len();
        }
    }
    assert!(errors > 400, "only {errors} errors");
}
