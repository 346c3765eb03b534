//! YCSB A to F: its mixes of reads, updates, inserts and scans, on twin tables.
//!
//! After Cooper et al., "Benchmarking cloud serving systems with YCSB" (SoCC 2010): keys are hashes
//! of record numbers, in no order, and requests are zipfian over the records. A record has one
//! payload of 100 bytes here. Sessions do not wait for the disk (`synchronous_commit = off`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use postgres::{Client, Statement};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};
use server_tests::Script;

use super::{GROUP, rows, seconds};
use crate::Result;
use crate::bench::Bench;
use crate::paired::alternate;
use crate::server::{Server, at_once};

const PAYLOAD: usize = 100;
const LONGEST_SCAN: i64 = 100;
/// The skew of requests.
const SKEW: f64 = 0.99;
/// One connection each.
const THREADS: u64 = 2;

/// What one request does.
#[derive(Clone, Copy)]
enum Request {
    Read,
    Update,
    Insert,
    Scan,
    ReadModifyWrite,
}

/// A mix of two kinds of requests.
struct Workload {
    name: &'static str,
    usual: Request,
    /// Percent of the requests that are of the other kind.
    percent: u32,
    other: Request,
    /// Whether records that came last are asked for most.
    latest: bool,
}

const WORKLOADS: [Workload; 6] = [
    mix("A: half updates", Request::Read, 50, Request::Update),
    mix("B: 5% updates", Request::Read, 5, Request::Update),
    mix("C: reads", Request::Read, 0, Request::Read),
    Workload { latest: true, ..mix("D: latest, 5% inserts", Request::Read, 5, Request::Insert) },
    mix("E: scans, 5% inserts", Request::Scan, 5, Request::Insert),
    mix("F: half read-modify-write", Request::Read, 50, Request::ReadModifyWrite),
];

const fn mix(name: &'static str, usual: Request, percent: u32, other: Request) -> Workload {
    Workload { name, usual, percent, other, latest: false }
}

/// Measures requests a second of each workload.
pub fn run(bench: &mut Bench) -> Result<()> {
    let (rows, seconds) = (rows(&bench.options), seconds(&bench.options));
    let mut client = bench.connect()?;
    let tables = ["ycsb_btree", "ycsb_learned"];
    for (table, method) in tables.into_iter().zip(["btree", "learned"]) {
        load(&mut client, table, method, rows)?;
    }
    let records = [AtomicU64::new(rows), AtomicU64::new(rows)];
    let zipf = Zipf::new(rows as f64, SKEW)?;
    for workload in &WORKLOADS {
        let pairs = alternate(bench.options.rounds, |side, round| {
            let table = side as usize;
            // What earlier workloads left behind is no cost of this one.
            client.batch_execute("CHECKPOINT")?;
            let work = Work {
                workload,
                zipf,
                loaded: rows,
                records: &records[table],
                table: tables[table],
            };
            work.run(&bench.server, seconds, round as u64)
        })?
        .pairs(|rate| *rate);
        let of = ("YCSB", rows);
        bench.add(pairs.figure(GROUP, of, workload.name, "requests/s", "btree"));
        for table in tables {
            client.batch_execute(&format!("VACUUM ANALYZE {table}"))?;
        }
    }
    client.batch_execute(&format!("DROP TABLE {}", tables.join(", ")))?;
    Ok(())
}

fn load(client: &mut Client, table: &str, method: &str, rows: u64) -> Result<()> {
    client
        .batch_execute(&format!("CREATE TABLE {table} (k int8 NOT NULL, field text NOT NULL)"))?;
    let mut rng = StdRng::seed_from_u64(1);
    super::copy(
        client,
        table,
        (0..rows).map(|record| format!("{}|{}", key_of(record), payload(&mut rng))),
    )?;
    client.script(&format!(
        "CREATE UNIQUE INDEX {table}_k ON {table} USING {method} (k); VACUUM (FREEZE, ANALYZE) \
         {table}"
    ))?;
    Ok(())
}

/// The hash of a record's number (FNV-1a).
fn key_of(record: u64) -> i64 {
    let hash = record.to_le_bytes().iter().fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (hash >> 1) as i64
}

fn payload(rng: &mut StdRng) -> String {
    (0..PAYLOAD).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

/// One workload on one table.
struct Work<'a> {
    workload: &'a Workload,
    /// Ranks from 1 on, the first of which is the most likely.
    zipf: Zipf<f64>,
    /// Records before the first insert.
    loaded: u64,
    /// How many there are; the next insert's number.
    records: &'a AtomicU64,
    table: &'a str,
}

impl Work<'_> {
    /// Requests a second of all threads together.
    fn run(&self, server: &Server, seconds: u64, seed: u64) -> Result<f64> {
        let mut sessions = Vec::new();
        for thread in 0..THREADS {
            let rng = StdRng::seed_from_u64(seed * THREADS + thread);
            sessions.push(Session::open(server, self.table, rng)?);
        }
        let rates = at_once(sessions, |session| self.requests(session, seconds))?;
        Ok(rates.iter().sum())
    }

    /// Sends requests for some time. Returns how many a second.
    fn requests(&self, mut session: Session, seconds: u64) -> std::result::Result<f64, String> {
        let started = Instant::now();
        let time = Duration::from_secs(seconds);
        let mut done = 0u64;
        while started.elapsed() < time {
            self.request(&mut session)
                .map_err(|error| format!("{}: {error}", self.workload.name))?;
            done += 1;
        }
        Ok(done as f64 / started.elapsed().as_secs_f64())
    }

    fn request(&self, session: &mut Session) -> std::result::Result<(), postgres::Error> {
        let Workload { usual, percent, other, .. } = *self.workload;
        let request = if session.rng.random_range(0..100) < percent { other } else { usual };
        let key = self.key(&mut session.rng);
        match request {
            Request::Read if self.workload.latest => session.read_latest(key),
            Request::Read => session.read(key),
            Request::Update => session.update(key),
            Request::Insert => session.insert(key_of(self.records.fetch_add(1, Ordering::Relaxed))),
            Request::Scan => session.scan(key),
            Request::ReadModifyWrite => session.read(key).and_then(|()| session.update(key)),
        }
    }

    fn key(&self, rng: &mut StdRng) -> i64 {
        let rank = self.zipf.sample(rng) as u64 - 1;
        if self.workload.latest {
            let last = self.records.load(Ordering::Relaxed).saturating_sub(1);
            return key_of(last.saturating_sub(rank));
        }
        // Popular records are spread over the table by another hash than that of keys.
        key_of(rank.wrapping_mul(0x9E37_79B9_7F4A_7C15) % self.loaded)
    }
}

/// A connection with its prepared statements.
struct Session {
    client: Client,
    rng: StdRng,
    read: Statement,
    update: Statement,
    insert: Statement,
    scan: Statement,
}

impl Session {
    fn open(server: &Server, table: &str, rng: StdRng) -> Result<Self> {
        let mut client = server.connect()?;
        client.batch_execute("SET synchronous_commit = off")?;
        // The planner makes one plan for all keys, as it would after a few executions.
        client.batch_execute("SET plan_cache_mode = force_generic_plan")?;
        let mut prepare = |query: String| client.prepare(&query);
        Ok(Self {
            read: prepare(format!("SELECT field FROM {table} WHERE k = $1"))?,
            update: prepare(format!("UPDATE {table} SET field = $2 WHERE k = $1"))?,
            insert: prepare(format!("INSERT INTO {table} VALUES ($1, $2)"))?,
            scan: prepare(format!(
                "SELECT k, field FROM {table} WHERE k >= $1 ORDER BY k LIMIT $2"
            ))?,
            client,
            rng,
        })
    }

    fn read(&mut self, key: i64) -> std::result::Result<(), postgres::Error> {
        self.client.query_one(&self.read, &[&key]).map(drop)
    }

    /// The same, of a record that another thread may be about to insert.
    fn read_latest(&mut self, key: i64) -> std::result::Result<(), postgres::Error> {
        self.client.query_opt(&self.read, &[&key]).map(drop)
    }

    fn update(&mut self, key: i64) -> std::result::Result<(), postgres::Error> {
        let field = payload(&mut self.rng);
        self.client.execute(&self.update, &[&key, &field]).map(drop)
    }

    fn insert(&mut self, key: i64) -> std::result::Result<(), postgres::Error> {
        let field = payload(&mut self.rng);
        self.client.execute(&self.insert, &[&key, &field]).map(drop)
    }

    fn scan(&mut self, key: i64) -> std::result::Result<(), postgres::Error> {
        let rows = self.rng.random_range(1..=LONGEST_SCAN);
        self.client.query(&self.scan, &[&key, &rows]).map(drop)
    }
}
