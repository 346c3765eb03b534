//! How little space and how few pages a learned index needs.

use postgres::{Client, SimpleQueryMessage};
use server_tests::{Cluster, Script, Shutdown, access_method, buffers, is_learned};

const ROWS: u32 = 1_500_000;

fn bytes_per_row(client: &mut Client, keys: &str) -> f64 {
    client
        .script(&format!(
            "DROP TABLE IF EXISTS t;
             SELECT setseed(0.125);
             CREATE UNLOGGED TABLE t AS SELECT {keys} AS k FROM generate_series(1, {ROWS}) g;
             CREATE INDEX t_k ON t USING {} (k);",
            access_method()
        ))
        .unwrap();
    let size: i64 = client.query_one("SELECT pg_relation_size('t_k')", &[]).unwrap().get(0);
    size as f64 / f64::from(ROWS)
}

#[test]
fn an_index_takes_no_more_bytes_a_row_than_promised() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let mut broken = Vec::new();
    for (name, promised, keys) in [
        ("serial int8", 1.0, "g::int8"),
        ("serial int4", 1.0, "g"),
        (
            "microsecond timestamps with jitter",
            2.5,
            "'2024-01-01'::timestamptz + g * interval '1 second' + random() * interval '0.1 \
             second'",
        ),
        ("uniform over 62 bits in random order", 9.0, "(random() * 4611686018427387904)::int8"),
        ("ten duplicates a key, in order", 3.0, "(g / 10)::int8"),
        ("dates", 3.0, "'2000-01-01'::date + g / 500"),
        ("all NULL", 3.0, "NULL::int8"),
    ] {
        let bytes = bytes_per_row(&mut client, keys);
        println!("{name}: {bytes:.2} bytes a row, {promised} promised");
        if bytes > promised {
            broken.push(format!("{name}: {bytes:.2} bytes a row instead of {promised}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Pages of a table's index that all sessions have touched, when planning (where a B-tree's
/// metapage is read) and when executing.
fn index_pages(client: &mut Client, table: &str) -> i64 {
    // A session hands over what it counted at most once a second, or when it is told to.
    client.query_one("SELECT pg_stat_force_next_flush()", &[]).unwrap();
    let sql = "SELECT idx_blks_hit + idx_blks_read FROM pg_statio_user_indexes WHERE relname = $1";
    client.query_one(sql, &[&table]).unwrap().get(0)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one course of events")]
fn a_warm_lookup_touches_one_index_page_and_a_first_one_no_more_than_a_btree() {
    // Without what the planner looks at when a session plans first.
    let cluster = Cluster::start_with("autovacuum = off\nomendb_learned.enable_statistics = off");
    let mut client = cluster.connect();
    client
        .script(&format!(
            "SELECT setseed(0.75);
             CREATE TABLE l (k int8); CREATE TABLE b (k int8);
             INSERT INTO l SELECT (random() * 4611686018427387904)::int8
                 FROM generate_series(1, {ROWS});
             INSERT INTO b SELECT k FROM l;
             CREATE INDEX l_k ON l USING {} (k);
             CREATE INDEX b_k ON b USING btree (k);
             VACUUM (FREEZE, ANALYZE) l; VACUUM (FREEZE, ANALYZE) b;",
            access_method()
        ))
        .unwrap();
    let keys: Vec<i64> = client
        .query("SELECT k FROM l ORDER BY random() LIMIT 40", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let settings = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = \
                    force_generic_plan";
    let prepare = |client: &mut Client, table: &str| {
        client
            .script(&format!(
                "{settings}; PREPARE {table}(int8) AS SELECT k FROM {table} WHERE k = $1"
            ))
            .unwrap();
    };
    let mut first_learned = Vec::new();
    let mut first_btree = Vec::new();
    for key in &keys[..5] {
        for (table, first) in [("l", &mut first_learned), ("b", &mut first_btree)] {
            let before = index_pages(&mut client, table);
            let mut fresh = cluster.connect();
            prepare(&mut fresh, table);
            fresh.script(&format!("EXECUTE {table}({key})")).unwrap();
            first.push(index_pages(&mut fresh, table) - before);
        }
    }
    assert!(
        first_learned.iter().chain(&first_btree).all(|pages| *pages > 0),
        "nothing was counted"
    );
    println!("first lookups: learned {first_learned:?}, btree {first_btree:?}");

    prepare(&mut client, "l");
    // Warm: the model, and the directory pages that lead to these keys.
    let mut warm = Vec::new();
    for _ in 0..2 {
        warm = keys.iter().map(|key| buffers(&mut client, &format!("EXECUTE l({key})"))).collect();
    }
    println!("warm lookups: {warm:?}");
    // An index-only lookup also touches the visibility map's page, kept pinned only within a scan:
    // once a statement. The metapage is pinned once a scan too.
    let visibility_map = 1;
    let metapage = 1;
    assert!(
        warm.iter().all(|pages| *pages <= 1 + metapage + visibility_map),
        "warm lookups: {warm:?}"
    );
    for (learned, btree) in first_learned.iter().zip(&first_btree) {
        assert!(
            learned <= btree,
            "first lookups: learned {first_learned:?}, btree {first_btree:?}"
        );
    }
    // Within one statement, pins that last are counted once: each probe adds one page.
    let probes = keys.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    client
        .script("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off")
        .unwrap();
    let joined = |client: &mut Client| {
        let query = format!(
            "SELECT l.k FROM unnest('{{{probes}}}'::int8[]) p, LATERAL (SELECT k FROM l WHERE l.k \
             = p OFFSET 0) l"
        );
        let messages = client
            .simple_query(&format!(
                "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, FORMAT JSON) {query}"
            ))
            .unwrap();
        let SimpleQueryMessage::Row(row) =
            &messages.iter().find(|m| matches!(m, SimpleQueryMessage::Row(_))).unwrap()
        else {
            unreachable!()
        };
        let json = row.get(0).unwrap().to_owned();
        let hits = json.split_once("\"Shared Hit Blocks\": ").unwrap().1;
        hits.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap()
    };
    joined(&mut client);
    let pages = joined(&mut client);
    println!("{} probes in one statement: {pages} pages", keys.len());
    // One index page a probe.
    assert!(
        pages <= keys.len() as u64 + metapage + visibility_map,
        "{pages} pages for {} probes",
        keys.len()
    );
}

/// Pages of the index that all sessions have read so far, wherever they were.
fn pages_read(client: &mut Client) -> i64 {
    client.script("SELECT pg_stat_force_next_flush()").unwrap();
    let read = "SELECT idx_blks_hit + idx_blks_read FROM pg_statio_user_indexes WHERE \
                indexrelname = 't_k'";
    client.query_one(read, &[]).unwrap().get(0)
}

#[test]
fn vacuum_of_a_table_without_deletions_reads_few_pages_of_the_index() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE TABLE t (k int8) WITH (autovacuum_enabled = off);
             INSERT INTO t SELECT hashint8extended(g, 1) FROM generate_series(1, 300000) g;
             CREATE INDEX t_k ON t USING {} (k); VACUUM t",
            access_method()
        ))
        .unwrap();
    for added in ["0", "3000"] {
        client
            .script(&format!(
                "INSERT INTO t SELECT hashint8extended(g, 2) FROM generate_series(1, {added}) g"
            ))
            .unwrap();
        let before = pages_read(&mut client);
        client.script("VACUUM t").unwrap();
        let read = pages_read(&mut client) - before;
        let pages: i64 =
            client.query_one("SELECT pg_relation_size('t_k') / 8192", &[]).unwrap().get(0);
        println!("{added} rows added: VACUUM read {read} of {pages} pages");
        assert!(10 * read < pages, "VACUUM read {read} of {pages} pages");
    }
    if is_learned() {
        // A crash may have lost some.
        cluster.restart(Shutdown::Crash);
        let mut client = cluster.connect();
        let before = pages_read(&mut client);
        client.script("VACUUM t").unwrap();
        let read = pages_read(&mut client) - before;
        assert!(read > 300, "VACUUM read {read} pages after a crash");
    }
}
