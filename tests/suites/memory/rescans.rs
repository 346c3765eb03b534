//! Rescans within one statement: what they leave would be there until its end.

use postgres::Client;
use server_tests::{Cluster, Script, access_method, assert_plan};

use super::{assert_flat, times};

const ROWS: u32 = 50_000;
/// Bytes for each rescan. The heap of a process grows in steps of some 130 kB, which is less than
/// this here.
const ALLOWED: f64 = 10.0;

/// Tables with rows in leaves, tombstones and delta trees.
fn create(client: &mut Client) {
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4);
             INSERT INTO t SELECT g % 40000, g FROM generate_series(1, {ROWS}) g;
             CREATE INDEX t_k ON t USING {} (k);
             DELETE FROM t WHERE id % 10 = 0; VACUUM (INDEX_CLEANUP on) t;
             INSERT INTO t SELECT g * 10, g FROM generate_series(1, 3000) g;
             VACUUM ANALYZE t",
            access_method()
        ))
        .unwrap();
}

/// Asserts that a nested loop over as many outer rows as there ever are takes no more memory for
/// its later halves: within one execution, by a cursor that is moved on.
fn assert_no_growth(client: &mut Client, settings: &str, inner: &str, wanted: &str) {
    client.script(&format!("RESET ALL; SET enable_seqscan = off; {settings}")).unwrap();
    let number = times(5_000.0);
    let query = format!("SELECT {inner} FROM generate_series(1, {}) g", number * 4 + 1);
    assert_plan(client, &query, &[wanted], &["Seq Scan"]);
    client.script(&format!("BEGIN; DECLARE c NO SCROLL CURSOR FOR {query}")).unwrap();
    assert_flat(client, &format!("{wanted}: {inner}"), number, ALLOWED, |client, number| {
        client.script(&format!("MOVE FORWARD {number} IN c")).unwrap();
    });
    client.script("COMMIT").unwrap();
}

const PLAIN: &str = "SET enable_bitmapscan = off";
const BITMAP: &str = "SET enable_indexscan = off; SET enable_indexonlyscan = off";

#[test]
fn rescans_of_every_kind_leave_no_memory_behind() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    for (settings, inner, wanted) in [
        (PLAIN, "(SELECT count(id) FROM t WHERE k = g * 7 % 40000)", "Index Scan"),
        (PLAIN, "(SELECT count(k) FROM t WHERE k = g * 7 % 40000)", "Index Only Scan"),
        (BITMAP, "(SELECT count(id) FROM t WHERE k = g * 7 % 40000)", "Bitmap Index Scan"),
        (
            PLAIN,
            "(SELECT count(k) FROM t WHERE k = ANY (ARRAY[g % 40000, g % 4000 * 10, -1, NULL]))",
            "Index Only Scan",
        ),
        (
            BITMAP,
            "(SELECT count(id) FROM t WHERE k = ANY (ARRAY[g % 40000, g % 4000 * 10, -1]))",
            "Bitmap Index Scan",
        ),
        (
            PLAIN,
            "(SELECT count(id) FROM t WHERE k BETWEEN g % 39000 AND g % 39000 + 10)",
            "Index Scan",
        ),
        (
            PLAIN,
            "(SELECT id FROM t WHERE k <= g * 7 % 40000 ORDER BY k DESC LIMIT 1)",
            "Index Scan Backward",
        ),
        (PLAIN, "(SELECT count(k) FROM t WHERE k < 0 AND k > g)", "Index"),
    ] {
        assert_no_growth(&mut client, settings, inner, wanted);
    }
}

#[test]
fn statements_one_after_the_other_leave_no_memory_behind() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    client
        .script(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;
             SET enable_nestloop = off; SET plan_cache_mode = force_generic_plan;
             PREPARE probe (int8) AS SELECT count(k) FROM t WHERE k = $1;
             PREPARE add (int8) AS INSERT INTO t SELECT $1 % 40000, -1",
        )
        .unwrap();
    // Marks and restores: both sides have equal keys.
    let join = "SELECT count(*) FROM (SELECT k FROM t WHERE k < 300 ORDER BY k) a
                JOIN (SELECT k FROM t WHERE k < 300 ORDER BY k) b USING (k)";
    assert_plan(&mut client, join, &["Merge Join", "Index"], &["Seq Scan"]);
    for (what, statement, each_second) in [
        ("a lookup", "EXECUTE probe ($G)", 400.0),
        ("a merge join", join, 60.0),
        ("an insert", "EXECUTE add ($G)", 400.0),
        (
            "an error",
            "DO $$ BEGIN PERFORM 1 / (k - k) FROM t WHERE k = $G % 40000 LIMIT 1;
             EXCEPTION WHEN division_by_zero THEN NULL; END $$",
            200.0,
        ),
    ] {
        let mut g = 0;
        assert_flat(&mut client, what, times(each_second), 100.0, |client, number| {
            for _ in 0..number {
                g += 1;
                client.batch_execute(&statement.replace("$G", &g.to_string())).unwrap();
            }
        });
    }
}
