//! Sums and averages of floats depend on the order in which they are added. That of the node is
//! the one of an index-only scan over the same index, to the last bit.

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Script, access_method, is_learned, learned_options, retrain_all, seed,
};

use super::both_ways::{outcome, single};
use crate::counts::snapshot::switch;

/// Aggregates that depend on the order, errors included, or on which of two zeros comes last.
const ASKED: &str = "count(*), avg(f8), sum(f8), avg(f4), sum(f4), min(f8), max(f8), min(f4), \
                     max(f4), sum(n), avg(n), count(f8)";
/// What they are asked of.
const OF: [&str; 10] = [
    "GROUP BY d",
    "WHERE d < 4 GROUP BY d, date_trunc('hour', ts)",
    "WHERE d < 4 GROUP BY d, date_trunc('day', ts)",
    "WHERE d = 3 GROUP BY date_trunc('hour', ts)",
    "WHERE d = 3 GROUP BY date_bin('100 minutes', ts, '2000-01-01')",
    "",
    "WHERE d = 5",
    "WHERE d IN (2, 5, 6, 100)",
    "WHERE d BETWEEN 2 AND 6 AND ts > '2010-11-06 18:00+00' AND ts < '2010-11-07 06:00+00'",
    "WHERE d = 100",
];
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ;
    SET LOCAL enable_sort = off";

/// A random float as SQL: NULL, one of the zeros, or of any size, so that large ones swallow
/// others.
const FLOAT: &str = "CASE WHEN random() < 0.05 THEN NULL WHEN random() < 0.1 THEN '-0'::float8
    WHEN random() < 0.1 THEN 0.0 ELSE (random() - 0.5) * 10 ^ (random() * 12)::int END";

fn insert(client: &mut Client, rows: u32) {
    client
        .script(&format!(
            "INSERT INTO m SELECT (random() * 7)::int, '2010-11-06'::timestamptz
                 + (random() * 172800)::int * interval '1 second', {FLOAT}, {FLOAT},
                 (random() * 2 - 1) * 9e18 FROM generate_series(1, {rows})"
        ))
        .unwrap();
}

fn create(client: &mut Client) {
    client
        .script(&format!(
            "CREATE TABLE m (d int4, ts timestamptz, f8 float8, f4 float4, n int8);
             CREATE INDEX ON m USING {} (d, ts) INCLUDE (f8, f4, n){}",
            access_method(),
            learned_options("fillfactor = 50")
        ))
        .unwrap();
}

/// Asks all of it both ways, and compares the bits.
fn compare(client: &mut Client, context: &str) {
    client.script(BEGIN).unwrap();
    for of in OF {
        let text = format!("SELECT {ASKED} FROM m {of}");
        let text = format!("SELECT x::text FROM ({text}) x ORDER BY 1");
        let asked = single("aggregates", &text).statement;
        let mut both = [true, false].map(|by_node| {
            switch(client, by_node).unwrap();
            if !by_node {
                let index_scans = ["seqscan = off", "indexscan = on", "indexonlyscan = on"];
                for scans in index_scans {
                    client.script(&format!("SET LOCAL enable_{scans}")).unwrap();
                }
            }
            let plan: Vec<String> =
                client.query(&asked.explain, &[]).unwrap().iter().map(|row| row.get(0)).collect();
            let plan = plan.join("\n");
            let wanted = if by_node { "LearnedCount" } else { "Scan using" };
            assert!(!is_learned() || plan.contains(wanted), "{text}: {plan}\n{context}");
            outcome(client, &text)
        });
        let [found, expected] = &mut both;
        assert_eq!(found, expected, "{text}\n{context}");
    }
    client.script("ROLLBACK").unwrap();
}

#[test]
fn floats_are_added_in_the_order_of_an_index_only_scan() {
    let cluster = Cluster::start_with("max_parallel_workers_per_gather = 0");
    let mut client = cluster.connect();
    let mut rng = StdRng::seed_from_u64(seed());
    client.script(&format!("SELECT setseed({})", rng.random::<f64>())).unwrap();
    // Clocks are put back at a minute past midnight: the day before goes on for an hour.
    client.script("SET TimeZone = 'America/St_Johns'").unwrap();
    create(&mut client);
    insert(&mut client, 20_000);
    retrain_all(&mut client);
    client.script("VACUUM ANALYZE m").unwrap();
    compare(&mut client, "merged and vacuumed");
    for round in 0..3 {
        insert(&mut client, 300);
        compare(&mut client, &format!("inserted {round}"));
        client.script("DELETE FROM m WHERE n % 17 = 3").unwrap();
        compare(&mut client, &format!("deleted {round}"));
        client.script("VACUUM m").unwrap();
        compare(&mut client, &format!("vacuumed {round}"));
        client.script("UPDATE m SET f8 = f8 + 1 WHERE n % 19 = 5").unwrap();
        retrain_all(&mut client);
        client.script("VACUUM (INDEX_CLEANUP off) m").unwrap();
        compare(&mut client, &format!("updated and merged {round}"));
    }
}

#[test]
fn sums_and_averages_that_overflow_fail_as_they_do_without_the_node() {
    let cluster = Cluster::start_with("max_parallel_workers_per_gather = 0");
    let mut client = cluster.connect();
    let rows = [
        // Both, the average for its squares, float4 alone, none; infinities and NaN overflow not.
        ("(1, 'epoch', 1e308, 1, 1), (1, 'epoch', 1.2e308, 2, 1)", true),
        ("(1, 'epoch', 1e200, 1, 1), (1, 'epoch', -1e200, 2, 1)", true),
        ("(1, 'epoch', 1, 3e38, 1), (1, 'epoch', 2, 3e38, 1)", true),
        ("(1, 'epoch', 1e150, 3, 9e18), (1, 'epoch', -1e150, 2, 9e18)", false),
        ("(1, 'epoch', 'inf', 3, 1), (1, 'epoch', 1.7e308, 'inf', 1)", false),
        ("(1, 'epoch', '-inf', 'nan', -9e18), (1, 'epoch', 'inf', 3, -9e18)", false),
        ("(1, 'epoch', 'nan', 3, 1), (1, 'epoch', 1.7e308, '-inf', 1)", false),
        ("(1, 'epoch', '-0', '-0', 1), (1, 'epoch', 0.0, 0.0, 1)", false),
        ("(1, 'epoch', '-0', '-0', 1)", false),
        ("(1, 'epoch', NULL, NULL, NULL)", false),
    ];
    create(&mut client);
    for (rows, fails) in rows {
        client.script(&format!("TRUNCATE m; INSERT INTO m VALUES {rows}")).unwrap();
        retrain_all(&mut client);
        client.script("VACUUM ANALYZE m").unwrap();
        compare(&mut client, rows);
        client.script("BEGIN").unwrap();
        let all = outcome(&mut client, &format!("SELECT {ASKED} FROM m"));
        assert_eq!(all.is_err(), fails, "{rows}: {all:?}");
        client.script("ROLLBACK").unwrap();
    }
}
