//! Statements that run out of time in small steps, or wait for locks in vain.

use std::time::Instant;

use postgres::Client;
use postgres::error::SqlState;
use rand::SeedableRng;
use rand::rngs::StdRng;
use server_tests::{Cluster, Script, access_method, check, seed, test_duration, wait_until};

use crate::durability::ddl;

use super::{KINDS, assert_calm, is_expected, session, start, statement};

/// Takes a time limit back, which may be too short for that. If it runs out just when that is done,
/// the error comes without having been asked for, and all later answers would be taken for those of
/// other statements.
fn reset(cluster: &Cluster, client: &mut Client, setting: &str) {
    wait_until("the limit is gone", || client.batch_execute(&format!("SET {setting} = 0")).is_ok());
    let answer = client.query_one("SELECT 42", &[]);
    if !answer.is_ok_and(|row| row.get::<_, i32>(0) == 42) {
        *client = session(cluster);
    }
}

fn code(outcome: Result<(), postgres::Error>) -> Option<SqlState> {
    outcome.err().map(|error| error.code().unwrap_or_else(|| panic!("{error:?}")).clone())
}

/// Runs the statement with more and more time, beginning with one millisecond, until it has
/// succeeded a few times or there is no more time for it. Returns how often it ran out of time.
fn step_up(cluster: &Cluster, client: &mut Client, kind: usize, rng: &mut StdRng) -> u32 {
    let start = Instant::now();
    let (mut ran_out, mut succeeded) = (0, 0);
    for milliseconds in (1..200).step_by(2) {
        client.script(&format!("SET statement_timeout = {milliseconds}")).unwrap();
        let outcome = client.batch_execute(&statement(kind, 0, rng));
        reset(cluster, client, "statement_timeout");
        match outcome {
            Ok(()) => succeeded += 1,
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => ran_out += 1,
            // An index that an earlier attempt has left.
            Err(error) => assert!(is_expected(&error), "kind {kind}: {error:?}"),
        }
        client.script("DROP INDEX IF EXISTS d_descending_0").unwrap();
        if succeeded > 3 || start.elapsed() > test_duration(0.04) {
            break;
        }
    }
    ddl::repair(client, rng);
    ran_out
}

#[test]
fn statements_that_run_out_of_time_anywhere_leave_an_exact_index() {
    let cluster = start();
    let mut client = session(&cluster);
    let mut rng = StdRng::seed_from_u64(seed());
    // More rows, so that each kind takes some steps.
    client
        .script("INSERT INTO t SELECT hashint4(-g), g FROM generate_series(20001, 60000) g")
        .unwrap();
    let ran_out: Vec<u32> =
        (0..KINDS).map(|kind| step_up(&cluster, &mut client, kind, &mut rng)).collect();
    println!("ran out of time, by kind of statement: {ran_out:?}");
    assert!(ran_out.iter().sum::<u32>() > 20, "hardly any ran out of time: {ran_out:?}");
    assert_calm(&cluster, &mut rng);
}

#[test]
fn statements_that_wait_for_locks_in_vain_leave_nothing_locked() {
    let cluster = start();
    let mut rng = StdRng::seed_from_u64(seed());
    let mut holder = session(&cluster);
    let mut client = session(&cluster);
    for lock in
        ["ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "ROW EXCLUSIVE"]
    {
        holder.script(&format!("BEGIN; LOCK TABLE t IN {lock} MODE")).unwrap();
        let mut in_vain = 0;
        for kind in 0..KINDS {
            for milliseconds in [1, 3, 10] {
                client.script(&format!("SET lock_timeout = {milliseconds}")).unwrap();
                let outcome = client.batch_execute(&statement(kind, 0, &mut rng));
                client.script("SET lock_timeout = '1s'; DROP INDEX IF EXISTS nothing").unwrap();
                if let Err(error) = outcome {
                    assert!(is_expected(&error), "kind {kind}: {error:?}");
                    in_vain += u32::from(error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE));
                }
            }
        }
        holder.script("ROLLBACK").unwrap();
        println!("{lock}: {in_vain} statements gave up");
        assert!(in_vain > 0, "nobody waited for {lock}");
        client.script("DROP INDEX IF EXISTS d_descending_0").unwrap();
        assert_calm(&cluster, &mut rng);
    }
}

#[test]
fn an_insert_that_gives_up_on_another_of_its_key_leaves_nothing_locked() {
    let cluster = start();
    let mut holder = session(&cluster);
    let mut client = session(&cluster);
    client
        .script(&format!(
            "CREATE TABLE u (k int8, id int4); CREATE UNIQUE INDEX u_k ON u USING {} (k)",
            access_method()
        ))
        .unwrap();
    let gave_up = [Some(SqlState::LOCK_NOT_AVAILABLE), Some(SqlState::QUERY_CANCELED)];
    for round in 0..20 {
        holder.script(&format!("BEGIN; INSERT INTO u VALUES ({round}, 1)")).unwrap();
        for (setting, expected) in ["lock_timeout", "statement_timeout"].iter().zip(&gave_up) {
            client.script(&format!("SET {setting} = {}", 1 + round)).unwrap();
            let insert = format!(
                "INSERT INTO u SELECT {round} + g * 100, 2 FROM generate_series(10, 0, -1) g"
            );
            let outcome = client.batch_execute(&insert);
            reset(&cluster, &mut client, setting);
            assert_eq!(code(outcome), *expected, "{setting}");
        }
        // Others go on meanwhile, also with pages that the two have locked.
        let mut other = session(&cluster);
        other
            .script(&format!(
                "SET statement_timeout = '10s'; INSERT INTO u VALUES (-1 - {round}, 3);
                 VACUUM (INDEX_CLEANUP on) u"
            ))
            .unwrap();
        holder.script(["COMMIT", "ROLLBACK"][round % 2]).unwrap();
        let again = code(client.batch_execute(&format!("INSERT INTO u VALUES ({round}, 4)")));
        assert_eq!(again, (round % 2 == 0).then_some(SqlState::UNIQUE_VIOLATION), "round {round}");
    }
    check(&mut client, "u_k");
    assert_calm(&cluster, &mut StdRng::seed_from_u64(seed()));
}
