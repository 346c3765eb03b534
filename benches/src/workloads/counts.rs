//! Counts and averages, of all rows, of ranges and of groups, and the last row of each group: each
//! by the best plan that the planner finds.

use std::time::Instant;

use postgres::{Client, SimpleQueryMessage};
use server_tests::{Script, plan_of};

use crate::Result;
use crate::bench::Bench;
use crate::paired::alternate;
use crate::table::Table;

/// The group of the figures.
pub const GROUP: &str = "counts";

/// Rows of each device.
const OF_A_DEVICE: u64 = 1_000;
const SECONDS_OF_YEAR: u64 = 365 * 86_400;

/// What is asked of either table: what, the query, and the figure to reach.
const QUESTIONS: [(&str, &str, f64); 6] = [
    (
        "a tenth of the rows, by time",
        "SELECT count(*) FROM t WHERE ts >= '2024-05-01 UTC' AND ts < '2024-06-06 12:00 UTC'",
        300.0,
    ),
    ("all rows", "SELECT count(*) FROM t", 300.0),
    (
        "each hour of a month",
        "SELECT date_trunc('hour', ts), count(*) FROM t
         WHERE ts >= '2024-03-01 UTC' AND ts < '2024-04-01 UTC' GROUP BY 1 ORDER BY 1",
        100.0,
    ),
    (
        "the last time of each device",
        "SELECT device_id, max(ts) FROM t GROUP BY device_id ORDER BY device_id",
        20.0,
    ),
    (
        "the last row of each device",
        "SELECT DISTINCT ON (device_id) * FROM t ORDER BY device_id, ts DESC",
        20.0,
    ),
    (
        "each device",
        "SELECT device_id, count(*) FROM t GROUP BY device_id ORDER BY device_id",
        20.0,
    ),
];

/// The same, of an index that includes the values.
const AVERAGES: [(&str, &str, f64); 2] = [
    (
        "the average of a tenth of the rows",
        "SELECT round(avg(value)::numeric, 6) FROM t
         WHERE ts >= '2024-05-01 UTC' AND ts < '2024-06-06 12:00 UTC'",
        5.0,
    ),
    (
        "averages of each hour of a month",
        "SELECT date_trunc('hour', ts), round(avg(value)::numeric, 6), max(value) FROM t
         WHERE ts >= '2024-03-01 UTC' AND ts < '2024-04-01 UTC' GROUP BY 1 ORDER BY 1",
        5.0,
    ),
];

/// Measures all of it: two tables with the same rows, of a year, one with B-trees and one with
/// learned indexes.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut client = bench.connect()?;
    let client = &mut client;
    let rows = bench.options.rows;
    let table = Table { name: "t".to_owned(), data: "readings".to_owned(), rows };
    for method in ["btree", "learned"] {
        load(client, rows, method)?;
    }
    for (what, query, target) in QUESTIONS {
        ask(bench, client, &table, (what, query, target))?;
    }
    for method in ["btree", "learned"] {
        client.script(&format!(
            "CREATE INDEX with_{method} ON t_{method} USING {method} (ts) INCLUDE (value)"
        ))?;
    }
    for (what, query, target) in AVERAGES {
        ask(bench, client, &table, (what, query, target))?;
    }
    client.script("DROP INDEX with_btree, with_learned")?;
    // One row of a block in a hundred.
    for method in ["btree", "learned"] {
        client.script(&format!(
            "DELETE FROM t_{method} WHERE ctid = ANY (ARRAY(SELECT format('(%s,1)', b)::tid
                FROM generate_series(0, pg_relation_size('t_{method}') / 8192 - 1, 100) b))"
        ))?;
    }
    let (what, query, _) = QUESTIONS[0];
    let what = format!("{what}, a hundredth of the blocks not all-visible");
    ask(bench, client, &table, (&what, query, 8.0))?;
    client.script("DROP TABLE t_btree, t_learned")?;
    Ok(())
}

/// Readings `(device_id, ts, value)` in the order of time, and indexes on the time, and on the
/// device and the time.
fn load(client: &mut Client, rows: u64, method: &str) -> Result<()> {
    let devices = (rows / OF_A_DEVICE).max(1);
    client.script(&format!(
        "SELECT setseed(0.5);
        CREATE TABLE t_{method} (device_id int4 NOT NULL, ts timestamptz NOT NULL,
            value float8 NOT NULL);
        INSERT INTO t_{method} SELECT i % {devices}, '2024-01-01 UTC'::timestamptz
                + i * interval '1 s' * ({SECONDS_OF_YEAR}::float8 / {rows})
                + random() * interval '1 s',
            (20 + 5 * sin(i / 1e5) + random() / 4)::numeric(6, 2)
        FROM generate_series(0, {rows} - 1) i;
        CREATE INDEX ON t_{method} USING {method} (ts);
        CREATE INDEX ON t_{method} USING {method} (device_id, ts)"
    ))?;
    client.script(&format!("VACUUM (FREEZE, ANALYZE) t_{method}"))?;
    Ok(())
}

/// Asks both tables in turn. The B-trees may be scanned in parallel.
fn ask(
    bench: &mut Bench,
    client: &mut Client,
    table: &Table,
    (what, query, target): (&str, &str, f64),
) -> Result<()> {
    client.script(
        "SET timezone = 'UTC'; SET max_parallel_workers_per_gather = 2; \
         SET omendb_learned.enable_count = on",
    )?;
    let of = |method: &str| query.replace("FROM t", &format!("FROM t_{method}"));
    let plan = plan_of(client, &of("learned"));
    if !plan.contains("Custom Scan (Learned") {
        return Err(format!("{what}: not answered by the index alone:\n{plan}").into());
    }
    if answer(client, &of("btree"))? != answer(client, &of("learned"))? {
        return Err(format!("{what}: the indexes give other answers").into());
    }
    let found = alternate(bench.options.rounds, |side, _| {
        let query = of(side.method());
        let started = Instant::now();
        client.query(&query, &[])?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    })?;
    let pairs = found.pairs(|took| *took);
    bench.add(pairs.figure(GROUP, table, what, "ms", "btree").with_target(target));
    Ok(())
}

/// The rows of an answer, as text.
fn answer(client: &mut Client, query: &str) -> Result<Vec<Vec<Option<String>>>> {
    let messages = client.simple_query(query)?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}
