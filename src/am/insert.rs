//! Insertion of one entry.

use pgrx::prelude::*;

use super::not_yet;

/// Inserts the entry of one new row version.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn aminsert(
    _index: pg_sys::Relation,
    _values: *mut pg_sys::Datum,
    _is_null: *mut bool,
    _heap_tid: pg_sys::ItemPointer,
    _heap: pg_sys::Relation,
    _check_unique: pg_sys::IndexUniqueCheck::Type,
    _index_unchanged: bool,
    _info: *mut pg_sys::IndexInfo,
) -> bool {
    not_yet("insert")
}
