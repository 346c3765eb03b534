//! A path that counts the rows of a table, and what it costs.

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;

use super::bucket::Bucket;
use super::groups::number_of_groups;
use super::plan::{Answer, CountPlan, Function, Grouping, Part, Shown, Way};
use super::query::{Asked, Query, Table};
use super::state::SCAN_METHODS;
use crate::am::aggregate::Aggregate;
use crate::am::count::rows_at_once;
use crate::am::{heap_correlation, indexes_of_ours};
use crate::column::included::scale_of_included;
use crate::node::condition::{Condition, Conditions};
use crate::node::list_of;

/// CPU cost of a leaf that is counted, in units of `cpu_operator_cost`: that of a page, as
/// selfuncs.c has it.
const LEAF_CPU_MULTIPLIER: f64 = 50.0;

/// CPU cost of an entry whose values are added up, of that which the core has for the entry and for
/// each aggregate: nothing is made of it for the executor.
const WALKED: f64 = 0.5;

/// CPU cost of looking a row up, in units of `cpu_tuple_cost`: it is found by its heap TID, and
/// that was sorted before.
const LOOK_UP: f64 = 3.0;

/// Methods that the core keeps a pointer to.
struct PathMethods(pg_sys::CustomPathMethods);

// SAFETY: names and functions, which nobody changes.
unsafe impl Sync for PathMethods {}

static PATH_METHODS: PathMethods = PathMethods(pg_sys::CustomPathMethods {
    CustomName: c"LearnedCount".as_ptr(),
    PlanCustomPath: Some(plan_path),
    ReparameterizeCustomPathByChild: None,
});

/// How the rows of one table are counted.
pub(super) struct Counting {
    part: Part,
    grouping: Option<Grouping>,
    /// What its conditions compare with, and the function that tells groups apart.
    exprs: Vec<*mut pg_sys::Expr>,
    /// How many rows the result has.
    groups: f64,
    cost: f64,
    /// Whether the rows are next to each other in the index, some of all.
    is_interval: bool,
}

/// What a path of ours gives.
pub(super) struct Given<'q> {
    /// The relation that it is a path of.
    pub(super) parent: *mut pg_sys::RelOptInfo,
    pub(super) target: *mut pg_sys::PathTarget,
    pub(super) aggregates: &'q [*mut pg_sys::Aggref],
    /// The conditions on groups: a list, null for none.
    pub(super) having: *mut pg_sys::List,
}

/// The cheapest way to count the rows of a table. `None` if there is none.
///
/// # Safety
/// The table is one of the query.
pub(super) unsafe fn cheapest(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    table: &Table,
    asked: &[Asked],
) -> Option<Counting> {
    // SAFETY: by contract.
    unsafe {
        let begins = |index: &*mut pg_sys::IndexOptInfo| Conditions::may_begin(table.rel, *index);
        let (first, others): (Vec<_>, Vec<_>) = indexes_of_ours(table.rel).partition(begins);
        let cheapest = |indexes: Vec<_>| {
            let ways = indexes.into_iter().filter_map(|it| way_by(root, query, table, it, asked));
            ways.min_by(|one, other| one.cost.total_cmp(&other.cost))
        };
        // One that has all rows next to each other is cheaper than any that has to look for them.
        let found = cheapest(first);
        if found.as_ref().is_some_and(|way| way.is_interval) {
            return found;
        }
        [found, cheapest(others)]
            .into_iter()
            .flatten()
            .min_by(|one, other| one.cost.total_cmp(&other.cost))
    }
}

/// Whether all queries of the transaction have one snapshot: `IsolationUsesXactSnapshot` of xact.h.
fn has_one_snapshot() -> bool {
    // SAFETY: the level is this session's own.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32 }
}

/// Whether the transaction is serializable. A count locks the whole table then, which a scan of the
/// rows that meet some conditions does not.
fn is_serializable() -> bool {
    // SAFETY: the level is this session's own.
    unsafe { pg_sys::XactIsoLevel == pg_sys::XACT_SERIALIZABLE as i32 }
}

/// How the rows of a table are counted by an index. `None` if they cannot be.
///
/// # Safety
/// The index is one of the table.
unsafe fn way_by(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    table: &Table,
    index: *mut pg_sys::IndexOptInfo,
    asked: &[Asked],
) -> Option<Counting> {
    // SAFETY: by contract.
    unsafe {
        let conditions = Conditions::of(root, table.rel, index)?;
        if is_serializable() && !conditions.list.is_empty() {
            return None;
        }
        let (grouping, bucket) = match query.has_groups() {
            false => (None, None),
            true => {
                let (grouping, bucket) = grouping_by(query, table, index, &conditions)?;
                (Some(grouping), bucket)
            }
        };
        let alike = grouping.as_ref().map_or(conditions.single_columns(), |it| it.alike);
        let answer = |&asked: &Asked| answer_by(query, index, table, &conditions, alike, asked);
        let answers = asked.iter().map(answer).collect::<Option<Vec<Answer>>>()?;
        let groups = match &grouping {
            Some(grouping) => {
                let share = conditions.share_of(root, table.rel, grouping.alike);
                number_of_groups(root, query, table, bucket.as_ref().map(|it| (it, share)))
            }
            None => 1.0,
        };
        let cost = cost_of(root, table, index, &conditions, &answers, groups);
        let compared = conditions.list.iter().filter(|(condition, _)| condition.has_value());
        let function = bucket.map(|bucket| bucket.function);
        let exprs = compared.map(|(_, value)| *value).chain(function).collect();
        let is_interval = !conditions.list.is_empty() && conditions.are_intervals();
        let conditions = conditions.list.iter().map(|(condition, _)| *condition).collect();
        let part = Part { table: table.oid, index: (*index).indexoid, conditions, answers };
        Some(Counting { part, grouping, exprs, groups, cost, is_interval })
    }
}

/// How an index tells the groups of a query apart, and the function by which it does. `None` if it
/// cannot.
///
/// # Safety
/// The index is one of the table, the query has groups.
unsafe fn grouping_by(
    query: &Query,
    table: &Table,
    index: *mut pg_sys::IndexOptInfo,
    conditions: &Conditions,
) -> Option<(Grouping, Option<Bucket>)> {
    // SAFETY: by contract.
    unsafe {
        let column_of = |expr| table.column(query.column(expr)?);
        let mut shown = Vec::new();
        let mut plain = Vec::new();
        let mut function: Option<(i32, Bucket)> = None;
        for &group in &query.groups {
            if let Some(column) = column_of(group) {
                let column = key_column(index, column)?;
                // Of what is equal, it does not know which to show.
                is_exact(index, column).then_some(())?;
                plain.push(column);
                shown.push(Shown::Column(column));
                continue;
            }
            let bucket = Bucket::of(group, column_of)?;
            let column = key_column(index, bucket.column)?;
            let ascends = !*(*index).reverse_sort.add(column as usize);
            if function.is_some() || !ascends {
                return None;
            }
            shown.push(Shown::Function);
            function = Some((column, bucket));
        }
        let alike = match &function {
            Some((column, _)) => *column,
            None => plain.iter().max()? + 1,
        };
        let is_told = |column: &i32| plain.contains(column) || conditions.is_single(column + 1);
        if !(0..alike).all(|column| is_told(&column)) || plain.iter().any(|&own| own >= alike) {
            return None;
        }
        let of_time_zone = function.as_ref().map(|(_, bucket)| bucket.of_time_zone);
        let kept = of_time_zone.map(|of_time_zone| Function { of_time_zone });
        let grouping = Grouping { alike, function: kept, shown };
        Some((grouping, function.map(|(_, bucket)| bucket)))
    }
}

/// The column of an index, from 0, that a column of its table is, if that is one of the key.
///
/// # Safety
/// The index is valid.
unsafe fn key_column(
    index: *mut pg_sys::IndexOptInfo,
    attribute: pg_sys::AttrNumber,
) -> Option<i32> {
    // SAFETY: by contract.
    unsafe {
        let keys = (*index).indexkeys;
        let attribute = i32::from(attribute);
        (0..(*index).nkeycolumns).find(|&column| *keys.add(column as usize) == attribute)
    }
}

/// Whether an index tells all of the values of a column, from 0.
///
/// # Safety
/// The index is valid, and has the column.
unsafe fn is_exact(index: *mut pg_sys::IndexOptInfo, column: i32) -> bool {
    // SAFETY: by contract.
    unsafe { *(*index).canreturn.add(column as usize) }
}

/// How an index answers what one aggregate asks for, if it can. The rows that it is asked for have
/// the first columns in common, `alike` of them.
///
/// # Safety
/// The index is one of the table.
unsafe fn answer_by(
    query: &Query,
    index: *mut pg_sys::IndexOptInfo,
    table: &Table,
    conditions: &Conditions,
    alike: i32,
    asked: Asked,
) -> Option<Answer> {
    // SAFETY: by contract.
    unsafe {
        match asked {
            Asked::Rows => Some(Answer::Rows),
            Asked::NotNull(named) => {
                let attribute = table.column(named)?;
                // A transaction with one snapshot may see rows from before the declaration.
                if table.is_never_null(attribute) && !has_one_snapshot() {
                    return Some(Answer::Rows);
                }
                let Some(column) = key_column(index, attribute) else {
                    let count = pg_sys::F_COUNT_ANY.into();
                    return aggregate_over(query, table, index, attribute, count);
                };
                let column = column + 1;
                let is_told =
                    |condition: &Condition| condition.column == column && !condition.admits_null();
                let told = conditions.list.iter().any(|(condition, _)| is_told(condition));
                Some(if told { Answer::Rows } else { Answer::NotNull(column) })
            }
            Asked::First(named, operator, function) => {
                let attribute = table.column(named)?;
                let way = way_to_first(index, attribute, operator, alike, query.has_groups());
                match way {
                    Some((column, way)) => Some(Answer::First(column + 1, way)),
                    None => aggregate_over(query, table, index, attribute, function),
                }
            }
            Asked::Aggregate(named, function) => {
                aggregate_over(query, table, index, table.column(named)?, function)
            }
        }
    }
}

/// The column of an index, from 0, whose first value by an operator is that of the first entry, or
/// the last, of rows that have the first columns in common, `alike` of them.
///
/// # Safety
/// The index is valid.
unsafe fn way_to_first(
    index: *mut pg_sys::IndexOptInfo,
    attribute: pg_sys::AttrNumber,
    operator: pg_sys::Oid,
    alike: i32,
    is_returned: bool,
) -> Option<(i32, Way)> {
    // SAFETY: by contract.
    unsafe {
        let column = key_column(index, attribute)?;
        if column > alike || (is_returned && !is_exact(index, column)) {
            return None;
        }
        let family = *(*index).opfamily.add(column as usize);
        let descending = *(*index).reverse_sort.add(column as usize);
        let strategy = pg_sys::get_op_opfamily_strategy(operator, family) as u32;
        let way = match (strategy, descending) {
            (pg_sys::BTLessStrategyNumber, false) | (pg_sys::BTGreaterStrategyNumber, true) => {
                Way::Forward
            }
            (pg_sys::BTLessStrategyNumber, true) | (pg_sys::BTGreaterStrategyNumber, false) => {
                Way::Backward
            }
            _ => return None,
        };
        Some((column, way))
    }
}

/// The answer by an aggregate over a column, if it is known and the index has the values.
///
/// # Safety
/// The index is valid.
unsafe fn aggregate_over(
    query: &Query,
    table: &Table,
    index: *mut pg_sys::IndexOptInfo,
    attribute: pg_sys::AttrNumber,
    function: pg_sys::Oid,
) -> Option<Answer> {
    let aggregate = Aggregate::of_function(function)?;
    // SAFETY: by contract.
    unsafe {
        let keys = (*index).indexkeys;
        let is_it = |&column: &i32| *keys.add(column as usize) == i32::from(attribute);
        let has_values = |&column: &i32| *(*index).canreturn.add(column as usize);
        // All values of such a column are stored as numbers.
        let has_numbers = |column: &i32| {
            !aggregate.reads_decimals()
                || *column < (*index).nkeycolumns
                || scale_of_included(modifier_of(table.oid, attribute)).is_some()
        };
        let has_values = |column: &i32| has_values(column) && has_numbers(column);
        let column = (0..(*index).ncolumns).filter(is_it).find(has_values)?;
        Some(match query.is_of_several() {
            true => Answer::State(column + 1, function),
            false => Answer::Aggregate(column + 1, function),
        })
    }
}

/// What it costs to count the rows of a table by an index: its leaves, once for each count, rows
/// that are looked up because their blocks are not all-visible, and the search for each group.
///
/// # Safety
/// The index is one of the table.
unsafe fn cost_of(
    root: *mut pg_sys::PlannerInfo,
    table: &Table,
    index: *mut pg_sys::IndexOptInfo,
    conditions: &Conditions,
    answers: &[Answer],
    groups: f64,
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
            // As a scan that skips what the conditions do not want.
            reading = path.indextotalcost;
        }
        let searches = conditions.searches(root);
        if searches > 1.0 {
            let pages =
                pg_sys::index_pages_fetched(searches, index.pages, index.pages.into(), root);
            reading = reading.max(pages * costs(index.reltablespace));
            reading += searches * LEAF_CPU_MULTIPLIER * operator;
        }
        let looking_up = cost_of_rows(root, rel, index, share);
        let is_first = |answer: &&Answer| matches!(answer, Answer::First(..));
        let firsts = answers.iter().filter(is_first).count() as f64;
        let columns = answers.iter().filter(|answer| matches!(answer, Answer::NotNull(_)));
        let aggregates = answers.iter().filter(|answer| answer.aggregate().is_some()).count();
        // Where there is nothing but aggregates, nothing is counted before.
        let before = f64::from(groups > 1.0 || aggregates < answers.len());
        let counts = before + columns.count() as f64;
        // A group is searched for, and so is where it ends, and what is first there.
        let search = 2.0 * LEAF_CPU_MULTIPLIER * operator;
        let searching = groups * (1.0 + counts + firsts) * search;
        let found = match firsts > 0.0 {
            true => {
                pg_sys::index_pages_fetched(groups * firsts, rel.pages, index.pages.into(), root)
            }
            false => 0.0,
        };
        let first = found * costs(rel.reltablespace) + groups * firsts * tuple;
        let entry = pg_sys::cpu_index_tuple_cost + aggregates as f64 * operator;
        let walking = match aggregates {
            0 => 0.0,
            _ => looking_up + share * index.tuples * WALKED * entry,
        };
        // Once read, pages are at hand.
        let reading = reading * counts.max(1.0);
        reading + counts * looking_up + searching + first + walking
    }
}

/// What it costs to look up the rows, of a share of all, whose blocks are not all-visible. They are
/// sorted as far as there is memory for: then each block is read once each time.
///
/// # Safety
/// The index is one of the table.
unsafe fn cost_of_rows(
    root: *mut pg_sys::PlannerInfo,
    rel: &pg_sys::RelOptInfo,
    index: &pg_sys::IndexOptInfo,
    share: f64,
) -> f64 {
    // SAFETY: by contract; settings of this process.
    unsafe {
        let hidden = (1.0 - rel.allvisfrac).clamp(0.0, 1.0);
        let rows = (share * index.tuples * hidden).ceil();
        let blocks = (f64::from(rel.pages) * hidden).ceil() as pg_sys::BlockNumber;
        if rows < 1.0 || blocks == 0 {
            return 0.0;
        }
        let (mut random, mut sequential) = (0.0, 0.0);
        pg_sys::get_tablespace_page_costs(rel.reltablespace, &mut random, &mut sequential);
        let times = (rows / rows_at_once() as f64).ceil();
        let together = rows / times;
        let pages = index.pages.into();
        let most = times * pg_sys::index_pages_fetched(together, blocks, pages, root) * random;
        let least = (share * f64::from(blocks)).ceil() * sequential;
        // As `cost_index` has it, by how well the index follows the order of the table.
        let follows = heap_correlation(root, index).unwrap_or(0.0).powi(2);
        most + follows * (least.min(most) - most) + rows * LOOK_UP * pg_sys::cpu_tuple_cost
    }
}

/// A path with its plan.
///
/// # Safety
/// Called while the planner makes paths for this query.
pub(super) unsafe fn path_of(query: &Query, way: Counting, given: Given<'_>) -> *mut pg_sys::Path {
    // SAFETY: by contract; a path without fields that are set is valid.
    unsafe {
        let Given { parent, target, aggregates, having } = given;
        let mut path = PgBox::<pg_sys::CustomPath>::alloc_node(NodeTag::T_CustomPath);
        path.path.pathtype = NodeTag::T_CustomScan;
        path.path.parent = parent;
        path.path.pathtarget = target;
        path.path.parallel_safe = (*parent).consider_parallel;
        path.path.rows = way.groups;
        // Groups come one after the other.
        let (cost, shown) = (way.cost, (*target).cost);
        let first = if query.has_groups() { cost / way.groups.max(1.0) } else { cost };
        path.path.startup_cost = first + shown.startup;
        path.path.total_cost = cost + shown.startup + shown.per_tuple * way.groups;
        path.flags = pg_sys::CUSTOMPATH_SUPPORT_PROJECTION;
        let states = aggregates.iter().map(|aggregate| aggregate.cast());
        let columns = list_of(query.groups.iter().copied().chain(states));
        let plan = CountPlan { grouping: way.grouping, part: way.part };
        path.custom_private = list_of([plan.stored(), list_of(way.exprs), columns, having]);
        path.methods = &raw const PATH_METHODS.0;
        path.into_pg().cast()
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
        let (stored, exprs, columns) = (part(0), part(1), part(2));
        let mut plan = PgBox::<pg_sys::CustomScan>::alloc_node(NodeTag::T_CustomScan);
        plan.scan.plan.targetlist = targets;
        plan.scan.plan.qual = part(3);
        plan.flags = (*path).flags;
        plan.custom_exprs = exprs;
        plan.custom_private = stored;
        let columns = PgList::<pg_sys::Expr>::from_pg(columns);
        for (column, number) in columns.iter_ptr().zip(1..) {
            let copy = pg_sys::copyObjectImpl(column.cast()).cast();
            let entry = pg_sys::makeTargetEntry(copy, number, std::ptr::null_mut(), false);
            plan.custom_scan_tlist = pg_sys::lappend(plan.custom_scan_tlist, entry.cast());
        }
        plan.methods = &raw const SCAN_METHODS.0;
        plan.into_pg().cast()
    }
}

/// The type modifier of a column.
///
/// # Safety
/// The table has the column.
unsafe fn modifier_of(table: pg_sys::Oid, column: pg_sys::AttrNumber) -> i32 {
    let (mut type_oid, mut modifier, mut collation) = Default::default();
    // SAFETY: by contract.
    unsafe {
        pg_sys::get_atttypetypmodcoll(
            table,
            column,
            &raw mut type_oid,
            &raw mut modifier,
            &raw mut collation,
        );
    }
    modifier
}
