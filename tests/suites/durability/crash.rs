//! Crashes amid writes and DDL: what was acknowledged is there, what was not is not, and every
//! index is sound. `OMENDB_LEARNED_TEST_SECONDS` sets how many crashes a test survives.

use std::ops::ControlFlow;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Job, Script, Shutdown, Subject, access_method, check, retrain, run_together, seed,
    test_duration, try_retrain,
};

use super::ddl;
use super::ledger::{self, Ledger, until_gone};

/// Crashes of one test: two, unless tests may take longer than usual.
pub(super) fn crashes() -> u64 {
    test_duration(0.2).as_secs().max(1)
}

/// What goes on beside the writers: vacuum, merges and checkpoints.
pub(super) fn upkeep(cluster: &Cluster) -> Vec<Job<'_>> {
    let mut jobs = Vec::new();
    jobs.push(until_gone(cluster, "vacuum", |client| {
        // Not so often that nobody else gets the table.
        std::thread::sleep(Duration::from_millis(5));
        unless_in_the_way(client.script("VACUUM (INDEX_CLEANUP on) t"))
    }));
    jobs.push(until_gone(cluster, "merge", |client| {
        std::thread::sleep(Duration::from_millis(10));
        // The index may have become another one meanwhile.
        unless_in_the_way(try_retrain(client, "t_k").map(drop))
    }));
    // So that recovery starts anywhere.
    jobs.push(until_gone(cluster, "checkpoint", |client| {
        std::thread::sleep(Duration::from_millis(300));
        client.script("CHECKPOINT")
    }));
    jobs
}

/// What became of a statement that those of [`ddl`] may be in the way of.
fn unless_in_the_way(outcome: Result<(), postgres::Error>) -> Result<(), postgres::Error> {
    match outcome {
        Err(error) if ddl::is_in_the_way(&error) => Ok(()),
        outcome => outcome,
    }
}

/// A job that ends the server at a random moment, in one way or the other.
pub(super) fn crash<'a>(cluster: &'a Cluster, rng: &mut StdRng) -> (Job<'a>, Shutdown) {
    let moment = Duration::from_millis(rng.random_range(200..1_500));
    let how = [Shutdown::Crash, Shutdown::Kill][rng.random_range(0..2)];
    let step = move || {
        std::thread::sleep(moment);
        cluster.stop(how);
        ControlFlow::Break(())
    };
    (Job::new("crash", step), how)
}

fn survive_crashes(cluster: &Cluster, with_ddl: bool) {
    let ledger = Ledger::new();
    let subject = Subject::of("t");
    let mut rng = StdRng::seed_from_u64(seed());
    let (mut invalid, mut killed) = (0, 0);
    for round in 0..crashes() {
        let mut jobs = ledger.writers(cluster, round);
        jobs.extend(upkeep(cluster));
        if with_ddl {
            jobs.extend(ddl::jobs(cluster, round));
        }
        let (crash, how) = crash(cluster, &mut rng);
        jobs.push(crash);
        killed += u64::from(how == Shutdown::Kill);
        run_together(Duration::from_secs(60), jobs);
        cluster.launch();

        let mut client = cluster.connect();
        check(&mut client, "t_k");
        ledger.settle(&subject.rows(&mut client).unwrap());
        subject.assert_exact(&mut client);
        invalid += ddl::repair(&mut client, &mut rng);
        ddl::assert_all_exact(&mut client);
        retrain(&mut client, "t_k");
        subject.assert_exact(&mut client);
        client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
        ddl::assert_all_exact(&mut client);
        for name in ddl::names(&mut client) {
            assert_eq!(check(&mut client, &name).lost_pages, 0, "of {name} after VACUUM");
        }
        assert!(!cluster.log().contains("PANIC"), "{}", cluster.log());
    }
    println!(
        "{} crashes, {killed} of them by SIGKILL; {} commits, {invalid} invalid indexes left",
        crashes(),
        ledger.commits()
    );
    assert!(ledger.commits() > 5 * crashes(), "the writers hardly wrote");
}

#[test]
fn acknowledged_commits_survive_crashes_amid_writes_and_ddl_and_nothing_else_does() {
    let cluster = Cluster::start_with("deadlock_timeout = 50ms");
    ledger::create(&mut cluster.connect());
    survive_crashes(&cluster, true);
}

#[test]
fn so_they_do_in_an_index_on_two_columns() {
    let cluster = Cluster::start_with("deadlock_timeout = 50ms\nwal_consistency_checking = 'all'");
    ledger::create_on(&mut cluster.connect(), "(k, id)");
    survive_crashes(&cluster, true);
}

#[test]
fn replay_without_full_pages_gives_the_pages_that_were_written() {
    let cluster = Cluster::start_with("full_page_writes = off\nwal_consistency_checking = 'all'");
    let mut client = cluster.connect();
    ledger::create(&mut client);
    // Core's comparison fails, for tables and B-trees too, where replay meets an empty page, which
    // it passes over else: of a file that was dropped or cut off later on. So nothing may be.
    client.script("ALTER TABLE t SET (vacuum_truncate = off)").unwrap();
    survive_crashes(&cluster, false);
}

#[test]
fn an_unlogged_index_that_took_inserts_is_empty_and_usable_after_a_crash() {
    let cluster = Cluster::start();
    let write = "INSERT INTO u SELECT hashint4(g), g FROM generate_series(1, 3000) g";
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE UNLOGGED TABLE u (k int8, id int4); CREATE INDEX u_k ON u USING {} (k); \
             {write}",
            access_method()
        ))
        .unwrap();
    for how in [Shutdown::Crash, Shutdown::Kill] {
        retrain(&mut client, "u_k");
        cluster.restart(how);
        client = cluster.connect();
        let subject = Subject::of("u");
        assert!(subject.rows(&mut client).unwrap().is_empty());
        subject.assert_exact(&mut client);
        client.script(write).unwrap();
        subject.assert_exact(&mut client);
        client.script("VACUUM u").unwrap();
        check(&mut client, "u_k");
    }
}
