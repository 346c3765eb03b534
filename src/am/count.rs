//! Counting the rows of a table that a snapshot sees, from an index alone where it can.
//!
//! How, and why that is right: `tree/count` of the pure crate. What is asked of the index are keys
//! of a scan; what they select must be told by codes alone, see [`is_told_by_codes`].

use learned_index::corruption::Result;
use learned_index::entry::HeapTid;
use learned_index::key::Intervals;
use learned_index::page::PAGE_SIZE;
use learned_index::tree::count::{
    BLOCKS_OF_PAGE, CodeFilter, Count, Counted, CountedTable, MAP_BYTES, MapBytes,
};
use learned_index::tree::scan::{Direction, Rows};
use pgrx::check_for_interrupts;
use pgrx::prelude::*;

use super::scan::count_use;
use super::scan::quals::{Filter, QualCode};
use super::scan::visible::{SeenRows, visibilitymap_get_status};
use super::serializable::lock_table_if_serializable;
use crate::column::KeyColumns;
use crate::column::code::with_code;
use crate::column::key_type::KeyType;
use crate::relation::{OpenIndex, OpenTable};
use crate::report::refuse;
use crate::storage::buffers::IndexStore;
use crate::storage::session;

/// Rows that are looked up before the session looks for interrupts.
const BETWEEN_INTERRUPTS: u32 = 256;

/// Whether codes tell which values of a column compare so with one of another type: of dates and
/// timestamps and an instant, they do not in the hours around a change of the time zone's offset.
pub(crate) fn is_told_by_codes(column: pg_sys::Oid, value: pg_sys::Oid) -> bool {
    let Some(key_type) = KeyType::of_type(column) else { return false };
    let Some(value_type) = key_type.of_value(value) else { return false };
    let local = matches!(key_type, KeyType::Date | KeyType::Timestamp);
    !(local && value_type == KeyType::TimestampTz)
}

/// How many rows a snapshot sees that some keys select.
///
/// # Safety
/// The relations are open, and the index is one on the table. The snapshot is an MVCC snapshot, and
/// registered or active. The keys are those of a scan of the index.
pub(crate) unsafe fn count_rows(
    index: OpenIndex,
    table: OpenTable,
    snapshot: pg_sys::Snapshot,
    keys: &[pg_sys::ScanKeyData],
) -> Counted {
    // SAFETY: by contract.
    unsafe {
        lock_table_if_serializable(index, table, snapshot);
        count_use(index.raw());
        with_code!(index, C => {
            let store: IndexStore<C> = IndexStore::new(index);
            store.read_under(snapshot);
            let mut heap = CountedHeap::new(table, snapshot);
            let counted = count_by(&store, &mut heap, keys);
            heap.finish();
            store.release();
            counted.unwrap_or_else(|corruption| index.raise_corruption(corruption))
        })
    }
}

/// # Safety
/// As [`count_rows`].
unsafe fn count_by<C: QualCode>(
    store: &IndexStore<C>,
    heap: &mut CountedHeap,
    keys: &[pg_sys::ScanKeyData],
) -> Result<Counted> {
    let columns = C::Columns::of_index(store.index());
    let (mut intervals, mut filter) = (Intervals::new(), C::Filter::default());
    // SAFETY: by contract.
    let recheck = unsafe { C::set_intervals(keys, &columns, &mut intervals, &mut filter) };
    if recheck {
        refuse_inexact(store.index());
    }
    let directory = session::directory_of(store)?;
    let passes = |code: &C| filter.passes(code);
    let next = |code: C| filter.next_to(code, Direction::Forward);
    let filter = filter.asks().then_some(CodeFilter { passes: &passes, next: &next });
    let mut count = Count::looking_up(rows_at_once());
    loop {
        check_for_interrupts!();
        let directory = &mut directory.borrow_mut();
        if !count.step(store, directory, intervals.as_slice(), filter, heap)? {
            return Ok(count.counted());
        }
    }
}

/// Raises the error that conditions are not told by codes, which the planner has seen to.
#[cold]
pub(super) fn refuse_inexact(index: OpenIndex) -> ! {
    refuse(
        PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        format!("cannot count by index \"{}\" alone", index.name()),
        "Please report this. SET omendb_learned.enable_count = off avoids it.",
    )
}

/// How many rows a session looks up together, in the order of the table: as many as it has memory
/// for to sort.
pub(crate) fn rows_at_once() -> usize {
    // SAFETY: a setting of this process, in kilobytes.
    let kilobytes = unsafe { pg_sys::work_mem };
    kilobytes as usize * 1024 / size_of::<HeapTid>()
}

/// A table whose rows are counted.
pub(super) struct CountedHeap {
    rows: SeenRows,
    /// The page of the visibility map that is pinned; 0: none.
    map: pg_sys::Buffer,
    looked_up: u32,
}

impl CountedHeap {
    /// # Safety
    /// As [`SeenRows::new`].
    pub(super) unsafe fn new(table: OpenTable, snapshot: pg_sys::Snapshot) -> CountedHeap {
        // SAFETY: by contract.
        let rows = unsafe { SeenRows::new(table, snapshot) };
        CountedHeap { rows, map: 0, looked_up: 0 }
    }

    /// See [`SeenRows::finish`].
    pub(super) fn finish(self) {
        self.rows.finish();
        if self.map != 0 {
            // SAFETY: it was pinned here, and is given back once.
            unsafe { pg_sys::ReleaseBuffer(self.map) };
        }
    }
}

impl Rows for CountedHeap {
    fn sees(&mut self, tid: HeapTid) -> bool {
        self.looked_up += 1;
        if self.looked_up.is_multiple_of(BETWEEN_INTERRUPTS) {
            check_for_interrupts!();
        }
        self.rows.sees(tid)
    }
}

impl CountedTable for CountedHeap {
    fn blocks(&mut self) -> u32 {
        let table = self.rows.table().raw();
        // SAFETY: the table is open.
        unsafe { pg_sys::RelationGetNumberOfBlocksInFork(table, pg_sys::ForkNumber::MAIN_FORKNUM) }
    }

    fn read_map(&mut self, page: u32, bytes: &mut MapBytes) {
        let (table, map): (_, *mut pg_sys::Buffer) = (self.rows.table().raw(), &mut self.map);
        // SAFETY: the table is open; the buffer is exchanged for the one of the right page, or for
        // none where the map ends before. It is locked while it is read.
        unsafe {
            visibilitymap_get_status(table, page.saturating_mul(BLOCKS_OF_PAGE), map);
            if self.map == 0 {
                bytes.fill(0);
                return;
            }
            pg_sys::LockBuffer(self.map, pg_sys::BUFFER_LOCK_SHARE as i32);
            let content = pg_sys::BufferGetPage(self.map).cast::<u8>().add(PAGE_SIZE - MAP_BYTES);
            std::ptr::copy_nonoverlapping(content, bytes.as_mut_ptr(), MAP_BYTES);
            pg_sys::LockBuffer(self.map, pg_sys::BUFFER_LOCK_UNLOCK as i32);
        }
    }
}
