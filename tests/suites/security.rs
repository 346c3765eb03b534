//! What the extension must not do for people who want harm: who may see what is in
//! pg_regress/sql/security.sql; here is what takes a database or a worker of its own.

use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{
    Cluster, LEFT_UNMERGED, Script, check, in_background, is_learned, retrain, wait_until,
};

/// Objects that match better than the core's wherever a name is looked up in the search path, each
/// of which fails if it is used. In the schema where the extension will be, and in the path before
/// pg_catalog.
const HOSTILE: &str = "
    CREATE SCHEMA hostile;
    CREATE DOMAIN hostile.regclass AS pg_catalog.text;
    CREATE DOMAIN hostile.bool AS pg_catalog.text;
    CREATE DOMAIN hostile.bigint AS pg_catalog.text;
    CREATE DOMAIN hostile.int8 AS pg_catalog.text;
    CREATE DOMAIN hostile.int4 AS pg_catalog.text;
    CREATE DOMAIN hostile.int2 AS pg_catalog.text;
    CREATE DOMAIN hostile.internal AS pg_catalog.text;
    CREATE DOMAIN hostile.index_am_handler AS pg_catalog.text;
    CREATE FUNCTION hostile.learned_index_stats(pg_catalog.oid, pg_catalog.bool)
        RETURNS pg_catalog.int4 LANGUAGE sql AS 'SELECT 1/0';
    CREATE FUNCTION hostile.pg_has_role(pg_catalog.oid, pg_catalog.text)
        RETURNS pg_catalog.bool LANGUAGE sql AS 'SELECT 1/0 = 1';
    CREATE TABLE hostile.pg_class (oid pg_catalog.oid, relam pg_catalog.oid);
    CREATE TABLE hostile.pg_index (indexrelid pg_catalog.oid);
    CREATE TABLE hostile.pg_am (amname pg_catalog.name);
    CREATE TABLE hostile.pg_opclass (oid_ pg_catalog.oid);";

/// Functions and operators with the names and arguments of those that the operator classes name.
fn hostile_members(client: &mut Client) {
    let copies = client
        .query(
            "SELECT format('CREATE FUNCTION hostile.%I(%s) RETURNS %s LANGUAGE plpgsql AS $$ \
             BEGIN RAISE ''hostile''; END $$',
                           proname, pg_get_function_identity_arguments(p.oid), prorettype::regtype)
             FROM pg_amproc JOIN pg_proc p ON p.oid = amproc
                 JOIN pg_opfamily f ON f.oid = amprocfamily
             JOIN pg_am a ON a.oid = opfmethod
             WHERE amname = 'btree'
                 AND opfname IN ('integer_ops', 'float_ops', 'datetime_ops', 'time_ops', 'oid_ops',
                 'bool_ops')
               AND NOT prorettype::regtype::text = 'internal'
                   AND NOT 'internal'::regtype = ANY (proargtypes)
             UNION
             SELECT format('CREATE OPERATOR hostile.%s (FUNCTION = %s, LEFTARG = %s, RIGHTARG = \
             %s)',
                           oprname, oprcode, oprleft::regtype, oprright::regtype)
             FROM pg_amop JOIN pg_operator o ON o.oid = amopopr
                 JOIN pg_opfamily f ON f.oid = amopfamily
             JOIN pg_am a ON a.oid = opfmethod
             WHERE amname = 'btree'
                 AND opfname IN ('integer_ops', 'float_ops', 'datetime_ops', 'time_ops',
                 'oid_ops', 'bool_ops')",
            &[],
        )
        .unwrap();
    assert!(copies.len() > 100, "{} hostile objects", copies.len());
    for copy in copies {
        client.batch_execute(copy.get(0)).unwrap();
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one course of events")]
fn the_install_script_takes_nothing_from_a_hostile_schema() {
    if !is_learned() {
        return println!("skipped: there is no extension to install");
    }
    let cluster = Cluster::bare("");
    let mut client = cluster.connect();
    client.batch_execute(HOSTILE).unwrap();
    hostile_members(&mut client);
    client
        .script(
            "SET search_path = hostile, pg_catalog; CREATE EXTENSION omendb_learned SCHEMA \
             hostile; RESET search_path",
        )
        .unwrap();
    // The same operators and functions as in btree's families of these names, by number.
    for (table, columns) in [
        ("pg_amop", "amoplefttype, amoprighttype, amopstrategy, amoppurpose, amopopr"),
        ("pg_amproc", "amproclefttype, amprocrighttype, amprocnum, amproc"),
    ] {
        let family = if table == "pg_amop" { "amopfamily" } else { "amprocfamily" };
        let members = |method: &str| {
            format!(
                "SELECT opfname, {columns} FROM pg_catalog.{table}
                     JOIN pg_catalog.pg_opfamily f ON f.oid = {family}
                 JOIN pg_catalog.pg_am a ON a.oid = opfmethod WHERE amname = '{method}'"
            )
        };
        let extra = format!("{} EXCEPT {}", members("learned"), members("btree"));
        let extra = client.query(&extra, &[]).unwrap();
        assert!(extra.is_empty(), "{table} has {} members that btree has not", extra.len());
        let number: i64 = client
            .query_one(&format!("SELECT count(*) FROM ({}) m", members("learned")), &[])
            .unwrap()
            .get(0);
        assert!(number > 25, "only {number} members in {table}");
    }
    // Its own functions take and return the core's types, and are where they were asked for.
    let foreign = client
        .query(
            "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid
                 AND d.classid = 'pg_proc'::regclass
             JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
             WHERE extname = 'omendb_learned'
                 AND (pronamespace <> 'hostile'::regnamespace OR EXISTS (
                 SELECT FROM unnest(proallargtypes || proargtypes::oid[] || prorettype) AS used
                 JOIN pg_type t ON t.oid = used WHERE typnamespace <> 'pg_catalog'::regnamespace))",
            &[],
        )
        .unwrap();
    assert!(
        foreign.is_empty(),
        "{:?}",
        foreign.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    );
    // It works there, whatever the path is.
    client
        .script(
            "CREATE TABLE t AS SELECT g AS k FROM generate_series(1, 1000) g;
                 CREATE INDEX t_k ON t USING learned (k);
             SET search_path = hostile, pg_catalog, public; SET enable_seqscan = off",
        )
        .unwrap();
    let sum: i64 = client
        .query_one("SELECT pg_catalog.sum(k) FROM t WHERE k BETWEEN 10 AND 20", &[])
        .unwrap()
        .get(0);
    assert_eq!(sum, 165);
    client.script("INSERT INTO t VALUES (2000)").unwrap();
    let merged: i64 = client
        .query_one("SELECT merged_rows FROM hostile.learned_retrain('t_k')", &[])
        .unwrap()
        .get(0);
    assert_eq!(merged, 1);
    let listed: i64 =
        client.query_one("SELECT entries FROM hostile.learned_indexes", &[]).unwrap().get(0);
    assert_eq!(listed, 1001);
    let valid: i64 = client
        .query_one(
            "SELECT pg_catalog.count(*) FROM pg_catalog.pg_opclass c
                 JOIN pg_catalog.pg_am a ON a.oid OPERATOR(pg_catalog.=) opcmethod
             WHERE amname OPERATOR(pg_catalog.=) 'learned' AND pg_catalog.amvalidate(c.oid)",
            &[],
        )
        .unwrap()
        .get(0);
    assert_eq!(valid, 22);
    client.script("RESET search_path; DROP EXTENSION omendb_learned CASCADE").unwrap();
}

#[test]
fn the_install_script_replaces_nobodys_objects() {
    if !is_learned() {
        return println!("skipped: there is no extension to install");
    }
    let cluster = Cluster::bare("");
    let mut client = cluster.connect();
    // The owner of a function may change it at any time: so it must not become the extension's.
    let body = "LANGUAGE sql AS 'SELECT 1'";
    for (function, returns) in [
        ("learned_retrain(regclass)", "int4"),
        (
            "learned_retrain(regclass)",
            "TABLE (merged_rows bigint, replaced_pages bigint, ranges bigint, pages bigint)",
        ),
        ("learned_check(regclass, bool, bool)", "int4"),
        ("learned_index_stats(regclass, bool)", "int4"),
    ] {
        let body = if returns.starts_with("TABLE") {
            "LANGUAGE sql AS 'SELECT 1::int8, 1::int8, 1::int8, 1::int8'"
        } else {
            body
        };
        client
            .batch_execute(&format!("CREATE FUNCTION {function} RETURNS {returns} {body}"))
            .unwrap();
        let error = client.batch_execute("CREATE EXTENSION omendb_learned").unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::DUPLICATE_FUNCTION), "{error:?}");
        let left: i64 = client
            .query_one("SELECT count(*) FROM pg_am WHERE amname = 'learned'", &[])
            .unwrap()
            .get(0);
        assert_eq!(left, 0, "half an extension");
        client.batch_execute(&format!("DROP FUNCTION {function}")).unwrap();
    }
    client.batch_execute("CREATE VIEW learned_indexes AS SELECT 1 AS relid").unwrap();
    let error = client.batch_execute("CREATE EXTENSION omendb_learned").unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::DUPLICATE_TABLE), "{error:?}");
    client
        .script(
            "DROP VIEW learned_indexes;
             CREATE ROLE creator LOGIN; GRANT CREATE ON DATABASE postgres TO creator; SET ROLE \
             creator",
        )
        .unwrap();
    let error = client.batch_execute("CREATE EXTENSION omendb_learned").unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{error:?}");
    client.script("RESET ROLE; CREATE EXTENSION omendb_learned").unwrap();
}

#[test]
fn no_advisory_lock_keeps_the_worker_from_its_seat() {
    if !is_learned() {
        return println!("skipped: only a learned index has a worker");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE ROLE stranger;
             CREATE TABLE t (k int8);
             INSERT INTO t SELECT hashint8extended(g, 1) FROM generate_series(1, 1000) g;
             CREATE INDEX t_k ON t USING learned (k)",
        )
        .unwrap();
    // All that pg_advisory_lock can name: the fields of the lock of an index's seat are the class
    // of access methods, the index, and 1, which is also what a lock of one number has there. A
    // seat of the server has its number, from 0 on.
    let mut stranger = cluster.connect();
    stranger.script("SET ROLE stranger").unwrap();
    let index: u32 = client.query_one("SELECT 't_k'::regclass::oid", &[]).unwrap().get(0);
    let class = 2601i64;
    stranger
        .script(&format!(
            "SELECT pg_advisory_lock({one}); SELECT pg_advisory_lock({class}, {index}::int4);
             SELECT pg_advisory_lock({index}::int8); SELECT pg_advisory_lock_shared({one});
             SELECT pg_advisory_lock({class}, 0); SELECT pg_advisory_lock({class}, 1);
             SELECT pg_advisory_lock({first}); SELECT pg_advisory_lock({first} + 1)",
            one = class << 32 | i64::from(index),
            first = class << 32,
        ))
        .unwrap();
    // The seats of the index, and of the server, that somebody has.
    let seats = "SELECT count(*) FILTER (WHERE objid = 't_k'::regclass AND database > 0),
                        count(*) FILTER (WHERE objid IN (0, 1) AND database = 0)
                 FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_am'::regclass
                     AND granted";
    let insert = "INSERT INTO t SELECT hashint8extended(g, 2) FROM generate_series(1, 120000) g";
    let (mut seen, start) = (false, Instant::now());
    // The worker has both as long as it has something to do.
    while !seen {
        assert!(start.elapsed() < Duration::from_secs(60), "no worker was seen for a minute");
        let inserting = in_background(cluster.connect(), insert);
        while !inserting.is_finished() {
            let row = client.query_one(seats, &[]).unwrap();
            seen |= row.get::<_, i64>(0) > 0 && row.get::<_, i64>(1) > 0;
        }
        inserting.join().unwrap().1.unwrap();
    }
    wait_until("a worker has merged", || check(&mut client, "t_k").unmerged <= LEFT_UNMERGED);
    // Nor does giving up all locks of its kind give up the seat, which is another session's.
    stranger.script("SELECT pg_advisory_unlock_all(); DISCARD ALL").unwrap();
    retrain(&mut client, "t_k");
}

#[test]
fn the_worker_evaluates_nothing_and_heeds_no_setting_of_the_databases_owner() {
    if !is_learned() {
        return println!("skipped: only a learned index has a worker");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    // The function of the index fails from a moment on, and the settings are what an owner may set.
    client
        .batch_execute(
            "CREATE ROLE owner; GRANT CREATE ON SCHEMA public TO owner; SET ROLE owner;
             CREATE FUNCTION f(k int8) RETURNS int8 IMMUTABLE LANGUAGE plpgsql
                 AS $$ BEGIN RETURN -k; END $$;
             CREATE TABLE t (k int8);
             INSERT INTO t SELECT hashint8extended(g, 1) / 2 FROM generate_series(1, 1000) g;
             CREATE INDEX t_k ON t USING learned (f(k)) WHERE f(k) IS NOT NULL;
             RESET ROLE",
        )
        .unwrap();
    for setting in [
        "default_transaction_read_only = on",
        "default_transaction_isolation = serializable",
        "default_transaction_deferrable = on",
        "statement_timeout = '1ms'",
        "search_path = hostile",
        "row_security = off",
        "omendb_learned.directory_memory = 0",
    ] {
        client.batch_execute(&format!("ALTER DATABASE postgres SET {setting}")).unwrap();
    }
    client
        .script("INSERT INTO t SELECT hashint8extended(g, 2) / 2 FROM generate_series(1, 45000) g")
        .unwrap();
    client
        .batch_execute(
            "CREATE OR REPLACE FUNCTION f(k int8) RETURNS int8 IMMUTABLE LANGUAGE plpgsql AS $$
             BEGIN
                 IF current_setting('application_name') <> 'inserter' THEN RAISE 'evaluated';
                     END IF;
                 RETURN -k;
             END $$;
             SET application_name = 'inserter'",
        )
        .unwrap();
    client
        .script("INSERT INTO t SELECT hashint8extended(g, 3) / 2 FROM generate_series(1, 60000) g")
        .unwrap();
    wait_until("a worker has merged", || {
        let unmerged: i64 = client
            .query_one("SELECT unmerged_entries FROM learned_check('t_k')", &[])
            .unwrap()
            .get(0);
        unmerged <= LEFT_UNMERGED
    });
    std::thread::sleep(Duration::from_millis(200));
    let log = cluster.log();
    assert!(!log.contains("ERROR") && !log.contains("FATAL"), "{log}");
}
