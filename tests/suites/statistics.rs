//! `learned_index_stats` and the view `learned_indexes`, where it takes more than one session or
//! real B-trees. What they refuse and to whom they answer is in pg_regress/sql/stats.sql.

use std::fs;

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{
    Cluster, Script, Shutdown, check, in_background, is_learned, retrain, wait_until,
};

fn figure(client: &mut Client, figure: &str) -> i64 {
    let query = format!("SELECT {figure}::int8 FROM learned_index_stats('t_k')");
    client.query_one(&query, &[]).unwrap().get(0)
}

#[test]
fn the_btree_that_is_named_has_the_size_of_a_real_one() {
    if !is_learned() {
        return println!("skipped: only a learned index has figures");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (a int4, b int8, c int2, d timestamptz, u uuid, f float8, m macaddr,
                 n numeric(18, 4), i inet);
             INSERT INTO t SELECT g, g * 7919 % 1000003, g % 3, now() + g * interval '1 s',
                 gen_random_uuid(), g, '08:00:2b:01:02:03'::macaddr, 98765432109876.0001 - g,
                 '10.0.0.0'::inet + g
             FROM generate_series(1, 100000) g",
        )
        .unwrap();
    for columns in [
        "(a)",
        "(b)",
        "(c, a)",
        "(c, d)",
        "(u)",
        "(a) INCLUDE (f)",
        "(a) INCLUDE (c)",
        "(u, d)",
        "(a, b, d, f)",
        "(a) INCLUDE (m, c)",
        "(n)",
        "(i, n, a)",
        "(c, i)",
    ] {
        client
            .script(&format!(
                "CREATE INDEX t_k ON t USING learned {columns}; CREATE INDEX t_b ON t {columns}"
            ))
            .unwrap();
        let named = figure(&mut client, "btree_size");
        let real: i64 = client.query_one("SELECT pg_relation_size('t_b')", &[]).unwrap().get(0);
        let ratio = named as f64 / real as f64;
        println!("{columns}: {named} bytes said, {real} real");
        assert!((0.99..1.01).contains(&ratio), "{columns}: {named} bytes said, {real} real");
        client.script("DROP INDEX t_k, t_b").unwrap();
    }
    // No rows, and rows of one page.
    client.script("TRUNCATE t; CREATE INDEX t_k ON t USING learned (b)").unwrap();
    assert_eq!(figure(&mut client, "btree_size"), 8192);
    client.script("INSERT INTO t (b) VALUES (1)").unwrap();
    assert_eq!(figure(&mut client, "btree_size"), 2 * 8192);
}

#[test]
fn a_merge_is_due_when_vacuum_merges() {
    if !is_learned() {
        return println!("skipped: only a learned index has figures");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8) WITH (autovacuum_enabled = off);
             INSERT INTO t SELECT hashint8extended(g, 1) >> 8 FROM generate_series(1, 400000) g;
             CREATE INDEX t_k ON t USING learned (k) WITH (auto_retrain = off)",
        )
        .unwrap();
    let mut merges_as_told = |statements: &str, due: bool| {
        client.script(statements).unwrap();
        let exact = check(&mut client, "t_k").unmerged;
        let unmerged = figure(&mut client, "unmerged_entries");
        let (told, threshold) =
            (figure(&mut client, "merge_due::int4") == 1, figure(&mut client, "merge_threshold"));
        println!("{unmerged} of {exact} wait, merged from {threshold} on: {told}");
        assert!(unmerged.abs_diff(exact) < 3_000, "{unmerged} instead of {exact}");
        assert_eq!(told, due, "{unmerged} wait, merged from {threshold} on");
        assert_eq!(unmerged >= threshold, due, "{unmerged} wait, merged from {threshold} on");
        client.script("VACUUM t").unwrap();
        assert_eq!(check(&mut client, "t_k").unmerged == 0, due);
    };
    let behind = "INSERT INTO t SELECT (1::int8 << 60) + g FROM generate_series(1, 80000) g";
    merges_as_told(behind, true);
    let scattered =
        "INSERT INTO t SELECT hashint8extended(g, 2) >> 8 FROM generate_series(1, 60000) g";
    merges_as_told(scattered, false);
    merges_as_told("ALTER INDEX t_k SET (retrain_threshold = 5)", true);
}

#[test]
fn the_figures_cost_no_scan_of_the_index() {
    if !is_learned() {
        return println!("skipped: only a learned index has figures");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8);
             INSERT INTO t SELECT hashint8extended(g, 1) FROM generate_series(1, 500000) g;
             CREATE INDEX t_k ON t USING learned (k) WITH (auto_retrain = off, model = pgm);
             INSERT INTO t SELECT hashint8extended(g, 2) FROM generate_series(1, 200000) g",
        )
        .unwrap();
    let read = |client: &mut Client| -> i64 {
        client.query_one("SELECT pg_stat_force_next_flush()", &[]).unwrap();
        let sql = "SELECT idx_blks_hit + idx_blks_read FROM pg_statio_user_indexes
                   WHERE indexrelname = 't_k'";
        client.query_one(sql, &[]).unwrap().get(0)
    };
    let leaves = figure(&mut client, "leaf_pages");
    let before = read(&mut client);
    let parts = figure(&mut client, "1 + directory_pages + model_pages");
    let cost = read(&mut client) - before;
    println!("{cost} pages read; {leaves} leaves, {parts} pages of metapage, directory and model");
    // Some of them twice, parts of the directory to learn how many leaves a merge would write, and
    // some leaves of the delta tree.
    assert!(leaves > 400, "only {leaves} leaves");
    assert!(cost < 4 * parts + 100, "{cost} pages read");
}

#[test]
fn the_view_never_fails_while_indexes_come_and_go() {
    if !is_learned() {
        return println!("skipped: only a learned index has figures");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8); INSERT INTO t SELECT generate_series(1, 1000);
             CREATE INDEX t_k ON t USING learned (k)",
        )
        .unwrap();
    let script = "DO $$ BEGIN FOR i IN 1..150 LOOP
            CREATE TABLE s (k int8); CREATE INDEX s_k ON s USING learned (k);
            COMMIT; DROP INDEX s_k; COMMIT; DROP TABLE s; COMMIT;
        END LOOP; END $$";
    let coming = in_background(cluster.connect(), script);
    let (mut looks, mut gone) = (0, 0);
    while !coming.is_finished() {
        let rows = client.query("SELECT indexrelname::text, pages FROM learned_indexes", &[]);
        for row in rows.unwrap() {
            let pages: Option<i64> = row.get(1);
            let name: String = row.get(0);
            assert!(pages.is_some() || name == "s_k", "{name} has no figures");
            gone += u32::from(pages.is_none());
        }
        looks += 1;
    }
    coming.join().unwrap().1.unwrap();
    println!("{looks} looks, {gone} at an index that was gone");
    assert!(looks > 10, "only {looks} looks");
}

#[test]
fn a_temporary_index_of_another_session_is_listed_without_figures() {
    if !is_learned() {
        return println!("skipped: only a learned index has figures");
    }
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.connect(), cluster.connect());
    client
        .script(
            "CREATE TEMPORARY TABLE t (k int8); INSERT INTO t VALUES (1);
             CREATE INDEX t_k ON t USING learned (k)",
        )
        .unwrap();
    let pages = "SELECT pages FROM learned_indexes WHERE indexrelname = 't_k'";
    assert!(client.query_one(pages, &[]).unwrap().get::<_, Option<i64>>(0).is_some());
    assert!(other.query_one(pages, &[]).unwrap().get::<_, Option<i64>>(0).is_none());
    let index: u32 = client.query_one("SELECT 't_k'::regclass::oid", &[]).unwrap().get(0);
    let error = other
        .query_one("SELECT learned_index_stats($1::oid::regclass)::text", &[&index])
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED), "{error:?}");
}

#[test]
fn a_damaged_index_is_an_error_of_its_own_and_a_warning_in_the_view() {
    if !is_learned() {
        return println!("skipped: only a learned index has figures");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8); INSERT INTO t SELECT generate_series(1, 1000);
             CREATE INDEX t_k ON t USING learned (k); CREATE INDEX t_whole ON t USING learned (k);
             CHECKPOINT",
        )
        .unwrap();
    let path: String = client.query_one("SELECT pg_relation_filepath('t_k')", &[]).unwrap().get(0);
    drop(client);
    cluster.stop(Shutdown::Clean);
    let path = cluster.data().join(path);
    let mut file = fs::read(&path).unwrap();
    file[100] ^= 1;
    fs::write(&path, file).unwrap();
    cluster.launch();
    let mut client = cluster.connect();
    let error = client.query_one("SELECT learned_index_stats('t_k')::text", &[]).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INDEX_CORRUPTED), "{error:?}");
    let rows = client
        .query("SELECT indexrelname::text, entries FROM learned_indexes ORDER BY 1", &[])
        .unwrap();
    let found: Vec<(String, Option<i64>)> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, [("t_k".to_owned(), None), ("t_whole".to_owned(), Some(1000))]);
    let log = cluster.log();
    assert!(log.contains("WARNING:  index \"t_k\" is corrupted at block 0"), "{log}");
    // The only one: nothing stays pinned.
    assert_eq!(log.matches("WARNING:").count(), 1, "{log}");
}

#[test]
fn a_standby_tells_the_same() {
    if !is_learned() {
        return println!("skipped: only a learned index has figures");
    }
    let cluster = Cluster::start_with("wal_level = replica\nmax_wal_senders = 4");
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8);
             INSERT INTO t SELECT hashint8extended(g, 1) FROM generate_series(1, 100000) g;
             CREATE INDEX t_k ON t USING learned (k) WITH (auto_retrain = off);
             INSERT INTO t SELECT hashint8extended(g, 2) FROM generate_series(1, 30000) g;
             CREATE UNLOGGED TABLE u (k int8); CREATE INDEX u_k ON u USING learned (k)",
        )
        .unwrap();
    let standby = cluster.standby();
    let row = |client: &mut Client| -> String {
        client.query_one("SELECT learned_index_stats('t_k')::text", &[]).unwrap().get(0)
    };
    for _ in 0..2 {
        standby.catch_up(&cluster);
        assert_eq!(row(&mut client), row(&mut standby.connect()));
        retrain(&mut client, "t_k");
    }
    let mut reader = standby.connect();
    let error = reader.query_one("SELECT learned_index_stats('u_k')::text", &[]).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED), "{error:?}");
    let pages = "SELECT pages FROM learned_indexes WHERE indexrelname = 'u_k'";
    assert!(reader.query_one(pages, &[]).unwrap().get::<_, Option<i64>>(0).is_none());
}

#[test]
fn the_page_on_monitoring_explains_every_figure() {
    if !is_learned() {
        return println!("skipped: only a learned index has figures");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/monitoring.md"));
    let page = page.unwrap();
    let columns = "SELECT attname::text FROM pg_attribute
                   WHERE attrelid IN ('learned_indexes'::regclass,
                           'learned_index_activity'::regclass)
                       AND attnum > 0";
    for row in client.query(columns, &[]).unwrap() {
        let column: String = row.get(0);
        assert!(page.contains(&format!("`{column}`")), "{column} is not explained");
    }
}

/// What `t_k` tells of its last merge: why, and how many rows; and whether the times of it and of
/// the last training are between a moment and now.
fn last_work(client: &mut Client, since: &str) -> (Option<String>, Option<i64>, bool) {
    let query = format!(
        "SELECT last_merge_cause, last_merge_entries,
             last_training BETWEEN '{since}' AND clock_timestamp() AND last_training_time >= 0
             AND (last_merge BETWEEN last_training AND clock_timestamp()
                 AND last_merge_time >= last_training_time
                 AND last_merge_time <= 1000 * extract(epoch FROM clock_timestamp() - '{since}')
                 OR last_merge IS NULL AND last_merge_time IS NULL)
         FROM learned_index_stats('t_k')"
    );
    let row = client.query_one(&query, &[]).unwrap();
    (row.get(0), row.get(1), row.get(2))
}

fn now(client: &mut Client) -> String {
    client.query_one("SELECT clock_timestamp()::text", &[]).unwrap().get(0)
}

#[test]
fn the_last_merge_tells_why_it_began_and_survives_restarts_and_crashes() {
    if !is_learned() {
        return println!("skipped: only a learned index has figures");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let begun = now(&mut client);
    client
        .script(
            "CREATE TABLE t (k int8) WITH (autovacuum_enabled = off);
             INSERT INTO t SELECT generate_series(1, 100000);
             CREATE INDEX t_k ON t USING learned (k) WITH (auto_retrain = off)",
        )
        .unwrap();
    assert_eq!(last_work(&mut client, &begun), (None, None, true));
    let begun = now(&mut client);
    client.script("INSERT INTO t SELECT generate_series(100001, 101000)").unwrap();
    retrain(&mut client, "t_k");
    assert_eq!(last_work(&mut client, &begun), (Some("learned_retrain".into()), Some(1000), true));
    // One that finds nothing to merge is none.
    let all = "SELECT learned_index_stats('t_k')::text";
    let before: String = client.query_one(all, &[]).unwrap().get(0);
    retrain(&mut client, "t_k");
    client.script("VACUUM t").unwrap();
    assert_eq!(client.query_one(all, &[]).unwrap().get::<_, String>(0), before);
    drop(client);
    for how in [Shutdown::Clean, Shutdown::Crash] {
        cluster.restart(how);
        let after: String = cluster.connect().query_one(all, &[]).unwrap().get(0);
        assert_eq!(after, before);
    }
    let mut client = cluster.connect();
    let begun = now(&mut client);
    client.script("INSERT INTO t SELECT generate_series(101001, 191000); VACUUM t").unwrap();
    assert_eq!(last_work(&mut client, &begun), (Some("vacuum".into()), Some(90_000), true));
    let begun = now(&mut client);
    client
        .script(
            "ALTER INDEX t_k SET (auto_retrain = on);
             INSERT INTO t SELECT generate_series(191001, 281000)",
        )
        .unwrap();
    let is_worker = |client: &mut Client| last_work(client, &begun).0.as_deref() == Some("worker");
    wait_until("a worker merges", || is_worker(&mut client));
    let (_, entries, right) = last_work(&mut client, &begun);
    assert!(right && entries.is_some_and(|entries| entries <= 90_000), "{entries:?} merged");
    // A new index has no past.
    client.script("REINDEX INDEX t_k").unwrap();
    assert_eq!(last_work(&mut client, &begun), (None, None, true));
    let begun = now(&mut client);
    client
        .script(
            "DROP TABLE t; CREATE TEMPORARY TABLE t (k int8);
             CREATE INDEX t_k ON t USING learned (k);
             INSERT INTO t SELECT generate_series(1, 90000)",
        )
        .unwrap();
    let (cause, entries, right) = last_work(&mut client, &begun);
    assert_eq!((cause.as_deref(), right), (Some("insert"), true));
    assert!(entries.is_some_and(|entries| entries <= 90_000), "{entries:?} merged");
}
