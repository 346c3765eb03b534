//! Indexes of thousands of leaves and several directory pages, against a sorted array: here a
//! sequential scan for each query would take too long.

use std::io::Write;

use postgres::Client;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Script, access_method, assert_plan};

const ROWS: usize = 1_000_000;
const QUERIES: usize = 1_500;

fn keys(name: &str, rng: &mut StdRng) -> Vec<i64> {
    let rows = ROWS as i64;
    match name {
        "serial" => (0..rows).collect(),
        "jittered" => (0..rows).map(|i| i * 1_000_000 + rng.random_range(0..100_000)).collect(),
        "uniform" => (0..rows).map(|_| rng.random_range(0..1i64 << 62)).collect(),
        "clustered" => (0..rows)
            .map(|_| rng.random_range(0..40i64) << 55 | rng.random_range(0..1i64 << 26))
            .collect(),
        "runs" => (0..rows).map(|_| (rng.random_range(0.0..1.0f64).powi(8) * 1e6) as i64).collect(),
        "outliers" => {
            (0..rows).map(|i| if i % 50_000 == 7 { i64::MAX - i } else { i * 3 }).collect()
        }
        _ => unreachable!("no distribution {name}"),
    }
}

fn load(client: &mut Client, keys: &[i64]) -> Vec<(i64, i32)> {
    client.script("DROP TABLE IF EXISTS t; CREATE UNLOGGED TABLE t (k int8, id int4)").unwrap();
    let mut copy = client.copy_in("COPY t FROM STDIN").unwrap();
    for (id, key) in keys.iter().enumerate() {
        writeln!(copy, "{key}\t{id}").unwrap();
    }
    copy.finish().unwrap();
    client.script("VACUUM ANALYZE t").unwrap();
    let mut entries: Vec<(i64, i32)> = keys.iter().zip(0..).map(|(key, id)| (*key, id)).collect();
    entries.sort_unstable();
    entries
}

/// The entries whose keys lie in `low..=high`.
fn between(entries: &[(i64, i32)], low: i64, high: i64) -> &[(i64, i32)] {
    let start = entries.partition_point(|entry| entry.0 < low);
    let end = entries.partition_point(|entry| entry.0 <= high);
    &entries[start..end.max(start)]
}

fn rows(client: &mut Client, query: &str) -> Vec<(i64, i32)> {
    client.query(query, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn sorted(mut rows: Vec<(i64, i32)>) -> Vec<(i64, i32)> {
    rows.sort_unstable();
    rows
}

#[expect(clippy::too_many_lines, reason = "a query in each line")]
fn ask(client: &mut Client, entries: &[(i64, i32)], rng: &mut StdRng) {
    let rank = rng.random_range(0..entries.len());
    let key = entries[rank].0.saturating_add(rng.random_range(-1..=1));
    let far = entries[(rank + rng.random_range(0..3_000)).min(entries.len() - 1)].0;
    match rng.random_range(0..6) {
        0 => {
            let found = rows(client, &format!("SELECT k, id FROM t WHERE k = {key}"));
            assert_eq!(sorted(found), between(entries, key, key), "k = {key}");
        }
        1 => {
            let expected = between(entries, key, far);
            if expected.len() > 20_000 {
                return;
            }
            let direction = if rng.random_bool(0.5) { "ASC" } else { "DESC" };
            let found = rows(
                client,
                &format!(
                    "SELECT k, id FROM t WHERE k BETWEEN {key} AND {far} ORDER BY k {direction}"
                ),
            );
            assert!(
                found.windows(2).all(|pair| if direction == "ASC" {
                    pair[0].0 <= pair[1].0
                } else {
                    pair[0].0 >= pair[1].0
                }),
                "the order of {key} to {far} {direction}"
            );
            assert!(sorted(found) == expected, "{key} to {far}");
        }
        2 => {
            let found = rows(
                client,
                &format!("SELECT k, id FROM t WHERE k <= {key} ORDER BY k DESC LIMIT 40"),
            );
            let all = &entries[..entries.partition_point(|entry| entry.0 <= key)];
            let expected: Vec<i64> = all.iter().rev().take(40).map(|entry| entry.0).collect();
            assert_eq!(found.iter().map(|row| row.0).collect::<Vec<_>>(), expected, "before {key}");
        }
        3 => {
            let found =
                rows(client, &format!("SELECT k, id FROM t WHERE k > {key} ORDER BY k LIMIT 40"));
            let all = &entries[entries.partition_point(|entry| entry.0 <= key)..];
            let expected: Vec<i64> = all.iter().take(40).map(|entry| entry.0).collect();
            assert_eq!(found.iter().map(|row| row.0).collect::<Vec<_>>(), expected, "after {key}");
        }
        4 => {
            let wanted: Vec<i64> = (0..rng.random_range(1..60))
                .map(|_| {
                    entries[rng.random_range(0..entries.len())]
                        .0
                        .saturating_add(rng.random_range(0..2))
                })
                .collect();
            let found: i64 = client
                .query_one("SELECT count(*) FROM t WHERE k = ANY ($1)", &[&wanted])
                .unwrap()
                .get(0);
            let mut distinct = wanted.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let expected: usize =
                distinct.iter().map(|key| between(entries, *key, *key).len()).sum();
            assert_eq!(found as usize, expected, "any of {wanted:?}");
        }
        _ => {
            let high = entries[rng.random_range(rank..entries.len().min(rank + 100_000))].0;
            let row = client
                .query_one(
                    &format!(
                        "SELECT count(*), sum(k)::text FROM t WHERE k >= {key} AND k < {high}"
                    ),
                    &[],
                )
                .unwrap();
            let expected = between(entries, key, high.saturating_sub(1));
            let sum: Option<String> = (!expected.is_empty()).then(|| {
                expected.iter().map(|entry| i128::from(entry.0)).sum::<i128>().to_string()
            });
            assert_eq!(
                (row.get::<_, i64>(0) as usize, row.get(1)),
                (expected.len(), sum),
                "{key} up to {high}"
            );
        }
    }
}

#[test]
fn an_index_of_thousands_of_leaves_answers_as_a_sorted_array() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let mut rng = StdRng::seed_from_u64(super::seed());
    let models = ["auto", "linear", "rmi", "pgm", "radix_spline"];
    for name in ["serial", "jittered", "uniform", "clustered", "runs", "outliers"] {
        let mut keys = keys(name, &mut rng);
        if rng.random_bool(0.5) {
            keys.shuffle(&mut rng);
        }
        client.script("RESET ALL").unwrap();
        let entries = load(&mut client, &keys);
        for model in models {
            let fillfactor = [10, 25, 100][rng.random_range(0..3)];
            let options = if access_method() == "learned" {
                format!(" WITH (model = {model}, fillfactor = {fillfactor})")
            } else {
                String::new()
            };
            client
                .script(&format!(
                    "DROP INDEX IF EXISTS t_k; CREATE INDEX t_k ON t USING {} (k){options}",
                    access_method()
                ))
                .unwrap();
            client
                .script(
                    "SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off",
                )
                .unwrap();
            assert_plan(
                &mut client,
                "SELECT k, id FROM t WHERE k <= 5 ORDER BY k DESC LIMIT 40",
                &["Index Scan Backward using t_k"],
                &[],
            );
            for _ in 0..QUERIES / models.len() {
                ask(&mut client, &entries, &mut rng);
            }
            let size: i64 =
                client.query_one("SELECT pg_relation_size('t_k') / 8192", &[]).unwrap().get(0);
            println!("{name}, {model}, fillfactor {fillfactor}: {size} pages");
        }
    }
}
