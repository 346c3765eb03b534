//! Tables whose rows come and go for ever must not let the index grow for ever.

use postgres::Client;
use server_tests::{Cluster, Script, Subject, access_method, learned_options, retrain};

const ROUNDS: i32 = 20;
const ROWS: i32 = 10_000;

/// Deletes the oldest and adds new rows `ROUNDS` times; asserts that the index stays as large as it
/// was when all had come and gone once.
fn turn_over(client: &mut Client, options: &str, key: &str) {
    let kept = 4 * ROWS;
    client
        .script(&format!(
            "DROP TABLE IF EXISTS t; CREATE TABLE t (k int8, id int4);
             CREATE INDEX t_id ON t (id);
             INSERT INTO t SELECT {key}, g FROM generate_series(1, {kept}) g;
             CREATE INDEX t_k ON t USING {} (k){}",
            access_method(),
            learned_options(options),
        ))
        .unwrap();
    let mut sizes = Vec::new();
    for round in 1..=ROUNDS {
        let last = kept + round * ROWS;
        client
            .script(&format!(
                "INSERT INTO t SELECT {key}, g FROM generate_series({last} - {ROWS} + 1, {last}) g;
                 DELETE FROM t WHERE id <= {last} - {kept};
                 VACUUM (INDEX_CLEANUP on) t"
            ))
            .unwrap();
        retrain(client, "t_k");
        let size: i64 = client.query_one("SELECT pg_relation_size('t_k')", &[]).unwrap().get(0);
        sizes.push(size);
    }
    println!("{key}, {options}: {sizes:?} bytes");
    let allowed = sizes[4] as f64 * 1.3;
    let largest = *sizes[ROUNDS as usize - 5..].iter().max().unwrap();
    assert!(largest as f64 <= allowed, "the index grows: {sizes:?}");
    Subject::of("t").assert_exact(client);
}

#[test]
fn an_index_of_a_window_that_moves_on_does_not_grow() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    turn_over(&mut client, "auto_retrain = off", "g");
    turn_over(&mut client, "auto_retrain = on, retrain_threshold = 5", "g");
}

#[test]
fn an_index_of_random_keys_that_come_and_go_does_not_grow() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    turn_over(&mut client, "auto_retrain = off", "hashint8extended(g, 1)");
    turn_over(&mut client, "auto_retrain = on, retrain_threshold = 5", "hashint4(g) % 1000");
}
