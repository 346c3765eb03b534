//! Counts of the rows of several tables: partitions, or children.
//!
//! Each table gives the states of its aggregates, one row for each of its groups. The core appends
//! them, and puts groups and states together, as `create_partial_grouping_paths` of planner.c has
//! it. A table without an index of ours is aggregated by the core. When the query runs, the Append
//! leaves out partitions as over scans: it takes the place of the relation that the query names,
//! and its children that of the tables.

use pgrx::pg_sys::{self, AggSplit, AggStrategy};

use super::groups::{groups_together, number_of_groups};
use super::path::{Counting, Given, path_of};
use super::query::{Query, Table};
use crate::node::list_of;

/// What each table gives, and how the core aggregates.
struct Partial<'q> {
    root: *mut pg_sys::PlannerInfo,
    query: &'q Query,
    /// What groups are told apart by, and the aggregates that give their states.
    target: *mut pg_sys::PathTarget,
    aggregates: Vec<*mut pg_sys::Aggref>,
    costs: pg_sys::AggClauseCosts,
}

/// Adds paths to what the planner has for a query of several tables, of which each is counted so,
/// or by the core.
///
/// # Safety
/// Called while the planner makes paths for this query, which go to `output`.
pub(super) unsafe fn add_paths(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    output: *mut pg_sys::RelOptInfo,
    ways: Vec<Option<Counting>>,
) {
    // SAFETY: by contract.
    unsafe {
        if !query.can_be_put_together(root) {
            return;
        }
        let is_hashable = pg_sys::grouping_is_hashable(query.clauses);
        if !is_hashable && ways.iter().any(Option::is_none) {
            return;
        }
        let partial = Partial::of(root, query);
        let (mut paths, mut groups): (*mut pg_sys::List, _) = (std::ptr::null_mut(), 0.0);
        let mut some_counted = false;
        for (table, way) in query.tables.iter().zip(ways) {
            let (path, is_counted) = partial.cheapest(table, way, is_hashable);
            some_counted |= is_counted;
            groups += (*path).rows;
            paths = pg_sys::lappend(paths, path.cast());
        }
        if !some_counted {
            return;
        }
        let append = partial.append(output, paths);
        if !query.has_groups() {
            partial.add_final(output, append, AggStrategy::AGG_PLAIN, 1.0);
            return;
        }
        let groups = groups_together(root, query, groups);
        if is_hashable {
            partial.add_final(output, append, AggStrategy::AGG_HASHED, groups);
        }
        if pg_sys::grouping_is_sortable(query.clauses) {
            let sorted = match query.pathkeys(root) {
                // All rows agree in what they are grouped by.
                keys if keys.is_null() => append,
                keys => pg_sys::create_sort_path(root, output, append, keys, -1.0).cast(),
            };
            partial.add_final(output, sorted, AggStrategy::AGG_SORTED, groups);
        }
    }
}

impl<'q> Partial<'q> {
    /// # Safety
    /// Called while the planner makes paths for this query.
    unsafe fn of(root: *mut pg_sys::PlannerInfo, query: &'q Query) -> Partial<'q> {
        // SAFETY: by contract; costs that are all zero are valid, and so is a setting.
        unsafe {
            let target = query.grouping_target();
            let state_of = |&aggregate: &*mut pg_sys::Aggref| {
                let state = pg_sys::copyObjectImpl(aggregate.cast()).cast::<pg_sys::Aggref>();
                pg_sys::mark_partial_aggref(state, AggSplit::AGGSPLIT_INITIAL_SERIAL);
                pg_sys::add_column_to_pathtarget(target, state.cast(), 0);
                state
            };
            let aggregates: Vec<_> = query.aggregates.iter().map(state_of).collect();
            // Each of them calls one function for a row.
            let mut costs: pg_sys::AggClauseCosts = std::mem::zeroed();
            costs.transCost.per_tuple = aggregates.len() as f64 * pg_sys::cpu_operator_cost;
            let target = pg_sys::set_pathtarget_cost_width(root, target);
            Partial { root, query, target, aggregates, costs }
        }
    }

    /// How the core splits the aggregates, if there are some: into states, and values of these.
    fn split(&self, how: AggSplit::Type) -> AggSplit::Type {
        match self.aggregates.is_empty() {
            true => AggSplit::AGGSPLIT_SIMPLE,
            false => how,
        }
    }

    /// What a table gives, in the cheapest way, and whether that is ours: of a few rows, or none,
    /// it may be the core's.
    ///
    /// # Safety
    /// Called while the planner makes paths for the query, of which the table is one. The core can
    /// aggregate it, or there is a way.
    unsafe fn cheapest(
        &self,
        table: &Table,
        way: Option<Counting>,
        is_hashable: bool,
    ) -> (*mut pg_sys::Path, bool) {
        // SAFETY: by contract.
        unsafe {
            let Some(way) = way else { return (self.aggregated(table), false) };
            let counted = self.counted(table, way);
            // To aggregate rows costs more than to find them.
            if !is_hashable || !is_cheaper((*table.rel).cheapest_total_path, counted) {
                return (counted, true);
            }
            let aggregated = self.aggregated(table);
            match is_cheaper(aggregated, counted) {
                true => (aggregated, false),
                false => (counted, true),
            }
        }
    }

    /// What a table gives by an index of ours.
    ///
    /// # Safety
    /// Called while the planner makes paths for the query, of which the table is one.
    unsafe fn counted(&self, table: &Table, way: Counting) -> *mut pg_sys::Path {
        let (parent, target) = (table.rel, self.target);
        let (aggregates, having) = (&self.aggregates[..], std::ptr::null_mut());
        // SAFETY: by contract. The node knows columns by their places: they need not be those of
        // the table itself.
        unsafe { path_of(self.query, way, Given { parent, target, aggregates, having }) }
    }

    /// What a table gives by the cheapest of the core's paths.
    ///
    /// # Safety
    /// As [`Partial::counted`].
    unsafe fn aggregated(&self, table: &Table) -> *mut pg_sys::Path {
        let Partial { root, query, .. } = *self;
        // SAFETY: by contract; the path is one of the table.
        unsafe {
            let rows = query.grouping_target();
            let aggregates = list_of(query.aggregates.iter().copied());
            let of_aggregates = pg_sys::PVC_RECURSE_AGGREGATES as i32;
            let columns = pg_sys::pull_var_clause(aggregates.cast(), of_aggregates);
            pg_sys::add_new_columns_to_pathtarget(rows, columns);
            let of_table = |target: *mut pg_sys::PathTarget| {
                let target = pg_sys::copy_pathtarget(target);
                (*target).exprs = table.translated(root, (*target).exprs);
                pg_sys::set_pathtarget_cost_width(root, target)
            };
            let cheapest = (*table.rel).cheapest_total_path;
            let path =
                pg_sys::create_projection_path(root, table.rel, cheapest, of_table(rows)).cast();
            let (strategy, groups) = match query.has_groups() {
                true => (AggStrategy::AGG_HASHED, number_of_groups(root, query, table, None)),
                false => (AggStrategy::AGG_PLAIN, 1.0),
            };
            let (none, split) = (std::ptr::null_mut(), AggSplit::AGGSPLIT_INITIAL_SERIAL);
            let (target, split) = (of_table(self.target), self.split(split));
            let (clauses, costs) = (query.clauses, &raw const self.costs);
            pg_sys::create_agg_path(
                root, table.rel, path, target, strategy, split, clauses, none, costs, groups,
            )
            .cast()
        }
    }

    /// The paths of all tables, one after the other.
    ///
    /// # Safety
    /// As [`add_paths`]; the paths are those of the tables.
    unsafe fn append(
        &self,
        output: *mut pg_sys::RelOptInfo,
        paths: *mut pg_sys::List,
    ) -> *mut pg_sys::Path {
        let (none, no_relids, rows) = (std::ptr::null_mut(), std::ptr::null_mut(), -1.0);
        // SAFETY: by contract; a relation is plain memory, and lives as long as others do.
        unsafe {
            let rel: *mut pg_sys::RelOptInfo =
                pg_sys::palloc(size_of::<pg_sys::RelOptInfo>()).cast();
            rel.copy_from_nonoverlapping(self.query.named, 1);
            (*rel).reltarget = self.target;
            (*rel).consider_parallel = (*output).consider_parallel;
            let root = self.root;
            pg_sys::create_append_path(root, rel, paths, none, none, no_relids, 0, false, rows)
                .cast()
        }
    }

    /// Adds the path that puts together what the tables give.
    ///
    /// # Safety
    /// As [`add_paths`]; the path gives what all tables give.
    unsafe fn add_final(
        &self,
        output: *mut pg_sys::RelOptInfo,
        path: *mut pg_sys::Path,
        strategy: AggStrategy::Type,
        groups: f64,
    ) {
        let Partial { root, query, .. } = *self;
        let split = self.split(AggSplit::AGGSPLIT_FINAL_DESERIAL);
        let (target, clauses, having) = (query.target, query.clauses, query.having);
        let costs = &raw const self.costs;
        // SAFETY: by contract.
        unsafe {
            let path = pg_sys::create_agg_path(
                root, output, path, target, strategy, split, clauses, having, costs, groups,
            );
            pg_sys::add_path(output, path.cast());
        }
    }
}

/// Whether a path of the core, for the same rows, costs less than one of ours.
///
/// # Safety
/// The paths are valid.
unsafe fn is_cheaper(path: *mut pg_sys::Path, ours: *mut pg_sys::Path) -> bool {
    // SAFETY: by contract.
    unsafe {
        // Before, that is among the costs.
        #[cfg(feature = "pg18")]
        if (*path).disabled_nodes > 0 {
            return false;
        }
        (*path).total_cost < (*ours).total_cost
    }
}
