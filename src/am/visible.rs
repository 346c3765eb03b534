//! What a table says of the entries that an index-only scan has copied, where nothing makes VACUUM wait for it: on a
//! standby, whose replay waits for no pin. How the answers are used: `tree/scan/visible.rs` of the pure crate.

use std::ptr;
use std::sync::atomic::{Ordering, fence};

use learned_index::entry::HeapTid;
use learned_index::tree::scan::Visibility;
use pgrx::prelude::*;

use super::scan::item_pointer;

unsafe extern "C-unwind" {
    /// Of access/visibilitymap.h, without pgrx's guard: called for many blocks under one.
    fn visibilitymap_get_status(
        heap: pg_sys::Relation,
        block: pg_sys::BlockNumber,
        map: *mut pg_sys::Buffer,
    ) -> u8;
}

/// A table under the snapshot of a scan, for one portion.
pub(crate) struct TableRows<'s> {
    heap: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    /// The page of the visibility map that was read last, pinned; 0: none. The scan keeps it.
    map: &'s mut pg_sys::Buffer,
    /// What the rows are read with, once there is one to read; null until then.
    fetch: *mut pg_sys::IndexFetchTableData,
    slot: *mut pg_sys::TupleTableSlot,
}

impl TableRows<'_> {
    /// # Safety
    /// `scan` is an index scan with a table and a snapshot, both valid as long as this lives.
    pub(crate) unsafe fn of(
        scan: pg_sys::IndexScanDesc,
        map: &mut pg_sys::Buffer,
    ) -> TableRows<'_> {
        // SAFETY: by contract.
        let (heap, snapshot) = unsafe { ((*scan).heapRelation, (*scan).xs_snapshot) };
        TableRows { heap, snapshot, map, fetch: ptr::null_mut(), slot: ptr::null_mut() }
    }

    /// Gives back what reading rows needed. Not a destructor: after an error the transaction's abort does it.
    pub(crate) fn finish(self) {
        if self.fetch.is_null() {
            return;
        }
        // SAFETY: both were made by `begin`, and are not used any more.
        unsafe {
            let end = (*(*self.heap).rd_tableam).index_fetch_end;
            if let Some(end) = end {
                pg_sys::ffi::pg_guard_ffi_boundary(
                    #[allow(ffi_unwind_calls)]
                    || end(self.fetch),
                );
            }
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
        }
    }

    fn begin(&mut self) {
        // SAFETY: the table is open; every table access method has this function.
        unsafe {
            self.slot = pg_sys::table_slot_create(self.heap, ptr::null_mut());
            if let Some(begin) = (*(*self.heap).rd_tableam).index_fetch_begin {
                let heap = self.heap;
                self.fetch = pg_sys::ffi::pg_guard_ffi_boundary(
                    #[allow(ffi_unwind_calls)]
                    || begin(heap),
                );
            }
        }
    }
}

impl Visibility for TableRows<'_> {
    fn all_visible(&mut self, tids: &[HeapTid], answers: &mut [bool]) {
        let heap = self.heap;
        let map: *mut pg_sys::Buffer = self.map;
        // SAFETY: the table is open; `map` is this scan's. Nothing within the guard has a destructor.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(
                #[allow(ffi_unwind_calls)]
                || {
                    let mut last = (pg_sys::InvalidBlockNumber, false);
                    for (tid, answer) in tids.iter().zip(answers) {
                        let block = tid.block();
                        if block != last.0 {
                            let status = visibilitymap_get_status(heap, block, map);
                            last =
                                (block, u32::from(status) & pg_sys::VISIBILITYMAP_ALL_VISIBLE != 0);
                        }
                        *answer = last.1;
                    }
                },
            );
        }
        // The map is read without a lock. What is read after it must not come from before it.
        fence(Ordering::Acquire);
    }

    fn sees(&mut self, tid: HeapTid) -> bool {
        if self.fetch.is_null() {
            self.begin();
        }
        // SAFETY: the table is open, the snapshot valid, and fetch and slot were made for it. An MVCC snapshot sees
        // one row of a HOT chain at most, so there is no need to call again.
        unsafe {
            let Some(read) = (*(*self.heap).rd_tableam).index_fetch_tuple else { return true };
            let mut tid = item_pointer(tid);
            let mut call_again = false;
            let (fetch, snapshot, slot) = (self.fetch, self.snapshot, self.slot);
            pg_sys::ffi::pg_guard_ffi_boundary(
                #[allow(ffi_unwind_calls)]
                || read(fetch, &raw mut tid, snapshot, slot, &raw mut call_again, ptr::null_mut()),
            )
        }
    }
}
