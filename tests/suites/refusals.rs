//! What must fail clearly: unsupported declarations, options and rows.

use postgres::Client;
use postgres::error::{DbError, SqlState};
use server_tests::{Cluster, Script, assert_plan, major_version};

fn error_of(client: &mut Client, statement: &str) -> DbError {
    let error = client.batch_execute(statement).expect_err(statement);
    error
        .as_db_error()
        .unwrap_or_else(|| panic!("{statement}: the connection broke: {error}"))
        .clone()
}

fn assert_error(client: &mut Client, statement: &str, state: &SqlState, message: &str) -> DbError {
    let error = error_of(client, statement);
    assert_eq!(error.code(), state, "{statement}: {error:?}");
    assert!(error.message().contains(message), "{statement}: no {message:?} in {error:?}");
    error
}

#[test]
fn types_without_an_operator_class_are_refused_with_a_hint() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script("CREATE TABLE t (a text, b varbit, c tsvector, d bytea, e xid, f int4[], g jsonb)")
        .unwrap();
    for column in ["a", "b", "c", "d", "e", "f", "g"] {
        let statement = format!("CREATE INDEX ON t USING learned ({column})");
        let error = assert_error(
            &mut client,
            &statement,
            &SqlState::UNDEFINED_OBJECT,
            "no default operator class",
        );
        assert!(error.hint().is_some(), "{error:?}");
    }
    client
        .script(
            "CREATE DOMAIN positive AS int4 CHECK (VALUE > 0); CREATE TABLE s (k positive); \
             CREATE INDEX ON s USING learned (k)",
        )
        .unwrap();
}

#[test]
fn indexes_that_are_too_wide_are_refused() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (a int4, b int4, c int4, d int4, e int4, f int4, g int4, h int4, i int4,
                 u uuid, v uuid, w uuid, n text, o oidvector)",
        )
        .unwrap();
    let (many, unsupported) = (SqlState::PROGRAM_LIMIT_EXCEEDED, SqlState::FEATURE_NOT_SUPPORTED);
    for (columns, state, message) in [
        ("(a, b, c, d, e, f, g, h, i)", &many, "does not support 9 key columns"),
        ("(u, v, w)", &many, "does not support a key of 9 words of 64 bits"),
        ("(a) INCLUDE (o)", &unsupported, "does not support included columns of type oidvector"),
        ("(a, b) INCLUDE (u, v, w)", &many, "a key and included columns of 9 words of 64 bits"),
        ("(a, n)", &SqlState::UNDEFINED_OBJECT, "type text has no default operator class"),
    ] {
        let statement = format!("CREATE INDEX ON t USING learned {columns}");
        let error = assert_error(&mut client, &statement, state, message);
        assert!(error.hint().is_some(), "{error:?}");
    }
    client.script("CREATE INDEX ON t USING learned (a, b, c, d, e, f, g, h)").unwrap();
}

/// So the only historic snapshots that read such an index are those of output plugins, in tables
/// that say so.
#[test]
fn catalogs_have_no_such_index() {
    let cluster = Cluster::start();
    assert_error(
        &mut cluster.connect(),
        "CREATE INDEX ON pg_class USING learned (relpages)",
        &SqlState::INSUFFICIENT_PRIVILEGE,
        "\"pg_class\" is a system catalog",
    );
}

#[test]
fn a_unique_build_refuses_duplicates_and_takes_rows_that_only_an_old_snapshot_sees() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    // The second index keeps updates from being HOT: old versions get entries of their own.
    client
        .script(
            "CREATE TABLE t (k int8, id int4);
             INSERT INTO t SELECT hashint8(g)::int8 * 8192 + g, g FROM generate_series(1, 8000) g;
             INSERT INTO t SELECT NULL, g FROM generate_series(1, 10) g;
             CREATE INDEX ON t (id);",
        )
        .unwrap();
    let sums = "SELECT count(*), sum(id) FROM t WHERE k IS NOT NULL";
    let mut old = cluster.connect();
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    let before: (i64, i64) = old.query_one(sums, &[]).map(|row| (row.get(0), row.get(1))).unwrap();
    client
        .script(
            "UPDATE t SET id = id + 1;
             SET maintenance_work_mem = '1MB';
             CREATE UNIQUE INDEX t_k ON t USING learned (k);
             CREATE UNIQUE INDEX t_kd ON t USING learned (k DESC) WHERE id > 7",
        )
        .unwrap();
    old.batch_execute("SET LOCAL enable_seqscan = off").unwrap();
    assert_plan(&mut old, sums, &["t_k"], &["Seq Scan"]);
    let seen = old.query_one(sums, &[]).map(|row| (row.get(0), row.get(1))).unwrap();
    assert_eq!(before, seen, "the old snapshot sees other rows through the index");
    old.batch_execute("COMMIT").unwrap();

    client
        .script("DROP INDEX t_k; DROP INDEX t_kd; INSERT INTO t VALUES (-1, 0), (-1, 0)")
        .unwrap();
    for order in ["", "DESC", "NULLS FIRST"] {
        let error = assert_error(
            &mut client,
            &format!("CREATE UNIQUE INDEX t_k ON t USING learned (k {order})"),
            &SqlState::UNIQUE_VIOLATION,
            "could not create unique index \"t_k\"",
        );
        assert_eq!(error.detail(), Some("Key (k)=(-1) is duplicated."));
        let names = (error.schema(), error.table(), error.constraint());
        assert_eq!(names, (Some("public"), Some("t"), Some("t_k")));
    }
    // The next error is not named after the constraint.
    let error = error_of(&mut client, "SELECT 1 / 0");
    assert_eq!((error.table(), error.constraint()), (None, None));
}

#[test]
fn a_new_unique_index_warns_of_what_the_core_will_refuse_before_version_18() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let version: String = client.query_one("SHOW server_version_num", &[]).unwrap().get(0);
    let version: u32 = version.parse().unwrap();
    let warnings = |text: &str| cluster.log().matches(text).count();
    let conflict = "INSERT ... ON CONFLICT will fail on table \"t\"";
    client
        .script(
            "CREATE TABLE t (k int4); INSERT INTO t VALUES (1), (2);
             CREATE INDEX t_plain ON t USING learned (k);
             CREATE UNIQUE INDEX t_k ON t USING learned (k)",
        )
        .unwrap();
    let expected = usize::from(version < 180_000);
    assert_eq!(warnings(conflict), expected);
    let subscriber = usize::from((160_000..180_000).contains(&version));
    assert_eq!(warnings("replica identity"), subscriber);
    client.script("REINDEX INDEX t_k; VACUUM FULL t; TRUNCATE t").unwrap();
    client.script("REINDEX INDEX CONCURRENTLY t_k").unwrap();
    assert_eq!(warnings(conflict), expected, "the index is not new");
    client.script("CREATE UNIQUE INDEX CONCURRENTLY t_c ON t USING learned (k)").unwrap();
    assert_eq!(warnings(conflict), 2 * expected);

    // What the warning says is so.
    if version < 180_000 {
        client.script("DROP INDEX t_plain").unwrap();
        let error = error_of(&mut client, "INSERT INTO t VALUES (3) ON CONFLICT DO NOTHING");
        assert!(
            error.message().contains("unexpected non-btree speculative unique index"),
            "{error:?}"
        );
    }
}

#[test]
fn indexes_are_monitored_from_version_17_on_only() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int4); INSERT INTO t SELECT generate_series(1, 1000);
             CREATE INDEX t_off ON t USING learned (k) WITH (monitoring = off)",
        )
        .unwrap();
    let statements = [
        "CREATE INDEX t_on ON t USING learned (k) WITH (monitoring = on)",
        "ALTER INDEX t_off SET (monitoring)",
    ];
    for statement in statements {
        if major_version(&mut client) >= 17 {
            client.script(statement).unwrap();
            continue;
        }
        let message = "access method \"learned\" does not support monitoring before PostgreSQL 17";
        let unsupported = &SqlState::FEATURE_NOT_SUPPORTED;
        let error = assert_error(&mut client, statement, unsupported, message);
        assert!(error.hint().is_some(), "{error:?}");
    }
    // On all versions there are functions and a view, for what is counted.
    let counted = "SELECT count(scans) FROM learned_index_activity";
    let expected = if major_version(&mut client) >= 17 { 2 } else { 0 };
    assert_eq!(client.query_one(counted, &[]).unwrap().get::<_, i64>(0), expected);
    client.script("DROP INDEX IF EXISTS t_on; ALTER INDEX t_off RESET (monitoring)").unwrap();
    let none = "SELECT count(*) FROM learned_index_counters('t_off')";
    assert_eq!(client.query_one(none, &[]).unwrap().get::<_, i64>(0), 0);
    let reset = "SELECT learned_reset_counters('t_off')";
    let state = &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
    let error = assert_error(&mut client, reset, state, "index \"t_off\" is not monitored");
    assert!(error.hint().is_some(), "{error:?}");
}

#[test]
fn wrong_options_are_refused_and_leave_the_index_as_it_was() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script("CREATE TABLE t (k int4); INSERT INTO t SELECT generate_series(1, 1000)")
        .unwrap();
    for option in [
        "model = btree",
        "model = ''",
        "model = 3",
        "fillfactor = 9",
        "fillfactor = 101",
        "fillfactor = -1",
        "fillfactor = many",
        "epsilon = 3",
    ] {
        let statement = format!("CREATE INDEX t_k ON t USING learned (k) WITH ({option})");
        assert_error(&mut client, &statement, &SqlState::INVALID_PARAMETER_VALUE, "");
    }
    client
        .script("CREATE INDEX t_k ON t USING learned (k) WITH (model = pgm, fillfactor = 80)")
        .unwrap();
    assert_error(
        &mut client,
        "ALTER INDEX t_k SET (model = wrong)",
        &SqlState::INVALID_PARAMETER_VALUE,
        "",
    );
    assert_error(
        &mut client,
        "ALTER INDEX t_k SET (fillfactor = 0)",
        &SqlState::INVALID_PARAMETER_VALUE,
        "",
    );
    let options: Vec<String> = client
        .query_one("SELECT reloptions FROM pg_class WHERE relname = 't_k'", &[])
        .unwrap()
        .get(0);
    assert_eq!(options, ["model=pgm", "fillfactor=80"]);
}
