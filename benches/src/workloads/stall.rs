//! How long a client waits for the insert of a single row while a merge runs beside it.

use std::time::Instant;

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::Result;
use crate::bench::Bench;
use crate::data::DataSet;
use crate::paired::{Side, alternate};
use crate::result::Figure;
use crate::table::copy;

use super::deletes::GROUP;
use super::writes::{Twins, batch_rows, wait_for_worker};

/// Single inserts that are timed.
const INSERTS: usize = 30_000;

/// Milliseconds by which the longest wait may exceed the B-tree's.
const MORE: f64 = 10.0;

/// The waits that are reported, each with the share of waits that are no longer.
const TOLD: [(&str, f64); 3] = [("median", 0.5), ("99.9%", 0.999), ("longest", 1.0)];

/// Adds enough rows for a merge while merging is off, then single rows, the first of which starts
/// it.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut client = bench.connect()?;
    let client = &mut client;
    let twins = Twins::load(client, &DataSet::generated("uniform", bench.options.rows)?)?;
    // So that a batch of 5% is enough for a merge.
    client.batch_execute("ALTER INDEX ours_learned SET (retrain_threshold = 5)")?;
    // Otherwise the disk is measured, and not the index.
    client.batch_execute("SET synchronous_commit = off")?;
    let mut present = [bench.options.rows; 2];
    let found = alternate(bench.options.rounds, |side, round| {
        let mut rng = StdRng::seed_from_u64(100 + round as u64);
        let table = &twins.of(side).name;
        if side == Side::Ours {
            client.query_one("SELECT merged_rows FROM learned_retrain('ours_learned')", &[])?;
        }
        let present = &mut present[usize::from(side == Side::Ours)];
        let many = batch_rows(*present) as usize;
        let mut keys = |count: usize| -> Vec<i64> {
            (0..count).map(|_| rng.random_range(0..1 << 62)).collect()
        };
        twins.set_auto_retrain(client, false)?;
        copy(client, table, &keys(many))?;
        client.batch_execute("CHECKPOINT")?;
        twins.set_auto_retrain(client, true)?;
        let waits = insert_singly(client, table, &keys(INSERTS))?;
        *present += (many + INSERTS) as u64;
        if side == Side::Ours {
            wait_for_worker(client)?;
            let merged = "SELECT merged_rows FROM learned_retrain('ours_learned')";
            let late: i64 = client.query_one(merged, &[])?.get(0);
            if late as usize >= INSERTS {
                return Err("no merge ran while rows were inserted".into());
            }
        }
        Ok(waits)
    })?;
    let table = twins.of(Side::Ours);
    for (i, (which, _)) in TOLD.iter().enumerate() {
        let what = format!("{which} wait for the insert of a row while a merge runs");
        let figure = found.pairs(|waits| waits[i]).figure(GROUP, table, &what, "ms", "btree");
        let target = (*which == "longest").then_some(figure.theirs + MORE);
        bench.add(Figure { target, ..figure });
    }
    twins.drop(client)
}

/// The waits of [`TOLD`], in milliseconds.
fn insert_singly(client: &mut Client, table: &str, keys: &[i64]) -> Result<[f64; 3]> {
    let insert = client.prepare(&format!("INSERT INTO {table} VALUES ($1, 0)"))?;
    let mut waits = Vec::with_capacity(keys.len());
    for key in keys {
        let started = Instant::now();
        client.execute(&insert, &[key])?;
        waits.push(started.elapsed().as_secs_f64() * 1e3);
    }
    waits.sort_by(f64::total_cmp);
    Ok(TOLD.map(|(_, share)| waits[((waits.len() - 1) as f64 * share) as usize]))
}
