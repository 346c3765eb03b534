//! The hooks of the planner. Others may be there before, and are called first.

use std::cell::Cell;
use std::ffi::c_void;

use pgrx::pg_sys::ffi;
use pgrx::prelude::*;

use super::{count, distinct};
use crate::report::carried::carrying;

thread_local! {
    /// What was there when this library was loaded.
    static UPPER_PATHS_BEFORE: Cell<pg_sys::create_upper_paths_hook_type> =
        const { Cell::new(None) };
}

/// Puts the hooks in place.
pub(super) fn register() {
    // SAFETY: hooks are variables of this process, which no other thread uses.
    unsafe {
        UPPER_PATHS_BEFORE.set(pg_sys::create_upper_paths_hook);
        pg_sys::create_upper_paths_hook = Some(create_upper_paths);
    }
}

/// Offers paths for what comes above scans and joins.
///
/// # Safety
/// Called by the planner.
#[pg_guard]
unsafe extern "C-unwind" fn create_upper_paths(
    root: *mut pg_sys::PlannerInfo,
    stage: pg_sys::UpperRelationKind::Type,
    input: *mut pg_sys::RelOptInfo,
    output: *mut pg_sys::RelOptInfo,
    extra: *mut c_void,
) {
    // SAFETY: by contract.
    unsafe {
        if let Some(before) = UPPER_PATHS_BEFORE.get() {
            carrying(|| {
                ffi::pg_guard_ffi_boundary(
                    #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                    || before(root, stage, input, output, extra),
                );
            });
        }
        let what = match stage {
            pg_sys::UpperRelationKind::UPPERREL_GROUP_AGG => count::Stage::Groups,
            pg_sys::UpperRelationKind::UPPERREL_DISTINCT => count::Stage::Distinct,
            _ => return,
        };
        count::add_path(root, input, output, what);
        if stage == pg_sys::UpperRelationKind::UPPERREL_DISTINCT {
            distinct::add_paths(root, input, output);
        }
    }
}
