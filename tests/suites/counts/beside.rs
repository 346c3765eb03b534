//! Counts while other sessions write, merge and vacuum.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use postgres::Client;
use postgres::error::SqlState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Job, Script, access_method, is_learned, learned_options, plan_of, run_together, seed,
    test_duration, try_retrain,
};

use super::snapshot::{Tally, compare};
use super::statements::Generator;
use super::table::Table;
use crate::concurrency::writers;

pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Rows of `t` that no writer touches, so that many leaves and blocks are clean.
const STILL: i64 = 8_000;
/// Rows of `pairs`: their number never changes.
const PAIRS: i64 = 3_000;
/// Keys of `pairs` lie from 0 up to here.
const KEYS: i64 = 9_000;

/// The table of `concurrency::writers` with rows that stay as they are, in an index on `columns`.
pub(super) fn create(client: &mut Client, columns: &str) {
    writers::create_on(client, columns);
    client
        .script(&format!(
            "INSERT INTO t SELECT g * 2, -g, 0 FROM generate_series(1, {STILL}) g; 
             ALTER INDEX t_k SET (fillfactor = 10); REINDEX INDEX t_k;
             VACUUM ANALYZE t"
        ))
        .unwrap();
}

/// Compares statements over the table of `create`, each batch in a snapshot of its own, with pauses
/// in which replay and VACUUM go on. A standby may cancel it.
pub(super) fn counter<'a>(
    cluster: &Cluster,
    number: u64,
    tally: &'a Mutex<Tally>,
    cancelled: &'a AtomicU64,
) -> Job<'a> {
    let mut client = writers::session(cluster);
    client.script("SET plan_cache_mode = force_generic_plan").unwrap();
    let mut rng = StdRng::seed_from_u64(seed().wrapping_add(number));
    let table = Table::of_writers();
    Job::endless(&format!("counter {number}"), move || {
        let batch = rng.random_range(1..12);
        let statements = Generator::new(&table, false, &mut rng).statements(batch);
        match compare(&mut client, BEGIN, &statements, "") {
            Ok(one) => tally.lock().unwrap().add(&one),
            Err(error) => {
                assert!(is_cancelled(&error), "{error:?}");
                cancelled.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

/// Whether replay has cancelled a statement.
pub(super) fn is_cancelled(error: &postgres::Error) -> bool {
    let codes = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| codes.contains(code))
}

#[test]
fn counts_agree_with_a_sequential_scan_while_others_write_merge_and_vacuum() {
    for (columns, share) in [("(k)", 0.7), ("(k DESC, note)", 0.3)] {
        let cluster = Cluster::start_with("deadlock_timeout = 50ms");
        let mut client = cluster.connect();
        create(&mut client, columns);
        let (tally, cancelled) = (Mutex::default(), AtomicU64::new(0));
        let mut jobs: Vec<_> =
            (0..2).map(|number| counter(&cluster, number, &tally, &cancelled)).collect();
        jobs.extend(writers::jobs(&cluster));
        let steps = run_together(test_duration(share), jobs);
        println!("2 counters, inserter, appender, updater, deleter, vacuum, merge: {steps:?}");
        assert!(steps.iter().all(|steps| *steps > 0), "somebody did nothing: {steps:?}");
        assert_eq!(cancelled.into_inner(), 0, "nobody cancels on a primary");
        tally.into_inner().unwrap().assert_used(columns);
        writers::assert_exact_at_rest(&mut client);
        assert!(!cluster.log().contains("terminated by signal"), "{}", cluster.log());
    }
}

/// Makes `pairs (k int8, id int4, note int4)`, which has as many rows after every transaction.
pub(super) fn create_pairs(client: &mut Client) {
    client
        .script(&format!(
            "CREATE TABLE pairs (k int8 NOT NULL, id int4, note int4) WITH (fillfactor = 70);
             INSERT INTO pairs SELECT g * 3, g, 0 FROM generate_series(0, {PAIRS} - 1) g;
             CREATE INDEX pairs_k ON pairs USING {} (k){};
             CREATE INDEX pairs_id ON pairs (id); VACUUM ANALYZE pairs",
            access_method(),
            learned_options("fillfactor = 10, retrain_threshold = 2"),
        ))
        .unwrap();
}

/// Moves rows of `pairs` from key to key, and takes some away for others in the same transaction.
pub(super) fn pair_jobs(cluster: &Cluster) -> Vec<Job<'_>> {
    let mover = |number: u64| {
        let mut client = writers::session(cluster);
        let mut rng = StdRng::seed_from_u64(seed().wrapping_add(100 + number));
        Job::endless("mover", move || {
            let (id, rows) = (rng.random_range(0..PAIRS), rng.random_range(1..20));
            let of_rows = format!("id BETWEEN {id} AND {}", id + rows - 1);
            let key = rng.random_range(0..KEYS);
            let statements = match rng.random_range(0..5) {
                0 => format!("UPDATE pairs SET k = {KEYS} - 1 - k WHERE {of_rows}"),
                1 => format!("UPDATE pairs SET k = {key} WHERE {of_rows}"),
                2 => format!("UPDATE pairs SET note = note + 1 WHERE {of_rows}"),
                3 => format!(
                    "WITH gone AS (DELETE FROM pairs WHERE {of_rows} RETURNING id, k)
                     INSERT INTO pairs SELECT (k + {key}) % {KEYS}, id, 0 FROM gone"
                ),
                _ => format!(
                    "CREATE TEMP TABLE gone ON COMMIT DROP AS SELECT * FROM pairs
                         WHERE {of_rows} FOR UPDATE;
                     DELETE FROM pairs WHERE id IN (SELECT id FROM gone);
                     INSERT INTO pairs SELECT {key}, id, 0 FROM gone"
                ),
            };
            let end = if rng.random_bool(0.1) { "ROLLBACK" } else { "COMMIT" };
            if let Err(error) = client.script(&format!("BEGIN; {statements}; {end}")) {
                let deadlock = Some(&SqlState::T_R_DEADLOCK_DETECTED);
                assert_eq!(error.code(), deadlock, "{statements}: {error:?}");
                client.script("ROLLBACK").unwrap();
            }
        })
    };
    let mut jobs: Vec<_> = (0..2).map(mover).collect();
    let mut client = writers::session(cluster);
    let mut rng = StdRng::seed_from_u64(seed());
    jobs.push(Job::endless("vacuum of pairs", move || {
        let options = ["", "(INDEX_CLEANUP on)", "(FREEZE)"][rng.random_range(0..3)];
        client.script(&format!("VACUUM {options} pairs")).unwrap();
        if rng.random_bool(0.5) {
            try_retrain(&mut client, "pairs_k").unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(rng.random_range(0..10)));
    }));
    jobs
}

/// Counts `pairs` in one statement after the other, each with a snapshot of its own: by parts, and
/// as a whole.
pub(super) fn pair_counter<'a>(
    cluster: &Cluster,
    number: u64,
    cancelled: &'a AtomicU64,
) -> Job<'a> {
    let mut client = writers::session(cluster);
    client
        .script(
            "SET omendb_learned.enable_count = on; SET enable_seqscan = off; \
                 SET enable_indexonlyscan = off; SET enable_indexscan = off; \
                 SET enable_bitmapscan = off",
        )
        .unwrap();
    let mut rng = StdRng::seed_from_u64(seed().wrapping_add(200 + number));
    Job::endless("counter of pairs", move || {
        let (one, other) = (rng.random_range(0..KEYS), rng.random_range(0..KEYS));
        let (low, high) = (one.min(other), one.max(other));
        let part = |condition: String| format!("(SELECT count(*) FROM pairs WHERE {condition})");
        let query = match rng.random_range(0..4) {
            0 => "SELECT count(*) FROM pairs".to_owned(),
            1 => "SELECT count(k) FROM pairs WHERE k >= 0".to_owned(),
            2 => format!("SELECT {} + {}", part(format!("k < {low}")), part(format!("k >= {low}"))),
            _ => format!(
                "SELECT {} + {} + {}",
                part(format!("k > {high}")),
                part(format!("k BETWEEN {low} AND {high}")),
                part(format!("k < {low}"))
            ),
        };
        if is_learned() && rng.random_bool(0.02) {
            let plan = plan_of(&mut client, &query);
            assert!(plan.contains("LearnedCount") && !plan.contains("Seq Scan"), "{plan}");
        }
        match client.query_one(&query, &[]) {
            Ok(row) => assert_eq!(row.get::<_, i64>(0), PAIRS, "{query}"),
            Err(error) => {
                assert!(is_cancelled(&error), "{error:?}");
                cancelled.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

#[test]
fn no_count_misses_a_row_that_moves_or_finds_it_twice() {
    let cluster = Cluster::start_with("deadlock_timeout = 50ms");
    let mut client = cluster.connect();
    create_pairs(&mut client);
    let cancelled = AtomicU64::new(0);
    let mut jobs: Vec<_> =
        (0..2).map(|number| pair_counter(&cluster, number, &cancelled)).collect();
    jobs.extend(pair_jobs(&cluster));
    let steps = run_together(test_duration(0.5), jobs);
    println!("2 counters, 2 movers, vacuum and merge: {steps:?}");
    assert!(steps.iter().all(|steps| *steps > 0), "somebody did nothing: {steps:?}");
    assert_eq!(cancelled.into_inner(), 0, "nobody cancels on a primary");
    server_tests::check(&mut client, "pairs_k");
}
