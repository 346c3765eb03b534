//! How cost grows with the rows.

use std::time::Instant;

use crate::Result;
use crate::bench::Bench;
use crate::data::DataSet;
use crate::paired::{Pairs, Question, Side};
use crate::table::Table;

use super::probes::PROBES;

const GROUP: &str = "scale";

/// Measures point probes, the build and the size at growing numbers of rows.
pub fn run(bench: &mut Bench) -> Result<()> {
    let sizes: &[u64] = match bench.options.is_full() {
        true => &[1_000_000, 10_000_000, 100_000_000],
        false => &[10_000, 100_000, 500_000],
    };
    for rows in sizes {
        for name in ["timestamps", "uniform"] {
            of_rows(bench, &DataSet::generated(name, *rows)?)?;
        }
    }
    Ok(())
}

fn of_rows(bench: &mut Bench, set: &DataSet) -> Result<()> {
    let mut client = bench.connect()?;
    let client = &mut client;
    let table = Table::load(client, "t", &set.name, &set.keys)?;
    let mut build = |side: Side| -> Result<(f64, f64)> {
        let started = Instant::now();
        table.build(client, side.method())?;
        let took = started.elapsed().as_secs_f64() * 1e3;
        Ok((took, table.bytes_a_row(client, &table.index(side.method()))?))
    };
    let (theirs, ours) = (build(Side::Theirs)?, build(Side::Ours)?);
    let (took, sizes) = (Pairs::once(theirs.0, ours.0), Pairs::once(theirs.1, ours.1));
    bench.add(took.figure(GROUP, &table, "CREATE INDEX, once", "ms", "btree"));
    bench.add(sizes.figure(GROUP, &table, "index size as built", "bytes/row", "btree"));
    table.add_probes(client)?;
    for (how, scan, query) in PROBES {
        let pairs = Question::new(&table, query, scan).ask(client, bench.options.rounds)?;
        let what = format!("point probes, {how}");
        bench.add(pairs.figure(GROUP, &table, &what, "ms", "btree"));
    }
    table.drop(client)
}
