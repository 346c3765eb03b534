//! Bytes of an index for each row.

use postgres::Client;

use crate::Result;
use crate::bench::Bench;
use crate::data::entropy;
use crate::paired::Pairs;
use crate::result::Figure;
use crate::table::Table;

/// Bytes a row to reach, by data set.
const TARGETS: [(&str, f64); 6] = [
    ("serial", 0.2),
    ("timestamps", 2.0),
    ("poisson", 1.8),
    ("lognormal", 4.6),
    ("uniform", 8.2),
    ("wiki-like", 1.0),
];

/// Measures the indexes of one table.
pub fn run(bench: &mut Bench, client: &mut Client, table: &Table) -> Result<()> {
    let theirs = table.bytes_a_row(client, &table.index("btree"))?;
    let ours = table.bytes_a_row(client, &table.index("learned"))?;
    let what = "index size as built";
    let figure = Pairs::once(theirs, ours).figure("space", table, what, "bytes/row", "btree");
    let target = TARGETS.iter().find(|(name, _)| *name == table.data).map(|(_, target)| *target);
    let ceiling = entropy(&table.data, table.rows).map(|bits| theirs / (bits / 8.0));
    bench.add(Figure { target, ceiling, ..figure });
    Ok(())
}
