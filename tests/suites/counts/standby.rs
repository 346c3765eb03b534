//! Counts on a standby while it replays what its primary writes, merges and vacuums.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use server_tests::{Cluster, check, run_together, test_duration};

use super::beside::{counter, create, create_pairs, pair_counter, pair_jobs};
use crate::concurrency::writers;

#[test]
fn counts_on_a_standby_agree_with_a_sequential_scan_at_any_moment_of_replay() {
    let primary = Cluster::start_with(
        "wal_level = replica\nmax_wal_senders = 4\ndeadlock_timeout = 50ms\n\
         max_standby_streaming_delay = 1s\nwal_receiver_status_interval = 1s\n\
         hot_standby_feedback = on",
    );
    let mut client = primary.connect();
    create(&mut client, "(k)");
    create_pairs(&mut client);
    let standby = primary.standby();
    let (tally, cancelled) = (Mutex::default(), AtomicU64::new(0));
    let mut jobs = vec![
        counter(&standby, 0, &tally, &cancelled),
        counter(&standby, 1, &tally, &cancelled),
        pair_counter(&standby, 0, &cancelled),
    ];
    jobs.extend(pair_jobs(&primary));
    jobs.extend(writers::jobs(&primary));
    let place = "SELECT pg_last_wal_replay_lsn()::text";
    let mut watcher = standby.connect();
    let mut place = || watcher.query_one(place, &[]).unwrap().get::<_, String>(0);
    let before = place();
    let steps = run_together(test_duration(0.8), jobs);
    println!("3 counters, 3 of pairs, 6 writers: {steps:?}; cancelled: {cancelled:?}");
    assert!(steps.iter().all(|steps| *steps > 0), "somebody did nothing: {steps:?}");
    assert!(place() != before, "replay stood still under the counters");
    tally.into_inner().unwrap().assert_used("on the standby");
    standby.catch_up(&primary);
    for server in [&primary, &standby] {
        let mut client = server.connect();
        for index in ["t_k", "pairs_k"] {
            check(&mut client, index);
        }
        let log = server.log();
        assert!(!log.contains("PANIC") && !log.contains("terminated by signal"), "{log}");
    }
}
