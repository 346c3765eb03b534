//! Historic snapshots: an output plugin reads a table, by its index, as it was when each change was
//! made.

use postgres::Client;
use server_tests::{
    Cluster, Script, Shutdown, access_method, check, is_learned, learned_options, major_version,
    retrain, wait_until,
};

const PLUGIN: &str = include_str!("historic.c");
const SETTINGS: &str = "wal_level = logical\nmax_replication_slots = 4\nmax_wal_senders = 4";

/// A cluster that finds the plugin.
fn cluster() -> Cluster {
    let cluster = Cluster::start_with(SETTINGS);
    let directory = cluster.new_directory("plugin");
    cluster.compile(PLUGIN, &directory.join("historic.so"));
    let mut client = cluster.connect();
    let path = format!("{}:$libdir", directory.display());
    client.script(&format!("ALTER SYSTEM SET dynamic_library_path = '{path}'")).unwrap();
    // Later minor versions load no plugin that is not listed.
    let listed = "SELECT FROM pg_settings WHERE name = 'output_plugin_libraries'";
    if client.query_opt(listed, &[]).unwrap().is_some() {
        client.script("ALTER SYSTEM SET output_plugin_libraries = 'historic'").unwrap();
    }
    drop(client);
    cluster.restart(Shutdown::Clean);
    cluster
}

/// Makes `c`, which output plugins may read, and `x`, whose rows say what was in `c`.
fn create(client: &mut Client) {
    let (method, options) = (access_method(), learned_options("auto_retrain = off"));
    client
        .script(&format!(
            "CREATE TABLE c (k int8, v int8)
                 WITH (user_catalog_table = true, autovacuum_enabled = off);
             INSERT INTO c SELECT g, g FROM generate_series(1, 3000) g;
             CREATE INDEX c_k ON c USING {method} (k){options};
             CREATE INDEX c_b ON c USING btree (k);
             CREATE INDEX c_v ON c USING btree (v);
             CREATE TABLE x (k int8, number int8, sum int8, all_number int8, all_sum int8)"
        ))
        .unwrap();
}

/// Changes `c`, and notes in `x` what there is, over and over; returns how many notes were
/// committed.
fn write(client: &mut Client) -> usize {
    let note = |key: usize| {
        format!(
            "INSERT INTO x SELECT {key}, count(*) FILTER (WHERE k = {key}),
                 coalesce(sum(v) FILTER (WHERE k = {key}), 0), count(*), sum(v) FROM c"
        )
    };
    let mut notes = 0;
    for round in 0..60 {
        let (hot, other) = (note(7), note(100 + round));
        client
            .script(&format!(
                "{hot}; UPDATE c SET v = v + 1 WHERE k BETWEEN 5 AND 9; {hot};
                 BEGIN; UPDATE c SET v = v + 1 WHERE k = 7; {hot};
                     DELETE FROM c WHERE k = 100 + {round};
                 {other}; INSERT INTO c VALUES (100 + {round}, 1), (7, {round}); {hot}; {other};
                     COMMIT;
                 BEGIN; UPDATE c SET v = 0 WHERE k < 50; {hot}; ROLLBACK;
                 DELETE FROM c WHERE k = 7 AND v < 20 AND {round} % 3 = 2; {hot};
                 UPDATE c SET k = k + 5000, v = v + 1 WHERE k = 200 + {round}"
            ))
            .unwrap();
        notes += 7;
        if round % 20 == 10 {
            retrain(client, "c_k");
        }
        if round % 20 == 15 {
            client.script("VACUUM (INDEX_CLEANUP on) c").unwrap();
        }
    }
    notes
}

/// Decodes all changes, and asserts that each way to read `c` gives what the row of `x` says.
fn assert_decoded(client: &mut Client, notes: usize) {
    let changes = "SELECT data FROM pg_logical_slot_get_changes('s', NULL, NULL)";
    let rows = client.query(changes, &[]).unwrap();
    assert_eq!(rows.len(), notes);
    for row in rows {
        let line: String = row.get(0);
        let found: Vec<&str> = line.split(' ').skip(1).collect();
        let (of_key, of_all) = found.split_at(4);
        for values in [of_key, of_all] {
            assert!(values.iter().all(|value| *value == values[0]), "{line}");
        }
    }
}

#[test]
fn an_output_plugin_reads_a_table_by_the_index_as_it_was_at_each_change() {
    let cluster = cluster();
    let mut client = cluster.connect();
    create(&mut client);
    client.script("SELECT pg_create_logical_replication_slot('s', 'historic')").unwrap();
    let notes = write(&mut client);
    assert_decoded(&mut client, notes);
    // The slot keeps nothing any more.
    if is_learned() {
        client.script("VACUUM (INDEX_CLEANUP on) c").unwrap();
        retrain(&mut client, "c_k");
        assert_eq!(check(&mut client, "c_k").unmerged, 0);
    }
}

#[test]
fn an_output_plugin_on_a_standby_reads_a_table_by_the_index_as_it_was_at_each_change() {
    let primary = cluster();
    let mut client = primary.connect();
    if major_version(&mut client) < 16 {
        return println!("skipped: a standby of this version decodes nothing");
    }
    create(&mut client);
    // The primary keeps what the slot of the standby needs, also while that is not connected.
    client.script("SELECT pg_create_physical_replication_slot('p', true)").unwrap();
    let standby = primary.standby();
    let mut reader = standby.connect();
    reader
        .script(
            "ALTER SYSTEM SET hot_standby_feedback = on; ALTER SYSTEM SET primary_slot_name = 'p';
             ALTER SYSTEM SET wal_receiver_status_interval = '1s'; SELECT pg_reload_conf()",
        )
        .unwrap();
    // The slot is made from a record of the transactions that run, which comes after the wish for
    // it.
    let create_slot = "SELECT pg_create_logical_replication_slot('s', 'historic')";
    let created = server_tests::in_background(standby.connect(), create_slot);
    wait_until("the slot is made", || {
        client.script("SELECT pg_log_standby_snapshot()").unwrap();
        created.is_finished()
    });
    created.join().unwrap().1.unwrap();
    wait_until("the primary knows what the slot needs", || {
        let kept =
            "SELECT catalog_xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'p'";
        client.query_one(kept, &[]).unwrap().get(0)
    });
    let notes = write(&mut client);
    standby.catch_up(&primary);
    assert_decoded(&mut reader, notes);
}
