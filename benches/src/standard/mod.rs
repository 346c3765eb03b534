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
use crate::bench::{Measure, Step};
use crate::options::Options;

/// The tables of the report.
const GROUP: &str = "standard";
const SCALE: &str = "scale";

const STEPS: [(&str, &str, Measure); 5] = [
    (GROUP, "YCSB", ycsb::run),
    (GROUP, "TPC-B", tpcb::run),
    (GROUP, "TPC-H", tpch::run),
    (SCALE, "SELECTs by clients", tpcb::by_clients),
    (SCALE, "lookups by delta fill", fill::run),
];

/// The steps that are asked for.
pub fn steps(options: &Options) -> Vec<Step> {
    let wanted = STEPS.into_iter().filter(|(group, ..)| options.wants(group));
    wanted.map(|(_, name, measure)| (name.to_owned(), Box::new(measure) as _)).collect()
}

/// Rows of the largest tables of YCSB and pgbench.
fn rows(options: &Options) -> u64 {
    options.rows.min(2_000_000)
}

/// Seconds that clients work in one round.
fn seconds(options: &Options) -> u64 {
    if options.is_full() { 3 } else { 1 }
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
