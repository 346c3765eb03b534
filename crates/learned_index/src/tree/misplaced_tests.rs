//! A whole and sealed page in the place of another, as a disk that mixes up blocks leaves it: an
//! error, or the right answer. And an error that tells no key: the user who gets it may not be
//! allowed to read the rows.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::attempt::settled;
use super::build::{BuildOptions, Builder};
use super::delta::{insert, insert_unique};
use super::directory::Directory;
use super::merge::{Limits, merge_step};
use super::scan::{Direction, Guard, Scan};
use super::vacuum::bulk_delete;
use crate::corruption::Result;
use crate::entry::{Entry, HeapTid};
use crate::key::Key;
use crate::model::ModelChoice;
use crate::page::delta::{self, Child, Head, Span};
use crate::page::meta::KeyColumn;
use crate::page::meta::{self, Identity};
use crate::store::Store;
use crate::store::memory::MemoryStore;

const OPTIONS: BuildOptions = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };
/// Codes lie from here on: no other number of an index is that large.
const FIRST_CODE: u64 = 1 << 60;
const BUILT: u64 = 30_000;

/// A row of an index, of which there are several.
fn entry_of(index: u64, row: u64) -> Entry {
    // Not on a line, so that there are many leaves.
    let mixed = row.wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ (index << 9));
    let code = FIRST_CODE + row * 1_000_000 + mixed % 1_000_000;
    Entry { key: Key::value(code), tid: HeapTid::new((row / 50) as u32, (row % 50) as u16 + 1) }
}

fn entry(row: u64) -> Entry {
    entry_of(0, row)
}

/// An index with leaves and a delta tree of several pages.
fn index(number: u64) -> (MemoryStore, BTreeSet<Entry>) {
    let entry = |row| entry_of(number, row);
    let identity = Identity::of_column((number + 5) << 20, KeyColumn::ascending(1));
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
    read_all_in(store, &mut Directory::open(store, 1 << 20)?, direction)
}

fn read_all_in(
    store: &MemoryStore,
    directory: &mut Directory,
    direction: Direction,
) -> Result<Vec<Entry>> {
    let mut scan = Scan::new();
    scan.restart(store, Guard::Nothing);
    scan.intervals_mut().set(Key::MIN, Key::MAX);
    let mut found = Vec::new();
    while let Some(entry) = scan.next(store, directory, direction)? {
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

/// Puts pages of `source` into an index, one at a time, at places so far from their own. What
/// is done with the index fails, and tells no key, or is right. Returns how often it failed.
fn misplace(source: &MemoryStore, distances: &[u32]) -> usize {
    let (whole, entries) = index(0);
    let entries: Vec<Entry> = entries.into_iter().collect();
    let mut backward = entries.clone();
    backward.reverse();
    let mut errors = 0;
    for place in 0..whole.blocks() {
        for distance in distances {
            let other = (place + distance) % source.blocks();
            let swapped = || {
                let store = whole.clone();
                let page = *source.read(other, 0);
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
                if let Some(found) = corruption.number() {
                    let last = FIRST_CODE + BUILT * 1_000_000;
                    assert!(!(FIRST_CODE..=last).contains(&found), "a key: {corruption}");
                }
            }
            errors += failed.len();
        }
    }
    errors
}

#[test]
fn a_page_in_the_place_of_another_is_an_error_that_tells_no_key_or_changes_no_answer() {
    let (source, _) = index(0);
    let errors = misplace(&source, &[1, 2, 5, 11, source.blocks() / 2]);
    assert!(errors > 400, "only {errors} errors");
}

#[test]
fn a_page_of_another_index_is_an_error_that_tells_no_key_or_changes_no_answer() {
    let (source, _) = index(1);
    let errors = misplace(&source, &[0, 1, 3, source.blocks() - 1]);
    assert!(errors > 300, "only {errors} errors");
}

/// The root of a delta tree, with a change to its children.
fn forge_root(whole: &MemoryStore, change: impl Fn(&mut Vec<Child>)) -> MemoryStore {
    let tree = Directory::open(whole, 1 << 24).unwrap().state().active.unwrap();
    let page = whole.read(tree.root, 0);
    let head = Head::parse(&page, tree.name, tree.root).unwrap();
    let node = head.of(&page);
    let mut children = node.children();
    assert!(node.level() > 0 && children.len() > 2);
    change(&mut children);
    let forged = delta::inner(tree.name, node.span(), node.level(), &children);
    let store = whole.clone();
    store.damage(tree.root, |bytes| *bytes = forged);
    store
}

#[test]
fn a_root_without_its_first_child_is_an_error() {
    let (whole, _) = index(0);
    let forged = forge_root(&whole, |children| children.truncate(children.len() - 1));
    // Its neighbour leads to the last one.
    assert_eq!(read_all(&forged, Direction::Forward).map(|all| all.len()), Ok(BUILT as usize));
    let forged = forge_root(&whole, |children| *children = children.split_off(1));
    let answers = [Direction::Forward, Direction::Backward].map(|way| read_all(&forged, way));
    assert!(answers.iter().all(Result::is_err));
    assert!(write(&forged).is_err());
}

/// The state says which leaves have values: the model is asked about these.
#[test]
fn leaves_of_values_said_to_be_leaves_of_nulls_are_an_error() {
    let (whole, _) = index(0);
    let mut directory = Directory::open(&whole, 1 << 24).unwrap();
    settled(directory.load_all(&whole)).unwrap();
    let mut state = *directory.state();
    assert!(state.has_delta() && state.leaves > 4);
    state.null_leaves = state.leaves / 2;
    let forged = meta::encode(directory.identity(), &state);
    whole.damage(0, |bytes| *bytes = forged);
    let mut directory = Directory::open(&whole, 1 << 24).unwrap();
    settled(directory.load_all(&whole)).unwrap();
    for direction in [Direction::Forward, Direction::Backward] {
        assert!(read_all_in(&whole, &mut directory, direction).is_err());
    }
}

/// Each reader takes a root that it did not expect at a level for one that has grown, and starts
/// anew.
#[test]
fn a_root_that_refers_to_itself_is_an_error() {
    let (whole, _) = index(0);
    let tree = Directory::open(&whole, 1 << 24).unwrap().state().active.unwrap();
    let (span, level, children) = {
        let page = whole.read(tree.root, 0);
        let head = Head::parse(&page, tree.name, tree.root).unwrap();
        let node = head.of(&page);
        let span = Span { low: node.low(), high: node.high(), right: node.right() };
        (span, node.level(), node.children())
    };
    assert!(level > 0 && children.len() > 2);
    let itself = |child: &Child| Child { block: tree.root, ..*child };
    let mut forged = Vec::new();
    for at in 0..children.len() {
        let mut children = children.clone();
        children[at] = itself(&children[at]);
        for level in [level, level + 1, level + 3] {
            forged.push(delta::inner(tree.name, span, level, &children));
        }
    }
    for page in forged {
        let store = whole.clone();
        store.damage(tree.root, |bytes| *bytes = page);
        let answers = [Direction::Forward, Direction::Backward].map(|way| read_all(&store, way));
        assert!(answers.iter().all(Result::is_err));
        assert!(write(&store).is_err());
        let merged = (0..50).try_for_each(|_| {
            merge_step(&store, OPTIONS, Limits::for_leaves(100), 1, &mut Vec::new()).map(drop)
        });
        assert!(merged.is_err());
    }
}
