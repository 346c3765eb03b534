//! A primary and its streaming standby that both crash now and then, every page being compared with
//! the primary's as it is replayed.

use std::ops::ControlFlow;
use std::time::Duration;

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Job, Script, Shutdown, Subject, check, retrain, run_together, seed, wait_until,
};

use super::crash::{crash, crashes, upkeep};
use super::ddl;
use super::ledger::{self, Ledger};

/// Both servers': replay compares each page it has changed with the image that came with the
/// record, and panics at a difference.
const SETTINGS: &str = "wal_level = replica
max_wal_senders = 4
wal_keep_size = 1GB
wal_consistency_checking = 'all'
wal_retrieve_retry_interval = 100ms
deadlock_timeout = 50ms
max_standby_streaming_delay = -1";

/// Kills the standby at a random moment while the primary is at work, and starts it again.
fn restart_amid_replay<'a>(standby: &'a Cluster, rng: &mut StdRng) -> Job<'a> {
    let moment = Duration::from_millis(rng.random_range(50..400));
    let how = [Shutdown::Crash, Shutdown::Kill, Shutdown::Clean][rng.random_range(0..3)];
    let mut done = false;
    Job::new("restart of the standby", move || {
        std::thread::sleep(moment);
        if !done {
            standby.restart(how);
        }
        done = true;
        ControlFlow::Continue(())
    })
}

/// Waits for all that is written, and asserts that the standby has the primary's rows and answers
/// right.
fn assert_follows(standby: &Cluster, primary: &Cluster) {
    standby.catch_up(primary);
    let subject = Subject::of("t");
    let mut reader = standby.connect();
    for name in ddl::names(&mut reader) {
        check(&mut reader, &name);
    }
    subject.assert_exact(&mut reader);
    let here = subject.rows(&mut reader).unwrap();
    let there = subject.rows(&mut primary.connect()).unwrap();
    assert!(here == there, "{} rows instead of {}", here.len(), there.len());
}

/// What any primary must be able to do.
fn write_and_rebuild(client: &mut Client) {
    client
        .script(
            "INSERT INTO t SELECT hashint4(g), -g FROM generate_series(1, 3000) g;
             UPDATE t SET k = k / 2 + 1 WHERE id % 5 = 0; DELETE FROM t WHERE id % 6 = 0",
        )
        .unwrap();
    ddl::assert_all_exact(client);
    retrain(client, "t_k");
    client.script("VACUUM (INDEX_CLEANUP on) t; REINDEX INDEX CONCURRENTLY t_k").unwrap();
    ddl::assert_all_exact(client);
}

#[test]
fn a_standby_that_crashes_as_its_primary_does_replays_the_same_pages_and_can_take_over() {
    let primary = Cluster::start_with(SETTINGS);
    ledger::create(&mut primary.connect());
    let ledger = Ledger::new();
    let mut rng = StdRng::seed_from_u64(seed() + 1);
    let standby = primary.standby();
    let mut restarts = 0;
    for round in 0..crashes() {
        let mut jobs = ledger.writers(&primary, round);
        jobs.extend(upkeep(&primary));
        jobs.extend(ddl::jobs(&primary, round));
        jobs.push(crash(&primary, &mut rng).0);
        if round == 0 || rng.random_bool(0.5) {
            jobs.push(restart_amid_replay(&standby, &mut rng));
            restarts += 1;
        }
        run_together(Duration::from_secs(60), jobs);
        primary.launch();

        let mut client = primary.connect();
        ledger.settle(&Subject::of("t").rows(&mut client).unwrap());
        ddl::repair(&mut client, &mut rng);
        ddl::assert_all_exact(&mut client);
        assert_follows(&standby, &primary);
        client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
        retrain(&mut client, "t_k");
        assert_follows(&standby, &primary);
    }
    println!("{} commits, {restarts} restarts of the standby amid replay", ledger.commits());

    // The primary dies amid writes, and the standby takes over with what had come.
    let mut jobs = ledger.writers(&primary, crashes());
    jobs.extend(upkeep(&primary));
    jobs.extend(ddl::jobs(&primary, crashes()));
    jobs.push(crash(&primary, &mut rng).0);
    ledger.remember();
    run_together(Duration::from_secs(60), jobs);
    standby.promote();
    let mut client = standby.connect();
    wait_until("the standby is a primary", || {
        !client.query_one("SELECT pg_is_in_recovery()", &[]).unwrap().get::<_, bool>(0)
    });
    ledger.assert_some_moment(&Subject::of("t").rows(&mut client).unwrap());
    ddl::repair(&mut client, &mut rng);
    ddl::assert_all_exact(&mut client);
    write_and_rebuild(&mut client);
    for server in [&primary, &standby] {
        let log = server.log();
        assert!(!log.contains("PANIC") && !log.contains("terminated by signal"), "{log}");
    }
}
