//! What the whole-server tests stand on: throwaway clusters, and SQL values with neighbours.
//!
//! `PG_CONFIG` names the PostgreSQL to test, with the extension already installed in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod plan;
mod value;

pub use cluster::{Cluster, Script, Shutdown};
pub use plan::{assert_plan, plan_of};
pub use value::{Key, SqlType};

/// The access method under test. `OMENDB_LEARNED_TEST_AM=btree` runs a suite against nbtree, which
/// shows whether a failure is the test's own.
pub fn access_method() -> String {
    std::env::var("OMENDB_LEARNED_TEST_AM").unwrap_or_else(|_| "learned".to_owned())
}
