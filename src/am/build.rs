//! CREATE INDEX and REINDEX.

use pgrx::prelude::*;

use super::not_yet;

/// Builds the index from the rows of its table.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambuild(
    _heap: pg_sys::Relation,
    _index: pg_sys::Relation,
    _info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    not_yet("build")
}

/// Writes an empty index to the init fork of an unlogged one.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambuildempty(_index: pg_sys::Relation) {
    not_yet("build")
}

/// The name of a phase of the build, for pg_stat_progress_create_index.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambuildphasename(_phase: i64) -> *mut std::ffi::c_char {
    std::ptr::null_mut()
}
