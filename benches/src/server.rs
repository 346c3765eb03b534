//! The throwaway server, with the settings that every measurement is made under.

use std::thread::{self, ScopedJoinHandle};

use postgres::{Client, SimpleQueryMessage};
use server_tests::{Cluster, Script, Shutdown};

use crate::Result;

/// What differs from PostgreSQL's defaults: nothing that favours either index.
pub const SETTINGS: &[(&str, &str)] = &[
    ("shared_buffers", "2GB"),
    ("maintenance_work_mem", "256MB"),
    ("work_mem", "64MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
    ("jit", "off"),
    ("fsync", "on"),
    ("statement_timeout", "0"),
    ("max_parallel_workers_per_gather", "0"),
    ("max_parallel_maintenance_workers", "0"),
    // Scans are compared. The group "counts" turns it on.
    ("omendb_learned.enable_count", "off"),
];

/// The first column of an answer, as text.
pub fn column(client: &mut Client, query: &str) -> Result<Vec<String>> {
    let messages = client.simple_query(query)?;
    let text = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    Ok(messages.iter().filter_map(text).collect())
}

/// Lets all clients work at the same time. Returns what each gives.
pub fn at_once<C: Send, T: Send>(
    clients: impl IntoIterator<Item = C>,
    work: impl Fn(C) -> std::result::Result<T, String> + Sync,
) -> Result<Vec<T>> {
    let work = &work;
    let done = thread::scope(|scope| {
        let spawn = |client| scope.spawn(move || work(client));
        let threads: Vec<_> = clients.into_iter().map(spawn).collect();
        let join = |thread: ScopedJoinHandle<'_, _>| thread.join().map_err(|_| "a client died");
        threads.into_iter().map(|thread| join(thread)?).collect::<std::result::Result<_, String>>()
    });
    Ok(done?)
}

/// A throwaway cluster with the benchmark's settings; stopped and deleted when dropped.
pub struct Server {
    cluster: Cluster,
}

impl Server {
    /// Starts a fresh one, of the PostgreSQL that `PG_CONFIG` names.
    pub fn start() -> Result<Self> {
        let cluster = Cluster::start_with(&Self::lines_of_settings());
        cluster.connect().script(
            "CREATE EXTENSION IF NOT EXISTS omendb_learned; CREATE EXTENSION pg_visibility;",
        )?;
        Ok(Self { cluster })
    }

    /// [`SETTINGS`] as lines of a settings file.
    pub fn lines_of_settings() -> String {
        let line = |(name, value): &(&str, &str)| format!("{name} = '{value}'\n");
        SETTINGS.iter().map(line).collect()
    }

    /// A connection to the database `postgres`.
    pub fn connect(&self) -> Result<Client> {
        self.connect_to("postgres")
    }

    /// A connection to the named database.
    pub fn connect_to(&self, database: &str) -> Result<Client> {
        Ok(self.cluster.connect_to(database))
    }

    /// Restarts with other settings, lines of `name = value` that stay until they are given again.
    pub fn restart_with(&self, settings: &str) -> Result<()> {
        self.cluster.add_settings(settings);
        self.cluster.restart(Shutdown::Clean);
        Ok(())
    }

    /// What a program of PostgreSQL (`pgbench`) prints that connects to this server.
    pub fn program(&self, program: &str, arguments: &[&str]) -> Result<String> {
        Ok(self.cluster.client_program(program, arguments))
    }

    /// Transactions a second that pgbench reports when it is run with these arguments.
    pub fn pgbench(&self, arguments: &[&str]) -> Result<f64> {
        let said = self.program("pgbench", arguments)?;
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
        Ok(rate.ok_or_else(|| format!("no rate from pgbench: {said}"))?.parse()?)
    }

    /// A new directory that the server's user may read and write.
    pub fn directory(&self, name: &str) -> std::path::PathBuf {
        self.cluster.new_directory(name)
    }
}
