//! First rows of groups while other sessions write, merge and vacuum.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use postgres::Client;
use postgres::error::SqlState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Job, Script, access_method, check, is_learned, learned_options, plan_of, run_together,
    seed, test_duration, try_retrain,
};

use super::both_ways::{Tally, compare};
use super::statements::Statement;
use crate::concurrency::writers;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const DEVICES: i32 = 40;

/// A statement over the table of `writers`, whose index is on `(note, k DESC, id)`.
fn statement(rng: &mut StdRng) -> Statement {
    let key = rng.random_range(0..15_000);
    let filter = match rng.random_range(0..8) {
        0 => format!(" WHERE k < {key}"),
        1 => format!(" WHERE k >= {key}"),
        2 => " WHERE note IN (0, 1, 3)".to_owned(),
        3 => format!(" WHERE id % 50 = {}", key % 50),
        4 => " WHERE k IS NULL".to_owned(),
        _ => String::new(),
    };
    let shown = ["*", "note, k, id"][rng.random_range(0..2)];
    let order = ["note, k DESC, id", "note DESC, k, id DESC", "note, k, id DESC"];
    let order = order[rng.random_range(0..3)];
    let limit = ["", "", " LIMIT 3"][rng.random_range(0..3)];
    let text = format!("SELECT DISTINCT ON (note) {shown} FROM t{filter} ORDER BY {order}{limit}");
    let explain = format!("EXPLAIN (COSTS OFF) {text}");
    Statement { kind: "beside", text, explain, unordered: false, applies: true }
}

/// Whether replay has cancelled a statement.
fn is_cancelled(error: &postgres::Error) -> bool {
    let codes = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| codes.contains(code))
}

/// Compares statements, each batch in a snapshot of its own. A standby may cancel it.
fn reader<'a>(
    cluster: &Cluster,
    number: u64,
    tally: &'a Mutex<Tally>,
    cancelled: &'a AtomicU64,
) -> Job<'a> {
    let mut client = writers::session(cluster);
    let mut rng = StdRng::seed_from_u64(seed().wrapping_add(number));
    Job::endless(&format!("reader {number}"), move || {
        let all: Vec<_> = (0..rng.random_range(1..8)).map(|_| statement(&mut rng)).collect();
        match compare(&mut client, BEGIN, &all, "") {
            Ok(one) => tally.lock().unwrap().add(&one),
            Err(error) => {
                assert!(is_cancelled(&error), "{error:?}");
                cancelled.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

/// Makes `readings (d, ts, id)` and `newest (d, ts)`: in every snapshot, `newest` tells the time of
/// the last reading of each device.
fn create_newest(client: &mut Client) {
    client
        .script(&format!(
            "CREATE TABLE readings (d int4, ts int8, id int8) WITH (fillfactor = 80);
             CREATE TABLE newest (d int4 PRIMARY KEY, ts int8) WITH (fillfactor = 50);
             INSERT INTO newest SELECT d, 100 FROM generate_series(1, {DEVICES}) d;
             INSERT INTO readings
                 SELECT d, s, s * 1000 + d FROM newest, generate_series(1, 100) s;
             CREATE INDEX readings_d ON readings USING {} (d, ts DESC){};
             CREATE INDEX ON readings (id);
             VACUUM ANALYZE readings, newest",
            access_method(),
            learned_options("fillfactor = 10, retrain_threshold = 2"),
        ))
        .unwrap();
}

/// Adds readings, takes the last ones away again, and removes old ones.
fn newest_jobs(cluster: &Cluster) -> Vec<Job<'_>> {
    let writer = |number: u64| {
        let mut client = writers::session(cluster);
        let mut rng = StdRng::seed_from_u64(seed().wrapping_add(100 + number));
        Job::endless("writer of readings", move || {
            let (device, some) = (rng.random_range(1..=DEVICES), rng.random_range(1..6));
            let statements = match rng.random_range(0..6) {
                0 => format!(
                    "UPDATE newest SET ts = (SELECT max(ts) FROM readings WHERE d = {device}
                         AND ts < newest.ts) WHERE d = {device}
                         AND (SELECT count(*) FROM readings WHERE d = {device}) > 20;
                     DELETE FROM readings r USING newest n
                         WHERE r.d = {device} AND n.d = r.d AND r.ts > n.ts"
                ),
                1 => format!(
                    "DELETE FROM readings WHERE d = {device} AND ts < (SELECT ts FROM newest
                         WHERE d = {device}) - 60"
                ),
                _ => format!(
                    "UPDATE newest SET ts = ts + {some} WHERE d = {device};
                     INSERT INTO readings
                         SELECT d, ts, ts * 1000 + d FROM newest WHERE d = {device}"
                ),
            };
            // What comes after that sees what the session has waited for.
            let lock = format!("SELECT FROM newest WHERE d = {device} FOR UPDATE");
            let end = if rng.random_bool(0.1) { "ROLLBACK" } else { "COMMIT" };
            if let Err(error) = client.script(&format!("BEGIN; {lock}; {statements}; {end}")) {
                let deadlock = Some(&SqlState::T_R_DEADLOCK_DETECTED);
                assert_eq!(error.code(), deadlock, "{statements}: {error:?}");
                client.script("ROLLBACK").unwrap();
            }
        })
    };
    let mut jobs: Vec<_> = (0..2).map(writer).collect();
    let mut client = writers::session(cluster);
    jobs.push(Job::endless("vacuum and merge of readings", move || {
        client.script("VACUUM readings; VACUUM newest").unwrap();
        try_retrain(&mut client, "readings_d").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }));
    jobs
}

/// Asks for the last reading of each device, in statements with a snapshot each.
fn newest_reader<'a>(cluster: &Cluster, number: u64, cancelled: &'a AtomicU64) -> Job<'a> {
    let mut client = writers::session(cluster);
    client
        .script("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off")
        .unwrap();
    let mut rng = StdRng::seed_from_u64(seed().wrapping_add(200 + number));
    Job::endless("reader of readings", move || {
        let shown = ["*", "d, ts"][rng.random_range(0..2)];
        let query = format!(
            "WITH x AS MATERIALIZED
                 (SELECT DISTINCT ON (d) {shown} FROM readings ORDER BY d, ts DESC)
             SELECT count(*), count(*) FILTER (WHERE x.ts = n.ts) FROM x JOIN newest n USING (d)"
        );
        if is_learned() && rng.random_bool(0.02) {
            let plan = plan_of(&mut client, &query);
            assert!(plan.contains("LearnedDistinct"), "{plan}");
        }
        match client.query_one(&query, &[]) {
            Ok(row) => {
                let (found, newest): (i64, i64) = (row.get(0), row.get(1));
                assert_eq!((found, newest), (DEVICES.into(), DEVICES.into()), "{query}");
            }
            Err(error) => {
                assert!(is_cancelled(&error), "{error:?}");
                cancelled.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

#[test]
fn first_rows_agree_with_a_sequential_scan_while_others_write_merge_and_vacuum() {
    let cluster = Cluster::start_with("deadlock_timeout = 50ms");
    let mut client = cluster.connect();
    writers::create_on(&mut client, "(note, k DESC, id)");
    let (tally, cancelled) = (Mutex::default(), AtomicU64::new(0));
    let mut jobs: Vec<_> =
        (0..2).map(|number| reader(&cluster, number, &tally, &cancelled)).collect();
    jobs.extend(writers::jobs(&cluster));
    let steps = run_together(test_duration(0.6), jobs);
    println!("2 readers, inserter, appender, updater, deleter, vacuum, merge: {steps:?}");
    assert!(steps.iter().all(|steps| *steps > 0), "somebody did nothing: {steps:?}");
    assert_eq!(cancelled.into_inner(), 0, "nobody cancels on a primary");
    tally.into_inner().unwrap().assert_used("beside writers");
    check(&mut client, "t_k");
}

#[test]
fn the_last_reading_of_each_device_is_that_of_its_snapshot() {
    let cluster = Cluster::start_with("deadlock_timeout = 50ms");
    let mut client = cluster.connect();
    create_newest(&mut client);
    let cancelled = AtomicU64::new(0);
    let mut jobs: Vec<_> =
        (0..2).map(|number| newest_reader(&cluster, number, &cancelled)).collect();
    jobs.extend(newest_jobs(&cluster));
    let steps = run_together(test_duration(0.6), jobs);
    println!("2 readers, 2 writers, vacuum and merge: {steps:?}");
    assert!(steps.iter().all(|steps| *steps > 0), "somebody did nothing: {steps:?}");
    assert_eq!(cancelled.into_inner(), 0, "nobody cancels on a primary");
    check(&mut client, "readings_d");
}

#[test]
fn so_it_is_on_a_standby_beside_replay() {
    let primary = Cluster::start_with(
        "wal_level = replica\nmax_wal_senders = 4\ndeadlock_timeout = 50ms\n\
         max_standby_streaming_delay = 1s\nwal_receiver_status_interval = 1s\n\
         hot_standby_feedback = on",
    );
    let mut client = primary.connect();
    writers::create_on(&mut client, "(note, k DESC, id)");
    create_newest(&mut client);
    let standby = primary.standby();
    let (tally, cancelled) = (Mutex::default(), AtomicU64::new(0));
    let mut jobs =
        vec![reader(&standby, 0, &tally, &cancelled), newest_reader(&standby, 0, &cancelled)];
    jobs.extend(newest_jobs(&primary));
    jobs.extend(writers::jobs(&primary));
    let steps = run_together(test_duration(0.6), jobs);
    println!("2 readers, 9 writers: {steps:?}; cancelled: {cancelled:?}");
    assert!(steps.iter().all(|steps| *steps > 0), "somebody did nothing: {steps:?}");
    tally.into_inner().unwrap().assert_used("on the standby");
    standby.catch_up(&primary);
    for server in [&primary, &standby] {
        check(&mut server.connect(), "readings_d");
        let log = server.log();
        assert!(!log.contains("PANIC") && !log.contains("terminated by signal"), "{log}");
    }
}
