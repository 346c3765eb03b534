//! The jobs that change the rows of positive ids of `t (k int8, id int4, note int4)` while others
//! read it.

use std::sync::atomic::{AtomicI32, Ordering};

use postgres::Client;
use postgres::error::SqlState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Job, Script, access_method, learned_options, retrain, seed, try_retrain,
};

const ROWS: i32 = 5_000;

/// Makes the table, with an index on `id` beside the one under test for the writers' own use.
pub(crate) fn create(client: &mut Client) {
    create_on(client, "(k)");
}

/// The same, with what else is indexed.
pub(crate) fn create_on(client: &mut Client, columns: &str) {
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4, note int4) WITH (fillfactor = 80);
             INSERT INTO t SELECT CASE WHEN g % 50 = 0 THEN NULL ELSE g * 3 END, g, 0
                 FROM generate_series(1, {ROWS}) g;
             CREATE INDEX t_k ON t USING {} {columns}{};
             CREATE INDEX t_id ON t (id);
             VACUUM ANALYZE t",
            access_method(),
            learned_options("retrain_threshold = 2"),
        ))
        .unwrap();
}

/// A session that gives up rather than to hang.
pub(crate) fn session(cluster: &Cluster) -> Client {
    let mut client = cluster.connect();
    client.script("SET statement_timeout = '60s'").unwrap();
    client
}

/// Runs statements as one transaction; a deadlock with another writer takes them all back.
fn write(client: &mut Client, statements: &str) {
    let outcome = client.script(&format!("BEGIN; {statements}; COMMIT"));
    if let Err(error) = outcome {
        assert_eq!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED), "{statements}: {error:?}");
        client.script("ROLLBACK").unwrap();
    }
}

/// Writers of every kind, of which each keeps the table from growing without bound, a vacuum and a
/// merge loop.
pub(crate) fn jobs(cluster: &Cluster) -> Vec<Job<'_>> {
    let mut jobs = vec![inserter(cluster), appender(cluster), updater(cluster), deleter(cluster)];
    let mut client = session(cluster);
    let mut rng = StdRng::seed_from_u64(seed());
    jobs.push(Job::endless("vacuum", move || {
        let options = ["", "(INDEX_CLEANUP on)", "(FREEZE)"][rng.random_range(0..3)];
        client.script(&format!("VACUUM {options} t")).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(rng.random_range(0..50)));
    }));
    let mut client = session(cluster);
    jobs.push(Job::endless("merge", move || {
        try_retrain(&mut client, "t_k").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }));
    jobs
}

static NEXT: AtomicI32 = AtomicI32::new(1_000_000);

fn take(number: i32) -> i32 {
    NEXT.fetch_add(number, Ordering::Relaxed)
}

fn inserter(cluster: &Cluster) -> Job<'_> {
    let mut client = session(cluster);
    let mut rng = StdRng::seed_from_u64(seed() + 1);
    Job::endless("inserter", move || {
        let number = [1, 3, 40][rng.random_range(0..3)];
        let id = take(number);
        let rows: Vec<String> = (id..id + number)
            .map(|id| match rng.random_range(0..20) {
                0 => format!("(NULL, {id}, 0)"),
                1..=5 => format!("({}, {id}, 0)", rng.random_range(0..40) * 300),
                _ => format!("({}, {id}, 0)", rng.random_range(0..i64::from(ROWS) * 3)),
            })
            .collect();
        let end = if rng.random_bool(0.2) { "; ROLLBACK; BEGIN" } else { "" };
        write(&mut client, &format!("INSERT INTO t VALUES {}{end}", rows.join(", ")));
    })
}

fn appender(cluster: &Cluster) -> Job<'_> {
    let mut client = session(cluster);
    let mut key = i64::from(ROWS) * 3;
    Job::endless("appender", move || {
        let id = take(20);
        write(
            &mut client,
            &format!("INSERT INTO t SELECT {key} + g, {id} + g, 0 FROM generate_series(0, 19) g"),
        );
        key += 20;
    })
}

fn updater(cluster: &Cluster) -> Job<'_> {
    let mut client = session(cluster);
    let mut rng = StdRng::seed_from_u64(seed() + 2);
    Job::endless("updater", move || {
        let newest = NEXT.load(Ordering::Relaxed);
        let first = if rng.random_bool(0.5) {
            rng.random_range(1..ROWS)
        } else {
            rng.random_range(newest - 2_000..newest)
        };
        let set = match rng.random_range(0..5) {
            0 => "k = k + 1",
            1 => "k = 15000 - k",
            2 => "k = NULL",
            3 => "k = id % 15000",
            // No index has the column: a heap-only tuple.
            _ => "note = note + 1",
        };
        write(
            &mut client,
            &format!("UPDATE t SET {set} WHERE id BETWEEN {first} AND {first} + 15"),
        );
    })
}

fn deleter(cluster: &Cluster) -> Job<'_> {
    let mut client = session(cluster);
    let mut rng = StdRng::seed_from_u64(seed() + 3);
    Job::endless("deleter", move || {
        let rows: i64 = client.query_one("SELECT count(*) FROM t", &[]).unwrap().get(0);
        let modulus = if rows > i64::from(ROWS) * 2 { 4 } else { 60 };
        let rest = rng.random_range(0..modulus);
        write(&mut client, &format!("DELETE FROM t WHERE id > 0 AND id % {modulus} = {rest}"));
        std::thread::sleep(std::time::Duration::from_millis(30));
    })
}

/// Asserts that the index is exact when all is quiet, before and after the last merge and vacuum.
pub(crate) fn assert_exact_at_rest(client: &mut Client) {
    let subject = server_tests::Subject::of("t");
    subject.assert_exact(client);
    retrain(client, "t_k");
    subject.assert_exact(client);
    client.script("VACUUM t").unwrap();
    subject.assert_exact(client);
}
