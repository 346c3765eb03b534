//! What a session keeps of the indexes that it uses: thousands of them, more than it keeps
//! directories of; and large ones that grow while it uses them.

use postgres::Client;
use server_tests::{Cluster, Footprint, Script, access_method, is_learned, learned_options};

use super::assert_flat;

const INDEXES: u32 = 2_000;
/// Bytes for each index that is used again: PostgreSQL's own catalog caches are full by then.
const ALLOWED: f64 = 200.0;

fn create(client: &mut Client) {
    client
        .batch_execute(&format!(
            "DO $$ BEGIN FOR i IN 1..{INDEXES} LOOP
                 EXECUTE format('CREATE TABLE t_%s (k int8, id int4)', i);
                 EXECUTE format('INSERT INTO t_%s SELECT g, %s FROM generate_series(1, 20) g', i,
                     i);
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

/// Indexes with large delta trees.
const LARGE: u32 = 36;
const ROWS: u32 = 40_000;
/// For all of them together: about a tenth of what they take where they may. (To that comes what
/// the heap of the process does not give back between what comes and goes.)
const LIMIT: i64 = 256 << 10;

/// Every third key of an index, each looked up alone, in one statement and so in one scan.
fn look_up(client: &mut Client, table: u32) {
    let query = format!(
        "SELECT count(k) FROM generate_series(1, {ROWS}, 3) g, LATERAL (SELECT k FROM t_{table} \
         WHERE k = g * 100) s"
    );
    let found = i64::from(ROWS.div_ceil(3));
    assert_eq!(client.query_one(&query, &[]).unwrap().get::<_, i64>(0), found);
}

/// Keys of all indexes: all scans are open at the same time.
fn look_up_in_all(client: &mut Client) {
    let all: Vec<String> =
        (1..=LARGE).map(|table| format!("SELECT k FROM t_{table} WHERE k = g * 100")).collect();
    let query = format!(
        "SELECT count(k) FROM generate_series(1, {ROWS}, 10) g, LATERAL ({}) s",
        all.join(" UNION ALL ")
    );
    let found = i64::from(ROWS.div_ceil(10) * LARGE);
    assert_eq!(client.query_one(&query, &[]).unwrap().get::<_, i64>(0), found);
}

/// A session after lookups in all indexes, and what it takes.
fn session_with(cluster: &Cluster, memory: i64) -> (Client, Footprint) {
    let mut client = cluster.connect();
    client
        .script(&format!(
            "SET omendb_learned.directory_memory = '{}kB'; SET max_parallel_workers_per_gather = \
             0;
             SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;
             SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off",
            memory >> 10
        ))
        .unwrap();
    // First all are opened, then all grow.
    for table in 1..=LARGE {
        client.batch_execute(&format!("SELECT k FROM t_{table} WHERE k = 0")).unwrap();
    }
    look_up_in_all(&mut client);
    (1..=LARGE).for_each(|table| look_up(&mut client, table));
    look_up_in_all(&mut client);
    let footprint = Footprint::of(&mut client);
    (client, footprint)
}

#[test]
fn what_a_session_keeps_of_indexes_stays_within_its_memory_while_they_grow() {
    if !is_learned() {
        return;
    }
    let cluster = Cluster::start_with("autovacuum = off");
    let mut client = cluster.connect();
    for table in 1..=LARGE {
        // All keys that are not looked up are in the delta tree, all over those that are.
        client
            .script(&format!(
                "CREATE TABLE t_{table} (k int8);
                 INSERT INTO t_{table} SELECT g * 100 FROM generate_series(1, {ROWS}) g;
                 CREATE INDEX t_{table}_k ON t_{table} USING learned (k){};
                 INSERT INTO t_{table} SELECT g * 100 + 50 FROM generate_series(1, {ROWS}) g
                     ORDER BY hashint4(g);
                 VACUUM ANALYZE t_{table}",
                learned_options("fillfactor = 10, auto_retrain = off")
            ))
            .unwrap();
    }
    let (_, nothing) = session_with(&cluster, 0);
    let (mut client, bounded) = session_with(&cluster, LIMIT);
    let (_, free) = session_with(&cluster, 64 << 20);
    let (bounded, free) = (nothing.growth(bounded), nothing.growth(free));
    println!("{bounded} bytes for directories within {LIMIT}, {free} where they may");
    let before = Footprint::of(&mut client);
    for _ in 0..3 {
        (1..=LARGE).for_each(|table| look_up(&mut client, table));
        look_up_in_all(&mut client);
    }
    let later = before.growth(Footprint::of(&mut client));
    println!("{later} bytes more later");
    assert!(3 * bounded <= 2 * free, "nothing is bounded");
    assert!(later <= free, "it goes on growing");
    // With another bound the session goes on, whatever it remembers.
    for memory in ["64MB", "100kB", "0", "64MB"] {
        client.script(&format!("SET omendb_learned.directory_memory = '{memory}'")).unwrap();
        look_up_in_all(&mut client);
    }
}
