//! SQL functions.
//!
//! - [`retrain`] has `learned_retrain`
//! - [`check`] has `learned_check`
//! - [`stats`] has `learned_index_stats`; [`btree`] is what a B-tree would take
//! - [`counters`] has `learned_index_counters` and `learned_reset_counters`
//! - [`inspect`] has `learned_predict`, `learned_segments` and `learned_blocks`
//! - [`advise`] has `learned_advise`; [`estimate`] is how large an index would be, [`nbtree`] what
//!   a B-tree has, [`definition`] how to replace it
//! - [`explain`] has `learned_explain`
//! - [`truncation`] has what plans look between for `ts::date = d`
//! - [`target`] is the index that they were given

mod advise;
mod btree;
mod check;
mod counters;
mod definition;
mod estimate;
mod explain;
mod inspect;
mod nbtree;
mod retrain;
mod stats;
mod target;
#[cfg(any(test, feature = "pg_test"))]
mod tests;
mod truncation;
