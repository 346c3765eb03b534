//! Few buffers and many indexes: a statement that a B-tree gets through with its pins gets through
//! here too.

use postgres::Client;
use server_tests::{Cluster, Script, access_method, assert_plan};

/// A table of `count` partitions with two rows each, and an index of each.
fn create(client: &mut Client, persistence: &str, count: i32) {
    let method = access_method();
    client
        .batch_execute(&format!(
            "CREATE {persistence} TABLE p (k int4, id int4) PARTITION BY RANGE (k);
             DO $$ BEGIN FOR i IN 0 .. {count} - 1 LOOP
                 EXECUTE format('CREATE {persistence} TABLE p%s PARTITION OF p FOR VALUES FROM \
             (%s) TO (%s)',
                     i, i * 10, i * 10 + 10);
             END LOOP; END $$;
             INSERT INTO p SELECT g * 5, g FROM generate_series(0, 2 * {count} - 1) g;
             CREATE INDEX ON p USING {method} (k)"
        ))
        .unwrap();
}

/// Statements with every partition's index open at once.
fn expect_answers(client: &mut Client, count: i64) {
    client
        .script(
            "SET enable_seqscan = off; SET enable_partition_pruning = off; SET enable_mergejoin = \
             off; SET enable_hashjoin = off; SET enable_material = off; SET enable_sort = off; \
             SET enable_bitmapscan = off",
        )
        .unwrap();
    // Through all, and again and again through all: rescans of indexes that have been scanned.
    // (Bitmap scans need a buffer of each table until the statement ends, whatever the access
    // method.)
    for (query, node, answer) in [
        ("SELECT count(*) FROM p WHERE k >= 0", "Scan", 2 * count),
        ("SELECT count(id) FROM p WHERE k >= 0", "Index Scan", 2 * count),
        (
            "SELECT count(*) FROM (VALUES (10), (20), (30)) v (x) JOIN p ON p.k = v.x",
            "Nested Loop",
            3,
        ),
    ] {
        assert_plan(client, query, &[node], &["Seq Scan"]);
        for _ in 0..2 {
            let found: i64 = client.query_one(query, &[]).unwrap().get(0);
            assert_eq!(found, answer, "{query}");
        }
    }
}

#[test]
fn a_statement_over_more_temporary_indexes_than_buffers_gets_through() {
    let cluster = Cluster::start_with("max_locks_per_transaction = 256");
    let mut client = cluster.connect();
    create(&mut client, "TEMPORARY", 1_200);
    expect_answers(&mut client, 1_200);
}

#[test]
fn a_statement_over_more_indexes_than_shared_buffers_gets_through() {
    let cluster = Cluster::start_with("max_locks_per_transaction = 256\nshared_buffers = 2MB");
    let mut client = cluster.connect();
    create(&mut client, "", 300);
    expect_answers(&mut client, 300);
    // What an error leaves behind is given back, too.
    for _ in 0..3 {
        client.batch_execute("SELECT 1 / (k - 2000) FROM p WHERE k >= 0").unwrap_err();
    }
    expect_answers(&mut client, 300);
}
