//! The access method `learned`: one file for each group of callbacks.

pub(crate) mod build;
pub(crate) mod carried;
pub(crate) mod cost;
mod dead_rows;
mod handler;
mod heap_ahead;
pub(crate) mod insert;
mod killed;
pub(crate) mod options;
pub(crate) mod scan;
mod serializable;
mod unique;
mod unique_violation;
pub(crate) mod vacuum;
pub(crate) mod validate;
mod visible;

use pgrx::PgLogLevel;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Raises an error that the user can do something about.
pub(crate) fn refuse(code: PgSqlErrorCode, message: String, hint: &str) -> ! {
    ErrorReport::new(code, message, "learned").set_hint(hint).report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// Whether an open relation is an index of this access method.
///
/// # Safety
/// `relation` is open.
pub(crate) unsafe fn is_learned(relation: pg_sys::Relation) -> bool {
    // SAFETY: rd_rel of an open relation is valid, and so is rd_indam of an open index.
    unsafe {
        (*(*relation).rd_rel).relkind as u8 == pg_sys::RELKIND_INDEX
            && (*relation).rd_indam.as_ref().is_some_and(|am| {
                am.aminsert.is_some_and(|insert| {
                    std::ptr::fn_addr_eq(
                        insert,
                        insert::aminsert
                            as unsafe extern "C-unwind" fn(_, _, _, _, _, _, _, _) -> _,
                    )
                })
            })
    }
}

/// Whether an open index takes inserts: not while its pages are being built by CREATE INDEX or
/// REINDEX CONCURRENTLY, nor after that has failed.
///
/// # Safety
/// `index` is an open index.
pub(crate) unsafe fn is_ready(index: pg_sys::Relation) -> bool {
    // SAFETY: rd_index of an open index is valid.
    unsafe { (*(*index).rd_index).indisready }
}
