//! Answers that the planner of the core does not know how to get from an index: a hook offers it
//! paths of our own, and custom scans carry them out.
//!
//! - [`hooks`]: where the planner is met
//! - `as_btree`: which features the planner keeps for B-trees, and gives ours as well
//! - [`count`]: how many rows there are
//! - [`statistics`]: how the values of a column are distributed
//! - [`derived`]: conditions that follow from those of a query, for scans of our indexes
//! - `condition`: what a query asks of the columns of an index, from the plan to the keys of a scan
//!
//! The planner loads this library when it opens the first index of ours, which is early enough for
//! all hooks that are used here: nothing has to be preloaded. Without such an index on the table of
//! a query, the hooks do nothing.

mod as_btree;
mod condition;
mod count;
mod derived;
mod hooks;
mod statistics;

pub(crate) use derived::longest;

use pgrx::pg_sys;

/// Makes hooks, plan nodes and settings known.
pub(crate) fn register() {
    count::register();
    derived::register();
    #[cfg(not(feature = "pg18"))]
    as_btree::families::register();
    hooks::register();
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
