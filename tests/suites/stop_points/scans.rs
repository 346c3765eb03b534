//! Scans against publishes, reuse of pages, splits, and whole cycles of merges.

use server_tests::{
    Script, Subject, check, fetch, in_background, pid_of, retrain, wait_until, waits_for,
};

use super::{BACKWARDS, FORWARDS, add_rows, blocks, cluster_with_rows, hold_scan, reader, writer};

/// Where a scan is held: in its first portion, and amid later ones.
const PORTIONS: [u32; 3] = [0, 1, 4];

#[test]
fn a_scan_between_delta_and_leaf_sees_each_row_once_when_a_merge_publishes() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    let mut next = 100_000;
    for query in [FORWARDS, BACKWARDS] {
        for passes in PORTIONS {
            hold_scan(&cluster, query, "ScanBeforeLeaf", passes, || {
                retrain(&mut other, "t_k");
                assert_eq!(check(&mut other, "t_k").unmerged, 0, "nothing was merged");
            });
            add_rows(&mut other, next, 1_000);
            next += 1_000;
        }
    }
    Subject::of("t").assert_exact(&mut other);
}

#[test]
fn a_scan_never_reads_a_page_that_was_reused_under_it() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    let mut next = 100_000;
    for (query, point) in [
        (FORWARDS, "ScanBeforeLeaf"),
        (BACKWARDS, "ScanBeforeLeaf"),
        (FORWARDS, "DeltaBeforeRead"),
        (BACKWARDS, "DeltaBeforeRead"),
    ] {
        for passes in PORTIONS {
            hold_scan(&cluster, query, point, passes, || {
                retrain(&mut other, "t_k");
                let before = blocks(&mut other);
                // Pages of the next delta tree, and, merged, of leaves and directory.
                add_rows(&mut other, next, 4_000);
                retrain(&mut other, "t_k");
                add_rows(&mut other, next + 4_000, 1_000);
                next += 5_000;
                let after = blocks(&mut other);
                assert!(after - before < before / 4, "{before} blocks grew to {after}: no reuse");
            });
            // So that there is something to be reused the next time too.
            other.script("DELETE FROM t WHERE id >= 100000; VACUUM t").unwrap();
            add_rows(&mut other, next, 1_000);
            next += 1_000;
        }
    }
    Subject::of("t").assert_exact(&mut other);
}

#[test]
fn a_scan_follows_the_splits_of_the_page_that_it_was_about_to_read() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    for query in [BACKWARDS, FORWARDS] {
        for passes in PORTIONS {
            hold_scan(&cluster, query, "DeltaBeforeRead", passes, || {
                let pages = check(&mut other, "t_k").unmerged;
                add_rows(&mut other, 100_000, 20_000);
                assert!(check(&mut other, "t_k").unmerged > pages * 4, "no page was split");
            });
            other.script("DELETE FROM t WHERE id >= 100000; VACUUM t").unwrap();
            retrain(&mut other, "t_k");
            add_rows(&mut other, 50_000, 2_000);
            other
                .script("DELETE FROM t WHERE id BETWEEN 50000 AND 60000 AND random() < 0.5")
                .unwrap();
        }
    }
    Subject::of("t").assert_exact(&mut other);
}

#[test]
fn a_cursor_left_open_across_two_cycles_returns_the_rows_of_its_snapshot() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    for query in [FORWARDS, BACKWARDS] {
        let mut client = reader(&cluster);
        client.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
        let expected = fetch(&mut client, query).unwrap();
        client.script(&format!("DECLARE c SCROLL CURSOR FOR {query}")).unwrap();
        let mut found = fetch(&mut client, "FETCH 10 FROM c").unwrap();
        for cycle in 0..2 {
            add_rows(&mut other, 200_000 + cycle * 10_000, 3_000);
            other
                .script("DELETE FROM t WHERE id % 5 = 0; UPDATE t SET k = k + 1 WHERE id % 7 = 0")
                .unwrap();
            retrain(&mut other, "t_k");
            other.script("VACUUM t").unwrap();
            found.extend(fetch(&mut client, "FETCH 700 FROM c").unwrap());
        }
        found.extend(fetch(&mut client, "FETCH ALL FROM c").unwrap());
        assert!(found == expected, "{} rows instead of {}", found.len(), expected.len());
        let mut back = fetch(&mut client, "FETCH BACKWARD ALL FROM c").unwrap();
        back.reverse();
        assert!(back == expected, "backwards {} rows instead of {}", back.len(), expected.len());
        client.script("COMMIT").unwrap();
    }
    Subject::of("t").assert_exact(&mut other);
}

#[test]
fn vacuum_waits_for_an_index_only_scan_whose_page_was_replaced_and_reused() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    // Dead for everybody, the cursor included, so that VACUUM has to remove them.
    other.script("VACUUM t; DELETE FROM t WHERE id % 9 = 0").unwrap();
    let mut client = cluster.connect();
    client
        .script(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; BEGIN ISOLATION LEVEL \
             REPEATABLE READ",
        )
        .unwrap();
    let expected = fetch(&mut client, "SELECT k, 0 FROM t ORDER BY k").unwrap();
    client.script("DECLARE c CURSOR FOR SELECT k, 0 FROM t ORDER BY k").unwrap();
    let mut found = fetch(&mut client, "FETCH 1 FROM c").unwrap();
    // The page that is pinned gets another content, of another kind.
    let before = blocks(&mut other);
    for round in 0..3 {
        add_rows(&mut other, 300_000 + round * 10_000, 4_000);
        retrain(&mut other, "t_k");
    }
    assert!(blocks(&mut other) < before * 2, "the pages were not reused");
    let (pid, mut watcher) = (pid_of(&mut other), cluster.connect());
    let vacuum = in_background(other, "VACUUM t");
    wait_until("VACUUM waits for the pin", || {
        waits_for(&mut watcher, pid).as_deref() == Some("BufferPin")
    });
    // What was copied from the page is still returned, then the pin is given back.
    found.extend(fetch(&mut client, "FETCH 40 FROM c").unwrap());
    assert!(!vacuum.is_finished(), "VACUUM did not wait for the cursor");
    found.extend(fetch(&mut client, "FETCH ALL FROM c").unwrap());
    client.script("COMMIT").unwrap();
    let (mut other, outcome) = vacuum.join().unwrap();
    outcome.unwrap();
    assert!(found == expected, "{} rows instead of {}", found.len(), expected.len());
    Subject::of("t").assert_exact(&mut other);
}

/// The check of an exclusion constraint is no index-only scan, and needs its pins all the same: its
/// snapshot sees whatever row has the heap TID of a dead entry by then.
#[test]
fn an_exclusion_check_takes_no_row_for_the_dead_one_that_had_its_heap_tid() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    for unmerged in [false, true] {
        let index = if unmerged { "" } else { "REINDEX TABLE e;" };
        other
            .script(&format!(
                "DROP TABLE IF EXISTS e;
                     CREATE TABLE e (k int8, CONSTRAINT e_k EXCLUDE USING learned (k WITH =));
                 INSERT INTO e SELECT generate_series(1, 100); {index} DELETE FROM e WHERE k = 5"
            ))
            .unwrap();
        let mut client = writer(&cluster);
        let stop = cluster.stop_at("ScanCopied", Some(pid_of(&mut client)), 0);
        let insert = in_background(client, "INSERT INTO e VALUES (5)");
        stop.wait();
        let (pid, mut watcher) = (pid_of(&mut other), cluster.connect());
        let vacuum = in_background(other, "VACUUM e");
        wait_until("VACUUM waits for the pin, or is done", || {
            vacuum.is_finished() || waits_for(&mut watcher, pid).as_deref() == Some("BufferPin")
        });
        if vacuum.is_finished() {
            watcher.script("INSERT INTO e SELECT generate_series(101, 110)").unwrap();
        }
        stop.release();
        insert.join().unwrap().1.unwrap();
        let outcome;
        (other, outcome) = vacuum.join().unwrap();
        outcome.unwrap();
        let violated = other.batch_execute("INSERT INTO e VALUES (5)").unwrap_err();
        assert_eq!(violated.code(), Some(&postgres::error::SqlState::EXCLUSION_VIOLATION));
    }
}
