//! Inserts of every indexable type, with the values that are unlike the others.

use postgres::{Client, SimpleQueryMessage};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Key, Script, SqlType, access_method, assert_plan, learned_options, retrain, seed,
    serves_equality,
};

fn fetch(client: &mut Client, query: &str) -> Vec<String> {
    let messages = client.simple_query(query).unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(format!("{:?}|{:?}", row.get(0), row.get(1))),
        _ => None,
    });
    rows.collect()
}

const SEQUENTIAL: &str = "SET enable_indexscan = off; SET enable_indexonlyscan = off;
                          SET enable_bitmapscan = off; SET enable_seqscan = on;
                              SET enable_sort = on";
const PATHS: [&str; 2] = [
    "SET enable_indexscan = on; SET enable_indexonlyscan = on; SET enable_seqscan = off;
     SET enable_bitmapscan = off; SET enable_sort = off",
    "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = on;
     SET enable_seqscan = off",
];

/// Asserts that index scans find what a sequential scan finds, for conditions around the keys.
fn assert_same(client: &mut Client, sql_type: SqlType, keys: &[Key], rng: &mut StdRng) {
    for _ in 0..6 {
        let mut literal = |steps: i64| {
            let key = keys[rng.random_range(0..keys.len())];
            sql_type.literal(sql_type.neighbour(key, steps))
        };
        let (a, b, c) = (literal(0), literal(0), literal(1));
        for condition in [
            format!("k = {a}"),
            format!("k = {c}"),
            format!("k >= {a} AND k < {b}"),
            format!("k > {a}"),
            format!("k <= {b}"),
            format!("k = ANY (ARRAY[{a}, {b}, {c}, NULL])"),
            "k IS NULL".to_owned(),
        ] {
            client.script(SEQUENTIAL).unwrap();
            let query = format!("SELECT k, id FROM t WHERE {condition}");
            let mut expected = fetch(client, &query);
            expected.sort();
            for path in PATHS {
                client.script(path).unwrap();
                let equal = query.contains("k = ") && !query.contains("k = ANY");
                if !equal || serves_equality(client, sql_type) {
                    assert_plan(client, &query, &["t_k"], &["Seq Scan"]);
                }
                let mut found = fetch(client, &query);
                found.sort();
                assert_eq!(found, expected, "{query} by {path}");
            }
        }
    }
    for order in ["k", "k DESC"] {
        let query = format!("SELECT k FROM t ORDER BY {order}");
        let sums = format!(
            "SELECT count(*), md5(string_agg(coalesce(k::text, 'NULL'), ',')) FROM ({query}) s"
        );
        client.script(SEQUENTIAL).unwrap();
        let expected = fetch(client, &sums);
        client.script(PATHS[0]).unwrap();
        assert_plan(client, &query, &["t_k"], &["Seq Scan", "Sort"]);
        // Zeros of either sign, equal to the index, come in any order.
        if !sql_type.is_float() {
            assert_eq!(fetch(client, &sums), expected, "{query} of {sql_type:?}");
        }
    }
}

#[test]
fn inserted_values_of_every_type_are_found() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for (number, sql_type) in SqlType::ALL.into_iter().enumerate() {
        let mut rng = StdRng::seed_from_u64(seed() + number as u64);
        client
            .script(&format!(
                "DROP TABLE IF EXISTS t; CREATE TABLE t (k {}, id int4);
                 CREATE INDEX t_k ON t USING {} (k){}",
                sql_type.name(),
                access_method(),
                learned_options("retrain_threshold = 5")
            ))
            .unwrap();
        let mut keys = Vec::new();
        for round in 0..4 {
            let mut new = sql_type.specials();
            for _ in 0..500 {
                let wide = rng.random::<i64>() >> rng.random_range(0..64);
                new.push(sql_type.wrap(wide));
            }
            let rows = new
                .iter()
                .enumerate()
                .map(|(i, key)| format!("({}, {})", sql_type.literal(*key), round * 10_000 + i));
            let rows = rows.collect::<Vec<_>>().join(", ");
            client.script(&format!("INSERT INTO t VALUES (NULL, -{round}), {rows}")).unwrap();
            keys.extend(new);
            if round % 2 == 1 {
                client.script("DELETE FROM t WHERE id % 3 = 0; VACUUM t").unwrap();
            }
            assert_same(&mut client, sql_type, &keys, &mut rng);
            retrain(&mut client, "t_k");
            assert_same(&mut client, sql_type, &keys, &mut rng);
        }
    }
}
