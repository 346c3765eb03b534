//! Included columns of variable width. Values that are too long for the index are read in the
//! table, as the snapshot sees it.

use postgres::Client;
use rand::SeedableRng;
use rand::rngs::StdRng;
use server_tests::{
    Cluster, Script, access_method, assert_plan, buffers, check_all, is_learned, plan_of,
    retrain_all, seed,
};

use crate::cursors::walk;

/// Notes of 0 to 1,600 bytes, one in six of them NULL, in rows whose index includes them.
fn create(client: &mut Client, rows: u32) {
    client
        .script(&format!(
            "CREATE TABLE t (id int8, note text, amount numeric(9,2), label name);
             INSERT INTO t SELECT g, CASE WHEN g % 6 > 0 THEN repeat(md5(g::text), g % 51) END,
                 g * 37 % 10001 / 100.0, 'label ' || g FROM generate_series(1, {rows}) g;
             CREATE INDEX t_id ON t USING {} (id) INCLUDE (note, amount, label);
             VACUUM ANALYZE t",
            access_method()
        ))
        .unwrap();
    only_by_index(client);
}

fn only_by_index(client: &mut Client) {
    client
        .script("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
        .unwrap();
}

const ALL: &str = "SELECT id, note, amount, label FROM t WHERE id > -9999 ORDER BY id";

fn rows(client: &mut Client, query: &str) -> Vec<Vec<Option<String>>> {
    let query = format!("SELECT id::text, md5(note), amount::text, label::text FROM ({query}) s");
    let rows = client.query(&query, &[]).unwrap();
    rows.iter().map(|row| (0..4).map(|column| row.get(column)).collect()).collect()
}

/// The rows of an index-only scan, which are those of a sequential one.
fn assert_same(client: &mut Client) -> Vec<Vec<Option<String>>> {
    assert_plan(client, ALL, &["Index Only Scan", "t_id"], &["Sort"]);
    let found = rows(client, ALL);
    client.script("SET enable_indexonlyscan = off; SET enable_indexscan = off").unwrap();
    client.script("SET enable_seqscan = on; SET enable_sort = on").unwrap();
    let expected = rows(client, ALL);
    client.script("SET enable_indexonlyscan = on; SET enable_indexscan = on").unwrap();
    only_by_index(client);
    assert_eq!(found, expected);
    found
}

#[test]
fn values_too_long_for_the_index_are_those_that_the_snapshot_sees() {
    let cluster = Cluster::start();
    let (mut reader, mut writer) = (cluster.connect(), cluster.connect());
    create(&mut writer, 3_000);
    only_by_index(&mut reader);
    let before = assert_same(&mut reader);
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; DECLARE c SCROLL CURSOR FOR";
    reader.script(&format!("{begin} SELECT md5(note) FROM ({ALL}) s; FETCH 40 FROM c")).unwrap();
    for step in [
        "UPDATE t SET note = note || 'x' WHERE id % 3 = 0",
        "UPDATE t SET label = 'other' WHERE id % 5 = 0",
        "UPDATE t SET id = id + 10000 WHERE id % 7 = 0",
        "DELETE FROM t WHERE id % 4 = 1",
        "VACUUM t",
        "INSERT INTO t SELECT -g, repeat('new', g % 50), 0, 'new' FROM generate_series(1, 900) g",
        "BEGIN; UPDATE t SET note = repeat('aborted', 40); ROLLBACK",
        "VACUUM t",
    ] {
        for statement in step.split("; ") {
            writer.script(statement).unwrap();
        }
        assert_same(&mut writer);
        let seen = rows(&mut reader, ALL);
        assert_eq!(seen, before, "{step}");
        reader.script("MOVE BACKWARD ALL FROM c; MOVE 20 FROM c").unwrap();
        let fetched = reader.query("FETCH FORWARD ALL FROM c", &[]).unwrap();
        let notes: Vec<Option<String>> = fetched.iter().map(|row| row.get(0)).collect();
        let expected: Vec<_> = before[20..].iter().map(|row| row[1].clone()).collect();
        assert_eq!(notes, expected, "{step}");
    }
    retrain_all(&mut writer);
    assert_same(&mut writer);
    assert_eq!(rows(&mut reader, ALL), before);
    reader.script("COMMIT").unwrap();
    writer.script("VACUUM t").unwrap();
    assert_same(&mut writer);
    assert_same(&mut reader);
    check_all(&mut writer);
}

#[test]
fn a_scroll_cursor_goes_both_ways_over_values_in_the_index_and_in_the_table() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, 2_000);
    client
        .script("DELETE FROM t WHERE id % 9 = 2; UPDATE t SET note = 'short' WHERE id % 9 = 3")
        .unwrap();
    let mut rng = StdRng::seed_from_u64(seed());
    for (condition, order) in [("id > 0", ""), ("id BETWEEN 70 AND 95", ""), ("id > 900", " DESC")]
    {
        let query = format!("SELECT id, note FROM t WHERE {condition} ORDER BY id{order}");
        assert_plan(&mut client, &query, &["Index Only Scan", "t_id"], &["Sort", "Materialize"]);
        walk(&mut client, &query, &mut rng);
    }
}

/// There, nothing keeps replay from removing rows whose entries were copied.
#[test]
fn a_standby_returns_them_too_while_it_replays() {
    let primary = Cluster::start();
    let mut writer = primary.connect();
    create(&mut writer, 2_000);
    let standby = primary.standby();
    standby.catch_up(&primary);
    let mut reader = standby.connect();
    only_by_index(&mut reader);
    assert_same(&mut reader);
    reader.script(&format!("BEGIN; DECLARE c CURSOR FOR {ALL}; FETCH 10 FROM c")).unwrap();
    // Nothing of this is in the way of the snapshot: no row is removed.
    writer
        .script("INSERT INTO t SELECT g, repeat('y', g), 1, 'y' FROM generate_series(3001, 3400) g")
        .unwrap();
    retrain_all(&mut writer);
    standby.catch_up(&primary);
    assert_eq!(reader.query("FETCH ALL FROM c", &[]).unwrap().len(), 1_990);
    reader.script("COMMIT").unwrap();
    assert_same(&mut reader);
    writer
        .script(
            "UPDATE t SET note = repeat('z', 200) WHERE id % 3 = 1;
             DELETE FROM t WHERE id % 11 = 4;
             VACUUM t",
        )
        .unwrap();
    standby.catch_up(&primary);
    assert_same(&mut reader);
    check_all(&mut writer);
}

/// Types that need no other table need no other index either.
#[test]
fn an_index_goes_on_when_a_column_gets_another_type_of_the_same_kind() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, 1_000);
    let sum = "SELECT sum(amount)::text, avg(amount)::text, count(note) FROM t WHERE id > 3";
    // Of few rows the core's plan may be the cheaper one.
    let count_by_node = |client: &mut Client, is_on: bool| {
        let node = format!("SET omendb_learned.enable_count = {is_on}");
        let scans = format!("SET enable_indexonlyscan = {}", !is_on);
        client
            .script(&format!("{}; {scans}", if is_learned() { node } else { scans.clone() }))
            .unwrap();
    };
    let is_counted = |client: &mut Client| {
        count_by_node(client, true);
        let plan = plan_of(client, sum);
        count_by_node(client, false);
        plan.contains("LearnedCount")
    };
    let sums = |client: &mut Client| {
        let [found, expected] = [true, false].map(|by_node| {
            count_by_node(client, by_node);
            let row = client.query_one(sum, &[]).unwrap();
            (row.get::<_, String>(0), row.get::<_, String>(1), row.get::<_, i64>(2))
        });
        assert_eq!(found, expected);
    };
    assert_eq!(is_counted(&mut client), is_learned());
    sums(&mut client);
    for (statement, stays_counted) in [
        ("ALTER TABLE t ALTER note TYPE varchar", true),
        ("ALTER TABLE t ALTER amount TYPE numeric(12,2)", true),
        // Sixteen digits have room.
        ("ALTER TABLE t ALTER amount TYPE numeric(17,2)", false),
        ("ALTER TABLE t ALTER amount TYPE numeric", false),
        ("CREATE DOMAIN euros AS numeric; ALTER TABLE t ALTER amount TYPE euros", false),
        ("ALTER TABLE t ALTER amount TYPE numeric(30,3)", false),
        ("ALTER TABLE t ALTER amount TYPE numeric(16,5)", true),
    ] {
        for statement in statement.split("; ") {
            client.script(statement).unwrap();
        }
        client
            .script(
                "INSERT INTO t SELECT max(id) + g, 'more', 1234567.125, 'l'
                     FROM t, generate_series(1, 50) g GROUP BY g",
            )
            .unwrap();
        client.script("VACUUM ANALYZE t").unwrap();
        assert_eq!(is_counted(&mut client), is_learned() && stays_counted, "{statement}");
        sums(&mut client);
        assert_same(&mut client);
        check_all(&mut client);
    }
}

/// Its snapshot is not that of a query, and it looks at the keys only.
#[test]
fn the_planner_looks_up_the_ends_of_an_index_whose_last_value_is_long() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, 500);
    for rows in [1, 700] {
        client
            .script(&format!(
                "INSERT INTO t SELECT 600 + g, repeat('long', 500), 1
                     FROM generate_series(1, {rows}) g"
            ))
            .unwrap();
        let found = client.query("SELECT id FROM t WHERE id > 600 ORDER BY id", &[]).unwrap();
        assert!(found.len() >= rows);
        assert_same(&mut client);
    }
}

/// A queue that is read by an index-only scan.
#[test]
fn dead_rows_with_long_values_are_looked_up_once() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, 0);
    let ways = ["id > 1 ORDER BY id", "id <= 8000 ORDER BY id DESC"];
    for (in_leaves, way) in [true, false].into_iter().flat_map(|is| ways.map(|way| (is, way))) {
        client
            .script(
                "TRUNCATE t;
                 INSERT INTO t SELECT g, repeat(md5(g::text), 9) FROM generate_series(1, 9000) g",
            )
            .unwrap();
        if in_leaves {
            retrain_all(&mut client);
        }
        client.script("VACUUM ANALYZE t; DELETE FROM t WHERE id BETWEEN 2 AND 8000").unwrap();
        let query = format!("SELECT id, note FROM t WHERE {way} LIMIT 1");
        let [first, _, third] = [(); 3].map(|()| buffers(&mut client, &query));
        assert!(5 * third < first, "{way}, in leaves: {in_leaves}: {first}, then {third}");
        assert_same(&mut client);
    }
    check_all(&mut client);
}

/// As with a plain index scan, whose rows follow the order of the index.
#[test]
fn rows_on_one_page_are_read_without_looking_for_it_again() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, 6_000);
    let read = buffers(&mut client, ALL);
    let pages: i32 =
        client.query_one("SELECT pg_relation_size('t')::int / 8192", &[]).unwrap().get(0);
    assert!(read < 2 * pages as u64, "{read} buffers, {pages} pages");
}

#[test]
fn values_that_are_stored_elsewhere_are_not_fetched_only_to_find_them_too_long() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (id int8, note text, amount numeric(9,2), label name);
             ALTER TABLE t ALTER note SET STORAGE external;
             INSERT INTO t SELECT g, repeat('n', 2500), 1 FROM generate_series(1, 50) g;
             VACUUM t",
        )
        .unwrap();
    // Only a transaction's end gives its counts away.
    client.script("BEGIN").unwrap();
    let looked_up = |client: &mut Client| -> i64 {
        let count = "SELECT sum(pg_stat_get_xact_numscans(indexrelid))::int8 FROM pg_index
                     WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE relname = 't')";
        client.query_one(count, &[]).unwrap().get(0)
    };
    let before = looked_up(&mut client);
    client
        .script(&format!(
            "CREATE INDEX t_id ON t USING {} (id) INCLUDE (note, amount, label);
             UPDATE t SET id = -id WHERE id % 2 = 0",
            access_method()
        ))
        .unwrap();
    let after = looked_up(&mut client);
    assert!(after == before || !is_learned(), "{before}, then {after}");
    client.script("COMMIT").unwrap();
    only_by_index(&mut client);
    assert_same(&mut client);
    check_all(&mut client);
}

/// Rows in another order than the index has.
#[test]
fn the_planner_knows_that_long_values_are_read_in_the_table() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for (width, is_in_index) in [(1, true), (15, false)] {
        client
            .script(&format!(
                "DROP TABLE IF EXISTS t; CREATE TABLE t (id int8, note text);
                 INSERT INTO t SELECT g * 7919 % 20011, repeat(left(md5(g::text), 30), {width})
                     FROM generate_series(1, 20000) g;
                 CREATE INDEX t_id ON t USING {} (id) INCLUDE (note);
                 VACUUM ANALYZE t",
                access_method()
            ))
            .unwrap();
        let plan = plan_of(&mut client, "SELECT sum(length(note)) FROM t WHERE id < 5000");
        let is_by_index = plan.contains("Index Only Scan");
        assert!(is_by_index == is_in_index || !is_learned(), "{width}: {plan}");
        assert_plan(&mut client, "SELECT note FROM t WHERE id = 5", &["Index Only Scan"], &[]);
    }
}
