//! CREATE INDEX and REINDEX.

use std::ffi::{CStr, c_char, c_int, c_void};

use learned_index::entry::HeapTid;
use learned_index::key::{Key, NullClass};
use learned_index::page::meta::Identity;
use learned_index::stop::{StopPoint, stop_at};
use learned_index::store::memory::MemoryStore;
use learned_index::store::{BulkStore, Store};
use learned_index::tree::build::Builder;
use learned_index::tree::load::{BuildError, Loader, Uniqueness};
use pgrx::prelude::*;

use super::carried::carrying;
use super::options::Options;
use super::unique_violation::duplicate_in_table;
use crate::key_type::{KeyOrder, KeyType};
use crate::storage;
use crate::storage::bulk::BulkPages;
use crate::storage::spill::TemporaryRuns;

/// Phases of a build; 1 is the core's "initializing".
const PHASE_SCAN: i64 = 2;
const PHASE_WRITE: i64 = 3;
const PHASE_LOG: i64 = 4;

/// Rows that the table scan hands over at once.
const ROWS_AT_ONCE: usize = 256;

/// What the callback of the table scan works with.
struct Build {
    loader: Loader<BulkPages, TemporaryRuns, fn() -> TemporaryRuns>,
    /// Code, heap TID and whether it is alive of rows that wait for the loader; room for [`ROWS_AT_ONCE`].
    rows: Vec<(u64, HeapTid, bool)>,
    key_type: KeyType,
    order: KeyOrder,
    entries: u64,
    /// Why there will be no index. It is reported after the scan of the table, whose frames would
    /// strip the constraint's name from the error.
    failed: Option<BuildError>,
}

/// The identity of an index that is built now.
///
/// # Safety
/// `index` is open.
unsafe fn new_identity(index: pg_sys::Relation) -> (Identity, KeyType, KeyOrder) {
    // SAFETY: by contract.
    let (key_type, order) = unsafe { (KeyType::of_index(index), KeyOrder::of_index(index)) };
    let identity = Identity {
        incarnation: rand::random(),
        key_type: key_type.number(),
        descending: order.descending,
        nulls_first: order.nulls_first,
    };
    (identity, key_type, order)
}

fn enter_phase(phase: i64) {
    // SAFETY: reports to this process's own progress entry.
    unsafe {
        pg_sys::pgstat_progress_update_param(pg_sys::PROGRESS_CREATEIDX_SUBPHASE as c_int, phase)
    };
}

/// Builds the index from the rows of its table.
///
/// # Safety
/// Called by the core with open relations, the index new and empty.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambuild(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    // SAFETY: by contract the relations are open and the index is empty.
    unsafe {
        if pg_sys::RelationGetNumberOfBlocksInFork(index, pg_sys::ForkNumber::MAIN_FORKNUM) != 0 {
            let name = storage::index_name(index);
            error!("index \"{name}\" already contains data");
        }
        let (identity, key_type, order) = new_identity(index);
        let memory = (pg_sys::maintenance_work_mem as usize).saturating_mul(1024);
        let pages = BulkPages::new(index, pg_sys::ForkNumber::MAIN_FORKNUM);
        let new_spill: fn() -> TemporaryRuns = TemporaryRuns::default;
        let unique = uniqueness(info);
        #[cfg(not(feature = "pg18"))]
        if unique.is_some() && is_new(index, info) {
            warn_of_unique(heap);
        }
        let loader =
            Loader::new(pages, identity, Options::of(index).build(), unique, memory, new_spill);
        let rows = Vec::with_capacity(ROWS_AT_ONCE);
        let mut build = Build { loader, rows, key_type, order, entries: 0, failed: None };
        enter_phase(PHASE_SCAN);
        let heap_tuples = scan_table(heap, index, info, &mut build);
        build.load_rows();
        enter_phase(PHASE_WRITE);
        stop_at(StopPoint::BuildScanned);
        let entries = build.entries;
        let built = match build.failed {
            Some(error) => Err(error),
            None => build.loader.finish(),
        };
        let (pages, state) = match built {
            Ok(built) => built,
            Err(error) => fail(heap, index, error, key_type, order),
        };
        if state.values + state.nulls != entries {
            let name = storage::index_name(index);
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                format!(
                    "index \"{name}\" was built with {} of {entries} rows",
                    state.values + state.nulls
                )
            );
        }
        enter_phase(PHASE_LOG);
        stop_at(StopPoint::BuildWritten);
        pages.log();
        stop_at(StopPoint::BuildLogged);
        let result = pg_sys::palloc0(size_of::<pg_sys::IndexBuildResult>())
            .cast::<pg_sys::IndexBuildResult>();
        (*result).heap_tuples = heap_tuples;
        (*result).index_tuples = entries as f64;
        result
    }
}

/// What the definition of an index asks of its keys, if it is unique.
///
/// # Safety
/// `info` is valid.
unsafe fn uniqueness(info: *const pg_sys::IndexInfo) -> Option<Uniqueness> {
    // SAFETY: by contract.
    let info = unsafe { &*info };
    info.ii_Unique.then_some(Uniqueness { nulls_not_distinct: info.ii_NullsNotDistinct })
}

/// Whether an index is being created, and not built anew by REINDEX, TRUNCATE, VACUUM FULL or the
/// like. CREATE INDEX CONCURRENTLY builds in another transaction than it creates in, and so does
/// REINDEX CONCURRENTLY with the index that is to replace the old one: these two look alike here.
///
/// # Safety
/// `index` is open and `info` valid.
#[cfg(not(feature = "pg18"))]
unsafe fn is_new(index: pg_sys::Relation, info: *const pg_sys::IndexInfo) -> bool {
    // SAFETY: by contract; rd_index of an open index is valid.
    unsafe {
        // InvalidSubTransactionId of c.h is 0.
        let created_here = (*index).rd_createSubid != 0;
        created_here || (*info).ii_Concurrent && !(*(*index).rd_index).indisvalid
    }
}

/// Tells what the core does not do with unique indexes that are not B-trees.
///
/// # Safety
/// `heap` is open.
#[cfg(not(feature = "pg18"))]
unsafe fn warn_of_unique(heap: pg_sys::Relation) {
    // SAFETY: by contract.
    let table = unsafe { storage::index_name(heap) };
    let detail = if cfg!(feature = "pg15") {
        "Before version 18, PostgreSQL supports it only where all unique indexes are B-trees."
    } else {
        "Before version 18, PostgreSQL supports it only where all unique indexes are B-trees. Nor can the index be the replica identity of a table on a subscriber."
    };
    pg_sys::panic::ErrorReport::new(
        PgSqlErrorCode::ERRCODE_WARNING,
        format!("INSERT ... ON CONFLICT will fail on table \"{table}\" while it has a unique index of access method \"learned\""),
        "learned",
    )
    .set_detail(detail)
    .set_hint("Use a unique index of access method \"btree\" where that is needed.")
    .report(pgrx::PgLogLevel::WARNING);
}

/// Raises the error of a build.
///
/// # Safety
/// The relations are open.
unsafe fn fail(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    error: BuildError,
    key_type: KeyType,
    order: KeyOrder,
) -> ! {
    // SAFETY: by contract; the index has one column.
    unsafe {
        match error {
            BuildError::Duplicate { key: Key { class, code } } => {
                let is_null = class != NullClass::Value;
                let value = match is_null {
                    true => pg_sys::Datum::null(),
                    false => key_type.decode(order.apply(code)),
                };
                duplicate_in_table(heap, index, &raw const value, &raw const is_null)
            }
            BuildError::Twice => {
                let name = storage::index_name(index);
                ereport!(
                    ERROR,
                    PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                    format!("a row came twice while index \"{name}\" was built")
                );
            }
            BuildError::Corruption(corruption) => storage::raise_corruption(index, corruption),
        }
    }
}

/// Passes each row of the table to [`add_row`], in the order of the heap: `table_index_build_scan`
/// of tableam.h, but never starting in the middle of the table.
///
/// # Safety
/// As [`ambuild`].
unsafe fn scan_table(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
    build: &mut Build,
) -> f64 {
    // SAFETY: the table access method of an open table is valid.
    let scan = unsafe { (*(*heap).rd_tableam).index_build_range_scan };
    let Some(scan) = scan else {
        error!("the table access method cannot build indexes");
    };
    let state: *mut c_void = std::ptr::from_mut(build).cast();
    // SAFETY: the arguments are those of table_index_build_scan; the guard turns an error of the
    // scan, or of an expression that it evaluates, into a panic that runs destructors.
    unsafe {
        carrying(|| {
            pg_sys::ffi::pg_guard_ffi_boundary(
                #[allow(ffi_unwind_calls)]
                || {
                    scan(
                        heap,
                        index,
                        info,
                        false,
                        false,
                        true,
                        0,
                        pg_sys::InvalidBlockNumber,
                        Some(add_row),
                        state,
                        std::ptr::null_mut(),
                    )
                },
            )
        })
    }
}

impl Build {
    /// Hands the rows that wait over to the loader.
    fn load_rows(&mut self) {
        for (code, tid, alive) in self.rows.drain(..) {
            if self.failed.is_none() {
                self.failed = self.loader.push(code, tid, alive).err();
                self.entries += 1;
            }
        }
    }

    fn load_null(&mut self, tid: HeapTid, alive: bool) {
        if self.failed.is_none() {
            self.failed = self.loader.push_null(tid, alive).err();
            self.entries += 1;
        }
    }
}

/// Adds one row to the index that is being built.
///
/// Most rows only wait: that needs none of the guards that pgrx puts around a callback, since nothing on the way
/// panics or calls the server.
unsafe extern "C-unwind" fn add_row(
    _index: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    values: *mut pg_sys::Datum,
    is_null: *mut bool,
    alive: bool,
    state: *mut c_void,
) {
    // SAFETY: the core passes one column's value, and the state that scan_table gave it.
    unsafe {
        let build = &mut *state.cast::<Build>();
        if *is_null {
            return add_null(tid, alive, state);
        }
        let code = build.order.apply(build.key_type.encode(*values));
        // There is room for it: whoever adds the last one makes room.
        build.rows.push((code, heap_tid(&*tid), alive));
        if build.rows.len() == build.rows.capacity() {
            load_rows(state);
        }
    }
}

/// Makes room for rows.
///
/// # Safety
/// As [`add_row`].
#[pg_guard]
unsafe extern "C-unwind" fn load_rows(state: *mut c_void) {
    // SAFETY: by contract.
    unsafe { &mut *state.cast::<Build>() }.load_rows();
}

/// Adds a row whose column is NULL.
///
/// # Safety
/// As [`add_row`].
#[pg_guard]
unsafe extern "C-unwind" fn add_null(tid: pg_sys::ItemPointer, alive: bool, state: *mut c_void) {
    // SAFETY: by contract.
    unsafe { (*state.cast::<Build>()).load_null(heap_tid(&*tid), alive) };
}

/// A heap TID of the core.
pub(crate) fn heap_tid(tid: &pg_sys::ItemPointerData) -> HeapTid {
    let block = u32::from(tid.ip_blkid.bi_hi) << 16 | u32::from(tid.ip_blkid.bi_lo);
    HeapTid::new(block, tid.ip_posid)
}

/// Writes an empty index to the init fork of an unlogged one.
///
/// # Safety
/// Called by the core with an open unlogged index.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambuildempty(index: pg_sys::Relation) {
    // SAFETY: by contract the index is open and its init fork exists and is empty.
    unsafe {
        let (identity, ..) = new_identity(index);
        let builder = Builder::new(MemoryStore::new(), identity, Options::of(index).build());
        let (built, _) = builder.finish();
        let mut pages = BulkPages::new(index, pg_sys::ForkNumber::INIT_FORKNUM);
        for block in 0..built.blocks() {
            pages.append(&built.read(block, 0));
        }
        pages.log();
    }
}

/// The name of a phase of the build, for pg_stat_progress_create_index.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambuildphasename(phase: i64) -> *mut c_char {
    let name: &CStr = match phase {
        1 => c"initializing",
        PHASE_SCAN => c"scanning table",
        PHASE_WRITE => c"sorting, training and writing pages",
        PHASE_LOG => c"logging pages",
        _ => return std::ptr::null_mut(),
    };
    name.as_ptr().cast_mut()
}
