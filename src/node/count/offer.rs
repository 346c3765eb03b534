//! Offering the planner paths that count.

use pgrx::pg_sys;

use super::append;
use super::path::{Counting, Given, cheapest, path_of};
use super::query::{Asked, Query, Stage, Table};

/// Adds a path to what the planner has for the aggregates of a query, if an index of ours can
/// answer all of them.
///
/// # Safety
/// Called while the planner makes paths for aggregates over `input`, which go to `output`.
pub(in crate::node) unsafe fn add_path(
    root: *mut pg_sys::PlannerInfo,
    input: *mut pg_sys::RelOptInfo,
    output: *mut pg_sys::RelOptInfo,
    stage: Stage,
) {
    if !super::ENABLED.get() || removes_rows_of_old_snapshots() {
        return;
    }
    // SAFETY: by contract.
    unsafe {
        let Some(query) = Query::of(root, input, output, stage) else { return };
        let aggregates = query.aggregates.iter();
        let asked: Option<Vec<Asked>> =
            aggregates.map(|&aggregate| query.asked(aggregate)).collect();
        let Some(asked) = asked else { return };
        let way = |table: &Table| match table.is_counted {
            true => cheapest(root, &query, table, &asked),
            false => None,
        };
        let mut ways: Vec<Option<Counting>> = query.tables.iter().map(way).collect();
        if let [way] = &mut ways[..] {
            let (aggregates, having) = (&query.aggregates, query.having);
            let given = Given { parent: output, target: query.target, aggregates, having };
            let Some(way) = way.take() else { return };
            pg_sys::add_path(output, path_of(&query, way, given));
        } else if ways.iter().any(Option::is_some) {
            append::add_paths(root, &query, output, ways);
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
