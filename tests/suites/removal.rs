//! What is left of the extension in a database when it is dropped: nothing.

use std::collections::BTreeSet;

use postgres::Client;
use server_tests::{Cluster, Script, is_learned};

/// What stands in all catalogs. Of `pg_class` without what statements on a table leave there, such
/// as the number of its rows.
fn catalogs(client: &mut Client) -> BTreeSet<String> {
    let names = "SELECT oid::regclass::text FROM pg_class
                 WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' ORDER BY 1";
    let names: Vec<String> =
        client.query(names, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert!(names.len() > 50, "{names:?}");
    let mut lines = BTreeSet::new();
    for name in names {
        let row = if name == "pg_class" { "(oid, relname, relkind, relam)" } else { "c" };
        let rows = format!("SELECT {row}::text FROM {name} c ORDER BY 1");
        lines.extend(client.query(&rows, &[]).unwrap().iter().map(|row| {
            let row: String = row.get(0);
            format!("{name}: {row}")
        }));
    }
    lines
}

/// The files of tables and indexes of the database.
fn files(client: &mut Client) -> Vec<String> {
    // A checkpoint deletes the files of what was dropped.
    client.script("CHECKPOINT").unwrap();
    let names = "SELECT name FROM pg_database, pg_ls_dir('base/' || oid) AS name
                 WHERE datname = current_database() AND name ~ '^[0-9]+$' ORDER BY 1";
    client.query(names, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

#[test]
fn drop_extension_leaves_nothing_in_the_catalogs_and_no_file() {
    if !is_learned() {
        return println!("skipped: there is no extension to drop");
    }
    let cluster = Cluster::bare("");
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE t (k int8, d int4);
             INSERT INTO t SELECT g, g FROM generate_series(1, 1000) g;
             CREATE INDEX t_d ON t (d)",
        )
        .unwrap();
    let (before, files_before) = (catalogs(&mut client), files(&mut client));
    for round in 0..2 {
        client
            .script(
                "CREATE EXTENSION omendb_learned;
                 CREATE INDEX t_k ON t USING learned (k, d) INCLUDE (d);
                 CREATE UNIQUE INDEX t_u ON t USING learned (k) WITH (model = pgm) WHERE d > 5;
                 COMMENT ON INDEX t_k IS 'a comment';
                 INSERT INTO t SELECT max(k) + g, g FROM t, generate_series(1, 1000) g GROUP BY g;
                 SELECT * FROM learned_retrain('t_k')",
            )
            .unwrap();
        let error = client.script("DROP EXTENSION omendb_learned").unwrap_err();
        assert!(error.as_db_error().unwrap().message().contains("other objects depend on it"));
        client.script("DROP EXTENSION omendb_learned CASCADE").unwrap();
        let after = catalogs(&mut client);
        let left: Vec<&String> = after.difference(&before).collect();
        assert!(left.is_empty(), "round {round}: left over: {left:#?}");
        let gone: Vec<&String> = before.difference(&after).collect();
        assert!(gone.is_empty(), "round {round}: gone: {gone:#?}");
        assert_eq!(files(&mut client), files_before, "round {round}");
    }
}
