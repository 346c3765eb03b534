//! Sessions that end in the middle of a transaction, with rows inserted and cursors open.

use std::time::Duration;

use postgres::Client;
use rand::SeedableRng;
use rand::rngs::StdRng;
use server_tests::{Cluster, Script, major_version, seed, wait_until};

use super::{assert_calm, session, start};

/// Opens a transaction that has inserted, and stands in the middle of scans that keep pages pinned.
fn open_transaction(cluster: &Cluster) -> Client {
    let mut client = session(cluster);
    client
        .script(
            "BEGIN; INSERT INTO t SELECT hashint4(g), -g FROM generate_series(1, 500) g;
             DECLARE plain CURSOR FOR SELECT k, id FROM t WHERE k > 0 ORDER BY k;
             DECLARE index_only CURSOR FOR SELECT k FROM t WHERE k < 1000000 ORDER BY k DESC;
             DECLARE held CURSOR WITH HOLD FOR SELECT k FROM t WHERE k BETWEEN 0 AND 1000000;
             MOVE 20 IN plain; MOVE 700 IN index_only; MOVE 3 IN held;
             SAVEPOINT s; DELETE FROM t WHERE id < -400",
        )
        .unwrap();
    client
}

/// Asserts that sessions which were ended so leave nothing.
fn assert_gone_without_trace(cluster: &Cluster, sessions: Vec<Client>) {
    let mut client = cluster.connect();
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    wait_until("the sessions are gone", || {
        client.query_one(others, &[]).unwrap().get::<_, i64>(0) == 0
    });
    for mut session in sessions {
        session.batch_execute("SELECT 1").expect_err("a session that was ended");
    }
    assert_calm(cluster, &mut StdRng::seed_from_u64(seed()));
    let left = "SELECT count(*) FROM t WHERE id < 0";
    assert_eq!(client.query_one(left, &[]).unwrap().get::<_, i64>(0), 0, "uncommitted rows");
}

#[test]
fn a_session_that_is_idle_too_long_in_a_transaction_keeps_no_page_from_vacuum() {
    let cluster = start();
    let mut settings = vec!["idle_in_transaction_session_timeout"];
    if major_version(&mut cluster.connect()) >= 17 {
        settings.push("transaction_timeout");
    }
    for setting in settings {
        let mut sessions: Vec<Client> = (0..3).map(|_| open_transaction(&cluster)).collect();
        for (session, milliseconds) in sessions.iter_mut().zip([1, 20, 100]) {
            // The next moment at which it is idle may be the last.
            let _ = session.batch_execute(&format!("SET {setting} = {milliseconds}"));
        }
        std::thread::sleep(Duration::from_millis(120));
        assert_gone_without_trace(&cluster, sessions);
    }
}

#[test]
fn a_session_that_is_terminated_in_a_transaction_keeps_no_page_from_vacuum() {
    let cluster = start();
    let sessions: Vec<Client> = (0..3).map(|_| open_transaction(&cluster)).collect();
    cluster
        .connect()
        .script(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )
        .unwrap();
    assert_gone_without_trace(&cluster, sessions);
}

#[test]
fn a_client_that_vanishes_in_a_transaction_keeps_no_page_from_vacuum() {
    let cluster = start();
    for _ in 0..3 {
        drop(open_transaction(&cluster));
    }
    assert_gone_without_trace(&cluster, Vec::new());
}
