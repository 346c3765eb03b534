//! Sessions that make, rebuild and drop indexes of the ledger's table beside its writers, and what
//! a crash leaves of that.

use std::time::Duration;

use postgres::Client;
use postgres::error::SqlState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Job, Script, Subject, access_method, check, seed};

use super::ledger::until_gone;

const SESSIONS: u64 = 2;

/// Indexes that come and go: name, what is indexed, and how queries must look to use them.
fn indexes() -> [(&'static str, &'static str, Subject); 4] {
    [
        ("d_descending", "(k DESC)", Subject::of("t").ordered(true, true)),
        ("d_partial", "(k) WHERE id % 3 = 0", Subject::of("t").restricted("id % 3 = 0")),
        ("d_columns", "(k, id DESC)", Subject::of("t")),
        ("d_expression", "((k / 16))", Subject::of("t").keyed("(k / 16)")),
    ]
}

/// One random statement or a few.
fn statements(session: u64, rng: &mut StdRng) -> String {
    let (name, definition, _) = &indexes()[rng.random_range(0..4)];
    let name = format!("{name}_{session}");
    let am = access_method();
    match rng.random_range(0..8) {
        0 => {
            format!("DROP INDEX IF EXISTS {name}; CREATE INDEX {name} ON t USING {am} {definition}")
        }
        1 | 2 => format!(
            "DROP INDEX CONCURRENTLY IF EXISTS {name}; CREATE INDEX CONCURRENTLY {name} ON t \
             USING {am} {definition}"
        ),
        3 => format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"),
        4 => format!(
            "BEGIN; DROP INDEX IF EXISTS {name}; CREATE INDEX {name} ON t USING {am} \
             {definition}; ROLLBACK"
        ),
        // Ids are unique.
        5 => format!(
            "DROP INDEX CONCURRENTLY IF EXISTS d_unique; CREATE UNIQUE INDEX CONCURRENTLY \
             d_unique ON t USING {am} (id)"
        ),
        6 => "REINDEX INDEX t_k".to_owned(),
        _ => "REINDEX INDEX CONCURRENTLY t_k".to_owned(),
    }
}

/// Sessions that do so until the server goes down.
pub(crate) fn jobs(cluster: &Cluster, round: u64) -> Vec<Job<'_>> {
    let session = |session| {
        let mut rng = StdRng::seed_from_u64(seed() + 1_000 * round + session);
        until_gone(cluster, &format!("ddl {session}"), move |client| {
            let statements = statements(session, &mut rng);
            // Who waits for the whole table keeps everybody else waiting behind.
            let patience = if statements.contains("CONCURRENTLY") { "2s" } else { "50ms" };
            let outcome = client.script(&format!("SET lock_timeout = '{patience}'; {statements}"));
            std::thread::sleep(Duration::from_millis(rng.random_range(0..100)));
            match outcome {
                Err(error) if is_in_the_way(&error) => {
                    client.script("ROLLBACK; RESET lock_timeout")
                }
                outcome => outcome,
            }
        })
    };
    (0..SESSIONS).map(session).collect()
}

/// Whether an error comes of others that write, make and drop indexes of the same table.
pub(crate) fn is_in_the_way(error: &postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else { return false };
    // The core says so when one drops an index concurrently that another one has just changed the
    // state of.
    let crossed = error.message() == "tuple concurrently updated";
    let codes = [
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::DUPLICATE_TABLE,
        SqlState::UNDEFINED_OBJECT,
        SqlState::UNDEFINED_TABLE,
    ];
    crossed || codes.contains(error.code())
}

/// Brings indexes that a crash has left invalid back, or drops them, as their owner would; returns
/// how many there were.
pub(crate) fn repair(client: &mut Client, rng: &mut StdRng) -> usize {
    let invalid = "SELECT indexrelid::regclass::text FROM pg_index
                   WHERE indrelid = 't'::regclass AND NOT indisvalid";
    let invalid = client.query(invalid, &[]).unwrap();
    for row in &invalid {
        let name: String = row.get(0);
        assert!(name != "t_k", "REINDEX has taken the index away");
        // Those of REINDEX CONCURRENTLY are twins of the valid one.
        let repair =
            match (name.contains("_ccnew") || name.contains("_ccold"), rng.random_range(0..3)) {
                (true, _) | (false, 0) => "DROP INDEX",
                (false, 1) => "REINDEX INDEX",
                _ => "REINDEX INDEX CONCURRENTLY",
            };
        client.script(&format!("{repair} {name}")).unwrap();
    }
    invalid.len()
}

/// Asserts that every index of the access method under test is sound, and that scans of one after
/// the other are exact, the others being away. Takes back all that it does.
pub(crate) fn assert_all_exact(client: &mut Client) {
    for name in names(client) {
        check(client, &name);
    }
    let there = names(client);
    for (prefix, _, subject) in indexes() {
        let Some(name) = there.iter().find(|name| name.starts_with(prefix)) else { continue };
        client.script("BEGIN").unwrap();
        for other in there.iter().filter(|other| *other != name) {
            client.script(&format!("DROP INDEX {other}")).unwrap();
        }
        subject.assert_exact(client);
        client.script("ROLLBACK").unwrap();
    }
}

/// The indexes of the access method under test.
pub(crate) fn names(client: &mut Client) -> Vec<String> {
    let names = "SELECT c.oid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = \
                 i.indexrelid
                 JOIN pg_am a ON a.oid = c.relam
                 WHERE i.indrelid = 't'::regclass AND a.amname = $1 AND c.relname <> 't_id'";
    let rows = client.query(names, &[&access_method()]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
