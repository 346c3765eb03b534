//! `learned_retrain(regclass)`: merge now.

use std::time::Duration;

use learned_index::corruption::Result;
use learned_index::store::Update;
use learned_index::tree::directory::read_meta;
use learned_index::tree::merge::Step;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

use super::target::Target;
use crate::column::code::{IndexCode, with_code};
use crate::merge::board::{Board, Subject};
use crate::merge::exclusion::Exclusion;
use crate::merge::range::{Cause, merge_range};
use crate::merge::wait::wait;
use crate::relation::OpenIndex;
use crate::report::refuse;
use crate::storage::buffers::IndexStore;

/// Tries to get the exclusion before the caller is told, and the time between two.
const TRIES: usize = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// What was done.
#[derive(Default)]
struct Report {
    merged: u64,
    replaced: u64,
    ranges: u64,
    leaves: u32,
}

#[pg_extern(sql = "
CREATE FUNCTION learned_retrain(index regclass)
    RETURNS TABLE (merged_rows bigint, replaced_pages bigint, ranges bigint, pages bigint)
    LANGUAGE c STRICT ROWS 1 PARALLEL UNSAFE AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_retrain(regclass) IS
    'merges the new rows of a learned index into its learned pages now, and trains its model anew';
REVOKE ALL ON FUNCTION learned_retrain(regclass) FROM PUBLIC;
")]
fn learned_retrain(
    index: pg_sys::Oid,
) -> TableIterator<
    'static,
    (name!(merged_rows, i64), name!(replaced_pages, i64), name!(ranges, i64), name!(pages, i64)),
> {
    // SAFETY: the caller's transaction is open.
    let report = unsafe { retrain(index) };
    TableIterator::once((
        report.merged as i64,
        report.replaced as i64,
        report.ranges as i64,
        report.leaves.into(),
    ))
}

/// # Safety
/// Within a transaction.
unsafe fn retrain(oid: pg_sys::Oid) -> Report {
    // SAFETY: by contract; what is opened here is closed here.
    unsafe {
        pg_sys::PreventCommandDuringRecovery(c"learned_retrain()".as_ptr());
        let target = Target::open(oid, pg_sys::RowExclusiveLock);
        let report = match with_code!(target.index, C => merge_everything::<C>(target.index)) {
            Ok(report) => report,
            Err(corruption) => target.index.raise_corruption(corruption),
        };
        Board::get().works(Subject::file_of(target.index));
        target.close();
        report
    }
}

/// Merges until nothing is left of what was there at the beginning.
fn merge_everything<C: IndexCode>(index: OpenIndex) -> Result<Report> {
    let store: IndexStore<C> = IndexStore::new(index);
    let mut report = Report::default();
    let mut spare = Vec::new();
    // A tree that is being merged already, and the one that takes inserts now.
    let (_, state) = read_meta(&store, &mut 0)?;
    let mut trees = usize::from(state.frozen.is_some()) + usize::from(state.active.is_some());
    while trees > 0 {
        check_for_interrupts!();
        let exclusion = take_exclusion(index);
        let step = merge_range(&store, Cause::Retrain, &mut spare)?;
        exclusion.release();
        match step {
            Step::Idle => break,
            Step::Published { merged, leaves, dropped } => {
                report.merged += merged;
                report.replaced += leaves;
                report.ranges += 1;
                trees -= usize::from(dropped);
            }
        }
    }
    store.spread_offers();
    report.leaves = read_meta(&store, &mut 0)?.1.leaves;
    store.release();
    Ok(report)
}

fn take_exclusion(index: OpenIndex) -> Exclusion {
    for _ in 0..TRIES {
        if let Some(exclusion) = Exclusion::try_take(index) {
            return exclusion;
        }
        wait(BETWEEN_TRIES);
        check_for_interrupts!();
    }
    refuse(
        PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
        format!("index \"{}\" is being vacuumed or retrained", index.name()),
        "Try again when VACUUM or the background worker has finished.",
    )
}
