//! Keys of several columns, with columns stored beside them: readings of many devices, in a table
//! in the order of time.

use std::time::Instant;

use postgres::Client;
use server_tests::Script;

use crate::Result;
use crate::bench::Bench;
use crate::paired::{Pairs, Question, Scan, alternate};
use crate::table::Table;

/// The group of the figures.
pub const GROUP: &str = "composite";

/// Rows of each device.
const OF_A_DEVICE: u64 = 1_000;
/// Devices of the table for scans that skip.
const SKIPPED: u64 = 100;

/// The indexes: the end of their short names, what they include, and what the report says of them.
const FORMS: [(&str, &str, &str); 2] =
    [("", "", "(device_id, ts)"), ("_covering", " INCLUDE (value)", "(device_id, ts) with value")];

/// Each device with the last of its rows.
const LAST: &str = "SELECT device_id, value, ts FROM t_devices d, LATERAL (SELECT ts, value FROM t \
                    WHERE t.device_id = d.device_id ORDER BY ts DESC LIMIT 1) r";

/// Measures all of it.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut client = bench.connect()?;
    let client = &mut client;
    let rows = bench.options.rows;
    let table = load(client, rows, rows / OF_A_DEVICE)?;
    for (form, include, name) in FORMS {
        build(bench, client, &table, (form, include, name))?;
    }
    add_probes(client)?;
    ask(bench, client, &table)?;
    table.drop(client)?;
    client.script("DROP TABLE t_devices")?;
    skip(bench, client)
}

/// Readings `(device_id, ts, value)`, one of each device every 10 seconds, up to one second late.
fn load(client: &mut Client, rows: u64, devices: u64) -> Result<Table> {
    client.script(&format!(
        "SELECT setseed(0.5);
        CREATE TABLE t (device_id int4 NOT NULL, ts timestamptz NOT NULL, value float8 NOT NULL);
        INSERT INTO t SELECT i % {devices}, '2024-01-01 UTC'::timestamptz
                + (i / {devices}) * interval '10 s' + random() * interval '1 s',
            (20 + 5 * sin(i / 1e5) + random() / 4)::numeric(6, 2)
        FROM generate_series(0, {rows} - 1) i"
    ))?;
    let table = Table { name: "t".to_owned(), data: "readings".to_owned(), rows };
    table.vacuum(client)?;
    Ok(table)
}

fn build(
    bench: &mut Bench,
    client: &mut Client,
    table: &Table,
    (form, include, name): (&str, &str, &str),
) -> Result<()> {
    client.batch_execute("SET max_parallel_maintenance_workers = 0")?;
    let found = alternate(bench.options.rounds, |side, _| {
        let method = side.method();
        let index = table.index(method);
        client.batch_execute(&format!("DROP INDEX IF EXISTS {index}{form}"))?;
        client.batch_execute("CHECKPOINT")?;
        let started = Instant::now();
        client.batch_execute(&format!(
            "CREATE INDEX {index}{form} ON t USING {method} (device_id, ts){include}"
        ))?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    })?;
    let what = format!("CREATE INDEX, serial: {name}");
    let figure = found.pairs(|took| *took).figure(GROUP, table, &what, "ms", "btree");
    bench.add(figure.with_target(2.5));
    let size = |client: &mut Client, method: &str| {
        table.bytes_a_row(client, &format!("{}{form}", table.index(method)))
    };
    let sizes = Pairs::once(size(client, "btree")?, size(client, "learned")?);
    let what = format!("index size as built: {name}");
    bench.add(sizes.figure(GROUP, table, &what, "bytes/row", "btree"));
    Ok(())
}

/// Keys of rows in random order, and the devices.
fn add_probes(client: &mut Client) -> Result<()> {
    client.script(
        "CREATE TABLE t_probes AS SELECT device_id, ts FROM (SELECT * FROM t
            TABLESAMPLE system (20) REPEATABLE (1)) s ORDER BY random() LIMIT 100000;
        CREATE TABLE t_devices AS SELECT DISTINCT device_id FROM t;
        CREATE TABLE t_ranges AS SELECT device_id, '2024-01-01 00:30 UTC'::timestamptz AS low,
            '2024-01-01 01:00 UTC'::timestamptz AS high FROM t_devices ORDER BY random() LIMIT 1000;
        VACUUM (FREEZE, ANALYZE) t_probes; VACUUM (FREEZE, ANALYZE) t_devices;
        VACUUM (FREEZE, ANALYZE) t_ranges",
    )?;
    Ok(())
}

fn ask(bench: &mut Bench, client: &mut Client, table: &Table) -> Result<()> {
    let (index_only, fetched) = ((Scan::IndexOnly, false), (Scan::Index, false));
    let covering = (Scan::IndexOnly, true);
    let lookups = "FROM t_probes p JOIN t USING (device_id, ts)";
    let range = "t.device_id = r.device_id AND ts >= low AND ts < high";
    let long = format!("FROM t WHERE device_id < {}", table.rows / OF_A_DEVICE / 10);
    let of_device = |of: &str| {
        format!("SELECT sum(s) FROM t_ranges r, LATERAL (SELECT {of} AS s FROM t WHERE {range}) t")
    };
    let questions = [
        ("device and time: index-only", index_only, format!("SELECT count(ts) {lookups}"), 3.0),
        ("device and time: row fetched", fetched, format!("SELECT sum(value) {lookups}"), 2.0),
        ("device and time: value included", covering, format!("SELECT sum(value) {lookups}"), 1.5),
        (
            "the last row of each device: index-only",
            index_only,
            format!("SELECT max(ts), count(*) FROM ({}) l", LAST.replace("value, ", "")),
            3.0,
        ),
        (
            "the last row of each device: row fetched",
            fetched,
            format!("SELECT sum(value) FROM ({LAST}) l"),
            2.0,
        ),
        (
            "the last row of each device: value included",
            covering,
            format!("SELECT sum(value) FROM ({LAST}) l"),
            1.5,
        ),
        ("180 rows of a device: index-only", index_only, of_device("count(*)"), 1.5),
        ("180 rows of a device: value included", covering, of_device("sum(value)"), 1.3),
        ("a tenth of the devices: index-only", index_only, format!("SELECT count(*) {long}"), 1.3),
        (
            "a tenth of the devices: value included",
            covering,
            format!("SELECT sum(value) {long}"),
            1.3,
        ),
    ];
    for (what, (scan, covering), query, target) in questions {
        let shorts = ["btree", "learned"].map(|method| {
            let form = if covering { FORMS[1].0 } else { "" };
            format!("{method}{form}")
        });
        let question = Question {
            theirs: (&shorts[0], scan),
            ours: (&shorts[1], scan),
            ..Question::new(table, &query, scan)
        };
        let pairs = question.ask(client, bench.options.rounds)?;
        bench.add(pairs.figure(GROUP, table, what, "ms", "btree").with_target(target));
    }
    Ok(())
}

/// Scans without a condition on the first column, over few devices.
fn skip(bench: &mut Bench, client: &mut Client) -> Result<()> {
    let table = load(client, bench.options.rows, SKIPPED)?;
    for method in ["btree", "learned"] {
        client.script(&format!("CREATE INDEX t_{method} ON t USING {method} (device_id, ts)"))?;
    }
    client.script(
        "CREATE TABLE t_probes AS SELECT ts FROM t WHERE device_id = 7 ORDER BY random() LIMIT 100;
        VACUUM (FREEZE, ANALYZE) t_probes",
    )?;
    let query = "SELECT sum(s) FROM t_probes p, LATERAL (SELECT count(*) AS s FROM t
        WHERE t.ts >= p.ts AND t.ts < p.ts + interval '10 s') t";
    let pairs = Question::new(&table, query, Scan::IndexOnly).ask(client, bench.options.rounds)?;
    let what = format!("100 times all rows of ten seconds, skipping over {SKIPPED} devices");
    bench.add(pairs.figure(GROUP, &table, &what, "ms", "btree").with_target(1.0));
    table.drop(client)
}
