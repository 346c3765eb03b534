//! Counts in serializable transactions, and by users who may not see all rows or columns.

use std::time::Duration;

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{
    Cluster, Script, access_method, in_background, is_learned, pid_of, plan_of, waits_for,
};

const NO_SCANS: &str = "SET omendb_learned.enable_count = on; SET enable_seqscan = off; \
                        SET enable_indexscan = off; \
                        SET enable_indexonlyscan = off; SET enable_bitmapscan = off";

/// Fails unless the node answers, or does not, as expected; an index of another kind has none.
fn assert_node(client: &mut Client, query: &str, expected: bool) {
    let plan = plan_of(client, query);
    assert_eq!(plan.contains("LearnedCount"), expected && is_learned(), "{query}\n{plan}");
}

fn begin_serializable(cluster: &Cluster) -> Client {
    let mut client = cluster.connect();
    client
        .script(&format!(
            "{NO_SCANS}; SET statement_timeout = '60s'; BEGIN ISOLATION LEVEL SERIALIZABLE"
        ))
        .unwrap();
    client
}

/// Both count, both write what the other has counted, both commit: how many could.
fn write_skew(cluster: &Cluster, query: &str, writes: [&str; 2]) -> usize {
    let mut clients = [(); 2].map(|()| begin_serializable(cluster));
    let counts = clients.each_mut().map(|client| {
        // With conditions a scan locks less.
        assert_node(client, query, !query.contains("WHERE"));
        client.query_one(query, &[]).unwrap().get::<_, i64>(0)
    });
    assert_eq!(counts[0], counts[1], "{query}");
    let mut committed = 0;
    for (client, write) in clients.iter_mut().zip(writes) {
        let outcome = client.script(write).and_then(|()| client.script("COMMIT"));
        if let Err(error) = &outcome {
            assert_eq!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{error:?}");
        }
        committed += usize::from(outcome.is_ok());
    }
    committed
}

#[test]
fn of_two_serializable_transactions_that_count_what_the_other_writes_one_fails() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let index = format!("CREATE INDEX ON t USING {} (k)", access_method());
    let tables = [
        "CREATE TABLE t (k int8, id int4)",
        "CREATE TABLE t (k int8, id int4) PARTITION BY RANGE (k);
         CREATE TABLE t_0 PARTITION OF t FOR VALUES FROM (0) TO (5000);
         CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (5000) TO (90000)",
    ];
    let conditions = ["", "WHERE k BETWEEN 101 AND 6000", "WHERE k = ANY ('{150, 250, 6000}')"];
    let writes = [
        ["INSERT INTO t VALUES (150, 0)", "INSERT INTO t VALUES (250, 0)"],
        ["DELETE FROM t WHERE k = 150", "DELETE FROM t WHERE k = 250"],
        ["UPDATE t SET k = 17500 WHERE k = 150", "UPDATE t SET k = 18500 WHERE k = 250"],
    ];
    for table in tables {
        for rows in [0, 2_000] {
            for condition in conditions {
                for writes in writes {
                    if rows == 0 && !writes[0].starts_with("INSERT") {
                        continue;
                    }
                    client
                        .script(&format!(
                            "DROP TABLE IF EXISTS t; {table}; {index};
                             INSERT INTO t SELECT g * 10, g FROM generate_series(1, {rows}) g;
                             VACUUM ANALYZE t"
                        ))
                        .unwrap();
                    let query = format!("SELECT count(*) FROM t {condition}");
                    let committed = write_skew(&cluster, &query, writes);
                    assert_eq!(committed, 1, "{table}: {rows} rows, {query}, {writes:?}");
                }
            }
        }
    }
}

/// Tables with policies, views, and users who may see different things.
fn create_secrets(client: &mut Client) {
    let method = access_method();
    client
        .script(&format!(
            "CREATE ROLE reader; CREATE ROLE viewer; CREATE ROLE id_reader; CREATE ROLE nobody;
             CREATE TABLE secrets (k int8, d int4, id int4 NOT NULL);
             INSERT INTO secrets SELECT nullif(g, 7), g % 10, g FROM generate_series(1, 3000) g;
             CREATE INDEX ON secrets USING {method} (k);
             CREATE INDEX ON secrets USING {method} (d, k);
             CREATE TABLE odd (LIKE secrets INCLUDING INDEXES);
             INSERT INTO odd SELECT * FROM secrets;
             ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
             ALTER TABLE odd ENABLE ROW LEVEL SECURITY;
             CREATE POLICY low ON secrets USING (k <= 1000);
             CREATE POLICY odd ON odd USING (id % 2 = 1);
             GRANT SELECT ON secrets, odd TO reader;
             GRANT SELECT (id) ON secrets, odd TO id_reader;
             CREATE VIEW barrier WITH (security_barrier) AS SELECT k, d FROM secrets WHERE k > 2000;
             CREATE VIEW total AS SELECT count(*), max(k) FROM secrets WHERE k < 500;
             GRANT SELECT ON barrier, total TO viewer;
             VACUUM ANALYZE secrets; VACUUM ANALYZE odd"
        ))
        .unwrap();
}

#[test]
fn a_count_has_the_rows_that_the_user_may_see() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create_secrets(&mut client);
    client.script(NO_SCANS).unwrap();
    // The policy of `secrets` is a condition on the index, that of `odd` is not.
    let cases = [
        ("reader", "SELECT count(*) FROM secrets", 999, true),
        ("reader", "SELECT count(*) FROM secrets WHERE k > 900", 100, true),
        ("reader", "SELECT count(*) FROM secrets WHERE k > 1000", 0, true),
        ("reader", "SELECT count(*) FROM secrets WHERE k IS NULL", 0, true),
        ("reader", "SELECT count(k) FROM secrets WHERE d = 3", 100, true),
        ("reader", "SELECT count(*) FROM secrets WHERE d = 3 AND k < 100", 10, true),
        ("reader", "SELECT count(*) FROM odd", 1_500, false),
        ("reader", "SELECT count(*) FROM odd WHERE k <= 100", 49, false),
        ("viewer", "SELECT count(*) FROM barrier", 1_000, false),
        ("viewer", "SELECT count(*) FROM barrier WHERE d = 1", 100, false),
        ("viewer", "SELECT count FROM total", 498, true),
        ("viewer", "SELECT max FROM total", 499, true),
        ("id_reader", "SELECT count(*) FROM secrets", 999, true),
        ("id_reader", "SELECT count(id) FROM secrets", 999, true),
        ("id_reader", "SELECT count(id) FROM odd", 1_500, false),
        ("postgres", "SELECT count(*) FROM secrets", 3_000, true),
        ("postgres", "SELECT count(*) FROM odd WHERE k <= 100", 99, true),
    ];
    for (user, query, expected, node) in cases {
        client.script(&format!("SET ROLE {user}")).unwrap();
        for is_on in ["on", "off"] {
            client.script(&format!("SET omendb_learned.enable_count = {is_on}")).unwrap();
            assert_node(&mut client, query, node && is_on == "on");
            let found: i64 = client.query_one(query, &[]).unwrap().get(0);
            assert_eq!(found, expected, "{user}: {query}, node {is_on}");
        }
    }
    // A plan that is kept is another user's after SET ROLE.
    client
        .script(
            "SET omendb_learned.enable_count = on; SET plan_cache_mode = force_generic_plan;
                   PREPARE s (int8) AS SELECT count(*) FROM secrets WHERE k < $1",
        )
        .unwrap();
    for (user, expected) in [("postgres", "1998"), ("reader", "999"), ("postgres", "1998")] {
        client.script(&format!("SET ROLE {user}")).unwrap();
        let messages = client.simple_query("EXECUTE s (2000)").unwrap();
        let found = messages.iter().find_map(|message| match message {
            postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        assert_eq!(found, Some(expected), "{user}");
    }
}

#[test]
fn who_may_not_read_what_a_count_asks_for_gets_an_error() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create_secrets(&mut client);
    client.script(NO_SCANS).unwrap();
    let cases = [
        ("id_reader", "SELECT count(*) FROM secrets WHERE k > 5"),
        ("id_reader", "SELECT count(*) FROM secrets WHERE k IS NULL"),
        ("id_reader", "SELECT count(*) FROM secrets WHERE d = 5 AND k = 5"),
        ("id_reader", "SELECT count(k) FROM secrets"),
        ("id_reader", "SELECT count(*), max(k) FROM secrets"),
        ("id_reader", "SELECT count(*) FROM odd WHERE k = ANY ('{1, 2}')"),
        ("nobody", "SELECT count(*) FROM secrets"),
        ("nobody", "SELECT count(1) FROM odd"),
        ("viewer", "SELECT count(*) FROM secrets"),
    ];
    for (user, query) in cases {
        for is_on in ["on", "off"] {
            client
                .script(&format!("SET ROLE {user}; SET omendb_learned.enable_count = {is_on}"))
                .unwrap();
            let error = client.query_one(query, &[]).unwrap_err();
            let expected = Some(&SqlState::INSUFFICIENT_PRIVILEGE);
            assert_eq!(error.code(), expected, "{user}: {query}, node {is_on}");
        }
    }
}

#[test]
fn a_column_is_not_null_only_to_a_snapshot_that_sees_the_declaration() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.connect(), cluster.connect());
    client
        .script(&format!(
            "CREATE TABLE t (k int8, c int4);
             INSERT INTO t SELECT g, nullif(g % 2, 0) FROM generate_series(1, 4000) g;
             CREATE INDEX ON t USING {} (k); VACUUM ANALYZE t; {NO_SCANS}",
            access_method()
        ))
        .unwrap();
    client
        .batch_execute(
            "CREATE FUNCTION counted() RETURNS int8 STABLE LANGUAGE plpgsql AS
                 'BEGIN RETURN (SELECT count(c) FROM t); END'",
        )
        .unwrap();
    other.script("SELECT pg_advisory_lock(1)").unwrap();
    // The function has the snapshot of the query, which waits meanwhile.
    let query = "SELECT CASE g WHEN 1 THEN pg_advisory_lock(1)::text ELSE counted()::text END
                 FROM generate_series(1, 2) g";
    let pid = pid_of(&mut client);
    let counting = in_background(client, query);
    while waits_for(&mut other, pid).as_deref() != Some("Lock") {
        std::thread::sleep(Duration::from_millis(10));
    }
    other.script("DELETE FROM t WHERE c IS NULL; ALTER TABLE t ALTER c SET NOT NULL").unwrap();
    other.script("SELECT pg_advisory_unlock(1)").unwrap();
    let (mut client, rows) = counting.join().unwrap();
    assert_eq!(rows.unwrap()[1].get::<_, String>(0), "2000");
    // Now it counts the rows.
    assert_node(&mut client, "SELECT count(c) FROM t", true);
    assert_eq!(client.query_one("SELECT count(c) FROM t", &[]).unwrap().get::<_, i64>(0), 2000);
}
