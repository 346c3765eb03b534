//! Cursors that stay open while other sessions write, merge and vacuum under them.

use postgres::Client;
use server_tests::{
    Cluster, Row, Script, Subject, access_method, assert_plan, fetch, learned_options, retrain,
};

use super::create;

/// What others do to the table while a cursor is open: before, at and behind its place.
fn churn(client: &mut Client) {
    for round in 1..4 {
        client
            .script(&format!(
                "INSERT INTO t SELECT g * 3, {round} * 1000000 + g FROM generate_series(1, 2000) \
                 g;
                 DELETE FROM t WHERE id % 7 = {round};
                 UPDATE t SET k = k + 1 WHERE id % 11 = {round};
                 UPDATE t SET k = 20000 - k WHERE id % 13 = {round}"
            ))
            .unwrap();
        retrain(client, "t_k");
        client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
    }
}

/// Fetches a row, a few, and the rest, while another session writes. That one works in a thread of
/// its own, since vacuum may have to wait for a cursor to leave a page.
fn fetch_amid_churn(cluster: &Cluster, client: &mut Client, directions: [&str; 4]) -> Vec<Row> {
    let mut rows = Vec::new();
    std::thread::scope(|scope| {
        rows.extend(fetch(client, &format!("FETCH {} FROM c", directions[0])).unwrap());
        let writer = scope.spawn(|| churn(&mut cluster.connect()));
        for direction in &directions[1..] {
            std::thread::sleep(std::time::Duration::from_millis(30));
            rows.extend(fetch(client, &format!("FETCH {direction} FROM c")).unwrap());
        }
        writer.join().unwrap();
    });
    rows
}

#[test]
fn an_open_cursor_returns_its_snapshot_while_others_write_merge_and_vacuum() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for (columns, order, path) in [
        ("k, id", "ORDER BY k", "SET enable_indexonlyscan = off; SET enable_bitmapscan = off"),
        ("k, id", "ORDER BY k DESC", "SET enable_indexonlyscan = off; SET enable_bitmapscan = off"),
        ("k, 0", "ORDER BY k", "SET enable_bitmapscan = off"),
        ("k, 0", "ORDER BY k DESC", "SET enable_bitmapscan = off"),
        ("k, id", "", "SET enable_indexscan = off; SET enable_indexonlyscan = off"),
    ] {
        client.script("DROP TABLE IF EXISTS t").unwrap();
        create(&mut client, "", "t", 10_000);
        // Rows that no snapshot sees, for vacuum to remove and inserts to replace.
        client.script("DELETE FROM t WHERE id % 5 = 0").unwrap();
        let query = format!("SELECT {columns} FROM t WHERE k BETWEEN 1000 AND 9000 {order}");
        client
            .script(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SET enable_indexscan = off; SET \
                 enable_indexonlyscan = off; SET enable_bitmapscan = off",
            )
            .unwrap();
        assert_plan(&mut client, &query, &["Seq Scan"], &["t_k"]);
        let mut expected = fetch(&mut client, &query).unwrap();
        client
            .script(&format!(
                "RESET ALL; SET enable_seqscan = off; SET enable_sort = off; {path};
                 DECLARE c NO SCROLL CURSOR FOR {query}"
            ))
            .unwrap();
        assert_plan(&mut client, &query, &["t_k"], &["Seq Scan", "Sort"]);
        let directions = ["1", "100", "FORWARD 1000", "ALL"];
        let mut found = fetch_amid_churn(&cluster, &mut client, directions);
        if order.is_empty() {
            found.sort_unstable();
            expected.sort_unstable();
        }
        assert!(!expected.is_empty());
        assert!(
            found == expected,
            "{} rows instead of {}: {query}, {path}",
            found.len(),
            expected.len()
        );
        client.script("COMMIT; RESET ALL").unwrap();
        Subject::of("t").assert_exact(&mut client);
    }
}

#[test]
fn a_scroll_cursor_goes_back_over_its_snapshot_while_others_write_merge_and_vacuum() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for columns in ["k, id", "k, 0"] {
        client.script("DROP TABLE IF EXISTS t").unwrap();
        create(&mut client, "", "t", 10_000);
        let query = format!("SELECT {columns} FROM t WHERE k > 500 ORDER BY k");
        client
            .script(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SET enable_seqscan = off;
                 SET enable_bitmapscan = off; SET enable_sort = off;
                 SET enable_indexonlyscan = {}",
                columns == "k, 0"
            ))
            .unwrap();
        let all = fetch(&mut client, &query).unwrap();
        client.script(&format!("DECLARE c SCROLL CURSOR FOR {query}")).unwrap();
        let plan = assert_plan(&mut client, &query, &["t_k"], &["Sort"]);
        assert!(columns == "k, id" || plan.contains("Index Only Scan"), "{plan}");
        let directions = ["FORWARD 4000", "BACKWARD 1000", "FORWARD ALL", "BACKWARD ALL"];
        let found = fetch_amid_churn(&cluster, &mut client, directions);
        let mut expected = all[..4000].to_vec();
        expected.extend(all[2999..3999].iter().rev());
        expected.extend(&all[2999 + 1..]);
        expected.extend(all.iter().rev());
        assert!(found == expected, "{} rows instead of {}", found.len(), expected.len());
        client.script("COMMIT; RESET ALL").unwrap();
    }
}

#[test]
fn a_cursor_with_hold_keeps_its_rows_after_its_transaction() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "", "t", 5_000);
    let query = "SELECT k, id FROM t WHERE k > 1000 ORDER BY k";
    client.script("SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
    assert_plan(&mut client, query, &["t_k"], &["Sort"]);
    let expected = fetch(&mut client, query).unwrap();
    client.script(&format!("BEGIN; DECLARE c SCROLL CURSOR WITH HOLD FOR {query}")).unwrap();
    // Held rows are read at the commit, from where the cursor started.
    assert_eq!(fetch(&mut client, "FETCH 10 FROM c").unwrap(), expected[..10]);
    client.script("INSERT INTO t SELECT g, -g FROM generate_series(1, 5000) g; COMMIT").unwrap();
    let mut found = expected[..10].to_vec();
    found.extend(fetch_amid_churn(&cluster, &mut client, ["1", "10", "100", "ALL"]));
    assert!(found == expected, "{} rows instead of {}", found.len(), expected.len());
    client.script("CLOSE c").unwrap();
}

#[test]
fn a_cursor_of_the_same_session_does_not_see_later_inserts() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "", "t", 5_000);
    let query = "SELECT k, id FROM t WHERE k > 1000 ORDER BY k";
    client.script("BEGIN; SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
    let expected = fetch(&mut client, query).unwrap();
    client.script(&format!("DECLARE c CURSOR FOR {query}")).unwrap();
    let mut found = fetch(&mut client, "FETCH 100 FROM c").unwrap();
    client
        .script(
            "INSERT INTO t SELECT g, 100000 + g FROM generate_series(1, 5000) g;
             UPDATE t SET k = k + 1 WHERE id % 3 = 0; DELETE FROM t WHERE id % 4 = 0",
        )
        .unwrap();
    found.extend(fetch(&mut client, "FETCH ALL FROM c").unwrap());
    assert!(found == expected, "{} rows instead of {}", found.len(), expected.len());
    client.script("COMMIT").unwrap();
    // UPDATE ... WHERE CURRENT OF follows an index scan to the row it returned.
    client
        .script(
            "BEGIN; DECLARE c CURSOR FOR SELECT k, id FROM t WHERE k > 100 ORDER BY k FOR UPDATE",
        )
        .unwrap();
    for _ in 0..50 {
        let row = fetch(&mut client, "FETCH 1 FROM c").unwrap();
        client.script("UPDATE t SET k = -k WHERE CURRENT OF c").unwrap();
        assert!(row[0].0 > Some(100), "{row:?}: a row came again");
    }
    client.script("COMMIT; RESET ALL").unwrap();
    Subject::of("t").assert_exact(&mut client);
}

#[test]
fn merge_joins_restore_their_marks_while_others_write_merge_and_vacuum() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "", "t", 10_000);
    client
        .script(&format!(
            "CREATE TABLE u (k int8, id int4);
             INSERT INTO u SELECT g / 4 * 6, g FROM generate_series(1, 6000) g;
             CREATE INDEX u_k ON u USING {} (k){};
             -- Equal keys on both sides, so that marks are restored.
             INSERT INTO t SELECT g / 3 * 3, 20000 + g FROM generate_series(1, 3000) g;
             INSERT INTO u SELECT g / 3 * 3, 20000 + g FROM generate_series(1, 3000) g;
             VACUUM ANALYZE t; VACUUM ANALYZE u",
            access_method(),
            learned_options("retrain_threshold = 5"),
        ))
        .unwrap();
    let query = "SELECT t.id, u.id FROM t JOIN u ON t.k = u.k";
    let merge = "SET enable_hashjoin = off; SET enable_nestloop = off; SET enable_material = off;
                 SET enable_sort = off; SET enable_seqscan = off";
    let hash = "SET enable_mergejoin = off; SET enable_nestloop = off; SET enable_indexscan = off;
                SET enable_indexonlyscan = off; SET enable_bitmapscan = off";
    client.script(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {hash}")).unwrap();
    assert_plan(&mut client, query, &["Hash"], &["t_k", "u_k"]);
    let mut expected = fetch(&mut client, query).unwrap();
    client.script(&format!("RESET ALL; {merge}; DECLARE c CURSOR FOR {query}")).unwrap();
    assert_plan(&mut client, query, &["Merge", "t_k", "u_k"], &["Sort", "Materialize"]);
    let mut found = fetch_amid_churn(&cluster, &mut client, ["1", "500", "2000", "ALL"]);
    found.sort_unstable();
    expected.sort_unstable();
    assert!(expected.len() > 5_000);
    assert!(found == expected, "{} rows instead of {}", found.len(), expected.len());
    client.script("COMMIT").unwrap();
}
