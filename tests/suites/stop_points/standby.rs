//! Scans on a standby against what replay does to their pages.

use server_tests::{
    Row, Script, Subject, assert_plan, check, fetch, in_background, pid_of, retrain,
};

use super::{BACKWARDS, FORWARDS, add_rows, blocks, cluster_with_rows, hold_scan, reader};

#[test]
fn a_scan_on_a_standby_survives_replayed_publishes_and_reuse() {
    let primary = cluster_with_rows(
        "wal_level = replica\nmax_wal_senders = 4\nwal_consistency_checking = 'generic'",
    );
    let standby = primary.standby();
    let mut writer = primary.connect();
    let mut next = 100_000;
    for (query, point) in [
        (FORWARDS, "ScanBeforeLeaf"),
        (BACKWARDS, "ScanBeforeLeaf"),
        (FORWARDS, "DeltaBeforeRead"),
        (BACKWARDS, "DeltaBeforeRead"),
    ] {
        for passes in [0, 2] {
            standby.catch_up(&primary);
            hold_scan(&standby, query, point, passes, || {
                retrain(&mut writer, "t_k");
                let before = blocks(&mut writer);
                add_rows(&mut writer, next, 4_000);
                retrain(&mut writer, "t_k");
                add_rows(&mut writer, next + 4_000, 1_000);
                next += 5_000;
                assert!(blocks(&mut writer) - before < before / 4, "no page was reused");
                standby.catch_up(&primary);
            });
            writer.script("DELETE FROM t WHERE id >= 100000; VACUUM t").unwrap();
            add_rows(&mut writer, next, 1_000);
            next += 1_000;
        }
    }
    standby.catch_up(&primary);
    let mut reader = standby.connect();
    check(&mut reader, "t_k");
    Subject::of("t").assert_exact(&mut reader);
    assert!(!standby.log().contains("inconsistent page"), "{}", standby.log());
}

/// A scan that has copied a portion and not looked at the visibility map yet, or not looked at the
/// leaf again: VACUUM and a merge are replayed, and heap TIDs are given to other rows.
#[test]
fn an_index_only_scan_on_a_standby_believes_no_map_that_is_younger_than_its_entries() {
    let primary = cluster_with_rows(
        "wal_level = replica\nmax_wal_senders = 4\nmax_standby_streaming_delay = -1",
    );
    let standby = primary.standby();
    let mut writer = primary.connect();
    let mut next = 100_000;
    let mut dead = 0;
    for point in ["ScanBeforeMap", "ScanBeforeSecondLook"] {
        for (merges, order, from) in [
            (false, "k", "k IS NOT NULL"),
            (false, "k DESC", "k < 2000000000000000"),
            (true, "k", "k > 500000000000000"),
            (true, "k", "k > 0"),
            (true, "k DESC", "k IS NOT NULL"),
        ] {
            // Dead before the snapshot, and seen by nobody.
            let delete = format!("VACUUM t; DELETE FROM t WHERE id % 14 = {dead}");
            writer.script(&delete).unwrap();
            dead += 1;
            standby.catch_up(&primary);
            let mut client = reader(&standby);
            client.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
            let query = format!("SELECT k, 0 FROM t WHERE {from} ORDER BY {order}");
            client
                .script("SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off")
                .unwrap();
            assert_plan(&mut client, &query, &["Seq Scan"], &["Index"]);
            let expected = fetch(&mut client, &query).unwrap();
            client
                .script(
                    "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = on; SET LOCAL \
                     enable_indexonlyscan = on",
                )
                .unwrap();
            assert_plan(&mut client, &query, &["Index Only Scan"], &["Sort", "Seq Scan"]);
            fetch(&mut client, "SELECT k, 0 FROM t WHERE k = 0").unwrap();
            // In its first portion: later ones have pins of the table, for which replay waits.
            let stop = standby.stop_at(point, Some(pid_of(&mut client)), 0);
            let scan = in_background(client, &query);
            stop.wait();
            writer.script("VACUUM t").unwrap();
            if merges {
                retrain(&mut writer, "t_k");
            }
            // In every other round pages become all-visible again, and stay so.
            if dead % 2 == 0 {
                add_rows(&mut writer, next, 3_000);
                next += 3_000;
            }
            standby.catch_up(&primary);
            stop.release();
            let (mut client, rows) = scan.join().unwrap();
            let rows: Vec<Row> = rows.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
            let (found, right) = (rows.len(), expected.len());
            assert!(rows == expected, "{point}, {query}: {found} rows instead of {right}");
            client.script("COMMIT").unwrap();
        }
    }
    standby.catch_up(&primary);
    Subject::of("t").assert_exact(&mut standby.connect());
}
