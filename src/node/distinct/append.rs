//! The first row of each group of several tables: partitions, or children by inheritance.
//!
//! Each table gives the first rows of its own groups, in order. The core merges them, and takes the
//! first of each group once more. A table without such an index gives all its rows.

use pgrx::PgList;
use pgrx::pg_sys;

use super::path::paths_of;
use super::query::Query;
use crate::node::{list_of, translated};

/// A table that has rows of the one that a query names.
struct Table {
    rel: *mut pg_sys::RelOptInfo,
    /// What the query asks for of the rows, as columns of this table.
    target: *mut pg_sys::PathTarget,
}

/// Adds a path to what the planner has for a query of several tables, if it is better for one of
/// them.
///
/// # Safety
/// Called while the planner makes paths for this query, which go to `output`.
pub(super) unsafe fn add_path(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    output: *mut pg_sys::RelOptInfo,
) {
    // SAFETY: by contract.
    unsafe {
        let mut tables = Vec::new();
        if !add_tables(root, query, query.rel, &[], &mut tables) {
            return;
        }
        let order = list_of(query.groups.iter().chain(&query.within).copied());
        let (mut paths, mut is_ours) = (Vec::new(), false);
        for table in &tables {
            let own = paths_of(root, query, table.rel, table.rel, table.target);
            let own = own.into_iter().map(|path| path.cast());
            let (own, others) = (cheapest(root, table, order, own), all_rows(root, table, order));
            let path = match own {
                Some(own) if (*own).total_cost < (*others).total_cost => {
                    is_ours = true;
                    own
                }
                _ => others,
            };
            paths.push(path);
        }
        if is_ours {
            let (rel, none) = (query.rel, std::ptr::null_mut());
            let merged =
                pg_sys::create_merge_append_path(root, rel, list_of(paths), order, none).cast();
            let (rows, no_info) = ((*query.rel).rows.max(1.0), std::ptr::null_mut());
            let groups = pg_sys::estimate_num_groups(root, query.exprs, rows, none.cast(), no_info);
            let columns = query.groups.len() as i32;
            let path =
                pg_sys::create_upper_unique_path(root, output, merged, columns, groups).cast();
            pg_sys::add_path(output, path);
        }
    }
}

/// The cheapest of some paths in an order: with a sort if it has another.
///
/// # Safety
/// Called while the planner makes paths; these are paths of the table.
unsafe fn cheapest(
    root: *mut pg_sys::PlannerInfo,
    table: &Table,
    order: *mut pg_sys::List,
    paths: impl Iterator<Item = *mut pg_sys::Path>,
) -> Option<*mut pg_sys::Path> {
    // SAFETY: by contract.
    let in_order = |path: *mut pg_sys::Path| unsafe {
        match pg_sys::pathkeys_contained_in(order, (*path).pathkeys) {
            true => path,
            false => pg_sys::create_sort_path(root, table.rel, path, order, -1.0).cast(),
        }
    };
    // SAFETY: by contract.
    let cost = |path: &*mut pg_sys::Path| unsafe { (**path).total_cost };
    paths.map(in_order).min_by(|one, other| cost(one).total_cmp(&cost(other)))
}

/// The cheapest path of the core for all rows of a table, in an order.
///
/// # Safety
/// Called while the planner makes paths; the table has some.
unsafe fn all_rows(
    root: *mut pg_sys::PlannerInfo,
    table: &Table,
    order: *mut pg_sys::List,
) -> *mut pg_sys::Path {
    // SAFETY: by contract. Paths with parameters are of joins.
    unsafe {
        let paths = PgList::<pg_sys::Path>::from_pg((*table.rel).pathlist);
        let plain = paths.iter_ptr().filter(|path| (**path).param_info.is_null());
        let project =
            |path| pg_sys::create_projection_path(root, table.rel, path, table.target).cast();
        let found = cheapest(root, table, order, plain.map(project));
        found.unwrap_or_else(|| project((*table.rel).cheapest_total_path))
    }
}

/// Adds the tables that have the rows of one, as far as they may have some that the query asks for.
/// False if a sample is asked for.
///
/// # Safety
/// `rel` is one of the query that is planned; `descent` leads to it from the one that the query
/// names.
unsafe fn add_tables(
    root: *mut pg_sys::PlannerInfo,
    query: &Query,
    rel: *mut pg_sys::RelOptInfo,
    descent: &[*mut pg_sys::AppendRelInfo],
    tables: &mut Vec<Table>,
) -> bool {
    // SAFETY: by contract.
    unsafe {
        let number = (*rel).relid;
        let entry = &**(*root).simple_rte_array.add(number as usize);
        if !entry.tablesample.is_null() {
            return false;
        }
        if !entry.inh {
            let target = pg_sys::copy_pathtarget(query.target);
            (*target).exprs = translated(root, descent, (*target).exprs);
            let target = pg_sys::set_pathtarget_cost_width(root, target);
            tables.push(Table { rel, target });
            return true;
        }
        let children = PgList::<pg_sys::AppendRelInfo>::from_pg((*root).append_rel_list);
        let mut children = children.iter_ptr().filter(|child| (**child).parent_relid == number);
        children.all(|child| {
            let rel = *(*root).simple_rel_array.add((*child).child_relid as usize);
            if rel.is_null() || pg_sys::is_dummy_rel(rel) {
                return true;
            }
            add_tables(root, query, rel, &[descent, &[child]].concat(), tables)
        })
    }
}
