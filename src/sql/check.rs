//! `learned_check(regclass, ...)`: is the index whole, and does it have every row?

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use learned_index::corruption::Result;
use learned_index::store::Store;
use learned_index::tree::check::{CheckReport, check, contains};
use learned_index::tree::directory::Directory;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

use super::target::Target;
use crate::column::KeyColumns;
use crate::column::code::{IndexCode, with_code};
use crate::relation::OpenTable;
use crate::report::carried::carrying;
use crate::report::refuse;
use crate::storage::buffers::IndexStore;
use crate::storage::session;

#[pg_extern(sql = "
CREATE FUNCTION learned_check(
    index regclass, heapallindexed bool DEFAULT false, verify_model bool DEFAULT true)
    RETURNS TABLE (pages bigint, leaves bigint, entries bigint, dead_entries bigint,
                   unmerged_entries bigint, free_pages bigint, lost_pages bigint)
    LANGUAGE c STRICT ROWS 1 PARALLEL RESTRICTED AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_check(regclass, bool, bool) IS
    'checks each page of a learned index and, with heapallindexed, that each visible row is in it';
REVOKE ALL ON FUNCTION learned_check(regclass, bool, bool) FROM PUBLIC;
")]
fn learned_check(
    index: pg_sys::Oid,
    heapallindexed: bool,
    verify_model: bool,
) -> TableIterator<
    'static,
    (
        name!(pages, i64),
        name!(leaves, i64),
        name!(entries, i64),
        name!(dead_entries, i64),
        name!(unmerged_entries, i64),
        name!(free_pages, i64),
        name!(lost_pages, i64),
    ),
> {
    // SAFETY: the caller's transaction is open.
    let (pages, report) = unsafe { check_index(index, heapallindexed, verify_model) };
    TableIterator::once((
        pages.into(),
        report.leaves as i64,
        report.entries as i64,
        report.dead as i64,
        report.delta as i64,
        report.free as i64,
        report.lost as i64,
    ))
}

/// # Safety
/// Within a transaction.
unsafe fn check_index(
    oid: pg_sys::Oid,
    heapallindexed: bool,
    verify_model: bool,
) -> (u32, CheckReport) {
    // SAFETY: by contract; what is opened here is closed here.
    unsafe {
        let target = Target::open(oid, pg_sys::AccessShareLock);
        // Before the index is read: an entry of a row that this sees was inserted before.
        let snapshot = heapallindexed.then(|| take_snapshot(&target));
        let found = with_code!(target.index, C => check_open::<C>(&target, verify_model, snapshot));
        if let Some(snapshot) = snapshot {
            pg_sys::UnregisterSnapshot(snapshot);
        }
        target.close();
        found
    }
}

/// # Safety
/// Within a transaction; the snapshot is registered.
unsafe fn check_open<C: IndexCode>(
    target: &Target,
    verify_model: bool,
    snapshot: Option<pg_sys::Snapshot>,
) -> (u32, CheckReport) {
    // SAFETY: by contract.
    unsafe {
        let store: IndexStore<C> = IndexStore::new(target.index);
        // Also tells whether the file is that of an index like this one.
        let outcome =
            session::directory_of(&store).and_then(|_| check(&store, verify_model, |_| {}));
        let report = match outcome {
            Ok(report) => report,
            Err(corruption) => target.index.raise_corruption(corruption),
        };
        if let Some(snapshot) = snapshot
            && let Err(corruption) = check_table(target, &store, snapshot)
        {
            target.index.raise_corruption(corruption);
        }
        let pages = store.blocks();
        store.release();
        (pages, report)
    }
}

/// A registered snapshot of the rows that must be in the index.
///
/// # Safety
/// Within a transaction.
unsafe fn take_snapshot(target: &Target) -> pg_sys::Snapshot {
    // SAFETY: by contract.
    unsafe {
        let form = target.index.definition();
        if !form.indisvalid {
            refuse(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("index \"{}\" is not valid", target.name()),
                "It may lack rows because its build has failed: REINDEX or DROP it, or check it \
                 without heapallindexed.",
            );
        }
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetTransactionSnapshot());
        // As in verify_nbtree.c: rows of an old snapshot may be in no index that was built after
        // it, where a chain of HOT updates was broken.
        let one_snapshot = pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as c_int;
        let created = xmin_of(target.index.definition_tuple());
        if form.indcheckxmin
            && one_snapshot
            && !pg_sys::TransactionIdPrecedes(created, (*snapshot).xmin)
        {
            refuse(
                PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
                format!("index \"{}\" is younger than the transaction's snapshot", target.name()),
                "Check it in a new transaction.",
            );
        }
        snapshot
    }
}

/// The transaction that wrote a catalog row: `HeapTupleHeaderGetXmin` of htup_details.h.
///
/// # Safety
/// `tuple` is valid.
unsafe fn xmin_of(tuple: &pg_sys::HeapTupleData) -> pg_sys::TransactionId {
    // SAFETY: by contract; a tuple on disk has the fields of a heap tuple.
    unsafe {
        let header = &*tuple.t_data;
        let frozen = pg_sys::HEAP_XMIN_FROZEN as u16;
        match header.t_infomask & frozen == frozen {
            true => pg_sys::FrozenTransactionId,
            false => header.t_choice.t_heap.t_xmin,
        }
    }
}

/// What the callback of the table scan works with.
struct Rows<'a, C: IndexCode> {
    target: &'a Target,
    store: &'a IndexStore<C>,
    directory: Directory<C>,
    columns: C::Columns,
}

/// Looks up every row that a snapshot sees.
///
/// # Safety
/// `store` reads the target's index; the snapshot is registered.
unsafe fn check_table<C: IndexCode>(
    target: &Target,
    store: &IndexStore<C>,
    snapshot: pg_sys::Snapshot,
) -> Result<()> {
    // SAFETY: by contract.
    unsafe {
        let mut rows = Rows {
            target,
            store,
            directory: Directory::open(store, session::directory_memory())?,
            columns: C::Columns::of_index(target.index),
        };
        // Expressions and predicates are the owner's code.
        let as_owner = AsOwner::of(target.table);
        let info = pg_sys::BuildIndexInfo(target.index.raw());
        // An MVCC snapshot, and nothing to be checked for uniqueness.
        (*info).ii_Concurrent = true;
        (*info).ii_Unique = false;
        (*info).ii_ExclusionOps = std::ptr::null_mut();
        (*info).ii_ExclusionProcs = std::ptr::null_mut();
        (*info).ii_ExclusionStrats = std::ptr::null_mut();
        let scan = pg_sys::table_beginscan_strat(
            target.table.raw(),
            snapshot,
            0,
            std::ptr::null_mut(),
            true,
            true,
        );
        // It ends the scan. An error in an expression keeps its CONTEXT.
        carrying(|| {
            pg_sys::table_index_build_scan(
                target.table.raw(),
                target.index.raw(),
                info,
                true,
                false,
                Some(check_row::<C>),
                (&raw mut rows).cast(),
                scan,
            )
        });
        as_owner.end();
    }
    Ok(())
}

/// Looks one row up.
#[pg_guard]
unsafe extern "C-unwind" fn check_row<C: IndexCode>(
    _index: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    values: *mut pg_sys::Datum,
    is_null: *mut bool,
    _alive: bool,
    state: *mut c_void,
) {
    // SAFETY: the core passes one column's value, and the state that check_table gave it.
    unsafe {
        let rows = &mut *state.cast::<Rows<'_, C>>();
        let entry = rows.columns.entry(values, is_null, tid);
        let index = rows.target.index;
        match contains(rows.store, &mut rows.directory, entry) {
            Err(corruption) => index.raise_corruption(corruption),
            Ok(false) => index.raise_missing_row(rows.target.table, entry.tid),
            Ok(true) => {}
        }
    }
}

/// The table's owner runs what the index evaluates, as in CREATE INDEX, so that a superuser who
/// checks the index does not run other people's code. The transaction's abort ends that too.
#[must_use]
struct AsOwner {
    user: pg_sys::Oid,
    context: c_int,
    settings: c_int,
}

impl AsOwner {
    fn of(table: OpenTable) -> AsOwner {
        let (mut user, mut context) = (pg_sys::InvalidOid, MaybeUninit::uninit());
        // SAFETY: both are set by the first call.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, context.as_mut_ptr());
            let context = context.assume_init();
            pg_sys::SetUserIdAndSecContext(
                table.class().relowner,
                context | pg_sys::SECURITY_RESTRICTED_OPERATION as c_int,
            );
            let settings = pg_sys::NewGUCNestLevel();
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            pg_sys::RestrictSearchPath();
            AsOwner { user, context, settings }
        }
    }

    fn end(self) {
        // SAFETY: these are what there was before.
        unsafe {
            pg_sys::AtEOXact_GUC(false, self.settings);
            pg_sys::SetUserIdAndSecContext(self.user, self.context);
        }
    }
}
