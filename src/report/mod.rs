//! How an error reaches the user.
//!
//! - [`refuse`]: an error that the user can do something about; [`raise`]: any other
//! - [`carried`]: what an error of the core loses on its way through Rust, and gets back
//! - [`backtraces`]: turns Rust's backtraces off
//! - [`memory`]: what happens when memory runs out

pub(crate) mod backtraces;
pub(crate) mod carried;
pub(crate) mod memory;

use pgrx::PgLogLevel;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Raises an error that the user can do something about.
pub(crate) fn refuse(code: PgSqlErrorCode, message: String, hint: &str) -> ! {
    raise(ErrorReport::new(code, message, "learned").set_hint(hint))
}

/// Raises an error.
pub(crate) fn raise(report: ErrorReport) -> ! {
    report.report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}
