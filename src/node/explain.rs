//! What EXPLAIN says of nodes: properties of several kinds.

use std::ffi::CStr;

use pgrx::pg_sys;

/// Shows a text, unless it is null.
///
/// # Safety
/// Called while EXPLAIN shows a node; the text is valid or null.
pub(super) unsafe fn show_text(
    explain: *mut pg_sys::ExplainState,
    label: &CStr,
    text: *const std::ffi::c_char,
) {
    // SAFETY: by contract.
    unsafe {
        if !text.is_null() {
            pg_sys::ExplainPropertyText(label.as_ptr(), text, explain);
        }
    }
}

/// Shows a number.
///
/// # Safety
/// Called while EXPLAIN shows a node.
pub(super) unsafe fn show_number(explain: *mut pg_sys::ExplainState, label: &CStr, number: u64) {
    // SAFETY: by contract.
    unsafe {
        pg_sys::ExplainPropertyUInteger(label.as_ptr(), std::ptr::null(), number, explain);
    }
}

/// A column of an index, from 1, as `pg_get_indexdef` shows it.
///
/// # Safety
/// Within a transaction.
pub(super) unsafe fn column_of(index: pg_sys::Oid, column: i32) -> String {
    // SAFETY: by contract; what the function gives is a text.
    unsafe {
        let function = pg_sys::Oid::from(pg_sys::F_PG_GET_INDEXDEF_OID_INT4_BOOL);
        let collation = pg_sys::InvalidOid;
        let (column, pretty) = (pg_sys::Datum::from(column), pg_sys::Datum::from(true));
        let text = pg_sys::OidFunctionCall3Coll(function, collation, index.into(), column, pretty);
        text_of(pg_sys::text_to_cstring(text.cast_mut_ptr()))
    }
}

/// A string of the core; empty for null.
///
/// # Safety
/// The string is null or valid.
pub(super) unsafe fn text_of(string: *const std::ffi::c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}
