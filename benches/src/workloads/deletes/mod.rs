//! Tables that live by deleting: what VACUUM would clean up, on tables that nobody vacuums.
//!
//! - `clients`: a job queue and a hot row, and whether they stay as fast as they began
//! - `head`: the oldest row, and planning a join, after the oldest rows were deleted
//! - `leftovers`: pages after loads that were rolled back, and after updates of another column
//! - `serializable`: transactions that do not meet
//! - `inserts`: random inserts: the WAL by the distance of checkpoints, and two clients
//!
//! The longest wait for an insert is measured by `stall`.

mod clients;
mod head;
mod inserts;
mod leftovers;
mod serializable;

use postgres::Client;

use crate::Result;
use crate::bench::{Bench, Measure};
use crate::data::DataSet;

use super::stall;
use super::writes::Twins;

/// The name of the group.
pub const GROUP: &str = "deletes";

/// Rows of the tables that do not grow with `--rows`.
const ROWS: u64 = 100_000;

/// What is measured, with its name.
pub const STEPS: [(&str, Measure); 9] = [
    ("job queue", clients::queue),
    ("hot row", clients::hot_row),
    ("deleted head", head::oldest),
    ("planning after a DELETE", head::planning),
    ("loads rolled back", leftovers::rolled_back),
    ("an unchanged column", leftovers::unchanged),
    ("serializable transactions", serializable::run),
    ("random inserts", inserts::run),
    ("waits", stall::run),
];

/// Twins of [`ROWS`] serial keys.
fn serial_twins(client: &mut Client) -> Result<Twins> {
    Twins::load(client, &DataSet::generated("serial", ROWS)?)
}

/// A session that plans index scans where it can.
fn index_session(bench: &Bench) -> Result<Client> {
    let mut client = bench.connect()?;
    client.batch_execute(
        "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off",
    )?;
    Ok(client)
}
