//! What happens to a learned index around it: deletes, vacuum, rebuilds, crashes and standbys.

use postgres::Client;
use server_tests::{
    Cluster, Script, Shutdown, Subject, access_method, assert_plan, check, is_learned, retrain,
};

/// Asserts that index scans of every kind agree with a sequential scan of `table (k int8, id
/// int4)`.
fn assert_exact(client: &mut Client, table: &str) {
    Subject::of(table).assert_exact(client);
}

fn create(client: &mut Client, table: &str, kind: &str, rows: u32) {
    client
        .script(&format!(
            "CREATE {kind} TABLE {table} (k int8, id int4);
             INSERT INTO {table} SELECT CASE WHEN g % 100 = 0 THEN NULL ELSE g END, g
                 FROM generate_series(1, {rows}) g;
             CREATE INDEX {table}_k ON {table} USING {} (k);
             ANALYZE {table};",
            access_method()
        ))
        .unwrap();
}

#[test]
fn answers_stay_right_through_deletes_and_vacuum() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "t", "", 20_000);
    for condition in ["id % 3 = 0", "k BETWEEN 5000 AND 9000", "k IS NULL", "id % 2 = 0", "true"] {
        client.script(&format!("DELETE FROM t WHERE {condition}")).unwrap();
        assert_exact(&mut client, "t");
        client.script("VACUUM t").unwrap();
        assert_exact(&mut client, "t");
    }
    create(&mut client, "more", "", 20_000);
    client
        .script("DELETE FROM more WHERE id % 5 = 0; VACUUM (INDEX_CLEANUP on, FREEZE) more")
        .unwrap();
    assert_exact(&mut client, "more");
}

#[test]
fn rows_that_take_over_the_heap_places_of_vacuumed_ones_are_not_found_under_their_keys() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4, live bool);
             INSERT INTO t SELECT g, g, true FROM generate_series(1, 20000) g;
             CREATE INDEX t_k ON t USING {} (k) WHERE live;
             DELETE FROM t WHERE id % 2 = 0;
             VACUUM (INDEX_CLEANUP on) t;
             -- Not in the index: their places must not be reached through it.
             INSERT INTO t SELECT g, g, false FROM generate_series(1, 10000) g;
             ANALYZE t;",
            access_method()
        ))
        .unwrap();
    let recycled: i64 = client
        .query_one(
            "SELECT count(*) FROM t WHERE NOT live AND (ctid::text::point)[0] <= (SELECT \
             max((ctid::text::point)[0]) FROM t WHERE live)",
            &[],
        )
        .unwrap()
        .get(0);
    assert!(recycled > 5_000, "only {recycled} places were taken over: the test tests nothing");
    // The planner leaves `live` out of the filter, since the index implies it.
    client.script("SET enable_seqscan = off").unwrap();
    for bitmap in ["on", "off"] {
        client.script(&format!("SET enable_bitmapscan = {bitmap}")).unwrap();
        for (condition, expected) in
            [("true", 10_000i64), ("k BETWEEN 101 AND 200", 50), ("k = 4242", 0), ("k = 4243", 1)]
        {
            let query = format!(
                "SELECT count(id), count(*) FILTER (WHERE NOT live) FROM t WHERE {condition} AND \
                 live"
            );
            assert_plan(&mut client, &query, &["t_k"], &["Seq Scan"]);
            let row = client.query_one(&query, &[]).unwrap();
            assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (expected, 0), "{condition}");
        }
    }
}

#[test]
fn rebuilds_and_rewrites_keep_every_row() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "t", "", 20_000);
    let mut statements = vec![
        "REINDEX INDEX t_k",
        "REINDEX TABLE t",
        "DELETE FROM t WHERE id % 7 = 0",
        "VACUUM FULL t",
        "CLUSTER t USING t_k",
        "ALTER TABLE t ALTER COLUMN id TYPE int8",
        "ALTER TABLE t ALTER COLUMN id TYPE int4",
        "ALTER INDEX t_k SET (fillfactor = 30)",
        "REINDEX INDEX t_k",
        "REINDEX INDEX CONCURRENTLY t_k",
        "DROP INDEX t_k; CREATE INDEX t_k ON t USING AM (k DESC)",
    ];
    if access_method() == "learned" {
        for model in ["linear", "rmi", "pgm", "radix_spline", "auto"] {
            let alter: &str =
                Box::leak(format!("ALTER INDEX t_k SET (model = {model})").into_boxed_str());
            statements.extend([alter, "REINDEX INDEX t_k"]);
        }
        statements.push("ALTER INDEX t_k RESET (model, fillfactor)");
    }
    statements.push("TRUNCATE t");
    for statement in statements {
        client
            .script(&statement.replace("AM", &access_method()))
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        assert_exact(&mut client, "t");
    }
}

#[test]
fn create_index_concurrently_indexes_every_row() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "t", "", 20_000);
    client.script("DROP INDEX t_k").unwrap();
    client
        .script(&format!("CREATE INDEX CONCURRENTLY t_k ON t USING {} (k)", access_method()))
        .unwrap();
    assert_exact(&mut client, "t");
}

#[test]
fn temporary_and_unlogged_tables_can_be_indexed() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for kind in ["TEMPORARY", "UNLOGGED"] {
        let table = kind.to_lowercase();
        create(&mut client, &table, kind, 20_000);
        assert_exact(&mut client, &table);
        client.script(&format!("DELETE FROM {table} WHERE id % 2 = 0; VACUUM {table}")).unwrap();
        assert_exact(&mut client, &table);
    }
}

#[test]
fn an_index_survives_a_crash_right_after_it_was_made() {
    let cluster = Cluster::start_with("wal_consistency_checking = 'all'\nfull_page_writes = off");
    let mut client = cluster.connect();
    create(&mut client, "t", "", 20_000);
    create(&mut client, "small", "", 3);
    create(&mut client, "empty", "", 0);
    client
        .script(
            "CREATE TABLE d (k int8, id int4); INSERT INTO d SELECT g, g FROM generate_series(1, \
             20000) g",
        )
        .unwrap();
    // Deleted rows give ambulkdelete something to log.
    client
        .script(&format!(
            "CREATE INDEX d_k ON d USING {} (k); DELETE FROM d WHERE id % 3 = 0; VACUUM d",
            access_method()
        ))
        .unwrap();
    cluster.restart(Shutdown::Crash);
    let mut client = cluster.connect();
    for table in ["t", "small", "empty", "d"] {
        assert_exact(&mut client, table);
    }
    assert!(!cluster.log().contains("PANIC"), "{}", cluster.log());
}

#[test]
fn an_index_without_wal_survives_a_crash() {
    let cluster =
        Cluster::start_with("wal_level = minimal\nmax_wal_senders = 0\nwal_skip_threshold = 0");
    let mut client = cluster.connect();
    client.script("BEGIN").unwrap();
    create(&mut client, "t", "", 20_000);
    client.script("COMMIT").unwrap();
    cluster.restart(Shutdown::Crash);
    assert_exact(&mut cluster.connect(), "t");
}

#[test]
fn an_unlogged_index_is_empty_and_usable_after_a_crash() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "u", "UNLOGGED", 20_000);
    cluster.restart(Shutdown::Crash);
    let mut client = cluster.connect();
    client.script("SET enable_seqscan = off").unwrap();
    let query = "SELECT count(*) FROM u WHERE k > 0";
    assert_plan(&mut client, query, &["u_k"], &[]);
    assert_eq!(client.query_one(query, &[]).unwrap().get::<_, i64>(0), 0);
    client.script("VACUUM u; REINDEX INDEX u_k").unwrap();
    assert_exact(&mut client, "u");
}

#[test]
fn an_unlogged_index_keeps_its_rows_over_a_clean_restart() {
    let cluster = Cluster::start();
    create(&mut cluster.connect(), "u", "UNLOGGED", 20_000);
    cluster.restart(Shutdown::Clean);
    let mut client = cluster.connect();
    assert_exact(&mut client, "u");
    assert!(client.query_one("SELECT count(*) FROM u", &[]).unwrap().get::<_, i64>(0) == 20_000);
}

#[test]
fn a_rolled_back_index_leaves_nothing_and_a_rolled_back_truncate_everything() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "t", "", 20_000);
    client.script("BEGIN; TRUNCATE t").unwrap();
    assert_exact(&mut client, "t");
    client.script("ROLLBACK").unwrap();
    assert_exact(&mut client, "t");
    client.script("BEGIN; SAVEPOINT s; REINDEX INDEX t_k; ROLLBACK TO s; COMMIT").unwrap();
    assert_exact(&mut client, "t");
}

#[test]
fn a_standby_answers_from_the_replayed_index() {
    let cluster = Cluster::start_with("wal_level = replica\nmax_wal_senders = 4");
    let mut client = cluster.connect();
    create(&mut client, "before", "", 20_000);
    let standby = cluster.standby();
    create(&mut client, "t", "", 20_000);
    client.script("DELETE FROM t WHERE id % 3 = 0; VACUUM t").unwrap();
    standby.catch_up(&cluster);
    let mut reader = standby.connect();
    assert_exact(&mut reader, "before");
    assert_exact(&mut reader, "t");
    reader.script("SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
    let query = "SELECT k FROM t WHERE k > 0 ORDER BY k";
    assert_plan(&mut reader, query, &["Index Only Scan using t_k"], &[]);
}

/// The pages that VACUUM VERBOSE calls reusable.
fn vacuumed_reusable(cluster: &Cluster, client: &mut Client) -> i64 {
    let before = cluster.log().len();
    client.script("VACUUM (VERBOSE, INDEX_CLEANUP on) t").unwrap();
    let log = cluster.log().split_off(before);
    let report = log.lines().find(|line| line.contains("index \"t_k\": pages:"));
    let report = report.unwrap_or_else(|| panic!("no report of the index: {log}"));
    let pages = report.split(", ").find_map(|part| part.trim_end().strip_suffix(" reusable"));
    pages.unwrap_or_else(|| panic!("{report}")).parse().unwrap()
}

#[test]
fn vacuum_reports_the_pages_that_can_be_used_again() {
    if !is_learned() {
        return;
    }
    let cluster = Cluster::start_with("log_min_messages = info");
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8, id int4);
             INSERT INTO t SELECT hashint8extended(g, 1), g FROM generate_series(1, 10000) g;
             CREATE INDEX t_k ON t USING learned (k)
                 WITH (retrain_threshold = 1, auto_retrain = off)",
        )
        .unwrap();
    let insert = "INSERT INTO t SELECT hashint8extended(g, 2), g FROM generate_series(1, 80000) g";
    let free = |client: &mut Client| -> i64 {
        client.query_one("SELECT free_pages FROM learned_check('t_k')", &[]).unwrap().get(0)
    };
    // What a merge has freed before.
    client.script(insert).unwrap();
    retrain(&mut client, "t_k");
    let expected = free(&mut client);
    assert!(expected > 100, "only {expected} pages are free");
    assert_eq!(vacuumed_reusable(&cluster, &mut client), expected);
    // What VACUUM itself frees by merging, and uses up.
    client.script(insert).unwrap();
    let reusable = vacuumed_reusable(&cluster, &mut client);
    assert_eq!(reusable, free(&mut client));
    assert!(reusable > 100, "only {reusable} pages are free");
    // With dead rows, after whose removal leaves are written anew.
    client.script(insert).unwrap();
    client.script("DELETE FROM t WHERE id % 3 > 0").unwrap();
    let reusable = vacuumed_reusable(&cluster, &mut client);
    assert_eq!(reusable, free(&mut client));
    assert!(reusable > 100, "only {reusable} pages are free");
}

#[test]
fn rows_at_the_end_are_merged_before_as_many_that_are_all_over_the_table() {
    if !is_learned() {
        return;
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    // VACUUM merges what pays, also where no worker does.
    client
        .script(
            "CREATE TABLE t (k int8) WITH (autovacuum_enabled = off);
             INSERT INTO t SELECT hashint8extended(g, 1) >> 8 FROM generate_series(1, 400000) g;
             CREATE INDEX t_k ON t USING learned (k) WITH (auto_retrain = off)",
        )
        .unwrap();
    let mut unmerged_after = |statements: &str| {
        client.script(statements).unwrap();
        client.script("VACUUM t").unwrap();
        check(&mut client, "t_k").unmerged
    };
    let behind = "INSERT INTO t SELECT (1::int8 << 60) + g FROM generate_series(1, 80000) g";
    assert_eq!(unmerged_after(behind), 0);
    let scattered =
        "INSERT INTO t SELECT hashint8extended(g, 2) >> 8 FROM generate_series(1, 60000) g";
    assert_eq!(unmerged_after(scattered), 60_000);
    assert_eq!(unmerged_after("ALTER INDEX t_k SET (retrain_threshold = 5)"), 0);
}
