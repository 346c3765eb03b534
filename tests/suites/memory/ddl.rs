//! Indexes that are made, rebuilt and dropped in one session.

use server_tests::{Cluster, Script, access_method, is_learned, learned_options};

use super::{assert_flat, times};

/// Bytes each time: less than a directory, or whatever is kept of an index.
const ALLOWED: f64 = 600.0;

#[test]
fn ddl_leaves_no_memory_behind() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let am = access_method();
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4);
             INSERT INTO t SELECT g, g FROM generate_series(1, 300) g;
             CREATE INDEX t_k ON t USING {am} (k); SET enable_seqscan = off"
        ))
        .unwrap();
    if is_learned() {
        // Else a session keeps as many as a thousand directories, also of files that are gone.
        client.script("SET omendb_learned.directory_memory = '64kB'").unwrap();
    }
    let set = learned_options("model = pgm, retrain_threshold = N").replace(" WITH", "");
    let set = if set.is_empty() { "(fillfactor = N)".to_owned() } else { set };
    let used = "SELECT count(k) FROM t WHERE k BETWEEN 5 AND 9";
    for (what, statements) in [
        ("REINDEX", format!("REINDEX INDEX t_k; {used}")),
        (
            "CREATE INDEX and DROP INDEX",
            format!("CREATE INDEX d ON t USING {am} (k DESC); {used}; DROP INDEX d"),
        ),
        (
            "TRUNCATE",
            format!("TRUNCATE t; INSERT INTO t SELECT g, g FROM generate_series(1, 30) g; {used}"),
        ),
        ("ALTER INDEX SET", format!("ALTER INDEX t_k SET {set}; {used}")),
        (
            "a rolled back index",
            format!("BEGIN; CREATE INDEX d ON t USING {am} (k); {used}; ROLLBACK"),
        ),
        (
            "a table",
            format!(
                "CREATE TEMP TABLE s (k int8); CREATE INDEX s_k ON s USING {am} (k);
                 INSERT INTO s VALUES (1); SELECT k FROM s WHERE k = 1; DROP TABLE s"
            ),
        ),
    ] {
        let mut round = 0;
        let number = times(20.0);
        assert_flat(&mut client, what, number, ALLOWED, |client, number| {
            for _ in 0..number {
                round += 1;
                client
                    .script(&statements.replace("= N", &format!("= {}", round % 50 + 20)))
                    .unwrap();
            }
        });
    }
}
