//! Inserts that take out entries of dead rows, against VACUUM, merges and each other.

use std::thread::JoinHandle;

use postgres::Client;
use server_tests::{
    Cluster, Outcome, Script, Stop, Subject, check, in_background, pid_of, retrain, wait_until,
    waits_for,
};

use super::writer;

const ROWS: &str = "INSERT INTO u SELECT g, g FROM generate_series(1, 1000) g";

/// A unique index whose active tree has the entries of rows that were rolled back.
fn cluster_with_dead_rows() -> Cluster {
    let cluster = Cluster::start_with_stops("");
    cluster
        .connect()
        .script(&format!(
            "SET client_min_messages = error;
             CREATE TABLE u (k int8, id int4) WITH (autovacuum_enabled = off);
             CREATE UNIQUE INDEX u_k ON u USING learned (k) WITH (auto_retrain = off);
             BEGIN; {ROWS}; ROLLBACK"
        ))
        .unwrap();
    cluster
}

/// A session that inserts the rows, held where it takes entries out.
fn held_at(cluster: &Cluster, point: &str) -> (Stop, JoinHandle<Outcome>) {
    let mut client = writer(cluster);
    let stop = cluster.stop_at(point, Some(pid_of(&mut client)), 0);
    let insert = in_background(client, ROWS);
    stop.wait();
    (stop, insert)
}

fn waits_for_a_pin(client: &mut Client, pid: i32) -> bool {
    let event = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'BufferPin'";
    client.query_one(event, &[&pid]).unwrap().get::<_, i64>(0) == 1
}

fn expect_rows(cluster: &Cluster, table: &str, rows: usize) {
    let mut client = writer(cluster);
    let subject = Subject::of(table);
    assert_eq!(subject.rows(&mut client).unwrap().len(), rows);
    subject.assert_exact(&mut client);
    client.script(&format!("VACUUM (INDEX_CLEANUP on) {table}")).unwrap();
    subject.assert_exact(&mut client);
    assert_eq!(check(&mut client, &format!("{table}_k")).lost_pages, 0);
}

#[test]
fn vacuum_gives_no_tid_to_another_row_while_an_insert_takes_its_entry_out() {
    let cluster = cluster_with_dead_rows();
    let (stop, insert) = held_at(&cluster, "RemovalBeforeLock");
    let (mut vacuum, mut watcher) = (writer(&cluster), cluster.connect());
    let pid = pid_of(&mut vacuum);
    let vacuum = in_background(vacuum, "VACUUM (INDEX_CLEANUP on) u");
    wait_until("VACUUM waits for the insert", || waits_for_a_pin(&mut watcher, pid));
    // Rows with other TIDs, as long as VACUUM waits.
    watcher.script("INSERT INTO u SELECT g, g FROM generate_series(5001, 5400) g").unwrap();
    stop.release();
    insert.join().unwrap().1.unwrap();
    vacuum.join().unwrap().1.unwrap();
    watcher.script("INSERT INTO u SELECT g, g FROM generate_series(6001, 6400) g").unwrap();
    expect_rows(&cluster, "u", 1_800);
}

#[test]
fn an_insert_that_found_dead_rows_before_a_merge_moved_them_takes_nothing_out() {
    let cluster = cluster_with_dead_rows();
    let (stop, insert) = held_at(&cluster, "RemovalBeforeLock");
    let mut other = writer(&cluster);
    retrain(&mut other, "u_k");
    // The leaf's block may be one of another tree by now.
    other.script("INSERT INTO u SELECT g, g FROM generate_series(5001, 8000) g").unwrap();
    stop.release();
    insert.join().unwrap().1.unwrap();
    expect_rows(&cluster, "u", 4_000);
}

#[test]
fn an_insert_that_found_dead_rows_before_their_leaf_was_split_takes_out_what_is_left() {
    let cluster = cluster_with_dead_rows();
    let (stop, insert) = held_at(&cluster, "RemovalBeforeLock");
    let mut other = writer(&cluster);
    // Keys between the others: as many as to split each leaf.
    other
        .script(
            "INSERT INTO u SELECT -g, g FROM generate_series(1, 2000) g;
             BEGIN; INSERT INTO u SELECT g, -g FROM generate_series(300, 700) g; ROLLBACK",
        )
        .unwrap();
    stop.release();
    insert.join().unwrap().1.unwrap();
    expect_rows(&cluster, "u", 3_000);
}

#[test]
fn a_merge_waits_for_an_insert_that_takes_entries_out_of_a_leaf() {
    let cluster = cluster_with_dead_rows();
    let (stop, insert) = held_at(&cluster, "RemovalUnderLock");
    let (mut merger, mut watcher) = (writer(&cluster), cluster.connect());
    let pid = pid_of(&mut merger);
    let merge = in_background(merger, "SELECT learned_retrain('u_k')");
    wait_until("the merge waits for the leaf", || {
        waits_for(&mut watcher, pid).as_deref() == Some("LWLock")
    });
    stop.release();
    insert.join().unwrap().1.unwrap();
    merge.join().unwrap().1.unwrap();
    expect_rows(&cluster, "u", 1_000);
}

/// A session with dead rows in leaves that it marks for all sessions, held before it does so.
fn held_before_marks(cluster: &Cluster) -> (Stop, JoinHandle<Outcome>) {
    let mut client = writer(cluster);
    client
        .script(
            "CREATE TABLE m (k int8, id int4) WITH (autovacuum_enabled = off);
             INSERT INTO m SELECT g, g FROM generate_series(1, 3000) g;
             CREATE INDEX m_k ON m USING learned (k) WITH (auto_retrain = off);
             DELETE FROM m WHERE k <= 1000;
             SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off",
        )
        .unwrap();
    let stop = cluster.stop_at("MarkBeforeLock", Some(pid_of(&mut client)), 0);
    let scan = in_background(client, "SELECT count(id) FROM m WHERE k < 2000");
    stop.wait();
    (stop, scan)
}

#[test]
fn vacuum_gives_no_tid_to_another_row_while_a_scan_marks_dead_entries() {
    let cluster = Cluster::start_with_stops("");
    let (stop, scan) = held_before_marks(&cluster);
    let (mut vacuum, mut watcher) = (writer(&cluster), cluster.connect());
    let pid = pid_of(&mut vacuum);
    let vacuum = in_background(vacuum, "VACUUM (INDEX_CLEANUP on) m");
    wait_until("VACUUM waits for the scan", || {
        waits_for(&mut watcher, pid).as_deref() == Some("Lock")
    });
    watcher.script("INSERT INTO m SELECT g, -g FROM generate_series(1, 300) g").unwrap();
    stop.release();
    scan.join().unwrap().1.unwrap();
    vacuum.join().unwrap().1.unwrap();
    watcher.script("INSERT INTO m SELECT g, -g FROM generate_series(301, 600) g").unwrap();
    expect_rows(&cluster, "m", 2_600);
}

#[test]
fn a_scan_that_is_ended_before_it_marks_dead_entries_leaves_everything_as_it_is() {
    let cluster = Cluster::start_with_stops("");
    let (stop, scan) = held_before_marks(&cluster);
    let mut watcher = writer(&cluster);
    // Nobody merges meanwhile; inserts and scans go on.
    watcher
        .script(
            "INSERT INTO m SELECT g, -g FROM generate_series(1, 300) g;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE query LIKE 'SELECT count(id) FROM m%'",
        )
        .unwrap();
    stop.release();
    let _ = scan.join();
    expect_rows(&cluster, "m", 2_300);
}
