//! Random histories of serializable transactions, and whether some order of them one after the
//! other explains what each has read.
//!
//! Rows are only inserted. So a transaction that read a range and did not find a row of it comes
//! before the one that inserted the row, and one that found it comes after. If these say that a
//! transaction comes before itself, no order explains them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Instant;

use postgres::Client;
use postgres::error::SqlState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Script, access_method, learned_options, seed, test_duration, try_retrain,
};

const SESSIONS: usize = 4;
/// Keys that the transactions of a round read and write.
const KEYS: i64 = 60;

/// What a transaction has read: the rows in some keys.
struct Read {
    keys: RangeInclusive<i64>,
    found: BTreeSet<i64>,
}

/// A transaction that was committed.
struct Committed {
    name: String,
    reads: Vec<Read>,
    /// Row and key.
    written: BTreeMap<i64, i64>,
}

/// Rows as a statement returns them: key and number.
type Rows<'r> = &'r [(i64, i64)];

/// Which keys a statement has read, from the rows that it returned.
type KeysRead = Box<dyn Fn(Rows<'_>) -> RangeInclusive<i64>>;

/// Something to read around a key: the statement, and from the rows that it returns the keys that
/// it has read.
fn some_read(random: &mut StdRng, base: i64) -> (String, KeysRead) {
    let low = base + random.random_range(0..KEYS);
    let high = low + random.random_range(0..12);
    let limit = random.random_range(1..4usize);
    let kind = random.random_range(0..7);
    let select = "SELECT k, id FROM t";
    let statement = match kind {
        0 | 1 => format!("{select} WHERE k = {low}"),
        2 => format!("{select} WHERE k BETWEEN {low} AND {high}"),
        3 => format!("{select} WHERE k >= {low} ORDER BY k LIMIT {limit}"),
        4 => format!("{select} WHERE k >= {low} ORDER BY k DESC LIMIT {limit}"),
        5 => format!("{select} WHERE k <= {high} ORDER BY k DESC LIMIT {limit}"),
        _ => format!("{select} WHERE k >= {low}"),
    };
    let keys = move |rows: Rows<'_>| {
        let cut = rows.len() >= limit;
        match kind {
            0 | 1 => low..=low,
            2 => low..=high,
            // Of the last key there may be more rows.
            3 if cut => low..=rows.last().unwrap().0 - 1,
            4 if cut => rows.last().unwrap().0 + 1..=i64::MAX,
            5 if cut => rows.last().unwrap().0 + 1..=high,
            5 => i64::MIN..=high,
            _ => low..=i64::MAX,
        }
    };
    (statement, Box::new(keys))
}

/// One transaction. `None` if it could not be serialized.
fn run_one(
    client: &mut Client,
    random: &mut StdRng,
    name: String,
    base: i64,
    row: &mut i64,
) -> Result<Committed, postgres::Error> {
    let mut committed = Committed { name, reads: Vec::new(), written: BTreeMap::new() };
    client.script("BEGIN")?;
    for _ in 0..random.random_range(1..5) {
        if random.random_bool(0.4) {
            *row += 1;
            let key = base + random.random_range(0..KEYS);
            client.script(&format!("INSERT INTO t VALUES ({key}, {row})"))?;
            committed.written.insert(*row, key);
        } else {
            let (statement, keys) = some_read(random, base);
            let way = ["on", "off"][usize::from(random.random_bool(0.2))];
            client.script(&format!("SET LOCAL enable_indexscan = {way}"))?;
            let rows: Vec<(i64, i64)> =
                client.query(&statement, &[])?.iter().map(|row| (row.get(0), row.get(1))).collect();
            let keys = keys(&rows);
            let found =
                rows.iter().filter(|(key, _)| keys.contains(key)).map(|row| row.1).collect();
            committed.reads.push(Read { keys, found });
        }
        if random.random_bool(0.3) {
            std::thread::yield_now();
        }
    }
    client.script("COMMIT")?;
    Ok(committed)
}

/// Transactions that come before themselves, each before the next; nothing if there are none.
fn circle(history: &[Committed]) -> Vec<&str> {
    let mut later: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); history.len()];
    for (reader, transaction) in history.iter().enumerate() {
        for read in &transaction.reads {
            for (writer, other) in
                history.iter().enumerate().filter(|(writer, _)| *writer != reader)
            {
                for (row, _) in other.written.iter().filter(|(_, key)| read.keys.contains(key)) {
                    let (first, second) =
                        if read.found.contains(row) { (writer, reader) } else { (reader, writer) };
                    later[first].insert(second);
                }
            }
        }
    }
    // Takes away who comes before nobody, as long as there is such a one.
    let mut left: BTreeSet<usize> = (0..history.len()).collect();
    while let Some(&last) = left.iter().find(|&&one| later[one].is_disjoint(&left)) {
        left.remove(&last);
    }
    let Some(&start) = left.first() else { return Vec::new() };
    let mut way = vec![start];
    loop {
        let next = *later[way[way.len() - 1]].intersection(&left).next().unwrap();
        if let Some(begin) = way.iter().position(|&one| one == next) {
            return way[begin..].iter().map(|&one| history[one].name.as_str()).collect();
        }
        way.push(next);
    }
}

fn name_of(session: usize, number: usize) -> String {
    format!("{session}.{number}")
}

#[test]
#[expect(clippy::too_many_lines, reason = "one course of events")]
fn some_order_of_serializable_transactions_explains_what_each_has_read() {
    let cluster = Cluster::start();
    let mut admin = cluster.connect();
    admin
        .script(&format!(
            "CREATE TABLE t (k int8, id int8) WITH (autovacuum_enabled = off);
             CREATE INDEX t_k ON t USING {} (k){}",
            access_method(),
            learned_options("auto_retrain = off"),
        ))
        .unwrap();
    let mut clients: Vec<Client> = (0..SESSIONS)
        .map(|_| {
            let mut client = cluster.connect();
            client
                .script(
                    "SET default_transaction_isolation = serializable; SET enable_seqscan = off;
                     SET statement_timeout = '60s'",
                )
                .unwrap();
            client
        })
        .collect();
    let mut randoms: Vec<StdRng> =
        (0..SESSIONS).map(|session| StdRng::seed_from_u64(seed() ^ session as u64)).collect();
    let mut rows: Vec<i64> = (0..SESSIONS).map(|session| session as i64 * 1_000_000_000).collect();
    let (start, duration) = (Instant::now(), test_duration(0.3));
    let (mut round, mut committed, mut failed) = (0, 0, 0);
    while round < 3 || start.elapsed() < duration {
        // New keys in each round, now and then among keys that are there.
        let base = round * KEYS / 2;
        let history: Mutex<Vec<Committed>> = Mutex::default();
        let failures = Mutex::new(0);
        std::thread::scope(|scope| {
            let sessions = clients.iter_mut().zip(&mut randoms).zip(&mut rows).enumerate();
            for (session, ((client, random), row)) in sessions {
                let (history, failures) = (&history, &failures);
                scope.spawn(move || {
                    for number in 0..25 {
                        match run_one(client, random, name_of(session, number), base, row) {
                            Ok(one) => history.lock().unwrap().push(one),
                            Err(error) => {
                                let expected = Some(&SqlState::T_R_SERIALIZATION_FAILURE);
                                assert_eq!(error.code(), expected, "{error:?}");
                                client.script("ROLLBACK").unwrap();
                                *failures.lock().unwrap() += 1;
                            }
                        }
                    }
                });
            }
            scope.spawn(|| {
                if round % 3 == 1 {
                    try_retrain(&mut admin, "t_k").unwrap();
                    admin.script("VACUUM t").unwrap();
                }
            });
        });
        let history = history.into_inner().unwrap();
        let circle = circle(&history);
        assert!(circle.is_empty(), "round {round}, keys from {base}: {}", circle.join(" < "));
        committed += history.len();
        failed += failures.into_inner().unwrap();
        round += 1;
    }
    println!("{committed} committed, {failed} could not be serialized, {round} rounds");
    assert!(committed > failed / 10, "hardly any transaction was committed");
}
