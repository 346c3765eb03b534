//! The background worker that merges: not there, killed, or in the way of a DROP.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::SqlState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Job, LEFT_UNMERGED, Script, Subject, check, is_learned, retrain, run_together, seed,
    test_duration, try_retrain, wait_until,
};

/// Says so, where there is no worker to test.
fn skipped() -> bool {
    if !is_learned() {
        println!("skipped: only a learned index has a worker");
    }
    !is_learned()
}

fn create(client: &mut Client, options: &str) {
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4);
             INSERT INTO t SELECT hashint8extended(g, 1), g FROM generate_series(1, 10000) g;
             CREATE INDEX t_k ON t USING learned (k) WITH (retrain_threshold = 1{options})"
        ))
        .unwrap();
}

/// Inserts rows of new ids, and deletes as many of the oldest.
fn turn_over(client: &mut Client, next: &mut i32) {
    let base = 10_000 + *next;
    *next += 500;
    client
        .script(&format!(
            "INSERT INTO t SELECT hashint8extended({base} + g, 1), {base} + g
                 FROM generate_series(1, 500) g;
             DELETE FROM t WHERE id <= {base} - 15000"
        ))
        .unwrap();
}

/// Inserts enough rows for a worker to begin a merge.
fn fill(client: &mut Client, next: &mut i32) {
    let base = 10_000 + *next;
    *next += 60_000;
    client
        .script(&format!(
            "INSERT INTO t SELECT hashint8extended({base} + g, 1), {base} + g
                 FROM generate_series(1, 60000) g"
        ))
        .unwrap();
}

fn assert_no_crash(cluster: &Cluster) {
    let log = cluster.log();
    assert!(!log.contains("PANIC") && !log.contains("terminated by signal"), "{log}");
}

#[test]
fn without_worker_processes_inserts_and_merges_by_hand_go_on() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start_with("max_worker_processes = 0");
    let mut client = cluster.connect();
    create(&mut client, "");
    let mut next = 0;
    for round in 0..20 {
        turn_over(&mut client, &mut next);
        if round % 5 == 4 {
            Subject::of("t").assert_exact(&mut client);
            retrain(&mut client, "t_k");
            client.script("VACUUM t").unwrap();
            Subject::of("t").assert_exact(&mut client);
        }
    }
    assert_no_crash(&cluster);
}

#[test]
fn a_worker_that_is_terminated_leaves_the_index_intact() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "");
    let terminated = AtomicU64::new(0);
    let (mut writer, mut next) = (cluster.connect(), 0);
    let mut killer = cluster.connect();
    let mut reader = cluster.connect();
    let mut rng = StdRng::seed_from_u64(seed());
    let mut pause = StdRng::seed_from_u64(seed() + 1);
    let jobs = vec![
        Job::endless("writer", move || turn_over(&mut writer, &mut next)),
        Job::endless("killer", || {
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type \
                        = 'learned retrain'";
            let killed = killer.query(kill, &[]).unwrap().len();
            terminated.fetch_add(killed as u64, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(pause.random_range(0..10)));
        }),
        Job::endless("reader", move || {
            reader.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
            Subject::of("t").compare(&mut reader, 3, &mut rng).unwrap();
            reader.script("COMMIT").unwrap();
        }),
    ];
    run_together(test_duration(0.4), jobs);
    println!("{terminated:?} workers terminated");
    assert!(terminated.into_inner() > 0, "no worker was ever seen");
    Subject::of("t").assert_exact(&mut client);
    retrain(&mut client, "t_k");
    client.script("VACUUM t").unwrap();
    Subject::of("t").assert_exact(&mut client);
    assert_no_crash(&cluster);
}

#[test]
fn a_merge_that_is_cancelled_leaves_the_index_intact() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, ", auto_retrain = off");
    let mut rng = StdRng::seed_from_u64(seed());
    let (mut cancelled, mut next) = (0, 0);
    for round in 0..60 {
        turn_over(&mut client, &mut next);
        // A session of its own: the time may be too short to take the limit back.
        let mut limited = cluster.connect();
        limited.script(&format!("SET statement_timeout = {}", rng.random_range(1..8))).unwrap();
        if let Err(error) = try_retrain(&mut limited, "t_k") {
            assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error:?}");
            cancelled += 1;
        }
        if round % 10 == 9 {
            Subject::of("t").assert_exact(&mut client);
            client.script("VACUUM t").unwrap();
            Subject::of("t").assert_exact(&mut client);
        }
    }
    println!("{cancelled} of 60 merges cancelled");
    retrain(&mut client, "t_k");
    Subject::of("t").assert_exact(&mut client);
    assert_no_crash(&cluster);
}

/// Runs the statement until it succeeds, for ten seconds at most.
fn eventually(client: &mut Client, statement: &str) {
    let start = Instant::now();
    while let Err(error) = client.script(statement) {
        let busy = [SqlState::OBJECT_IN_USE, SqlState::LOCK_NOT_AVAILABLE];
        assert!(error.code().is_some_and(|code| busy.contains(code)), "{statement}: {error:?}");
        assert!(start.elapsed() < Duration::from_secs(10), "{statement} never succeeds: {error:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn whatever_a_worker_merges_can_be_dropped() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let mut next = 0;
    for statement in [
        "DROP INDEX t_k",
        "DROP TABLE t",
        "TRUNCATE t",
        "DROP INDEX CONCURRENTLY t_k",
        "REINDEX INDEX t_k",
        "DROP EXTENSION omendb_learned CASCADE; CREATE EXTENSION omendb_learned",
    ] {
        for round in 0..4 {
            client.script("SET lock_timeout = '10s'; DROP TABLE IF EXISTS t").unwrap();
            create(&mut client, "");
            fill(&mut client, &mut next);
            // Now, or when a worker may be in the middle of it.
            std::thread::sleep(Duration::from_millis(10 * round));
            client.script(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
    }
    for _ in 0..4 {
        client.script("CREATE DATABASE brief").unwrap();
        let mut inside = cluster.connect_to("brief");
        inside.script("CREATE EXTENSION omendb_learned").unwrap();
        create(&mut inside, "");
        fill(&mut inside, &mut next);
        drop(inside);
        eventually(&mut client, "DROP DATABASE brief");
    }
    assert_no_crash(&cluster);
}

/// Waits for the workers to have merged so much that they have no reason to go on, and to rest.
fn wait_until_merged(client: &mut Client) {
    let active = "SELECT count(*) FROM pg_stat_activity
                  WHERE backend_type = 'learned retrain' AND state = 'active'";
    wait_until("the rows are merged", || {
        check(client, "t_k").unmerged <= LEFT_UNMERGED
            && client.query_one(active, &[]).unwrap().get::<_, i64>(0) == 0
    });
}

#[test]
fn a_worker_goes_on_with_the_new_file_after_truncate() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "");
    let mut next = 0;
    for _ in 0..3 {
        for _ in 0..3 {
            fill(&mut client, &mut next);
        }
        wait_until_merged(&mut client);
        // The blocks that the worker knows to be free are beyond the end of the new file.
        client.script("TRUNCATE t").unwrap();
        fill(&mut client, &mut next);
        fill(&mut client, &mut next);
        Subject::of("t").assert_exact(&mut client);
    }
    assert!(!cluster.log().contains("ERROR"), "{}", cluster.log());
    assert_no_crash(&cluster);
}

#[test]
fn an_index_that_is_not_ready_is_not_merged() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client.script("CREATE TABLE t (k int8, id int4); INSERT INTO t VALUES (1, 1), (1, 2)").unwrap();
    let create = "CREATE UNIQUE INDEX CONCURRENTLY t_k ON t USING learned (k)";
    client.script(create).expect_err("a unique index over duplicates");
    let error = try_retrain(&mut client, "t_k").expect_err("an index that was never built");
    assert_eq!(error.code(), Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE), "{error:?}");
    client.script("DELETE FROM t WHERE id = 2; REINDEX INDEX t_k").unwrap();
    retrain(&mut client, "t_k");
    Subject::of("t").assert_exact(&mut client);
}

#[test]
fn a_worker_leaves_rows_alone_that_come_after_auto_retrain_was_turned_off() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let mut next = 0;
    create(&mut client, "");
    // A worker that is there, and looks again for a while.
    fill(&mut client, &mut next);
    std::thread::sleep(Duration::from_millis(300));
    client.script("ALTER INDEX t_k SET (auto_retrain = off)").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    fill(&mut client, &mut next);
    std::thread::sleep(Duration::from_secs(2));
    let merged = "SELECT merged_rows FROM learned_retrain('t_k')";
    let merged: i64 = client.query_one(merged, &[]).unwrap().get(0);
    assert!(merged >= 60_000, "{merged} of 60000 rows were left");
    Subject::of("t").assert_exact(&mut client);
}
