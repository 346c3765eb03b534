//! Rows that are dead before VACUUM comes: versions of rows that are updated over and over, and
//! rows that were rolled back. What they leave behind in the index is bounded, and they are in
//! nobody's way.

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{Cluster, Script, Subject, access_method, check, is_learned, retrain};

/// Makes `t (k, id)` with a unique index on `k`, and one on `id`, so that no update of `id` is HOT.
fn create(client: &mut Client, access_method: &str) {
    let options = if access_method == "learned" { " WITH (auto_retrain = off)" } else { "" };
    client
        .script(&format!(
            "DROP TABLE IF EXISTS t;
                 CREATE TABLE t (k int8, id int4) WITH (autovacuum_enabled = off);
             CREATE UNIQUE INDEX t_k ON t USING {access_method} (k){options};
             CREATE INDEX t_id ON t (id);
             SET enable_seqscan = off"
        ))
        .unwrap();
}

fn pages(client: &mut Client) -> i64 {
    client.query_one("SELECT pg_relation_size('t_k') / 8192", &[]).unwrap().get(0)
}

#[test]
fn a_row_that_is_updated_again_and_again_keeps_the_index_small() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, &access_method());
    client.script("INSERT INTO t SELECT g, g FROM generate_series(1, 300) g").unwrap();
    // Its first version in the leaves, those of others in the delta tree.
    retrain(&mut client, "t_k");
    client.script("INSERT INTO t SELECT g, g FROM generate_series(301, 600) g").unwrap();
    let before = pages(&mut client);
    for key in [7, 307] {
        (0..1_000).for_each(|_| {
            client.script(&format!("UPDATE t SET id = id + 1000 WHERE k = {key}")).unwrap();
        });
    }
    if is_learned() {
        let unmerged = check(&mut client, "t_k").unmerged;
        assert!(unmerged < 300 + 2 * 64, "{unmerged} entries are unmerged");
    }
    assert!(pages(&mut client) <= before + 3, "{} pages, {before} before", pages(&mut client));
    Subject::of("t").assert_exact(&mut client);
    client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
    Subject::of("t").assert_exact(&mut client);
}

#[test]
fn an_old_snapshot_keeps_all_versions_that_it_sees() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, &access_method());
    client.script("INSERT INTO t SELECT g, g FROM generate_series(1, 600) g").unwrap();
    let (mut old, mut snapshots) = (cluster.connect(), Vec::new());
    old.script("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t").unwrap();
    for round in 0..5 {
        for _ in 0..200 {
            client.script("UPDATE t SET id = id + 1000 WHERE k % 100 = 7").unwrap();
        }
        let mut session = cluster.connect();
        session.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
        let sum: i64 = session.query_one("SELECT sum(id) FROM t", &[]).unwrap().get(0);
        snapshots.push((session, sum));
        if round == 2 {
            old.script("COMMIT").unwrap();
        }
        for (session, sum) in &mut snapshots {
            let rows = Subject::of("t").rows(session).unwrap();
            assert_eq!(rows.iter().map(|row| i64::from(row.1)).sum::<i64>(), *sum);
            Subject::of("t").assert_exact(session);
        }
    }
}

#[test]
fn loads_that_are_rolled_back_take_no_more_room_than_in_a_b_tree() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let load = "INSERT INTO t SELECT g, g FROM generate_series(1, 10001) g";
    let mut sizes = Vec::new();
    for access_method in ["btree".to_owned(), access_method()] {
        create(&mut client, &access_method);
        for _ in 0..8 {
            client.script(&format!("BEGIN; {load}; ROLLBACK")).unwrap();
        }
        client.script(load).unwrap();
        Subject::of("t").assert_exact(&mut client);
        sizes.push(pages(&mut client));
    }
    assert!(2 * sizes[1] <= 3 * sizes[0], "{} pages, a B-tree has {}", sizes[1], sizes[0]);
}

#[test]
fn updates_of_another_column_take_hardly_more_room_than_in_a_b_tree() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let mut sizes = Vec::new();
    for access_method in ["btree".to_owned(), access_method()] {
        create(&mut client, &access_method);
        client
            .script("INSERT INTO t SELECT hashint4(g), g FROM generate_series(1, 10000) g")
            .unwrap();
        if access_method == "learned" {
            retrain(&mut client, "t_k");
        }
        for _ in 0..10 {
            client.script("UPDATE t SET id = id + 10000").unwrap();
        }
        Subject::of("t").assert_exact(&mut client);
        sizes.push(pages(&mut client));
    }
    println!("pages: {sizes:?}");
    assert!(20 * sizes[1] <= 21 * sizes[0], "{} pages, a B-tree has {}", sizes[1], sizes[0]);
}

#[test]
fn a_row_whose_removal_is_rolled_back_is_in_the_way_again() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, &access_method());
    client.script("INSERT INTO t VALUES (7, 0)").unwrap();
    for round in 0..40 {
        // Many versions in the active tree, of which one lives.
        client
            .script(
                "BEGIN; SAVEPOINT a; DELETE FROM t WHERE k = 7; INSERT INTO t VALUES (7, 1000);
                 DELETE FROM t WHERE k = 7; INSERT INTO t VALUES (7, 1001); ROLLBACK TO a",
            )
            .unwrap();
        let error = client.script("INSERT INTO t VALUES (7, 1002)").expect_err("the key is there");
        assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION), "round {round}");
        client.script("ROLLBACK; UPDATE t SET id = id + 1 WHERE k = 7").unwrap();
    }
    assert_eq!(Subject::of("t").rows(&mut client).unwrap().len(), 1);
    Subject::of("t").assert_exact(&mut client);
}
