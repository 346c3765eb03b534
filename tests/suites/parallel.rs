//! Index scans that run in parallel workers, which have to load the library, find the index and
//! read it with the leader's snapshot.

use postgres::Client;
use server_tests::{
    Cluster, Script, Subject, access_method, learned_options, major_version, plan_of,
};

/// Makes every plan that can run in a worker run in one.
fn force_workers(client: &mut Client) {
    let setting =
        if major_version(client) >= 16 { "debug_parallel_query" } else { "force_parallel_mode" };
    client.script(&format!("SET {setting} = on; SET max_parallel_workers_per_gather = 2")).unwrap();
}

#[test]
fn scans_in_workers_agree_with_sequential_scans() {
    let cluster = Cluster::start_with("max_parallel_workers = 4");
    let mut client = cluster.connect();
    let (method, options) = (access_method(), learned_options("auto_retrain = off"));
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4) WITH (autovacuum_enabled = off);
             INSERT INTO t SELECT hashint8(g) / 1000, g FROM generate_series(1, 20000) g;
             INSERT INTO t SELECT NULL, g FROM generate_series(1, 100) g;
             CREATE INDEX t_k ON t USING {method} (k){options};
             VACUUM (ANALYZE) t;
             INSERT INTO t SELECT hashint8(g) / 1000, g FROM generate_series(20001, 22000) g;
             DELETE FROM t WHERE id % 7 = 0"
        ))
        .unwrap();
    // New sessions: nothing is known of the index in leader or worker.
    let mut client = cluster.connect();
    force_workers(&mut client);
    let subject = Subject::of("t");
    subject.assert_exact(&mut client);
    client.script("SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
    let plan = plan_of(&mut client, "SELECT k, id FROM t WHERE k = 5");
    assert!(plan.contains("Gather") && plan.contains("Index Scan"), "{plan}");
    // A transaction's own changes are seen in workers too.
    client
        .script("BEGIN; UPDATE t SET k = k + 1 WHERE id % 5 = 0; DELETE FROM t WHERE id % 11 = 0")
        .unwrap();
    subject.assert_exact(&mut client);
    client.script("ROLLBACK; VACUUM t").unwrap();
    subject.assert_exact(&mut client);
}
