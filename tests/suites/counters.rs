//! What `pg_stat_user_indexes` and EXPLAIN count: searches that were made, as for a B-tree.

use postgres::Client;
use server_tests::{Cluster, Script, access_method, major_version, plan_of};

/// Searches of the index that the statistics have.
fn searches(client: &mut Client) -> i64 {
    client.script("SELECT pg_stat_force_next_flush(); SELECT pg_stat_clear_snapshot()").unwrap();
    let count = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 't_k'";
    client.query_one(count, &[]).unwrap().get(0)
}

#[test]
fn a_search_is_counted_when_it_is_made_and_not_when_it_is_prepared() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let method = access_method();
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4);
             INSERT INTO t SELECT g, g FROM generate_series(1, 20000) g;
             CREATE INDEX t_k ON t USING {method} (k); VACUUM (ANALYZE) t;
             SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
        ))
        .unwrap();
    // The statement, and how often it searches the index.
    let cases = [
        ("SELECT * FROM t WHERE k = 5", 1),
        ("SELECT k FROM t WHERE k = 5", 1),
        ("SELECT * FROM generate_series(1, 0) g JOIN t ON k = g", 0),
        ("SELECT * FROM generate_series(1, 7) g JOIN t ON k = g", 7),
        ("SELECT * FROM t WHERE k = 5 AND false", 0),
        ("SELECT * FROM t WHERE k = 5 LIMIT 0", 0),
    ];
    for (query, expected) in cases {
        let before = searches(&mut client);
        client.simple_query(query).unwrap();
        assert_eq!(searches(&mut client) - before, expected, "{query}");
    }
    // A parallel bitmap scan, whose index one process reads.
    client
        .script(
            "SET enable_indexscan = off; SET max_parallel_workers_per_gather = 2;
                 SET parallel_setup_cost = 0;
             SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0",
        )
        .unwrap();
    // (Near the ends the planner would search too.)
    let query = "SELECT count(id) FROM t WHERE k BETWEEN 5000 AND 15000";
    let plan = plan_of(&mut client, query);
    assert!(plan.contains("Parallel Bitmap Heap Scan"), "{plan}");
    let before = searches(&mut client);
    client.simple_query(query).unwrap();
    // Workers report at their end, which the leader does not wait for.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(searches(&mut client) - before, 1, "{query}");
}

#[test]
fn explain_counts_searches_too() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    if major_version(&mut client) < 18 {
        return println!("skipped: EXPLAIN counts them from version 18 on");
    }
    let method = access_method();
    client
        .script(&format!(
            "CREATE TABLE t (k int8, a int4, b int4);
             INSERT INTO t SELECT g, g % 5, g FROM generate_series(1, 20000) g;
             CREATE INDEX t_k ON t USING {method} (k); CREATE INDEX t_ab ON t USING {method} (a, b);
             VACUUM (ANALYZE) t; SET enable_seqscan = off; SET enable_bitmapscan = off;
             SET enable_hashjoin = off; SET enable_mergejoin = off"
        ))
        .unwrap();
    for (query, count) in [
        ("SELECT * FROM generate_series(1, 0) g JOIN t ON k = g", 0),
        ("SELECT * FROM generate_series(1, 7) g JOIN t ON k = g", 7),
        // One for each value of the first column.
        ("SELECT a, b FROM t WHERE a >= 1 AND a <= 3 AND b = 10003", 3),
    ] {
        let explain = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query}");
        let lines = client.query(&explain, &[]).unwrap();
        let lines: Vec<String> = lines.iter().map(|row| row.get(0)).collect();
        let told = format!("Index Searches: {count}");
        assert!(lines.iter().any(|line| line.contains(&told)), "{lines:#?}");
    }
}
