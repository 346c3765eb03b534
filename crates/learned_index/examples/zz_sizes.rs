use learned_index::entry::HeapTid;
use learned_index::model::ModelChoice;
use learned_index::page::meta::{Identity, KeyColumn};
use learned_index::store::Store;
use learned_index::store::memory::MemoryStore;
use learned_index::tree::build::{BuildOptions, Builder};
fn main() {
    let devices = 10_000u64;
    let per = 1000u64;
    let mut seed = 88172645463325252u64;
    let mut rnd = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as f64 / (1u64 << 53) as f64
    };
    for (name, kind, unit) in [
        ("period jitter us", 0, 1u64),
        ("period jitter ms", 0, 1000),
        ("poisson ms", 1, 1000),
        ("poisson us", 1, 1),
    ] {
        let mut rows: Vec<(u64, u64)> = Vec::new(); // ts, device
        for d in 0..devices {
            let mut t = (rnd() * 1e7) as u64;
            for i in 0..per {
                let ts = if kind == 0 {
                    (d * 997 % 10_000_000) + i * 10_000_000 + (rnd() * 1e6) as u64
                } else {
                    t += (-(1.0 - rnd()).ln() * 1e7) as u64;
                    t
                };
                rows.push((ts / unit * unit, d));
            }
        }
        rows.sort_unstable();
        let mut e: Vec<([u64; 2], HeapTid)> = rows
            .iter()
            .enumerate()
            .map(|(i, &(ts, d))| {
                ([d | 1 << 63, ts | 1 << 63], HeapTid::new((i / 157) as u32, (i % 157) as u16 + 1))
            })
            .collect();
        drop(rows);
        e.sort_unstable();
        let id = Identity::of_column(
            5,
            KeyColumn { key_type: 1, descending: false, nulls_first: false },
        );
        let t = std::time::Instant::now();
        let mut b = Builder::new(
            MemoryStore::<[u64; 2]>::default(),
            id,
            BuildOptions { model: ModelChoice::Auto, fillfactor: 100 },
        );
        for (c, tid) in &e {
            b.try_push(*c, *tid);
        }
        let (store, state) = b.finish();
        println!(
            "{name}: {:.2} B/row, {} leaves, model {}, {:?}",
            store.blocks() as f64 * 8192.0 / e.len() as f64,
            state.leaves,
            state.model_kind,
            t.elapsed()
        );
    }
    // uuid v4
    let mut e: Vec<([u64; 2], HeapTid)> = (0..2_000_000u64)
        .map(|i| {
            (
                [
                    (rnd() * 2f64.powi(53)) as u64 ^ ((rnd() * 2f64.powi(53)) as u64) << 11,
                    (rnd() * 2f64.powi(53)) as u64 ^ ((rnd() * 2f64.powi(53)) as u64) << 11,
                ],
                HeapTid::new((i / 157) as u32, (i % 157) as u16 + 1),
            )
        })
        .collect();
    e.sort_unstable();
    let id =
        Identity::of_column(5, KeyColumn { key_type: 1, descending: false, nulls_first: false });
    let mut b = Builder::new(
        MemoryStore::<[u64; 2]>::default(),
        id,
        BuildOptions { model: ModelChoice::Auto, fillfactor: 100 },
    );
    for (c, tid) in &e {
        b.try_push(*c, *tid);
    }
    let (store, _) = b.finish();
    println!("uuid v4: {:.2} B/row", store.blocks() as f64 * 8192.0 / e.len() as f64);
}
