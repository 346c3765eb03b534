//! Index scans.

use pgrx::prelude::*;

use super::not_yet;

/// Whether an index-only scan can return the column.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amcanreturn(
    _index: pg_sys::Relation,
    _attno: std::ffi::c_int,
) -> bool {
    false
}

/// Begins a scan.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambeginscan(
    _index: pg_sys::Relation,
    _nkeys: std::ffi::c_int,
    _norderbys: std::ffi::c_int,
) -> pg_sys::IndexScanDesc {
    not_yet("scan")
}

/// Starts or restarts a scan with new keys.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amrescan(
    _scan: pg_sys::IndexScanDesc,
    _keys: pg_sys::ScanKey,
    _nkeys: std::ffi::c_int,
    _orderbys: pg_sys::ScanKey,
    _norderbys: std::ffi::c_int,
) {
    not_yet("scan")
}

/// The next entry in the given direction.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amgettuple(
    _scan: pg_sys::IndexScanDesc,
    _direction: pg_sys::ScanDirection::Type,
) -> bool {
    not_yet("scan")
}

/// Adds every matching entry to a bitmap.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amgetbitmap(
    _scan: pg_sys::IndexScanDesc,
    _bitmap: *mut pg_sys::TIDBitmap,
) -> i64 {
    not_yet("scan")
}

/// Ends a scan.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amendscan(_scan: pg_sys::IndexScanDesc) {
    not_yet("scan")
}

/// Remembers the position of a scan.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ammarkpos(_scan: pg_sys::IndexScanDesc) {
    not_yet("scan")
}

/// Goes back to the remembered position.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amrestrpos(_scan: pg_sys::IndexScanDesc) {
    not_yet("scan")
}
