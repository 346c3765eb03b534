//! Crashes amid writes: what was acknowledged is there, what was not is not.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use postgres::Client;
use postgres::error::SqlState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Job, Script, Shutdown, Subject, access_method, learned_options, retrain, run_together,
    seed, try_retrain,
};

/// Ids of one writer.
const OWN: i32 = 10_000_000;
const WRITERS: i32 = 3;
const CRASHES: u64 = 3;

type Rows = BTreeMap<i32, Option<i64>>;

/// A writer's rows as of its last acknowledged commit, and as its last transaction would have left
/// them if that was not acknowledged.
#[derive(Default)]
struct Log {
    acknowledged: Rows,
    in_doubt: Option<Rows>,
    next: i32,
}

impl Log {
    /// A random transaction on the writer's own rows, and what it leaves.
    fn transaction(&mut self, writer: i32, rng: &mut StdRng) -> (String, Rows) {
        let mut rows = self.acknowledged.clone();
        let number = [1, 5, 60][rng.random_range(0..3)];
        let mut values = Vec::new();
        for _ in 0..number {
            self.next += 1;
            let id = writer * OWN + self.next;
            let key = (!rng.random_bool(0.02)).then(|| match writer {
                0 => i64::from(id),
                1 => rng.random_range(0..500),
                _ => rng.random(),
            });
            rows.insert(id, key);
            let key = key.map_or("NULL".to_owned(), |key| format!("'{key}'::int8"));
            values.push(format!("({key}, {id})"));
        }
        let mut statements = format!("INSERT INTO t VALUES {}", values.join(", "));
        if rng.random_bool(0.5) {
            let first = writer * OWN + rng.random_range(0..self.next);
            let own = format!("id BETWEEN {first} AND {first} + 20");
            let chosen = first..=first + 20;
            if rng.random_bool(0.5) {
                rows.retain(|id, _| !chosen.contains(id));
                statements += &format!("; DELETE FROM t WHERE {own}");
            } else {
                rows.range_mut(chosen).for_each(|(_, key)| *key = key.map(|key| key / 2 - 7));
                statements += &format!("; UPDATE t SET k = k / 2 - 7 WHERE {own}");
            }
        }
        (statements, rows)
    }
}

/// Whether the server is gone; another error is the test's.
fn is_gone(client: &Client, error: &postgres::Error) -> bool {
    let shutdown = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN];
    client.is_closed() || error.code().is_none_or(|code| shutdown.contains(code))
}

/// A job that ends when the server crashes under it.
fn until_gone<'a>(
    cluster: &'a Cluster,
    name: &str,
    mut step: impl FnMut(&mut Client) -> Result<(), postgres::Error> + Send + 'a,
) -> Job<'a> {
    let mut client = cluster.connect();
    Job::new(name, move || match step(&mut client) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) if is_gone(&client, &error) => ControlFlow::Break(()),
        Err(error) => panic!("{error:?}"),
    })
}

fn crash_amid_writes(cluster: &Cluster, logs: &[Mutex<Log>], round: u64) {
    let mut jobs = Vec::new();
    for (writer, log) in (0..WRITERS).zip(logs) {
        let mut rng = StdRng::seed_from_u64(seed() + round * 10 + writer as u64);
        jobs.push(until_gone(cluster, &format!("writer {writer}"), move |client| {
            let mut log = log.lock().unwrap();
            let (statements, rows) = log.transaction(writer, &mut rng);
            log.in_doubt = Some(rows);
            client.script(&format!("BEGIN; {statements}; COMMIT"))?;
            log.acknowledged = log.in_doubt.take().unwrap();
            Ok(())
        }));
    }
    let mut first = WRITERS * OWN;
    jobs.push(until_gone(cluster, "never commits", move |client| {
        first += 1_000;
        client.script(&format!(
            "BEGIN; INSERT INTO t SELECT g, {first} + g FROM generate_series(1, 300) g;
             UPDATE t SET k = 42 WHERE id > {first}"
        ))?;
        std::thread::sleep(Duration::from_millis(100));
        client.script("ROLLBACK")
    }));
    jobs.push(until_gone(cluster, "vacuum", |client| client.script("VACUUM (INDEX_CLEANUP on) t")));
    jobs.push(until_gone(cluster, "merge", |client| {
        std::thread::sleep(Duration::from_millis(10));
        try_retrain(client, "t_k").map(drop)
    }));
    // So that recovery starts anywhere.
    jobs.push(until_gone(cluster, "checkpoint", |client| {
        std::thread::sleep(Duration::from_millis(300));
        client.script("CHECKPOINT")
    }));
    jobs.push(Job::new("crash", move || {
        std::thread::sleep(Duration::from_millis(900 + 150 * round));
        cluster.stop(Shutdown::Crash);
        ControlFlow::Break(())
    }));
    run_together(Duration::from_secs(60), jobs);
}

fn survive_crashes(settings: &str) {
    let cluster = Cluster::start_with(settings);
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4); CREATE INDEX t_id ON t (id);
             CREATE INDEX t_k ON t USING {} (k){}",
            access_method(),
            learned_options("retrain_threshold = 5"),
        ))
        .unwrap();
    let logs: Vec<_> = (0..WRITERS).map(|_| Mutex::new(Log::default())).collect();
    let subject = Subject::of("t");
    for round in 0..CRASHES {
        crash_amid_writes(&cluster, &logs, round);
        cluster.launch();
        let mut client = cluster.connect();
        subject.assert_exact(&mut client);
        let found = subject.rows(&mut client).unwrap();
        assert!(found.iter().all(|row| row.1 < WRITERS * OWN), "uncommitted rows are there");
        for (writer, log) in (0..WRITERS).zip(&logs) {
            let mut log = log.lock().unwrap();
            let own = (writer * OWN)..(writer + 1) * OWN;
            let rows: Rows =
                found.iter().filter(|row| own.contains(&row.1)).map(|row| (row.1, row.0)).collect();
            let in_doubt = log.in_doubt.take();
            assert!(
                rows == log.acknowledged || Some(&rows) == in_doubt.as_ref(),
                "round {round}: {} rows of writer {writer} instead of {}",
                rows.len(),
                log.acknowledged.len()
            );
            assert!(rows.len() > 50, "writer {writer} hardly wrote");
            log.acknowledged = rows;
        }
        retrain(&mut client, "t_k");
        subject.assert_exact(&mut client);
        client.script("VACUUM t").unwrap();
        subject.assert_exact(&mut client);
    }
    assert!(!cluster.log().contains("PANIC"), "{}", cluster.log());
}

#[test]
fn acknowledged_commits_survive_crashes_amid_writes_and_nothing_else_does() {
    survive_crashes("");
}

#[test]
fn replay_without_full_pages_gives_the_pages_that_were_written() {
    survive_crashes("full_page_writes = off\nwal_consistency_checking = 'all'");
}

#[test]
fn an_unlogged_index_that_took_inserts_is_empty_and_usable_after_a_crash() {
    let cluster = Cluster::start();
    let write = "INSERT INTO u SELECT hashint4(g), g FROM generate_series(1, 3000) g";
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE UNLOGGED TABLE u (k int8, id int4); CREATE INDEX u_k ON u USING {} (k); {write}",
            access_method()
        ))
        .unwrap();
    for _ in 0..2 {
        retrain(&mut client, "u_k");
        cluster.restart(Shutdown::Crash);
        client = cluster.connect();
        let subject = Subject::of("u");
        assert!(subject.rows(&mut client).unwrap().is_empty());
        subject.assert_exact(&mut client);
        client.script(write).unwrap();
        subject.assert_exact(&mut client);
        client.script("VACUUM u").unwrap();
    }
}
