//! What the planner expects of ranges beyond the last ANALYZE, against the rows that are there.

use postgres::Client;
use server_tests::{Cluster, Script, is_learned, planned_rows, retrain};

fn expected(client: &mut Client, condition: &str) -> f64 {
    planned_rows(client, &format!("SELECT * FROM t WHERE {condition}")) as f64
}

fn rows(client: &mut Client, condition: &str) -> f64 {
    let query = format!("SELECT count(*) FROM t WHERE {condition}");
    client.query_one(&query, &[]).unwrap().get::<_, i64>(0) as f64
}

/// Asserts that a range is expected to have its rows, within a factor of two.
fn assert_near(client: &mut Client, condition: &str) {
    let (expected, rows) = (expected(client, condition), rows(client, condition));
    println!("{condition}: {expected} expected, {rows} there");
    let near = expected <= 2.0 * rows.max(1.0) && rows.max(1.0) <= 2.0 * expected;
    assert!(near, "{condition}: {expected} expected, {rows} there");
}

/// Kinds of keys that grow at one end: the value of a row, by its number.
const GROWING: [(&str, &str); 6] = [
    ("int8", "g::int8"),
    ("timestamptz", "'2024-01-01'::timestamptz + g * interval '10 s'"),
    ("float8", "g * 1.5::float8"),
    ("date", "'2000-01-01'::date + g / 100"),
    ("numeric(12, 2)", "g + 0.25"),
    ("int4", "-g"),
];

#[test]
fn ranges_above_the_last_analyze_are_expected_to_have_their_rows() {
    if !is_learned() {
        return println!("skipped: the core does what it does with B-trees");
    }
    let cluster = Cluster::start_with(
        "wal_level = replica\nmax_wal_senders = 4\nautovacuum = off
         omendb_learned.max_merge_workers = 0",
    );
    let standby = cluster.standby();
    let mut client = cluster.connect();
    for (number, (sql_type, value)) in GROWING.iter().enumerate() {
        // 1%, then 5% and 50%, more.
        for columns in ["(k)", "(k DESC)", "(k, b)"] {
            client
                .script(&format!(
                    "DROP TABLE IF EXISTS t;
                     CREATE TABLE t (k {sql_type}, b int4);
                     INSERT INTO t SELECT {value}, g % 7 FROM generate_series(1, 60000) g;
                     INSERT INTO t SELECT NULL, g FROM generate_series(1, 3000) g;
                     CREATE INDEX t_k ON t USING learned {columns};
                     ANALYZE t"
                ))
                .unwrap();
            let mut last = 60_000;
            for growth in [600, 3_000, 30_000] {
                let first = last + 1;
                last += growth;
                client
                    .script(&format!(
                        "INSERT INTO t SELECT {value}, g % 7
                         FROM generate_series({first}, {last}) g"
                    ))
                    .unwrap();
                if growth == 3_000 {
                    retrain(&mut client, "t_k");
                }
                let value_of = |row: i32| value.replace('g', &format!("({row})"));
                let beyond = if value.starts_with('-') { "<" } else { ">" };
                let analysed = format!("k {beyond} {}", value_of(60_000));
                let halfway = format!("k {beyond} {}", value_of((first + last) / 2));
                let within = format!("k {beyond} {}", value_of(30_000));
                for condition in [&analysed, &halfway, &within] {
                    assert_near(&mut client, condition);
                }
                if number < 3 && columns == "(k)" {
                    standby.catch_up(&cluster);
                    assert_near(&mut standby.connect(), &halfway);
                }
            }
        }
    }
}

#[test]
fn a_table_that_nobody_analysed_is_known_by_its_index() {
    if !is_learned() {
        return println!("skipped: the core does what it does with B-trees");
    }
    let cluster = Cluster::start_with("autovacuum = off");
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8, b int4);
             CREATE INDEX t_k ON t USING learned (k);
             CREATE INDEX t_e ON t USING learned ((b * 2));
             INSERT INTO t SELECT g::int8 * g, g FROM generate_series(1, 50000) g",
        )
        .unwrap();
    for condition in
        ["k < 1000000", "k > 400000000", "k BETWEEN 1000000 AND 9000000", "b * 2 < 900"]
    {
        assert_near(&mut client, condition);
    }
    client.script("SET omendb_learned.enable_statistics = off").unwrap();
    assert_eq!(expected(&mut client, "k < 1000000"), expected(&mut client, "k < 5"));
}

/// Of a subquery that stays one, the planner names the relation around it, and the table within.
#[test]
fn columns_of_subqueries_are_known_by_the_indexes_of_their_tables() {
    if !is_learned() {
        return println!("skipped: the core does what it does with B-trees");
    }
    let cluster = Cluster::start_with("autovacuum = off");
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE one (k int8); INSERT INTO one VALUES (1);
             CREATE TABLE t (k int8); INSERT INTO t SELECT generate_series(1, 50000);
             CREATE INDEX t_k ON t USING learned (k); ANALYZE;
             INSERT INTO t SELECT generate_series(50001, 80000)",
        )
        .unwrap();
    let beyond = "(SELECT k FROM t OFFSET 0) s WHERE s.k > 50000";
    for query in [format!("SELECT FROM {beyond}"), format!("SELECT FROM one CROSS JOIN {beyond}")] {
        let expected = planned_rows(&mut client, &query);
        assert!((15_000..=60_000).contains(&expected), "{query}: {expected} expected");
    }
}

#[test]
fn rows_that_are_gone_are_not_expected_and_common_values_keep_their_place() {
    if !is_learned() {
        return println!("skipped: the core does what it does with B-trees");
    }
    let cluster = Cluster::start_with("autovacuum = off");
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k timestamptz);
             INSERT INTO t SELECT CASE WHEN g % 5 < 3 THEN 'infinity' ELSE
                 '2024-01-01'::timestamptz + g * interval '1 min' END
             FROM generate_series(1, 50000) g;
             CREATE INDEX t_k ON t USING learned (k);
             ANALYZE t",
        )
        .unwrap();
    let open = "k = 'infinity'";
    assert_near(&mut client, open);
    // As many again, of which none is open, behind the others but before infinity.
    client
        .script(
            "INSERT INTO t SELECT '2024-03-01'::timestamptz + g * interval '1 min'
             FROM generate_series(1, 50000) g",
        )
        .unwrap();
    assert_near(&mut client, open);
    assert_near(&mut client, "k > '2024-03-05' AND k < '2024-03-20'");
    assert_near(&mut client, "k > '2024-03-05'");
    // The first month goes.
    client.script("DELETE FROM t WHERE k < '2024-02-01'; VACUUM t").unwrap();
    let early = expected(&mut client, "k < '2024-01-20'");
    assert!(early < 50.0, "{early} rows expected where there are none");
    assert_near(&mut client, "k > '2024-02-01' AND k < '2024-02-10'");
}

#[test]
fn nulls_rows_that_are_dead_and_columns_of_two_values_are_not_taken_for_what_they_are_not() {
    if !is_learned() {
        return println!("skipped: the core does what it does with B-trees");
    }
    let cluster = Cluster::start_with("autovacuum = off");
    let mut client = cluster.connect();
    // Never analysed.
    client
        .script(
            "CREATE TABLE t (k int8, done bool);
             INSERT INTO t SELECT CASE WHEN g % 10 = 0 THEN g END, g % 100 > 0
             FROM generate_series(1, 50000) g;
             CREATE INDEX t_k ON t USING learned (k);
             CREATE INDEX t_done ON t USING learned (done)",
        )
        .unwrap();
    assert_near(&mut client, "k IS NULL");
    assert_near(&mut client, "k > 25000");
    assert_near(&mut client, "done");
    // Most NULLs among the rows that ANALYZE knew, none among the new ones.
    for columns in ["(k)", "(k, done)"] {
        client
            .script(&format!(
                "DROP INDEX t_k; TRUNCATE t;
                 INSERT INTO t SELECT CASE WHEN g % 20 = 0 THEN g END
                 FROM generate_series(1, 50000) g;
                 CREATE INDEX t_k ON t USING learned {columns};
                 ANALYZE t;
                 INSERT INTO t SELECT g FROM generate_series(50001, 53000) g"
            ))
            .unwrap();
        assert_near(&mut client, "k > 50000");
        assert_near(&mut client, "k IS NULL");
    }
    // A queue whose new rows are gone, and a load that was rolled back.
    client
        .script(
            "DROP INDEX t_k; TRUNCATE t;
             INSERT INTO t SELECT g FROM generate_series(1, 50000) g;
             CREATE INDEX t_k ON t USING learned (k);
             ANALYZE t;
             BEGIN; INSERT INTO t SELECT g FROM generate_series(50001, 90000) g; ROLLBACK;
             INSERT INTO t SELECT g FROM generate_series(90001, 130000) g;
             DELETE FROM t WHERE k > 90010;
             SELECT pg_sleep(1.1)",
        )
        .unwrap();
    let expected = expected(&mut client, "k > 50000");
    assert!(expected < 3_000.0, "{expected} rows expected where there are 10");
}

#[test]
fn values_that_a_user_may_not_read_are_not_told_to_functions_of_his() {
    if !is_learned() {
        return println!("skipped: the core does what it does with B-trees");
    }
    let cluster = Cluster::start_with("autovacuum = off");
    let mut owner = cluster.connect();
    owner
        .script(
            "CREATE ROLE reader LOGIN;
             CREATE TABLE t (k int8, hidden bool);
             ALTER TABLE t ENABLE ROW LEVEL SECURITY;
             CREATE POLICY shown ON t USING (NOT hidden);
             INSERT INTO t SELECT g, g > 1000 FROM generate_series(1, 20000) g;
             CREATE INDEX t_k ON t USING learned (k);
             ANALYZE t;
             INSERT INTO t SELECT g, true FROM generate_series(20001, 40000) g;
             GRANT SELECT ON t TO reader;
             GRANT CREATE ON SCHEMA public TO reader",
        )
        .unwrap();
    let mut reader = cluster.connect();
    // With semicolons within a function.
    reader
        .batch_execute(
            "SET ROLE reader;
             CREATE FUNCTION leaks(int8, int8) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
                 $$BEGIN RAISE EXCEPTION 'leaked %', $1; END$$;
             CREATE OPERATOR <<< (FUNCTION = leaks, LEFTARG = int8, RIGHTARG = int8,
                                  RESTRICT = scalarltsel)",
        )
        .unwrap();
    reader.script("EXPLAIN SELECT * FROM t WHERE k <<< 5::int8").unwrap();
    // The owner's estimates call it, which shows that it would leak.
    owner.script("SET row_security = off").unwrap();
    let error = owner.script("EXPLAIN SELECT * FROM t WHERE k <<< 5::int8").unwrap_err();
    assert!(error.as_db_error().unwrap().message().starts_with("leaked"), "{error}");
}
