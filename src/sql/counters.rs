//! `learned_index_counters(regclass)`, `learned_reset_counters(regclass)` and the view
//! `learned_index_activity`: what sessions do with an index that is monitored.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

use super::target::{Target, Users};
use crate::counters::{Counter, Figures, place_of};
use crate::report::refuse;

#[pg_extern(sql = "
CREATE FUNCTION learned_index_counters(index regclass, lenient bool DEFAULT false)
    RETURNS TABLE (scans bigint, counts bigint, leaf_reads bigint, predicted bigint,
                   mispredicted bigint, unmerged_hits bigint, dead_hits bigint, merges bigint,
                   merged_entries bigint, merge_time float8, last_merge timestamptz,
                   stats_reset timestamptz)
    LANGUAGE c STRICT ROWS 1 PARALLEL RESTRICTED AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_index_counters(regclass, bool) IS
    'what all sessions have done with a learned index that is monitored';
")]
#[expect(clippy::type_complexity, reason = "a column of the result is a type")]
fn learned_index_counters(
    index: pg_sys::Oid,
    lenient: bool,
) -> TableIterator<
    'static,
    (
        name!(scans, i64),
        name!(counts, i64),
        name!(leaf_reads, i64),
        name!(predicted, i64),
        name!(mispredicted, i64),
        name!(unmerged_hits, i64),
        name!(dead_hits, i64),
        name!(merges, i64),
        name!(merged_entries, i64),
        name!(merge_time, f64),
        name!(last_merge, Option<TimestampWithTimeZone>),
        name!(stats_reset, Option<TimestampWithTimeZone>),
    ),
> {
    // SAFETY: the caller's transaction is open.
    let figures = unsafe { figures_of(index, lenient) };
    let time = |time| TimestampWithTimeZone::try_from(time).ok();
    let row = figures.map(|figures| {
        (
            figures.get(Counter::Scans),
            figures.get(Counter::Counts),
            figures.get(Counter::LeafReads),
            figures.get(Counter::Predicted),
            figures.get(Counter::Mispredicted),
            figures.get(Counter::UnmergedHits),
            figures.get(Counter::DeadHits),
            figures.get(Counter::Merges),
            figures.get(Counter::MergedEntries),
            figures.get(Counter::MergeTime) as f64 / 1000.0,
            figures.last_merge.and_then(time),
            time(figures.since),
        )
    });
    TableIterator::new(row)
}

/// What was counted; `None` if nothing is. `lenient`: nor where the caller may not ask.
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
        let figures = place_of(target.index).map(|place| place.figures());
        target.close();
        figures
    }
}

#[pg_extern(sql = "
CREATE FUNCTION learned_reset_counters(index regclass) RETURNS void
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_reset_counters(regclass) IS
    'sets the counters of a learned index that is monitored to 0';
REVOKE ALL ON FUNCTION learned_reset_counters(regclass) FROM PUBLIC;
")]
fn learned_reset_counters(index: pg_sys::Oid) {
    // SAFETY: the caller's transaction is open; what is opened here is closed here.
    unsafe {
        let target = Target::open(index, pg_sys::AccessShareLock);
        match place_of(target.index) {
            Some(place) => place.reset(),
            None => refuse(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("index \"{}\" is not monitored", target.name()),
                "From PostgreSQL 17 on, ALTER INDEX ... SET (monitoring = on) begins to count.",
            ),
        }
        target.close();
    }
}

extension_sql_file!(
    "../../sql/activity.sql",
    name = "activity",
    requires = [learned_index_counters, "access_method"]
);
