//! Asking for the heap pages of entries that a scan will return soon, from the disk and from
//! memory.
//!
//! A B-tree's scans do not do that. Rows in another order than their keys are each a page read from
//! the disk, or a few reads from memory that wait for each other; here they overlap.

use learned_index::cpu::{LINE, prefetch};
use learned_index::entry::HeapTid;
use learned_index::page::PAGE_SIZE;
use pgrx::prelude::*;

use super::open_scan;
use super::quals::QualCode;
use crate::relation::OpenTable;

const PAGE_HEADER: usize = std::mem::offset_of!(pg_sys::PageHeaderData, pd_linp);
const LINE_POINTER: usize = size_of::<pg_sys::ItemIdData>();
/// Rows that a scan returns before anything is asked for.
const FIRST: usize = 4;
/// At most so many rows are asked for ahead of the one returned.
const MOST: usize = 32;

/// How far ahead of a scan heap pages were asked for.
pub(crate) struct HeapAhead {
    /// None: nothing is asked for.
    table: Option<OpenTable>,
    /// Rows to ask for ahead. Not many more than were returned, so that a scan that ends early has
    /// not asked for many in vain.
    rows: usize,
    /// The place in the portion at which to ask again.
    ask_at: usize,
    /// Entries of the portion before this one have been asked for.
    asked: usize,
    /// Bytes of a row in its page, on average and about; 0: unknown.
    row_bytes: usize,
}

impl HeapAhead {
    /// For a scan that has not been started.
    pub(crate) fn new() -> HeapAhead {
        HeapAhead { table: None, rows: 0, ask_at: usize::MAX, asked: 0, row_bytes: 0 }
    }

    /// For a scan that starts; `takes_all` the entries that it copies. Most end before anything is
    /// asked for.
    ///
    /// # Safety
    /// `scan` is valid.
    #[inline]
    pub(crate) unsafe fn restart(&mut self, scan: pg_sys::IndexScanDesc, takes_all: bool) {
        // SAFETY: by contract.
        unsafe {
            // An index-only scan goes to few rows.
            let asks = takes_all && !(*scan).xs_want_itup && pg_sys::effective_io_concurrency > 0;
            let heap = (*scan).heapRelation;
            self.table = (asks && !heap.is_null()).then(|| OpenTable::new(heap));
        }
        self.rows = 0;
        self.ask_at = if self.table.is_none() { usize::MAX } else { FIRST };
        self.asked = 0;
    }

    /// Asks for nothing any more.
    pub(crate) fn stop(&mut self) {
        (self.table, self.ask_at) = (None, usize::MAX);
    }

    /// Whether to call [`HeapAhead::ask`] once an entry at this place was returned.
    #[inline]
    pub(crate) fn is_due(&self, current: usize) -> bool {
        current >= self.ask_at
    }

    /// A scan goes on with other entries, or in the other direction.
    pub(crate) fn begin_portion(&mut self, forward: bool) {
        self.asked = 0;
        self.ask_at = match self.table.is_none() || !forward {
            true => usize::MAX,
            false if self.rows == 0 => FIRST,
            false => 0,
        };
    }

    /// Asks for the pages of the next rows after `current`.
    pub(crate) fn ask(&mut self, tids: &[HeapTid], current: usize) {
        let Some(table) = self.table else { return };
        if self.rows == 0 {
            // SAFETY: a constant of the core.
            let heap = unsafe { pg_sys::GetHeapamTableAmRoutine() };
            if !std::ptr::eq(table.method(), heap) {
                // Another kind of table may have no such pages.
                return self.stop();
            }
            self.row_bytes = row_bytes(table.class().reltuples, table.class().relpages);
        }
        self.rows = (2 * self.rows).clamp(FIRST, MOST);
        let from = self.asked.max(current + 1);
        let to = (current + 1 + self.rows).min(tids.len());
        let mut before = from.checked_sub(1).and_then(|last| tids.get(last)).map(|tid| tid.block());
        for tid in tids.get(from..to).unwrap_or(&[]) {
            if before.replace(tid.block()) != Some(tid.block()) {
                ask_for_row(table, *tid, self.row_bytes);
            }
        }
        self.asked = to;
        self.ask_at = if to == tids.len() { usize::MAX } else { current + 1 + self.rows / 2 };
    }
}

/// Bytes that a row takes in its page, without its line pointer, by the statistics of its table; 0
/// without them.
const fn row_bytes(rows: f32, pages: i32) -> usize {
    if rows < 1.0 || pages < 1 {
        return 0;
    }
    let each = (PAGE_SIZE - PAGE_HEADER) as f32 * pages as f32 / rows - LINE_POINTER as f32;
    // Rows begin at multiples of MAXALIGN.
    each.max(0.0) as usize / 8 * 8
}

// 185 rows of 40 bytes fill a page; nothing is known of a table that was never analysed.
const _: () = assert!(row_bytes(185_000.0, 1_000) == 40 && row_bytes(1e7, 54_055) == 40);
const _: () = assert!(row_bytes(-1.0, 10) == 0 && row_bytes(1e9, 1) == 0);

/// Asks the operating system for a heap page; or, if it is in shared buffers, the processor for
/// what reading a row of it reads: the buffer's header, the page's, the line pointer, and the row
/// where it is if it was inserted into an empty page after others of the same size.
fn ask_for_row(table: OpenTable, tid: HeapTid, row_bytes: usize) {
    // SAFETY: the table is open. Nothing is read of the buffer, which is not pinned, but its
    // address.
    unsafe {
        let main = pg_sys::ForkNumber::MAIN_FORKNUM;
        let buffer = pg_sys::PrefetchBuffer(table.raw(), main, tid.block()).recent_buffer;
        // Of a temporary table it is negative, of a page that is not in memory 0.
        let Ok(buffer @ 1..) = usize::try_from(buffer) else { return };
        prefetch(pg_sys::BufferDescriptors.wrapping_add(buffer - 1).cast());
        let page = pg_sys::BufferBlocks.wrapping_add((buffer - 1) * PAGE_SIZE).cast::<u8>();
        prefetch(page);
        let row = usize::from(tid.offset().max(1));
        prefetch(page.wrapping_add(PAGE_HEADER + (row - 1) * LINE_POINTER));
        if let Some(at) = PAGE_SIZE.checked_sub(row * row_bytes).filter(|at| *at < PAGE_SIZE) {
            prefetch(page.wrapping_add(at));
            prefetch(page.wrapping_add(at + row_bytes.min(LINE) - 1));
        }
    }
}

/// Asks for the heap pages of later entries.
///
/// # Safety
/// As [`super::amgettuple`], which has returned an entry.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn ask_ahead<C: QualCode>(scan: pg_sys::IndexScanDesc) {
    // SAFETY: by contract.
    unsafe {
        let open = open_scan::<C>(scan);
        let (tids, current) = open.scan.copied();
        open.heap_ahead.ask(tids, current);
    }
}
