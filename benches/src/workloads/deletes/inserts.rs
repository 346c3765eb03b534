//! Rows with random keys: bytes of WAL by the distance of checkpoints, and the rate of two clients.

use std::time::Instant;

use indicatif::HumanCount;
use postgres::Client;
use rand::Rng;

use crate::Result;
use crate::bench::Bench;
use crate::data::DataSet;
use crate::paired::{Side, alternate};
use crate::server::at_once;

use super::super::writes::{
    Twins, batch_rows, create_batches, drop_batches, insert_batch, wait_for_worker,
};
use super::GROUP;
use super::clients::{Session, Work};

/// Checkpoints in each batch; after each, the first change of a page logs the whole page. 0: one
/// before all batches.
const CHECKPOINTS: [usize; 3] = [5, 1, 0];

/// Measures both on twins of uniform keys. The worker merges.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut client = bench.connect()?;
    let client = &mut client;
    let rows = bench.options.rows;
    let twins = Twins::load(client, &DataSet::generated("uniform", rows)?)?;
    let rounds = bench.options.rounds + 1;
    let batches = rounds * (CHECKPOINTS.len() + 2);
    create_batches(client, batches, batch_rows(rows), |rng, _| rng.random_range(0..1 << 62))?;
    for (i, checkpoints) in CHECKPOINTS.into_iter().enumerate() {
        wal(bench, client, &twins, checkpoints, i * rounds)?;
    }
    two_clients(bench, client, &twins, CHECKPOINTS.len() * rounds)?;
    drop_batches(client, batches)?;
    singly(bench, &twins)?;
    twins.drop(client)
}

/// WAL of one batch in each round, from batch `first` on.
fn wal(
    bench: &mut Bench,
    client: &mut Client,
    twins: &Twins,
    checkpoints: usize,
    first: usize,
) -> Result<()> {
    let rows = batch_rows(bench.options.rows);
    client.batch_execute("CHECKPOINT")?;
    let found = alternate(bench.options.rounds, |side, round| {
        let batch = format!("batch_{}", first + round);
        insert_batch(client, twins, side, &batch, checkpoints, true)
    })?;
    let when = match checkpoints {
        0 => format!("no checkpoint for {} rows and more", HumanCount(rows)),
        n => format!("a checkpoint each {} rows", HumanCount(rows / n as u64)),
    };
    let wal = found.pairs(|cost| cost.wal / rows as f64);
    let what = format!("random inserts, mean WAL, {when}");
    let table = twins.of(Side::Ours);
    bench.add(wal.figure_of_means(GROUP, table, &what, "bytes/row").with_target(1.0));
    Ok(())
}

/// Rows a second of two clients at once, each with a batch of its own.
fn two_clients(bench: &mut Bench, client: &mut Client, twins: &Twins, first: usize) -> Result<()> {
    let rows = batch_rows(bench.options.rows);
    let mut clients = [bench.connect()?, bench.connect()?];
    let found = alternate(bench.options.rounds, |side, round| {
        let table = &twins.of(side).name;
        client.batch_execute("CHECKPOINT")?;
        let started = Instant::now();
        at_once(clients.iter_mut().zip(first + 2 * round..), |(client, batch)| {
            let insert = format!("INSERT INTO {table} SELECT * FROM batch_{batch}");
            client.batch_execute(&insert).map_err(|error| error.to_string())
        })?;
        let took = started.elapsed().as_secs_f64();
        wait_for_worker(client)?;
        Ok(2.0 * rows as f64 / took)
    })?;
    let rates = found.pairs(|rate| *rate);
    let batches = format!("batches of {} rows by each of 2 clients", HumanCount(rows));
    let what = format!("random inserts, {batches}, the worker merges");
    let table = twins.of(Side::Ours);
    bench.add(rates.figure(GROUP, table, &what, "rows/s", "btree").with_target(1.1));
    Ok(())
}

/// Rows a second of two clients that insert one row after the other.
fn singly(bench: &mut Bench, twins: &Twins) -> Result<()> {
    let open = |side| -> Result<Vec<Session>> {
        let table = &twins.of(side).name;
        let insert = [format!("INSERT INTO {table} VALUES ((random() * 2 ^ 62)::int8, 0)")];
        (0..2).map(|_| Session::open(bench, &insert)).collect()
    };
    let sessions = [open(Side::Theirs)?, open(Side::Ours)?];
    let name = "random inserts of one row, 2 clients, the worker merges";
    let work = Work { name, of: ("uniform", bench.options.rows), target: 1.1 };
    work.measure(bench, sessions)?;
    Ok(())
}
