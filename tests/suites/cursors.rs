//! Scans that change direction, are marked and restored, or begin again a million times.

use postgres::{Client, SimpleQueryMessage};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Script, access_method, assert_plan};

/// A table `t (k int8, id int4)` with a learned index: duplicates, gaps, NULLs, in random order.
fn table(client: &mut Client) {
    client
        .script(&format!(
            "SELECT setseed(0.5);
             CREATE TABLE t (k int8, id int4);
             INSERT INTO t SELECT CASE WHEN g % 50 = 0 THEN NULL ELSE g / 3 * 7 END, g
                 FROM generate_series(1, 20000) g ORDER BY random();
             CREATE INDEX t_k ON t USING {} (k){};
             VACUUM ANALYZE t;
             SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;",
            access_method(),
            // nbtree returns the heap TIDs of a posting list upwards in both directions.
            if access_method() == "btree" { " WITH (deduplicate_items = off)" } else { "" }
        ))
        .unwrap();
}

fn fetch(client: &mut Client, query: &str) -> Vec<String> {
    let messages = client.simple_query(query).unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|i| row.get(i).unwrap_or("NULL")).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    rows.collect()
}

/// Walks a scroll cursor over `query` at random, beside an array of the same rows.
pub(crate) fn walk(client: &mut Client, query: &str, rng: &mut StdRng) {
    client.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    let all = fetch(client, query);
    client.script(&format!("DECLARE c SCROLL CURSOR FOR {query}")).unwrap();
    // Before the first row is 0, after the last is len + 1, as PostgreSQL counts.
    let mut position = 0i64;
    let end = all.len() as i64 + 1;
    for _ in 0..400 {
        let few = rng.random_range(0..30i64);
        let (command, next) = match rng.random_range(0..8) {
            0 | 1 => (format!("FORWARD {few}"), position + few),
            2 | 3 => (format!("BACKWARD {few}"), position - few),
            4 => ("NEXT".to_owned(), position + 1),
            5 => ("PRIOR".to_owned(), position - 1),
            6 => {
                let target = rng.random_range(0..end);
                (format!("ABSOLUTE {target}"), target)
            }
            _ => {
                let (all_of, target) =
                    if rng.random_bool(0.5) { ("FORWARD ALL", end) } else { ("BACKWARD ALL", 0) };
                (all_of.to_owned(), target)
            }
        };
        let next = next.clamp(0, end);
        let row = |i: i64| all.get((i - 1) as usize).cloned();
        let expected: Vec<String> =
            if command.starts_with("ABSOLUTE") || few == 0 && command.ends_with(" 0") {
                // FORWARD 0 returns the current row again.
                (1..end).contains(&next).then(|| row(next)).flatten().into_iter().collect()
            } else if next >= position {
                (position + 1..=next).filter_map(row).collect()
            } else {
                (next..position).rev().filter(|i| *i >= 1).filter_map(row).collect()
            };
        let fetched = fetch(client, &format!("FETCH {command} FROM c"));
        assert_eq!(fetched, expected, "FETCH {command} at {position} of {query}");
        position = next;
    }
    client.script("COMMIT").unwrap();
}

#[test]
fn a_scroll_cursor_goes_both_ways_without_missing_or_repeating_a_row() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    table(&mut client);
    let mut rng = StdRng::seed_from_u64(1);
    for condition in [
        "k BETWEEN 700 AND 1400",
        "k > 46000",
        "k < 300",
        "k IS NULL",
        "true",
        "k = 700",
        "k = ANY('{7,700,701,707,1400,NULL,700}')",
        "k < 0",
    ] {
        for order in ["ORDER BY k", "ORDER BY k DESC"] {
            for (columns, node) in [("k, id", "Index Scan"), ("k", "Index Only Scan")] {
                let query = format!("SELECT {columns} FROM t WHERE {condition} {order}");
                client.script(&format!("SET enable_indexonlyscan = {}", columns == "k")).unwrap();
                assert_plan(&mut client, &query, &[node, "t_k"], &["Sort", "Materialize"]);
                walk(&mut client, &query, &mut rng);
            }
        }
    }
}

#[test]
fn merge_joins_that_restore_marks_agree_with_hash_joins() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    table(&mut client);
    client
        .script(&format!(
            "CREATE TABLE u (k int4, id int4);
             INSERT INTO u SELECT CASE WHEN g % 40 = 0 THEN NULL ELSE g / 4 * 7 END, g
                 FROM generate_series(1, 6000) g ORDER BY random();
             CREATE INDEX u_k ON u USING {} (k);
             VACUUM ANALYZE u;",
            access_method()
        ))
        .unwrap();
    let merge = "SET enable_mergejoin = on; SET enable_hashjoin = off; SET enable_nestloop = off;
                 SET enable_material = off; SET enable_sort = off; SET enable_seqscan = off;";
    let hash = "SET enable_mergejoin = off; SET enable_hashjoin = on; SET enable_nestloop = off;
                SET enable_sort = on; SET enable_seqscan = on;";
    for join in [
        "t a JOIN t b ON a.k = b.k",
        "t a JOIN u b ON a.k = b.k",
        "u a JOIN t b ON a.k = b.k AND b.k BETWEEN 100 AND 9000",
        "t a LEFT JOIN u b ON a.k = b.k",
        "u a FULL JOIN u b ON a.k = b.k",
    ] {
        let query = format!(
            "SELECT count(*), sum(a.id::int8 * b.id), sum(a.id), sum(b.id), sum(a.k) FROM {join}"
        );
        client.script(merge).unwrap();
        assert_plan(
            &mut client,
            &query,
            &["Merge", "Index Scan using"],
            &["Sort", "Materialize", "Hash", "Seq Scan"],
        );
        let merged = fetch(&mut client, &query);
        client.script(hash).unwrap();
        assert_plan(&mut client, &query, &["Hash"], &["Merge"]);
        assert_eq!(merged, fetch(&mut client, &query), "{join}");
    }
}

/// Private memory of the backend in kB.
fn resident(client: &mut Client) -> u64 {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_million_rescans_use_no_more_memory_than_a_few() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    table(&mut client);
    client
        .script("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off")
        .unwrap();
    let shapes = [
        ("SELECT id FROM t WHERE t.k = p * 7 % 47000", "Index Scan"),
        ("SELECT k AS id FROM t WHERE t.k = p * 7 % 47000", "Index Only Scan"),
        ("SELECT id FROM t WHERE t.k <= p % 47000 ORDER BY k DESC LIMIT 1", "Index Scan Backward"),
        ("SELECT id FROM t WHERE t.k = ANY (ARRAY[p % 47000, p * 7 % 47000, 0])", "Index Scan"),
    ];
    for (lateral, node) in shapes {
        let query = |probes: u32| {
            format!(
                "SELECT count(*), sum(l.id) FROM generate_series(1, {probes}::int8) p, LATERAL \
                 ({lateral}) l"
            )
        };
        assert_plan(&mut client, &query(1_000_000), &["Nested Loop", node], &["Memoize"]);
        let few = fetch(&mut client, &query(50_000));
        assert_ne!(few, ["0|NULL"]);
        let before = resident(&mut client);
        fetch(&mut client, &query(1_000_000));
        let grown = resident(&mut client).saturating_sub(before);
        // generate_series materialises nothing here; a leak of 16 bytes a rescan would be 16 MB.
        assert!(grown < 8_000, "{grown} kB more after a million rescans of {lateral}");
    }
}

#[test]
fn nested_loops_over_the_index_agree_with_hash_joins() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    table(&mut client);
    client
        .script(
            "CREATE TABLE p AS SELECT (random() * 50000)::int8 AS k FROM generate_series(1, 20000)",
        )
        .unwrap();
    let query = "SELECT count(*), sum(t.id), sum(t.k) FROM p JOIN t ON p.k = t.k";
    client.script("SET enable_hashjoin = off; SET enable_mergejoin = off; ANALYZE p").unwrap();
    for memoize in ["on", "off"] {
        client.script(&format!("SET enable_memoize = {memoize}")).unwrap();
        assert_plan(&mut client, query, &["Nested Loop", "Index Scan using t_k"], &[]);
        let looped = fetch(&mut client, query);
        let mut other = cluster.connect();
        other
            .script(
                "SET enable_nestloop = off; SET enable_indexscan = off; SET enable_mergejoin = off",
            )
            .unwrap();
        assert_plan(&mut other, query, &["Hash"], &["t_k"]);
        assert_eq!(looped, fetch(&mut other, query));
    }
}
