//! Clients that repeat the same for some time (`--seconds`): a job queue and a hot row.
//!
//! The clients of both sides take turns, in slices of that time. Sessions and tables stay, so
//! what a session remembers of dead entries lasts, and dead entries stay too.

use std::time::{Duration, Instant};

use postgres::{Client, Statement};
use server_tests::Script;

use crate::Result;
use crate::bench::Bench;
use crate::paired::{Pairs, Side, alternate, must_plan};
use crate::server::at_once;

use super::{GROUP, index_session};

/// Slices that are counted of each side's time, a multiple of four.
const SLICES: usize = 16;

/// Jobs that wait in the queue.
const JOBS: u64 = 1_000;

/// Rows of the table that has the hot row.
const ROWS: u64 = 1_000;

/// Two clients, each of which takes the oldest job that nobody else takes, and adds one.
pub fn queue(bench: &mut Bench) -> Result<()> {
    let create = |side: Side| {
        let (name, method) = (side.name(), side.method());
        format!(
            "CREATE TABLE {name} (id int8 GENERATED ALWAYS AS IDENTITY, job int8 NOT NULL);
            CREATE UNIQUE INDEX {name}_id ON {name} USING {method} (id);
            INSERT INTO {name} (job) SELECT 0 FROM generate_series(1, {JOBS});
            VACUUM (FREEZE, ANALYZE) {name}"
        )
    };
    let statements = |side: Side| {
        let name = side.name();
        vec![
            format!(
                "DELETE FROM {name} WHERE id =
                (SELECT id FROM {name} ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)"
            ),
            format!("INSERT INTO {name} (job) VALUES (0)"),
        ]
    };
    let work = Work { name: "job queue, 2 clients", of: ("serial", JOBS), target: 0.9 };
    on_new_tables(bench, &work, 2, create, statements)
}

/// One client that updates the same row, whose other column has an index too: no update is HOT.
pub fn hot_row(bench: &mut Bench) -> Result<()> {
    let create = |side: Side| {
        let (name, method) = (side.name(), side.method());
        format!(
            "CREATE TABLE {name} (id int8 NOT NULL, n int8 NOT NULL);
            INSERT INTO {name} SELECT i, 0 FROM generate_series(1, {ROWS}) i;
            CREATE UNIQUE INDEX {name}_id ON {name} USING {method} (id);
            CREATE INDEX {name}_n ON {name} USING {method} (n);
            VACUUM (FREEZE, ANALYZE) {name}"
        )
    };
    let statements =
        |side: Side| vec![format!("UPDATE {} SET n = n + 1 WHERE id = 7", side.name())];
    let name = "hot row, another column indexed";
    let work = Work { name, of: ("serial", ROWS), target: 0.9 };
    on_new_tables(bench, &work, 1, create, statements)
}

/// Measures clients that find rows of a new table by its index "id", and whether they slow down.
fn on_new_tables(
    bench: &mut Bench,
    work: &Work<'_>,
    clients: usize,
    create: impl Fn(Side) -> String,
    statements: impl Fn(Side) -> Vec<String>,
) -> Result<()> {
    let mut client = bench.connect()?;
    let mut open = |side| -> Result<Vec<Session>> {
        client.script(&create(side))?;
        let statements = statements(side);
        let index = format!("{}_id", side.name());
        let scans = ["Index Scan", "Index Only Scan"].map(|scan| format!("{scan} using {index} "));
        let mut planner = index_session(bench)?;
        must_plan(&mut planner, &statements[0], &scans)?;
        (0..clients).map(|_| Session::open(bench, &statements)).collect()
    };
    let sessions = [open(Side::Theirs)?, open(Side::Ours)?];
    let rates = work.measure(bench, sessions)?;
    let what = format!(
        "{}: first quarter's rate over the last one's, of {} seconds",
        work.name, bench.options.seconds
    );
    let falls = Pairs::once(slowdown(&rates.theirs), slowdown(&rates.ours));
    bench.add(falls.figure(GROUP, work.of, &what, "times", "btree").with_target(0.9));
    Ok(client.batch_execute("DROP TABLE theirs, ours")?)
}

/// What clients do again and again, for the report.
pub struct Work<'a> {
    /// Its name.
    pub name: &'a str,
    /// The data set and the rows of its table.
    pub of: (&'a str, u64),
    /// The ratio of rates to reach.
    pub target: f64,
}

impl Work<'_> {
    /// Lets the sessions of both sides work in turn. Returns the rates of the slices.
    pub fn measure(&self, bench: &mut Bench, mut sessions: [Vec<Session>; 2]) -> Result<Pairs> {
        bench.connect()?.batch_execute("CHECKPOINT")?;
        let slice = Duration::from_secs(bench.options.seconds) / SLICES as u32;
        let found = alternate(SLICES, |side, _| transactions(&mut sessions[side as usize], slice))?;
        let rates = found.pairs(|rate| *rate);
        let figure = rates.figure(GROUP, self.of, self.name, "transactions/s", "btree");
        bench.add(figure.with_target(self.target));
        Ok(rates)
    }
}

/// A client with the statements that it repeats, each a transaction of its own.
pub struct Session {
    client: Client,
    statements: Vec<Statement>,
}

impl Session {
    /// Connects and prepares them.
    pub fn open(bench: &Bench, statements: &[String]) -> Result<Self> {
        let mut client = index_session(bench)?;
        // Otherwise the disk is measured, and not the index.
        client.batch_execute("SET synchronous_commit = off")?;
        let statements = statements
            .iter()
            .map(|text| client.prepare(text))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(Self { client, statements })
    }

    /// Runs the statements again and again until then. Returns how many it ran.
    fn repeat(&mut self, until: Instant) -> std::result::Result<usize, postgres::Error> {
        let mut done = 0;
        while Instant::now() < until {
            for statement in &self.statements {
                self.client.execute(statement, &[])?;
            }
            done += self.statements.len();
        }
        Ok(done)
    }
}

/// Transactions a second of all sessions together.
fn transactions(sessions: &mut [Session], time: Duration) -> Result<f64> {
    let started = Instant::now();
    let until = started + time;
    let done = at_once(sessions, |session| session.repeat(until).map_err(|e| e.to_string()))?;
    Ok(done.iter().sum::<usize>() as f64 / started.elapsed().as_secs_f64())
}

/// How many times the rate of the first quarter is that of the last one.
fn slowdown(rates: &[f64]) -> f64 {
    let quarter = rates.len() / 4;
    let sum = |part: &[f64]| part.iter().sum::<f64>();
    sum(&rates[..quarter]) / sum(&rates[rates.len() - quarter..])
}
