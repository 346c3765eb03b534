//! Counts and sums between the state word, the visibility map and the leaves, against everything
//! that changes one of these.

use postgres::Client;
use server_tests::{Cluster, Script, assert_plan, in_background, pid_of, retrain};

use super::{add_rows, cluster_with_rows, reader, writer};

const COUNT: &str = "SELECT count(*) FROM t";
const RANGE: &str = "SELECT count(*) FROM t WHERE k BETWEEN -5000000000000000 AND 1000000000000000";
const BY_KEY: &str = "SELECT sum(n)::int8 FROM (SELECT k, count(*) n FROM t GROUP BY k) g";

/// It reads the entries.
const SUM: &str = "SELECT (sum(k) % 1000000007)::int8 FROM t";
const SUM_BY_KEY: &str =
    "SELECT (sum(s) % 1000000007)::int8 FROM (SELECT k, sum(k) s FROM t GROUP BY k) g";

/// Where a count is held: the first step of the first state, and the ones after the first look.
const HELD: [(&str, u32); 3] =
    [("CountBeforeMap", 0), ("CountBeforeLeaf", 0), ("CountBeforeMap", 1)];

/// Where a sum is: before it reads a leaf, before it reads the map, and before it looks again.
const SUM_HELD: [(&str, u32); 4] = [
    ("ScanBeforeLeaf", 0),
    ("ScanBeforeMap", 0),
    ("ScanBeforeSecondLook", 0),
    ("ScanBeforeSecondLook", 1),
];

const PINNED: [&str; 2] = ["ScanBeforeMap", "ScanBeforeSecondLook"];

/// What happens meanwhile.
const CHANGES: [&str; 5] = [
    "",
    // Rows that nobody sees go, and others get their heap TIDs; their blocks become all-visible.
    "VACUUM t; INSERT INTO t SELECT hashint8extended(g, 2) / 1000, g FROM generate_series(1, 900) g;
     VACUUM t",
    // Rows that the count sees are deleted.
    "DELETE FROM t WHERE id % 3 = 1; VACUUM t",
    // Rows that it does not see are added to blocks that were all-visible.
    "INSERT INTO t SELECT hashint8extended(g, 3) / 1000, g FROM generate_series(1, 900) g",
    "UPDATE t SET k = k + 1 WHERE id % 5 = 2; VACUUM t",
];

fn one(client: &mut Client, query: &str) -> i64 {
    client.query_one(query, &[]).unwrap().get(0)
}

/// Holds a count at a stop point while `meanwhile` happens, and asserts that it counts the rows of
/// its snapshot. Whether it came by there.
fn hold_count(
    cluster: &Cluster,
    query: &str,
    (point, passes): (&str, u32),
    meanwhile: impl FnOnce(),
) {
    let mut client = reader(cluster);
    // The session knows the index by now, and how many entries its leaves have.
    client.script("SET enable_indexscan = off; SET omendb_learned.enable_count = on").unwrap();
    assert_plan(&mut client, COUNT, &["LearnedCount"], &["Seq Scan"]);
    one(&mut client, COUNT);
    client.script("RESET enable_indexscan; RESET omendb_learned.enable_count").unwrap();
    client.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    client
        .script("SET LOCAL omendb_learned.enable_count = off; SET LOCAL enable_seqscan = on")
        .unwrap();
    let expected = one(&mut client, query);
    client
        .script(
            "SET LOCAL omendb_learned.enable_count = on; SET LOCAL enable_seqscan = off; SET LOCAL \
             enable_indexscan = off; SET LOCAL enable_indexonlyscan = off",
        )
        .unwrap();
    assert_plan(&mut client, query, &["LearnedCount"], &["Seq Scan"]);
    let stop = cluster.stop_at(point, Some(pid_of(&mut client)), passes);
    let count = in_background(client, query);
    if passes == 0 {
        stop.wait();
    }
    meanwhile();
    stop.release();
    let (mut client, rows) = count.join().unwrap();
    let found: i64 = rows.unwrap()[0].get(0);
    assert_eq!(found, expected, "{query}, held at {point}, {passes}");
    client.script("COMMIT").unwrap();
}

#[test]
fn a_count_sees_the_rows_of_its_snapshot_whatever_changes_between_its_steps() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    let mut next = 100_000;
    let counts = [COUNT, RANGE, BY_KEY].map(|query| (query, &HELD[..]));
    let sums = [SUM, SUM_BY_KEY].map(|query| (query, &SUM_HELD[..]));
    for (query, places) in counts.into_iter().chain(sums) {
        for &held in places {
            for (number, change) in CHANGES.iter().enumerate() {
                // Some rows are dead to all, others wait to be merged, and most blocks are clean.
                let dead = format!("DELETE FROM t WHERE id % 17 = {number}");
                other.script("VACUUM t").unwrap();
                other.script(&dead).unwrap();
                add_rows(&mut other, next, 300);
                next += 300;
                // It holds a pin there, for which VACUUM waits.
                let holds_pin = PINNED.contains(&held.0);
                hold_count(&cluster, query, held, || {
                    for statement in change.split("; ").flat_map(|part| part.split(";\n")) {
                        if !(holds_pin && statement.contains("VACUUM")) {
                            other.script(statement).unwrap();
                        }
                    }
                    retrain(&mut other, "t_k");
                    add_rows(&mut other, next, 200);
                    next += 200;
                });
            }
        }
    }
    assert_same(&mut other);
}

#[test]
fn so_does_a_sum_that_copies_leaves_of_which_everybody_sees_all_rows() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    for query in [SUM, SUM_BY_KEY] {
        for held in &HELD[..2] {
            for (number, change) in CHANGES.iter().enumerate() {
                // Leaves without tombstones, and nothing to merge; but some rows are dead to all.
                other.script("VACUUM t").unwrap();
                other.script("REINDEX TABLE t").unwrap();
                other.script(&format!("DELETE FROM t WHERE id % 17 = {number}")).unwrap();
                hold_count(&cluster, query, *held, || {
                    for statement in change.split("; ").flat_map(|part| part.split(";\n")) {
                        other.script(statement).unwrap();
                    }
                });
            }
        }
    }
    assert_same(&mut other);
}

#[test]
fn so_does_one_on_a_standby_beside_replay() {
    let primary = cluster_with_rows(
        "wal_level = replica\nmax_wal_senders = 4\nhot_standby_feedback = on\n\
         wal_receiver_status_interval = 1",
    );
    let standby = primary.standby();
    let (mut other, mut horizon) = (primary.connect(), primary.connect());
    let mut next = 100_000;
    for (query, places) in [(COUNT, &HELD[..]), (RANGE, &HELD), (SUM, &SUM_HELD)] {
        for &held in places {
            // What removes rows that the standby's snapshot sees would be delayed, or cancel it.
            for number in [0, 1, 3] {
                other.script("VACUUM t").unwrap();
                // The same goes for pages that the count has pinned: no row is removed meanwhile.
                horizon.script("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").unwrap();
                other.script(&format!("DELETE FROM t WHERE id % 17 = {number}")).unwrap();
                add_rows(&mut other, next, 300);
                next += 300;
                standby.catch_up(&primary);
                hold_count(&standby, query, held, || {
                    for statement in CHANGES[number].split("; ").flat_map(|it| it.split(";\n")) {
                        other.script(statement).unwrap();
                    }
                    retrain(&mut other, "t_k");
                    add_rows(&mut other, next, 200);
                    next += 200;
                    standby.catch_up(&primary);
                });
                horizon.script("COMMIT").unwrap();
            }
        }
    }
    standby.catch_up(&primary);
    assert_same(&mut standby.connect());
}

/// Counts both ways.
fn assert_same(client: &mut Client) {
    client.script("SET omendb_learned.enable_count = off; SET enable_seqscan = on").unwrap();
    let expected = one(client, COUNT);
    client.script("SET omendb_learned.enable_count = on; SET enable_seqscan = off").unwrap();
    assert_eq!(one(client, COUNT), expected);
}
