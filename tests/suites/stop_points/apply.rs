//! A subscriber that looks for the row of a change against VACUUM.

use postgres::Client;
use server_tests::{Cluster, Script, in_background, major_version, retrain, wait_until, waits_for};

/// The rows that the subscriber has, each with its key.
fn keys(client: &mut Client) -> Vec<i64> {
    client.query("SELECT k FROM t ORDER BY k", &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// Apply looks up the row by the replica identity under a dirty snapshot, and trusts the index: any
/// row that has the heap TID of a dead entry by then would be deleted in its place.
#[test]
#[expect(clippy::too_many_lines, reason = "one course of events")]
fn a_subscriber_takes_no_row_for_the_dead_one_that_had_its_heap_tid() {
    let publisher = Cluster::start_with("wal_level = logical");
    let mut writer = publisher.connect();
    if [16, 17].contains(&major_version(&mut writer)) {
        return println!("skipped: these versions look rows up by B-trees only");
    }
    let subscriber = Cluster::start_with_stops("");
    let mut reader = subscriber.connect();
    for unmerged in [false, true] {
        let table = |method: &str| {
            format!(
                "CREATE TABLE t (k int8 NOT NULL, id int4);
                     CREATE UNIQUE INDEX t_k ON t USING {method};
                 ALTER TABLE t REPLICA IDENTITY USING INDEX t_k"
            )
        };
        writer.script(&table("btree (k)")).unwrap();
        reader.script(&table("learned (k) WITH (auto_retrain = off)")).unwrap();
        writer
            .script(
                "INSERT INTO t SELECT g, g FROM generate_series(1, 100) g; CREATE PUBLICATION p \
                 FOR TABLE t",
            )
            .unwrap();
        let connection = publisher.conninfo();
        reader
            .script(&format!("CREATE SUBSCRIPTION s CONNECTION '{connection}' PUBLICATION p"))
            .unwrap();
        wait_until("the first copy is made", || {
            let ready = "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate = 'r'";
            reader.query_one(ready, &[]).unwrap().get::<_, i64>(0) == 1
        });
        if !unmerged {
            retrain(&mut reader, "t_k");
        }
        // A dead entry of the key, and behind it the one that is looked for.
        writer.script("DELETE FROM t WHERE k = 5; INSERT INTO t VALUES (5, -5)").unwrap();
        wait_until("the row is replaced", || {
            !reader.query("SELECT FROM t WHERE id = -5", &[]).unwrap().is_empty()
        });
        let worker = "SELECT pid FROM pg_stat_subscription WHERE subname = 's' AND relid IS NULL";
        let worker: i32 = reader.query_one(worker, &[]).unwrap().get(0);
        let stop = subscriber.stop_at("ScanCopied", Some(worker), 0);
        writer.script("DELETE FROM t WHERE k = 5").unwrap();
        stop.wait();
        let mut other = subscriber.connect();
        let pid = server_tests::pid_of(&mut other);
        let vacuum = in_background(other, "VACUUM t");
        wait_until("VACUUM waits for the pin, or is done", || {
            vacuum.is_finished() || waits_for(&mut reader, pid).as_deref() == Some("BufferPin")
        });
        if vacuum.is_finished() {
            reader.script("INSERT INTO t SELECT g, g FROM generate_series(101, 110) g").unwrap();
        }
        stop.release();
        vacuum.join().unwrap().1.unwrap();
        writer.script("INSERT INTO t VALUES (1000, 0)").unwrap();
        wait_until("all is applied", || keys(&mut reader).contains(&1000));
        let mut left = keys(&mut reader);
        left.retain(|key| *key <= 110);
        let added = left.iter().filter(|key| **key > 100).count();
        let expected: Vec<i64> = (1..101 + added as i64).filter(|key| *key != 5).collect();
        assert_eq!(left, expected, "unmerged: {unmerged}");
        assert!(added == 0 || added == 10, "{added} rows are left of 10");
        reader.script("DROP SUBSCRIPTION s; DROP TABLE t").unwrap();
        writer.script("DROP PUBLICATION p; DROP TABLE t").unwrap();
    }
}
