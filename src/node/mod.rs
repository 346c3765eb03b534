//! Answers that the planner of the core does not know how to get from an index: a hook offers it
//! paths of our own, and custom scans carry them out.
//!
//! - [`hooks`]: where the planner is met
//! - `as_btree`: which features the planner keeps for B-trees, and gives ours as well
//! - [`count`]: how many rows there are
//! - [`statistics`]: how the values of a column are distributed
//! - [`derived`]: conditions that follow from those of a query, for scans of our indexes
//! - [`distinct`]: the first row of each group
//! - [`hypothetical`]: an index that its table does not have, for EXPLAIN
//! - `condition`: what a query asks of the columns of an index, from the plan to the keys of a scan
//! - `explain`: what EXPLAIN says of nodes; `scans`: what it says of index scans
//!
//! The planner loads this library when it opens the first index of ours, which is early enough for
//! all hooks that are used here: nothing has to be preloaded. Without such an index on the table of
//! a query, the hooks do nothing.

mod as_btree;
mod condition;
mod count;
mod derived;
mod distinct;
mod explain;
mod hooks;
pub(crate) mod hypothetical;
#[cfg(feature = "pg18")]
mod scans;
mod statistics;

pub(crate) use derived::longest;

use pgrx::pg_sys;

/// Makes hooks, plan nodes and settings known.
pub(crate) fn register() {
    count::register();
    derived::register();
    #[cfg(not(feature = "pg18"))]
    as_btree::families::register();
    distinct::register();
    hooks::register();
    #[cfg(feature = "pg18")]
    scans::register();
    statistics::register();
}

/// A list of nodes.
///
/// # Safety
/// Within a memory context.
unsafe fn list_of<T>(nodes: impl IntoIterator<Item = *mut T>) -> *mut pg_sys::List {
    // SAFETY: by contract.
    let add = |list, node: *mut T| unsafe { pg_sys::lappend(list, node.cast()) };
    nodes.into_iter().fold(std::ptr::null_mut(), add)
}

/// Whether a query is a plain SELECT that may have groups, and nothing will be asked to find its
/// rows again.
///
/// # Safety
/// Called while the planner makes paths for aggregates of this query.
unsafe fn is_plain_select(root: *mut pg_sys::PlannerInfo, parse: &pg_sys::Query) -> bool {
    // SAFETY: by contract.
    let no_row_marks = unsafe { (*root).rowMarks.is_null() };
    parse.commandType == pg_sys::CmdType::CMD_SELECT
        && parse.groupingSets.is_null()
        && parse.rowMarks.is_null()
        && !parse.hasTargetSRFs
        && no_row_marks
}

/// An expression, or a list, that is about a table that a query names: about one of its partitions
/// or children, to which some steps of inheritance lead.
///
/// # Safety
/// Called while the planner makes paths for the query.
unsafe fn translated<T>(
    root: *mut pg_sys::PlannerInfo,
    descent: &[*mut pg_sys::AppendRelInfo],
    node: *mut T,
) -> *mut T {
    let translate = |node, &step: &*mut pg_sys::AppendRelInfo| {
        let mut step = step;
        // SAFETY: by contract; the planner's own.
        unsafe { pg_sys::adjust_appendrel_attrs(root, node, 1, &raw mut step) }
    };
    descent.iter().fold(node.cast(), translate).cast()
}

/// Whether the user may call a function.
///
/// # Safety
/// Within a transaction; the function exists.
unsafe fn execution_of(function: pg_sys::Oid) -> pg_sys::AclResult::Type {
    let execute = pg_sys::ACL_EXECUTE as pg_sys::AclMode;
    // SAFETY: by contract.
    unsafe {
        let user = pg_sys::GetUserId();
        #[cfg(feature = "pg15")]
        return pg_sys::pg_proc_aclcheck(function, user, execute);
        #[cfg(not(feature = "pg15"))]
        return pg_sys::object_aclcheck(pg_sys::ProcedureRelationId, function, user, execute);
    }
}
