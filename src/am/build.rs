//! CREATE INDEX and REINDEX.

use std::ffi::{CStr, c_char, c_int, c_void};

use learned_index::entry::HeapTid;
use learned_index::page::meta::Identity;
use learned_index::store::memory::MemoryStore;
use learned_index::store::{BulkStore, Store};
use learned_index::tree::build::{BuildOptions, Builder};
use learned_index::tree::load::Loader;
use pgrx::prelude::*;

use super::options::Options;
use crate::key_type::{KeyOrder, KeyType};
use crate::storage;
use crate::storage::bulk::BulkPages;
use crate::storage::spill::TemporaryRuns;

/// Phases of a build; 1 is the core's "initializing".
const PHASE_SCAN: i64 = 2;
const PHASE_WRITE: i64 = 3;
const PHASE_LOG: i64 = 4;

/// What the callback of the table scan works with.
struct Build {
    loader: Loader<BulkPages, TemporaryRuns, fn() -> TemporaryRuns>,
    key_type: KeyType,
    order: KeyOrder,
    entries: u64,
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

/// # Safety
/// `index` is open.
unsafe fn build_options(index: pg_sys::Relation) -> BuildOptions {
    // SAFETY: by contract.
    let options = unsafe { Options::of(index) };
    BuildOptions { model: options.model, fillfactor: options.fillfactor.into() }
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
        let loader = Loader::new(pages, identity, build_options(index), memory, new_spill);
        let mut build = Build { loader, key_type, order, entries: 0 };
        enter_phase(PHASE_SCAN);
        let heap_tuples = scan_table(heap, index, info, &mut build);
        enter_phase(PHASE_WRITE);
        let entries = build.entries;
        let Some((pages, state)) = build.loader.finish() else {
            let name = storage::index_name(index);
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                format!("a row came twice while index \"{name}\" was built")
            );
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
        pages.log();
        let result = pg_sys::palloc0(size_of::<pg_sys::IndexBuildResult>())
            .cast::<pg_sys::IndexBuildResult>();
        (*result).heap_tuples = heap_tuples;
        (*result).index_tuples = entries as f64;
        result
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
    // scan into a panic that runs destructors.
    unsafe {
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
    }
}

/// Adds one row to the index that is being built.
#[pg_guard]
unsafe extern "C-unwind" fn add_row(
    index: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    values: *mut pg_sys::Datum,
    is_null: *mut bool,
    _alive: bool,
    state: *mut c_void,
) {
    // SAFETY: the core passes one column's value, and the state that scan_table gave it.
    unsafe {
        let build = &mut *state.cast::<Build>();
        let tid = heap_tid(&*tid);
        if *is_null {
            build.loader.push_null(tid);
        } else {
            let code = build.order.apply(build.key_type.encode(*values));
            if let Err(corruption) = build.loader.push(code, tid) {
                storage::raise_corruption(index, corruption);
            }
        }
        build.entries += 1;
    }
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
        let builder = Builder::new(MemoryStore::new(), identity, build_options(index));
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
