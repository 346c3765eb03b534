//! Statements that are cancelled, run out of time, or lose their session, at any moment: afterwards
//! nobody hangs, nothing stays locked or pinned, and the index is exact.

mod cancel;
mod terminate;
mod timeouts;

use postgres::Client;
use postgres::error::SqlState;
use rand::Rng;
use rand::rngs::StdRng;
use server_tests::{Cluster, Script, Subject, check, wait_until};

use crate::durability::{ddl, ledger};

/// A cluster with the table that all of these tests work on, indexed by `t_k` of its keys.
fn start() -> Cluster {
    let cluster = Cluster::start_with("deadlock_timeout = 50ms\nclient_min_messages = error");
    let mut client = cluster.connect();
    ledger::create(&mut client);
    client
        .script(
            "INSERT INTO t SELECT hashint4(g), g FROM generate_series(1, 20000) g;
             REINDEX INDEX t_k; VACUUM ANALYZE t",
        )
        .unwrap();
    cluster
}

/// A session that uses indexes where it can, and gives up rather than to hang.
fn session(cluster: &Cluster) -> Client {
    let mut client = cluster.connect();
    client.script("SET statement_timeout = '60s'; SET enable_seqscan = off").unwrap();
    client
}

/// Kinds of statements, each of which takes some milliseconds.
const KINDS: usize = 13;

/// A statement of a kind. Indexes it makes carry the session's number in their names.
fn statement(kind: usize, session: u64, rng: &mut StdRng) -> String {
    let am = server_tests::access_method();
    let any: i32 = rng.random_range(0..1 << 30);
    match kind {
        0 => format!("CREATE INDEX d_descending_{session} ON t USING {am} (k DESC)"),
        1 => format!("CREATE INDEX CONCURRENTLY d_descending_{session} ON t USING {am} (k DESC)"),
        2 => format!("DROP INDEX IF EXISTS d_descending_{session}"),
        3 => "REINDEX INDEX t_k".to_owned(),
        4 => "REINDEX INDEX CONCURRENTLY t_k".to_owned(),
        5 | 6 => format!(
            "INSERT INTO t SELECT hashint4(g # {any}), g + {any} FROM generate_series(1, 3000) g"
        ),
        7 => format!("DELETE FROM t WHERE id % 9 = {any} % 9"),
        8 => format!("UPDATE t SET k = k + 1 WHERE id % 20 = {any} % 20"),
        9 => "VACUUM (INDEX_CLEANUP on) t".to_owned(),
        10 if server_tests::is_learned() => "SELECT learned_retrain('t_k')".to_owned(),
        11 if server_tests::is_learned() => "SELECT learned_check('t_k', true)".to_owned(),
        _ => "SELECT count(k), (SELECT count(id) FROM t WHERE k > 0), (SELECT sum(n)
             FROM generate_series(1, 1000) g,
                 LATERAL (SELECT count(*) AS n FROM t WHERE k = g OFFSET 0) s) FROM t WHERE k < 0"
            .to_owned(),
    }
}

/// Whether an error is one that a statement may end with here, besides those of being interrupted.
fn is_expected(error: &postgres::Error) -> bool {
    let busy = [SqlState::OBJECT_IN_USE, SqlState::LOCK_NOT_AVAILABLE];
    // A name that was looked up before REINDEX CONCURRENTLY gave it to the new index is that of the
    // old one.
    let replaced = error.as_db_error().is_some_and(|error| {
        *error.code() == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE
            && error.message().contains("_ccold")
    });
    ddl::is_in_the_way(error) || replaced || error.code().is_some_and(|code| busy.contains(code))
}

/// Asserts that nothing has stayed of what was interrupted, while the sessions that it happened to
/// are still connected and idle.
fn assert_calm(cluster: &Cluster, rng: &mut StdRng) {
    let mut client = cluster.connect();
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (state \
                   <> 'idle'
                   OR backend_type NOT IN ('client backend') AND backend_type LIKE 'learned%')";
    wait_until("everybody is idle", || {
        client.query_one(at_work, &[]).unwrap().get::<_, i64>(0) == 0
    });
    let locks = "SELECT coalesce(string_agg(concat_ws(' ', pid, locktype, relation::regclass, \
                 mode),
         '; '), '')
                 FROM pg_locks WHERE pid <> pg_backend_pid()";
    let locks: String = client.query_one(locks, &[]).unwrap().get(0);
    assert_eq!(locks, "", "locks that idle sessions hold");
    // VACUUM locks each page for cleanup, which a pin left over would never let it: where rows are
    // dead.
    client
        .script("DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE k IS NOT NULL LIMIT 20)")
        .unwrap();
    ddl::repair(&mut client, rng);
    client.script("SET statement_timeout = '20s'").unwrap();
    client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
    ddl::assert_all_exact(&mut client);
    for name in ddl::names(&mut client) {
        assert_eq!(check(&mut client, &name).lost_pages, 0, "of {name} after VACUUM");
    }
    client
        .script(
            "INSERT INTO t SELECT hashint4(g), -g FROM generate_series(1, 1000) g; DELETE FROM t \
             WHERE id < 0",
        )
        .unwrap();
    server_tests::retrain(&mut client, "t_k");
    client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
    Subject::of("t").assert_exact(&mut client);
    let log = cluster.log();
    for trouble in
        ["PANIC", "terminated by signal", "leak", "not closed", "TRAP", "still referenced"]
    {
        assert!(!log.contains(trouble), "{trouble:?}:\n{log}");
    }
}
