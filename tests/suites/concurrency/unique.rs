//! Many sessions insert, delete and roll back a few keys of a UNIQUE index.

use std::sync::atomic::{AtomicI64, Ordering};

use postgres::Client;
use postgres::error::SqlState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Job, Script, Subject, access_method, is_arbiter, learned_options, run_together, seed,
    test_duration, try_retrain,
};

const SESSIONS: u64 = 8;
const KEYS: usize = 20;

/// Rows of each key that committed transactions have inserted less those that they have deleted.
type Ledger = [AtomicI64; KEYS];

/// What is indexed: `k`, or that and a time, of which each `k` has several, with columns beside
/// them that differ from row to row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    One,
    Two,
}

impl Columns {
    fn list(self) -> &'static str {
        if self == Columns::One { "k" } else { "k, at" }
    }

    fn included(self) -> &'static str {
        if self == Columns::One { "" } else { " INCLUDE (beside, id)" }
    }

    /// The values of a key.
    fn values(self, key: usize) -> (usize, String) {
        match self {
            Columns::One => (key, "'2026-01-01'".to_owned()),
            Columns::Two => (key / 4, format!("'2026-01-01 0{}:00'", key % 4)),
        }
    }

    fn row(self, key: usize) -> String {
        let (k, at) = self.values(key);
        format!("({k}, 0, {at})")
    }

    fn insert(self, key: usize) -> String {
        format!("INSERT INTO u VALUES {}", self.row(key))
    }

    fn is(self, key: usize) -> String {
        let (k, at) = self.values(key);
        format!("k = {k} AND at = {at}")
    }

    fn delete(self, key: usize) -> String {
        format!("DELETE FROM u WHERE {}", self.is(key))
    }
}

fn create(client: &mut Client, columns: Columns) {
    client
        .script(&format!(
            "CREATE TABLE u (k int4, id int4, at timestamptz DEFAULT '2026-01-01',
                 beside int4 DEFAULT (random() * 1000)::int4);
             INSERT INTO u SELECT 1000 + g, g FROM generate_series(1, 1000) g;
             CREATE UNIQUE INDEX u_k ON u USING {} ({}){}{};
             ANALYZE u",
            access_method(),
            columns.list(),
            columns.included(),
            learned_options("retrain_threshold = 1"),
        ))
        .unwrap();
}

/// Runs a transaction, which may fail as conflicting ones do. Returns the rows that each statement
/// changed when it is committed.
fn transaction(client: &mut Client, statements: &[String]) -> Option<Vec<u64>> {
    client.script("BEGIN").unwrap();
    let outcome: Result<Vec<u64>, _> =
        statements.iter().map(|statement| client.execute(statement, &[])).collect();
    match outcome {
        Ok(rows) => {
            client.script("COMMIT").unwrap();
            Some(rows)
        }
        Err(error) => {
            let expected = [SqlState::UNIQUE_VIOLATION, SqlState::T_R_DEADLOCK_DETECTED];
            let code = error.code().unwrap_or_else(|| panic!("{statements:?}: {error:?}"));
            assert!(expected.contains(code), "{statements:?}: {error:?}");
            client.script("ROLLBACK").unwrap();
            None
        }
    }
}

fn record(ledger: &Ledger, key: usize, rows: u64, sign: i64) {
    ledger[key].fetch_add(sign * i64::try_from(rows).unwrap(), Ordering::Relaxed);
}

/// One random transaction of plain inserts, updates and deletes.
fn plain(client: &mut Client, columns: Columns, ledger: &Ledger, rng: &mut StdRng) {
    let (key, other) = (rng.random_range(0..KEYS), rng.random_range(0..KEYS));
    let (insert, delete) = (|key| columns.insert(key), |key| columns.delete(key));
    match rng.random_range(0..7) {
        0 | 1 => {
            if transaction(client, &[insert(key)]).is_some() {
                record(ledger, key, 1, 1);
            }
        }
        2 => {
            if let Some(rows) = transaction(client, &[delete(key)]) {
                record(ledger, key, rows[0], -1);
            }
        }
        3 => {
            // Rolled back after all: nobody may have waited for it in vain, or not at all.
            client.script("BEGIN").unwrap();
            let _ = client.execute(&insert(key), &[]);
            client.script("ROLLBACK").unwrap();
        }
        4 => {
            if let Some(rows) = transaction(client, &[delete(key), insert(key)]) {
                record(ledger, key, rows[0], -1);
                record(ledger, key, 1, 1);
            }
        }
        5 => {
            if transaction(client, &[insert(key), insert(other)]).is_some() {
                record(ledger, key, 1, 1);
                record(ledger, other, 1, 1);
            }
        }
        _ => {
            let (k, at) = columns.values(other);
            let update = format!("UPDATE u SET k = {k}, at = {at} WHERE {}", columns.is(key));
            if let Some(rows) = transaction(client, &[update]) {
                record(ledger, key, rows[0], -1);
                record(ledger, other, rows[0], 1);
            }
        }
    }
}

/// One random upsert or delete. An upsert never fails by the key.
fn upsert(client: &mut Client, columns: Columns, ledger: &Ledger, rng: &mut StdRng) {
    let key = rng.random_range(0..KEYS);
    let (insert, list) = (columns.insert(key), columns.list());
    match rng.random_range(0..4) {
        0 | 1 => {
            let nothing = format!("{insert} ON CONFLICT ({list}) DO NOTHING");
            record(ledger, key, client.execute(&nothing, &[]).unwrap(), 1);
        }
        2 => {
            let update =
                format!("{insert} ON CONFLICT ({list}) DO UPDATE SET id = u.id + 1 RETURNING id");
            let row = client.query_one(&update, &[]).unwrap();
            record(ledger, key, u64::from(row.get::<_, i32>(0) == 0), 1);
        }
        _ => {
            let delete = columns.delete(key);
            record(ledger, key, client.execute(&delete, &[]).unwrap(), -1);
        }
    }
}

fn assert_no_key_twice(client: &mut Client, columns: Columns) {
    // Not by the index: that would look where the index thinks that the rows are.
    client
        .script(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL enable_indexscan = off; SET LOCAL \
             enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off",
        )
        .unwrap();
    let list = columns.list();
    let twice = format!("SELECT FROM u GROUP BY {list} HAVING count(*) > 1");
    let twice = client.query(&twice, &[]).unwrap();
    assert!(twice.is_empty(), "{} keys are there twice", twice.len());
    client.script("COMMIT").unwrap();
}

type Step = fn(&mut Client, Columns, &Ledger, &mut StdRng);

fn hammer(cluster: &Cluster, columns: Columns, step: Step, share: f64) {
    let mut client = cluster.connect();
    create(&mut client, columns);
    let ledger: Ledger = Default::default();
    let ledger = &ledger;
    let mut jobs: Vec<Job<'_>> = (0..SESSIONS)
        .map(|number| {
            let mut client = super::writers::session(cluster);
            let mut rng = StdRng::seed_from_u64(seed() + number);
            Job::endless(&format!("session {number}"), move || {
                step(&mut client, columns, ledger, &mut rng)
            })
        })
        .collect();
    let mut reader = super::writers::session(cluster);
    jobs.push(Job::endless("reader", move || {
        assert_no_key_twice(&mut reader, columns);
        reader.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
        Subject::of("u").assert_exact(&mut reader);
        reader.script("COMMIT").unwrap();
    }));
    let mut other = super::writers::session(cluster);
    jobs.push(Job::endless("merge and vacuum", move || {
        try_retrain(&mut other, "u_k").unwrap();
        other.script("VACUUM (INDEX_CLEANUP on) u").unwrap();
    }));
    let steps = run_together(test_duration(share), jobs);
    println!("steps: {steps:?}");
    assert!(steps.iter().all(|steps| *steps > 0), "somebody did nothing: {steps:?}");
    assert_no_key_twice(&mut client, columns);
    Subject::of("u").assert_exact(&mut client);
    for (key, entry) in ledger.iter().enumerate() {
        let rows =
            client.query(&format!("SELECT FROM u WHERE {}", columns.is(key)), &[]).unwrap().len();
        assert_eq!(entry.load(Ordering::Relaxed), rows as i64, "key {key}");
    }
}

#[test]
fn a_key_is_never_there_twice_however_many_insert_it() {
    let cluster = Cluster::start_with("deadlock_timeout = 20ms");
    hammer(&cluster, Columns::One, plain, 0.3);
}

#[test]
fn a_key_of_two_columns_is_never_there_twice_however_many_insert_it() {
    let cluster = Cluster::start_with("deadlock_timeout = 20ms");
    hammer(&cluster, Columns::Two, plain, 0.3);
}

#[test]
fn upserts_of_many_sessions_insert_each_key_once_and_never_fail() {
    let cluster = Cluster::start_with("deadlock_timeout = 20ms");
    if !is_arbiter(&mut cluster.connect()) {
        return println!("skipped: ON CONFLICT takes only B-trees on this version");
    }
    hammer(&cluster, Columns::One, upsert, 0.2);
    cluster.connect().script("DROP TABLE u").unwrap();
    hammer(&cluster, Columns::Two, upsert, 0.2);
}
