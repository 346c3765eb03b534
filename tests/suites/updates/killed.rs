//! Dead rows that scans have met: a session looks each of them up once, and then others need not.

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Script, Subject, access_method, buffers, check, is_learned, learned_options,
    major_version, retrain, seed,
};

const PLAIN: &str =
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off";
const FIRST: &str = "SELECT k FROM t ORDER BY k LIMIT 1";
const LAST: &str = "SELECT k FROM t ORDER BY k DESC LIMIT 1";

/// Makes `t (k, id)` with 20,000 rows, all in the leaves or all in the delta tree, and deletes the
/// first 8,000 and the last.
fn create(client: &mut Client, method: &str, in_leaves: bool) {
    let options = if method == "learned" { " WITH (auto_retrain = off)" } else { "" };
    client
        .script(&format!(
            "DROP TABLE IF EXISTS t;
                 CREATE TABLE t (k int8, id int4) WITH (autovacuum_enabled = off);
             CREATE INDEX t_k ON t USING {method} (k){options};
             INSERT INTO t SELECT g, g FROM generate_series(1, 20000) g"
        ))
        .unwrap();
    if method == "learned" && in_leaves {
        retrain(client, "t_k");
    }
    client.script("VACUUM ANALYZE t; DELETE FROM t WHERE k <= 8000 OR k > 12000").unwrap();
}

#[test]
fn dead_rows_before_the_first_and_after_the_last_are_looked_up_once() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let settings = "SET enable_seqscan = off; SET enable_bitmapscan = off";
    client.script(settings).unwrap();
    for in_leaves in [true, false] {
        let mut read = Vec::new();
        for method in ["btree".to_owned(), access_method()] {
            create(&mut client, &method, in_leaves);
            for query in [FIRST, LAST] {
                buffers(&mut client, query);
            }
            let again = [FIRST, LAST].map(|query| buffers(&mut client, query));
            let mut other = cluster.connect();
            other.script(settings).unwrap();
            // The first look-up of a session reads more of the directory.
            other.script("SELECT k FROM t WHERE k = 10000").unwrap();
            // Some are left for it to find.
            let by_others = [FIRST, LAST].map(|query| {
                buffers(&mut other, query);
                buffers(&mut other, query)
            });
            println!("{method}, in leaves: {in_leaves}: {again:?}, by others {by_others:?}");
            Subject::of("t").assert_exact(&mut client);
            Subject::of("t").assert_exact(&mut other);
            read.push((again, by_others));
        }
        let [btree, ours] = [read[0], read[1]];
        let few = |(ours, btree): (&u64, &u64)| *ours <= btree + 10;
        assert!(
            ours.0.iter().zip(&btree.0).all(few) && ours.1.iter().zip(&btree.1).all(few),
            "{ours:?}, btree {btree:?}"
        );
    }
}

/// A plain scan of all rows: the core tells it which are dead.
fn read_all(client: &mut Client) {
    client.script(PLAIN).unwrap();
    client.script("SELECT id FROM t WHERE k >= 0 ORDER BY k").unwrap();
}

#[test]
fn keys_that_come_back_to_the_places_of_dead_rows_are_found() {
    let cluster = Cluster::start();
    let (mut reader, mut writer) = (cluster.connect(), cluster.connect());
    for in_leaves in [true, false] {
        create(&mut writer, &access_method(), in_leaves);
        read_all(&mut reader);
        Subject::of("t").assert_exact(&mut reader);
        // VACUUM gives the rows' places to others, which have the same keys.
        writer
            .script(
                "VACUUM (INDEX_CLEANUP on) t;
                 INSERT INTO t SELECT g, -g FROM generate_series(1, 8000) g",
            )
            .unwrap();
        Subject::of("t").assert_exact(&mut reader);
        if is_learned() {
            retrain(&mut writer, "t_k");
            Subject::of("t").assert_exact(&mut reader);
            check(&mut writer, "t_k");
        }
    }
}

#[test]
fn what_a_session_remembers_of_dead_rows_is_never_wrong() {
    let cluster = Cluster::start();
    let (mut reader, mut writer) = (cluster.connect(), cluster.connect());
    writer
        .script(&format!(
            "CREATE TABLE t (k int8, id int4) WITH (autovacuum_enabled = off);
             CREATE INDEX t_k ON t USING {} (k){};
             INSERT INTO t SELECT g % 50, g FROM generate_series(1, 3000) g",
            access_method(),
            learned_options("auto_retrain = off")
        ))
        .unwrap();
    let seed = seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..60 {
        let key = random.random_range(0..50);
        let step = match random.random_range(0..8) {
            0 | 1 => format!("DELETE FROM t WHERE k = {key}"),
            2 => format!("DELETE FROM t WHERE k < {key}"),
            3 => format!("UPDATE t SET id = id + 1 WHERE k = {key}"),
            4 | 5 => {
                format!("INSERT INTO t SELECT g % 50, g FROM generate_series(1, {key} * 20) g")
            }
            6 => "VACUUM (INDEX_CLEANUP on) t".to_owned(),
            _ => {
                if is_learned() {
                    retrain(&mut writer, "t_k");
                }
                continue;
            }
        };
        writer.script(&step).unwrap();
        read_all(&mut reader);
        Subject::of("t").assert_exact(&mut reader);
    }
    if is_learned() {
        assert_eq!(check(&mut writer, "t_k").lost_pages, 0);
    }
}

#[test]
fn a_scan_of_parallel_workers_remembers_dead_rows_too() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, &access_method(), true);
    let forced = match major_version(&mut client) {
        15 => "force_parallel_mode",
        _ => "debug_parallel_query",
    };
    client.script(PLAIN).unwrap();
    for setting in ["on", "off", "on"] {
        client.script(&format!("SET {forced} = {setting}")).unwrap();
        let rows = client.query("SELECT id FROM t WHERE k >= 0 ORDER BY k", &[]).unwrap();
        assert_eq!(rows.len(), 4_000);
    }
    Subject::of("t").assert_exact(&mut client);
}
