//! What EXPLAIN says of a count.

use std::ffi::CString;

use pgrx::PgList;
use pgrx::prelude::*;

use super::plan::{Answer, Part};
use super::run::{Run, run_of};
use crate::node::condition::Condition;
use crate::node::explain::{column_of, show_number, show_text, text_of};
use crate::report::carried::carrying;

/// Adds to EXPLAIN the index, the conditions and, with ANALYZE, what was done.
///
/// # Safety
/// Called by the core with a node that has begun.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn explain(
    node: *mut pg_sys::CustomScanState,
    ancestors: *mut pg_sys::List,
    explain: *mut pg_sys::ExplainState,
) {
    // SAFETY: by contract.
    unsafe {
        let plan = (*node).ss.ps.plan;
        let custom = plan.cast::<pg_sys::CustomScan>();
        let values = PgList::<pg_sys::Node>::from_pg((*custom).custom_exprs);
        let mut values = values.iter_ptr();
        let context = pg_sys::set_deparse_context_plan((*explain).deparse_cxt, plan, ancestors);
        let Run { part, grouping, .. } = run_of(node);
        show_text(explain, c"Index", pg_sys::get_rel_name(part.plan.index));
        let conditions = conditions_of(&part.plan, &mut values, context);
        if !conditions.is_empty()
            && let Ok(text) = CString::new(conditions)
        {
            show_text(explain, c"Index Cond", text.as_ptr());
        }
        let mut counted = part.counted;
        let mut counts =
            part.plan.answers.iter().any(|answer| !matches!(answer, Answer::First(..)));
        if let Some(grouping) = grouping {
            let keys = group_keys((*custom).custom_scan_tlist, grouping.columns(), context);
            if let Ok(text) = CString::new(keys) {
                show_text(explain, c"Group Key", text.as_ptr());
            }
            counted = grouping.counted();
            counts = true;
        }
        if (*explain).analyze && counts {
            show_number(explain, c"Leaves Counted", counted.leaves);
            show_number(explain, c"Entries Decoded", counted.decoded);
            show_number(explain, c"Rows Looked Up", counted.looked_up);
        }
    }
}

/// What groups are told apart by, as SQL: the first columns of the plan's rows.
///
/// # Safety
/// The targets are those of the plan, the context is for its expressions.
unsafe fn group_keys(
    targets: *mut pg_sys::List,
    columns: usize,
    context: *mut pg_sys::List,
) -> String {
    // SAFETY: by contract.
    unsafe {
        let targets = PgList::<pg_sys::TargetEntry>::from_pg(targets);
        let shown = targets.iter_ptr().take(columns).map(|target| {
            let expr = (*target).expr.cast();
            carrying(|| text_of(pg_sys::deparse_expression(expr, context, false, false)))
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

/// The conditions as SQL.
///
/// # Safety
/// The next values are those of the plan, the context is for its expressions.
unsafe fn conditions_of(
    plan: &Part,
    values: &mut impl Iterator<Item = *mut pg_sys::Node>,
    context: *mut pg_sys::List,
) -> String {
    let mut shown = Vec::new();
    for condition in &plan.conditions {
        let value = if condition.has_value() { values.next() } else { None };
        // SAFETY: by contract.
        shown.push(unsafe { condition_of(plan.index, condition, value, context) });
    }
    match shown.len() {
        0 | 1 => shown.concat(),
        _ => format!("({})", shown.join(" AND ")),
    }
}

/// # Safety
/// As [`conditions_of`].
unsafe fn condition_of(
    index: pg_sys::Oid,
    condition: &Condition,
    value: Option<*mut pg_sys::Node>,
    context: *mut pg_sys::List,
) -> String {
    // SAFETY: by contract.
    unsafe {
        let column = column_of(index, condition.column);
        let Some(value) = value else {
            let test = if condition.admits_null() { "IS NULL" } else { "IS NOT NULL" };
            return format!("({column} {test})");
        };
        let operator = text_of(pg_sys::get_opname(condition.operator));
        let value = carrying(|| text_of(pg_sys::deparse_expression(value, context, false, false)));
        match condition.flags & pg_sys::SK_SEARCHARRAY as i32 {
            0 => format!("({column} {operator} {value})"),
            _ => format!("({column} {operator} ANY ({value}))"),
        }
    }
}
