//! Prepared SELECTs of a single row by pgbench.

use std::fs;

use postgres::Client;

use crate::Result;
use crate::bench::Bench;
use crate::paired::alternate;
use crate::table::Table;

/// Measures them with one client and with two, on a table whose keys are 1, 2, 3 and so on.
pub fn run(bench: &mut Bench, client: &mut Client, table: &Table) -> Result<()> {
    let directory = bench.server.directory("pgbench");
    let script = directory.join("select.sql");
    fs::write(
        &script,
        format!("\\set k random(1, {})\nSELECT value FROM t WHERE k = :k;\n", table.rows),
    )?;
    let script = script.to_str().ok_or("a path that is not UTF-8")?;
    let seconds = if bench.options.is_full() { "5" } else { "1" };
    for (clients, plural) in [("1", ""), ("2", "s")] {
        let found = alternate(bench.options.rounds, |side, _| {
            table.show_only(client, side.method())?;
            bench.server.pgbench(&[
                "--no-vacuum",
                "--protocol=prepared",
                &format!("--file={script}"),
                &format!("--client={clients}"),
                &format!("--jobs={clients}"),
                &format!("--time={seconds}"),
                "postgres",
            ])
        });
        table.show_all(client)?;
        let what = format!("prepared SELECT of one row, pgbench, {clients} client{plural}");
        let rates = found?.pairs(|rate| *rate);
        let figure = rates.figure("point probes", table, &what, "transactions/s", "btree");
        bench.add(figure.with_target(1.15));
    }
    Ok(())
}
