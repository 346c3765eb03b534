//! Thousands of indexes used in one session, more than it keeps directories of.

use postgres::Client;
use server_tests::{Cluster, Script, access_method};

use super::assert_flat;

const INDEXES: u32 = 2_000;
/// Bytes for each index that is used again: PostgreSQL's own catalog caches are full by then.
const ALLOWED: f64 = 200.0;

fn create(client: &mut Client) {
    client
        .batch_execute(&format!(
            "DO $$ BEGIN FOR i IN 1..{INDEXES} LOOP
                 EXECUTE format('CREATE TABLE t_%s (k int8, id int4)', i);
                 EXECUTE format('INSERT INTO t_%s SELECT g, %s FROM generate_series(1, 20) g', i, i);
                 EXECUTE format('CREATE INDEX t_%s_k ON t_%s USING {} (k)', i, i);
             END LOOP; END $$",
            access_method()
        ))
        .unwrap();
}

#[test]
fn a_session_that_uses_more_indexes_than_it_can_remember_does_not_grow() {
    let cluster = Cluster::start_with(
        // What autovacuum does to catalogs makes sessions fill their caches anew.
        "max_locks_per_transaction = 1000\nautovacuum = off",
    );
    let mut client = cluster.connect();
    create(&mut client);
    client.script("SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
    let mut next = 0;
    let mut use_all = |client: &mut Client, number| {
        for _ in 0..number {
            next = next % INDEXES + 1;
            client.batch_execute(&format!("SELECT k FROM t_{next} WHERE k = 7")).unwrap();
            client.batch_execute(&format!("INSERT INTO t_{next} VALUES (7, 7)")).unwrap();
        }
    };
    // The first lookups find nothing unmerged.
    use_all(&mut client, INDEXES);
    assert_flat(&mut client, "one index after the other", INDEXES, ALLOWED, use_all);
}
