//! Counts of tables that come and go, are left out when the query runs, or are counted by the core.

use postgres::Client;
use server_tests::{Cluster, Script, access_method, is_learned, plan_of};

use super::both_ways::{compare, outcome, single};
use crate::counts::snapshot::switch;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";
const BY_DAY: &str = "SELECT date_trunc('day', ts), count(*), min(ts), max(ts), count(d) FROM t";

/// Ten days of a table, each in a partition, and its index.
fn create(client: &mut Client) {
    let partitions = (1..=10).map(|day| {
        let [from, to] = [day, day + 1].map(|day| format!("('2025-01-{day:02}')"));
        format!("CREATE TABLE t_{day} PARTITION OF t FOR VALUES FROM {from} TO {to};")
    });
    client
        .script(&format!(
            "CREATE TABLE t (d int4, ts timestamptz NOT NULL) PARTITION BY RANGE (ts); {}
             CREATE INDEX ON t USING {} (ts, d);
             INSERT INTO t
                 SELECT nullif(g % 4, 3), '2025-01-01 UTC'::timestamptz + g * interval '1 min'
                 FROM generate_series(0, 14399) g;
             VACUUM ANALYZE t; SET TimeZone = 'UTC'",
            partitions.collect::<String>(),
            access_method()
        ))
        .unwrap();
}

#[test]
fn a_plan_that_is_kept_counts_the_partitions_that_there_are() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.connect(), cluster.connect());
    create(&mut client);
    client
        .script(&format!(
            "SET plan_cache_mode = force_generic_plan;
             PREPARE all_rows AS SELECT count(*), min(ts), max(ts) FROM t;
             PREPARE late(timestamptz) AS {BY_DAY} WHERE ts >= $1 GROUP BY 1 ORDER BY 1"
        ))
        .unwrap();
    let steps = [
        "",
        "ALTER TABLE t DETACH PARTITION t_10",
        "INSERT INTO t SELECT 1, ts FROM t WHERE ts < '2025-01-01 10:00'",
        "ALTER TABLE t DETACH PARTITION t_3 CONCURRENTLY",
        "ALTER TABLE t ATTACH PARTITION t_10 FOR VALUES FROM ('2025-01-10') TO ('2025-01-11')",
        "DROP TABLE t_1",
        "CREATE TABLE t_rest (more int4, ts timestamptz NOT NULL, d int4);
         ALTER TABLE t_rest DROP COLUMN more; INSERT INTO t_rest VALUES ('2024-06-01', 7);
         ALTER TABLE t ATTACH PARTITION t_rest DEFAULT",
        "TRUNCATE t_5",
        "DROP INDEX t_ts_d_idx",
        "CREATE INDEX ON t_2 USING btree (ts)",
    ];
    for step in steps {
        other.script(step).unwrap_or_else(|error| panic!("{step}: {error:?}"));
        client.script("BEGIN").unwrap();
        let all =
            ["EXECUTE all_rows", "EXECUTE late('2025-01-02')", "EXECUTE late('2025-01-09 12:00')"];
        switch(&mut client, true).unwrap();
        let plan = plan_of(&mut client, all[1]);
        let has_index = !step.contains("INDEX");
        assert_eq!(plan.contains("LearnedCount"), has_index && is_learned(), "{step}: {plan}");
        let found = all.map(|text| outcome(&mut client, text));
        switch(&mut client, false).unwrap();
        // A plan that is kept does not follow the settings.
        let queries = [
            "SELECT count(*), min(ts), max(ts) FROM t".to_owned(),
            format!("{BY_DAY} WHERE ts >= '2025-01-02' GROUP BY 1 ORDER BY 1"),
            format!("{BY_DAY} WHERE ts >= '2025-01-09 12:00' GROUP BY 1 ORDER BY 1"),
        ];
        for (found, query) in found.into_iter().zip(queries) {
            let expected = outcome(&mut client, &query);
            assert!(expected.is_ok(), "{step}: {query}: {expected:?}");
            assert_eq!(found, expected, "{step}: {query}");
        }
        client.script("COMMIT").unwrap();
    }
}

#[test]
fn partitions_that_values_of_now_leave_out_are_not_looked_at() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    client.script("SET plan_cache_mode = force_generic_plan; BEGIN").unwrap();
    switch(&mut client, true).unwrap();
    let late = "ts > '2025-01-09 06:00'::timestamptz - interval '1 day'";
    let queries = [
        format!("SELECT count(*), max(ts) FROM t WHERE {late}"),
        format!("{BY_DAY} WHERE {late} GROUP BY 1"),
        format!("SELECT DISTINCT date_trunc('hour', ts) FROM t WHERE {late}"),
    ];
    for query in &queries {
        let plan = plan_of(&mut client, query);
        let left_out = plan.contains("Subplans Removed: 7");
        let nodes = plan.matches("LearnedCount").count();
        assert!(left_out && (nodes == 3 || !is_learned()), "{query}: {plan}");
    }
    // Of those that have hardly a row by the estimates, the core counts the rows.
    let settings = "SET LOCAL enable_partition_pruning = off; SET LOCAL random_page_cost = 1";
    let node = "SET LOCAL omendb_learned.enable_count = on";
    client.script(&format!("ROLLBACK; BEGIN; {settings}; {node}")).unwrap();
    for query in &queries {
        let plan = plan_of(&mut client, query);
        let (nodes, scans) = (plan.matches("LearnedCount").count(), plan.matches(" Scan using"));
        let as_expected = nodes == 3 && scans.count() == 7;
        assert!(as_expected || !is_learned(), "{query}: {plan}");
        let found = outcome(&mut client, &format!("{query} ORDER BY 1"));
        client.script("SET LOCAL omendb_learned.enable_count = off").unwrap();
        assert_eq!(found, outcome(&mut client, &format!("{query} ORDER BY 1")), "{query}");
        client.script(node).unwrap();
    }
    client.script("SET LOCAL enable_partition_pruning = on").unwrap();
    switch(&mut client, true).unwrap();
    // Once more for each row of another table.
    let query = "SELECT (SELECT count(*) FROM t WHERE ts >= v.low AND ts < v.low + '5 h'::interval)
         FROM (VALUES ('2025-01-02 00:00'::timestamptz), ('2025-01-05 23:00'), (NULL)) v (low)";
    let explain = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {query}");
    let lines = outcome(&mut client, &explain).unwrap();
    let plan: Vec<_> = lines.into_iter().filter_map(|mut row| row.swap_remove(0)).collect();
    let never = plan.iter().filter(|line| line.contains("never executed")).count();
    assert_eq!(never, 7, "{plan:#?}");
}

#[test]
fn tables_that_no_index_of_ours_counts_are_put_together_with_those_that_it_does() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE TABLE t (m money, k int8, d int4);
             CREATE TABLE t_1 (more text) INHERITS (t); CREATE TABLE t_2 () INHERITS (t);
             CREATE TABLE t_3 () INHERITS (t_2);
             INSERT INTO t SELECT g % 3, g, g % 7 FROM generate_series(1, 500) g;
             INSERT INTO t_1 SELECT g % 5, g * 3, nullif(g % 7, 2), g::text
                 FROM generate_series(1, 500) g;
             INSERT INTO t_2 SELECT NULL, nullif(g % 90, 4), g FROM generate_series(1, 500) g;
             CREATE INDEX ON t USING {0} (k, d); CREATE INDEX ON t_1 USING {0} (k DESC, d);
             CREATE INDEX ON t_2 USING {0} (m, k); CREATE INDEX ON t_2 (k);
             VACUUM ANALYZE t, t_1, t_2",
            access_method()
        ))
        .unwrap();
    let counted = [
        "SELECT count(*), min(k), max(k), count(d) FROM t",
        "SELECT k / 10, count(*), count(d), min(k) FROM t GROUP BY 1 HAVING count(*) > 1",
        "SELECT k, count(*), max(d) FROM t WHERE k BETWEEN 3 AND 90 GROUP BY k",
        "SELECT DISTINCT k FROM t",
        "SELECT DISTINCT k / 7 FROM t WHERE k > (SELECT 20)",
        "SELECT k = 7, count(*) FROM t WHERE k = 7 GROUP BY k",
        "SELECT k, d, count(*) FROM t WHERE k = 7 GROUP BY k, d ORDER BY d LIMIT 3",
        "SELECT max(d) - min(d), count(*) FROM t WHERE k = 9",
    ];
    let all = counted.map(|text| single("of some tables", text));
    compare(&mut client, BEGIN, &all, "inherited").assert_used("of some tables");
    let begin = format!("{BEGIN}; SET LOCAL enable_hashagg = off");
    compare(&mut client, &begin, &all, "inherited, sorted");
    // No type of these is without hash functions but money, which the core cannot aggregate then.
    let all = ["SELECT m, count(*), min(k) FROM t GROUP BY m", "SELECT DISTINCT m FROM t"]
        .map(|text| single("money", text));
    compare(&mut client, BEGIN, &all, "inherited");
}

/// Integers at the ends of their types in some tables, others in others; of some tables the core
/// aggregates the rows, and some have no values, or no rows.
fn create_of_integers(client: &mut Client) {
    let partitions = (1..=7).map(|p| {
        format!(
            "CREATE TABLE t_{p} PARTITION OF t FOR VALUES IN ({p});{}",
            match p {
                6 => String::new(),
                p => format!(
                    "CREATE INDEX ON t_{p} USING {} (k, p) INCLUDE (a, b, c, f);",
                    access_method()
                ),
            }
        )
    });
    client
        .script(&format!(
            "CREATE TABLE t (p int4, k int4, a int2, b int4, c int8, f float8)
                 PARTITION BY LIST (p); {}
             INSERT INTO t SELECT p, g % 40, g * 31 % 65535 - 32768, g * 7919, g * 1e13, g
                 FROM generate_series(1, 3000) g, (VALUES (1), (6)) v (p);
             INSERT INTO t SELECT 2, g % 40, 32767, 2147483647, 9223372036854775807, 1e308
                 FROM generate_series(1, 3000) g;
             INSERT INTO t SELECT 3, g % 30, -32768, -2147483648, -9223372036854775808, -1
                 FROM generate_series(1, 3000) g;
             INSERT INTO t SELECT 4, g % 50, NULL, NULL, NULL, NULL
                 FROM generate_series(1, 3000) g;
             INSERT INTO t SELECT 7, g % 50, nullif(g % 3, 1), nullif(g % 5, 1), g % 7 - 3, 'NaN'
                 FROM generate_series(1, 3000) g;
             VACUUM ANALYZE t",
            partitions.collect::<String>()
        ))
        .unwrap();
}

const OF_INTEGERS: &str =
    "sum(a), avg(a), sum(b), avg(b), sum(c), avg(c), min(c), max(a), count(b), avg(k), sum(k)";

#[test]
fn sums_and_averages_of_integers_are_exact_over_several_tables() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create_of_integers(&mut client);
    let all: Vec<_> = ["", " WHERE p <> 2 AND k < 30", " WHERE p IN (4, 5)", " WHERE p >= 4"]
        .into_iter()
        .chain([" WHERE p <= 2", " WHERE p BETWEEN 2 AND 3 AND k > 12", " WHERE p < 6 AND k = 7"])
        .flat_map(|of| {
            let by = |key: &str, having: &str| {
                format!("SELECT {key}, {OF_INTEGERS} FROM t{of} GROUP BY {key}{having}")
            };
            [
                format!("SELECT {OF_INTEGERS} FROM t{of}"),
                by("k", ""),
                by("k / 7", " HAVING avg(c) > 0 OR sum(c) IS NULL OR avg(a) < 1.5"),
                by("k, p", ""),
            ]
        })
        .map(|text| {
            let mut asked = single("integers", &text);
            // Conditions of no index: on 15 a list is none either, behind a column that is free.
            asked.statement.applies = !text.contains("<>") && !text.contains("IN (");
            asked
        })
        .collect();
    let sorted = format!("{BEGIN}; SET LOCAL enable_hashagg = off");
    for round in ["vacuumed", "updated", "deleted"] {
        compare(&mut client, BEGIN, &all, round).assert_used(round);
        compare(&mut client, &sorted, &all, round);
        client
            .script(match round {
                "vacuumed" => "UPDATE t SET c = c - sign(c)::int8 * (k % 5) WHERE k % 9 = 4",
                _ => "DELETE FROM t WHERE k % 3 <> 1",
            })
            .unwrap();
    }
}

#[test]
fn sums_and_averages_of_numeric_keep_their_scale_over_one_table_and_over_several() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for scale in [0, 1, 2, 3, 4, 5, 8, 15, 17, 18] {
        let tables = (1..=3).map(|p| {
            let keys = ["n", "k, n DESC", "k, n, p"][p % 3];
            format!(
                "CREATE TABLE t_{p} PARTITION OF t FOR VALUES IN ({p});
                 CREATE INDEX ON t_{p} USING {0} ({keys}); CREATE INDEX ON t_{p} USING {0} (k, n);",
                access_method()
            )
        });
        // Of all sizes, with many at the ends of the type; NaNs in one table, NULLs alone in one.
        client
            .script(&format!(
                "DROP TABLE IF EXISTS t;
                 CREATE TABLE t (p int4, k int4, n numeric(18, {scale})) PARTITION BY LIST (p); {}
                 INSERT INTO t SELECT 1 + g % 2, g % 30, (g % 3 - 1) * 1e-{scale} * CASE g % 5
                     WHEN 0 THEN 999999999999999999
                     ELSE mod(trunc((g * 7919)::numeric ^ (g % 4)), 1e18) END
                     FROM generate_series(1, 2000) g;
                 INSERT INTO t SELECT 1, 7, 'NaN' FROM generate_series(1, 2);
                 INSERT INTO t SELECT 3, g % 30, NULL FROM generate_series(1, 500) g;
                 VACUUM ANALYZE t",
                tables.collect::<String>()
            ))
            .unwrap();
        let asked = "sum(n), avg(n), min(n), max(n), count(n), count(*)";
        let of = |table: &str| {
            [
                format!("SELECT {asked} FROM {table}"),
                format!("SELECT k, {asked} FROM {table} GROUP BY k"),
                format!("SELECT k, {asked} FROM {table} WHERE k > 7 GROUP BY k HAVING avg(n) > 0"),
                format!("SELECT {asked} FROM {table} WHERE k = 7"),
            ]
        };
        let all: Vec<_> = ["t", "t_1", "t_2", "t_3"].into_iter().flat_map(of).collect();
        let all: Vec<_> = all.iter().map(|text| single("numeric", text)).collect();
        let context = format!("scale {scale}");
        compare(&mut client, BEGIN, &all, &context).assert_used(&context);
    }
}

/// A sum of the tables' sums is another one.
#[test]
fn sums_and_averages_of_floats_over_several_tables_are_left_to_the_core() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create_of_integers(&mut client);
    client.script("BEGIN").unwrap();
    switch(&mut client, true).unwrap();
    let by_node = |client: &mut Client, query: &str| {
        !is_learned() || plan_of(client, query).contains("LearnedCount")
    };
    for asked in ["sum(f)", "avg(f)", "count(*), sum(f)"] {
        let of = |table: &str| format!("SELECT k, {asked} FROM {table} GROUP BY k");
        assert!(by_node(&mut client, &of("t_1")), "{asked} of one table");
        assert!(!is_learned() || !by_node(&mut client, &of("t")), "{asked} of several");
    }
    assert!(by_node(&mut client, "SELECT k, min(f), max(f), count(f) FROM t GROUP BY k"));
    client.script("ROLLBACK").unwrap();
}

/// The state of such an aggregate is not its value.
#[test]
fn aggregates_with_a_final_function_are_left_to_the_core_where_tables_are_put_together() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    client
        .script(
            "CREATE FUNCTION step(timestamptz[], timestamptz) RETURNS timestamptz[] LANGUAGE sql
                 IMMUTABLE AS 'SELECT ARRAY[least($1[1], $2)]';
             CREATE FUNCTION together(timestamptz[], timestamptz[]) RETURNS timestamptz[]
                 LANGUAGE sql IMMUTABLE AS 'SELECT ARRAY[least($1[1], $2[1])]';
             CREATE FUNCTION value(timestamptz[]) RETURNS timestamptz LANGUAGE sql
                 IMMUTABLE AS 'SELECT $1[1]';
             CREATE FUNCTION same(timestamptz) RETURNS timestamptz LANGUAGE sql
                 IMMUTABLE AS 'SELECT $1 + interval ''1 s''';
             CREATE AGGREGATE least_of(timestamptz) (SFUNC = step, STYPE = timestamptz[],
                 COMBINEFUNC = together, FINALFUNC = value, INITCOND = '{}', SORTOP = <);
             CREATE AGGREGATE moved(timestamptz) (SFUNC = timestamptz_smaller, STYPE = timestamptz,
                 COMBINEFUNC = timestamptz_smaller, FINALFUNC = same, SORTOP = <);
             CREATE AGGREGATE apart(timestamptz) (SFUNC = timestamptz_smaller, STYPE = timestamptz,
                 SORTOP = <)",
        )
        .unwrap();
    let queries = ["least_of", "moved", "apart"].map(|name| {
        format!("SELECT date_trunc('week', ts), {name}(ts), count(*) FROM t GROUP BY 1")
    });
    for query in &queries {
        client.script("BEGIN").unwrap();
        switch(&mut client, true).unwrap();
        let plan = plan_of(&mut client, query);
        assert!(!plan.contains("LearnedCount"), "{query}: {plan}");
        client.script("ROLLBACK").unwrap();
    }
    let all = queries.map(|text| single("of one's own", &text));
    compare(&mut client, BEGIN, &all, "aggregates of one's own");
}

#[test]
fn who_may_not_see_all_rows_or_columns_counts_those_that_he_may() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    client
        .script(&format!(
            "CREATE INDEX ON t USING {} (d, ts); VACUUM t;
             CREATE ROLE counter; GRANT SELECT (ts, d) ON t TO counter;
             CREATE POLICY of_two ON t TO counter USING (d = 2);
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t_3 ENABLE ROW LEVEL SECURITY",
            access_method()
        ))
        .unwrap();
    let begin = format!("{BEGIN}; SET LOCAL ROLE counter");
    let all = [
        "SELECT count(*), min(ts), max(ts) FROM t".to_owned(),
        format!("{BY_DAY} GROUP BY 1"),
        "SELECT DISTINCT date_trunc('day', ts) FROM t".to_owned(),
    ]
    .map(|text| single("of some rows", &text));
    compare(&mut client, &begin, &all, "row security").assert_used("of some rows");
    client.script("BEGIN; REVOKE SELECT (ts) ON t FROM counter; SET LOCAL ROLE counter").unwrap();
    switch(&mut client, true).unwrap();
    let refused = outcome(&mut client, &format!("{BY_DAY} GROUP BY 1"));
    assert_eq!(refused, Err("permission denied for table t".to_owned()));
    let seen = outcome(&mut client, "SELECT d, count(*) FROM t GROUP BY d").unwrap();
    assert_eq!(seen, [[Some("2".to_owned()), Some("3600".to_owned())]]);
}

#[test]
fn what_is_counted_of_many_partitions_keeps_few_of_their_pages() {
    // Fewer than two pages for each partition.
    let cluster = Cluster::start_with("shared_buffers = 800kB");
    let mut client = cluster.connect();
    let create = format!(
        "CREATE TABLE t (d int4, v int4) PARTITION BY LIST (d);
         DO $$ BEGIN FOR d IN 1..60 LOOP
             EXECUTE format('CREATE TABLE t_%s PARTITION OF t FOR VALUES IN (%s)', d, d);
         END LOOP; END $$;
         INSERT INTO t SELECT g % 60 + 1, g FROM generate_series(1, 12000) g;
         CREATE INDEX ON t USING {} (d) INCLUDE (v)",
        access_method()
    );
    client.batch_execute(&create).unwrap();
    client.script("VACUUM ANALYZE t; DELETE FROM t WHERE v % 7 = 0").unwrap();
    let queries = [
        "SELECT count(*) FROM t",
        "SELECT count(*), sum(v), max(v) FROM t",
        "SELECT d, count(*) FROM t GROUP BY d",
        "SELECT d, sum(v), min(v) FROM t GROUP BY d",
        "SELECT DISTINCT d FROM t",
    ];
    let all = queries.map(|text| single("partitions", text));
    compare(&mut client, BEGIN, &all, "60 partitions").assert_used("60 partitions");
}
