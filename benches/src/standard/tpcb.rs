//! pgbench's TPC-B-like transactions, and its SELECTs by the number of clients, in two databases:
//! one as pgbench makes it, one with learned indexes in place of its primary keys.

use postgres::Client;
use server_tests::Script;

use super::{GROUP, SCALE, rows, seconds};
use crate::Result;
use crate::bench::Bench;
use crate::paired::alternate;

const DATABASES: [&str; 2] = ["tpcb_btree", "tpcb_learned"];
/// Rows that each step of pgbench's scale adds to its largest table.
const ROWS: u64 = 100_000;
/// Tables and their keys.
const KEYS: [(&str, &str); 3] =
    [("pgbench_accounts", "aid"), ("pgbench_branches", "bid"), ("pgbench_tellers", "tid")];

/// Measures transactions a second with one client and with two.
pub fn run(bench: &mut Bench) -> Result<()> {
    measure(bench, GROUP, "TPC-B-like", &[1, 2], &[])
}

/// Measures SELECTs of one row a second by the number of clients.
pub fn by_clients(bench: &mut Bench) -> Result<()> {
    let clients: &[usize] = if bench.options.is_full() { &[1, 2, 4, 8, 16] } else { &[2, 16] };
    let only = ["--select-only", "--no-vacuum"];
    measure(bench, SCALE, "prepared SELECT of one row", clients, &only)
}

fn measure(
    bench: &mut Bench,
    group: &str,
    what: &str,
    clients: &[usize],
    more: &[&str],
) -> Result<()> {
    let scale = (rows(&bench.options) / ROWS).max(1);
    let mut client = bench.connect()?;
    for database in DATABASES {
        client.batch_execute(&format!("CREATE DATABASE {database}"))?;
        // Otherwise the disk would be measured.
        client.batch_execute(&format!("ALTER DATABASE {database} SET synchronous_commit = off"))?;
        let steps = scale.to_string();
        let arguments = ["--initialize", "--quiet", "--scale", &steps, database];
        bench.server.program("pgbench", &arguments)?;
    }
    replace_keys(&mut bench.server.connect_to(DATABASES[1])?)?;
    let seconds = seconds(&bench.options).to_string();
    for &clients in clients {
        let (jobs, number) = (clients.min(2).to_string(), clients.to_string());
        let found = alternate(bench.options.rounds, |side, _| {
            client.batch_execute("CHECKPOINT")?;
            let mut arguments = vec!["--protocol", "prepared", "--client", &number];
            arguments.extend(["--jobs", &jobs, "--time", &seconds]);
            arguments.extend(more);
            arguments.push(DATABASES[side as usize]);
            bench.server.pgbench(&arguments)
        })?;
        let what = format!("{what}, {clients} client{}", if clients == 1 { "" } else { "s" });
        let rates = found.pairs(|rate| *rate);
        let of = ("pgbench", scale * ROWS);
        bench.add(rates.figure(group, of, &what, "transactions/s", "btree"));
    }
    for database in DATABASES {
        client.batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)"))?;
    }
    Ok(())
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
