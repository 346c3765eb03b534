//! Scans on a standby against what replay does to their pages.

use server_tests::{Script, Subject, check, retrain};

use super::{BACKWARDS, FORWARDS, add_rows, blocks, cluster_with_rows, hold_scan};

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
