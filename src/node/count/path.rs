//! Offering the planner a path that counts, and what it costs.

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;

use super::plan::{Answer, CountPlan, METHODS, Part, Way};
use super::query::{Asked, Query, Table};
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
        let aggregates = PgList::<pg_sys::Aggref>::from_pg(query.aggregates);
        let asked: Option<Vec<Asked>> =
            aggregates.iter_ptr().map(|aggregate| query.asked(aggregate)).collect();
        let Some(asked) = asked else { return };
        let ways: Option<Vec<Counting>> =
            query.tables.iter().map(|table| cheapest(root, table, &asked)).collect();
        let Some(ways) = ways else { return };
        let is_first = |answer: &Answer| matches!(answer, Answer::First(..));
        if ways.len() > 1 && ways.iter().any(|way| way.part.answers.iter().any(is_first)) {
            return;
        }
        let path = path_of(&query, ways, output);
        pg_sys::add_path(output, path.cast());
    }
}

/// How the rows of one table are counted.
struct Counting {
    part: Part,
    /// What its conditions compare with.
    values: Vec<*mut pg_sys::Expr>,
    cost: f64,
}

/// The cheapest way to count the rows of a table. `None` if there is none.
///
/// # Safety
/// The table is one of the query.
unsafe fn cheapest(
    root: *mut pg_sys::PlannerInfo,
    table: &Table,
    asked: &[Asked],
) -> Option<Counting> {
    // SAFETY: by contract.
    unsafe {
        PgList::<pg_sys::IndexOptInfo>::from_pg((*table.rel).indexlist)
            .iter_ptr()
            .filter(|index| is_index_of_ours(*index))
            .filter_map(|index| way_by(root, table, index, asked))
            .min_by(|one, other| one.cost.total_cmp(&other.cost))
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

/// How the rows of a table are counted by an index. `None` if they cannot be.
///
/// # Safety
/// The index is one of the table.
unsafe fn way_by(
    root: *mut pg_sys::PlannerInfo,
    table: &Table,
    index: *mut pg_sys::IndexOptInfo,
    asked: &[Asked],
) -> Option<Counting> {
    // SAFETY: by contract.
    unsafe {
        let conditions = Conditions::of(root, table.rel, index)?;
        let answers: Option<Vec<Answer>> =
            asked.iter().map(|&asked| answer_by(index, table, &conditions, asked)).collect();
        let answers = answers?;
        let cost = cost_of(root, table, index, &conditions, &answers);
        let compared = conditions.list.iter().filter(|(condition, _)| condition.has_value());
        let values = compared.map(|(_, value)| *value).collect();
        let conditions = conditions.list.iter().map(|(condition, _)| *condition).collect();
        let part = Part { table: table.oid, index: (*index).indexoid, conditions, answers };
        Some(Counting { part, values, cost })
    }
}

/// How an index answers what one aggregate asks for, if it can.
///
/// # Safety
/// The index is one of the table.
unsafe fn answer_by(
    index: *mut pg_sys::IndexOptInfo,
    table: &Table,
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
            Asked::NotNull(named) => {
                let attribute = table.column(named)?;
                if table.is_never_null(attribute) {
                    return Some(Answer::Rows);
                }
                let column = key_column(attribute)? + 1;
                let is_told =
                    |condition: &Condition| condition.column == column && !condition.admits_null();
                let told = conditions.list.iter().any(|(condition, _)| is_told(condition));
                Some(if told { Answer::Rows } else { Answer::NotNull(column) })
            }
            Asked::First(named, operator) => {
                let column = key_column(table.column(named)?)?;
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

/// What it costs to count the rows of a table by an index: its leaves, once for each count, and rows that are
/// looked up because their blocks are not all-visible.
///
/// # Safety
/// The index is one of the table.
unsafe fn cost_of(
    root: *mut pg_sys::PlannerInfo,
    table: &Table,
    index: *mut pg_sys::IndexOptInfo,
    conditions: &Conditions,
    answers: &[Answer],
) -> f64 {
    // SAFETY: by contract; settings of this process.
    unsafe {
        let (rel, index) = (&*table.rel, &*index);
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
    ways: Vec<Counting>,
    output: *mut pg_sys::RelOptInfo,
) -> *mut pg_sys::CustomPath {
    // SAFETY: by contract; a path without fields that are set is valid.
    unsafe {
        let cost = ways.iter().map(|way| way.cost).sum();
        let mut path = PgBox::<pg_sys::CustomPath>::alloc_node(NodeTag::T_CustomPath);
        path.path.pathtype = NodeTag::T_CustomScan;
        path.path.parent = output;
        path.path.pathtarget = (*output).reltarget;
        path.path.parallel_safe = (*output).consider_parallel;
        path.path.rows = 1.0;
        path.path.startup_cost = cost;
        path.path.total_cost = cost + (*(*output).reltarget).cost.per_tuple;
        path.flags = pg_sys::CUSTOMPATH_SUPPORT_PROJECTION;
        let mut values: *mut pg_sys::List = std::ptr::null_mut();
        for value in ways.iter().flat_map(|way| &way.values) {
            values = pg_sys::lappend(values, value.cast());
        }
        let plan = CountPlan(ways.into_iter().map(|way| way.part).collect());
        let kept = [plan.stored(), values, query.aggregates];
        path.custom_private = kept
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
