//! CREATE INDEX.

use std::time::Instant;

use postgres::Client;

use crate::Result;
use crate::bench::Bench;
use crate::paired::alternate;
use crate::table::Table;

/// Measures it serially, and with two workers for the method that can use them.
pub fn run(bench: &mut Bench, client: &mut Client, table: &Table) -> Result<()> {
    let random = !["serial", "timestamps"].contains(&table.data.as_str());
    let forms = [
        (0, "CREATE INDEX, serial", if random { 3.5 } else { 1.9 }),
        (2, "CREATE INDEX, 2 workers allowed (a method that builds serially uses none)", 2.5),
    ];
    for (workers, what, target) in forms {
        client.batch_execute(&format!(
            "ALTER TABLE {} SET (parallel_workers = {workers}); SET \
             max_parallel_maintenance_workers = {workers}",
            table.name
        ))?;
        let found = alternate(bench.options.rounds, |side, _| {
            let method = side.method();
            let (index, name) = (table.index(method), &table.name);
            client.batch_execute(&format!("DROP INDEX IF EXISTS {index}"))?;
            client.batch_execute("CHECKPOINT")?;
            let started = Instant::now();
            client.batch_execute(&format!("CREATE INDEX {index} ON {name} USING {method} (k)"))?;
            Ok(started.elapsed().as_secs_f64() * 1e3)
        })?;
        let figure = found.pairs(|took| *took).figure("build", table, what, "ms", "btree");
        bench.add(if workers == 0 || random { figure.with_target(target) } else { figure });
    }
    client.batch_execute(&format!(
        "ALTER TABLE {} RESET (parallel_workers); RESET max_parallel_maintenance_workers",
        table.name
    ))?;
    Ok(())
}
