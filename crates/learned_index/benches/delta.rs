//! The delta: inserts into one page and into a whole tree, and searches, against a `BTreeMap`.
//!
//! `cargo bench -p learned_index --bench delta [-- --quick]`. The store in memory copies a page
//! when it is read and when it is changed, which is most of what an insert into a tree costs here.
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, unreachable_pub)]

mod settings;

use std::collections::BTreeMap;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use learned_index::entry::{Entry, Fence, HeapTid};
use learned_index::key::Key;
use learned_index::model::ModelChoice;
use learned_index::page::delta::{self, Head, Span, capacity};
use learned_index::page::meta::{Identity, KeyColumn};
use learned_index::page::{PageBytes, apply};
use learned_index::store::memory::MemoryStore;
use learned_index::tree::build::{BuildOptions, Builder};
use learned_index::tree::delta::insert;
use learned_index::tree::directory::Directory;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use settings::settings;

/// The name of the tree that the page is of.
const TREE: u64 = 1;
/// Rows inserted into a tree.
const ROWS: u64 = 10_000;

fn entries(count: u64, mut code: impl FnMut(u64) -> u64) -> Vec<Entry> {
    (0..count)
        .map(|row| {
            let tid = HeapTid::new((row / 100) as u32, (row % 100) as u16 + 1);
            Entry { key: Key::value(code(row)), tid }
        })
        .collect()
}

/// The same rows in two orders.
fn orders(count: u64) -> [(&'static str, Vec<Entry>); 2] {
    let mut rng = StdRng::seed_from_u64(1);
    [
        ("random", entries(count, |_| rng.random_range(0..1 << 40))),
        ("ascending", entries(count, |row| row * 1_000)),
    ]
}

fn append(page: &mut PageBytes, entry: Entry) {
    match Head::parse(page, TREE, 1).unwrap().of(page).append(entry).unwrap() {
        (None, edit) => apply(page, &[edit]),
        (Some(end), edit) => apply(page, &[end, edit]),
    }
}

fn filled(entries: &[Entry]) -> PageBytes {
    let mut page = delta::leaf::<u64>(TREE, Span::ALL, &[]);
    entries.iter().for_each(|entry| append(&mut page, *entry));
    page
}

/// One insert after the other: collecting would sort the rows and load them in bulk.
fn map_of(entries: &[Entry]) -> BTreeMap<u64, HeapTid> {
    let mut map = BTreeMap::new();
    for entry in entries {
        map.insert(entry.key.code, entry.tid);
    }
    map
}

fn page(criterion: &mut Criterion) {
    for (order, entries) in orders(capacity::<u64>() as u64) {
        let mut group =
            criterion.benchmark_group(format!("page of {} rows, {order}", capacity::<u64>()));
        group.throughput(Throughput::Elements(entries.len() as u64));
        group.bench_function("insert", |bench| bench.iter(|| filled(&entries)));
        group.bench_function("insert, BTreeMap", |bench| bench.iter(|| map_of(&entries)));
        let (full, map) = (filled(&entries), map_of(&entries));
        // As a page is after a split: in order, and sealed.
        let mut sorted = entries.clone();
        sorted.sort_unstable();
        let split = delta::leaf(TREE, Span::ALL, &sorted);
        for (label, page) in [("search", &full), ("search, in order", &split)] {
            group.bench_function(label, |bench| {
                let mut found = Vec::new();
                bench.iter(|| {
                    for entry in &entries {
                        found.clear();
                        let head = Head::parse(page, TREE, 1).unwrap();
                        let (low, high) = (Fence::before(entry.key), Fence::after(entry.key));
                        head.of(page).collect(low, high, &mut found).unwrap();
                    }
                    found.len()
                });
            });
        }
        group.bench_function("search, BTreeMap", |bench| {
            bench.iter(|| entries.iter().filter(|row| map.contains_key(&row.key.code)).count());
        });
        group.finish();
    }
}

fn tree(criterion: &mut Criterion) {
    let identity = Identity::of_column(1, KeyColumn::ascending(1));
    let options = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };
    let (empty, _) = Builder::new(MemoryStore::new(), identity, options).finish();
    for (order, entries) in orders(ROWS) {
        let mut group = criterion.benchmark_group(format!("tree of {ROWS} rows, {order}"));
        group.throughput(Throughput::Elements(ROWS));
        group.bench_function("insert", |bench| {
            bench.iter_batched(
                || empty.clone(),
                |store| {
                    let mut directory = Directory::open(&store, 1 << 24).unwrap();
                    for entry in &entries {
                        insert(&store, &mut directory, *entry).unwrap();
                    }
                    store
                },
                BatchSize::LargeInput,
            );
        });
        group.bench_function("insert, BTreeMap", |bench| bench.iter(|| map_of(&entries)));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = settings(20, 800);
    targets = page, tree
}
criterion_main!(benches);
