//! Codecs: a block's encoding, random access, lower bound and decoding in full, with the bits that
//! a value takes.
//!
//! `cargo bench -p learned_index --bench codecs [-- --quick]`
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../tests/distributions/mod.rs"]
mod distributions;
#[allow(dead_code)]
mod paired;
mod settings;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use learned_index::codec::{Sequence, SequencePlan};
use learned_index::entry::HeapTid;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use paired::{LOOKUPS, chained, picked};
use settings::{is_measuring, settings};

/// Values in a block.
const BLOCK: usize = 1024;
/// Keys that a block is taken from.
const KEYS: usize = 1_000_000;
/// Rows in a heap page.
const ROWS: u64 = 100;

/// One block of values, and whether they ascend.
struct Block {
    name: String,
    values: Vec<u64>,
    ascends: bool,
}

impl Block {
    fn new(name: &str, values: Vec<u64>) -> Block {
        Block { name: name.to_owned(), ascends: values.is_sorted(), values }
    }
}

/// Neighbours from the middle of each distribution, and heap TIDs.
fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = distributions::NAMES
        .into_iter()
        .map(|name| {
            let keys = distributions::fences(name, KEYS, 1);
            Block::new(name, keys[KEYS / 2..][..BLOCK].to_vec())
        })
        .collect();
    // As stored: block * stride + offset - 1.
    let tid = |row: u64| {
        let tid = HeapTid::new((row / ROWS) as u32, (row % ROWS) as u16 + 1);
        u64::from(tid.block()) * ROWS + u64::from(tid.offset()) - 1
    };
    let mut rows: Vec<u64> = (0..KEYS as u64).map(tid).collect();
    blocks.push(Block::new("ten of a key", (0..BLOCK as u64).map(|i| i / 10 * 7_919).collect()));
    blocks.push(Block::new("heap TIDs in order", rows[KEYS / 2..][..BLOCK].to_vec()));
    rows.shuffle(&mut StdRng::seed_from_u64(2));
    blocks.push(Block::new("heap TIDs at random", rows[..BLOCK].to_vec()));
    blocks
}

fn codecs(criterion: &mut Criterion) {
    let blocks = blocks();
    if is_measuring() {
        println!("| {BLOCK} values | form | bits a value |\n|---|---|---:|");
        for Block { name, values, .. } in &blocks {
            let plan = SequencePlan::of(values);
            let bits = plan.byte_len() as f64 * 8.0 / BLOCK as f64;
            println!("| {name} | {} | {bits:.2} |", plan.form());
        }
    }
    for Block { name, values, ascends } in &blocks {
        let plan = SequencePlan::of(values);
        let mut bytes = Vec::new();
        plan.write(values, &mut bytes);
        let (sequence, _) = Sequence::parse(&bytes, BLOCK).unwrap();
        let mut rng = StdRng::seed_from_u64(3);
        let places: Vec<u64> = (0..LOOKUPS).map(|_| rng.random_range(0..BLOCK as u64)).collect();
        let mut group = criterion.benchmark_group(format!("{}/{name}", plan.form()));
        group.throughput(Throughput::Elements(BLOCK as u64));
        group.bench_function("encode", |bench| {
            let mut out = Vec::new();
            bench.iter(|| {
                out.clear();
                SequencePlan::of(values).write(values, &mut out);
            });
        });
        group.bench_function("decode", |bench| {
            let mut out = vec![0; BLOCK];
            bench.iter(|| sequence.decode(0, std::hint::black_box(&mut out)));
        });
        group.throughput(Throughput::Elements(LOOKUPS as u64));
        group.bench_function("random access", |bench| {
            bench.iter(|| chained(&places, |place| sequence.get(place as usize) as usize));
        });
        if *ascends {
            let targets = picked(values, LOOKUPS);
            group.bench_function("lower bound", |bench| {
                bench.iter(|| chained(&targets, |target| sequence.lower_bound(target)));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = settings(20, 400);
    targets = codecs
}
criterion_main!(benches);
