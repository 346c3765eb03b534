//! The hooks of the planner. Others may be there before, and are called first.

use std::cell::Cell;
use std::ffi::c_void;

use pgrx::pg_sys::ffi;
use pgrx::prelude::*;

use super::{as_btree, count, derived, distinct, hypothetical};
use crate::report::carried::carrying;
use crate::report::memory::cover;

thread_local! {
    /// What was there when this library was loaded.
    static RELATION_INFO_BEFORE: Cell<pg_sys::get_relation_info_hook_type> =
        const { Cell::new(None) };
    static PATHS_BEFORE: Cell<pg_sys::set_rel_pathlist_hook_type> = const { Cell::new(None) };
    static UPPER_PATHS_BEFORE: Cell<pg_sys::create_upper_paths_hook_type> =
        const { Cell::new(None) };
}

/// Puts the hooks in place.
pub(super) fn register() {
    // SAFETY: hooks are variables of this process, which no other thread uses.
    unsafe {
        RELATION_INFO_BEFORE.set(pg_sys::get_relation_info_hook);
        pg_sys::get_relation_info_hook = Some(get_relation_info);
        PATHS_BEFORE.set(pg_sys::set_rel_pathlist_hook);
        pg_sys::set_rel_pathlist_hook = Some(set_rel_pathlist);
        UPPER_PATHS_BEFORE.set(pg_sys::create_upper_paths_hook);
        pg_sys::create_upper_paths_hook = Some(create_upper_paths);
    }
}

/// Looks at what the planner knows of a table.
///
/// # Safety
/// Called by the planner.
#[pg_guard]
unsafe extern "C-unwind" fn get_relation_info(
    root: *mut pg_sys::PlannerInfo,
    table: pg_sys::Oid,
    is_parent: bool,
    rel: *mut pg_sys::RelOptInfo,
) {
    cover();
    // SAFETY: by contract.
    unsafe {
        if let Some(before) = RELATION_INFO_BEFORE.get() {
            carrying(|| {
                ffi::pg_guard_ffi_boundary(
                    #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                    || before(root, table, is_parent, rel),
                );
            });
        }
        hypothetical::add_to(root, table, is_parent, rel);
        as_btree::present_indexes(root, rel);
    }
}

/// Offers paths for a table.
///
/// # Safety
/// Called by the planner.
#[pg_guard]
unsafe extern "C-unwind" fn set_rel_pathlist(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    number: pg_sys::Index,
    entry: *mut pg_sys::RangeTblEntry,
) {
    // SAFETY: by contract.
    unsafe {
        if let Some(before) = PATHS_BEFORE.get() {
            carrying(|| {
                ffi::pg_guard_ffi_boundary(
                    #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                    || before(root, rel, number, entry),
                );
            });
        }
        derived::add_paths(root, rel, entry);
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
    // Each query comes here, before a function of ours is called.
    cover();
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
