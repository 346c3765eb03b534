//! Writers that write down what the server has acknowledged, to be compared with what is there
//! after a crash, on a standby, or in a restored backup.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use postgres::Client;
use postgres::error::SqlState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Job, Row, Script, access_method, learned_options, seed};

/// Ids of one writer.
const OWN: i32 = 500_000_000;
const WRITERS: i32 = 3;
/// Rows of one writer at which it deletes the older half.
const MOST_ROWS: usize = 10_000;

/// Keys by id.
type Rows = BTreeMap<i32, Option<i64>>;
/// What a transaction changes: the new key by id, or nothing where it deletes the row.
type Changes = BTreeMap<i32, Option<Option<i64>>>;

fn apply(rows: &mut Rows, changes: &Changes) {
    for (&id, change) in changes {
        match change {
            Some(key) => rows.insert(id, *key),
            None => rows.remove(&id),
        };
    }
}

/// A writer's rows as of its last acknowledged commit, and what its last transaction changes if
/// that was not acknowledged.
#[derive(Default)]
struct Log {
    acknowledged: Rows,
    in_doubt: Option<Changes>,
    /// What was acknowledged since [`Ledger::remember`], in order.
    history: Vec<Changes>,
    remembered: Option<Rows>,
    next: i32,
    commits: u64,
}

impl Log {
    /// A random transaction on the writer's own rows, and what it changes.
    fn transaction(&mut self, writer: i32, rng: &mut StdRng) -> (String, Changes) {
        let mut changes = Changes::new();
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
            changes.insert(id, Some(key));
            let key = key.map_or("NULL".to_owned(), |key| format!("'{key}'::int8"));
            values.push(format!("({key}, {id})"));
        }
        let mut statements = format!("INSERT INTO t VALUES {}", values.join(", "));
        if self.acknowledged.len() > MOST_ROWS {
            let ids = self.acknowledged.keys().copied();
            let oldest: Vec<i32> = ids.take(MOST_ROWS / 2).collect();
            let (first, last) = (oldest[0], oldest[oldest.len() - 1]);
            changes.extend(oldest.into_iter().map(|id| (id, None)));
            statements += &format!("; DELETE FROM t WHERE id BETWEEN {first} AND {last}");
        } else if rng.random_bool(0.5) {
            let least = self.acknowledged.first_key_value().map_or(writer * OWN, |(&id, _)| id);
            let first = rng.random_range(least..=writer * OWN + self.next);
            let own = format!("id BETWEEN {first} AND {first} + 20");
            let mut rows: Rows =
                self.acknowledged.range(first..=first + 20).map(|(&id, &key)| (id, key)).collect();
            let new = changes.range(first..=first + 20);
            rows.extend(new.filter_map(|(&id, change)| Some((id, (*change)?))));
            if rng.random_bool(0.5) {
                changes.extend(rows.keys().map(|&id| (id, None)));
                statements += &format!("; DELETE FROM t WHERE {own}");
            } else {
                let halved = rows.iter().map(|(&id, key)| (id, Some(key.map(|key| key / 2 - 7))));
                changes.extend(halved);
                statements += &format!("; UPDATE t SET k = k / 2 - 7 WHERE {own}");
            }
        }
        (statements, changes)
    }

    fn acknowledge(&mut self) {
        let changes = self.in_doubt.take().unwrap();
        apply(&mut self.acknowledged, &changes);
        self.commits += 1;
        if self.remembered.is_some() {
            self.history.push(changes);
        }
    }
}

/// Makes the table that a ledger is about, with a learned index `t_k` of its keys, and a B-tree for
/// the writers' own use.
pub(crate) fn create(client: &mut Client) {
    create_on(client, "(k)");
}

/// The same, with what else is indexed.
pub(super) fn create_on(client: &mut Client, columns: &str) {
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4); CREATE INDEX t_id ON t (id);
             CREATE INDEX t_k ON t USING {} {columns}{}",
            access_method(),
            learned_options("retrain_threshold = 5"),
        ))
        .unwrap();
}

/// Whether the server is gone; another error is the test's.
fn is_gone(client: &Client, error: &postgres::Error) -> bool {
    let shutdown = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN];
    client.is_closed() || error.code().is_none_or(|code| shutdown.contains(code))
}

/// A job that ends when the server goes down under it.
pub(super) fn until_gone<'a>(
    cluster: &'a Cluster,
    name: &str,
    mut step: impl FnMut(&mut Client) -> Result<(), postgres::Error> + Send + 'a,
) -> Job<'a> {
    let mut client = cluster.connect();
    let name = name.to_owned();
    Job::new(&name.clone(), move || match step(&mut client) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) if is_gone(&client, &error) => ControlFlow::Break(()),
        Err(error) => panic!("{name}: {error:?}"),
    })
}

/// What all writers of a table know.
pub(super) struct Ledger {
    logs: Vec<Mutex<Log>>,
    /// Shared by writers in a transaction. A lock that does not starve who wants it alone.
    transactions: RwLock<()>,
}

impl Ledger {
    /// Of a table without rows.
    pub(super) fn new() -> Self {
        let logs = (0..WRITERS).map(|_| Mutex::default()).collect();
        Self { logs, transactions: RwLock::new(()) }
    }

    /// Writers that commit, and one that never does. They end when the server does.
    pub(super) fn writers<'a>(&'a self, cluster: &'a Cluster, round: u64) -> Vec<Job<'a>> {
        let mut jobs = Vec::new();
        for (writer, log) in (0..WRITERS).zip(&self.logs) {
            let mut rng = StdRng::seed_from_u64(seed() + round * 10 + writer as u64);
            jobs.push(until_gone(cluster, &format!("writer {writer}"), move |client| {
                let _transaction = self.transactions.read().unwrap();
                let mut log = log.lock().unwrap();
                let (statements, changes) = log.transaction(writer, &mut rng);
                log.in_doubt = Some(changes);
                match client.script(&format!("BEGIN; {statements}; COMMIT")) {
                    Ok(()) => log.acknowledge(),
                    // A deadlock with a session that makes or drops indexes.
                    Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {
                        client.script("ROLLBACK")?;
                        log.in_doubt = None;
                    }
                    Err(error) => return Err(error),
                }
                Ok(())
            }));
        }
        let mut first = WRITERS * OWN;
        jobs.push(until_gone(cluster, "never commits", move |client| {
            first += 1_000;
            let outcome = client.script(&format!(
                "BEGIN; INSERT INTO t SELECT g, {first} + g FROM generate_series(1, 300) g;
                 UPDATE t SET k = 42 WHERE id > {first}"
            ));
            match outcome {
                Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {}
                Err(error) => return Err(error),
                Ok(()) => std::thread::sleep(Duration::from_millis(30)),
            }
            client.script("ROLLBACK")
        }));
        jobs
    }

    /// Acknowledged transactions so far.
    pub(super) fn commits(&self) -> u64 {
        self.logs.iter().map(|log| log.lock().unwrap().commits).sum()
    }

    /// Asserts that the rows found are those that were acknowledged, or those and the whole of what
    /// was in doubt, and takes the server's word for the latter. The writers must have ended.
    pub(super) fn settle(&self, found: &[Row]) {
        let mut found = by_writer(found);
        for (writer, (log, rows)) in self.logs.iter().zip(&mut found).enumerate() {
            let mut log = log.lock().unwrap();
            if log.acknowledged != *rows && log.in_doubt.is_some() {
                log.acknowledge();
            }
            log.in_doubt = None;
            assert!(log.acknowledged == *rows, "{}", difference(writer, &log.acknowledged, rows));
        }
    }

    /// Does something between the transactions of all writers, and returns with it what is
    /// committed at that moment.
    pub(super) fn between<T>(&self, what: impl FnOnce() -> T) -> (T, Committed) {
        let _no_transaction = self.transactions.write().unwrap();
        let answer = what();
        let logs = self.logs.iter().map(|log| log.lock().unwrap().acknowledged.clone());
        (answer, Committed(logs.collect()))
    }

    /// Keeps, from now on, what each writer's rows were after each of its transactions.
    pub(super) fn remember(&self) {
        for log in &self.logs {
            let mut log = log.lock().unwrap();
            log.remembered = Some(log.acknowledged.clone());
            log.history.clear();
        }
    }

    /// Asserts that the rows found are, for each writer, those after one of the transactions since
    /// [`remember`](Self::remember), or before all of them. Returns how many transactions are among
    /// them.
    pub(super) fn assert_some_moment(&self, found: &[Row]) -> usize {
        let found = by_writer(found);
        let logs = self.logs.iter().zip(&found).enumerate();
        logs.map(|(writer, (log, rows))| {
            let log = log.lock().unwrap();
            let mut then = log.remembered.clone().unwrap();
            let mut taken = 0;
            for changes in log.history.iter().chain(&log.in_doubt) {
                if then == *rows {
                    return taken;
                }
                apply(&mut then, changes);
                taken += 1;
            }
            assert!(then == *rows, "at no moment: {}", difference(writer, &then, rows));
            taken
        })
        .sum()
    }
}

/// What all writers had committed at one moment.
pub(super) struct Committed(Vec<Rows>);

impl Committed {
    /// Asserts that the rows found are these.
    pub(super) fn assert_same(&self, found: &[Row]) {
        let found = by_writer(found);
        for (writer, (expected, found)) in self.0.iter().zip(&found).enumerate() {
            assert!(expected == found, "{}", difference(writer, expected, found));
        }
    }
}

/// The rows of each writer.
fn by_writer(found: &[Row]) -> Vec<Rows> {
    assert!(found.iter().all(|row| row.1 < WRITERS * OWN), "uncommitted rows are there");
    let own = |writer: i32| (writer * OWN)..=(writer * OWN + (OWN - 1));
    let rows = |writer| found.iter().filter(move |row| own(writer).contains(&row.1));
    (0..WRITERS).map(|writer| rows(writer).map(|row| (row.1, row.0)).collect()).collect()
}

fn difference(writer: usize, expected: &Rows, found: &Rows) -> String {
    let only = |some: &Rows, others: &Rows| {
        let rows = some.iter().filter(|(id, key)| others.get(id) != Some(key));
        rows.take(5).map(|(&id, &key)| (id, key)).collect::<Vec<_>>()
    };
    format!(
        "{} rows of writer {writer} instead of {}, missing {:?}, too many {:?}",
        found.len(),
        expected.len(),
        only(expected, found),
        only(found, expected)
    )
}
