//! Unique checks against freezes, publishes, and other inserts of the same key.

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{
    Cluster, Outcome, Script, Subject, check, in_background, pid_of, retrain, wait_until, waits_for,
};

use super::{add_rows, writer};

const KEY: &str = "INSERT INTO t VALUES (77, -1)";

fn unique_cluster() -> Cluster {
    let cluster = Cluster::start_with_stops("");
    cluster
        .connect()
        .script(
            "CREATE TABLE t (k int8, id int4) WITH (autovacuum_enabled = off);
             INSERT INTO t SELECT hashint8extended(g, 1) / 1000, g FROM generate_series(1, 10000) \
             g;
             CREATE UNIQUE INDEX t_k ON t USING learned (k)
                 WITH (fillfactor = 10, auto_retrain = off);
             INSERT INTO t SELECT hashint8extended(g, 1) / 1000, g
                 FROM generate_series(10001, 11000) g",
        )
        .unwrap();
    cluster
}

fn assert_violated((_, outcome): Outcome) {
    let error = outcome.expect_err("a key is there twice");
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION), "{error:?}");
}

fn assert_once(client: &mut Client) {
    client
        .script(
            "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = \
             off",
        )
        .unwrap();
    let rows = client.query("SELECT FROM t WHERE k = 77", &[]).unwrap().len();
    assert_eq!(rows, 1);
    client.script("RESET ALL").unwrap();
    Subject::of("t").assert_exact(client);
}

/// Holds an insert between the look below the active tree and the lock; `meanwhile` another session
/// inserts the key, and moves it on.
fn hold_check(meanwhile: impl FnOnce(&Cluster, &mut Client)) {
    let cluster = unique_cluster();
    let mut client = writer(&cluster);
    add_rows(&mut client, 300_000, 10);
    let stop = cluster.stop_at("UniqueBeforeLock", Some(pid_of(&mut client)), 0);
    let insert = in_background(client, KEY);
    stop.wait();
    let mut other = writer(&cluster);
    meanwhile(&cluster, &mut other);
    stop.release();
    assert_violated(insert.join().unwrap());
    assert_once(&mut other);
}

#[test]
fn a_check_sees_a_key_that_was_inserted_after_it_looked() {
    hold_check(|_, other| other.script(KEY).unwrap());
}

#[test]
fn a_check_sees_a_key_that_was_inserted_and_merged_after_it_looked() {
    hold_check(|_, other| {
        other.script(KEY).unwrap();
        retrain(other, "t_k");
        assert_eq!(check(other, "t_k").unmerged, 0);
    });
}

#[test]
fn a_check_sees_a_key_that_was_inserted_and_merged_into_reused_pages() {
    hold_check(|_, other| {
        other.script(KEY).unwrap();
        retrain(other, "t_k");
        add_rows(other, 400_000, 4_000);
        retrain(other, "t_k");
        add_rows(other, 410_000, 1_000);
    });
}

#[test]
fn a_check_sees_a_key_that_was_inserted_and_frozen_after_it_looked() {
    let cluster = unique_cluster();
    let mut client = writer(&cluster);
    add_rows(&mut client, 300_000, 10);
    let stop = cluster.stop_at("UniqueBeforeLock", Some(pid_of(&mut client)), 0);
    let insert = in_background(client, KEY);
    stop.wait();
    let mut other = writer(&cluster);
    other.script(KEY).unwrap();
    let frozen = cluster.stop_at("Frozen", Some(pid_of(&mut other)), 0);
    let merge = in_background(other, "SELECT learned_retrain('t_k')");
    frozen.wait();
    stop.release();
    // The merge is still held: the key is in the frozen tree.
    assert_violated(insert.join().unwrap());
    frozen.release();
    let (mut other, outcome) = merge.join().unwrap();
    outcome.unwrap();
    assert_once(&mut other);
}

#[test]
fn a_check_that_is_held_while_ranges_are_published_sees_the_key_on_either_side() {
    // The key is merged with the first range, and with a later one.
    for passes in [0, 2] {
        let cluster = unique_cluster();
        let mut other = writer(&cluster);
        other.script("INSERT INTO t SELECT g, g FROM generate_series(70, 80) g").unwrap();
        let mut client = writer(&cluster);
        add_rows(&mut client, 300_000, 10);
        let stop = cluster.stop_at("UniqueBeforeLock", Some(pid_of(&mut client)), 0);
        let insert = in_background(client, KEY);
        // It is there already, in the active tree, so the look below it finds nothing.
        stop.wait();
        let published = cluster.stop_at("PublishedBeforeFree", Some(pid_of(&mut other)), passes);
        let merge = in_background(other, "SELECT learned_retrain('t_k')");
        wait_until("a range is published, or all are", || {
            published.is_reached() || merge.is_finished()
        });
        stop.release();
        assert_violated(insert.join().unwrap());
        published.release();
        let (mut other, outcome) = merge.join().unwrap();
        outcome.unwrap();
        assert_once(&mut other);
    }
}

#[test]
fn the_second_insert_of_a_key_waits_for_the_first() {
    for (end, violated) in [("COMMIT", true), ("ROLLBACK", false)] {
        let cluster = unique_cluster();
        let mut client = writer(&cluster);
        add_rows(&mut client, 300_000, 10);
        let mut other = writer(&cluster);
        add_rows(&mut other, 310_000, 10);
        client.script("BEGIN").unwrap();
        let stop = cluster.stop_at("UniqueUnderLock", Some(pid_of(&mut client)), 0);
        let first = in_background(client, KEY);
        stop.wait();
        let (pid, mut watcher) = (pid_of(&mut other), cluster.connect());
        let second = in_background(other, KEY);
        wait_until("the second waits for the page", || {
            waits_for(&mut watcher, pid).as_deref() == Some("LWLock")
        });
        stop.release();
        let (mut client, outcome) = first.join().unwrap();
        outcome.unwrap();
        wait_until("the second waits for the transaction", || {
            waits_for(&mut watcher, pid).as_deref() == Some("Lock")
        });
        // Nothing of the index is held by one who waits: not even VACUUM and a merge wait for it.
        retrain(&mut watcher, "t_k");
        watcher.script("SET statement_timeout = '20s'; VACUUM (INDEX_CLEANUP on) t").unwrap();
        client.script(end).unwrap();
        let outcome = second.join().unwrap();
        if violated {
            assert_violated(outcome);
        } else {
            outcome.1.unwrap();
        }
        assert_once(&mut writer(&cluster));
    }
}

#[test]
fn a_check_that_has_very_many_rows_to_look_up_can_be_cancelled_at_each_of_them() {
    let cluster = Cluster::start_with_stops("");
    let mut other = writer(&cluster);
    other
        .script(
            "CREATE TABLE t (k int8, id int4) WITH (autovacuum_enabled = off);
             CREATE UNIQUE INDEX t_k ON t USING learned (k) WITH (auto_retrain = off)",
        )
        .unwrap();
    // Someone may see them yet, so that no insert takes their entries out.
    let mut old = writer(&cluster);
    old.script("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").unwrap();
    other
        .batch_execute(
            "DO $$ BEGIN
                FOR version IN 1 .. 2000 LOOP INSERT INTO t VALUES (77, version); DELETE FROM t;
                    END LOOP;
             END $$",
        )
        .unwrap();
    assert_eq!(check(&mut other, "t_k").unmerged, 2_000);
    for passes in [20, 1_500] {
        let mut client = writer(&cluster);
        let pid = pid_of(&mut client);
        let stop = cluster.stop_at("UniqueLook", Some(pid), passes);
        let insert = in_background(client, KEY);
        stop.wait();
        let cancelled = other.query_one("SELECT pg_cancel_backend($1)", &[&pid]).unwrap();
        assert!(cancelled.get::<_, bool>(0));
        // While it is still held: it has no page locked.
        wait_until("the insert is cancelled", || insert.is_finished());
        let error = insert.join().unwrap().1.expect_err("the insert was cancelled");
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error:?}");
        stop.release();
    }
    other.script(KEY).unwrap();
    assert_once(&mut other);
}
