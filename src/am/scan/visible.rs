//! What a table says of the entries that an index-only scan has copied, where nothing makes VACUUM
//! wait for it: on a standby, whose replay waits for no pin. How the answers are used:
//! `tree/scan/visible.rs` of the pure crate.

use std::ptr;
use std::sync::atomic::{Ordering, fence};

use learned_index::entry::{Block, HeapTid};
use learned_index::page::PAGE_SIZE;
use learned_index::tree::count::{BLOCKS_OF_PAGE, MAP_BYTES};
use learned_index::tree::scan::{Rows, Visibility};
use pgrx::prelude::*;

use crate::column::tid::item_pointer;
use crate::relation::OpenTable;

#[pg_guard]
unsafe extern "C-unwind" {
    /// Of access/visibilitymap.h, which pgrx does not bind everywhere.
    fn visibilitymap_get_status(
        heap: pg_sys::Relation,
        block: pg_sys::BlockNumber,
        map: *mut pg_sys::Buffer,
    ) -> u8;
}

/// A page of the visibility map is the page header, and two bits for each block of the table
/// (visibilitymap.c).
const MAP_HEADER: usize = std::mem::offset_of!(pg_sys::PageHeaderData, pd_linp);
const BLOCKS_OF_BYTE: u32 = 4;
const _: () = assert!(PAGE_SIZE - MAP_HEADER == MAP_BYTES);
const _: () = assert!(BLOCKS_OF_PAGE == MAP_BYTES as u32 * BLOCKS_OF_BYTE);
const _: () = assert!(pg_sys::VISIBILITYMAP_ALL_VISIBLE == 1);

/// A page of a table's visibility map that a scan keeps pinned.
#[derive(Default)]
pub(crate) struct MapPage {
    /// 0: none.
    buffer: pg_sys::Buffer,
    /// Which page it is.
    number: u32,
}

impl MapPage {
    /// Sets one answer for each heap TID, see [`Visibility`].
    pub(crate) fn all_visible(&mut self, table: OpenTable, tids: &[HeapTid], answers: &mut [bool]) {
        let mut last = (pg_sys::InvalidBlockNumber, false);
        for (tid, answer) in tids.iter().zip(answers) {
            let block = tid.block();
            if block != last.0 {
                let known = self.is_all_visible(block);
                last = (block, known.unwrap_or_else(|| self.is_all_visible_in(table, block)));
            }
            *answer = last.1;
        }
        // The map is read without a lock. What is read after it must not come from before it.
        fence(Ordering::Acquire);
    }

    /// Whether all rows of a block are visible to everybody; `None` if that is not on this page.
    #[inline]
    fn is_all_visible(&self, block: Block) -> Option<bool> {
        if self.buffer == 0 || block / BLOCKS_OF_PAGE != self.number {
            return None;
        }
        let place = block % BLOCKS_OF_PAGE;
        // SAFETY: the page is pinned, and the place within it. Others change its bytes one at a
        // time.
        let byte = unsafe {
            let page = pg_sys::BufferGetPage(self.buffer).cast::<u8>();
            page.add(MAP_HEADER + (place / BLOCKS_OF_BYTE) as usize).read_volatile()
        };
        Some(byte >> (2 * (place % BLOCKS_OF_BYTE)) & 1 == 1)
    }

    /// Whether all rows of a block are visible to everybody, as another page of the map says.
    #[cold]
    fn is_all_visible_in(&mut self, table: OpenTable, block: Block) -> bool {
        self.read(table, block);
        self.is_all_visible(block).unwrap_or(false)
    }

    /// Pins the page that has the bits of a block. Returns its buffer; 0 if the map ends before.
    pub(crate) fn read(&mut self, table: OpenTable, block: Block) -> pg_sys::Buffer {
        // SAFETY: the table is open; the buffer is exchanged for the one of the right page, or for
        // none.
        unsafe { visibilitymap_get_status(table.raw(), block, &raw mut self.buffer) };
        self.number = block / BLOCKS_OF_PAGE;
        self.buffer
    }

    pub(crate) fn release(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer != 0 {
            // SAFETY: it was pinned by the scan, and is given back once.
            unsafe { pg_sys::ReleaseBuffer(buffer) };
        }
    }
}

/// The rows of a table that a snapshot sees.
pub(crate) struct SeenRows {
    table: OpenTable,
    snapshot: pg_sys::Snapshot,
    /// Where memory for that is taken from.
    context: pg_sys::MemoryContext,
    /// What the rows are read with, once there is one to read; null until then.
    fetch: *mut pg_sys::IndexFetchTableData,
    slot: *mut pg_sys::TupleTableSlot,
}

impl SeenRows {
    /// # Safety
    /// `snapshot` is an MVCC snapshot, or one that sees what VACUUM does not remove. It, and the
    /// current memory context, live as long as this.
    pub(crate) unsafe fn new(table: OpenTable, snapshot: pg_sys::Snapshot) -> SeenRows {
        // SAFETY: the context of this process.
        let context = unsafe { pg_sys::CurrentMemoryContext };
        SeenRows { table, snapshot, context, fetch: ptr::null_mut(), slot: ptr::null_mut() }
    }

    /// The table.
    pub(crate) fn table(&self) -> OpenTable {
        self.table
    }

    /// Gives back what reading rows needed. Not a destructor: after an error the transaction's
    /// abort does it.
    pub(crate) fn finish(mut self) {
        self.rest();
    }

    /// The same, until a row is asked for again.
    pub(crate) fn rest(&mut self) {
        if self.fetch.is_null() {
            return;
        }
        // SAFETY: both were made by `begin`, and are not used any more.
        unsafe {
            let end = self.table.method().index_fetch_end;
            if let Some(end) = end {
                pg_sys::ffi::pg_guard_ffi_boundary(
                    #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                    || end(self.fetch),
                );
            }
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
        }
        (self.fetch, self.slot) = (ptr::null_mut(), ptr::null_mut());
    }

    fn begin(&mut self) {
        // SAFETY: the table is open; every table access method has this function. The context lives
        // still.
        unsafe {
            let other = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = self.context;
            self.slot = pg_sys::table_slot_create(self.table.raw(), ptr::null_mut());
            if let Some(begin) = self.table.method().index_fetch_begin {
                let heap = self.table.raw();
                self.fetch = pg_sys::ffi::pg_guard_ffi_boundary(
                    #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                    || begin(heap),
                );
            }
            pg_sys::CurrentMemoryContext = other;
        }
    }
}

impl Rows for SeenRows {
    fn sees(&mut self, tid: HeapTid) -> bool {
        if self.fetch.is_null() {
            self.begin();
        }
        // SAFETY: the table is open, the snapshot valid, and fetch and slot were made for it. One
        // row of a HOT chain is enough, so there is no need to call again.
        unsafe {
            let Some(read) = self.table.method().index_fetch_tuple else { return true };
            let mut tid = item_pointer(tid);
            let mut call_again = false;
            let (fetch, snapshot, slot) = (self.fetch, self.snapshot, self.slot);
            pg_sys::ffi::pg_guard_ffi_boundary(
                #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                || read(fetch, &raw mut tid, snapshot, slot, &raw mut call_again, ptr::null_mut()),
            )
        }
    }
}

/// A table under the snapshot of a scan, for one portion.
pub(crate) struct TableRows<'s> {
    rows: SeenRows,
    /// The page of the visibility map that was read last. The scan keeps it.
    map: &'s mut MapPage,
}

impl TableRows<'_> {
    /// # Safety
    /// `scan` is an index scan with a table and a snapshot, both valid as long as this lives.
    pub(crate) unsafe fn of(scan: pg_sys::IndexScanDesc, map: &mut MapPage) -> TableRows<'_> {
        // SAFETY: by contract.
        let rows =
            unsafe { SeenRows::new(OpenTable::new((*scan).heapRelation), (*scan).xs_snapshot) };
        TableRows { rows, map }
    }

    /// See [`SeenRows::finish`].
    pub(crate) fn finish(self) {
        self.rows.finish();
    }
}

impl Rows for TableRows<'_> {
    fn sees(&mut self, tid: HeapTid) -> bool {
        self.rows.sees(tid)
    }
}

impl Visibility for TableRows<'_> {
    fn all_visible(&mut self, tids: &[HeapTid], answers: &mut [bool]) {
        self.map.all_visible(self.rows.table, tids, answers);
    }
}
