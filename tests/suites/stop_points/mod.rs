//! Races produced on purpose, by holding one session at a stop point while others go on. They need
//! a build of the extension for tests: `scripts/install --test`.

mod apply;
mod cancel;
mod counts;
mod crash;
mod distinct;
mod inserts;
mod progress;
mod removal;
mod scans;
mod scenes;
mod standby;
mod unique;
mod vacuum;
mod workers;

use postgres::Client;
use server_tests::{Cluster, Row, Script, Subject, assert_plan, fetch, in_background, pid_of};

/// A cluster with a table `t (k int8, id int4)` whose index has hundreds of leaves, as many rows in
/// its delta tree as in a tenth of them, and merges only when told to.
fn cluster_with_rows(settings: &str) -> Cluster {
    let cluster = Cluster::start_with_stops(settings);
    create(&mut cluster.connect());
    cluster
}

fn create(client: &mut Client) {
    client
        .script(
            "CREATE TABLE t (k int8, id int4) WITH (autovacuum_enabled = off);
             INSERT INTO t SELECT hashint8extended(g, 1) / 1000, g FROM generate_series(1, 20000) \
             g;
             CREATE INDEX t_k ON t USING learned (k) WITH (fillfactor = 10, auto_retrain = off);
             INSERT INTO t SELECT hashint8extended(g, 1) / 1000, g
                 FROM generate_series(20001, 22000) g",
        )
        .unwrap();
}

/// A session whose scans of `t` use the index, plainly.
fn reader(cluster: &Cluster) -> Client {
    let mut client = cluster.connect();
    client
        .script(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = \
             off; SET statement_timeout = '60s'",
        )
        .unwrap();
    client
}

/// A session that gives up rather than to hang.
fn writer(cluster: &Cluster) -> Client {
    let mut client = cluster.connect();
    client.script("SET statement_timeout = '60s'").unwrap();
    client
}

const FORWARDS: &str = "SELECT k, id FROM t WHERE k IS NOT NULL ORDER BY k";
const BACKWARDS: &str = "SELECT k, id FROM t WHERE k IS NOT NULL ORDER BY k DESC";

/// Adds rows of keys all over the table, from `first` on.
fn add_rows(client: &mut Client, first: i32, number: i32) {
    client
        .script(&format!(
            "INSERT INTO t SELECT hashint8extended(g, 1) / 1000, g
             FROM generate_series({first}, {first} + {number} - 1) g"
        ))
        .unwrap();
}

/// Holds a scan of all of `t` at a stop point while `meanwhile` happens, and asserts that it
/// returns the rows of its snapshot, in order.
fn hold_scan(cluster: &Cluster, query: &str, point: &str, passes: u32, meanwhile: impl FnOnce()) {
    let mut client = reader(cluster);
    client.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    let expected = Subject::of("t").rows(&mut client).unwrap();
    client
        .script(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL \
             enable_indexonlyscan = off; SET LOCAL enable_indexscan = on",
        )
        .unwrap();
    assert_plan(&mut client, query, &["Index Scan"], &["Sort", "Seq Scan"]);
    // The session knows the index by now.
    fetch(&mut client, "SELECT k, id FROM t WHERE k = 0").unwrap();
    let stop = cluster.stop_at(point, Some(pid_of(&mut client)), passes);
    let scan = in_background(client, query);
    stop.wait();
    meanwhile();
    stop.release();
    let (mut client, rows) = scan.join().unwrap();
    let rows: Vec<Row> = rows.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    let backwards = query == BACKWARDS;
    let ordered =
        |left: &Row, right: &Row| if backwards { right.0 <= left.0 } else { left.0 <= right.0 };
    assert!(rows.is_sorted_by(ordered), "out of order");
    let (mut rows, mut expected) = (rows, expected);
    rows.sort_unstable();
    expected.sort_unstable();
    assert!(rows == expected, "{} rows instead of {}", rows.len(), expected.len());
    client.script("COMMIT").unwrap();
}

/// Blocks of the index.
fn blocks(client: &mut Client) -> i64 {
    client.query_one("SELECT pg_relation_size('t_k') / 8192", &[]).unwrap().get(0)
}
