//! Dumps, plain and custom, and what is restored of them.

use postgres::Client;
use server_tests::{Cluster, Script, access_method, check, is_learned, learned_options};

use super::zoo;

/// What only a definition has: marks of an index, options set later, partitions.
fn create_more(client: &mut Client) {
    let am = access_method();
    client
        .script(&format!(
            "CREATE TABLE marked (k int8 NOT NULL, id int4);
             CREATE UNIQUE INDEX marked_k ON marked USING {am} (k){};
             ALTER TABLE marked REPLICA IDENTITY USING INDEX marked_k;
             ALTER TABLE marked CLUSTER ON marked_k;
             CREATE INDEX marked_e ON marked USING {am} ((k * 2));
             ALTER INDEX marked_e ALTER COLUMN 1 SET STATISTICS 321;
             COMMENT ON INDEX marked_e IS 'twice';
             INSERT INTO marked SELECT g, g FROM generate_series(1, 5000) g;
             CREATE TABLE parts (k int8, id int4) PARTITION BY RANGE (id);
             CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (3000);
             CREATE INDEX parts_k ON parts USING {am} (k);
             CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (3000) TO (10000);
             INSERT INTO parts SELECT g * 7, g FROM generate_series(1, 6000) g",
            learned_options("model = rmi, fillfactor = 90"),
        ))
        .unwrap();
    if is_learned() {
        client
            .script(
                "ALTER INDEX marked_k SET (retrain_threshold = 9); ALTER INDEX parts_1_k_idx SET \
                 (model = linear)",
            )
            .unwrap();
    } else {
        client.script("ALTER INDEX parts_1_k_idx SET (fillfactor = 77)").unwrap();
    }
}

#[test]
fn restored_indexes_are_defined_as_before_and_exact() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    zoo::create(&mut client);
    create_more(&mut client);
    let definitions = zoo::definitions(&mut client);
    assert!(definitions.len() > 20, "{definitions:#?}");
    let rows = zoo::rows(&mut client);

    let files = cluster.new_directory("dump");
    let (plain, custom) = (files.join("plain.sql"), files.join("custom.dump"));
    let (plain, custom) = (plain.to_str().unwrap(), custom.to_str().unwrap());
    let socket = cluster.data().parent().unwrap().to_str().unwrap().to_owned();
    let server = ["--host", &socket, "--username", "postgres"];
    cluster.run("pg_dump", &server, &["--file", plain, "postgres"]);
    cluster.run("pg_dump", &server, &["--format", "custom", "--file", custom, "postgres"]);
    for name in ["of_plain", "of_custom"] {
        client.script(&format!("CREATE DATABASE {name} TEMPLATE template0")).unwrap();
        let into = ["--dbname", name];
        if name == "of_plain" {
            let quiet = ["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", plain];
            cluster.run("psql", &server, &[&into[..], &quiet[..]].concat());
        } else {
            let jobs = ["--jobs", "2", "--exit-on-error", custom];
            cluster.run("pg_restore", &server, &[&into[..], &jobs[..]].concat());
        }
        let mut restored = cluster.connect_to(name);
        let found = zoo::definitions(&mut restored);
        assert!(found == definitions, "{found:#?} instead of {definitions:#?}");
        assert!(zoo::rows(&mut restored) == rows, "other rows than before");
        zoo::assert_exact(&mut restored);
        for index in ["marked_k", "marked_e", "parts_1_k_idx", "parts_2_k_idx"] {
            check(&mut restored, index);
        }
        zoo::change(&mut restored, 0);
        zoo::assert_exact(&mut restored);
    }
}
