//! `learned_explain`: the plan that it shows is the one that the index brings, once it is there.
//! Whom it answers and what it refuses is in pg_regress/sql/hypothetical.sql.

use postgres::Client;
use server_tests::{Cluster, Script, is_learned, major_version};

const TABLE: &str = "
    CREATE TABLE t (gone int4, ts timestamptz, device int4, gone_too text, value float8, note text)
        WITH (autovacuum_enabled = off);
    ALTER TABLE t DROP COLUMN gone; ALTER TABLE t DROP COLUMN gone_too;
    INSERT INTO t SELECT '2024-01-01'::timestamptz + g * interval '1 s',
            abs(hashint4(g)) % 100, g % 1000, repeat('x', 150)
        FROM generate_series(1, 60000) g;
    VACUUM (ANALYZE) t";

/// Definitions, each with queries. What is not in the statistics of the table (of an expression,
/// of a partial index) the index adds once there is an ANALYZE, so these are not asked for rows.
const CASES: &[(&str, &[&str])] = &[
    (
        "CREATE INDEX ON t USING learned (ts)",
        &[
            "SELECT * FROM t WHERE ts > '2024-01-01 16:00'",
            "SELECT ts FROM t ORDER BY ts DESC LIMIT 10",
            "SELECT count(*) FROM t WHERE ts < '2024-01-01 10:00'",
            "SELECT value FROM t WHERE ts::date = '2024-01-03'",
            "SELECT max(ts) FROM t",
            "UPDATE t SET value = 0 WHERE ts = '2024-01-01 12:00'",
            "SELECT a.value FROM t a JOIN t b USING (ts) WHERE b.device = 3 AND b.value < 10",
        ],
    ),
    (
        "CREATE INDEX ON t USING learned (device, ts DESC) INCLUDE (value)",
        &[
            "SELECT DISTINCT ON (device) * FROM t ORDER BY device, ts DESC",
            "SELECT value FROM t WHERE device = 4 AND ts > '2024-01-01 12:00'",
            "SELECT device, count(*) FROM t GROUP BY device",
            "SELECT * FROM t WHERE device IN (1, 2) ORDER BY device, ts DESC LIMIT 5",
        ],
    ),
    (
        "CREATE UNIQUE INDEX ON t USING learned (ts, device)",
        &["SELECT * FROM t WHERE ts = '2024-01-01 12:00' AND device = 5"],
    ),
    (
        "CREATE INDEX ON t USING learned (value) WHERE device = 7",
        &[
            "SELECT ts FROM t WHERE device = 7 AND value < 100",
            "SELECT value FROM t WHERE device = 7 ORDER BY value",
            "SELECT ts FROM t WHERE value = 5",
        ],
    ),
    ("CREATE INDEX ON t USING learned ((device + 1))", &["SELECT * FROM t WHERE device + 1 = 5"]),
];

fn lines(
    client: &mut Client,
    query: &str,
    arguments: &[&(dyn postgres::types::ToSql + Sync)],
) -> String {
    let rows = client.query(query, arguments).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

/// The plan with a hypothetical index; with costs, or else with everything that VERBOSE adds.
fn told(client: &mut Client, query: &str, index: &str, costs: bool) -> String {
    let explain = "SELECT learned_explain($1, $2, verbose => NOT $3, costs => $3)";
    lines(client, explain, &[&query, &index, &costs])
}

/// The total cost of a plan.
fn cost(plan: &str) -> f64 {
    let cost = plan.split("..").nth(1).and_then(|rest| rest.split(' ').next());
    cost.and_then(|cost| cost.parse().ok()).unwrap_or_else(|| panic!("no cost in {plan}"))
}

#[test]
fn the_plan_is_the_one_that_the_index_brings_and_nothing_of_it_stays() {
    if !is_learned() {
        return println!("skipped: only learned indexes are hypothetical");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client.script(TABLE).unwrap();
    if major_version(&mut client) < 18 {
        client.script("SET client_min_messages = error").unwrap();
    }
    let known = "SELECT count(*) FROM pg_class";
    let before: i64 = client.query_one(known, &[]).unwrap().get(0);
    let mut used = 0;
    for (index, queries) in CASES {
        let hypothetical: Vec<(String, f64)> = queries
            .iter()
            .map(|query| {
                let plan = told(&mut client, query, index, false);
                used += usize::from(plan.contains("hypothetical_t_"));
                (plan, cost(&told(&mut client, query, index, true)))
            })
            .collect();
        assert_eq!(client.query_one(known, &[]).unwrap().get::<_, i64>(0), before);
        client.script(index).unwrap();
        for (query, (plan, guess)) in queries.iter().zip(hypothetical) {
            let explain = format!("EXPLAIN (VERBOSE, COSTS OFF) {query}");
            let real = lines(&mut client, &explain, &[]);
            assert_eq!(plan.replace("hypothetical_t_", "t_"), real, "{query} with {index}");
            let real = cost(&lines(&mut client, &format!("EXPLAIN {query}"), &[]));
            println!("{guess:.1}, and {real:.1} with the index: {query}");
            // A page that is not in memory is expected to cost 4.
            let off = (guess - real).abs();
            assert!(off < 4.1 + 0.1 * real, "{guess} instead of {real}: {query}");
        }
        let drop = "SELECT 'DROP INDEX ' || indexrelid::regclass FROM pg_index
                    WHERE indrelid = 't'::regclass";
        let drop = lines(&mut client, drop, &[]);
        client.script(&drop).unwrap();
    }
    assert!(used > 10, "{used} plans with the index");
}

#[test]
fn what_is_carried_out_while_a_query_is_planned_sees_no_hypothetical_index() {
    if !is_learned() {
        return println!("skipped: only learned indexes are hypothetical");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client.script(TABLE).unwrap();
    client
        .batch_execute(
            "CREATE FUNCTION inner_count() RETURNS int8 IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
                 RETURN (SELECT count(value) FROM t WHERE ts < '2024-01-01 00:01:40'); END $$;
             CREATE FUNCTION inner_explain() RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
                 RETURN learned_explain('SELECT 1', 'CREATE INDEX ON t USING learned (ts)');
                 END $$",
        )
        .unwrap();
    let index = "CREATE INDEX ON t USING learned (ts)";
    for _ in 0..2 {
        let query = "SELECT inner_count() FROM t WHERE ts = '2024-01-01 12:00'";
        let plan = told(&mut client, query, index, false);
        assert!(plan.contains("hypothetical_t_ts_idx"), "{plan}");
        assert!(plan.contains("'99'::bigint"), "{plan}");
        assert_eq!(lines(&mut client, "SELECT inner_count()::text", &[]), "99");
    }
    let query = "SELECT inner_explain() FROM t WHERE ts = '2024-01-01 12:00'";
    let error = client.query("SELECT learned_explain($1, $2)", &[&query, &index]).unwrap_err();
    let message = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
    assert_eq!(message, "cannot call learned_explain() within a query that it explains");
    // And so it is after an error, within a transaction whose savepoints hold.
    client.script("BEGIN; SAVEPOINT s").unwrap();
    client.query("SELECT learned_explain('SELECT nothing', $1)", &[&index]).unwrap_err();
    client.script("ROLLBACK TO s").unwrap();
    let query = "SELECT value FROM t WHERE ts = '2024-01-01 12:00'";
    assert!(told(&mut client, query, index, false).contains("hypothetical_t_ts_idx"));
    let plan = lines(&mut client, &format!("EXPLAIN {query}"), &[]);
    assert!(!plan.contains("hypothetical"), "{plan}");
    client.script("COMMIT").unwrap();
}
