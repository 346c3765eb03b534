//! `learned_retrain(regclass)`: merge now.

use learned_index::corruption::Result;
use learned_index::store::Update;
use learned_index::tree::directory::read_meta;
use learned_index::tree::merge::Step;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

use super::{Demand, Exclusion, merge_range};
use crate::am::{self, refuse};
use crate::storage::buffers::IndexStore;
use crate::storage::{index_name, raise_corruption};

/// Tries to get the exclusion, a tenth of a second apart, before the caller is told.
const TRIES: usize = 100;

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
    // SAFETY: the table is locked before its index; relation_close keeps the locks to the end of
    // the transaction, as every command does.
    unsafe {
        pg_sys::PreventCommandDuringRecovery(c"learned_retrain()".as_ptr());
        let table = pg_sys::IndexGetRelation(oid, true);
        let table = if table == pg_sys::InvalidOid {
            std::ptr::null_mut()
        } else {
            pg_sys::try_relation_open(table, pg_sys::AccessShareLock as pg_sys::LOCKMODE)
        };
        let index = if table.is_null() {
            std::ptr::null_mut()
        } else {
            pg_sys::try_relation_open(oid, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE)
        };
        if index.is_null() || !am::is_learned(index) {
            refuse_other(oid);
        }
        expect_own(index);
        expect_ready(index);
        let report = match merge_everything(index) {
            Ok(report) => report,
            Err(corruption) => raise_corruption(index, corruption),
        };
        pg_sys::relation_close(index, 0);
        pg_sys::relation_close(table, 0);
        report
    }
}

/// Refuses what is not a learned index.
///
/// # Safety
/// Within a transaction.
unsafe fn refuse_other(oid: pg_sys::Oid) -> ! {
    // SAFETY: the name is null or a C string.
    let name = unsafe {
        let name = pg_sys::get_rel_name(oid);
        (!name.is_null()).then(|| std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned())
    };
    let (code, message) = match name {
        Some(name) => {
            let message = format!("\"{name}\" is not a learned index");
            (PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, message)
        }
        None => {
            let message = format!("relation with OID {} does not exist", oid.to_u32());
            (PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message)
        }
    };
    refuse(code, message, "Name an index that was created with USING learned.")
}

/// Refuses indexes that are not the caller's, and temporary ones of other sessions.
///
/// # Safety
/// `index` is open.
unsafe fn expect_own(index: pg_sys::Relation) {
    // SAFETY: by contract.
    unsafe {
        let (oid, user) = ((*index).rd_id, pg_sys::GetUserId());
        #[cfg(feature = "pg15")]
        let own = pg_sys::pg_class_ownercheck(oid, user);
        #[cfg(not(feature = "pg15"))]
        let own = pg_sys::object_ownercheck(pg_sys::RelationRelationId, oid, user);
        if !own {
            refuse(
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("must be owner of index {}", index_name(index)),
                "Only the owner of an index may retrain it.",
            );
        }
        let temporary = (*(*index).rd_rel).relpersistence as u8 == pg_sys::RELPERSISTENCE_TEMP;
        if temporary && !(*index).rd_islocaltemp {
            refuse(
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                format!(
                    "cannot access temporary index \"{}\" of another session",
                    index_name(index)
                ),
                "Retrain it in the session that created it.",
            );
        }
    }
}

/// Refuses an index whose pages are not there yet.
///
/// # Safety
/// `index` is open.
unsafe fn expect_ready(index: pg_sys::Relation) {
    // SAFETY: by contract.
    unsafe {
        if !am::is_ready(index) {
            refuse(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("index \"{}\" is not ready", index_name(index)),
                "It is still being built, or its build has failed: then REINDEX or DROP it.",
            );
        }
    }
}

/// Merges until nothing is left of what was there at the beginning.
///
/// # Safety
/// `index` is an open learned index.
unsafe fn merge_everything(index: pg_sys::Relation) -> Result<Report> {
    // SAFETY: by contract.
    let store = unsafe { IndexStore::new(index) };
    let mut report = Report::default();
    let mut spare = Vec::new();
    // A tree that is being merged already, and the one that takes inserts now.
    let (_, state) = read_meta(&store, &mut 0)?;
    let mut trees = usize::from(state.frozen.is_some()) + usize::from(state.active.is_some());
    while trees > 0 {
        check_for_interrupts!();
        // SAFETY: by contract.
        let step = unsafe {
            let exclusion = take_exclusion(index);
            let step = merge_range(index, &store, Demand::All, &mut spare)?;
            exclusion.release();
            step
        };
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

/// # Safety
/// `index` is open.
unsafe fn take_exclusion(index: pg_sys::Relation) -> Exclusion {
    for _ in 0..TRIES {
        // SAFETY: by contract.
        if let Some(exclusion) = unsafe { Exclusion::try_take(index) } {
            return exclusion;
        }
        super::worker::wait(std::time::Duration::from_millis(100));
        check_for_interrupts!();
    }
    // SAFETY: by contract.
    let name = unsafe { index_name(index) };
    refuse(
        PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
        format!("index \"{name}\" is being vacuumed or retrained"),
        "Try again when VACUUM or the background worker has finished.",
    )
}
