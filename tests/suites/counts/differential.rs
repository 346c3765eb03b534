//! A session alone: thousands of statements over tables of every kind, between writes, merges and
//! vacuums.

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Script, SqlType, access_method, check_all, major_version, seed};

use super::snapshot::{Tally, compare};
use super::statements::Generator;
use super::table::{Shape, Table};

const SHAPES: [Shape; 12] = [
    Shape::Single(SqlType::Int8),
    Shape::Single(SqlType::Timestamptz),
    Shape::Single(SqlType::Float8),
    Shape::Single(SqlType::Date),
    Shape::Single(SqlType::Int4),
    Shape::Pair,
    Shape::Including,
    Shape::Three,
    Shape::Expression,
    Shape::Partial,
    Shape::Partitioned,
    Shape::Inherited,
];
const ROUNDS: usize = 10;
const STATEMENTS_A_ROUND: usize = 130;
/// In parallel workers, whose start takes time.
const STATEMENTS_IN_WORKERS: usize = 12;
const ZONES: [&str; 4] = ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"];
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";

/// Compares statements over a table of a shape while it changes.
fn differ(client: &mut Client, shape: Shape, rng: &mut StdRng) -> Tally {
    let zone = ZONES[rng.random_range(0..ZONES.len())];
    client.script(&format!("SET TimeZone = '{zone}'")).unwrap();
    let (mut table, create) = Table::create(client, shape, rng);
    let mut tally = Tally::default();
    for round in 0..ROUNDS {
        if round > 0 {
            table.change(client, rng);
        }
        let context = format!("{create} -- {shape:?}, round {round}, TimeZone {zone}");
        let statements = Generator::new(&table, true, rng).statements(STATEMENTS_A_ROUND);
        tally.add(&compare(client, BEGIN, &statements, &context).unwrap());
        if round == ROUNDS / 2 {
            let parallel = match major_version(client) {
                16.. => "debug_parallel_query",
                _ => "force_parallel_mode",
            };
            let begin = format!("{BEGIN}; SET LOCAL {parallel} = on");
            let statements = Generator::new(&table, false, rng).statements(STATEMENTS_IN_WORKERS);
            tally.add(&compare(client, &begin, &statements, &context).unwrap());
        }
    }
    check_all(client);
    tally
}

#[test]
fn thousands_of_counts_agree_with_a_sequential_scan_of_the_same_snapshot() {
    let cluster = Cluster::start_with("max_parallel_workers_per_gather = 2");
    let mut client = cluster.connect();
    client.script("SET plan_cache_mode = force_generic_plan").unwrap();
    println!("seed {}", seed());
    let mut all = Tally::default();
    for (number, shape) in (0..).zip(SHAPES) {
        let mut rng = StdRng::seed_from_u64(seed().wrapping_add(number << 32));
        let tally = differ(&mut client, shape, &mut rng);
        tally.assert_used(&format!("{shape:?}"));
        all.add(&tally);
    }
    all.assert_exhaustive("all");
    assert!(all.statements >= 15_000, "only {} statements", all.statements);
}

#[test]
fn conditions_that_no_row_meets_count_nothing_even_where_reading_costs_nothing() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE TABLE t (k int8 NOT NULL CHECK (k < 10000));
             INSERT INTO t SELECT generate_series(1, 5000);
             CREATE INDEX ON t USING {} (k); VACUUM ANALYZE t;
             SET random_page_cost = 0; SET cpu_operator_cost = 0; SET constraint_exclusion = on",
            access_method()
        ))
        .unwrap();
    for condition in ["false", "NULL", "k > 5 AND false", "k = 5 AND k = 6", "k > 20000"] {
        let query = format!("SELECT count(*) FROM t WHERE {condition}");
        let found: i64 = client.query_one(&query, &[]).unwrap().get(0);
        assert_eq!(found, 0, "{query}");
    }
}
