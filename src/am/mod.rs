//! The access method `learned`: one module for each group of callbacks.
//!
//! - [`handler`]: which callbacks there are; [`validate`]: whether an operator class fits them
//! - `build`: CREATE INDEX and REINDEX; `insert`: one row; `vacuum`: removing dead entries
//! - `scan`: reading in order, or into a bitmap; `cost`: what the planner is told of it
//! - [`unique_violation`]: the errors of unique indexes
//! - [`dead_rows`]: which rows are dead, as the table says
//! - [`serializable`]: predicate locks

mod build;
mod cost;
mod dead_rows;
mod handler;
mod insert;
mod scan;
mod serializable;
#[cfg(any(test, feature = "pg_test"))]
mod tests;
mod unique_violation;
mod vacuum;
mod validate;
