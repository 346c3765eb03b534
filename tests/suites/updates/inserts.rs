//! Inserts, updates and deletes against indexes of every size, order and kind.

use std::io::Write;

use postgres::Client;
use server_tests::{Cluster, Script, Subject, access_method, learned_options, retrain};

use super::create;

/// Compares, then merges, compares, vacuums and compares again.
fn assert_exact_throughout(client: &mut Client, subject: &Subject, table: &str) {
    subject.assert_exact(client);
    retrain(client, &format!("{table}_k"));
    subject.assert_exact(client);
    client.script(&format!("VACUUM {table}")).unwrap();
    subject.assert_exact(client);
}

const INSERTS: [&str; 10] = [
    "VALUES (7, 1000001)",
    "VALUES (NULL, 1000002), (7, 1000003), (-5, 1000004), (7, 1000005)",
    "VALUES (9223372036854775807, 1000006), (-9223372036854775808, 1000007)",
    "SELECT 100000 + g, 1100000 + g FROM generate_series(1, 2000) g",
    "SELECT -g, 1200000 + g FROM generate_series(1, 2000) g",
    "SELECT hashint8(g) % 30000, 1300000 + g FROM generate_series(1, 2000) g",
    "SELECT hashint8extended(g, 1), 1400000 + g FROM generate_series(1, 2000) g",
    "SELECT 4242, 1500000 + g FROM generate_series(1, 2000) g",
    "SELECT NULL, 1600000 + g FROM generate_series(1, 500) g",
    "SELECT k / 2 + 1, id + 2000000 FROM {table} WHERE id % 7 = 0",
];

#[test]
fn rows_inserted_into_an_index_of_any_size_are_found() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for (table, rows) in [("empty", 0), ("one", 1), ("small", 150), ("large", 20_000)] {
        create(&mut client, "", table, rows);
        let subject = Subject::of(table);
        for (number, rows) in INSERTS.iter().enumerate() {
            let rows = rows.replace("{table}", table);
            client.script(&format!("INSERT INTO {table} {rows}")).unwrap();
            subject.assert_exact(&mut client);
            if number % 3 == 2 {
                retrain(&mut client, &format!("{table}_k"));
                subject.assert_exact(&mut client);
            }
        }
        assert_exact_throughout(&mut client, &subject, table);
    }
}

#[test]
fn copied_rows_are_found() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for rows in [0, 5_000] {
        let table = format!("t{rows}");
        create(&mut client, "", &table, rows);
        let mut copy = client.copy_in(&format!("COPY {table} FROM STDIN")).unwrap();
        for id in 100_000..130_000i64 {
            // Far apart and out of order, with a NULL now and then.
            let key = id * 7_919 % 30_011;
            if key % 50 == 0 { writeln!(copy, "\\N\t{id}") } else { writeln!(copy, "{key}\t{id}") }
                .unwrap();
        }
        assert_eq!(copy.finish().unwrap(), 30_000);
        assert_exact_throughout(&mut client, &Subject::of(&table), &table);
    }
}

#[test]
fn updated_keys_move_and_old_ones_are_gone() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "", "t", 20_000);
    let subject = Subject::of("t");
    for update in [
        "UPDATE t SET k = -k WHERE id % 5 = 0",
        "UPDATE t SET k = k + 1",
        "UPDATE t SET k = NULL WHERE id BETWEEN 100 AND 900",
        "UPDATE t SET k = id WHERE k IS NULL",
        "UPDATE t SET k = 42 WHERE id % 11 = 0",
        "UPDATE t SET k = hashint8(id) WHERE id % 3 = 0",
        "UPDATE t SET id = -id WHERE id % 4 = 0",
    ] {
        client.script(update).unwrap();
        subject.assert_exact(&mut client);
        client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
        subject.assert_exact(&mut client);
        retrain(&mut client, "t_k");
        subject.assert_exact(&mut client);
    }
}

#[test]
fn rows_inserted_where_vacuum_removed_others_are_found_and_the_others_are_not() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "", "t", 20_000);
    let subject = Subject::of("t");
    for round in 0..6 {
        let (rest, base) = (round % 3, 100_000 * (round + 1));
        client
            .script(&format!(
                "DELETE FROM t WHERE id % 3 = {rest};
                 VACUUM (INDEX_CLEANUP on) t;
                 INSERT INTO t SELECT g * {round}, {base} + g FROM generate_series(1, 6000) g"
            ))
            .unwrap();
        subject.assert_exact(&mut client);
        if round % 2 == 1 {
            retrain(&mut client, "t_k");
            subject.assert_exact(&mut client);
        }
    }
    // From nothing to something, twice, in the places of the former rows.
    for _ in 0..2 {
        client.script("DELETE FROM t; VACUUM t").unwrap();
        subject.assert_exact(&mut client);
        client.script("INSERT INTO t SELECT g % 100, g FROM generate_series(1, 4000) g").unwrap();
        assert_exact_throughout(&mut client, &subject, "t");
    }
}

#[test]
fn inserts_keep_the_declared_order_of_keys_and_nulls() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for (number, (order, descending, nulls_first)) in [
        ("ASC NULLS LAST", false, false),
        ("ASC NULLS FIRST", false, true),
        ("DESC NULLS FIRST", true, true),
        ("DESC NULLS LAST", true, false),
    ]
    .into_iter()
    .enumerate()
    {
        let table = format!("t{number}");
        client
            .script(&format!(
                "CREATE TABLE {table} (k int8, id int4);
                 INSERT INTO {table} SELECT g, g FROM generate_series(1, 5000) g;
                 CREATE INDEX {table}_k ON {table} USING {} (k {order}){}",
                access_method(),
                learned_options("retrain_threshold = 5"),
            ))
            .unwrap();
        let subject = Subject::of(&table).ordered(descending, nulls_first);
        for (rows, base) in [(3, 10_000), (400, 20_000), (4000, 30_000)] {
            client
                .script(&format!(
                    "INSERT INTO {table} SELECT nullif(hashint4(g) % 9000, 42) / (g % 9), {base} + g
                         FROM generate_series(1, {rows}) g WHERE g % 9 <> 0;
                     INSERT INTO {table} SELECT NULL, -{base} - g
                         FROM generate_series(1, {rows} / 10) g"
                ))
                .unwrap();
            assert_exact_throughout(&mut client, &subject, &table);
        }
    }
}

#[test]
fn partial_and_expression_indexes_take_what_belongs_into_them() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let (access_method, options) = (access_method(), learned_options("retrain_threshold = 5"));
    client
        .script(&format!(
            "CREATE TABLE p (k int8, id int4, live bool);
             CREATE TABLE e (k int8, id int4);
             INSERT INTO p SELECT g, g, g % 2 = 0 FROM generate_series(1, 5000) g;
             INSERT INTO e SELECT g, g FROM generate_series(1, 5000) g;
             CREATE INDEX p_k ON p USING {access_method} (k){options} WHERE live;
             CREATE INDEX e_k ON e USING {access_method} ((abs(k) % 1000)){options}"
        ))
        .unwrap();
    let partial = Subject::of("p").restricted("live");
    let expression = Subject::of("e").keyed("(abs(k) % 1000)");
    for round in 1..4 {
        client
            .script(&format!(
                "INSERT INTO p SELECT -g, {round} * 10000 + g, g % 3 = 0
                     FROM generate_series(1, 2000) g;
                 UPDATE p SET live = NOT live WHERE id % 10 = {round};
                 UPDATE p SET k = k + 1 WHERE id % 10 = {round} + 1;
                 DELETE FROM p WHERE id % 10 = {round} + 2;
                 INSERT INTO e SELECT nullif(g, 42) * {round}, {round} * 10000 + g
                     FROM generate_series(1, 2000) g;
                 UPDATE e SET k = -k WHERE id % 10 = {round};
                 UPDATE e SET k = k + 500 WHERE id % 10 = {round} + 1;
                 DELETE FROM e WHERE id % 10 = {round} + 2"
            ))
            .unwrap();
        assert_exact_throughout(&mut client, &partial, "p");
        assert_exact_throughout(&mut client, &expression, "e");
    }
}

#[test]
fn temporary_and_unlogged_indexes_take_inserts() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for (table, kind, rows) in [
        ("temporary", "TEMPORARY", 10_000),
        ("temporary_empty", "TEMPORARY", 0),
        ("unlogged", "UNLOGGED", 10_000),
        ("unlogged_empty", "UNLOGGED", 0),
    ] {
        create(&mut client, kind, table, rows);
        for round in 1..4 {
            client
                .script(&format!(
                    "INSERT INTO {table} SELECT hashint4(g), {round} * 100000 + g
                         FROM generate_series(1, 3000) g;
                     UPDATE {table} SET k = k + 1 WHERE id % 7 = {round};
                     DELETE FROM {table} WHERE id % 5 = {round}"
                ))
                .unwrap();
            assert_exact_throughout(&mut client, &Subject::of(table), table);
        }
    }
    // ON COMMIT DELETE ROWS truncates at each commit.
    client
        .script(&format!(
            "CREATE TEMPORARY TABLE brief (k int8, id int4) ON COMMIT DELETE ROWS;
             CREATE INDEX brief_k ON brief USING {} (k)",
            access_method()
        ))
        .unwrap();
    for rows in [10, 3_000] {
        client
            .script(&format!(
                "BEGIN; INSERT INTO brief SELECT g, g FROM generate_series(1, {rows}) g"
            ))
            .unwrap();
        Subject::of("brief").assert_exact(&mut client);
        client.script("COMMIT").unwrap();
        Subject::of("brief").assert_exact(&mut client);
    }
}
