//! Rewrites and rebuilds of tables whose index has taken inserts, alone and beside a writer.

use std::ops::ControlFlow;
use std::time::Duration;

use server_tests::{
    Cluster, Job, Script, Subject, access_method, learned_options, retrain, run_together,
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
    client.script("INSERT INTO t SELECT 5000 - g, 10000 + g FROM generate_series(1, 5000) g; CLUSTER t USING t_k").unwrap();
    let unordered = "SELECT count(*) FROM (SELECT k < lag(k) OVER (ORDER BY ctid) AS wrong FROM t) s WHERE wrong";
    assert_eq!(client.query_one(unordered, &[]).unwrap().get::<_, i64>(0), 0);
    Subject::of("t").assert_exact(&mut client);
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
