//! `old_snapshot_threshold` (PostgreSQL 15 and 16): VACUUM removes rows that an old snapshot still
//! sees, so a scan with one must not believe a page that was changed since.

use std::time::Duration;

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{
    Cluster, Script, Shutdown, access_method, assert_plan, learned_options, major_version, retrain,
};

/// Where the entries are that go: in leaves, in a delta tree, or merged into leaves since; and
/// which.
const CASES: [(&str, &str); 5] = [
    ("leaves", "id % 2 = 0"),
    ("delta", "id % 2 = 0"),
    ("merged", "id % 2 = 0"),
    ("leaves", "true"),
    ("delta", "true"),
];

const SCANS: [&str; 3] = [
    "SELECT count(*) FROM {t} WHERE k >= 0",
    "SELECT count(*) FROM {t} WHERE k = 4001",
    "SELECT count(*) FROM (SELECT k FROM {t} ORDER BY k DESC LIMIT 100) s",
];

/// A table whose rows are in the index, and of which VACUUM will find some dead.
fn create(client: &mut Client, table: &str, kind: &str, dead: &str) {
    let (method, options) = (access_method(), learned_options("auto_retrain = off"));
    let rows = format!("INSERT INTO {table} SELECT g, g FROM generate_series(1, 10000) g");
    let index = format!("CREATE INDEX {table}_k ON {table} USING {method} (k){options}");
    let (first, second) = if kind == "leaves" { (rows, index) } else { (index, rows) };
    client
        .script(&format!(
            "CREATE TABLE {table} (k int8, id int4) WITH (autovacuum_enabled = off);
             {first}; {second}; VACUUM (ANALYZE) {table}; DELETE FROM {table} WHERE {dead}"
        ))
        .unwrap();
}

/// The table is all-visible when it is read, so that nothing but the index can tell that it was
/// changed. (The rows were dead before the snapshot: with a threshold that is so short no others
/// are removed.)
#[test]
fn a_scan_of_changed_pages_with_a_snapshot_that_is_too_old_is_an_error() {
    let cluster = Cluster::start();
    if major_version(&mut cluster.connect()) >= 17 {
        println!("this version has no old_snapshot_threshold");
        return;
    }
    cluster.add_settings("old_snapshot_threshold = 0");
    cluster.restart(Shutdown::Clean);
    let mut other = cluster.connect();
    let tables: Vec<String> = (0..CASES.len()).map(|number| format!("t{number}")).collect();
    for (table, (kind, dead)) in tables.iter().zip(CASES) {
        create(&mut other, table, kind, dead);
    }
    // One session for each scan of each table: an error ends its transaction.
    let mut readers = Vec::new();
    for scan in tables.iter().flat_map(|table| SCANS.map(|scan| scan.replace("{t}", table))) {
        let mut client = cluster.connect();
        client
            .script(
                "SET enable_seqscan = off; SET enable_bitmapscan = off;
                 BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1",
            )
            .unwrap();
        readers.push((client, scan));
    }
    for (table, (kind, _)) in tables.iter().zip(CASES) {
        other.script(&format!("VACUUM {table}")).unwrap();
        if kind == "merged" {
            retrain(&mut other, &format!("{table}_k"));
        }
    }
    // A threshold of 0 means five seconds.
    std::thread::sleep(Duration::from_secs(7));
    for (client, scan) in &mut readers {
        assert_plan(client, scan, &["Index Only Scan"], &[]);
        let error = client.query_one(scan.as_str(), &[]).expect_err(scan);
        assert_eq!(error.code(), Some(&SqlState::SNAPSHOT_TOO_OLD), "{scan}: {error}");
        assert_eq!(error.as_db_error().unwrap().message(), "snapshot too old");
    }
    // A new snapshot is young enough for everything.
    for (table, (_, dead)) in tables.iter().zip(CASES) {
        let count = format!("SELECT count(*) FROM {table} WHERE k >= 0");
        let found: i64 = other.query_one(&count, &[]).unwrap().get(0);
        assert_eq!(found, if dead == "true" { 0 } else { 5_000 });
    }
}
