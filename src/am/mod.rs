//! The access method `learned`: one file for each group of callbacks.

pub(crate) mod build;
pub(crate) mod cost;
mod handler;
pub(crate) mod insert;
pub(crate) mod options;
pub(crate) mod scan;
mod unique;
mod unique_violation;
pub(crate) mod vacuum;
pub(crate) mod validate;

use pgrx::PgLogLevel;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Raises an error that the user can do something about.
pub(crate) fn refuse(code: PgSqlErrorCode, message: String, hint: &str) -> ! {
    ErrorReport::new(code, message, "learned").set_hint(hint).report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}
