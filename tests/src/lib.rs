//! What the whole-server tests stand on: throwaway clusters, sessions at work at the same time,
//! index scans compared with sequential ones, and SQL values with neighbours.
//!
//! `PG_CONFIG` names the PostgreSQL to test, with the extension already installed in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backup;
mod cluster;
mod disk;
mod exact;
mod jobs;
mod kill;
mod memory;
mod memory_limit;
mod method;
mod plan;
mod standby;
mod stops;
mod upgrade;
mod value;

pub use cluster::{Cluster, Script, Shutdown};
pub use disk::SmallDisk;
pub use exact::{Row, Subject, fetch};
pub use jobs::{Job, run_together, test_duration};
pub use memory::Footprint;
pub use memory_limit::limit_memory;
pub use method::{
    Checked, LEFT_UNMERGED, access_method, check, check_all, is_arbiter, is_learned,
    learned_options, major_version, retrain, retrain_all, serves_equality, try_check, try_retrain,
};
pub use plan::{assert_plan, buffers, plan_of, planned_rows};
pub use standby::wait_until;
pub use stops::{Outcome, Stop, in_background, pid_of, waits_for};
pub use value::{Key, SqlType};

/// Fixed, so that a failure repeats; another one by `OMENDB_LEARNED_TEST_SEED`.
pub fn seed() -> u64 {
    std::env::var("OMENDB_LEARNED_TEST_SEED").map_or(20_260_101, |seed| seed.parse().unwrap())
}
