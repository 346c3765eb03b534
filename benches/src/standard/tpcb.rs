//! pgbench's TPC-B-like transactions, in two databases: one as pgbench makes it, one with learned indexes in
//! place of its primary keys. And its SELECTs, by the number of clients.

use postgres::Client;
use server_tests::Script;

use super::{Extent, GROUP, SCALE};
use crate::Result;
use crate::paired::alternate;
use crate::result::Figure;
use crate::server::Server;

const DATABASES: [&str; 2] = ["tpcb_btree", "tpcb_learned"];
/// Rows of pgbench's largest table for each step of its scale.
const ROWS: u64 = 100_000;
/// Tables and their keys.
const KEYS: [(&str, &str); 3] =
    [("pgbench_accounts", "aid"), ("pgbench_branches", "bid"), ("pgbench_tellers", "tid")];

/// Measures transactions a second with one client and with two.
pub fn run(server: &Server, extent: &Extent) -> Result<Vec<Figure>> {
    let databases = Databases::create(server, extent)?;
    let figures = [1, 2]
        .into_iter()
        .map(|clients| databases.measure(GROUP, "TPC-B-like", clients, &[]))
        .collect::<Result<Vec<Figure>>>()?;
    databases.drop()?;
    Ok(figures)
}

/// Measures SELECTs of one row a second by the number of clients.
pub fn by_clients(server: &Server, extent: &Extent) -> Result<Vec<Figure>> {
    let databases = Databases::create(server, extent)?;
    let only = ["--select-only", "--no-vacuum"];
    let figures = extent
        .clients
        .iter()
        .map(|clients| databases.measure(SCALE, "prepared SELECT of one row", *clients, &only))
        .collect::<Result<Vec<Figure>>>()?;
    databases.drop()?;
    Ok(figures)
}

/// Both databases, filled.
struct Databases<'a> {
    server: &'a Server,
    extent: &'a Extent,
    scale: u64,
}

impl<'a> Databases<'a> {
    fn create(server: &'a Server, extent: &'a Extent) -> Result<Self> {
        let scale = (extent.rows / ROWS).max(1);
        let mut client = server.connect()?;
        for database in DATABASES {
            client.batch_execute(&format!("CREATE DATABASE {database}"))?;
            // Nobody waits for the disk, which would be all that is measured.
            client.batch_execute(&format!(
                "ALTER DATABASE {database} SET synchronous_commit = off"
            ))?;
            let steps = scale.to_string();
            let arguments = ["--initialize", "--quiet", "--scale", &steps, database];
            server.program("pgbench", &arguments)?;
        }
        replace_keys(&mut server.connect_to(DATABASES[1])?)?;
        Ok(Self { server, extent, scale })
    }

    fn measure(&self, group: &str, what: &str, clients: usize, more: &[&str]) -> Result<Figure> {
        let mut client = self.server.connect()?;
        let found = alternate(self.extent.rounds, |side, _| {
            client.batch_execute("CHECKPOINT")?;
            self.transactions(DATABASES[side as usize], clients, more)
        })?;
        let what = format!("{what}, {clients} client{}", if clients == 1 { "" } else { "s" });
        let of = ("pgbench", self.scale * ROWS);
        Ok(found.pairs(|rate| *rate).figure(group, of, &what, "transactions/s", "btree"))
    }

    /// Transactions a second, as pgbench says.
    fn transactions(&self, database: &str, clients: usize, more: &[&str]) -> Result<f64> {
        let (jobs, clients) = (clients.min(2).to_string(), clients.to_string());
        let seconds = self.extent.seconds.to_string();
        let mut arguments = vec!["--protocol", "prepared", "--client", &clients];
        arguments.extend(["--jobs", &jobs, "--time", &seconds]);
        arguments.extend(more);
        arguments.push(database);
        self.server.pgbench(&arguments)
    }

    fn drop(self) -> Result<()> {
        let mut client = self.server.connect()?;
        for database in DATABASES {
            client.batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)"))?;
        }
        Ok(())
    }
}

/// Unique learned indexes in place of the primary keys.
fn replace_keys(client: &mut Client) -> Result<()> {
    client.batch_execute("CREATE EXTENSION IF NOT EXISTS omendb_learned")?;
    for (table, key) in KEYS {
        client.script(&format!(
            "ALTER TABLE {table} DROP CONSTRAINT {table}_pkey;
            CREATE UNIQUE INDEX {table}_{key} ON {table} USING learned ({key});
            VACUUM ANALYZE {table}"
        ))?;
    }
    Ok(())
}
