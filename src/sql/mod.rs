//! SQL functions.
//!
//! - [`retrain`] has `learned_retrain`
//! - [`check`] has `learned_check`
//! - [`stats`] has `learned_index_stats`; [`btree`] is what a B-tree would take
//! - [`inspect`] has `learned_predict`, `learned_segments` and `learned_blocks`
//! - [`target`] is the index that they were given

mod btree;
mod check;
mod inspect;
mod retrain;
mod stats;
mod target;
#[cfg(any(test, feature = "pg_test"))]
mod tests;
