//! Insertion of one entry.

use pgrx::prelude::*;

use crate::storage::index_name;

/// Refuses a new row: a learned index does not take inserts in this version.
///
/// # Safety
/// Called by the core with an open index.
#[allow(clippy::too_many_arguments)] // the core's signature
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn aminsert(
    index: pg_sys::Relation,
    _values: *mut pg_sys::Datum,
    _is_null: *mut bool,
    _heap_tid: pg_sys::ItemPointer,
    _heap: pg_sys::Relation,
    _check_unique: pg_sys::IndexUniqueCheck::Type,
    _index_unchanged: bool,
    _info: *mut pg_sys::IndexInfo,
) -> bool {
    // SAFETY: by contract the index is open.
    let name = unsafe { index_name(index) };
    super::refuse(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("cannot insert into learned index \"{name}\""),
        "Learned indexes do not take new rows in this version. Drop the index, change the table, and create it again; or use a B-tree.",
    )
}
