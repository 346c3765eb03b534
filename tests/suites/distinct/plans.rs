//! What the node is for, and what it leaves to others.

use postgres::Client;
use server_tests::{Cluster, Script, access_method, is_learned, plan_of};

/// A table of 40 devices whose index has the last reading of each first.
fn create(client: &mut Client) {
    client
        .script(&format!(
            "CREATE TABLE r (d int4, ts timestamptz, v int4);
             INSERT INTO r SELECT g % 40, '2025-01-01'::timestamptz + g * interval '1 s', g
                 FROM generate_series(1, 20000) g;
             CREATE INDEX r_d_ts ON r USING {} (d, ts DESC);
             VACUUM ANALYZE r; SET enable_seqscan = off; SET enable_bitmapscan = off",
            access_method()
        ))
        .unwrap();
}

fn is_used(client: &mut Client, query: &str) -> bool {
    plan_of(client, query).contains("LearnedDistinct")
}

#[test]
fn the_node_is_offered_where_the_index_has_the_first_row_of_each_group_first() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    if !is_learned() {
        return;
    }
    for query in [
        "SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC",
        "SELECT DISTINCT ON (d) * FROM r ORDER BY d DESC, ts",
        "SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts",
        "SELECT DISTINCT ON (d) * FROM r",
        "SELECT DISTINCT ON (d) * FROM r WHERE d > 3 AND ts > now() - interval '99 years'
             AND v % 2 = 0 ORDER BY d, ts DESC",
        "SELECT * FROM (SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC) x JOIN r USING (v)",
        // The core calls it for the rows of the result.
        "SELECT DISTINCT ON (d) *, random() FROM r ORDER BY d, ts DESC",
        "SELECT DISTINCT ON (d) d, (SELECT max(v) FROM r o WHERE o.d = r.d) FROM r ORDER BY d, ts",
    ] {
        assert!(is_used(&mut client, query), "{query}: {}", plan_of(&mut client, query));
    }
    for query in [
        // Another order, or other groups.
        "SELECT DISTINCT ON (d) * FROM r ORDER BY d, v",
        "SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC NULLS LAST",
        "SELECT DISTINCT ON (ts) * FROM r ORDER BY ts, d",
        "SELECT DISTINCT ON (d % 2) * FROM r ORDER BY d % 2, ts DESC",
        "SELECT DISTINCT d, v FROM r",
        // All rows are looked at.
        "SELECT DISTINCT ON (d) * FROM r WHERE random() < 2 ORDER BY d, ts DESC",
        "SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC, random()",
        "SELECT DISTINCT ON (d) *, generate_series(1, 2) FROM r ORDER BY d, ts DESC",
        "SELECT DISTINCT ON (d) d, row_number() OVER () FROM r ORDER BY d",
        "SELECT DISTINCT ON (d) d, count(*) FROM r GROUP BY d, ts ORDER BY d, ts DESC",
        "SELECT DISTINCT ON (d) * FROM r TABLESAMPLE system (50) ORDER BY d, ts DESC",
        "SELECT DISTINCT ON (r.d) * FROM r JOIN r o ON r.v = o.v ORDER BY r.d, r.ts DESC",
        // As many groups as rows.
        "SELECT DISTINCT ON (d, ts) * FROM r ORDER BY d, ts DESC",
    ] {
        assert!(!is_used(&mut client, query), "{query}: {}", plan_of(&mut client, query));
    }
    client.script("SET omendb_learned.enable_distinct = off").unwrap();
    assert!(!is_used(&mut client, "SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC"));
}

#[test]
fn nodes_above_read_its_rows_and_begin_it_again() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    let newest = "SELECT DISTINCT ON (d) * FROM r ORDER BY d, ts DESC";
    // The rows of the scan, and others that are made of them.
    for (shown, sum) in [("*", 799_220), ("d, ts, v + 1 AS v", 799_260), ("v, d", 799_220)] {
        let query = newest.replace('*', shown);
        let query = format!("SELECT sum(x.v + x.d - x.d), count(x.d) FROM ({query}) x");
        assert_eq!(is_used(&mut client, &query), is_learned());
        let row = client.query_one(&query, &[]).unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (sum, 40), "{shown}");
    }
    // In the middle of the groups, and behind the last one.
    client.script("SET enable_material = off; SET enable_hashjoin = off").unwrap();
    for limit in [2, 100] {
        let query = format!(
            "SELECT min(n), max(n), min(d), max(d)
             FROM (SELECT g, count(*) n, min(d) d FROM generate_series(1, 5) g
                   LEFT JOIN ({newest} LIMIT {limit}) x ON x.v <> g GROUP BY g) y"
        );
        assert_eq!(is_used(&mut client, &query), is_learned());
        let row = client.query_one(&query, &[]).unwrap();
        let rows = i64::from(limit.min(40));
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (rows, rows), "{limit}");
        assert_eq!((row.get::<_, i32>(2), row.get::<_, i32>(3)), (0, 0), "{limit}");
    }
}

#[test]
fn a_plan_that_is_kept_outlives_its_index() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    client
        .script(
            "SET plan_cache_mode = force_generic_plan;
             PREPARE newest(int4) AS
                 SELECT DISTINCT ON (d) d, v FROM r WHERE d < $1 ORDER BY d, ts DESC",
        )
        .unwrap();
    let newest = |client: &mut Client| -> Vec<(i32, i32)> {
        let rows = client.simple_query("EXECUTE newest(3)").unwrap();
        let row = |message: &postgres::SimpleQueryMessage| match message {
            postgres::SimpleQueryMessage::Row(row) => {
                let number = |place| row.get(place).unwrap().parse().unwrap();
                Some((number(0), number(1)))
            }
            _ => None,
        };
        rows.iter().filter_map(row).collect()
    };
    let last = [(0, 20_000), (1, 19_961), (2, 19_962)];
    assert_eq!(newest(&mut client), last);
    assert_eq!(plan_of(&mut client, "EXECUTE newest(3)").contains("LearnedDistinct"), is_learned());
    client.script("DROP INDEX r_d_ts").unwrap();
    assert_eq!(newest(&mut client), last);
    client
        .script(&format!(
            "CREATE INDEX ON r USING {} (d, ts); INSERT INTO r VALUES (1, 'infinity', 7)",
            access_method()
        ))
        .unwrap();
    assert_eq!(newest(&mut client), [last[0], (1, 7), last[2]]);
    assert_eq!(plan_of(&mut client, "EXECUTE newest(3)").contains("LearnedDistinct"), is_learned());
}

#[test]
fn policies_and_rights_are_those_of_the_table() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    client
        .batch_execute(
            "CREATE FUNCTION leak(int4) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS
                 $$ BEGIN RAISE 'leaked %', $1; END $$",
        )
        .unwrap();
    client
        .script(
            "CREATE ROLE someone; ALTER TABLE r ENABLE ROW LEVEL SECURITY;
             CREATE POLICY even ON r USING (v % 2 = 0);
             SET ROLE someone",
        )
        .unwrap();
    let newest = "SELECT DISTINCT ON (d) d, v FROM r ORDER BY d, ts DESC";
    let denied = client.query(newest, &[]).unwrap_err();
    assert_eq!(denied.code(), Some(&postgres::error::SqlState::INSUFFICIENT_PRIVILEGE));
    client.script("RESET ROLE; GRANT SELECT ON r TO someone; SET ROLE someone").unwrap();
    assert_eq!(is_used(&mut client, newest), is_learned());
    let rows = client.query(newest, &[]).unwrap();
    // Devices of odd numbers have no reading that the policy lets be seen.
    assert_eq!(rows.len(), 20);
    assert!(rows.iter().all(|row| row.get::<_, i32>(1) % 2 == 0));
    // What may tell of rows that are not seen is asked of those that are.
    let error = client
        .query("SELECT DISTINCT ON (d) d, v FROM r WHERE leak(v) ORDER BY d, ts DESC", &[])
        .unwrap_err();
    let message = error.as_db_error().unwrap().message().to_owned();
    let value: i32 = message.strip_prefix("leaked ").unwrap().parse().unwrap();
    assert_eq!(value % 2, 0, "{message}");
}

#[test]
fn errors_and_cancels_leave_the_session_as_it_was() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    let newest = "SELECT DISTINCT ON (d) d, 1 / (v - 19970) FROM r ORDER BY d, ts DESC";
    for _ in 0..3 {
        let error = client.query(newest, &[]).unwrap_err();
        assert_eq!(error.as_db_error().unwrap().message(), "division by zero");
        let rows =
            client.query("SELECT DISTINCT ON (d) d, v FROM r ORDER BY d, ts DESC", &[]).unwrap();
        assert_eq!(rows.len(), 40);
    }
}
