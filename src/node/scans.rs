//! What EXPLAIN (ANALYZE, VERBOSE) says of scans of our indexes, from PostgreSQL 18 on.
//!
//! Of a scan in parallel workers it says what the leader's own part of it has done.

use std::cell::Cell;
use std::ffi::c_char;

use pgrx::pg_sys::{self, NodeTag, ffi};
use pgrx::prelude::*;

use super::explain::show_number;
use crate::am::scan::watched::work_of;
use crate::relation::OpenIndex;
use crate::report::carried::carrying;

thread_local! {
    /// What was there when this library was loaded.
    static BEFORE: Cell<pg_sys::explain_per_node_hook_type> = const { Cell::new(None) };
}

/// Puts the hook in place.
pub(super) fn register() {
    // SAFETY: a variable of this process, which no other thread uses.
    unsafe {
        BEFORE.set(pg_sys::explain_per_node_hook);
        pg_sys::explain_per_node_hook = Some(explain_node);
    }
}

/// # Safety
/// Called while EXPLAIN shows a node.
#[pg_guard]
unsafe extern "C-unwind" fn explain_node(
    node: *mut pg_sys::PlanState,
    ancestors: *mut pg_sys::List,
    relationship: *const c_char,
    plan_name: *const c_char,
    explain: *mut pg_sys::ExplainState,
) {
    // SAFETY: by contract.
    unsafe {
        if let Some(before) = BEFORE.get() {
            carrying(|| {
                ffi::pg_guard_ffi_boundary(
                    #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                    || before(node, ancestors, relationship, plan_name, explain),
                );
            });
        }
        if (*explain).analyze && (*explain).verbose {
            show_work(node, explain);
        }
    }
}

/// # Safety
/// As [`explain_node`].
unsafe fn show_work(node: *mut pg_sys::PlanState, explain: *mut pg_sys::ExplainState) {
    // SAFETY: by contract; a node is what its tag says. The scan of a node that was not carried
    // out, or only by workers, is null, or has done nothing.
    unsafe {
        let scan = match (*node).type_ {
            NodeTag::T_IndexScanState => (*node.cast::<pg_sys::IndexScanState>()).iss_ScanDesc,
            NodeTag::T_IndexOnlyScanState => {
                (*node.cast::<pg_sys::IndexOnlyScanState>()).ioss_ScanDesc
            }
            NodeTag::T_BitmapIndexScanState => {
                (*node.cast::<pg_sys::BitmapIndexScanState>()).biss_ScanDesc
            }
            _ => return,
        };
        let was_run = (*node).instrument.as_ref().is_some_and(|run| run.nloops > 0.0);
        if scan.is_null() || !was_run || OpenIndex::of_relation((*scan).indexRelation).is_none() {
            return;
        }
        let work = work_of(scan);
        let labels = match (*node).worker_instrument.is_null() {
            true => [c"Leaves Read", c"Leaves Mispredicted", c"Unmerged Entries"],
            false => {
                [c"Leader Leaves Read", c"Leader Leaves Mispredicted", c"Leader Unmerged Entries"]
            }
        };
        for (label, number) in
            labels.into_iter().zip([work.leaves(), work.by_search, work.unmerged])
        {
            show_number(explain, label, number);
        }
    }
}
