//! Entries of dead rows that inserts take out, and standbys whose snapshots still see these rows.

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{
    Cluster, Script, Shutdown, Subject, access_method, check, in_background, is_learned,
    learned_options, pid_of, wait_until,
};

/// The version of the row that a session sees by the index.
const ROW: &str = "SELECT id FROM t WHERE k = 7";
/// The row gets another version, and each index of it an entry. The column of the index under test
/// does not change.
const UPDATE: &str = "UPDATE t SET id = id + 1 WHERE k = 7";

/// A primary that goes by no snapshot of its standbys. Their delay is short, for old snapshots;
/// nothing is measured.
const SHARP: &str = "wal_level = replica\nmax_wal_senders = 4\nhot_standby_feedback = off\n\
    max_standby_streaming_delay = 100ms\nwal_consistency_checking = all\nwal_keep_size = 1GB";

/// Whether replay has ended what a session did: the statement, or between two statements the
/// session.
fn is_conflict(error: &postgres::Error) -> bool {
    error.code().is_none_or(|code| {
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::ADMIN_SHUTDOWN].contains(code)
    })
}

fn assert_replayed_alike(cluster: &Cluster) {
    let log = cluster.log();
    assert!(!log.contains("inconsistent page") && !log.contains("PANIC"), "{log}");
}

fn session(cluster: &Cluster) -> Client {
    let mut client = cluster.connect();
    client
        .script(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; SET statement_timeout = '60s'",
        )
        .unwrap();
    client
}

/// A session in a transaction that sees the row as it is now, by the index.
fn snapshot(cluster: &Cluster) -> (Client, i32) {
    let mut client = session(cluster);
    client.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    let id = client.query_one(ROW, &[]).unwrap().get(0);
    (client, id)
}

fn update(client: &mut Client, times: usize) {
    (0..times).for_each(|_| client.script(UPDATE).unwrap());
}

fn unmerged(client: &mut Client) -> i64 {
    check(client, "t_k").unmerged
}

/// The record in the log that tells standbys the horizon: how often, and the last one.
fn horizons(cluster: &Cluster, client: &mut Client, from: &str) -> Vec<String> {
    // What a commit has flushed ends with a record. No catalog changes: pruning one would cancel
    // queries too.
    client.script("SELECT pg_logical_emit_message(true, '', '')").unwrap();
    let end: String =
        client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).unwrap().get(0);
    let wal = cluster.data().join("pg_wal");
    let records = cluster.program(
        "pg_waldump",
        &["--path", wal.to_str().unwrap(), "--rmgr", "Btree", "--start", from, "--end", &end],
    );
    let reuses = records.lines().filter(|line| line.contains("REUSE_PAGE"));
    reuses.map(ToOwned::to_owned).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one course of events")]
fn a_standby_s_query_is_cancelled_before_rows_that_it_sees_lose_their_entries() {
    if !is_learned() {
        return println!("skipped: the log is read for what the learned index does");
    }
    let primary = Cluster::start_with(SHARP);
    let mut writer = session(&primary);
    writer
        .script(&format!(
            "CREATE TABLE t (k int8, id int4);
             CREATE UNIQUE INDEX t_k ON t USING {} (k){}; CREATE INDEX t_id ON t (id);
             INSERT INTO t VALUES (7, 0)",
            access_method(),
            learned_options("auto_retrain = off")
        ))
        .unwrap();
    let begin: String =
        writer.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).unwrap().get(0);
    let standby = primary.standby();
    standby.catch_up(&primary);
    let (mut old, seen_by_old) = snapshot(&standby);
    assert_eq!(seen_by_old, 0);

    // As long as somebody on the primary sees the first version nothing goes.
    let (mut holder, _) = snapshot(&primary);
    update(&mut writer, 60);
    assert_eq!(unmerged(&mut writer), 61);
    assert_eq!(horizons(&primary, &mut writer, &begin), Vec::<String>::new());
    standby.catch_up(&primary);
    assert_eq!(old.query_one(ROW, &[]).unwrap().get::<_, i32>(0), 0);
    let (mut new, seen_by_new) = snapshot(&standby);
    assert_eq!(seen_by_new, 60);
    // A snapshot of another database is in no danger.
    let mut other = standby.connect_to("template1");
    other.script("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class").unwrap();

    holder.script("COMMIT").unwrap();
    let remover: i64 =
        writer.query_one("SELECT xmin::text::int8 FROM t WHERE k = 7", &[]).unwrap().get(0);
    update(&mut writer, 1);
    let left = unmerged(&mut writer);
    assert!(left < 10, "{left} entries of one row are left");
    standby.catch_up(&primary);
    let seen = old.query(ROW, &[]).map(|rows| rows.len());
    let error = seen.expect_err("an old snapshot lives on; it sees so many of its 1 row");
    assert!(is_conflict(&error), "{error:?}");
    assert_eq!(new.query_one(ROW, &[]).unwrap().get::<_, i32>(0), 60);
    let told = horizons(&primary, &mut writer, &begin);
    assert_eq!(told.len(), 1, "{told:?}");
    // The last version but one was removed by the transaction that made the last one.
    assert!(told[0].contains(&format!("0:{remover}")), "{told:?} for {remover}");
    other.script("SELECT 1; COMMIT").unwrap();
    new.script("COMMIT").unwrap();
    assert_eq!(new.query_one(ROW, &[]).unwrap().get::<_, i32>(0), 61);
    Subject::of("t").assert_exact(&mut new);
    check(&mut new, "t_k");

    // The same once more from the log, here and there.
    primary.restart(Shutdown::Crash);
    let mut writer = session(&primary);
    Subject::of("t").assert_exact(&mut writer);
    assert!(unmerged(&mut writer) < 10);
    update(&mut writer, 200);
    assert!(unmerged(&mut writer) < 64);
    primary.restart(Shutdown::Crash);
    standby.restart(Shutdown::Crash);
    for cluster in [&primary, &standby] {
        standby.catch_up(&primary);
        let mut client = session(cluster);
        assert_eq!(client.query_one(ROW, &[]).unwrap().get::<_, i32>(0), 261);
        check(&mut client, "t_k");
        Subject::of("t").assert_exact(&mut client);
        assert_replayed_alike(cluster);
    }
}

#[test]
fn a_running_query_of_a_standby_is_cancelled_too() {
    if !is_learned() {
        return println!("skipped: the rows of a B-tree are pruned");
    }
    let primary = Cluster::start_with(
        "wal_level = replica\nmax_wal_senders = 4\nmax_standby_streaming_delay = 100ms",
    );
    let mut writer = session(&primary);
    writer
        .script(&format!(
            "CREATE TABLE t (k int8, id int4);
             CREATE UNIQUE INDEX t_k ON t USING {} (k){}; CREATE INDEX t_id ON t (id);
             INSERT INTO t VALUES (7, 0)",
            access_method(),
            learned_options("auto_retrain = off")
        ))
        .unwrap();
    let standby = primary.standby();
    standby.catch_up(&primary);
    let mut reader = session(&standby);
    let pid = pid_of(&mut reader);
    let query = "SELECT id, pg_sleep(50) FROM t WHERE k = 7";
    let running = in_background(reader, query);
    let mut watcher = standby.connect();
    wait_until("the query runs", || {
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
        watcher.query_one(waits, &[&pid]).unwrap().get::<_, i64>(0) == 1
    });
    update(&mut writer, 100);
    assert!(unmerged(&mut writer) < 64);
    standby.catch_up(&primary);
    let error = running.join().unwrap().1.expect_err("it was not cancelled");
    assert_eq!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{error:?}");
}

#[test]
fn a_standby_s_query_is_cancelled_before_dead_rows_are_marked_that_it_sees() {
    if !is_learned() {
        return println!("skipped: a B-tree's hints are not replayed");
    }
    let primary = Cluster::start_with(SHARP);
    let mut writer = session(&primary);
    // Two rows a page, and room: a full page is pruned, which tells standbys too.
    writer
        .script(&format!(
            "CREATE TABLE t (k int8, id int4, filler text) WITH (autovacuum_enabled = off);
             ALTER TABLE t ALTER filler SET STORAGE plain;
             INSERT INTO t SELECT g, g, repeat('x', 3000) FROM generate_series(1, 600) g;
             CREATE INDEX t_k ON t USING {} (k){}; VACUUM ANALYZE t",
            access_method(),
            learned_options("auto_retrain = off")
        ))
        .unwrap();
    let begin: String =
        writer.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).unwrap().get(0);
    let standby = primary.standby();
    standby.catch_up(&primary);
    let count = "SELECT count(*) FROM t WHERE k BETWEEN 1 AND 600";
    let seen = |client: &mut Client| client.query_one(count, &[]).map(|row| row.get::<_, i64>(0));
    let mut old = session(&standby);
    old.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    assert_eq!(seen(&mut old).unwrap(), 600);

    // As long as somebody on the primary sees the rows they are not dead to all.
    let mut holder = session(&primary);
    holder.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    assert_eq!(seen(&mut holder).unwrap(), 600);
    writer.script("DELETE FROM t WHERE k <= 200").unwrap();
    assert_eq!(seen(&mut writer).unwrap(), 400);
    assert_eq!(horizons(&primary, &mut writer, &begin), Vec::<String>::new());
    standby.catch_up(&primary);
    assert_eq!(seen(&mut old).unwrap(), 600);
    let mut new = session(&standby);
    new.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    assert_eq!(seen(&mut new).unwrap(), 400);

    holder.script("COMMIT").unwrap();
    // The core computes its horizon anew once there is another transaction.
    writer.script("SELECT txid_current()").unwrap();
    assert_eq!(seen(&mut writer).unwrap(), 400);
    assert!(!horizons(&primary, &mut writer, &begin).is_empty(), "no horizon was told");
    standby.catch_up(&primary);
    let counted = seen(&mut old);
    let error = counted.expect_err("an old snapshot lives on; rows that it sees, of 600");
    assert!(is_conflict(&error), "{error:?}");
    assert_eq!(seen(&mut new).unwrap(), 400);
    Subject::of("t").assert_exact(&mut new);
    check(&mut new, "t_k");
    primary.restart(Shutdown::Crash);
    standby.restart(Shutdown::Crash);
    for cluster in [&primary, &standby] {
        standby.catch_up(&primary);
        let mut client = session(cluster);
        assert_eq!(seen(&mut client).unwrap(), 400);
        Subject::of("t").assert_exact(&mut client);
        check(&mut client, "t_k");
        assert_replayed_alike(cluster);
    }
}
