//! What stays after crashes, on standbys and subscribers, over months of retention, and when the
//! merging worker or its disk fails.

mod backup;
mod crash;
mod crash_standby;
pub(crate) mod ddl;
mod disk;
mod dump;
mod endpoints;
mod historic;
mod horizon;
pub(crate) mod ledger;
mod logical;
mod old_snapshots;
mod retention;
mod rewind;
mod standby;
mod standby_scans;
mod upgrade;
mod worker;
mod workers;
mod zoo;
