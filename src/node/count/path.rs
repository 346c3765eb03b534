//! Offering the planner a path that counts, and what it costs.

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;

use super::plan::{Answer, CountPlan, METHODS, Way};
use super::query::{Asked, Query};
use crate::am::is_index_of_ours;
use crate::node::condition::{Condition, Conditions};

/// CPU cost of a leaf that is counted, in units of `cpu_operator_cost`: that of a page, as
/// selfuncs.c has it.
const LEAF_CPU_MULTIPLIER: f64 = 50.0;

/// Methods that the core keeps a pointer to.
struct PathMethods(pg_sys::CustomPathMethods);

// SAFETY: names and functions, which nobody changes.
unsafe impl Sync for PathMethods {}

static PATH_METHODS: PathMethods = PathMethods(pg_sys::CustomPathMethods {
    CustomName: c"LearnedCount".as_ptr(),
    PlanCustomPath: Some(plan_path),
    ReparameterizeCustomPathByChild: None,
});

/// Adds a path to what the planner has for the aggregates of a query, if an index of ours can
/// answer all of them.
///
/// # Safety
/// Called while the planner makes paths for aggregates over `input`, which go to `output`.
pub(in crate::node) unsafe fn add_path(
    root: *mut pg_sys::PlannerInfo,
    input: *mut pg_sys::RelOptInfo,
    output: *mut pg_sys::RelOptInfo,
) {
    if !super::ENABLED.get() || removes_rows_of_old_snapshots() {
        return;
    }
    // SAFETY: by contract.
    unsafe {
        let Some(query) = Query::of(root, input, output) else { return };
        for index in PgList::<pg_sys::IndexOptInfo>::from_pg((*input).indexlist).iter_ptr() {
            if is_index_of_ours(index)
                && let Some((plan, values, cost)) = way_by(root, &query, index)
            {
                let path = path_of(&query, &plan, values, cost, output);
                pg_sys::add_path(output, path.cast());
            }
        }
    }
}

/// Whether VACUUM removes rows that old snapshots see, which are to be met by an error then. It is
/// raised for pages, and a count looks at few of them.
fn removes_rows_of_old_snapshots() -> bool {
    // SAFETY: a setting of this process.
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    unsafe {
        pg_sys::old_snapshot_threshold >= 0
    }
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    false
}

/// How an index answers a query: the plan, what its conditions compare with, and the cost. `None`
/// if it cannot.
///
/// # Safety
/// The index is one of the query's table.
unsafe fn way_by(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    index: *mut pg_sys::IndexOptInfo,
) -> Option<(CountPlan, *mut pg_sys::List, f64)> {
    // SAFETY: by contract.
    unsafe {
        let aggregates = PgList::<pg_sys::Aggref>::from_pg(query.aggregates);
        let asked: Option<Vec<Asked>> =
            aggregates.iter_ptr().map(|aggregate| query.asked(aggregate)).collect();
        let asked = asked?;
        let conditions = Conditions::of(root, query.rel, index)?;
        let answers: Option<Vec<Answer>> =
            asked.iter().map(|&asked| answer_by(index, &conditions, asked)).collect();
        let answers = answers?;
        let cost = cost_of(root, query, index, &conditions, &answers);
        let mut values: *mut pg_sys::List = std::ptr::null_mut();
        for (_, value) in conditions.list.iter().filter(|(condition, _)| condition.has_value()) {
            values = pg_sys::lappend(values, value.cast());
        }
        let plan = CountPlan {
            table: query.table,
            index: (*index).indexoid,
            conditions: conditions.list.iter().map(|(condition, _)| *condition).collect(),
            answers,
        };
        Some((plan, values, cost))
    }
}

/// How an index answers what one aggregate asks for, if it can.
///
/// # Safety
/// The index is one of the query's table.
unsafe fn answer_by(
    index: *mut pg_sys::IndexOptInfo,
    conditions: &Conditions,
    asked: Asked,
) -> Option<Answer> {
    // SAFETY: by contract.
    unsafe {
        let index = &*index;
        let key_column = |attribute: pg_sys::AttrNumber| {
            let attribute = i32::from(attribute);
            (0..index.nkeycolumns)
                .find(|&column| *index.indexkeys.add(column as usize) == attribute)
        };
        match asked {
            Asked::Rows => Some(Answer::Rows),
            Asked::NotNull(attribute) => {
                let column = key_column(attribute)? + 1;
                let is_told =
                    |condition: &Condition| condition.column == column && !condition.admits_null();
                let told = conditions.list.iter().any(|(condition, _)| is_told(condition));
                Some(if told { Answer::Rows } else { Answer::NotNull(column) })
            }
            Asked::First(attribute, operator) => {
                let column = key_column(attribute)?;
                if column > conditions.single_columns() {
                    return None;
                }
                let family = *index.opfamily.add(column as usize);
                let descending = *index.reverse_sort.add(column as usize);
                let strategy = pg_sys::get_op_opfamily_strategy(operator, family) as u32;
                let way = match (strategy, descending) {
                    (pg_sys::BTLessStrategyNumber, false)
                    | (pg_sys::BTGreaterStrategyNumber, true) => Way::Forward,
                    (pg_sys::BTLessStrategyNumber, true)
                    | (pg_sys::BTGreaterStrategyNumber, false) => Way::Backward,
                    _ => return None,
                };
                Some(Answer::First(column + 1, way))
            }
        }
    }
}

/// What it costs to answer a query by an index: its leaves, once for each count, and rows that are
/// looked up because their blocks are not all-visible.
///
/// # Safety
/// The index is one of the query's table.
unsafe fn cost_of(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    index: *mut pg_sys::IndexOptInfo,
    conditions: &Conditions,
    answers: &[Answer],
) -> f64 {
    // SAFETY: by contract; settings of this process.
    unsafe {
        let (rel, index) = (&*query.rel, &*index);
        let costs = |tablespace| {
            let (mut random, mut sequential) = (0.0, 0.0);
            pg_sys::get_tablespace_page_costs(tablespace, &mut random, &mut sequential);
            random
        };
        let (operator, tuple) = (pg_sys::cpu_operator_cost, pg_sys::cpu_tuple_cost);
        let share = conditions.path.as_ref().map_or(1.0, |path| path.indexselectivity);
        let leaves = (share * f64::from(index.pages)).ceil().max(1.0);
        let mut reading = leaves * (costs(index.reltablespace) + LEAF_CPU_MULTIPLIER * operator);
        if !conditions.are_intervals()
            && let Some(path) = conditions.path.as_ref()
        {
            // Entry by entry.
            reading = path.indextotalcost;
        }
        let hidden = (1.0 - rel.allvisfrac).clamp(0.0, 1.0);
        let rows = (share * index.tuples * hidden).ceil();
        let blocks = (f64::from(rel.pages) * hidden).ceil() as pg_sys::BlockNumber;
        let fetched = match rows > 0.0 && blocks > 0 {
            true => pg_sys::index_pages_fetched(rows, blocks, index.pages.into(), root),
            false => 0.0,
        };
        let looking_up = fetched * costs(rel.reltablespace) + rows * tuple;
        let mut counts: Vec<Answer> = Vec::new();
        let mut firsts = 0.0;
        for &answer in answers {
            match answer {
                Answer::First(..) => firsts += 1.0,
                _ if counts.contains(&answer) => {}
                _ => counts.push(answer),
            }
        }
        let first = costs(index.reltablespace) + costs(rel.reltablespace) + tuple;
        counts.len() as f64 * (reading + looking_up) + firsts * first
    }
}

/// A path with its plan.
///
/// # Safety
/// Called while the planner makes paths for this query.
unsafe fn path_of(
    query: &Query,
    plan: &CountPlan,
    values: *mut pg_sys::List,
    cost: f64,
    output: *mut pg_sys::RelOptInfo,
) -> *mut pg_sys::CustomPath {
    // SAFETY: by contract; a path without fields that are set is valid.
    unsafe {
        let mut path = PgBox::<pg_sys::CustomPath>::alloc_node(NodeTag::T_CustomPath);
        path.path.pathtype = NodeTag::T_CustomScan;
        path.path.parent = output;
        path.path.pathtarget = (*output).reltarget;
        path.path.parallel_safe = (*output).consider_parallel;
        path.path.rows = 1.0;
        path.path.startup_cost = cost;
        path.path.total_cost = cost + (*(*output).reltarget).cost.per_tuple;
        path.flags = pg_sys::CUSTOMPATH_SUPPORT_PROJECTION;
        let parts = [plan.stored(), values, query.aggregates];
        path.custom_private = parts
            .into_iter()
            .fold(std::ptr::null_mut(), |list, part| pg_sys::lappend(list, part.cast()));
        path.methods = &raw const PATH_METHODS.0;
        path.into_pg()
    }
}

/// The plan of a path.
///
/// # Safety
/// Called by the planner with a path of ours.
#[pg_guard]
unsafe extern "C-unwind" fn plan_path(
    _root: *mut pg_sys::PlannerInfo,
    _rel: *mut pg_sys::RelOptInfo,
    path: *mut pg_sys::CustomPath,
    targets: *mut pg_sys::List,
    _clauses: *mut pg_sys::List,
    _plans: *mut pg_sys::List,
) -> *mut pg_sys::Plan {
    // SAFETY: by contract; a plan without fields that are set is valid.
    unsafe {
        let part = |index| pg_sys::list_nth((*path).custom_private, index).cast::<pg_sys::List>();
        let (stored, values, aggregates) = (part(0), part(1), part(2));
        let mut plan = PgBox::<pg_sys::CustomScan>::alloc_node(NodeTag::T_CustomScan);
        plan.scan.plan.targetlist = targets;
        plan.flags = (*path).flags;
        plan.custom_exprs = values;
        plan.custom_private = stored;
        let aggregates = PgList::<pg_sys::Expr>::from_pg(aggregates);
        for (aggregate, number) in aggregates.iter_ptr().zip(1..) {
            let copy = pg_sys::copyObjectImpl(aggregate.cast()).cast();
            let entry = pg_sys::makeTargetEntry(copy, number, std::ptr::null_mut(), false);
            plan.custom_scan_tlist = pg_sys::lappend(plan.custom_scan_tlist, entry.cast());
        }
        plan.methods = &raw const METHODS.0;
        plan.into_pg().cast()
    }
}
