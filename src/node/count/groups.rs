//! How many groups a query has.
//!
//! The core takes a function of a column for as many groups as the column has values, unless
//! ANALYZE was told to look at the function. How wide the groups of our functions are is known, and
//! ANALYZE knows how far the column's values reach.

use std::ffi::CStr;

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag};

use super::bucket::Bucket;
use super::query::{Query, Table};

const SECOND: f64 = 1e6;
const DAY: f64 = 86_400.0 * SECOND;
const DAYS_OF_MONTH: f64 = 30.0;
const DAYS_OF_YEAR: f64 = 365.25;

/// The units of `date_trunc`, in microseconds (datetime.c).
const UNITS: [(&str, f64); 12] = [
    ("microsecond", 1.0),
    ("millisecond", 1e3),
    ("second", SECOND),
    ("minute", 60.0 * SECOND),
    ("hour", 3600.0 * SECOND),
    ("day", DAY),
    ("week", 7.0 * DAY),
    ("month", DAYS_OF_MONTH * DAY),
    ("quarter", 3.0 * DAYS_OF_MONTH * DAY),
    ("year", DAYS_OF_YEAR * DAY),
    ("decade", 10.0 * DAYS_OF_YEAR * DAY),
    ("centur", 100.0 * DAYS_OF_YEAR * DAY),
];

/// How many groups are expected of a query, of whose rows an index finds a share.
///
/// # Safety
/// Called while the planner makes paths for this query; the table is one of it.
pub(super) unsafe fn number_of_groups(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    table: &Table,
    bucket: Option<&Bucket>,
    share: f64,
) -> f64 {
    // SAFETY: by contract.
    unsafe {
        let rows = (*query.named).rows.max(1.0);
        let estimate = |groups: &[*mut pg_sys::Expr]| {
            let mut list: *mut pg_sys::List = std::ptr::null_mut();
            for group in groups {
                list = pg_sys::lappend(list, group.cast());
            }
            let (none, no_info) = (std::ptr::null_mut(), std::ptr::null_mut());
            pg_sys::estimate_num_groups(root, list, rows, none, no_info)
        };
        let all = estimate(&query.groups);
        let Some(bucket) = bucket else { return all };
        let Some(buckets) = buckets_of(table, bucket) else { return all };
        let plain: Vec<_> =
            query.groups.iter().copied().filter(|&group| query.column(group).is_some()).collect();
        let others = if plain.is_empty() { 1.0 } else { estimate(&plain) };
        all.min((buckets * share + 1.0) * others).min(rows)
    }
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

/// How wide the groups of a function are, in units of its argument.
///
/// # Safety
/// The function is one that [`Bucket`] has found.
unsafe fn width_of(function: *mut pg_sys::Expr) -> Option<f64> {
    // SAFETY: by contract; a node is what its tag says.
    unsafe {
        let (args, is_division) = match (*function).type_ {
            NodeTag::T_FuncExpr => ((*function.cast::<pg_sys::FuncExpr>()).args, false),
            _ => ((*function.cast::<pg_sys::OpExpr>()).args, true),
        };
        let constants = PgList::<pg_sys::Const>::from_pg(args);
        let constant = constants.iter_ptr().find(|node| (**node).xpr.type_ == NodeTag::T_Const);
        // The function without constants is the one that makes dates of timestamps.
        let Some(constant) = constant else { return Some(DAY) };
        let value = (*constant).constvalue;
        match (*constant).consttype {
            _ if is_division => Some((value.value() as i64 as f64).max(1.0)),
            pg_sys::INTERVALOID => {
                let interval = &*value.cast_mut_ptr::<pg_sys::Interval>();
                let days = f64::from(interval.day) + f64::from(interval.month) * DAYS_OF_MONTH;
                Some((interval.time as f64 + days * DAY).max(1.0))
            }
            pg_sys::TEXTOID => {
                let text = pg_sys::text_to_cstring(value.cast_mut_ptr());
                let unit = CStr::from_ptr(text).to_string_lossy().to_lowercase();
                let known = UNITS.iter().find(|(name, _)| unit.starts_with(name));
                known.map(|(_, width)| *width)
            }
            _ => None,
        }
    }
}
