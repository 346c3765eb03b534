//! Whatever is done with however little memory: it succeeds, or it raises [`OutOfMemory`] and
//! leaves an index that is whole. A large allocation that is not expected to fail would end this
//! process instead.
#![allow(clippy::unwrap_used)]

mod allocator;

use std::collections::{BTreeMap, BTreeSet};

use allocator::{measured, with_at_most};
use learned_index::entry::{Block, Entry, Fence, HeapTid};
use learned_index::key::{Interval, Intervals, Key, NullClass};
use learned_index::memory::OutOfMemory;
use learned_index::model::{Model, ModelChoice};
use learned_index::page::meta::{Identity, KeyColumn};
use learned_index::sort::Spill;
use learned_index::store::memory::MemoryStore;
use learned_index::tree::build::BuildOptions;
use learned_index::tree::check::check;
use learned_index::tree::delta::insert;
use learned_index::tree::directory::Directory;
use learned_index::tree::load::{Loader, Uniqueness};
use learned_index::tree::merge::{Limits, Step, merge_step};
use learned_index::tree::scan::{Direction, Guard, Scan};
use learned_index::tree::vacuum::bulk_delete;

/// Few entries a leaf: many leaves.
const OPTIONS: BuildOptions = BuildOptions { model: ModelChoice::Auto, fillfactor: 10 };
const IDENTITY: Identity = Identity::of_column(3, KeyColumn::ascending(1));
const ROWS: u64 = 120_000;

/// Runs in small pieces: they are files, and not what is tested.
#[derive(Default)]
struct Files {
    runs: Vec<Run>,
}

#[derive(Default)]
struct Run {
    pieces: BTreeMap<usize, Box<[u8]>>,
    /// How many have been read.
    read: usize,
}

impl Spill for Files {
    fn create_run(&mut self) -> usize {
        self.runs.push(Run::default());
        self.runs.len() - 1
    }

    fn write(&mut self, run: usize, bytes: &[u8]) {
        let pieces = &mut self.runs[run].pieces;
        let next = pieces.len();
        pieces.extend(bytes.chunks(16).map(Box::from).enumerate().map(|(at, b)| (next + at, b)));
    }

    fn read(&mut self, run: usize, bytes: &mut [u8]) {
        let Run { pieces, read } = &mut self.runs[run];
        for chunk in bytes.chunks_mut(16) {
            chunk.copy_from_slice(&pieces[read]);
            *read += 1;
        }
    }

    fn poll(&mut self) {}
}

/// Tries limits from nothing to more than `most` bytes. `attempt` starts from the same each time,
/// and what it leaves behind is looked at by `inspect`. Returns how often it failed.
fn under_every_limit<S, T>(
    most: isize,
    start: impl Fn() -> S,
    attempt: impl Fn(&mut S) -> T,
    inspect: impl Fn(S, Result<T, OutOfMemory>),
) -> usize {
    const STEPS: isize = 60;
    let mut failed = 0;
    for step in 0..=STEPS {
        let mut state = start();
        let outcome = with_at_most(most * step / (STEPS - 2), || attempt(&mut state));
        failed += usize::from(outcome.is_err());
        inspect(state, outcome);
    }
    assert!(failed > 0, "nothing ever failed");
    assert!(failed <= STEPS as usize, "nothing ever succeeded");
    failed
}

fn code(row: u64) -> u64 {
    row.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 3
}

fn tid(row: u64) -> HeapTid {
    HeapTid::new((row / 50) as u32, (row % 50) as u16 + 1)
}

fn entry(row: u64) -> Entry {
    Entry { key: Key::value(code(row)), tid: tid(row) }
}

fn load(rows: u64, memory: usize, unique: bool) -> MemoryStore {
    let unique = unique.then_some(Uniqueness { nulls_not_distinct: false });
    let mut loader =
        Loader::new(MemoryStore::new(), IDENTITY, OPTIONS, unique, memory, Files::default);
    for row in 0..rows {
        // Some dead rows, and some NULLs, for all sorters to be used.
        if row % 10 == 0 {
            loader.push_null(tid(row), true).unwrap();
        } else {
            loader.push(code(row), tid(row), row % 3 != 0).unwrap();
        }
    }
    loader.finish().unwrap().0
}

fn loaded(rows: u64) -> BTreeSet<Entry> {
    let null = Key { class: NullClass::NullsLast, code: 0 };
    (0..rows)
        .map(|row| if row % 10 == 0 { Entry { key: null, tid: tid(row) } } else { entry(row) })
        .collect()
}

/// The index is whole, and has these entries and no others.
fn assert_whole(store: &MemoryStore, expected: &BTreeSet<Entry>) {
    let mut seen = Vec::new();
    check(store, true, |entry| seen.push(entry)).unwrap();
    seen.sort();
    let expected: Vec<Fence> = expected.iter().map(|&entry| Fence::at(entry)).collect();
    assert!(seen == expected, "{} entries instead of {}", seen.len(), expected.len());
}

#[test]
fn a_build_sorts_in_what_memory_there_is_or_raises() {
    let expected = loaded(ROWS);
    for (memory, unique) in [(64 << 20, false), (64 << 20, true), (0, true)] {
        let (_, most) = measured(|| load(ROWS, memory, unique));
        let attempt = |_: &mut ()| load(ROWS, memory, unique);
        under_every_limit(
            most,
            || (),
            attempt,
            |(), outcome| {
                if let Ok(store) = outcome {
                    assert_whole(&store, &expected);
                }
            },
        );
    }
}

/// An index with leaves, and with delta trees of so many rows.
fn live(frozen: u64) -> (MemoryStore, BTreeSet<Entry>) {
    let store = load(ROWS, 64 << 20, false);
    let mut entries = loaded(ROWS);
    let mut directory = Directory::open(&store, 1 << 24).unwrap();
    for row in (ROWS..ROWS + frozen).map(entry) {
        insert(&store, &mut directory, row).unwrap();
        entries.insert(row);
    }
    (store, entries)
}

fn merge_all(store: &MemoryStore) {
    let mut spare = Vec::new();
    let limits = Limits { leaves: 700, entries: 1 << 18 };
    while merge_step(store, OPTIONS, limits, 1, &mut spare).unwrap() != Step::Idle {}
}

#[test]
fn a_merge_publishes_what_fits_memory_or_raises_and_goes_on_later() {
    let (start, entries) = live(20_000);
    let (_, most) = measured(|| merge_all(&start.clone()));
    under_every_limit(
        most,
        || start.clone(),
        |store| merge_all(store),
        |store, _| {
            assert_whole(&store, &entries);
            merge_all(&store);
            assert_whole(&store, &entries);
        },
    );
}

#[test]
fn vacuum_removes_what_is_dead_or_raises_and_removes_it_later() {
    let (start, entries) = live(20_000);
    let dies = |tid: HeapTid| tid.to_u64() % 4 < 3;
    let alive: BTreeSet<Entry> = entries.iter().filter(|e| !dies(e.tid)).copied().collect();
    let vacuum = |store: &MemoryStore| bulk_delete(store, OPTIONS, dies, || {}).unwrap();
    let (_, most) = measured(|| vacuum(&start.clone()));
    under_every_limit(
        most,
        || start.clone(),
        |store| vacuum(store),
        |store, outcome| {
            if outcome.is_err() {
                let mut seen = BTreeSet::new();
                check(&store, true, |entry| assert!(seen.insert(entry))).unwrap();
                assert!(alive.iter().all(|&entry| seen.contains(&Fence::at(entry))));
            }
            vacuum(&store);
            assert_whole(&store, &alive);
        },
    );
}

/// A session: the index, its directory, and a scan that is used again and again.
struct Session {
    store: MemoryStore,
    directory: Directory,
    scan: Scan<Block>,
    written: usize,
}

fn session(store: &MemoryStore) -> Session {
    let store = store.clone();
    let directory = Directory::open(&store, 1 << 24).unwrap();
    Session { store, directory, scan: Scan::new(), written: 0 }
}

impl Session {
    fn read(&mut self, keys: impl IntoIterator<Item = Key>, direction: Direction) -> Vec<Entry> {
        self.scan.restart(&self.store, Guard::Pins);
        self.scan.intervals_mut().set_points(keys);
        let mut found = Vec::with_capacity(1000);
        while let Some(entry) = self.scan.next(&self.store, &mut self.directory, direction).unwrap()
        {
            found.push(entry);
        }
        found
    }
}

#[test]
fn a_check_finds_the_index_whole_or_raises() {
    let (start, entries) = live(20_000);
    let look = |store: &mut MemoryStore| check(store, true, |_| {}).unwrap();
    let (whole, most) = measured(|| look(&mut start.clone()));
    under_every_limit(
        most,
        || start.clone(),
        look,
        |store, outcome| {
            assert!(outcome.is_err() || outcome == Ok(whole));
            assert_whole(&store, &entries);
        },
    );
}

#[test]
fn a_scan_answers_right_or_raises_and_the_session_goes_on() {
    let (start, _) = live(3_000);
    let wanted = || (0..ROWS).map(|row| Key::value(if row % 200 == 1 { code(row) } else { row }));
    let mut expected: Vec<Entry> = (0..ROWS).filter(|row| row % 200 == 1).map(entry).collect();
    expected.sort();
    for direction in [Direction::Forward, Direction::Backward] {
        let mut ordered = expected.clone();
        if direction == Direction::Backward {
            ordered.reverse();
        }
        let read = |session: &mut Session| session.read(wanted(), direction);
        let (_, most) = measured(|| read(&mut session(&start)));
        under_every_limit(
            most,
            || session(&start),
            read,
            |mut session, outcome| {
                if let Ok(found) = outcome {
                    assert_eq!(found, ordered);
                }
                assert_eq!(read(&mut session), ordered);
            },
        );
    }
}

#[test]
fn an_insert_is_in_or_raises_and_the_session_goes_on() {
    // A delta tree of more leaves than fit a small allocation.
    let (start, entries) = live(400_000);
    let rows = || (ROWS + 400_000..ROWS + 402_000).map(entry);
    let write = |session: &mut Session| {
        for row in rows() {
            insert(&session.store, &mut session.directory, row).unwrap();
            session.written += 1;
        }
    };
    let (_, most) = measured(|| write(&mut session(&start)));
    under_every_limit(
        most,
        || session(&start),
        write,
        |mut session, _| {
            // The one that failed may be in or not; nothing else is lost.
            let mut seen = Vec::new();
            check(&session.store, true, |entry| seen.push(entry)).unwrap();
            seen.sort();
            let mut inserted = entries.clone();
            inserted.extend(rows().take(session.written));
            let failed = seen.len() - inserted.len();
            inserted.extend(rows().skip(session.written).take(failed));
            assert!(failed <= 1 && seen.into_iter().eq(inserted.into_iter().map(Fence::at)));
            let next = entry(ROWS + 500_000);
            insert(&session.store, &mut session.directory, next).unwrap();
            assert_eq!(session.read([next.key], Direction::Forward), [next]);
        },
    );
}

#[test]
fn a_model_is_trained_and_read_within_the_memory_that_was_asked_for_or_raises() {
    // The step, the run of equal fences, the noise: what makes few lines, and many.
    for (name, gap) in [
        ("even", (|_| 1_000) as fn(u64) -> u64),
        ("square", |i| 2 * i),
        ("equal", |i| u64::from(i % 64 == 0) << 40),
        ("uneven", |i| 1 << (code(i) % 40)),
    ] {
        let ascend = |fence: &mut u64, i| {
            *fence += gap(i);
            Some(*fence)
        };
        let fences: Vec<u64> = (0..100_000).scan(0, ascend).collect();
        let choices = [
            ModelChoice::Auto,
            ModelChoice::Linear,
            ModelChoice::Rmi,
            ModelChoice::Pgm,
            ModelChoice::RadixSpline,
        ];
        for choice in choices {
            let train = |_: &mut ()| {
                let model = Model::train(choice, &fences);
                let again = model.retrain(&fences, &(fences[40_000]..=fences[60_000]));
                let bytes = again.to_bytes();
                (Model::from_bytes(&bytes).unwrap(), bytes.len())
            };
            let ((model, _), most) = measured(|| train(&mut ()));
            under_every_limit(
                most,
                || (),
                train,
                |(), outcome| {
                    if let Ok((trained, _)) = outcome {
                        assert!(trained == model, "another model of {name} fences");
                    }
                },
            );
        }
    }
}

#[test]
fn a_set_of_intervals_is_made_or_raises() {
    let intervals = |step: u64| {
        let point =
            move |i: u64| Interval { low: Key::value(i * step), high: Key::value(i * step) };
        (0..30_000).map(point)
    };
    let intersect = |_: &mut ()| {
        let (mut one, mut other) = (Intervals::new(), Intervals::new());
        one.set_union(intervals(6));
        other.set_union(intervals(4));
        one.intersect_all(&other);
        one.as_slice().len()
    };
    let (_, most) = measured(|| intersect(&mut ()));
    under_every_limit(
        most,
        || (),
        intersect,
        |(), outcome| {
            assert!(outcome.is_err() || outcome == Ok(10_000));
        },
    );
}
