//! `SELECT DISTINCT ON (device) *`: the first row of each group, by one search of the index for
//! each.
//!
//! An ordinary index scan of the core gives rows in the order of the index. A node above it takes
//! the first row of each group, and has the scan leave the rest of the group behind
//! ([`crate::am::scan::leave_group`]). So conditions, visibility, index-only scans, locks and
//! privileges are those of the core's scan.
//!
//! - [`query`]: which queries ask for that, and of which indexes
//! - [`path`]: the paths that the planner is offered, and their cost; `append`: those of several
//!   tables
//! - `state`: what the core calls to carry it out, and what EXPLAIN says of it

mod append;
mod path;
mod query;
mod state;

use pgrx::pg_sys;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

use query::Query;

static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);

/// Makes the setting and the plan node known.
pub(super) fn register() {
    GucRegistry::define_bool_guc(
        c"omendb_learned.enable_distinct",
        c"Enables the planner's use of learned indexes to go from group to group.",
        c"",
        &ENABLED,
        GucContext::Userset,
        GucFlags::EXPLAIN,
    );
    // SAFETY: the methods live as long as the process does.
    unsafe { pg_sys::RegisterCustomScanMethods(&raw const state::SCAN_METHODS.0) };
}

/// Adds paths to what the planner has for the distinct rows of a query.
///
/// # Safety
/// Called while the planner makes paths for the distinct rows of `input`, which go to `output`.
pub(super) unsafe fn add_paths(
    root: *mut pg_sys::PlannerInfo,
    input: *mut pg_sys::RelOptInfo,
    output: *mut pg_sys::RelOptInfo,
) {
    if !ENABLED.get() {
        return;
    }
    // SAFETY: by contract.
    unsafe {
        let Some(query) = Query::of(root, input) else { return };
        if query.has_children(root) {
            append::add_path(root, &query, output);
            return;
        }
        for path in path::paths_of(root, &query, input, output, query.target) {
            pg_sys::add_path(output, path.cast());
        }
    }
}
