//! The planner's look-ups of the least and the largest key, under a snapshot that sees all that
//! VACUUM leaves.

use postgres::Client;
use server_tests::{
    Cluster, Script, access_method, learned_options, major_version, plan_of, planned_rows, retrain,
};

const CONDITIONS: [&str; 5] =
    ["k > 25000", "k > 39000", "k BETWEEN 31000 AND 32000", "k < -100", "k < -1900"];

/// How many rows the planner expects of each condition.
fn estimates(client: &mut Client, table: &str) -> Vec<i64> {
    let estimate =
        |condition: &&str| planned_rows(client, &format!("SELECT FROM {table} WHERE {condition}"));
    CONDITIONS.iter().map(estimate).collect()
}

#[test]
fn the_planner_finds_the_ends_of_the_keys_as_in_a_b_tree_on_a_primary_and_a_standby() {
    // Without what the index tells of itself beside its ends.
    let primary = Cluster::start_with(
        "wal_level = replica\nmax_wal_senders = 4\nomendb_learned.enable_statistics = off",
    );
    let mut client = primary.connect();
    if major_version(&mut client) < 18 {
        return println!("skipped: these versions look endpoints up in B-trees only");
    }
    for (table, method, options) in [
        ("b", "btree".to_owned(), String::new()),
        ("t", access_method(), learned_options("auto_retrain = off")),
    ] {
        client
            .script(&format!(
                "CREATE TABLE {table} (k int8, id int4) WITH (autovacuum_enabled = off);
                 INSERT INTO {table} SELECT g, g FROM generate_series(1, 20000) g;
                 CREATE INDEX {table}_k ON {table} USING {method} (k){options}; ANALYZE {table}"
            ))
            .unwrap();
    }
    let standby = primary.standby();
    let mut reader = standby.connect();
    let unchanged = estimates(&mut client, "t");
    let both =
        |statement: &str| ["b", "t"].map(|table| statement.replace("TABLE", table)).join(";");
    for (round, change) in [
        "INSERT INTO TABLE SELECT g, g FROM generate_series(20001, 40000) g",
        "INSERT INTO TABLE SELECT -g, g FROM generate_series(1, 2000) g",
        "DELETE FROM TABLE WHERE k > 39500",
        "DELETE FROM TABLE WHERE k < -1500 OR k % 3 = 0; INSERT INTO TABLE VALUES (NULL, 0)",
        "VACUUM TABLE",
        "DELETE FROM TABLE WHERE k > 30000; VACUUM TABLE; INSERT INTO TABLE SELECT 31000 + g, g \
         FROM generate_series(1, 500) g",
    ]
    .into_iter()
    .enumerate()
    {
        client.script(&both(change)).unwrap();
        if round % 2 == 1 {
            retrain(&mut client, "t_k");
        }
        standby.catch_up(&primary);
        for (place, session) in [("primary", &mut client), ("standby", &mut reader)] {
            let (wanted, found) = (estimates(session, "b"), estimates(session, "t"));
            assert_eq!(
                found,
                wanted,
                "on the {place} after {change}: {}",
                plan_of(session, "SELECT FROM t WHERE k > 39000")
            );
            assert_ne!(found, unchanged, "{change}");
        }
    }
}
