//! Standard workloads, with learned indexes in place of the B-trees.
//!
//! - `ycsb`: YCSB A to F
//! - `tpcb`: pgbench's TPC-B-like transactions, and its SELECTs by the number of clients
//! - `tpch`: the queries of TPC-H
//! - `fill`: lookups by how many rows wait in the delta

mod fill;
mod tpcb;
mod tpch;
mod ycsb;

use std::io::{BufWriter, Write};

use postgres::Client;

use crate::Result;
use crate::bench::Step;
use crate::options::Options;
use crate::result::Figure;
use crate::server::Server;

/// The tables of the report.
const GROUP: &str = "standard";
const SCALE: &str = "scale";

/// How much is measured.
struct Extent {
    /// Rows of the largest tables of YCSB and pgbench.
    rows: u64,
    /// Paired rounds that are counted.
    rounds: usize,
    /// Seconds that clients work in one round.
    seconds: u64,
    /// How many clients send SELECTs.
    clients: &'static [usize],
    /// The scale of TPC-H: 1 is about a gigabyte.
    tpch_scale: f64,
}

impl Extent {
    fn of(options: &Options) -> Self {
        let Options { rows, rounds, .. } = *options;
        let (seconds, clients): (_, &[usize]) =
            if options.is_full() { (3, &[1, 2, 4, 8, 16]) } else { (1, &[2, 16]) };
        let tpch_scale = (rows as f64 / 1e7).min(1.0);
        Self { rows: rows.min(2_000_000), rounds, seconds, clients, tpch_scale }
    }
}

type Workload = fn(&Server, &Extent) -> Result<Vec<Figure>>;

const WORKLOADS: [(&str, &str, Workload); 5] = [
    (GROUP, "YCSB", ycsb::run),
    (GROUP, "TPC-B", tpcb::run),
    (GROUP, "TPC-H", tpch::run),
    (SCALE, "SELECTs by clients", tpcb::by_clients),
    (SCALE, "lookups by delta fill", fill::run),
];

/// The steps that are asked for.
pub fn steps(options: &Options) -> Vec<Step> {
    let step = |(_, name, workload): (_, &str, Workload)| {
        Step::new(name, move |bench| {
            let figures = workload(&bench.server, &Extent::of(&bench.options))?;
            figures.into_iter().for_each(|figure| bench.add(figure));
            Ok(())
        })
    };
    WORKLOADS.into_iter().filter(|(group, ..)| options.wants(group)).map(step).collect()
}

/// Loads lines of columns with bars between them. Returns how many.
fn copy(client: &mut Client, table: &str, lines: impl Iterator<Item = String>) -> Result<u64> {
    let writer = client.copy_in(&format!("COPY {table} FROM STDIN (DELIMITER '|')"))?;
    let mut writer = BufWriter::with_capacity(1 << 20, writer);
    for line in lines {
        writeln!(writer, "{line}")?;
    }
    Ok(writer.into_inner().map_err(|error| error.into_error())?.finish()?)
}
