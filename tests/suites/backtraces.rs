//! Errors show no backtrace of Rust, though every server of these tests has RUST_BACKTRACE in its
//! environment.

use postgres::Client;
use postgres::error::DbError;
use server_tests::{Cluster, Script, Shutdown, is_learned};

/// What only a backtrace has.
const TRACES: [&str; 5] = ["stack backtrace", "rust_begin_unwind", "core::", "std::", ".rs:"];

fn assert_no_trace(text: &str) {
    for trace in TRACES {
        assert!(!text.contains(trace), "{trace:?} in: {text}");
    }
}

/// Runs a statement that must fail with a message, and asserts that none of the error's fields has
/// a backtrace.
fn fails(client: &mut Client, statement: &str, message: &str) {
    let error = client.batch_execute(statement).expect_err(statement);
    let error: &DbError = error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error:?}"));
    assert!(error.message().contains(message), "{statement}: {error:?}");
    let fields = [error.detail(), error.hint(), error.where_()];
    for field in fields.into_iter().flatten().chain([error.message()]) {
        assert_no_trace(field);
    }
}

#[test]
fn no_error_shows_a_backtrace_whatever_the_environment_says() {
    if !is_learned() {
        return println!("skipped: nbtree is not written in Rust");
    }
    let cluster = Cluster::start_with("log_error_verbosity = default");
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8, id int4);
                 INSERT INTO t SELECT g, g FROM generate_series(1, 60000) g;
             CREATE UNIQUE INDEX t_k ON t USING learned (k);
             CREATE TABLE damaged AS SELECT hashint8extended(k, 1) AS k FROM t;
             CREATE INDEX damaged_k ON damaged USING learned (k);
             CREATE TABLE e (k int4); CREATE INDEX e_k ON e USING learned ((100 / k))",
        )
        .unwrap();
    let path = cluster.file_of(&mut client, "damaged_k");
    cluster.stop(Shutdown::Clean);
    let mut bytes = std::fs::read(&path).unwrap();
    for page in bytes.chunks_mut(8192).skip(1) {
        page[200..210].fill(0xA5);
    }
    std::fs::write(&path, bytes).unwrap();
    cluster.launch();
    let mut client = cluster.connect();
    client.script("SET enable_seqscan = off").unwrap();
    // Raised by us.
    fails(&mut client, "SELECT * FROM damaged WHERE k = 5", "is corrupted");
    fails(&mut client, "SELECT learned_check('damaged_k')", "is corrupted");
    fails(&mut client, "SELECT learned_retrain('t')", "is not a learned index");
    fails(&mut client, "INSERT INTO t VALUES (7, 7)", "duplicate key value");
    fails(&mut client, "CREATE INDEX ON t USING learned (k, k, k, k, k)", "does not support");
    // Raised by the core, and passed on through us.
    fails(&mut client, "CREATE INDEX ON t USING learned (k) WITH (model = x)", "invalid value");
    fails(
        &mut client,
        "CREATE INDEX ON t USING learned (k) WITH (fillfactor = 1)",
        "out of bounds",
    );
    fails(&mut client, "CREATE UNIQUE INDEX ON damaged USING learned ((k % 2))", "");
    client.script("INSERT INTO e VALUES (1)").unwrap();
    fails(&mut client, "INSERT INTO e VALUES (0)", "division by zero");
    client.script("SET statement_timeout = '30ms'").unwrap();
    let mut blocker = cluster.connect();
    blocker.script("BEGIN; INSERT INTO t VALUES (70000, 1)").unwrap();
    // A unique check that waits for another transaction.
    fails(&mut client, "INSERT INTO t VALUES (70000, 2)", "statement timeout");
    assert_no_trace(&cluster.log());
}

#[test]
fn other_programs_of_the_session_see_the_environment_as_it_was() {
    if !is_learned() {
        return println!("skipped: nbtree is not written in Rust");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let environment = "LOAD 'omendb_learned'; CREATE TEMPORARY TABLE env (line text);
                       COPY env FROM PROGRAM 'env | grep BACKTRACE'";
    client.script(environment).unwrap();
    let rows = client.query("SELECT line FROM env", &[]).unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(lines, ["RUST_BACKTRACE=full"]);
}
