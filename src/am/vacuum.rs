//! VACUUM.

use std::cell::Cell;
use std::ffi::c_void;

use learned_index::corruption::Result;
use learned_index::entry::HeapTid;
use learned_index::store::Store;
use learned_index::tree::directory::read_meta;
use learned_index::tree::merge::delta_entries;
use learned_index::tree::vacuum::bulk_delete;
use pgrx::prelude::*;

use crate::column::code::{IndexCode, with_code};
use crate::column::tid::item_pointer;
use crate::merge::cleanup::finish_vacuum;
use crate::merge::exclusion::Exclusion;
use crate::relation::OpenIndex;
use crate::storage::buffers::IndexStore;
use crate::storage::progress::report_progress;

/// Removes the entries of dead rows. Also how CREATE INDEX CONCURRENTLY lists all TIDs: the
/// callback must see each entry, whatever it answers.
///
/// # Safety
/// Called by the core with an open index, valid statistics or null, and a callback.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn ambulkdelete(
    info: *mut pg_sys::IndexVacuumInfo,
    stats: *mut pg_sys::IndexBulkDeleteResult,
    callback: pg_sys::IndexBulkDeleteCallback,
    callback_state: *mut c_void,
) -> *mut pg_sys::IndexBulkDeleteResult {
    // SAFETY: by contract.
    unsafe {
        let index = OpenIndex::new((*info).index);
        with_code!(index, C => delete::<C>(index, &*info, stats, callback, callback_state))
    }
}

/// # Safety
/// As [`ambulkdelete`].
unsafe fn delete<C: IndexCode>(
    index: OpenIndex,
    info: &pg_sys::IndexVacuumInfo,
    stats: *mut pg_sys::IndexBulkDeleteResult,
    callback: pg_sys::IndexBulkDeleteCallback,
    callback_state: *mut c_void,
) -> *mut pg_sys::IndexBulkDeleteResult {
    // SAFETY: by contract.
    unsafe {
        let store: IndexStore<C> = IndexStore::for_vacuum(index, info.strategy);
        let Some(callback) = callback else {
            error!("ambulkdelete without a callback");
        };
        let progress = info.report_progress.then(|| ScanProgress::begin(&store));
        let is_dead = |tid: HeapTid| {
            if let Some(progress) = &progress {
                progress.advance();
            }
            let mut pointer = item_pointer(tid);
            // An error of the callback becomes a panic, which runs our destructors.
            pg_sys::ffi::pg_guard_ffi_boundary(
                #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                || callback(&mut pointer, callback_state),
            )
        };
        let exclusion = Exclusion::wait(index);
        match bulk_delete(&store, index.options().build(), is_dead, delay) {
            Err(corruption) => index.raise_corruption(corruption),
            Ok(found) => {
                exclusion.release();
                store.release();
                let stats = existing_or_new(stats);
                (*stats).num_pages = store.blocks();
                (*stats).estimated_count = false;
                (*stats).num_index_tuples = found.alive as f64;
                (*stats).tuples_removed += found.removed as f64;
                stats
            }
        }
    }
}

/// How many entries CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY have listed, in
/// pg_stat_progress_create_index: each one is asked for once.
struct ScanProgress {
    seen: Cell<u64>,
}

impl ScanProgress {
    fn begin<C: IndexCode>(store: &IndexStore<C>) -> ScanProgress {
        let entries = count_entries(store);
        let entries = entries.unwrap_or_else(|error| store.index().raise_corruption(error));
        report_progress(pg_sys::PROGRESS_CREATEIDX_TUPLES_TOTAL, entries);
        ScanProgress { seen: Cell::new(0) }
    }

    fn advance(&self) {
        const BETWEEN_REPORTS: u64 = 1000;
        self.seen.set(self.seen.get() + 1);
        if self.seen.get().is_multiple_of(BETWEEN_REPORTS) {
            report_progress(pg_sys::PROGRESS_CREATEIDX_TUPLES_DONE, self.seen.get());
        }
    }
}

/// Entries of an index, dead ones included, those of the delta trees by their pages.
fn count_entries<C: IndexCode>(store: &IndexStore<C>) -> Result<u64> {
    let (_, state) = read_meta(store, &mut 0)?;
    Ok(state.values + state.nulls + delta_entries(store)?)
}

/// Finishes VACUUM: gives back lost pages, merges, and tells the size.
///
/// # Safety
/// Called by the core with an open index and valid statistics or null.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amvacuumcleanup(
    info: *mut pg_sys::IndexVacuumInfo,
    stats: *mut pg_sys::IndexBulkDeleteResult,
) -> *mut pg_sys::IndexBulkDeleteResult {
    // SAFETY: by contract.
    unsafe {
        if (*info).analyze_only {
            return stats;
        }
        let index = OpenIndex::new((*info).index);
        with_code!(index, C => clean_up::<C>(index, &*info, stats))
    }
}

/// # Safety
/// As [`amvacuumcleanup`].
unsafe fn clean_up<C: IndexCode>(
    index: OpenIndex,
    info: &pg_sys::IndexVacuumInfo,
    stats: *mut pg_sys::IndexBulkDeleteResult,
) -> *mut pg_sys::IndexBulkDeleteResult {
    // SAFETY: by contract.
    unsafe {
        let store: IndexStore<C> = IndexStore::for_vacuum(index, info.strategy);
        let counted = !stats.is_null();
        let entries = finish_vacuum(&store, counted, delay).and_then(|()| count_entries(&store));
        match entries {
            Err(corruption) => index.raise_corruption(corruption),
            Ok(entries) => {
                store.release();
                let stats = existing_or_new(stats);
                (*stats).num_pages = store.blocks();
                // Now, and not when the sweep counted them: merging has freed pages since, and used
                // some.
                let free = store.offered();
                (*stats).pages_free = free;
                // Core's methods count the reusable pages among the deleted ones.
                (*stats).pages_deleted = free;
                if !counted {
                    // Older tombstones are included, and the delta tree is counted by its pages.
                    (*stats).estimated_count = true;
                    (*stats).num_index_tuples = entries as f64;
                }
                stats
            }
        }
    }
}

/// # Safety
/// `stats` is null or valid.
unsafe fn existing_or_new(
    stats: *mut pg_sys::IndexBulkDeleteResult,
) -> *mut pg_sys::IndexBulkDeleteResult {
    if !stats.is_null() {
        return stats;
    }
    // SAFETY: palloc0 returns zeroed memory of the size, which is a valid value.
    unsafe { pg_sys::palloc0(size_of::<pg_sys::IndexBulkDeleteResult>()).cast() }
}

/// Sleeps as the cost-based vacuum delay asks for.
fn delay() {
    // SAFETY: no lock is held between pages.
    unsafe {
        #[cfg(feature = "pg18")]
        pg_sys::vacuum_delay_point(false);
        #[cfg(not(feature = "pg18"))]
        pg_sys::vacuum_delay_point();
    }
}
