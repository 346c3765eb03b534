//! Progress of a build, for `pg_stat_progress_create_index`.

use std::ffi::c_int;

use pgrx::prelude::*;

/// Reports a number of this session's progress: a `PROGRESS_` parameter. Does nothing where
/// `track_activities` is off.
pub(crate) fn report_progress(what: u32, number: u64) {
    // SAFETY: writes to this process's own entry.
    unsafe { pg_sys::pgstat_progress_update_param(what as c_int, number as i64) };
}
