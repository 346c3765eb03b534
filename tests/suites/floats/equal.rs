//! Equal floats are one key: for uniqueness, whichever bits they have, and for what serializable
//! transactions lock.

use std::time::Duration;

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{
    Cluster, Script, access_method, assert_plan, check_all, in_background, is_arbiter, pid_of,
    retrain_all, wait_until, waits_for,
};

use super::{fill, rows};

/// Pairs of equal floats, as conditions and as bits of a `float8` and a `float4`.
const PAIRS: [(&str, [u64; 2], [u32; 2]); 3] = [
    ("0", [0, 1 << 63], [0, 1 << 31]),
    ("NaN", [0x7FF8_0000_0000_0000, 0x7FF0_0000_0000_1001], [0x7FC0_0000, 0x7F80_1001]),
    ("NaN", [0x7FF0_0000_0000_1002, 0xFFF8_0000_0000_0007], [0x7F80_1002, 0xFFC0_0007]),
];

const KEYS: [&str; 6] = [
    "(k)",
    "(k DESC)",
    "(k) INCLUDE (id)",
    "(a, k)",
    "(a, k DESC NULLS LAST)",
    "(a, k) INCLUDE (id)",
];

fn code_of(error: &postgres::Error) -> SqlState {
    error.code().cloned().unwrap_or_else(|| panic!("{error:?}"))
}

/// A table, and another with two equal floats, `one` with id 0 and `other` with id 1.
fn create(client: &mut Client, float: &str, (eights, fours): ([u64; 2], [u32; 2])) {
    client
        .script(&format!(
            "DROP TABLE IF EXISTS t, pair; CREATE TABLE t (id int4, a int4 DEFAULT 0, k {float});
             CREATE TABLE pair (LIKE t);
             INSERT INTO t SELECT g, 0, g FROM generate_series(1, 500) g"
        ))
        .unwrap();
    let bits = match float {
        "float8" => eights.map(|bits| bits as i64),
        _ => fours.map(|bits| i64::from(bits as i32)),
    };
    fill(client, "pair", float, &bits);
    client.script("DELETE FROM pair WHERE k IS NULL; UPDATE pair SET a = 0").unwrap();
}

fn insert(id: i32) -> String {
    format!("INSERT INTO t SELECT id, a, k FROM pair WHERE id = {id}")
}

#[test]
fn equal_floats_are_duplicates() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let method = access_method();
    for float in ["float8", "float4"] {
        for key in KEYS {
            for (value, eights, fours) in PAIRS {
                for merged in [false, true] {
                    let context = format!("{float} {key} {value}, merged: {merged}");
                    create(&mut client, float, (eights, fours));
                    let make = format!("CREATE UNIQUE INDEX u ON t USING {method} {key}");
                    client.script(&make).unwrap();
                    for (first, second) in [(0, 1), (1, 0)] {
                        client.script(&insert(first)).unwrap();
                        if merged {
                            retrain_all(&mut client);
                        }
                        let error = client.script(&insert(second)).expect_err(&context);
                        assert_eq!(code_of(&error), SqlState::UNIQUE_VIOLATION, "{context}");
                        // The row itself may change from one to the other.
                        let update = format!(
                            "UPDATE t SET k = p.k FROM pair p WHERE p.id = {second}
                                 AND t.k = '{value}'"
                        );
                        client.script(&update).unwrap();
                        client.script(&format!("DELETE FROM t WHERE k = '{value}'")).unwrap();
                    }
                    check_all(&mut client);
                    // A build finds them too.
                    client.script("DROP INDEX u").unwrap();
                    client.script(&insert(0)).unwrap();
                    client.script(&insert(1)).unwrap();
                    let error = client.script(&make).expect_err(&context);
                    assert_eq!(code_of(&error), SqlState::UNIQUE_VIOLATION, "{context}");
                }
            }
        }
    }
}

#[test]
fn a_nan_is_no_duplicate_of_null() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let method = access_method();
    for key in ["(k)", "(a, k)", "(a, k DESC)", "(a, k NULLS FIRST)", "(a, k DESC NULLS LAST)"] {
        create(&mut client, "float8", (PAIRS[2].1, PAIRS[2].2));
        client
            .script(&format!(
                "CREATE UNIQUE INDEX u ON t USING {method} {key} NULLS NOT DISTINCT;
                 INSERT INTO t VALUES (-1, 0, NULL);
                 INSERT INTO t VALUES (-2, 0, '-infinity'), (-3, 0, 'infinity')"
            ))
            .unwrap();
        client.script(&insert(1)).unwrap();
        for value in ["NULL", "'NaN'", "'-infinity'"] {
            let again = format!("INSERT INTO t VALUES (-3, 0, {value})");
            let error = client.script(&again).expect_err(key);
            assert_eq!(code_of(&error), SqlState::UNIQUE_VIOLATION, "{key} {value}");
        }
        retrain_all(&mut client);
        let rebuilt = client.script("REINDEX INDEX u");
        rebuilt.unwrap_or_else(|error| panic!("{key}: {error:?}"));
    }
}

#[test]
fn of_two_sessions_with_equal_floats_one_waits_for_the_other() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let method = access_method();
    for (key, (_, eights, fours)) in KEYS.into_iter().flat_map(|key| PAIRS.map(|pair| (key, pair)))
    {
        for commits in [true, false] {
            create(&mut client, "float8", (eights, fours));
            client.script(&format!("CREATE UNIQUE INDEX u ON t USING {method} {key}")).unwrap();
            let (mut first, mut second) = (cluster.connect(), cluster.connect());
            first.script("BEGIN").unwrap();
            first.script(&insert(0)).unwrap();
            let pid = pid_of(&mut second);
            let waiting = in_background(second, &insert(1));
            wait_until("the second session waits", || {
                waits_for(&mut client, pid).as_deref() == Some("Lock") || waiting.is_finished()
            });
            assert!(!waiting.is_finished(), "{key}: it did not wait");
            std::thread::sleep(Duration::from_millis(5));
            first.script(if commits { "COMMIT" } else { "ROLLBACK" }).unwrap();
            let (_, outcome) = waiting.join().unwrap();
            assert_eq!(outcome.is_err(), commits, "{key}: {outcome:?}");
        }
    }
}

#[test]
fn exclusion_constraints_and_on_conflict_know_equal_floats() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let method = access_method();
    for (value, eights, fours) in PAIRS {
        create(&mut client, "float8", (eights, fours));
        client
            .script(&format!(
                "ALTER TABLE t ADD EXCLUDE USING {method} (k WITH =) DEFERRABLE INITIALLY DEFERRED"
            ))
            .unwrap();
        client.script("BEGIN").unwrap();
        client.script(&insert(0)).unwrap();
        client.script(&insert(1)).unwrap();
        let error = client.script("COMMIT").expect_err(value);
        assert_eq!(code_of(&error), SqlState::EXCLUSION_VIOLATION);
        client.script(&format!("BEGIN; {}; {}", insert(0), insert(1))).unwrap();
        client.script("DELETE FROM t WHERE id = 0; COMMIT").unwrap();
        if !is_arbiter(&mut client) {
            continue;
        }
        create(&mut client, "float8", (eights, fours));
        client
            .script(&format!("CREATE UNIQUE INDEX u ON t USING {method} (a, k); {}", insert(0)))
            .unwrap();
        let upsert = format!("{} ON CONFLICT (a, k) DO UPDATE SET id = 77", insert(1));
        client.script(&upsert).unwrap();
        let found = rows(&mut client, &format!("SELECT id FROM t WHERE k = '{value}'"));
        assert_eq!(found, [["77"]]);
        client.script(&format!("{} ON CONFLICT DO NOTHING", insert(1))).unwrap();
        let found = rows(&mut client, &format!("SELECT id FROM t WHERE k = '{value}'"));
        assert_eq!(found, [["77"]]);
    }
}

/// Each of two transactions looks for a float, and writes one that is equal to what the other looks
/// for. No order of the two gives that.
#[test]
fn serializable_transactions_know_equal_floats() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let method = access_method();
    let (_, zeros, fours) = PAIRS[0];
    for key in ["(k)", "(k DESC)", "(a, k)", "(k) INCLUDE (id)"] {
        create(&mut client, "float8", (zeros, fours));
        client.script(&format!("CREATE INDEX u ON t USING {method} {key}; ANALYZE t")).unwrap();
        let mut sessions = [cluster.connect(), cluster.connect()];
        let looked_for = ["0", "NaN"];
        for (session, value) in sessions.iter_mut().zip(looked_for) {
            session
                .script(
                    "SET enable_seqscan = off; SET default_transaction_isolation = serializable;
                     BEGIN",
                )
                .unwrap();
            let query = format!("SELECT id FROM t WHERE a = 0 AND k = '{value}'");
            assert_plan(session, &query, &["u"], &["Seq Scan"]);
            assert_eq!(rows(session, &query).len(), 0);
        }
        let writes = ["INSERT INTO t VALUES (1, 0, 'NaN')", "INSERT INTO t VALUES (1, 0, '-0')"];
        let mut committed = 0;
        for (session, write) in sessions.iter_mut().zip(writes) {
            let outcome = session.script(write).and_then(|()| session.script("COMMIT"));
            match outcome {
                Ok(()) => committed += 1,
                Err(error) => assert_eq!(code_of(&error), SqlState::T_R_SERIALIZATION_FAILURE),
            }
        }
        assert_eq!(committed, 1, "{key}");
    }
}
