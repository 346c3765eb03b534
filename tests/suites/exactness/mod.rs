//! Generated queries against a sequential scan over the same table.

mod composite;
mod keys;
mod many_leaves;
mod queries;
mod runner;

use rand::SeedableRng;
use rand::rngs::StdRng;
use server_tests::{Cluster, Script, SqlType, seed};

use keys::Distribution;
use runner::{IndexOptions, Runner, Table};

const INDEXES_A_TABLE: usize = 3;
const QUERIES_AN_INDEX: usize = 110;

#[test]
fn a_hundred_thousand_generated_queries_answer_as_a_sequential_scan() {
    let cluster = Cluster::start();
    let mut total = Runner::default();
    println!("seed {}", seed());
    for (number, sql_type) in SqlType::ALL.into_iter().enumerate() {
        let mut rng = StdRng::seed_from_u64(seed() + number as u64);
        let mut runner = Runner::connect(&cluster);
        for distribution in Distribution::ALL {
            let table = Table::create(&cluster, sql_type, distribution, &mut rng);
            for _ in 0..INDEXES_A_TABLE {
                let options = IndexOptions::random(&mut rng);
                runner.compare(&table, &options, QUERIES_AN_INDEX, &mut rng);
            }
        }
        println!("{}: {}", sql_type.name(), runner.summary());
        total.add(&runner);
    }
    println!("all: {}", total.summary());
    assert!(total.queries() >= 100_000, "only {} queries were generated", total.queries());
}

#[test]
fn one_value_repeated_a_million_times_is_found_a_million_times() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8, id int);
             INSERT INTO t SELECT CASE WHEN g % 100 = 7 THEN g ELSE 42 END, g
                 FROM generate_series(1, 1000000) g;",
        )
        .unwrap();
    let options = IndexOptions::default();
    client.script(&options.create_index("t", SqlType::Int8)).unwrap();
    client.script("VACUUM ANALYZE t").unwrap();
    for condition in
        ["k = 42", "k >= 42", "k <= 42", "k = ANY('{42,42,7,NULL}')", "k > 42", "k < 42", "true"]
    {
        let aggregate =
            format!("SELECT count(*), sum(id), min(id), max(id) FROM t WHERE {condition}");
        let ordered =
            format!("SELECT k FROM t WHERE {condition} ORDER BY k DESC LIMIT 5 OFFSET 500000");
        for query in [aggregate, ordered] {
            let mut answers = Vec::new();
            for settings in [
                "",
                "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET \
                 enable_bitmapscan = off",
                "SET enable_seqscan = off; SET enable_bitmapscan = off",
                "SET enable_seqscan = off; SET enable_indexscan = off",
            ] {
                client.script(&format!("RESET ALL; {settings}")).unwrap();
                answers.push(runner::rows(&mut client, &query));
            }
            assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{query}: {answers:?}");
        }
    }
}
