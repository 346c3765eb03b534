//! The access method `learned`: one module for each group of callbacks.
//!
//! - [`handler`]: which callbacks there are; [`validate`]: whether an operator class fits them
//! - `build`: CREATE INDEX and REINDEX; `insert`: one row; `vacuum`: removing dead entries
//! - `scan`: reading in order, or into a bitmap; `cost`: what the planner is told of it
//! - [`count`]: how many rows a snapshot sees; [`aggregate`]: sums and the like of their values;
//!   [`groups`]: the same of groups, and [`buckets`]: of those that a function tells apart
//! - `selected`: what such a query asks of the index; `partial`: states that the core puts together
//! - [`sample`]: how the values of the first column are distributed
//! - [`time_zone`]: offsets of the session's time zone, and when they change
//! - [`unique_violation`]: the errors of unique indexes
//! - [`dead_rows`]: which rows are dead, as the table says
//! - [`serializable`]: predicate locks

pub(crate) mod aggregate;
#[cfg(any(test, feature = "pg_test"))]
mod bucket_tests;
pub(crate) mod buckets;
mod build;
mod cost;
pub(crate) mod count;
mod dead_rows;
pub(crate) mod groups;
mod handler;
mod insert;
mod partial;
pub(crate) mod sample;
pub(crate) mod scan;
mod selected;
mod serializable;
#[cfg(any(test, feature = "pg_test"))]
mod tests;
pub(crate) mod time_zone;
mod unique_violation;
mod vacuum;
mod validate;

pub(crate) use cost::{elements_of, heap_correlation};
pub(crate) use scan::quals::offsets_near;

use pgrx::pg_sys;

/// Whether the planner speaks of an index of this access method.
///
/// # Safety
/// `index` is valid.
unsafe fn is_index_of_ours(index: *mut pg_sys::IndexOptInfo) -> bool {
    // SAFETY: by contract.
    let estimate = unsafe { (*index).amcostestimate };
    let own = cost::amcostestimate as *const ();
    estimate.is_some_and(|estimate| std::ptr::eq(estimate as *const (), own))
}

/// The indexes of this access method on a table that the planner has looked up.
///
/// Hooks ask for every table of every query. So the list is read in place: each call of the core
/// has a guard around it.
///
/// # Safety
/// `rel` is valid, and its indexes stay as they are meanwhile.
pub(crate) unsafe fn indexes_of_ours(
    rel: *mut pg_sys::RelOptInfo,
) -> impl Iterator<Item = *mut pg_sys::IndexOptInfo> {
    // SAFETY: by contract; an empty list is null, others have as many elements.
    let all: &[pg_sys::ListCell] = unsafe {
        match (*rel).indexlist.as_ref() {
            Some(list) => std::slice::from_raw_parts(list.elements, list.length as usize),
            None => &[],
        }
    };
    // SAFETY: by contract; it is a list of pointers to indexes.
    let index = |cell: &pg_sys::ListCell| unsafe { cell.ptr_value.cast() };
    // SAFETY: by contract.
    all.iter().map(index).filter(|&index| unsafe { is_index_of_ours(index) })
}
