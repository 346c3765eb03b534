//! `learned_index_stats(regclass)` and the view `learned_indexes`: figures for dashboards.

use learned_index::corruption::Result;
use learned_index::page::history::{History, Time};
use learned_index::tree::stats::{IndexStats, stats};
use pgrx::PgLogLevel;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::btree::btree_size;
use super::target::{Target, Users};
use crate::column::code::{IndexCode, with_code};
use crate::merge::need::{is_due, merged_at};
use crate::merge::range::Cause;
use crate::storage::buffers::IndexStore;
use crate::storage::session;

/// What is told of an index.
struct Figures {
    index: IndexStats,
    merged_at: u64,
    due: bool,
    btree_size: u64,
}

#[pg_extern(sql = "
CREATE FUNCTION learned_index_stats(index regclass, lenient bool DEFAULT false)
    RETURNS TABLE (size bigint, pages bigint, leaf_pages bigint, directory_pages bigint,
                   model_pages bigint, delta_pages bigint, other_pages bigint, entries bigint,
                   unmerged_entries bigint, merge_threshold bigint, merge_due bool, merging bool,
                   bytes_per_entry float8, btree_size bigint, model text, segments bigint,
                   model_bytes bigint, avg_error float8, max_error bigint, generation bigint,
                   last_merge timestamptz, last_merge_cause text, last_merge_entries bigint,
                   last_merge_time float8, last_training timestamptz,
                   last_training_time float8)
    LANGUAGE c STRICT ROWS 1 PARALLEL RESTRICTED AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_index_stats(regclass, bool) IS
    'figures of a learned index that cost no scan of it';
")]
#[expect(clippy::type_complexity, reason = "a column of the result is a type")]
fn learned_index_stats(
    index: pg_sys::Oid,
    lenient: bool,
) -> TableIterator<
    'static,
    (
        name!(size, i64),
        name!(pages, i64),
        name!(leaf_pages, i64),
        name!(directory_pages, i64),
        name!(model_pages, i64),
        name!(delta_pages, i64),
        name!(other_pages, i64),
        name!(entries, i64),
        name!(unmerged_entries, i64),
        name!(merge_threshold, i64),
        name!(merge_due, bool),
        name!(merging, bool),
        name!(bytes_per_entry, Option<f64>),
        name!(btree_size, i64),
        name!(model, &'static str),
        name!(segments, i64),
        name!(model_bytes, i64),
        name!(avg_error, f64),
        name!(max_error, i64),
        name!(generation, i64),
        name!(last_merge, Option<TimestampWithTimeZone>),
        name!(last_merge_cause, Option<&'static str>),
        name!(last_merge_entries, Option<i64>),
        name!(last_merge_time, Option<f64>),
        name!(last_training, Option<TimestampWithTimeZone>),
        name!(last_training_time, Option<f64>),
    ),
> {
    // SAFETY: the caller's transaction is open.
    let figures = unsafe { figures_of(index, lenient) };
    let row = figures.map(|figures| {
        let Figures { index, merged_at, due, btree_size } = figures;
        let size = i64::from(index.pages) * i64::from(pg_sys::BLCKSZ);
        let all = index.entries + index.unmerged;
        let History { merge, training, .. } = index.history;
        let (merged, trained) = (moment(merge.ended), moment(training.ended));
        (
            size,
            index.pages.into(),
            index.leaves.into(),
            index.directory_pages.into(),
            index.model_pages.into(),
            index.delta_pages.into(),
            index.other_pages().into(),
            index.entries as i64,
            index.unmerged as i64,
            merged_at as i64,
            due,
            index.merging,
            (all > 0).then(|| size as f64 / all as f64),
            btree_size as i64,
            index.model.name(),
            index.segments as i64,
            index.model_bytes.into(),
            index.errors.average(),
            index.errors.max as i64,
            index.generation as i64,
            merged,
            merged.and(Cause::name_of(merge.cause)),
            merged.map(|_| merge.entries as i64),
            merged.map(|_| milliseconds(merge.duration)),
            trained,
            trained.map(|_| milliseconds(training.duration)),
        )
    });
    TableIterator::new(row)
}

/// A moment of the server's clock. `None`: it never came.
fn moment(time: Time) -> Option<TimestampWithTimeZone> {
    if time == 0 { None } else { TimestampWithTimeZone::try_from(time).ok() }
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

/// The figures of an index. `lenient`: none where they cannot be had, with a warning if that is
/// damage.
///
/// # Safety
/// Within a transaction.
unsafe fn figures_of(oid: pg_sys::Oid, lenient: bool) -> Option<Figures> {
    // SAFETY: by contract; what is opened here is closed here.
    unsafe {
        let target = match Target::find(oid, pg_sys::AccessShareLock, Users::Monitors) {
            Ok(target) => target,
            Err(_) if lenient => return None,
            Err(refusal) => refusal.raise(),
        };
        let figures = match with_code!(target.index, C => read_figures::<C>(&target)) {
            Ok(figures) => Some(figures),
            Err(corruption) if lenient => {
                let report: ErrorReport = target.index.corruption_report(corruption);
                report.report(PgLogLevel::WARNING);
                None
            }
            Err(corruption) => target.index.raise_corruption(corruption),
        };
        target.close();
        figures
    }
}

/// The rows of an index, and its learned pages.
///
/// # Safety
/// Within a transaction; the index is the caller's.
pub(super) unsafe fn entries_and_leaves(index: pg_sys::Oid) -> (u64, u32) {
    // SAFETY: by contract.
    let figures = unsafe { figures_of(index, false) };
    figures.map_or((0, 0), |figures| (figures.index.entries, figures.index.leaves))
}

fn read_figures<C: IndexCode>(target: &Target) -> Result<Figures> {
    let store: IndexStore<C> = IndexStore::new(target.index);
    let figures = figures_in(&store);
    // Also where it is damaged: the view goes on then.
    store.release();
    figures
}

fn figures_in<C: IndexCode>(store: &IndexStore<C>) -> Result<Figures> {
    // Also tells whether the file is that of an index like this one.
    session::directory_of(store)?;
    let index = stats(store)?;
    let (merged_at, due) = (merged_at(store)?, is_due(store, false)?);
    let btree_size = btree_size(store.index(), index.entries + index.unmerged);
    Ok(Figures { index, merged_at, due, btree_size })
}

extension_sql_file!(
    "../../sql/views.sql",
    name = "views",
    requires = [learned_index_stats, "access_method"]
);
