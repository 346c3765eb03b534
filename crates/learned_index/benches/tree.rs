//! The whole tree over the store in memory: building, lookups, ranges and merging, against a
//! `BTreeMap` of the same rows.
//!
//! `cargo bench -p learned_index --bench tree [-- --quick]`. The store in memory copies each page
//! of 8 KiB that is read; PostgreSQL's buffers do not.
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
#[path = "../tests/distributions/mod.rs"]
mod distributions;
#[allow(dead_code)]
mod paired;
mod settings;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use learned_index::entry::{Block, Entry, Fence, HeapTid};
use learned_index::key::Key;
use learned_index::model::{Model, ModelChoice, ModelKind};
use learned_index::page::directory::{self, Child};
use learned_index::page::meta::{self, Identity, KeyColumn, State};
use learned_index::page::{PAGE_SIZE, blob};
use learned_index::sort::MemorySpill;
use learned_index::store::memory::MemoryStore;
use learned_index::store::{BulkStore, Store, Update};
use learned_index::tree::build::BuildOptions;
use learned_index::tree::delta::insert;
use learned_index::tree::directory::{Directory, read_meta};
use learned_index::tree::load::Loader;
use learned_index::tree::merge::{Limits, Step, merge_step};
use learned_index::tree::scan::{Direction, Guard, Scan};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use paired::{LOOKUPS, chained, picked};
use settings::{is_measuring, settings};

const ROWS: usize = 1_000_000;
const NAMES: [&str; 5] = ["serial", "timestamps", "lognormal", "uniform62", "clusters"];
const OPTIONS: BuildOptions = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };
/// What a session may keep of an index, and what sorting may use, in bytes.
const MEMORY: usize = 64 << 20;

/// The TID of a row, a hundred to a heap page.
fn tid(row: usize) -> HeapTid {
    HeapTid::new((row / 100) as u32, (row % 100) as u16 + 1)
}

fn build(codes: &[u64]) -> MemoryStore {
    let identity = Identity::of_column(1, KeyColumn::ascending(1));
    let mut loader =
        Loader::new(MemoryStore::new(), identity, OPTIONS, None, MEMORY, MemorySpill::default);
    for (row, code) in codes.iter().enumerate() {
        loader.push(*code, tid(row), true).unwrap();
    }
    loader.finish().unwrap().0
}

/// Loaded in bulk, as collecting does: that is the counterpart of a build.
fn map_of(codes: &[u64]) -> Map {
    codes.iter().enumerate().map(|(row, code)| ((*code, tid(row)), ())).collect()
}

fn building(criterion: &mut Criterion) {
    let mut keys = distributions::fences("uniform62", ROWS, 1);
    let in_order = keys.clone();
    keys.shuffle(&mut StdRng::seed_from_u64(2));
    let mut group = criterion.benchmark_group(format!("build {ROWS} rows"));
    group.throughput(Throughput::Elements(ROWS as u64)).sampling_mode(SamplingMode::Flat);
    for (order, keys) in [("in order", &in_order), ("at random", &keys)] {
        group.bench_function(order, |bench| bench.iter(|| build(keys)));
        group.bench_function(format!("{order}, BTreeMap"), |bench| bench.iter(|| map_of(keys)));
    }
    group.finish();
}

/// An index, what a session knows of it, and a scan that is used again and again.
struct Session {
    store: MemoryStore,
    directory: Directory,
    scan: Scan<Block>,
}

impl Session {
    fn new(store: MemoryStore) -> Session {
        let directory = Directory::open(&store, MEMORY).unwrap();
        Session { store, directory, scan: Scan::new() }
    }

    /// Reads the rows from a code on, at most so many, of those up to another code.
    #[inline]
    fn range(&mut self, low: u64, high: u64, most: usize) -> usize {
        self.scan.restart(&self.store, Guard::Nothing);
        self.scan.intervals_mut().set(Key::value(low), Key::value(high));
        let (mut found, mut read) = (0, 0);
        while found < most
            && let Some(entry) =
                self.scan.next(&self.store, &mut self.directory, Direction::Forward).unwrap()
        {
            found += 1;
            read ^= entry.key.code ^ entry.tid.to_u64();
        }
        read as usize
    }
}

type Map = BTreeMap<(u64, HeapTid), ()>;

/// The same of a map: every row is read, not only counted.
#[inline]
fn range_of(map: &Map, low: u64, high: u64, most: usize) -> usize {
    let rows = map.range((low, HeapTid::MIN)..).take_while(|((code, _), ())| *code <= high);
    rows.take(most).fold(0, |read, ((code, tid), ())| read ^ code ^ tid.to_u64()) as usize
}

fn reading(criterion: &mut Criterion) {
    for name in NAMES {
        let keys = distributions::fences(name, ROWS, 1);
        let mut session = Session::new(build(&keys));
        let map = map_of(&keys);
        let codes = picked(&keys, LOOKUPS);
        if is_measuring() {
            let bytes = session.store.blocks() as usize * PAGE_SIZE;
            println!("{name}: {:.2} bytes a row", bytes as f64 / ROWS as f64);
        }
        for code in &codes[..100] {
            assert_eq!(
                session.range(*code, u64::MAX, 1_000),
                range_of(&map, *code, u64::MAX, 1_000)
            );
        }
        let mut group = criterion.benchmark_group(format!("read {name}"));
        group.throughput(Throughput::Elements(LOOKUPS as u64)).sampling_mode(SamplingMode::Flat);
        group.bench_function("lookup", |bench| {
            bench.iter(|| chained(&codes, |code| session.range(code, code, usize::MAX)));
        });
        group.bench_function("lookup, BTreeMap", |bench| {
            bench.iter(|| chained(&codes, |code| range_of(&map, code, code, usize::MAX)));
        });
        for rows in [100usize, 10_000] {
            let starts = &codes[..LOOKUPS / 16 / rows.isqrt()];
            group.throughput(Throughput::Elements((starts.len() * rows) as u64));
            group.bench_function(format!("range of {rows}"), |bench| {
                bench.iter(|| chained(starts, |code| session.range(code, u64::MAX, rows)));
            });
            group.bench_function(format!("range of {rows}, BTreeMap"), |bench| {
                bench.iter(|| chained(starts, |code| range_of(&map, code, u64::MAX, rows)));
            });
        }
        group.finish();
    }
}

/// An index of which 5 percent of the rows wait in the delta tree.
fn with_delta(keys: &[u64], mut fresh: impl FnMut() -> u64) -> MemoryStore {
    let store = build(keys);
    let mut directory = Directory::open(&store, MEMORY).unwrap();
    for row in keys.len()..keys.len() + keys.len() / 20 {
        let entry = Entry { key: Key::value(fresh()), tid: tid(row) };
        insert(&store, &mut directory, entry).unwrap();
    }
    store
}

fn merge(store: &MemoryStore) {
    let limits = Limits::for_leaves(ROWS as u32 / 580);
    let mut spare = Vec::new();
    while let Step::Published { dropped: false, .. } =
        merge_step(store, OPTIONS, limits, 1, &mut spare).unwrap()
    {}
}

fn merging(criterion: &mut Criterion) {
    let keys = distributions::fences("uniform62", ROWS, 1);
    let mut rng = StdRng::seed_from_u64(3);
    let mut last = keys.last().copied().unwrap_or(0);
    let at_random = with_delta(&keys, || rng.random_range(0..1 << 62));
    let at_end = with_delta(&keys, || {
        last += 1_000;
        last
    });
    let codes = picked(&keys, LOOKUPS);
    let mut group = criterion.benchmark_group("5% of the rows unmerged");
    group.sampling_mode(SamplingMode::Flat);
    for (order, store) in [("at random", at_random), ("ascending", at_end)] {
        group.throughput(Throughput::Elements(ROWS as u64 / 20));
        group.bench_function(format!("merge, {order}"), |bench| {
            bench.iter_batched_ref(|| store.clone(), |store| merge(store), BatchSize::PerIteration);
        });
        let mut session = Session::new(store);
        group.throughput(Throughput::Elements(LOOKUPS as u64));
        group.bench_function(format!("lookup, {order}"), |bench| {
            bench.iter(|| chained(&codes, |code| session.range(code, code, usize::MAX)));
        });
    }
    group.finish();
}

/// A directory of `leaves` leaves; the leaf pages themselves are not written.
struct Made {
    store: MemoryStore,
    identity: Identity,
    state: State,
    pages: Vec<(Child, Vec<Child>)>,
    upper: Vec<Block>,
    codes: u64,
}

const LEAVES_A_PAGE: usize = 200;

impl Made {
    fn new(pages: usize) -> Made {
        let store = build(&[]);
        let (identity, state) = read_meta(&store, &mut 0).unwrap();
        let mut made =
            Made { store, identity, state, pages: Vec::new(), upper: Vec::new(), codes: 0 };
        for _ in 0..pages {
            let page = made.page(LEAVES_A_PAGE, None);
            made.pages.push(page);
        }
        let fences: Vec<u64> = (0..made.codes).step_by(1 << 10).collect();
        let model = Model::train(ModelChoice::Linear, &fences).to_bytes();
        let birth = made.state.epoch + 1;
        made.state.model_root = made.store.create(&blob::encode(&model, None, birth));
        made.state.model_len = model.len() as u32;
        (made.state.model_kind, made.state.model_birth) = (ModelKind::Linear as u8, birth);
        made.publish();
        made
    }

    /// A directory page of `leaves` leaves, in the place of another or behind all others.
    fn page(&mut self, leaves: usize, from: Option<Fence>) -> (Child, Vec<Child>) {
        let birth = self.state.epoch + 1;
        let first = from.map_or(self.codes, |low| low.code);
        let child = |leaf: usize| Child {
            low: match first + ((leaf as u64) << 10) {
                0 => Fence::MIN,
                _ if leaf >= LEAVES_A_PAGE => Fence::before(Key::value(
                    first + ((LEAVES_A_PAGE as u64 - 1) << 10) + leaf as u64,
                )),
                code => Fence::before(Key::value(code)),
            },
            block: 1 << 24,
            leaves: 1,
            birth,
        };
        let children: Vec<Child> = (0..leaves).map(child).collect();
        if from.is_none() {
            self.codes += (leaves as u64) << 10;
        }
        (self.write(0, &children), children)
    }

    fn write(&self, level: u16, children: &[Child]) -> Child {
        let birth = self.state.epoch + 1;
        let block = self.store.create(&directory::encode(level, children, birth));
        let leaves = children.iter().map(|child| child.leaves).sum();
        Child { low: children[0].low, block, leaves, birth }
    }

    /// Replaces a hundredth of the pages, as one range of a merge does, by pages of `leaves`
    /// leaves.
    fn replace(&mut self, leaves: usize, at: usize) {
        let count = self.pages.len() / 100;
        let first = at * 7_919 % (self.pages.len() - count);
        for page in first..first + count {
            let old = self.pages[page].0;
            self.pages[page] = self.page(leaves, Some(old.low));
            self.store.free(old.block, |_| true);
        }
        self.publish();
    }

    fn publish(&mut self) {
        let old = std::mem::take(&mut self.upper);
        let mut level: Vec<Child> = self.pages.iter().map(|(page, _)| *page).collect();
        let mut number = 1;
        while level.len() > 1 {
            level = level
                .chunks(directory::capacity::<u64>())
                .map(|group| self.write(number, group))
                .collect();
            self.upper.extend(level.iter().map(|page| page.block));
            number += 1;
        }
        old.into_iter().for_each(|block| self.store.free(block, |_| true));
        self.state.word += 1;
        self.state.epoch += 1;
        (self.state.directory_root, self.state.leaves) = (level[0].block, level[0].leaves);
        self.store.overwrite(0, &meta::encode(&self.identity, &self.state));
    }
}

/// What a session does after another one has published: takes the new directory over.
fn following(criterion: &mut Criterion) {
    let pages = if is_measuring() { 5_000 } else { 200 };
    let mut group = criterion
        .benchmark_group(format!("follow a publish over {} leaves", pages * LEAVES_A_PAGE));
    group.sampling_mode(SamplingMode::Flat);
    for (what, sizes) in [("as many leaves", [200, 200]), ("more and fewer leaves", [201, 200])] {
        let mut made = Made::new(pages);
        let mut session = Directory::open(&made.store, 1 << 30).unwrap();
        let position = Fence::before(Key::value(1));
        for _ in 0..=4 * pages {
            session.route(&made.store, position).unwrap();
        }
        let mut round = 0;
        group.bench_function(what, |bench| {
            bench.iter_custom(|times| {
                let mut taken = Duration::ZERO;
                for _ in 0..times {
                    // Each range twice: first more leaves, then as many as before.
                    made.replace(sizes[round % 2], round / 2);
                    round += 1;
                    let begin = Instant::now();
                    session.refresh(&made.store).unwrap();
                    taken += begin.elapsed();
                }
                taken
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = settings(10, 1_000);
    targets = building, reading, merging, following
}
criterion_main!(benches);
