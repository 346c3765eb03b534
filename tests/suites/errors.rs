//! What errors say beside their message: the CONTEXT and the DETAIL of the log get lost on the way
//! through Rust unless they are carried. And messages that take two sessions to be seen.

use postgres::Client;
use postgres::error::{DbError, SqlState};
use server_tests::{Cluster, Script, access_method, is_learned, wait_until};

fn create(cluster: &Cluster) -> Client {
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE TABLE t (k int4, v text); INSERT INTO t VALUES (1, 'old');
             CREATE UNIQUE INDEX t_k ON t USING {} (k)",
            access_method()
        ))
        .unwrap();
    client
}

/// The error of an insert that has to wait for another of the same key, after `meanwhile`.
fn error_of_waiting(cluster: &Cluster, setting: &str, meanwhile: impl FnOnce(i32)) -> DbError {
    let mut first = cluster.connect();
    first.script("BEGIN; INSERT INTO t VALUES (2, 'first')").unwrap();
    let mut second = cluster.connect();
    second.script(setting).unwrap();
    let process = second.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let error = std::thread::scope(|scope| {
        let insert = scope.spawn(|| second.batch_execute("INSERT INTO t VALUES (2, 'second')"));
        let mut watcher = cluster.connect();
        wait_until("the second insert waits", || {
            let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = $1";
            insert.is_finished()
                || watcher.query_one(waits, &[&process]).unwrap().get::<_, i64>(0) > 0
        });
        meanwhile(process);
        insert.join().unwrap().unwrap_err()
    });
    first.script("ROLLBACK").unwrap();
    error.as_db_error().unwrap().clone()
}

#[test]
fn an_insert_that_is_cancelled_while_it_waits_says_what_it_was_inserting() {
    let cluster = Cluster::start();
    let mut client = create(&cluster);
    let cancelled = error_of_waiting(&cluster, "", |process| {
        client.execute("SELECT pg_cancel_backend($1)", &[&process]).unwrap();
    });
    assert_eq!(cancelled.code(), &SqlState::QUERY_CANCELED);
    assert_eq!(cancelled.message(), "canceling statement due to user request");
    let context = cancelled.where_().expect("no CONTEXT");
    assert_eq!(context, "while inserting index tuple (0,3) in relation \"t_k\"");

    let timed_out = error_of_waiting(&cluster, "SET lock_timeout = '50ms'", |_| {});
    assert_eq!(timed_out.code(), &SqlState::LOCK_NOT_AVAILABLE);
    let context = timed_out.where_().expect("no CONTEXT");
    assert!(context.starts_with("while inserting index tuple (0,"), "{context}");
    assert_eq!(context.lines().count(), 1, "{context}");
}

#[test]
fn what_is_logged_of_a_wait_names_the_row_once() {
    let cluster = Cluster::start_with("log_lock_waits = on\ndeadlock_timeout = 50ms");
    let mut client = create(&cluster);
    error_of_waiting(&cluster, "", |process| {
        wait_until("the wait is logged", || cluster.log().contains("still waiting for ShareLock"));
        client.execute("SELECT pg_cancel_backend($1)", &[&process]).unwrap();
    });
    let log = cluster.log();
    let waiting = log.split("still waiting for ShareLock").nth(1).unwrap();
    let report = waiting.split("ERROR:").next().unwrap();
    assert_eq!(report.matches("while inserting index tuple").count(), 1, "{log}");
}

#[test]
fn a_deadlock_of_two_keys_names_both_statements_in_the_log() {
    let cluster = Cluster::start_with("deadlock_timeout = 50ms");
    create(&cluster);
    let (mut left, mut right) = (cluster.connect(), cluster.connect());
    left.script("BEGIN; INSERT INTO t VALUES (10, 'left')").unwrap();
    right.script("BEGIN; INSERT INTO t VALUES (20, 'right')").unwrap();
    let outcomes = std::thread::scope(|scope| {
        let left =
            scope.spawn(move || left.batch_execute("INSERT INTO t VALUES (20, 'crossing left')"));
        let right = right.batch_execute("INSERT INTO t VALUES (10, 'crossing right')");
        // One is told; its end lets the other go on.
        [right.err(), left.join().unwrap().err()]
    });
    let error = outcomes.into_iter().flatten().next().expect("no deadlock");
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code(), &SqlState::T_R_DEADLOCK_DETECTED);
    assert!(error.detail().unwrap().contains("waits for ShareLock on transaction"), "{error:?}");
    assert_eq!(error.hint(), Some("See server log for query details."));
    assert!(error.where_().unwrap().contains("while inserting index tuple"), "{error:?}");
    let log = cluster.log();
    let report = log.split("deadlock detected").nth(1).expect("no deadlock in the log");
    let detail = report.split("DETAIL:").nth(1).expect("no DETAIL in the log");
    for statement in ["crossing left", "crossing right"] {
        let told = detail.split("HINT:").next().unwrap();
        assert!(told.contains(statement), "{statement} is not in the log's DETAIL:\n{log}");
    }
}

#[test]
fn an_error_of_an_expression_keeps_all_that_it_said() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE e (k int4); INSERT INTO e VALUES (1), (2);
             CREATE FUNCTION inner_of(k int4) RETURNS int4 IMMUTABLE LANGUAGE plpgsql AS $$
             BEGIN
                 BEGIN
                     RAISE 'caught';
                 EXCEPTION WHEN OTHERS THEN
                     NULL;
                 END;
                 IF k = 2 THEN
                     RAISE unique_violation USING MESSAGE = 'two', DETAIL = 'd', HINT = 'h',
                         TABLE = 'x',
                         COLUMN = 'y', CONSTRAINT = 'z', SCHEMA = 's', DATATYPE = 'w';
                 END IF;
                 RETURN k;
             END $$;
             CREATE FUNCTION outer_of(k int4) RETURNS int4 IMMUTABLE LANGUAGE plpgsql AS $$
             BEGIN RETURN public.inner_of(k); END $$;",
        )
        .unwrap();
    let statement = format!("CREATE INDEX e_k ON e USING {} (outer_of(k))", access_method());
    let error = client.batch_execute(&statement).unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.code(), error.message()), (&SqlState::UNIQUE_VIOLATION, "two"));
    assert_eq!((error.detail(), error.hint()), (Some("d"), Some("h")));
    assert_eq!((error.schema(), error.table(), error.column()), (Some("s"), Some("x"), Some("y")));
    assert_eq!((error.datatype(), error.constraint()), (Some("w"), Some("z")));
    let context: Vec<&str> = error.where_().expect("no CONTEXT").lines().collect();
    assert_eq!(
        context,
        [
            "PL/pgSQL function inner_of(integer) line 9 at RAISE",
            "PL/pgSQL function outer_of(integer) line 2 at RETURN",
        ]
    );
    // The next error has nothing of it.
    let next = client.batch_execute("SELECT 1 / 0").unwrap_err();
    let next = next.as_db_error().unwrap();
    assert_eq!((next.where_(), next.constraint(), next.table()), (None, None, None));

    // A syntax error in a query of a function tells the query.
    client
        .batch_execute(
            "CREATE FUNCTION broken(k int4) RETURNS int4 IMMUTABLE LANGUAGE plpgsql AS $$
             DECLARE found int4; BEGIN EXECUTE 'SELECT nonsense' INTO found; RETURN found; END $$;",
        )
        .unwrap();
    let statement = format!("CREATE INDEX e_k ON e USING {} (broken(k))", access_method());
    let error = client.batch_execute(&statement).unwrap_err();
    let position = error.as_db_error().unwrap().position();
    let internal = postgres::error::ErrorPosition::Internal {
        position: 8,
        query: "SELECT nonsense".to_owned(),
    };
    assert_eq!(position, Some(&internal));
}

#[test]
fn retraining_while_vacuum_has_the_index_gives_up_and_says_why() {
    if !is_learned() {
        return println!("skipped: only a learned index is retrained");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int4, v text);
             INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 1000) g;
             CREATE INDEX t_k ON t USING learned (k); VACUUM t;
             INSERT INTO t VALUES (1001, 'unmerged'); DELETE FROM t WHERE k = 1000",
        )
        .unwrap();
    // A pin that VACUUM waits for, with the index to itself.
    let mut reader = cluster.connect();
    reader
        .script(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; BEGIN;
             DECLARE c CURSOR FOR SELECT k FROM t WHERE k > 0 ORDER BY k; FETCH 1 FROM c",
        )
        .unwrap();
    let mut vacuum = cluster.connect();
    std::thread::scope(|scope| {
        let vacuum = scope.spawn(|| vacuum.script("VACUUM (INDEX_CLEANUP on) t").unwrap());
        wait_until("VACUUM waits for the pin", || {
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'BufferPin'";
            client.query_one(waits, &[]).unwrap().get::<_, i64>(0) == 1
        });
        let error = client.batch_execute("SELECT learned_retrain('t_k')").unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code(), &SqlState::LOCK_NOT_AVAILABLE);
        assert_eq!(error.message(), "index \"t_k\" is being vacuumed or retrained");
        let hint = "Try again when VACUUM or the background worker has finished.";
        assert_eq!(error.hint(), Some(hint));
        // It can be cancelled while it tries.
        let mut limited = cluster.connect();
        limited.script("SET statement_timeout = '200ms'").unwrap();
        let error = limited.batch_execute("SELECT learned_retrain('t_k')").unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
        assert!(!vacuum.is_finished(), "VACUUM did not wait for the pin");
        reader.script("COMMIT").unwrap();
        vacuum.join().unwrap();
    });
    let merged: i64 =
        client.query_one("SELECT merged_rows FROM learned_retrain('t_k')", &[]).unwrap().get(0);
    assert_eq!(merged, 1);
}

/// A temporary index is extended by some pages at once where there are buffers for them. Here
/// cursors have all of them.
#[test]
fn a_build_that_finds_no_local_buffer_fails() {
    const BUFFERS: usize = 100;
    if !is_learned() {
        return println!("skipped: a B-tree is built without local buffers");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(&format!(
            "SET temp_buffers = {BUFFERS};
             CREATE TEMP TABLE pinned AS SELECT repeat('x', 1500) FROM generate_series(1, 1000);
             CREATE TEMP TABLE t (k int8);
             BEGIN"
        ))
        .unwrap();
    for page in 0..BUFFERS {
        client
            .script(&format!(
                "DECLARE c{page} CURSOR FOR SELECT * FROM pinned WHERE ctid = '({page},1)';
                 FETCH c{page}"
            ))
            .unwrap();
    }
    let build = format!("CREATE INDEX t_k ON t USING {} (k)", access_method());
    let error = client.batch_execute(&build).unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code(), &SqlState::INSUFFICIENT_RESOURCES);
    assert_eq!(error.message(), "no empty local buffer available");
    client.script(&format!("ROLLBACK; {build}")).unwrap();
}
