//! The access method `learned`: one module for each group of callbacks.
//!
//! - [`handler`]: which callbacks there are; [`validate`]: whether an operator class fits them
//! - [`build`], [`insert`], [`scan`], [`vacuum`], [`cost`]
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
