//! Logical replication whose replica identity is a UNIQUE index of the access method.

use postgres::Client;
use server_tests::{
    Cluster, Script, Subject, access_method, learned_options, major_version, retrain, wait_until,
};

fn create(client: &mut Client) {
    client
        .script(&format!(
            "CREATE TABLE t (k int8 NOT NULL, id int4);
             CREATE UNIQUE INDEX t_k ON t USING {} (k){};
             ALTER TABLE t REPLICA IDENTITY USING INDEX t_k",
            access_method(),
            learned_options("retrain_threshold = 5"),
        ))
        .unwrap();
}

/// Waits until the subscriber has applied what the publisher has written.
fn catch_up(publisher: &mut Client) {
    let written: String =
        publisher.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).unwrap().get(0);
    let applied = format!(
        "SELECT count(*) FROM pg_stat_replication
         WHERE application_name = 's' AND replay_lsn >= '{written}'"
    );
    wait_until("the subscriber has applied all", || {
        publisher.query_one(&applied, &[]).unwrap().get::<_, i64>(0) == 1
    });
}

#[test]
fn a_subscriber_finds_the_rows_to_update_and_delete_by_the_replica_identity() {
    let publisher = Cluster::start_with("wal_level = logical");
    let mut writer = publisher.connect();
    if server_tests::is_learned() && [16, 17].contains(&major_version(&mut writer)) {
        return println!("skipped: these versions look rows up by B-trees only");
    }
    let subscriber = Cluster::start_with("");
    let mut reader = subscriber.connect();
    create(&mut writer);
    create(&mut reader);
    writer
        .script(
            "INSERT INTO t SELECT g * 10, g FROM generate_series(1, 5000) g;
             CREATE PUBLICATION p FOR TABLE t",
        )
        .unwrap();
    reader
        .script(&format!(
            "CREATE SUBSCRIPTION s CONNECTION '{}' PUBLICATION p",
            publisher.conninfo()
        ))
        .unwrap();
    wait_until("the first copy is made", || {
        let ready = "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate = 'r'";
        reader.query_one(ready, &[]).unwrap().get::<_, i64>(0) == 1
    });
    let subject = Subject::of("t");
    for round in 1..5 {
        writer
            .script(&format!(
                "INSERT INTO t SELECT g * 10 + {round}, {round} * 10000 + g
                     FROM generate_series(1, 1000) g;
                 UPDATE t SET id = -id WHERE id % 7 = {round};
                 UPDATE t SET k = k + 100000 * {round} WHERE id % 11 = {round};
                 DELETE FROM t WHERE id % 13 = {round};
                 BEGIN; DELETE FROM t WHERE k < 1000; ROLLBACK"
            ))
            .unwrap();
        catch_up(&mut writer);
        let (here, there) =
            (subject.rows(&mut reader).unwrap(), subject.rows(&mut writer).unwrap());
        assert!(here == there, "{} rows instead of {}", here.len(), there.len());
        subject.assert_exact(&mut reader);
        subject.assert_exact(&mut writer);
        if round % 2 == 0 {
            retrain(&mut reader, "t_k");
            retrain(&mut writer, "t_k");
            reader.script("VACUUM t").unwrap();
            writer.script("VACUUM t").unwrap();
        }
    }
    assert!(!subscriber.log().contains("ERROR"), "{}", subscriber.log());
}
