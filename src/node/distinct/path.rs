//! Paths that take the first row of each group from an index scan, and what they cost.

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag, ScanDirection};
use pgrx::prelude::*;

use super::query::{Grouped, Query};
use super::state::{SCAN_METHODS, Skipping};
use crate::am::indexes_of_ours;
use crate::node::condition::core_paths;
use crate::node::hypothetical::is_unknown;
use crate::node::list_of;

/// CPU cost of a search, in units of `cpu_operator_cost`: that of a page, as selfuncs.c has it.
const SEARCH_CPU_MULTIPLIER: f64 = 50.0;

/// Methods that the core keeps a pointer to.
struct PathMethods(pg_sys::CustomPathMethods);

// SAFETY: names and functions, which nobody changes.
unsafe impl Sync for PathMethods {}

static PATH_METHODS: PathMethods = PathMethods(pg_sys::CustomPathMethods {
    CustomName: c"LearnedDistinct".as_ptr(),
    PlanCustomPath: Some(plan_path),
    ReparameterizeCustomPathByChild: None,
});

/// The paths by which indexes give the rows that a query asks for of one of its tables.
///
/// # Safety
/// Called while the planner makes paths for this query. `rel` is a table that has rows of it; the
/// paths are those of `parent`, and give `target`.
pub(super) unsafe fn paths_of(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    rel: *mut pg_sys::RelOptInfo,
    parent: *mut pg_sys::RelOptInfo,
    target: *mut pg_sys::PathTarget,
) -> Vec<*mut pg_sys::CustomPath> {
    let mut paths = Vec::new();
    // SAFETY: by contract.
    unsafe {
        for index in indexes_of_ours(rel) {
            let is_whole = (*index).indpred.is_null() || (*index).predOK;
            if is_unknown(index) || !is_whole {
                continue;
            }
            for direction in
                [ScanDirection::ForwardScanDirection, ScanDirection::BackwardScanDirection]
            {
                if let Some(grouped) = query.grouped_by(root, index, direction) {
                    let scan = index_scan(root, rel, index, &grouped, direction);
                    let skipping =
                        Skipping { index: (*index).indexoid, alike: grouped.alike, direction };
                    let groups = groups_of(root, query, rel, &grouped, (*scan).indexclauses);
                    let path = path_over(root, scan, &skipping, groups);
                    (*path).path.parent = parent;
                    (*path).path.pathtarget = target;
                    paths.push(path);
                }
            }
        }
    }
    paths
}

/// How many groups are expected of the rows of a table that meet all conditions. The core knows
/// only how many of the rows do; `clauses` tell which of the groups.
///
/// # Safety
/// As [`paths_of`]; the clauses are those of a scan of the index.
unsafe fn groups_of(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    rel: *mut pg_sys::RelOptInfo,
    grouped: &Grouped,
    clauses: *mut pg_sys::List,
) -> f64 {
    // SAFETY: by contract.
    unsafe {
        let (none, no_info) = (std::ptr::null_mut(), std::ptr::null_mut());
        let estimate =
            |rows: f64| pg_sys::estimate_num_groups(root, query.exprs, rows, none, no_info);
        let clauses = PgList::<pg_sys::IndexClause>::from_pg(clauses);
        let of_groups = clauses
            .iter_ptr()
            .filter(|clause| grouped.varying.contains(&(**clause).indexcol.into()))
            .map(|clause| (*clause).rinfo);
        let (own, number) = (list_of(of_groups), (*rel).relid as i32);
        let inner = pg_sys::JoinType::JOIN_INNER;
        let share = pg_sys::clauselist_selectivity(root, own, number, inner, std::ptr::null_mut());
        let rows = (*rel).rows.max(1.0);
        let some = estimate((*rel).tuples.max(1.0)) * share;
        estimate(rows).min(some.round()).clamp(1.0, rows)
    }
}

/// A scan of an index in order, with all conditions that the core knows it to serve: also those
/// that it thinks would disturb the order.
///
/// # Safety
/// As [`paths_of`]; the index is one of the table.
unsafe fn index_scan(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    index: *mut pg_sys::IndexOptInfo,
    grouped: &Grouped,
    direction: ScanDirection::Type,
) -> *mut pg_sys::IndexPath {
    let none = std::ptr::null_mut;
    // SAFETY: by contract.
    unsafe {
        let conditions = |path: &*mut pg_sys::IndexPath| match (**path).indexclauses.as_ref() {
            Some(clauses) => clauses.length,
            None => 0,
        };
        let most = core_paths(root, rel, index).into_iter().max_by_key(conditions);
        let is_index_only =
            most.is_some_and(|path| (*path).path.pathtype == NodeTag::T_IndexOnlyScan);
        let clauses = most.map_or(none(), |path| (*path).indexclauses);
        pg_sys::create_index_path(
            root,
            index,
            clauses,
            none(),
            none(),
            grouped.pathkeys,
            direction,
            is_index_only,
            std::ptr::null_mut(),
            1.0,
            false,
        )
    }
}

/// The path that takes the first rows of some groups from a scan.
///
/// # Safety
/// As [`paths_of`]; the scan is one of the table.
unsafe fn path_over(
    root: *mut pg_sys::PlannerInfo,
    scan: *mut pg_sys::IndexPath,
    skipping: &Skipping,
    groups: f64,
) -> *mut pg_sys::CustomPath {
    // SAFETY: by contract; a path without fields that are set is valid.
    unsafe {
        let below = &(*scan).path;
        let cost = cost_of(root, &*scan, groups);
        let mut path = PgBox::<pg_sys::CustomPath>::alloc_node(NodeTag::T_CustomPath);
        path.path.pathtype = NodeTag::T_CustomScan;
        path.path.parallel_safe = below.parallel_safe;
        path.path.pathkeys = below.pathkeys;
        path.path.rows = groups;
        #[cfg(feature = "pg18")]
        {
            path.path.disabled_nodes = below.disabled_nodes;
        }
        path.path.startup_cost = below.startup_cost + cost / groups;
        path.path.total_cost = below.startup_cost + cost;
        path.flags = pg_sys::CUSTOMPATH_SUPPORT_PROJECTION;
        path.custom_paths = list_of([scan]);
        path.custom_private = skipping.stored();
        path.methods = &raw const PATH_METHODS.0;
        path.into_pg()
    }
}

/// What it costs to find the first row of each group: a search each, and the rows on the way to one
/// that meets the conditions which the index does not know. Reading some of the rows of a scan
/// costs no more than reading all of them.
///
/// # Safety
/// As [`path_over`].
unsafe fn cost_of(
    root: *mut pg_sys::PlannerInfo,
    scan: &pg_sys::IndexPath,
    groups: f64,
) -> pg_sys::Cost {
    // SAFETY: by contract; settings of this process.
    unsafe {
        let index = &*scan.indexinfo;
        let rel = &*index.rel;
        let page_cost = |tablespace| {
            let (mut random, mut sequential) = (0.0, 0.0);
            pg_sys::get_tablespace_page_costs(tablespace, &mut random, &mut sequential);
            random
        };
        let pages = index.pages.into();
        let entries = (scan.indexselectivity * index.tuples).max(1.0);
        let read = (groups * (entries / rel.rows.max(1.0)).max(1.0)).min(entries);

        let comparisons = (index.tuples / f64::from(index.pages.max(1))).max(1.0).log2();
        let search = (comparisons + SEARCH_CPU_MULTIPLIER) * pg_sys::cpu_operator_cost;
        let leaves = pg_sys::index_pages_fetched(groups, index.pages, pages, root);
        let finding = leaves * page_cost(index.reltablespace) + read * pg_sys::cpu_index_tuple_cost;

        let mut blocks = pg_sys::index_pages_fetched(read, rel.pages, pages, root);
        if scan.path.pathtype == NodeTag::T_IndexOnlyScan {
            blocks = (blocks * (1.0 - rel.allvisfrac)).ceil();
        }
        let (target, filter) = (&(*scan.path.pathtarget).cost, &rel.baserestrictcost);
        let row = pg_sys::cpu_tuple_cost + filter.per_tuple;
        let fetching = blocks * page_cost(rel.reltablespace) + read * row;

        let all = (scan.path.total_cost - scan.path.startup_cost).max(0.0);
        let of_index = scan.indextotalcost.min(all);
        finding.min(of_index) + fetching.min(all - of_index) + groups * (search + target.per_tuple)
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
    plans: *mut pg_sys::List,
) -> *mut pg_sys::Plan {
    // SAFETY: by contract; a plan without fields that are set is valid. The only plan below is that
    // of the scan, which meets all conditions.
    unsafe {
        let scan = pg_sys::list_nth(plans, 0).cast::<pg_sys::Plan>();
        let mut plan = PgBox::<pg_sys::CustomScan>::alloc_node(NodeTag::T_CustomScan);
        plan.scan.plan.targetlist = targets;
        plan.flags = (*path).flags;
        plan.custom_plans = plans;
        plan.custom_private = (*path).custom_private;
        plan.custom_scan_tlist = pg_sys::copyObjectImpl((*scan).targetlist.cast()).cast();
        plan.methods = &raw const SCAN_METHODS.0;
        plan.into_pg().cast()
    }
}
