//! Inserts: rows a second, bytes of WAL, and lookups while rows wait in the delta.

use std::thread::sleep;
use std::time::{Duration, Instant};

use indicatif::HumanCount;
use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::Script;

use crate::Result;
use crate::bench::Bench;
use crate::data::DataSet;
use crate::paired::{Pairs, Question, Side, alternate};
use crate::table::{Table, copy};

use super::probes::PROBES;

const GROUP: &str = "writes";

/// Two tables of the same rows, one with a B-tree and one with a learned index.
pub struct Twins([Table; 2]);

impl Twins {
    /// Loads them and builds their indexes.
    pub fn load(client: &mut Client, set: &DataSet) -> Result<Self> {
        let mut load = |side: Side| -> Result<Table> {
            let table = Table::load(client, side.name(), &set.name, &set.keys)?;
            table.build(client, side.method())?;
            Ok(table)
        };
        Ok(Self([load(Side::Theirs)?, load(Side::Ours)?]))
    }

    /// The table of one side.
    pub fn of(&self, side: Side) -> &Table {
        &self.0[side as usize]
    }

    /// The index of one side.
    pub fn index(&self, side: Side) -> String {
        self.of(side).index(side.method())
    }

    /// Sets whether the background worker merges the learned one.
    pub fn set_auto_retrain(&self, client: &mut Client, on: bool) -> Result<()> {
        let index = self.index(Side::Ours);
        Ok(client.batch_execute(&format!("ALTER INDEX {index} SET (auto_retrain = {on})"))?)
    }

    /// Drops both.
    pub fn drop(self, client: &mut Client) -> Result<()> {
        self.0.into_iter().try_for_each(|table| table.drop(client))
    }
}

/// Rows of a batch: a twentieth of the table, and at least the 50,000 below which no worker merges.
pub fn batch_rows(rows: u64) -> u64 {
    (rows / 20).max(50_000)
}

/// What one batch cost.
pub struct Cost {
    /// The session's: without its checkpoints, and without what a worker merges afterwards.
    pub seconds: f64,
    /// In bytes, with that of the worker.
    pub wal: f64,
}

/// Which inserts are measured.
pub struct Inserts<'a> {
    /// The group of the figures.
    pub group: &'a str,
    /// What kind they are: "append".
    pub kind: &'a str,
    /// Under which condition, for the report.
    pub condition: &'a str,
    /// The ratio of rows a second to reach.
    pub target: f64,
}

/// Measures appends and random inserts.
pub fn run(bench: &mut Bench) -> Result<()> {
    let rows = bench.options.rows;
    let mut client = bench.connect()?;
    let client = &mut client;

    let twins = Twins::load(client, &DataSet::generated("serial", rows)?)?;
    let append = Inserts { group: GROUP, kind: "append", condition: "", target: 1.0 };
    insert(bench, client, &twins, &append, |_, i| rows as i64 + 1 + i)?;
    twins.drop(client)?;

    let twins = Twins::load(client, &DataSet::generated("uniform", rows)?)?;
    let random = Inserts { group: GROUP, kind: "random", condition: "", target: 1.5 };
    insert(bench, client, &twins, &random, |rng, _| rng.random_range(0..1 << 62))?;
    twins.drop(client)
}

/// Inserts batches of these keys into both tables. The checkpoint before each batch makes it log
/// whole pages.
pub fn insert(
    bench: &mut Bench,
    client: &mut Client,
    twins: &Twins,
    inserts: &Inserts,
    key: impl FnMut(&mut StdRng, i64) -> i64,
) -> Result<()> {
    let Inserts { group, kind, condition, target } = inserts;
    let rounds = bench.options.rounds;
    let rows = batch_rows(twins.of(Side::Ours).rows);
    let batches = 2 * (rounds + 1);
    create_batches(client, batches, rows, key)?;
    let table = twins.of(Side::Ours);
    let mut first = 0;
    for by_worker in [true, false] {
        let who = if by_worker { "the worker merges" } else { "the session merges each batch" };
        twins.set_auto_retrain(client, by_worker)?;
        let found = alternate(rounds, |side, round| {
            let batch = format!("batch_{}", first + round);
            insert_batch(client, twins, side, &batch, 1, by_worker)
        })?;
        first += rounds + 1;
        let batches = format!("batches of {} rows{condition}", HumanCount(rows));
        let what = format!("{kind} inserts, {batches}, {who}");
        let speed = found.pairs(|cost| rows as f64 / cost.seconds);
        let speed = speed.figure(group, table, &what, "rows/s", "btree");
        bench.add(if by_worker { speed.with_target(*target) } else { speed });
        let what =
            format!("{kind} inserts, mean WAL with a checkpoint each batch{condition}, {who}");
        let wal = found.pairs(|cost| cost.wal / rows as f64);
        bench.add(wal.figure_of_means(group, table, &what, "bytes/row").with_target(1.0));
    }
    client.query_one("SELECT merged_rows FROM learned_retrain('ours_learned')", &[])?;
    let total = table.rows + 2 * (rounds as u64 + 1) * rows;
    let mut size = |side| -> Result<f64> {
        let relation = twins.index(side);
        Ok(table.bytes_a_row(client, &relation)? * table.rows as f64 / total as f64)
    };
    let sizes = Pairs::once(size(Side::Theirs)?, size(Side::Ours)?);
    let what = format!("{kind} inserts, index size after them{condition}");
    bench.add(sizes.figure(group, (&table.data[..], total), &what, "bytes/row", "btree"));
    drop_batches(client, batches)
}

/// Creates tables of rows to insert, `batch_0` and so on.
pub fn create_batches(
    client: &mut Client,
    batches: usize,
    rows: u64,
    mut key: impl FnMut(&mut StdRng, i64) -> i64,
) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(7);
    let mut next = 0;
    for batch in 0..batches {
        let keys: Vec<i64> = (0..rows as i64).map(|i| key(&mut rng, next + i)).collect();
        next += rows as i64;
        client
            .batch_execute(&format!("CREATE UNLOGGED TABLE batch_{batch} (k int8, value int8)"))?;
        copy(client, &format!("batch_{batch}"), &keys)?;
        client.batch_execute(&format!("VACUUM (FREEZE) batch_{batch}"))?;
    }
    Ok(())
}

/// Drops them.
pub fn drop_batches(client: &mut Client, batches: usize) -> Result<()> {
    let batches = (0..batches).map(|batch| format!("batch_{batch}")).collect::<Vec<_>>();
    Ok(client.batch_execute(&format!("DROP TABLE {}", batches.join(", ")))?)
}

/// Inserts one batch in `checkpoints` parts, each after a checkpoint. Merges afterwards unless the
/// worker does.
pub fn insert_batch(
    client: &mut Client,
    twins: &Twins,
    side: Side,
    batch: &str,
    checkpoints: usize,
    by_worker: bool,
) -> Result<Cost> {
    let table = &twins.of(side).name;
    let mut seconds = 0.0;
    let mut before = 0.0;
    for part in 0..checkpoints.max(1) {
        if checkpoints > 0 {
            client.batch_execute("CHECKPOINT")?;
        }
        if part == 0 {
            before = wal(client)?;
        }
        let of_part = match checkpoints {
            0 | 1 => String::new(),
            parts => format!(" WHERE value % {parts} = {part}"),
        };
        let started = Instant::now();
        client.batch_execute(&format!("INSERT INTO {table} SELECT * FROM {batch}{of_part}"))?;
        if side == Side::Ours && !by_worker && part + 1 == checkpoints.max(1) {
            client.query_one("SELECT merged_rows FROM learned_retrain('ours_learned')", &[])?;
        }
        seconds += started.elapsed().as_secs_f64();
    }
    wait_for_worker(client)?;
    Ok(Cost { seconds, wal: wal(client)? - before })
}

/// Lookups when one row in twenty waits in the delta, and when all are merged.
pub fn delta(bench: &mut Bench) -> Result<()> {
    let mut client = bench.connect()?;
    let client = &mut client;
    let rows = bench.options.rows;
    let set = DataSet::generated("uniform", rows)?;
    let early = rows as usize - rows as usize / 20;
    let mut table = Table::load(client, "t", &set.name, &set.keys[..early])?;
    for method in ["btree", "learned"] {
        table.build(client, method)?;
    }
    client.batch_execute("ALTER INDEX t_learned SET (auto_retrain = off)")?;
    copy(client, "t", &set.keys[early..])?;
    table.rows = rows;
    // A VACUUM of the index would merge.
    client.batch_execute("VACUUM (FREEZE, ANALYZE, INDEX_CLEANUP off) t")?;
    table.add_probes(client)?;
    for when in ["5% of the rows in the delta", "all rows merged"] {
        for (how, scan, query) in PROBES {
            let question = Question::new(&table, query, scan);
            let pairs = question.ask(client, bench.options.rounds)?;
            let what = format!("point probes, {how}, {when}");
            bench.add(pairs.figure(GROUP, &table, &what, "ms", "btree").with_target(2.0));
        }
        client.script("SELECT merged_rows FROM learned_retrain('t_learned')")?;
    }
    table.drop(client)
}

fn wal(client: &mut Client) -> Result<f64> {
    let position = "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8";
    Ok(client.query_one(position, &[])?.get(0))
}

/// Waits until no worker merges.
pub fn wait_for_worker(client: &mut Client) -> Result<()> {
    let workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'learned retrain'";
    // One that was just asked for shows only when it has started.
    sleep(Duration::from_millis(300));
    while client.query_one(workers, &[])?.get::<_, i64>(0) > 0 {
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
