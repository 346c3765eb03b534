//! SQL functions.
//!
//! - [`retrain`] has `learned_retrain`
//! - [`check`] has `learned_check`
//! - [`target`] is the index that they were given

mod check;
mod retrain;
mod target;
#[cfg(any(test, feature = "pg_test"))]
mod tests;
