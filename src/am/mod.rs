//! The access method `learned`: one file for each group of callbacks.

pub(crate) mod build;
pub(crate) mod cost;
mod handler;
pub(crate) mod insert;
pub(crate) mod options;
pub(crate) mod scan;
pub(crate) mod vacuum;
pub(crate) mod validate;

/// The name of the access method in SQL.
pub(crate) const NAME: &str = "learned";

/// Raises the error of a callback that does not exist yet.
fn not_yet(what: &str) -> ! {
    pgrx::ereport!(
        ERROR,
        pgrx::PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("access method \"{NAME}\" does not support {what} yet")
    );
}
