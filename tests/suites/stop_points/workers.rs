//! Indexes that find no seat for a worker, held there on purpose.

use postgres::Client;
use server_tests::{Cluster, LEFT_UNMERGED, Script, check, in_background, wait_until};

/// A table whose index is merged by a worker from 50,000 rows on, and enough of them.
fn create_and_fill(client: &mut Client, table: &str) {
    client
        .script(&format!(
            "CREATE TABLE {table} (k int8, id int4);
             CREATE INDEX \"{table} K\" ON {table} USING learned (k);
             INSERT INTO {table} SELECT hashint8extended(g, 1), g FROM generate_series(1, 80000) g"
        ))
        .unwrap();
}

fn is_merged(client: &mut Client, table: &str) -> bool {
    check(client, &format!("\"{table} K\"")).unmerged <= LEFT_UNMERGED
}

/// What the workers do.
fn activity(client: &mut Client) -> Vec<(String, String)> {
    let query = "SELECT state, query FROM pg_stat_activity WHERE backend_type = 'learned retrain'";
    let rows = client.query(query, &[]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Asserts that one worker is at work, and that it tells which index it merges and how many rows
/// wait there.
fn assert_merging(client: &mut Client, table: &str) {
    let found = activity(client);
    let [(state, query)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(state, "active");
    let rest = query.strip_prefix(&format!("merging index public.\"{table} K\": about "));
    let waiting = rest.and_then(|rest| rest.strip_suffix(" rows wait"));
    let waiting: i64 =
        waiting.and_then(|rows| rows.parse().ok()).unwrap_or_else(|| panic!("{query}"));
    assert!((50_000..120_000).contains(&waiting), "{query}");
}

#[test]
fn an_index_that_found_no_seat_is_merged_though_nobody_asks_again() {
    let cluster = Cluster::start_with_stops("omendb_learned.max_merge_workers = 1");
    let mut client = cluster.connect();
    client.script("CREATE DATABASE other").unwrap();
    let mut other = cluster.connect_to("other");
    other.script("CREATE EXTENSION omendb_learned").unwrap();
    let stop = cluster.stop_at("Frozen", None, 0);
    create_and_fill(&mut client, "first");
    stop.wait();
    assert_merging(&mut client, "first");
    for table in ["second", "third"] {
        create_and_fill(&mut client, table);
        create_and_fill(&mut other, table);
    }
    // These come while the worker already is at the index.
    client
        .script(
            "INSERT INTO first SELECT hashint8extended(g, 2), g FROM generate_series(1, 80000) g",
        )
        .unwrap();
    assert_merging(&mut client, "first");
    stop.release();
    for table in ["second", "third"] {
        wait_until("all of its database are merged", || is_merged(&mut client, table));
        wait_until("all of the other database are merged", || is_merged(&mut other, table));
    }
    wait_until("rows that came meanwhile are merged", || is_merged(&mut client, "first"));
    wait_until("no worker has stayed", || activity(&mut client).is_empty());
}

/// `longer`: the other database waits for longer than that of the worker.
fn assert_gives_its_seat(longer: bool) {
    let cluster = Cluster::start_with_stops("omendb_learned.max_merge_workers = 1");
    let mut client = cluster.connect();
    client.script("CREATE DATABASE other").unwrap();
    let mut other = cluster.connect_to("other");
    other.script("CREATE EXTENSION omendb_learned").unwrap();
    let stop = cluster.stop_at("PublishBeforeTransition", None, 0);
    create_and_fill(&mut client, "first");
    stop.wait();
    if longer {
        create_and_fill(&mut other, "second");
        create_and_fill(&mut client, "third");
    } else {
        create_and_fill(&mut client, "third");
        create_and_fill(&mut other, "second");
    }
    let next = cluster.stop_at("Frozen", None, 0);
    stop.release();
    next.wait();
    assert!(is_merged(&mut client, "first"));
    assert_merging(&mut other, "second");
    next.release();
    wait_until("the other database is merged", || is_merged(&mut other, "second"));
    wait_until("all is merged", || is_merged(&mut client, "third"));
}

#[test]
fn a_worker_gives_its_seat_to_a_database_that_waits_longer_than_its_own() {
    assert_gives_its_seat(true);
}

#[test]
fn a_worker_gives_its_seat_to_a_database_that_waits_though_its_own_waits_longer() {
    assert_gives_its_seat(false);
}

#[test]
fn a_worker_that_has_more_to_do_leaves_a_database_that_is_dropped_or_copied() {
    let cluster = Cluster::start_with_stops("omendb_learned.max_merge_workers = 1");
    let mut client = cluster.connect();
    client.script("CREATE DATABASE brief").unwrap();
    let mut inside = cluster.connect_to("brief");
    inside.script("CREATE EXTENSION omendb_learned").unwrap();
    for (round, statement) in
        ["CREATE DATABASE copy TEMPLATE brief", "DROP DATABASE brief"].into_iter().enumerate()
    {
        inside = cluster.connect_to("brief");
        let first = cluster.stop_at("PublishBeforeTransition", None, 0);
        create_and_fill(&mut inside, &format!("first{round}"));
        first.wait();
        create_and_fill(&mut inside, &format!("second{round}"));
        let next = cluster.stop_at("Frozen", None, 0);
        drop(inside);
        let command = in_background(cluster.connect(), statement);
        // Until it waits for the range that the worker is at, which it does as long as it takes.
        let waits = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.objid
                     WHERE d.datname = 'brief' AND l.classid = 'pg_database'::regclass
                         AND l.mode IN ('ShareLock', 'AccessExclusiveLock') AND NOT l.granted";
        wait_until("the command waits", || {
            client.query_one(waits, &[]).unwrap().get::<_, i64>(0) > 0
        });
        first.release();
        let (_, outcome) = command.join().unwrap();
        outcome.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        next.release();
        inside = cluster.connect_to("postgres");
    }
    drop(inside);
    wait_until("no worker has stayed", || activity(&mut client).is_empty());
    assert!(!cluster.log().contains("FATAL"), "{}", cluster.log());
}
