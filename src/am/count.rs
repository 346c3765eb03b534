//! Counting the rows of a table that a snapshot sees, from an index alone where it can.
//!
//! How, and why that is right: `tree/count` of the pure crate. What is asked of the index are keys
//! of a scan; what they select must be told by codes alone, see [`is_told_by_codes`].

use std::cell::RefCell;
use std::rc::Rc;

use learned_index::corruption::Result;
use learned_index::entry::HeapTid;
use learned_index::key::Intervals;
use learned_index::page::PAGE_SIZE;
use learned_index::tree::count::{
    BLOCKS_OF_PAGE, CodeFilter, Count, Counted, CountedTable, MAP_BYTES, MapBytes,
};
use learned_index::tree::directory::Directory;
use learned_index::tree::scan::{Direction, Rows};
use pgrx::check_for_interrupts;
use pgrx::prelude::*;

use super::scan::count_use;
use super::scan::quals::{Filter, QualCode};
use super::scan::visible::{SeenRows, visibilitymap_get_status};
use super::serializable::lock_table_if_serializable;
use crate::column::KeyColumns;
use crate::column::code::{IndexCode, with_code};
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

/// Counts the rows of a table that a snapshot sees.
pub(crate) trait Counter {
    /// How many of them some keys select.
    ///
    /// # Safety
    /// The relations are open still, and the snapshot is valid. The keys are those of a scan of the
    /// index.
    unsafe fn count(&mut self, keys: &[pg_sys::ScanKeyData]) -> Counted;
    /// Gives back what is held.
    fn end(self: Box<Self>);
}

/// Begins to count, any number of times under one snapshot.
///
/// # Safety
/// The relations are open, and the index is one on the table. The snapshot is an MVCC snapshot, and
/// registered or active. They, and what the current memory context has, live as long as this.
pub(crate) unsafe fn counter_of(
    index: OpenIndex,
    table: OpenTable,
    snapshot: pg_sys::Snapshot,
) -> Box<dyn Counter> {
    // SAFETY: by contract.
    unsafe {
        lock_table_if_serializable(index, table, snapshot);
        with_code!(index, C => {
            let store: IndexStore<C> = IndexStore::new(index);
            store.read_under(snapshot);
            let columns = <C as IndexCode>::Columns::of_index(index);
            let heap = CountedHeap::new(table, snapshot);
            let (directory, count) = (None, Count::looking_up(rows_at_once()));
            let (intervals, filter) = (Intervals::new(), <C as QualCode>::Filter::default());
            Box::new(IndexCounter { store, columns, directory, heap, count, intervals, filter })
        })
    }
}

/// See [`Counter`]. What was read of the visibility map is kept from count to count.
struct IndexCounter<C: QualCode> {
    store: IndexStore<C>,
    columns: C::Columns,
    directory: Option<Rc<RefCell<Directory<C>>>>,
    heap: CountedHeap,
    count: Count<C>,
    /// What is counted: memory kept from count to count.
    intervals: Intervals<C>,
    filter: C::Filter,
}

impl<C: QualCode> IndexCounter<C> {
    fn count_intervals(&mut self) -> Result<Counted> {
        let directory = session::directory_once(&mut self.directory, &self.store)?;
        let passes = |code: &C| self.filter.passes(code);
        let next = |code: C| self.filter.next_to(code, Direction::Forward);
        let filter = CodeFilter { passes: &passes, next: &next };
        let filter = self.filter.asks().then_some(filter);
        let (store, intervals) = (&self.store, self.intervals.as_slice());
        self.count.restart();
        loop {
            check_for_interrupts!();
            let directory = &mut directory.borrow_mut();
            if !self.count.step(store, directory, intervals, filter, &mut self.heap)? {
                return Ok(self.count.counted());
            }
        }
    }
}

impl<C: QualCode> Counter for IndexCounter<C> {
    unsafe fn count(&mut self, keys: &[pg_sys::ScanKeyData]) -> Counted {
        let index = self.store.index();
        self.filter = C::Filter::default();
        // SAFETY: by contract.
        let recheck = unsafe {
            count_use(index.raw());
            C::set_intervals(keys, &self.columns, &mut self.intervals, &mut self.filter)
        };
        if recheck {
            refuse_inexact(index);
        }
        let counted = self.count_intervals();
        self.store.rest();
        counted.unwrap_or_else(|corruption| index.raise_corruption(corruption))
    }

    fn end(self: Box<Self>) {
        self.heap.finish();
        self.store.release();
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
