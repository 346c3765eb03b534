//! Bytes a row of indexes over keys of two words: `(device, time)`, with 10,000 devices whose rows
//! come interleaved, for some ways in which the times come; and random uuids.
//!
//! `cargo run --release -p learned_index --example key_sizes`

use learned_index::entry::HeapTid;
use learned_index::model::ModelChoice;
use learned_index::page::meta::{Identity, KeyColumn};
use learned_index::store::Store;
use learned_index::store::memory::MemoryStore;
use learned_index::tree::build::{BuildOptions, Builder};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const DEVICES: u64 = 10_000;
const ROWS_OF_DEVICE: u64 = 1_000;
/// Microseconds between two rows of a device, on average.
const PERIOD: f64 = 1e7;
const ROWS_OF_PAGE: usize = 157;

type Key = [u64; 2];

/// Rows in the order of the heap: of each its device and its time.
fn rows(random: &mut StdRng, jitter: Option<f64>, unit: u64) -> Vec<Key> {
    let mut rows = Vec::new();
    for device in 0..DEVICES {
        let mut time = random.random_range(0.0..PERIOD);
        let begin = time;
        for row in 0..ROWS_OF_DEVICE {
            time = match jitter {
                Some(jitter) => begin + row as f64 * PERIOD + random.random_range(0.0..jitter),
                None => time - (1.0 - random.random::<f64>()).ln() * PERIOD,
            };
            rows.push([device, time as u64 / unit * unit]);
        }
    }
    rows.sort_unstable_by_key(|&[device, time]| (time, device));
    rows
}

/// Bytes a row of the index.
fn size(rows: &[Key]) -> f64 {
    let tid =
        |row: usize| HeapTid::new((row / ROWS_OF_PAGE) as u32, (row % ROWS_OF_PAGE) as u16 + 1);
    let mut entries: Vec<(Key, HeapTid)> =
        rows.iter().enumerate().map(|(row, &key)| (key, tid(row))).collect();
    entries.sort_unstable();
    let column = KeyColumn::ascending(1);
    let options = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };
    let store: MemoryStore<Key> = MemoryStore::default();
    let mut builder = Builder::new(store, Identity::of_column(1, column), options);
    entries.iter().for_each(|&(key, tid)| assert!(builder.try_push(key, tid), "in order"));
    let (store, _) = builder.finish();
    f64::from(store.blocks()) * 8192.0 / rows.len() as f64
}

fn main() {
    let mut random = StdRng::seed_from_u64(7);
    for (name, jitter) in [("each 10 s, at most 1 s late", Some(1e6)), ("Poisson, mean 10 s", None)]
    {
        for (unit_name, unit) in [("microseconds", 1), ("milliseconds", 1_000)] {
            let rows = rows(&mut random, jitter, unit);
            println!("(device, time), {name}, {unit_name}: {:.2} bytes a row", size(&rows));
        }
    }
    let uuids: Vec<Key> = (0..2_000_000).map(|_| [random.random(), random.random()]).collect();
    println!("uuid, random: {:.2} bytes a row", size(&uuids));
}
