//! First rows of groups, held between two groups while the index changes under the scan.

use postgres::Client;
use server_tests::{Cluster, Script, assert_plan, check, in_background, pid_of, retrain};

use super::{reader, writer};

const FORWARDS: &str = "SELECT md5(string_agg(x::text, ' '))
     FROM (SELECT DISTINCT ON (d) * FROM g ORDER BY d, ts DESC, id) x";
const BACKWARDS: &str = "SELECT md5(string_agg(x::text, ' '))
     FROM (SELECT DISTINCT ON (d) * FROM g ORDER BY d DESC, ts, id DESC) x";
const SOME: &str = "SELECT md5(string_agg(x::text, ' ')) FROM (SELECT DISTINCT ON (d) * FROM g
     WHERE d > 3 AND ts < 900 AND id % 3 = 0 ORDER BY d, ts DESC, id) x";

/// Where a scan is held: before it reads a leaf, or a delta tree, or after it has copied entries.
const HELD: [(&str, u32); 7] = [
    ("ScanBeforeLeaf", 0),
    ("ScanBeforeLeaf", 5),
    ("ScanBeforeLeaf", 17),
    ("DeltaBeforeRead", 4),
    ("ScanCopied", 0),
    ("ScanCopied", 6),
    ("ScanCopied", 21),
];

/// What happens meanwhile.
const CHANGES: [&str; 4] = [
    // Rows that come before the first ones, and before the groups that are to come.
    "INSERT INTO g SELECT d, 5000, 100000 + d FROM generate_series(0, 60) d",
    "DELETE FROM g WHERE ts > 800; VACUUM g; INSERT INTO g SELECT d, 850, 200000 + d
         FROM generate_series(0, 60) d; VACUUM g",
    "UPDATE g SET d = d + 1",
    "DELETE FROM g WHERE d % 2 = 0; VACUUM g",
];

fn create(client: &mut Client) {
    client
        .script(
            "DROP TABLE IF EXISTS g;
             CREATE TABLE g (d int4, ts int8, id int4) WITH (autovacuum_enabled = off);
             INSERT INTO g SELECT i % 40, i / 20, i FROM generate_series(1, 20000) i;
             CREATE INDEX g_d ON g USING learned (d, ts DESC, id)
                 WITH (fillfactor = 10, auto_retrain = off);
             INSERT INTO g SELECT i % 45, i / 20, i FROM generate_series(20001, 21000) i;
             DELETE FROM g WHERE id % 11 = 5; VACUUM ANALYZE g;
             DELETE FROM g WHERE id % 13 = 5",
        )
        .unwrap();
}

/// Holds a query at a stop point while `meanwhile` happens, and asserts that it gives what it would
/// have given before.
fn hold(cluster: &Cluster, query: &str, (point, passes): (&str, u32), change: &str) {
    create(&mut cluster.connect());
    let mut client = reader(cluster);
    client.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    client.script("SET LOCAL omendb_learned.enable_distinct = off").unwrap();
    client.script("SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off").unwrap();
    let expected: Option<String> = client.query_one(query, &[]).unwrap().get(0);
    client.script("SET LOCAL omendb_learned.enable_distinct = on").unwrap();
    client.script("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = on").unwrap();
    assert_plan(&mut client, query, &["LearnedDistinct"], &["Seq Scan"]);
    let stop = cluster.stop_at(point, Some(pid_of(&mut client)), passes);
    let held = in_background(client, query);
    stop.wait();
    let mut other = writer(cluster);
    for statement in change.split("; ") {
        other.script(statement).unwrap();
    }
    retrain(&mut other, "g_d");
    stop.release();
    let (mut client, rows) = held.join().unwrap();
    let found: Option<String> = rows.unwrap()[0].get(0);
    assert_eq!(found, expected, "{query}, held at {point}, {passes}, meanwhile {change}");
    client.script("COMMIT").unwrap();
    check(&mut other, "g_d");
}

#[test]
fn a_merge_between_two_groups_changes_nothing() {
    let cluster = Cluster::start_with_stops("");
    for (number, query) in [FORWARDS, BACKWARDS, SOME].into_iter().enumerate() {
        for (place, held) in HELD.into_iter().enumerate() {
            let change = CHANGES[(number + place) % CHANGES.len()];
            hold(&cluster, query, held, change);
        }
    }
}
