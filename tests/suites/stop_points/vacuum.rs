//! VACUUM against merges, inserts, splits and scans; checks against merges.

use server_tests::{Script, Subject, check, in_background, pid_of, retrain, wait_until, waits_for};

use super::{BACKWARDS, FORWARDS, add_rows, cluster_with_rows, hold_scan, writer};

#[test]
fn vacuum_waits_for_a_merge_and_then_removes_every_dead_row() {
    for point in ["Frozen", "PublishBeforeTransition", "PublishedBeforeFree", "MergedBeforeFree"] {
        let cluster = cluster_with_rows("");
        let mut other = writer(&cluster);
        other.script("DELETE FROM t WHERE id % 3 = 0").unwrap();
        let stop = cluster.stop_at(point, Some(pid_of(&mut other)), 1);
        let merge = in_background(other, "SELECT learned_retrain('t_k')");
        wait_until("the merge is held, or over", || stop.is_reached() || merge.is_finished());
        let mut client = writer(&cluster);
        let (pid, mut watcher) = (pid_of(&mut client), cluster.connect());
        let vacuum = in_background(client, "VACUUM (INDEX_CLEANUP on) t");
        if stop.is_reached() {
            wait_until("VACUUM waits for the exclusion", || {
                waits_for(&mut watcher, pid).as_deref() == Some("Lock")
            });
        }
        stop.release();
        merge.join().unwrap().1.unwrap();
        let (mut client, outcome) = vacuum.join().unwrap();
        outcome.unwrap();
        // Their heap TIDs are used anew, under other keys.
        add_rows(&mut client, 700_000, 7_000);
        Subject::of("t").assert_exact(&mut client);
        client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
        assert_eq!(check(&mut client, "t_k").lost_pages, 0);
    }
}

#[test]
fn a_merge_steps_aside_while_vacuum_is_at_work() {
    let cluster = cluster_with_rows("");
    let mut client = writer(&cluster);
    client.script("DELETE FROM t WHERE id % 3 = 0").unwrap();
    let stop = cluster.stop_at("VacuumBeforePage", Some(pid_of(&mut client)), 20);
    let vacuum = in_background(client, "VACUUM (INDEX_CLEANUP on) t");
    stop.wait();
    let unmerged = check(&mut writer(&cluster), "t_k").unmerged;
    assert!(unmerged > 0);
    let merge = in_background(writer(&cluster), "SELECT learned_retrain('t_k')");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(!merge.is_finished(), "merged while VACUUM removed rows");
    assert_eq!(check(&mut writer(&cluster), "t_k").unmerged, unmerged);
    stop.release();
    let (mut client, outcome) = vacuum.join().unwrap();
    outcome.unwrap();
    merge.join().unwrap().1.unwrap();
    assert_eq!(check(&mut client, "t_k").unmerged, 0);
    Subject::of("t").assert_exact(&mut client);
}

#[test]
fn vacuum_removes_dead_rows_whose_entries_were_moved_by_splits_under_it() {
    for point in ["VacuumSwept", "VacuumBeforePage"] {
        let cluster = cluster_with_rows("");
        let mut other = writer(&cluster);
        add_rows(&mut other, 800_000, 2_000);
        other.script("DELETE FROM t WHERE id % 2 = 0").unwrap();
        let mut client = writer(&cluster);
        let stop = cluster.stop_at(point, Some(pid_of(&mut client)), 0);
        let vacuum = in_background(client, "VACUUM (INDEX_CLEANUP on) t");
        stop.wait();
        add_rows(&mut other, 810_000, 10_000);
        stop.release();
        let (mut client, outcome) = vacuum.join().unwrap();
        outcome.unwrap();
        add_rows(&mut client, 900_000, 10_000);
        Subject::of("t").assert_exact(&mut client);
    }
}

#[test]
fn a_scan_held_while_vacuum_compacts_leaves_sees_its_rows() {
    let cluster = cluster_with_rows("");
    let mut other = writer(&cluster);
    for (round, query) in [FORWARDS, BACKWARDS].into_iter().enumerate() {
        for passes in [0, 3] {
            retrain(&mut other, "t_k");
            // Dead before the scan begins: VACUUM can remove them under it.
            other
                .script(&format!(
                    "DELETE FROM t WHERE id % 7 = {}",
                    round * 2 + passes as usize / 3
                ))
                .unwrap();
            hold_scan(&cluster, query, "ScanBeforeLeaf", passes, || {
                other.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
                add_rows(&mut other, 700_000 + round as i32 * 10_000, 3_000);
                retrain(&mut other, "t_k");
            });
        }
    }
    Subject::of("t").assert_exact(&mut other);
}

#[test]
fn a_check_beside_a_merge_that_is_held_finds_nothing_wrong() {
    let cluster = cluster_with_rows("");
    let mut watcher = writer(&cluster);
    let mut next = 700_000;
    for point in [
        "Frozen",
        "RewriteBeforeDirectory",
        "PublishBeforeTransition",
        "PublishedBeforeFree",
        "FreedOne",
        "MergedBeforeFree",
    ] {
        for passes in [0, 1] {
            let mut client = writer(&cluster);
            add_rows(&mut client, next, 2_000);
            next += 2_000;
            let stop = cluster.stop_at(point, Some(pid_of(&mut client)), passes);
            let merge = in_background(client, "SELECT learned_retrain('t_k')");
            wait_until("the merge is held, or over", || stop.is_reached() || merge.is_finished());
            check(&mut watcher, "t_k");
            Subject::of("t").assert_exact(&mut watcher);
            add_rows(&mut watcher, next, 300);
            next += 300;
            check(&mut watcher, "t_k");
            stop.release();
            merge.join().unwrap().1.unwrap();
            check(&mut watcher, "t_k");
        }
    }
    watcher.script("VACUUM t").unwrap();
    assert_eq!(check(&mut watcher, "t_k").lost_pages, 0);
}
