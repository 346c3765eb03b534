//! What transactions take back, keep in savepoints or leave prepared.

use server_tests::{Cluster, Script, Shutdown, Subject, retrain};

use super::create;

#[test]
fn rolled_back_and_released_savepoints_leave_what_the_table_has() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "", "t", 5_000);
    let subject = Subject::of("t");
    for (number, end) in ["COMMIT", "ROLLBACK", "COMMIT"].into_iter().enumerate() {
        let base = 100_000 * (number + 1);
        client
            .script(&format!(
                "BEGIN;
                 INSERT INTO t SELECT g, {base} + g FROM generate_series(1, 500) g;
                 SAVEPOINT a;
                 INSERT INTO t SELECT g, {base} + 1000 + g FROM generate_series(1, 500) g;
                 SAVEPOINT b;
                 DELETE FROM t WHERE id % 3 = 0;
                 UPDATE t SET k = k + 10000 WHERE id % 3 = 1;
                 ROLLBACK TO b;
                 INSERT INTO t SELECT -g, {base} + 2000 + g FROM generate_series(1, 500) g;
                 RELEASE b"
            ))
            .unwrap();
        // A transaction sees its own rows.
        subject.assert_exact(&mut client);
        client.script("ROLLBACK TO a").unwrap();
        subject.assert_exact(&mut client);
        client.script("INSERT INTO t VALUES (42, 1), (NULL, 2), (43, 3)").unwrap();
        subject.assert_exact(&mut client);
        client.script(end).unwrap();
        subject.assert_exact(&mut client);
        retrain(&mut client, "t_k");
        subject.assert_exact(&mut client);
        client.script("VACUUM t").unwrap();
        subject.assert_exact(&mut client);
    }
}

#[test]
fn an_insert_that_fails_half_way_leaves_no_rows() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "", "t", 5_000);
    let subject = Subject::of("t");
    let before = subject.rows(&mut client).unwrap();
    for statement in [
        "INSERT INTO t SELECT g, 10 / (1500 - g) FROM generate_series(1, 3000) g",
        "UPDATE t SET k = 1 / (id - 4000)",
        "DO 'BEGIN INSERT INTO t SELECT g, g FROM generate_series(1, 2000) g; RAISE \
         division_by_zero; END'",
    ] {
        client.batch_execute(statement).expect_err(statement);
        assert!(subject.rows(&mut client).unwrap() == before, "{statement}");
        subject.assert_exact(&mut client);
        retrain(&mut client, "t_k");
        subject.assert_exact(&mut client);
        client.script("VACUUM t").unwrap();
        subject.assert_exact(&mut client);
    }
}

#[test]
fn prepared_transactions_show_their_rows_when_committed_also_after_a_crash() {
    let cluster = Cluster::start_with("max_prepared_transactions = 10");
    let mut client = cluster.connect();
    create(&mut client, "", "t", 5_000);
    let subject = Subject::of("t");
    for (name, base) in [("now", 10_000), ("never", 20_000), ("later", 30_000), ("nor", 40_000)] {
        client
            .script(&format!(
                "BEGIN;
                 INSERT INTO t SELECT g % 700, {base} + g FROM generate_series(1, 2000) g;
                 UPDATE t SET k = k + 5000 WHERE id BETWEEN {base} / 100 AND {base} / 100 + 50;
                 DELETE FROM t WHERE id BETWEEN {base} / 100 + 51 AND {base} / 100 + 99;
                 PREPARE TRANSACTION '{name}'"
            ))
            .unwrap();
        subject.assert_exact(&mut client);
    }
    // What is prepared must outlive merges and vacuums.
    retrain(&mut client, "t_k");
    client.script("VACUUM t").unwrap();
    subject.assert_exact(&mut client);
    client.script("COMMIT PREPARED 'now'; ROLLBACK PREPARED 'never'").unwrap();
    subject.assert_exact(&mut client);

    cluster.restart(Shutdown::Crash);
    let mut client = cluster.connect();
    subject.assert_exact(&mut client);
    retrain(&mut client, "t_k");
    subject.assert_exact(&mut client);
    client.script("COMMIT PREPARED 'later'; ROLLBACK PREPARED 'nor'").unwrap();
    subject.assert_exact(&mut client);
    retrain(&mut client, "t_k");
    client.script("VACUUM t").unwrap();
    subject.assert_exact(&mut client);
    let rows = subject.rows(&mut client).unwrap();
    let of = |base| rows.iter().filter(|row| (base..base + 10_000).contains(&row.1)).count();
    assert_eq!([of(10_000), of(20_000), of(30_000), of(40_000)], [2_000, 0, 2_000, 0]);
}
