//! How many groups a query has.
//!
//! The core takes a function of a column for as many groups as the column has values, unless
//! ANALYZE was told to look at the function. How wide the groups of our functions are is known, and
//! ANALYZE knows how far the column's values reach. They are taken to lie there evenly.

use pgrx::pg_sys;

use super::bucket::Bucket;
use super::query::{Query, Table};
use super::width::width_of;
use crate::node::list_of;

/// How many groups are expected of the rows of a table. Of a function: `share` of the values of its
/// column is what the conditions on that column leave.
///
/// # Safety
/// Called while the planner makes paths for this query; the table is one of it.
pub(super) unsafe fn number_of_groups(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    table: &Table,
    bucket: Option<(&Bucket, f64)>,
) -> f64 {
    // SAFETY: by contract.
    unsafe {
        let rows = (*table.rel).rows.max(1.0);
        let estimate = |groups: &[*mut pg_sys::Expr]| {
            estimate(root, table.translated(root, list_of(groups.iter().copied())), rows)
        };
        let all = estimate(&query.groups);
        let Some((bucket, share)) = bucket else { return all };
        let Some(buckets) = buckets_of(table, bucket) else { return all };
        let plain: Vec<_> =
            query.groups.iter().copied().filter(|&group| query.column(group).is_some()).collect();
        let others = if plain.is_empty() { 1.0 } else { estimate(&plain) };
        all.min((buckets * share + 1.0) * others).min(rows)
    }
}

/// How many groups are expected of the rows of all tables, where each table has groups of its own.
///
/// # Safety
/// Called while the planner makes paths for this query.
pub(super) unsafe fn groups_together(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    of_tables: f64,
) -> f64 {
    // SAFETY: by contract.
    let all = unsafe {
        let groups = list_of(query.groups.iter().copied());
        estimate(root, groups, (*query.named).rows.max(1.0))
    };
    all.min(of_tables)
}

/// How many groups the core expects of some rows.
///
/// # Safety
/// Called while the planner makes paths for the query that has these groups.
unsafe fn estimate(root: *mut pg_sys::PlannerInfo, groups: *mut pg_sys::List, rows: f64) -> f64 {
    let (none, no_info) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: by contract.
    unsafe { pg_sys::estimate_num_groups(root, groups, rows, none, no_info) }
}

/// How many groups a function makes of all values of a column, as far as ANALYZE knows these.
///
/// # Safety
/// The function is one of a column of the table.
unsafe fn buckets_of(table: &Table, bucket: &Bucket) -> Option<f64> {
    // SAFETY: by contract; the tuple and the slot are freed after they were read. A Datum of these
    // types is a number.
    unsafe {
        let width = width_of(bucket.function)?;
        let (attribute, inherited) = (bucket.column, false);
        let tuple = pg_sys::SearchSysCache3(
            pg_sys::SysCacheIdentifier::STATRELATTINH as i32,
            table.oid.into(),
            attribute.into(),
            inherited.into(),
        );
        if tuple.is_null() {
            return None;
        }
        let mut slot: pg_sys::AttStatsSlot = std::mem::zeroed();
        let found = pg_sys::get_attstatsslot(
            &mut slot,
            tuple,
            pg_sys::STATISTIC_KIND_HISTOGRAM as i32,
            pg_sys::InvalidOid,
            pg_sys::ATTSTATSSLOT_VALUES as i32,
        );
        let mut reach = None;
        if found && slot.nvalues > 1 {
            let value = |index: i32| (*slot.values.add(index as usize)).value() as i64 as f64;
            reach = Some((value(slot.nvalues - 1) - value(0)).abs());
            pg_sys::free_attstatsslot(&mut slot);
        }
        pg_sys::ReleaseSysCache(tuple);
        reach.map(|reach| reach / width)
    }
}
