//! A streaming standby under a primary that writes, merges and vacuums.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use postgres::Client;
use postgres::error::SqlState;
use rand::SeedableRng;
use rand::rngs::StdRng;
use server_tests::{
    Cluster, Job, Script, Shutdown, Subject, retrain, run_together, seed, test_duration,
};

use crate::concurrency::writers;

/// Compares in one snapshot, unless replay cancels that to end a deadlock on a page. Returns the
/// number of index scans.
fn compare(client: &mut Client, rng: &mut StdRng) -> usize {
    client.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").unwrap();
    let outcome = Subject::of("t").compare(client, 3, rng);
    client.script("ROLLBACK").unwrap();
    if let Err(error) = &outcome {
        let cancelled = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
        assert!(error.code().is_some_and(|code| cancelled.contains(code)), "{error:?}");
    }
    outcome.unwrap_or(0)
}

#[test]
fn a_standby_answers_right_at_any_moment_of_replay_and_after_promotion() {
    follow("(k)");
}

#[test]
fn so_it_does_with_an_index_on_two_columns() {
    follow("(k, id DESC)");
}

fn follow(columns: &str) {
    let cluster = Cluster::start_with(
        "wal_level = replica\nmax_wal_senders = 4\ndeadlock_timeout = 50ms\n\
         max_standby_streaming_delay = -1",
    );
    let mut client = cluster.connect();
    writers::create_on(&mut client, columns);
    let standby = cluster.standby();
    let scans = AtomicUsize::new(0);
    // Where replay was seen to be.
    let places = Mutex::new(HashSet::new());
    let mut jobs = writers::jobs(&cluster);
    for number in 0..2 {
        let mut reader = standby.connect();
        let mut rng = StdRng::seed_from_u64(seed() + number);
        let (scans, places) = (&scans, &places);
        jobs.push(Job::endless("reader of the standby", move || {
            scans.fetch_add(compare(&mut reader, &mut rng), Ordering::Relaxed);
            let place = "SELECT pg_last_wal_replay_lsn()::text";
            let place: String = reader.query_one(place, &[]).unwrap().get(0);
            places.lock().unwrap().insert(place);
        }));
    }
    let steps = run_together(test_duration(0.3), jobs);
    let scans = scans.into_inner();
    let places = places.into_inner().unwrap().len();
    println!("{scans} index scans on the standby at {places} places of replay; steps: {steps:?}");
    assert!(scans > 0, "replay cancelled every reader");
    assert!(places > 3, "replay stood still under the readers");

    // All that came over is there, also when the standby has to replay it once more.
    let subject = Subject::of("t");
    for how in [None, Some(Shutdown::Crash), Some(Shutdown::Clean)] {
        if let Some(how) = how {
            standby.restart(how);
        }
        standby.catch_up(&cluster);
        let mut reader = standby.connect();
        subject.assert_exact(&mut reader);
        let (here, there) =
            (subject.rows(&mut reader).unwrap(), subject.rows(&mut client).unwrap());
        assert!(here == there, "{} rows instead of {}", here.len(), there.len());
    }

    // A session that read from the standby goes on over the promotion.
    let mut reader = standby.connect();
    subject.assert_exact(&mut reader);
    standby.promote();
    for client in [&mut reader, &mut standby.connect()] {
        client
            .script(
                "INSERT INTO t SELECT hashint4(g), -g, 0 FROM generate_series(1, 3000) g;
                 UPDATE t SET k = k + 1 WHERE id % 5 = 0; DELETE FROM t WHERE id % 6 = 0",
            )
            .unwrap();
        subject.assert_exact(client);
        retrain(client, "t_k");
        subject.assert_exact(client);
        client.script("VACUUM t").unwrap();
        subject.assert_exact(client);
    }
    for server in [&cluster, &standby] {
        let log = server.log();
        assert!(!log.contains("PANIC") && !log.contains("terminated by signal"), "{log}");
    }
}
