//! `learned_advise`: its estimates against indexes that are really built, by its own statements.
//! Whom it answers and what it refuses is in pg_regress/sql/advise.sql.

use postgres::Client;
use server_tests::{Cluster, Script, is_learned};

struct Advice {
    size: i64,
    learned: i64,
    entries: i64,
    statements: Vec<String>,
}

fn advice(client: &mut Client) -> Advice {
    let query = "SELECT size, learned_size, entries, statements, remark, replaceable
                 FROM learned_advise('t')";
    let row = client.query_one(query, &[]).unwrap();
    assert!(row.get::<_, bool>(5), "{:?}", row.get::<_, Option<String>>(4));
    Advice { size: row.get(0), learned: row.get(1), entries: row.get(2), statements: row.get(3) }
}

fn size_of(client: &mut Client, index: &str) -> i64 {
    client.query_one(&format!("SELECT pg_relation_size('{index}')"), &[]).unwrap().get(0)
}

/// Runs the statements, after which the index has to be a learned one.
fn carry_out(client: &mut Client, statements: &[String]) {
    for statement in statements {
        client.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    let method = "SELECT amname::text FROM pg_class c JOIN pg_am a ON a.oid = relam
                  WHERE relname = 't K'";
    let method: String = client.query_one(method, &[]).unwrap().get(0);
    assert_eq!(method, "learned", "{statements:?}");
}

#[test]
fn an_index_that_is_built_as_advised_has_the_size_that_was_told() {
    if !is_learned() {
        return println!("skipped: only of learned indexes there is advice");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8, d timestamptz, r int8, device int4, f float8, u uuid, n int4);
             SELECT setseed(0.5);
             INSERT INTO t SELECT g, '2024-01-01'::timestamptz + g * interval '1 s'
                     + random() * interval '0.1 s',
                 (random() * 4e18)::int8, g % 1000, random(), gen_random_uuid(),
                 CASE WHEN g % 3 = 0 THEN g / 100 END
             FROM generate_series(1, 400000) g",
        )
        .unwrap();
    for columns in [
        "(k)",
        "(d)",
        "(r)",
        "(device, d)",
        "(device, d) INCLUDE (f)",
        "(f)",
        "(u)",
        "(n)",
        "(n DESC)",
        "(device)",
        "(d) WHERE k > 350000",
        "((r / 1000000000000))",
        "(k) WITH (fillfactor = 50, deduplicate_items = off)",
    ] {
        client.script(&format!("CREATE INDEX \"t K\" ON t {columns}")).unwrap();
        let told = advice(&mut client);
        assert_eq!(told.size, size_of(&mut client, "\"t K\""));
        carry_out(&mut client, &told.statements);
        let real = size_of(&mut client, "\"t K\"");
        let entries: i64 = client
            .query_one("SELECT entries FROM learned_index_stats('\"t K\"')", &[])
            .unwrap()
            .get(0);
        let ratio = told.learned as f64 / real as f64;
        println!(
            "{columns}: {} bytes told, {real} real: {ratio:.3}; {} of {entries} entries",
            told.learned, told.entries
        );
        // A page or two more or less in small ones.
        let off = (told.learned - real).abs();
        assert!(off <= real / 8 + 3 * 8192, "{columns}: {} bytes told, {real} real", told.learned);
        let off = (told.entries - entries).abs();
        assert!(off <= entries / 20 + 10, "{columns}: {} of {entries} entries", told.entries);
        client.script("DROP INDEX \"t K\"").unwrap();
    }
}

#[test]
fn a_btree_that_was_split_and_vacuumed_is_read_right() {
    if !is_learned() {
        return println!("skipped: only of learned indexes there is advice");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8); CREATE INDEX t_k ON t (k);
             INSERT INTO t SELECT hashint8extended(g, 1) FROM generate_series(1, 200000) g;
             DELETE FROM t WHERE k BETWEEN 0 AND 2000000000000000000; VACUUM t;
             SET enable_seqscan = off; DELETE FROM t WHERE k < -5000000000000000000;
             SELECT count(*) FROM t WHERE k < 0",
        )
        .unwrap();
    let told = advice(&mut client);
    client.script("CREATE INDEX t_l ON t USING learned (k)").unwrap();
    let real = size_of(&mut client, "t_l");
    println!("{} bytes told, {real} real; a B-tree of {}", told.learned, told.size);
    // Entries that scans have marked as dead are left out; a new index may have to keep their rows.
    let ratio = told.learned as f64 / real as f64;
    assert!((0.7..1.2).contains(&ratio), "{} bytes told, {real} real", told.learned);
}

#[test]
fn small_and_empty_btrees_are_estimated_too() {
    if !is_learned() {
        return println!("skipped: only of learned indexes there is advice");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client.script("CREATE TABLE t (k int8); CREATE INDEX t_k ON t (k)").unwrap();
    for rows in [0, 1, 300, 3000] {
        client.script(&format!("INSERT INTO t SELECT generate_series(1, {rows})")).unwrap();
        let told = advice(&mut client);
        assert_eq!(told.entries, rows);
        client.script("CREATE INDEX t_l ON t USING learned (k)").unwrap();
        let real = size_of(&mut client, "t_l");
        assert!((told.learned - real).abs() <= 2 * 8192, "{} told, {real} real", told.learned);
        client.script("DROP INDEX t_l; TRUNCATE t").unwrap();
    }
}
