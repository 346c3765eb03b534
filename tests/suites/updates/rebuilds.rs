//! Rewrites and rebuilds of tables whose index has taken inserts, alone and beside a writer.

use std::ops::ControlFlow;
use std::time::Duration;

use server_tests::{
    Cluster, Job, Script, Subject, access_method, fetch, learned_options, retrain, run_together,
};

use super::create;

#[test]
fn rewrites_keep_what_was_inserted_and_take_more() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "", "t", 10_000);
    let place = cluster.new_directory("tablespace");
    client.script(&format!("CREATE TABLESPACE elsewhere LOCATION '{}'", place.display())).unwrap();
    let subject = Subject::of("t");
    for (number, statement) in [
        "CLUSTER t USING t_k",
        "VACUUM FULL t",
        "ALTER TABLE t SET TABLESPACE elsewhere",
        "ALTER INDEX t_k SET TABLESPACE elsewhere",
        "ALTER INDEX t_k SET TABLESPACE pg_default",
        "REINDEX INDEX t_k",
        "REINDEX INDEX CONCURRENTLY t_k",
        "REINDEX TABLE t",
        "TRUNCATE t",
        "BEGIN; TRUNCATE t; INSERT INTO t SELECT g, g FROM generate_series(1, 500) g; ROLLBACK",
        "BEGIN; TRUNCATE t; INSERT INTO t SELECT g, g FROM generate_series(1, 500) g; COMMIT",
        "ALTER TABLE t ALTER COLUMN id TYPE int8; ALTER TABLE t ALTER COLUMN id TYPE int4",
        "ALTER TABLE t SET UNLOGGED",
        "ALTER TABLE t SET LOGGED",
        "ALTER TABLE t ADD COLUMN note text DEFAULT 'x'",
        "ALTER TABLE t RENAME COLUMN k TO other; ALTER TABLE t RENAME COLUMN other TO k",
    ]
    .into_iter()
    .enumerate()
    {
        let write = format!(
            "INSERT INTO t (k, id) SELECT nullif(hashint4(g) % 9000, 5), {number} * 10000 + g
                 FROM generate_series(1, 1000) g;
             UPDATE t SET k = k - 1 WHERE id % 17 = {number}"
        );
        client.script(&write).unwrap();
        client.script(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        subject.assert_exact(&mut client);
        client.script(&write).unwrap();
        subject.assert_exact(&mut client);
        if number % 2 == 0 {
            retrain(&mut client, "t_k");
            subject.assert_exact(&mut client);
        }
    }
    // Another session, which knew the index before, finds the new one.
    Subject::of("t").assert_exact(&mut cluster.connect());
}

#[test]
fn clustering_after_inserts_orders_the_heap() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "", "t", 5_000);
    client
        .script(
            "INSERT INTO t SELECT 5000 - g, 10000 + g FROM generate_series(1, 5000) g; CLUSTER t \
             USING t_k",
        )
        .unwrap();
    let unordered = "SELECT count(*) FROM (SELECT k < lag(k) OVER (ORDER BY ctid) AS wrong FROM \
                     t) s WHERE wrong";
    assert_eq!(client.query_one(unordered, &[]).unwrap().get::<_, i64>(0), 0);
    Subject::of("t").assert_exact(&mut client);
}

/// CLUSTER reads the table through the index under `SnapshotAny`, and takes along what old
/// snapshots still see.
#[test]
fn clustering_keeps_the_versions_that_only_an_old_snapshot_sees() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let mut old = cluster.connect();
    let methods = ["btree".to_owned(), access_method()];
    let rows = "SELECT k, id FROM t ORDER BY k, id";
    for merged in [true, false] {
        let mut outcomes = Vec::new();
        for method in &methods {
            client
                .script(&format!(
                    "DROP TABLE IF EXISTS t;
                         CREATE TABLE t (k int8, id int4)
                         WITH (autovacuum_enabled = off, fillfactor = 70);
                     CREATE INDEX t_k ON t USING {method} (k);
                     INSERT INTO t SELECT nullif(hashint4(g) % 3000, 7), g
                         FROM generate_series(1, 5000) g"
                ))
                .unwrap();
            if merged && method == "learned" {
                retrain(&mut client, "t_k");
            }
            // Dead to all.
            client
                .script("UPDATE t SET k = k + 1 WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0")
                .unwrap();
            let expected = fetch(&mut client, rows).unwrap();
            // Has locked nothing, so that CLUSTER need not wait.
            old.script("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").unwrap();
            client
                .script(
                    "UPDATE t SET id = -id WHERE id % 3 = 0;
                         UPDATE t SET k = 10 - k WHERE id % 5 = 0;
                     DELETE FROM t WHERE id % 13 = 0; DELETE FROM t WHERE k IS NULL AND id % 2 = 0;
                     BEGIN; INSERT INTO t SELECT g % 100, 10000 + g FROM generate_series(1, 300) g;
                     UPDATE t SET k = k + 1 WHERE id > 10100; DELETE FROM t WHERE id > 10200;
                     CLUSTER t USING t_k; COMMIT",
                )
                .unwrap();
            assert!(fetch(&mut old, rows).unwrap() == expected, "{method}, merged: {merged}");
            Subject::of("t").assert_exact(&mut old);
            Subject::of("t").assert_exact(&mut client);
            // Versions of updated rows go where the others of them are.
            let unordered = "SELECT count(*), pg_relation_size('t')
                 FROM (SELECT (k < lag(k) OVER w OR k IS NOT NULL AND lag(id) OVER w > 0
                     AND lag(k) OVER w IS NULL) AS wrong
                       FROM t WHERE id BETWEEN 1 AND 9999 AND id % 5 <> 0 AND id % 7 <> 0 WINDOW w
                           AS (ORDER BY ctid)) s
                 WHERE wrong";
            let sizes = [&mut client, &mut old].map(|session| {
                let row = session.query_one(unordered, &[]).unwrap();
                assert_eq!(row.get::<_, i64>(0), 0, "{method}: rows out of order");
                row.get::<_, i64>(1)
            });
            outcomes.push((fetch(&mut client, rows).unwrap(), sizes));
            old.script("COMMIT").unwrap();
        }
        assert_eq!(outcomes[0].1, outcomes[1].1, "size of the table, after a B-tree and ours");
        assert!(outcomes[0].0 == outcomes[1].0, "merged: {merged}");
    }
}

#[test]
fn concurrent_builds_beside_writers_miss_no_row() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "", "t", 20_000);
    let (access_method, options) = (access_method(), learned_options("retrain_threshold = 1"));
    let writer = |number: i32| {
        let mut client = cluster.connect();
        let mut round = 0;
        Job::endless(&format!("writer {number}"), move || {
            round += 1;
            let base = number * 10_000_000 + round * 100;
            client
                .script(&format!(
                    "INSERT INTO t SELECT hashint4({base} + g) % 20000, {base} + g
                         FROM generate_series(1, 50) g;
                     UPDATE t SET k = k + 1 WHERE id BETWEEN {base} - 90 AND {base} - 80;
                     DELETE FROM t WHERE id BETWEEN {base} - 70 AND {base} - 60"
                ))
                .unwrap();
        })
    };
    let mut round = 0;
    let mut builder = cluster.connect();
    let build = Job::new("builder", move || {
        for statement in [
            "REINDEX INDEX CONCURRENTLY t_k",
            "DROP INDEX CONCURRENTLY t_k",
            &format!("CREATE INDEX CONCURRENTLY t_k ON t USING {access_method} (k){options}"),
            "REINDEX INDEX t_k",
        ] {
            builder.script(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
            if !statement.starts_with("DROP") {
                builder.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
                Subject::of("t").assert_exact(&mut builder);
                builder.script("COMMIT").unwrap();
            }
        }
        round += 1;
        if round == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let steps = run_together(Duration::from_secs(60), vec![writer(1), writer(2), build]);
    assert!(steps[0] > 20 && steps[1] > 20, "the writers hardly wrote: {steps:?}");
    Subject::of("t").assert_exact(&mut client);
    retrain(&mut client, "t_k");
    client.script("VACUUM t").unwrap();
    Subject::of("t").assert_exact(&mut client);
}
