//! `WITH (monitoring = on)`: counters that all sessions share. And what EXPLAIN says of index
//! scans.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use postgres::Client;
use server_tests::{
    Cluster, Script, Shutdown, in_background, is_learned, major_version, plan_of, retrain,
};

/// A cluster whose PostgreSQL can share counters.
fn cluster(settings: &str) -> Option<Cluster> {
    if !is_learned() {
        println!("skipped: only a learned index is monitored");
        return None;
    }
    let cluster = Cluster::start_with(settings);
    if major_version(&mut cluster.connect()) < 17 {
        println!("skipped: indexes are monitored from version 17 on");
        return None;
    }
    Some(cluster)
}

const TABLE: &str = "CREATE TABLE t (k int8, id int4) WITH (autovacuum_enabled = off);
    INSERT INTO t SELECT 2 * g, g FROM generate_series(1, 50000) g;
    CREATE INDEX t_k ON t USING learned (k) WITH (monitoring = on, auto_retrain = off);
    VACUUM (ANALYZE) t";

/// A counter of `t_k`; -1 if it is not counted.
fn counter(client: &mut Client, counter: &str) -> i64 {
    let query = format!("SELECT {counter} FROM learned_index_counters('t_k')");
    client.query(&query, &[]).unwrap().first().map_or(-1, |row| row.get(0))
}

/// Searches that PostgreSQL has counted.
fn searches(client: &mut Client) -> i64 {
    client.script("SELECT pg_stat_force_next_flush(); SELECT pg_stat_clear_snapshot()").unwrap();
    let count = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 't_k'";
    client.query_one(count, &[]).unwrap().get(0)
}

/// Waits until all other sessions are gone, with what they had not reported.
fn alone(cluster: &Cluster) -> Client {
    let mut client = cluster.connect();
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE backend_type IN ('client backend', 'parallel worker')";
    while client.query_one(others, &[]).unwrap().get::<_, i64>(0) > 1 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    client
}

const PLANS: [&str; 7] = [
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;
     SET enable_mergejoin = off; SET enable_material = off",
    // Scans that end, one that is cut short, and one that is not read.
    "SELECT id FROM t WHERE k = 500; SELECT k FROM t WHERE k BETWEEN 5 AND 900;
     SELECT id FROM t ORDER BY k DESC LIMIT 3; SELECT id FROM t WHERE k = 500 LIMIT 0",
    "SELECT count(id) FROM generate_series(1, 700) g JOIN t ON k = g",
    "SET omendb_learned.enable_count = on; SELECT count(*) FROM t WHERE k < 5000;
     SELECT k / 1000, count(*) FROM t GROUP BY 1; SET omendb_learned.enable_count = off",
    "BEGIN; DECLARE c CURSOR FOR SELECT id FROM t WHERE k > 40; FETCH 5 FROM c; CLOSE c;
     DECLARE d CURSOR WITH HOLD FOR SELECT id FROM t WHERE k > 99990; COMMIT; FETCH d; CLOSE d",
    "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = on;
     SELECT count(id) FROM t WHERE k BETWEEN 30000 AND 34000; RESET enable_indexscan;
     RESET enable_indexonlyscan",
    "SET enable_bitmapscan = off; SET max_parallel_workers_per_gather = 2;
     SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
     SET min_parallel_table_scan_size = 0; SET enable_seqscan = on;
     SELECT count(t.id), sum(o.id) FROM t o JOIN t ON t.k = o.id WHERE o.id % 20 = 1",
];

#[test]
fn all_sessions_together_count_what_postgresql_counts_whatever_becomes_of_their_scans() {
    let Some(cluster) = cluster("max_parallel_workers = 4") else { return };
    cluster.connect().script(TABLE).unwrap();
    let before = searches(&mut alone(&cluster));
    cluster.connect().script("SELECT learned_reset_counters('t_k')").unwrap();
    let sessions: Vec<_> = (0..4)
        .map(|session| {
            let mut client = cluster.connect();
            std::thread::spawn(move || {
                for _ in 0..10 {
                    PLANS.iter().for_each(|plans| client.script(plans).unwrap());
                    let fails = "SELECT 1 / (k - 1000) FROM t WHERE k BETWEEN 800 AND 1200";
                    client.batch_execute(fails).unwrap_err();
                    client.script("BEGIN; SAVEPOINT s").unwrap();
                    client.batch_execute(fails).unwrap_err();
                    client.script("ROLLBACK TO s; SELECT id FROM t WHERE k = 9; COMMIT").unwrap();
                }
                if session == 0 {
                    // Its scan is open when it is ended from outside.
                    let open = "BEGIN; DECLARE c CURSOR FOR SELECT id FROM t WHERE k > 40;
                        FETCH 5 FROM c";
                    client.script(open).unwrap();
                    client
                        .batch_execute("SELECT pg_terminate_backend(pg_backend_pid())")
                        .unwrap_err();
                }
            })
        })
        .collect();
    sessions.into_iter().for_each(|session| session.join().unwrap());
    let mut client = alone(&cluster);
    let expected = searches(&mut client) - before;
    let (scans, counts) = (counter(&mut client, "scans"), counter(&mut client, "counts"));
    println!("{scans} scans and {counts} counts of {expected}");
    assert_eq!(scans + counts, expected);
    assert!(counts == 80 && expected > 40 * 3_000, "{counts} counts, {expected} searches");
    let reads = counter(&mut client, "leaf_reads");
    let (predicted, mispredicted) =
        (counter(&mut client, "predicted"), counter(&mut client, "mispredicted"));
    assert!(predicted + mispredicted <= reads, "{predicted} + {mispredicted} of {reads}");
    // Nearly all of them search for one key, in a session that knows the model.
    assert!(predicted > reads * 9 / 10, "{predicted} + {mispredicted} of {reads}");
    // What is switched off is not counted.
    let (before, scan) = (counter(&mut client, "scans"), "SELECT id FROM t WHERE k = 500");
    client.script("SET enable_seqscan = off; ALTER INDEX t_k SET (monitoring = off)").unwrap();
    client.script(scan).unwrap();
    assert_eq!(counter(&mut client, "scans"), -1);
    client.script("ALTER INDEX t_k SET (monitoring = on)").unwrap();
    assert_eq!(counter(&mut client, "scans"), before);
    client.script(&format!("REINDEX INDEX t_k; {scan}")).unwrap();
    assert_eq!(counter(&mut client, "scans"), before + 1, "a rebuilt index is the same one");
}

#[test]
fn unmerged_rows_dead_rows_and_merges_are_counted() {
    let Some(cluster) = cluster("") else { return };
    let mut client = cluster.connect();
    client.script(TABLE).unwrap();
    client.script("SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
    client
        .script("INSERT INTO t SELECT 2 * g + 1, g FROM generate_series(24000, 26999) g")
        .unwrap();
    client.script("SELECT id FROM t WHERE k BETWEEN 50101 AND 50300").unwrap();
    assert_eq!(counter(&mut client, "unmerged_hits"), 100);
    assert_eq!(counter(&mut client, "merges"), 0);
    let merged = client.query_one("SELECT merged_rows, ranges FROM learned_retrain('t_k')", &[]);
    let merged = merged.unwrap();
    let (rows, ranges): (i64, i64) = (merged.get(0), merged.get(1));
    assert_eq!((counter(&mut client, "merged_entries"), rows), (3000, 3000));
    assert_eq!(counter(&mut client, "merges"), ranges);
    let timely = "SELECT last_merge BETWEEN now() - interval '1 minute' AND clock_timestamp()
                      AND last_merge >= stats_reset AND merge_time BETWEEN 0.001 AND 60000
                  FROM learned_index_counters('t_k')";
    assert!(client.query_one(timely, &[]).unwrap().get::<_, bool>(0));
    client.script("DELETE FROM t WHERE k BETWEEN 20001 AND 20100").unwrap();
    let mut other = cluster.connect();
    other.script("SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
    let empty = "SELECT id FROM t WHERE k BETWEEN 20001 AND 20100";
    other.script(empty).unwrap();
    assert_eq!(counter(&mut client, "dead_hits"), 50);
    // It has marked them for all.
    client.script(empty).unwrap();
    assert_eq!(counter(&mut client, "dead_hits"), 50);
    client.script("SELECT learned_reset_counters('t_k')").unwrap();
    for name in ["scans", "leaf_reads", "unmerged_hits", "dead_hits", "merges", "merged_entries"] {
        assert_eq!(counter(&mut client, name), 0, "{name}");
    }
    let none = "SELECT last_merge IS NULL AND merge_time = 0 FROM learned_index_counters('t_k')";
    assert!(client.query_one(none, &[]).unwrap().get::<_, bool>(0));
}

#[test]
fn a_crash_begins_anew_and_a_standby_counts_for_itself() {
    let Some(cluster) = cluster("wal_level = replica\nmax_wal_senders = 4") else { return };
    cluster.connect().script(TABLE).unwrap();
    let scan = "SET enable_seqscan = off; SELECT id FROM t WHERE k = 500";
    cluster.connect().script(scan).unwrap();
    let standby = cluster.standby();
    standby.catch_up(&cluster);
    for _ in 0..3 {
        standby.connect().script(scan).unwrap();
    }
    assert_eq!(counter(&mut standby.connect(), "scans"), 3);
    assert_eq!(counter(&mut cluster.connect(), "scans"), 1);
    standby.connect().script("SELECT learned_reset_counters('t_k')").unwrap();
    assert_eq!(counter(&mut standby.connect(), "scans"), 0);
    for how in [Shutdown::Kill, Shutdown::Clean] {
        cluster.stop(how);
        cluster.launch();
        assert_eq!(counter(&mut cluster.connect(), "scans"), 0);
        cluster.connect().script(scan).unwrap();
        assert_eq!(counter(&mut cluster.connect(), "scans"), 1);
    }
}

/// As many indexes as there are slots, and more.
const FILL: &str = "CREATE TABLE s (k int8); DO $$ BEGIN FOR i IN 1..1030 LOOP
        EXECUTE format('CREATE INDEX s_%s ON s USING learned (k) WITH (monitoring = on)', i);
        PERFORM learned_index_counters(format('s_%s', i)::regclass);
    END LOOP; END $$";

#[test]
fn a_full_table_is_no_error_and_indexes_that_are_gone_give_their_slots_back() {
    let Some(cluster) = cluster("") else { return };
    let mut client = cluster.connect();
    client.script(TABLE).unwrap();
    client.script("SET enable_seqscan = off; SELECT id FROM t WHERE k = 500").unwrap();
    // A session that found no slot looks again only after a while: so each is a new one.
    let counted = || -> i64 {
        let sql = "SELECT count(scans) FROM learned_index_activity";
        cluster.connect().query_one(sql, &[]).unwrap().get(0)
    };
    client.script("CREATE DATABASE d").unwrap();
    let mut elsewhere = cluster.connect_to("d");
    elsewhere.batch_execute("CREATE EXTENSION omendb_learned").unwrap();
    elsewhere.batch_execute(FILL).unwrap();
    drop(elsewhere);
    // There is no slot for it. It serves queries all the same.
    client.script("CREATE INDEX t_more ON t USING learned (id) WITH (monitoring = on)").unwrap();
    client.script("SELECT k FROM t WHERE id = 3").unwrap();
    assert_eq!(counted(), 1);
    // A database takes its indexes with it.
    client.script("DROP DATABASE d WITH (FORCE)").unwrap();
    assert_eq!(counted(), 2);
    cluster.connect().batch_execute(FILL).unwrap();
    assert_eq!(counted(), 1024);
    let statements = [
        "DROP INDEX s_7",
        "ALTER INDEX s_8 SET (monitoring = off)",
        "ALTER INDEX s_9 RESET (monitoring)",
    ];
    for statement in statements {
        client.script(statement).unwrap();
        assert_eq!(counted(), 1024, "{statement}: another one has got the slot");
    }
    assert_eq!(counter(&mut client, "scans"), 1);
}

#[test]
fn without_memory_for_counters_queries_work_and_other_sessions_do_not_wait() {
    let Some(cluster) = cluster("dynamic_shared_memory_type = mmap") else { return };
    cluster.connect().script(&TABLE.replace("monitoring = on", "monitoring = off")).unwrap();
    cluster.connect().script("ALTER INDEX t_k SET (monitoring = on)").unwrap();
    let directory = cluster.data().join("pg_dynshmem");
    let allow = |mode| fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o500);
    let mut client = cluster.connect();
    client.script("SET enable_seqscan = off; BEGIN; SELECT id FROM t WHERE k = 500").unwrap();
    let found = client.query_one("SELECT id FROM t WHERE k = 700", &[]).unwrap();
    assert_eq!(found.get::<_, i32>(0), 350);
    assert_eq!(counter(&mut client, "scans"), -1);
    allow(0o700);
    // Its transaction is open still.
    let mut other = cluster.connect();
    other.script("SET statement_timeout = '30s'; SET enable_seqscan = off").unwrap();
    other.script("SELECT id FROM t WHERE k = 500").unwrap();
    assert_eq!(counter(&mut other, "scans"), 1);
    client.script("COMMIT; SELECT id FROM t WHERE k = 500").unwrap();
    assert_eq!(counter(&mut other, "scans"), 1);
}

#[test]
fn counters_never_fail_while_indexes_come_and_go() {
    let Some(cluster) = cluster("") else { return };
    let mut client = cluster.connect();
    client.script(TABLE).unwrap();
    let script = "DO $$ BEGIN FOR i IN 1..100 LOOP
            CREATE TABLE s (k int8);
            CREATE INDEX s_k ON s USING learned (k) WITH (monitoring = on);
            PERFORM * FROM s WHERE k = 1;
            COMMIT; DROP INDEX s_k; COMMIT; DROP TABLE s; COMMIT;
        END LOOP; END $$";
    let coming = in_background(cluster.connect(), script);
    let done = AtomicBool::new(false);
    let mut looks = 0;
    while !done.load(Ordering::Relaxed) {
        done.store(coming.is_finished(), Ordering::Relaxed);
        let rows = client.query("SELECT scans FROM learned_index_activity", &[]).unwrap();
        assert!(rows.len() <= 2, "{} rows", rows.len());
        looks += 1;
    }
    coming.join().unwrap().1.unwrap();
    assert!(looks > 10, "only {looks} looks");
}

/// The lines of EXPLAIN.
fn explain(client: &mut Client, options: &str, query: &str) -> String {
    let sql = format!("EXPLAIN (COSTS OFF, {options}) {query}");
    let lines = client.query(&sql, &[]).unwrap();
    let lines: Vec<String> = lines.iter().map(|row| row.get(0)).collect();
    lines.join("\n")
}

#[test]
fn explain_tells_what_scans_did_and_only_where_it_is_asked_for() {
    let Some(cluster) = cluster("") else { return };
    let mut client = cluster.connect();
    if major_version(&mut client) < 18 {
        return println!("skipped: EXPLAIN has a hook for that from version 18 on");
    }
    client.script(TABLE).unwrap();
    client
        .script("INSERT INTO t SELECT 2 * g + 1, g FROM generate_series(24000, 26999) g")
        .unwrap();
    client.script("CREATE TABLE other AS SELECT k, id FROM t; CREATE INDEX ON other (k)").unwrap();
    client.script("VACUUM ANALYZE t, other").unwrap();
    let all = "ANALYZE, VERBOSE, TIMING OFF, SUMMARY OFF, BUFFERS OFF";
    for (settings, node, columns) in [
        ("SET enable_bitmapscan = off", "Index Scan", "id"),
        ("SET enable_bitmapscan = off", "Index Only Scan", "k"),
        ("SET enable_indexscan = off; SET enable_bitmapscan = on", "Bitmap Index Scan", "id"),
    ] {
        client.script("SET enable_seqscan = off").unwrap();
        client.script(settings).unwrap();
        let query = format!("SELECT {columns} FROM t WHERE k BETWEEN 50101 AND 50300");
        let plan = plan_of(&mut client, &query);
        assert!(plan.contains(node), "{plan}");
        let before = counter(&mut client, "leaf_reads");
        let told = explain(&mut client, all, &query);
        let reads = counter(&mut client, "leaf_reads") - before;
        assert!(reads > 0 && told.contains(&format!("Leaves Read: {reads}")), "{told}");
        assert!(told.contains("Leaves Mispredicted: 0"), "{told}");
        assert!(told.contains("Unmerged Entries: 100"), "{told}");
        for options in ["VERBOSE", "ANALYZE"] {
            let told = explain(&mut client, options, &query);
            assert!(!told.contains("Leaves"), "{told}");
        }
        let other = explain(&mut client, all, &query.replace("FROM t", "FROM other"));
        assert!(other.contains(node) && !other.contains("Leaves"), "{other}");
        // Never executed.
        let never =
            format!("SELECT t.id FROM generate_series(1, 0) g, LATERAL ({query} OFFSET 0) t (id)");
        let told = explain(&mut client, all, &never);
        assert!(told.contains("never executed") && !told.contains("Leaves"), "{told}");
    }
    client.script("SET enable_indexscan = on; SET enable_bitmapscan = off").unwrap();
    // A format for programs is a document still.
    let json = format!(
        "EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) {}",
        "SELECT id FROM t WHERE k BETWEEN 50101 AND 50300"
    );
    let block = format!(
        "DO $$ DECLARE plan json; BEGIN EXECUTE $e${json}$e$ INTO plan;
         ASSERT (plan->0->'Plan'->>'Unmerged Entries')::int8 = 100, plan::text;
         ASSERT (plan->0->'Plan'->>'Leaves Read')::int8 > 0, plan::text; END $$"
    );
    client.batch_execute(&block).unwrap();
}

#[test]
fn explain_says_that_it_leaves_out_what_workers_did() {
    let Some(cluster) = cluster("") else { return };
    let mut client = cluster.connect();
    if major_version(&mut client) < 18 {
        return println!("skipped: EXPLAIN has a hook for that from version 18 on");
    }
    client.script(TABLE).unwrap();
    client.script("CREATE TABLE other AS SELECT k, id FROM t; VACUUM ANALYZE other").unwrap();
    let all = "ANALYZE, VERBOSE, TIMING OFF, SUMMARY OFF, BUFFERS OFF";
    client
        .script(
            "SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
             SET enable_material = off; SET enable_memoize = off;
             SET max_parallel_workers_per_gather = 2;
             SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
             SET min_parallel_table_scan_size = 0",
        )
        .unwrap();
    let join = "SELECT count(t.id) FROM other JOIN t ON t.k = other.id WHERE other.id % 20 = 1";
    let told = explain(&mut client, all, join);
    assert!(told.contains("Gather") && told.contains("Leader Leaves Read: "), "{told}");
    client.script("SET parallel_leader_participation = off").unwrap();
    explain(&mut client, all, join);
    retrain(&mut client, "t_k");
}
