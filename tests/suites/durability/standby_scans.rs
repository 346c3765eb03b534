//! Index-only scans on a standby while replay removes rows: a B-tree's replay waits for the scan's
//! pins, ours waits for none.

use postgres::Client;
use server_tests::{
    Cluster, Script, access_method, assert_plan, check, fetch, is_learned, learned_options,
    retrain, waits_for,
};

/// Rows of the table at the beginning, but for some that are not merged.
const ROWS: i32 = 24_000;

/// Scans that return a column, and scans that need none: the planner makes these index-only
/// whatever the access method says that it can return. With each: rows that it copies together with
/// its 200th, and that are in other pages of the table.
const SCANS: [(&str, &str); 6] = [
    ("SELECT 1 FROM t", "BETWEEN 380 AND 448"),
    ("SELECT k FROM t ORDER BY k", "BETWEEN 380 AND 448"),
    ("SELECT k FROM t ORDER BY k DESC", "BETWEEN 24052 AND 24230"),
    ("SELECT 1 FROM t WHERE even", "BETWEEN 600 AND 890"),
    ("SELECT k FROM t WHERE k BETWEEN 1000 AND 20000", "BETWEEN 1300 AND 1440"),
    (
        "SELECT 1 FROM t a WHERE k < 22000 AND EXISTS (SELECT FROM t b WHERE b.k = a.k)",
        "BETWEEN 380 AND 448",
    ),
];

fn create(client: &mut Client) {
    let (method, options) = (access_method(), learned_options("auto_retrain = off"));
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4, even bool) WITH (autovacuum_enabled = off);
             INSERT INTO t SELECT g, g, g % 2 = 0 FROM generate_series(1, {ROWS}) g;
             CREATE INDEX t_k ON t USING {method} (k){options};
             CREATE INDEX t_even ON t USING {method} (id){options} WHERE even;
             INSERT INTO t SELECT g, g, g % 2 = 0 FROM generate_series({ROWS} + 1, {ROWS} + 500) g;
             VACUUM (ANALYZE) t"
        ))
        .unwrap();
}

/// A session on a standby, amid a transaction with a snapshot.
fn reader(standby: &Cluster) -> Client {
    let mut client = standby.connect();
    client
        .script(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_material = off;
             SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_hashagg = off;
             SET cursor_tuple_fraction = 1; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        )
        .unwrap();
    client
}

/// What a sequential scan finds under the same snapshot.
fn expected(client: &mut Client, scan: &str) -> Vec<Option<i64>> {
    client
        .script(
            "SET LOCAL enable_seqscan = on; SET LOCAL enable_indexonlyscan = off; SET LOCAL \
             enable_indexscan = off; SET LOCAL enable_hashjoin = on",
        )
        .unwrap();
    let rows = values(client, scan);
    client
        .script(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexonlyscan = on; SET LOCAL \
             enable_indexscan = on; SET LOCAL enable_hashjoin = off",
        )
        .unwrap();
    rows
}

fn values(client: &mut Client, query: &str) -> Vec<Option<i64>> {
    let rows = client.simple_query(query).unwrap();
    let value = |message: &postgres::SimpleQueryMessage| match message {
        postgres::SimpleQueryMessage::Row(row) => {
            Some(row.get(0).map(|text| text.parse().unwrap()))
        }
        _ => None,
    };
    rows.iter().filter_map(value).collect()
}

/// Waits until replay is through, or waits for the pin that a cursor has of a page of the table;
/// which of the two.
fn replayed(standby: &Cluster, primary: &Cluster) -> bool {
    let mut watcher = standby.connect();
    let startup = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'";
    let startup: i32 = watcher.query_one(startup, &[]).unwrap().get(0);
    standby.catch_up_unless(primary, || {
        waits_for(&mut watcher, startup).as_deref() == Some("BufferPin")
    })
}

#[test]
fn an_index_only_scan_on_a_standby_returns_no_row_that_was_removed_under_it() {
    for feedback in ["off", "on"] {
        let primary = Cluster::start_with(
            "wal_level = replica\nmax_wal_senders = 4\nmax_standby_streaming_delay = \
             -1\nwal_compression = on\nwal_consistency_checking = 'generic'",
        );
        let mut writer = primary.connect();
        create(&mut writer);
        let standby = primary.standby();
        standby
            .connect()
            .script(&format!(
                "ALTER SYSTEM SET hot_standby_feedback = {feedback}; SELECT pg_reload_conf()"
            ))
            .unwrap();
        let (mut next, mut removals) = (ROWS + 500, 0);
        for (round, (scan, dead)) in SCANS.iter().enumerate() {
            // Dead before the snapshot, so that replay of their removal cancels nobody.
            writer
                .script(&format!("VACUUM t; DELETE FROM t WHERE id {dead} AND id % 7 = {round}"))
                .unwrap();
            if round % 2 == 1 {
                retrain(&mut writer, "t_k");
                retrain(&mut writer, "t_even");
            }
            standby.catch_up(&primary);
            let mut client = reader(&standby);
            let mut expected = expected(&mut client, scan);
            assert_plan(&mut client, scan, &["Index Only Scan"], &["Seq Scan", "Sort"]);
            client.script(&format!("DECLARE c NO SCROLL CURSOR FOR {scan}")).unwrap();
            let mut found = values(&mut client, "FETCH 200 FROM c");
            // Their entries go, and their pages of the table become all-visible.
            // Otherwise it leaves indexes alone for so few.
            writer.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
            removals += usize::from(replayed(&standby, &primary));
            found.extend(values(&mut client, "FETCH 2000 FROM c"));
            // Their heap TIDs go to other rows.
            let last = next;
            next += 2_000;
            writer
                .script(&format!(
                    "INSERT INTO t SELECT 6000 + g % 10000, g, g % 2 = 0
                     FROM generate_series({last} + 1, {next}) g"
                ))
                .unwrap();
            if is_learned() && round % 2 == 0 {
                retrain(&mut writer, "t_k");
                replayed(&standby, &primary);
            }
            found.extend(values(&mut client, "FETCH ALL FROM c"));
            if !scan.contains("ORDER BY") {
                found.sort_unstable();
                expected.sort_unstable();
            }
            assert_eq!(found.len(), expected.len(), "{scan}, feedback {feedback}");
            assert!(found == expected, "{scan}, feedback {feedback}");
            client.script("COMMIT").unwrap();
            standby.catch_up(&primary);
        }
        assert!(removals > SCANS.len() / 2, "replay waited for pins of the table in most rounds");
        check(&mut standby.connect(), "t_k");
        let log = standby.log();
        assert!(!log.contains("inconsistent page"), "{log}");
    }
}

#[test]
fn both_sides_plan_alike_and_frozen_loads_are_all_visible_on_the_standby_too() {
    let primary = Cluster::start_with("wal_level = replica\nmax_wal_senders = 4");
    let mut writer = primary.connect();
    create(&mut writer);
    let standby = primary.standby();
    let loaded = std::env::temp_dir().join(format!("frozen_{}.csv", std::process::id()));
    let lines: String = (0..5_000).map(|row| format!("{},{row},t\n", row * 7)).collect();
    std::fs::write(&loaded, lines).unwrap();
    let copy = format!(
        "BEGIN; TRUNCATE t; COPY t FROM '{}' WITH (FORMAT csv, FREEZE); COMMIT; ANALYZE t",
        loaded.display()
    );
    writer.script(&copy).unwrap();
    std::fs::remove_file(&loaded).unwrap();
    standby.catch_up(&primary);
    let mut reader = standby.connect();
    for scan in ["SELECT k FROM t WHERE k < 700", "SELECT count(*) FROM t WHERE k < 70000"] {
        let mut plans = Vec::new();
        for client in [&mut writer, &mut reader] {
            client.script("SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
            plans.push(assert_plan(client, scan, &["Index Only Scan"], &[]));
        }
        assert_eq!(plans[0], plans[1]);
    }
    assert_eq!(values(&mut reader, "SELECT count(*) FROM t WHERE k < 700"), [Some(100)]);
    let smallest = fetch(&mut reader, "SELECT min(k), 0 FROM t").unwrap();
    assert_eq!(smallest, [(Some(0), 0)]);
}
