//! What the planner is told of the values of an indexed column: what ANALYZE found, and what the
//! index has gained beyond the ends of that since.
//!
//! Rows of time series come behind all others. Until the next ANALYZE the core expects next to none
//! there. The first column of an index tells how many there are and how they are distributed, from
//! a few pages.
//!
//! - this file: where the core asks, and for which columns it is answered
//! - `column`: the answer for a column, and when it is made anew
//! - `beyond`: what the index has beyond the ends of ANALYZE's histogram, and no more within them;
//!   `histogram`: putting both together
//! - `tuple`: rows of pg_statistic

mod beyond;
mod column;
mod histogram;
mod tuple;

use std::cell::Cell;

use pgrx::pg_sys;
use pgrx::pg_sys::ffi;
use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

use crate::am::indexes_of_ours;
use crate::report::carried::carrying;
use column::Subject;

static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);

thread_local! {
    /// The hooks that were there before.
    static COLUMN_BEFORE: Cell<pg_sys::get_relation_stats_hook_type> = const { Cell::new(None) };
    static EXPRESSION_BEFORE: Cell<pg_sys::get_index_stats_hook_type> = const { Cell::new(None) };
}

/// Makes the setting known, and puts the hooks in place.
pub(super) fn register() {
    GucRegistry::define_bool_guc(
        c"omendb_learned.enable_statistics",
        c"Enables estimates from what learned indexes have gained since ANALYZE.",
        c"",
        &ENABLED,
        GucContext::Userset,
        GucFlags::EXPLAIN,
    );
    column::register();
    // SAFETY: hooks are variables of this process, which no other thread uses.
    unsafe {
        COLUMN_BEFORE.set(pg_sys::get_relation_stats_hook);
        pg_sys::get_relation_stats_hook = Some(column_statistics);
        EXPRESSION_BEFORE.set(pg_sys::get_index_stats_hook);
        pg_sys::get_index_stats_hook = Some(expression_statistics);
    }
}

/// Finds the statistics of a column; false where the core is to look for them.
///
/// # Safety
/// Called by the planner: `examine_simple_variable` of selfuncs.c.
#[pg_guard]
unsafe extern "C-unwind" fn column_statistics(
    root: *mut pg_sys::PlannerInfo,
    entry: *mut pg_sys::RangeTblEntry,
    attribute: pg_sys::AttrNumber,
    variable: *mut pg_sys::VariableStatData,
) -> bool {
    // SAFETY: by contract.
    unsafe {
        if let Some(before) = COLUMN_BEFORE.get()
            && carrying(|| {
                ffi::pg_guard_ffi_boundary(
                    #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                    || before(root, entry, attribute, variable),
                )
            })
        {
            return true;
        }
        // What a table and its children have together, no index knows.
        let is_table = (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION && !(*entry).inh;
        if !ENABLED.get() || !is_table || attribute <= 0 {
            return false;
        }
        let of_entry = relations(root).find(|(other, _)| *other == entry);
        let Some((_, rel)) = of_entry else { return false };
        let leads = |index: &pg_sys::IndexOptInfo| i32::from(attribute) == *index.indexkeys;
        let Some(index) = index_where(rel, leads) else { return false };
        let subject = Subject {
            index,
            rel,
            analysed: ((*entry).relid, attribute),
            asked: pg_sys::bms_make_singleton(
                i32::from(attribute) - pg_sys::FirstLowInvalidHeapAttributeNumber,
            ),
        };
        column::supply(root, &subject, variable)
    }
}

/// Finds the statistics of an expression that an index is on; false where the core is to look for
/// them.
///
/// # Safety
/// Called by the planner: `examine_variable` of selfuncs.c.
#[pg_guard]
unsafe extern "C-unwind" fn expression_statistics(
    root: *mut pg_sys::PlannerInfo,
    oid: pg_sys::Oid,
    column: pg_sys::AttrNumber,
    variable: *mut pg_sys::VariableStatData,
) -> bool {
    // SAFETY: by contract.
    unsafe {
        if let Some(before) = EXPRESSION_BEFORE.get()
            && carrying(|| {
                ffi::pg_guard_ffi_boundary(
                    #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                    || before(root, oid, column, variable),
                )
            })
        {
            return true;
        }
        let rel = (*variable).rel;
        if !ENABLED.get() || column != 1 || !relations(root).any(|(_, other)| other == rel) {
            return false;
        }
        let Some(index) = index_where(rel, |index| index.indexoid == oid) else { return false };
        // An expression may be of any columns.
        let asked = std::ptr::null_mut();
        let subject = Subject { index, rel, analysed: (oid, column), asked };
        column::supply(root, &subject, variable)
    }
}

/// The relations of the query that is planned, with the entries of its range table that they are.
///
/// The planner may know of relations by more than one way, but what `VariableStatData` says of one
/// must not be followed before it is found among these: `brincostestimate` of selfuncs.c leaves it
/// as it was on the stack.
///
/// # Safety
/// The planner is at work on the query.
unsafe fn relations(
    root: *mut pg_sys::PlannerInfo,
) -> impl Iterator<Item = (*mut pg_sys::RangeTblEntry, *mut pg_sys::RelOptInfo)> {
    // SAFETY: by contract; the arrays have as many elements, and what is in them is not followed.
    let both = unsafe {
        let count = (*root).simple_rel_array_size as usize;
        let entries = (*root).simple_rte_array;
        let rels = (*root).simple_rel_array;
        (1..count).map(move |number| (*entries.add(number), *rels.add(number)))
    };
    both.filter(|(_, rel)| !rel.is_null())
}

/// The narrowest index of ours on all rows of a table that is wanted.
///
/// # Safety
/// The table is one of a query that is planned.
unsafe fn index_where(
    rel: *mut pg_sys::RelOptInfo,
    is_wanted: impl Fn(&pg_sys::IndexOptInfo) -> bool,
) -> Option<*mut pg_sys::IndexOptInfo> {
    // SAFETY: by contract.
    unsafe {
        let ours = indexes_of_ours(rel).filter(|&index| {
            (*index).indpred.is_null() && !(*index).hypothetical && is_wanted(&*index)
        });
        ours.min_by_key(|&index| (*index).nkeycolumns)
    }
}
