//! A storm of `pg_cancel_backend` and `pg_terminate_backend`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postgres::Client;
use postgres::error::SqlState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Job, run_together, seed, test_duration};

use super::{KINDS, assert_calm, is_expected, session, start, statement};

const VICTIMS: u64 = 3;

fn process(client: &mut Client) -> i32 {
    client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0)
}

/// Runs a statement, and sends a signal to its session so long after it began.
fn attack(
    victim: &mut Client,
    attacker: &mut Client,
    attack: &str,
    after: Duration,
    statement: &str,
) -> Result<(), postgres::Error> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(after);
            attacker.batch_execute(attack).unwrap();
        });
        victim.batch_execute(statement)
    })
}

/// Sessions that run statements of all kinds under such attacks; returns how many were hit.
fn storm(cluster: &Cluster, function: &str, hit: &SqlState) -> u64 {
    let hits = AtomicU64::new(0);
    // Kept for longer than the storm: who is not connected any more holds no pins.
    let mut victims: Vec<Client> = (0..VICTIMS).map(|_| session(cluster)).collect();
    let mut jobs = Vec::new();
    for (number, victim) in (0..VICTIMS).zip(&mut victims) {
        let mut attacker = cluster.connect();
        let mut rng = StdRng::seed_from_u64(seed() + number);
        let hits = &hits;
        let mut target = process(victim);
        jobs.push(Job::endless(&format!("victim {number}"), move || {
            let statement = statement(rng.random_range(0..KINDS), number, &mut rng);
            let after = Duration::from_micros([500, 5_000, 30_000][rng.random_range(0..3)]);
            let after = after.mul_f64(rng.random::<f64>());
            let call = format!("SELECT {function}({target})");
            match attack(victim, &mut attacker, &call, after, &statement) {
                Err(error) if error.code() == Some(hit) || victim.is_closed() => {
                    hits.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => assert!(is_expected(&error), "{statement}: {error:?}"),
                Ok(()) => {}
            }
            // It may have come too late, to an idle session.
            std::thread::sleep(Duration::from_millis(1));
            if victim.batch_execute("SELECT 1").is_err() && victim.is_closed() {
                *victim = session(cluster);
                target = process(victim);
            }
        }));
    }
    let steps = run_together(test_duration(0.15), jobs);
    println!("{function}: {hits:?} statements hit; steps of each session: {steps:?}");
    let mut rng = StdRng::seed_from_u64(seed());
    assert_calm(cluster, &mut rng);
    for victim in &mut victims {
        let outcome = victim.batch_execute("SELECT count(k) FROM t WHERE k > 5");
        assert!(outcome.is_ok() || victim.is_closed(), "{outcome:?}");
    }
    hits.into_inner()
}

#[test]
fn a_storm_of_cancels_leaves_no_lock_no_pin_and_an_exact_index() {
    let cluster = start();
    let hits = storm(&cluster, "pg_cancel_backend", &SqlState::QUERY_CANCELED);
    assert!(hits > 20, "only {hits} statements were cancelled");
}

#[test]
fn a_storm_of_terminations_leaves_no_lock_no_pin_and_an_exact_index() {
    let cluster = start();
    let hits = storm(&cluster, "pg_terminate_backend", &SqlState::ADMIN_SHUTDOWN);
    assert!(hits > 20, "only {hits} sessions were terminated");
}
