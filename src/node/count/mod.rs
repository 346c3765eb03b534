//! `SELECT count(*)`, of all rows or of groups: an answer from the index alone, where the table's
//! blocks are all-visible.
//!
//! - [`query`]: which queries are such; [`bucket`]: by which functions they may group
//! - [`offer`]: which paths the planner is offered; [`path`]: the path of a table, and its cost;
//!   [`append`]: putting together what several tables give; [`groups`]: how many groups there are,
//!   `width`: how wide they are, and `steps`: where that is all there is to know; `plan`: what the
//!   plan keeps
//! - `state`: what the core calls to carry it out; `run`: carrying it out; `privilege`: who may;
//!   `explain`: what EXPLAIN says of it

mod append;
mod bucket;
mod explain;
mod groups;
mod offer;
mod path;
mod plan;
mod privilege;
mod query;
mod run;
mod state;
mod steps;
mod width;

pub(super) use offer::add_path;
pub(super) use query::Stage;

use pgrx::pg_sys;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);

/// Makes the setting and the plan node known.
pub(super) fn register() {
    GucRegistry::define_bool_guc(
        c"omendb_learned.enable_count",
        c"Enables the planner's use of counts from learned indexes.",
        c"",
        &ENABLED,
        GucContext::Userset,
        GucFlags::EXPLAIN,
    );
    // SAFETY: the methods live as long as the process does.
    unsafe { pg_sys::RegisterCustomScanMethods(&raw const state::SCAN_METHODS.0) };
}
