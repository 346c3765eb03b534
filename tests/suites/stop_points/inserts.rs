//! Inserts against freezes, merges, splits and each other.

use std::time::Duration;

use postgres::Client;
use server_tests::{
    Cluster, Script, Subject, check, in_background, pid_of, retrain, try_retrain, wait_until,
    waits_for,
};

use super::{BACKWARDS, FORWARDS, add_rows, blocks, cluster_with_rows, reader, writer};

const INSERT: &str = "INSERT INTO t VALUES (12345, -1)";

fn assert_there(cluster: &Cluster, id: i32, times: i64) {
    let mut client = writer(cluster);
    let rows = client.query("SELECT FROM t WHERE id = $1", &[&id]).unwrap().len();
    assert_eq!(rows as i64, times);
    Subject::of("t").assert_exact(&mut client);
}

/// Nothing is lost for good: VACUUM finds every page that has no use.
fn assert_no_page_lost(cluster: &Cluster) {
    let mut client = writer(cluster);
    client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
    assert_eq!(check(&mut client, "t_k").lost_pages, 0);
}

#[test]
fn an_insert_whose_leaf_was_frozen_merged_and_reused_goes_to_the_new_tree() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    for reuse in [false, true] {
        let mut client = writer(&cluster);
        // The session has routes to the leaves.
        add_rows(&mut client, 400_000, 10);
        let stop = cluster.stop_at("InsertBeforeLock", Some(pid_of(&mut client)), 0);
        let insert = in_background(client, INSERT);
        stop.wait();
        retrain(&mut other, "t_k");
        if reuse {
            add_rows(&mut other, 410_000, 5_000);
            retrain(&mut other, "t_k");
        }
        stop.release();
        insert.join().unwrap().1.unwrap();
        // A tree was frozen: the row is in another one than its session meant.
        assert!(check(&mut other, "t_k").unmerged >= 1);
        assert_there(&cluster, -1, 1);
        other.script("DELETE FROM t WHERE id = -1 OR id > 400000; VACUUM t").unwrap();
        add_rows(&mut other, 420_000, 2_000);
    }
    assert_no_page_lost(&cluster);
}

#[test]
fn a_merge_waits_for_the_insert_that_has_a_leaf_of_the_frozen_tree_locked() {
    let cluster = cluster_with_rows("");
    let mut client = writer(&cluster);
    add_rows(&mut client, 400_000, 10);
    let stop = cluster.stop_at("InsertUnderLock", Some(pid_of(&mut client)), 0);
    let insert = in_background(client, INSERT);
    stop.wait();
    let mut other = writer(&cluster);
    let (pid, mut watcher) = (pid_of(&mut other), cluster.connect());
    let merge = in_background(other, "SELECT learned_retrain('t_k')");
    wait_until("the merge waits for the page", || {
        waits_for(&mut watcher, pid).as_deref() == Some("LWLock")
    });
    std::thread::sleep(Duration::from_millis(100));
    assert!(!merge.is_finished(), "merged past a leaf that an insert has locked");
    stop.release();
    insert.join().unwrap().1.unwrap();
    merge.join().unwrap().1.unwrap();
    assert_eq!(check(&mut watcher, "t_k").unmerged, 0, "the row was not merged with its tree");
    assert_there(&cluster, -1, 1);
    assert_no_page_lost(&cluster);
}

#[test]
fn of_two_sessions_that_open_a_tree_one_gives_its_page_back() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    retrain(&mut other, "t_k");
    let mut client = writer(&cluster);
    let stop = cluster.stop_at("OpenBeforeTransition", Some(pid_of(&mut client)), 0);
    let insert = in_background(client, INSERT);
    stop.wait();
    add_rows(&mut other, 400_000, 50);
    stop.release();
    insert.join().unwrap().1.unwrap();
    assert_eq!(check(&mut other, "t_k").unmerged, 51);
    assert_eq!(check(&mut other, "t_k").lost_pages, 0);
    // The same, and the other's tree is merged and gone by then.
    retrain(&mut other, "t_k");
    let mut client = writer(&cluster);
    let stop = cluster.stop_at("OpenBeforeTransition", Some(pid_of(&mut client)), 0);
    let insert = in_background(client, INSERT);
    stop.wait();
    add_rows(&mut other, 410_000, 3_000);
    retrain(&mut other, "t_k");
    add_rows(&mut other, 420_000, 10);
    stop.release();
    insert.join().unwrap().1.unwrap();
    assert_eq!(check(&mut other, "t_k").lost_pages, 0);
    assert_there(&cluster, -1, 2);
    assert_no_page_lost(&cluster);
}

#[test]
fn a_split_that_was_prepared_for_a_tree_that_is_gone_leaves_no_page_behind() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    for merged in [false, true] {
        let mut client = writer(&cluster);
        let stop = cluster.stop_at("SplitBeforeLock", Some(pid_of(&mut client)), 0);
        let insert = in_background(
            client,
            "INSERT INTO t SELECT hashint8extended(g, 1) / 1000, g FROM generate_series(500000, \
             510000) g",
        );
        stop.wait();
        // Others split the same pages; or freeze the tree, merge it and use its blocks anew.
        add_rows(&mut other, 520_000, 10_000);
        if merged {
            retrain(&mut other, "t_k");
            add_rows(&mut other, 540_000, 5_000);
        }
        stop.release();
        insert.join().unwrap().1.unwrap();
        Subject::of("t").assert_exact(&mut other);
        other.script("DELETE FROM t WHERE id >= 500000").unwrap();
        assert_no_page_lost(&cluster);
        Subject::of("t").assert_exact(&mut other);
        // A tree whose pages have no room to spare.
        retrain(&mut other, "t_k");
        add_rows(&mut other, 600_000, 1_000);
    }
}

#[test]
fn readers_and_inserts_wait_for_a_split_and_then_find_their_way() {
    let cluster = cluster_with_rows("");
    let mut client = writer(&cluster);
    let stop = cluster.stop_at("SplitUnderLock", Some(pid_of(&mut client)), 3);
    let split = in_background(
        client,
        "INSERT INTO t SELECT hashint8extended(g, 1) / 1000, g FROM generate_series(500000, \
         520000) g",
    );
    stop.wait();
    let before = Subject::of("t").rows(&mut writer(&cluster)).unwrap().len();
    let readers = [FORWARDS, BACKWARDS].map(|query| {
        let mut client = reader(&cluster);
        // The planner looks at the page too: the snapshot is one of before that.
        client.script("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").unwrap();
        in_background(client, query)
    });
    let inserts = in_background(
        writer(&cluster),
        "INSERT INTO t SELECT hashint8extended(g, 1) / 1000, g FROM generate_series(600000, \
         602000) g",
    );
    std::thread::sleep(Duration::from_millis(200));
    assert!(readers.iter().all(|reader| !reader.is_finished()), "read a page amid its split");
    stop.release();
    split.join().unwrap().1.unwrap();
    inserts.join().unwrap().1.unwrap();
    for reader in readers {
        let rows = reader.join().unwrap().1.unwrap();
        assert_eq!(rows.len(), before);
    }
    assert_there(&cluster, 600_500, 1);
    assert!(try_retrain(&mut writer(&cluster), "t_k").unwrap());
    assert_no_page_lost(&cluster);
    assert!(blocks(&mut writer(&cluster)) > 0);
}

#[test]
fn of_two_serializable_sessions_one_fails_if_one_reads_while_the_other_inserts() {
    let cluster = Cluster::start_with_stops("");
    cluster
        .connect()
        .script(
            "CREATE TABLE t (k int8, id int4) WITH (autovacuum_enabled = off);
             INSERT INTO t SELECT g, g FROM generate_series(1, 1000) g;
             CREATE INDEX t_k ON t USING learned (k) WITH (auto_retrain = off); VACUUM ANALYZE t",
        )
        .unwrap();
    let begin = || {
        let mut client = cluster.connect();
        client
            .script(
                "SET enable_seqscan = off; SET default_transaction_isolation = serializable; BEGIN",
            )
            .unwrap();
        client
    };
    // Each inserts a row that the other has looked for in vain.
    let count = |client: &mut Client| -> i64 {
        client.query_one("SELECT count(*) FROM t WHERE k = 5000", &[]).unwrap().get(0)
    };
    let (mut first, mut second) = (begin(), begin());
    assert_eq!(count(&mut first), 0);
    let stop = cluster.stop_at("InsertBeforeLock", Some(pid_of(&mut first)), 0);
    let insert = in_background(first, "INSERT INTO t VALUES (5000, 1)");
    stop.wait();
    assert_eq!(count(&mut second), 0);
    stop.release();
    let (mut first, outcome) = insert.join().unwrap();
    let first = outcome.and_then(|_| first.script("COMMIT"));
    let second = second.script("INSERT INTO t VALUES (5000, 2); COMMIT");
    assert!(first.is_err() || second.is_err(), "no order of the two gives this");
}
