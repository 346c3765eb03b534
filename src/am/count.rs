//! Counting the rows of a table that a snapshot sees, from an index alone where it can.
//!
//! How, and why that is right: `tree/count` of the pure crate. What is asked of the index are keys
//! of a scan; what they select must be told by codes alone, see [`is_told_by_codes`].

use std::cell::RefCell;
use std::rc::Rc;

use learned_index::corruption::Result;
use learned_index::entry::HeapTid;
use learned_index::page::PAGE_SIZE;
use learned_index::tree::count::{
    BLOCKS_OF_PAGE, CodeFilter, Count, Counted, CountedTable, MAP_BYTES, MapBytes,
};
use learned_index::tree::directory::Directory;
use learned_index::tree::scan::{Direction, Rows, Visibility};
use pgrx::check_for_interrupts;
use pgrx::prelude::*;

use super::aggregate::{Aggregate, Aggregates};
use super::scan::count_use;
use super::scan::quals::{Filter, QualCode};
use super::scan::visible::{MapPage, SeenRows};
use super::selected::Selected;
use super::serializable::lock_table_if_serializable;
use crate::column::KeyColumns;
use crate::column::code::{IndexCode, with_code};
use crate::column::key_type::KeyType;
use crate::counters::{Place, place_of};
use crate::relation::{OpenIndex, OpenTable};
use crate::storage::buffers::IndexStore;
use crate::storage::session;

/// Rows that are looked up before the session looks for interrupts.
const BETWEEN_INTERRUPTS: u64 = 256;

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
    /// Aggregates over them, each of a column of the index, from 0; `None` for NULL. And what was
    /// read. The results are in the current memory context.
    ///
    /// # Safety
    /// As [`Counter::count`].
    unsafe fn aggregate(
        &mut self,
        keys: &[pg_sys::ScanKeyData],
        aggregates: &[(usize, Aggregate)],
    ) -> (Vec<Option<pg_sys::Datum>>, Counted);
    /// Gives back what is held of the table, and memory that others may need, until the next count.
    fn rest(&mut self);
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
            let selected = Selected::<C>::default();
            let place = place_of(index);
            Box::new(IndexCounter { store, columns, directory, heap, count, selected, place })
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
    selected: Selected<C>,
    place: Option<Place>,
}

impl<C: QualCode> IndexCounter<C> {
    fn count_intervals(&mut self) -> Result<Counted> {
        let directory = session::directory_once(&mut self.directory, &self.store)?;
        let Selected { intervals, filter } = &self.selected;
        let passes = |code: &C| filter.passes(code);
        let next = |code: C| filter.next_to(code, Direction::Forward);
        let code_filter = CodeFilter { passes: &passes, next: &next };
        let filter = filter.asks().then_some(code_filter);
        let (store, intervals) = (&self.store, intervals.as_slice());
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
        // SAFETY: by contract.
        unsafe {
            count_once(index, self.place);
            self.selected.set(index, keys, &self.columns);
        }
        let counted = self.count_intervals();
        self.store.rest();
        counted.unwrap_or_else(|corruption| index.raise_corruption(corruption))
    }

    unsafe fn aggregate(
        &mut self,
        keys: &[pg_sys::ScanKeyData],
        aggregates: &[(usize, Aggregate)],
    ) -> (Vec<Option<pg_sys::Datum>>, Counted) {
        let (store, columns) = (&self.store, &self.columns);
        let index = store.index();
        // SAFETY: by contract.
        let selected = unsafe {
            count_once(index, self.place);
            Selected::by(index, keys, columns)
        };
        let mut aggregates = Aggregates::new(columns, aggregates, selected, store);
        let looked_up = self.heap.looked_up;
        let results = session::directory_once(&mut self.directory, store).and_then(|directory| {
            let table = (&mut self.heap, &mut self.count);
            aggregates.over_all(store, &mut directory.borrow_mut(), table)
        });
        let counted = Counted {
            decoded: aggregates.decoded,
            looked_up: self.heap.looked_up - looked_up,
            ..Counted::default()
        };
        aggregates.end(store);
        store.rest();
        (results.unwrap_or_else(|corruption| index.raise_corruption(corruption)), counted)
    }

    fn rest(&mut self) {
        self.heap.rest();
        self.count.rest();
    }

    fn end(self: Box<Self>) {
        self.heap.finish();
        self.store.release();
    }
}

/// Counts a count, for `pg_stat_all_indexes` and where it is counted for all sessions.
///
/// # Safety
/// The index is open.
pub(super) unsafe fn count_once(index: OpenIndex, place: Option<Place>) {
    // SAFETY: by contract.
    unsafe { count_use(index.raw()) };
    if let Some(place) = place {
        place.add_count();
    }
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
    map: MapPage,
    /// Rows that were looked up.
    pub(super) looked_up: u64,
}

impl CountedHeap {
    /// # Safety
    /// As [`SeenRows::new`].
    pub(super) unsafe fn new(table: OpenTable, snapshot: pg_sys::Snapshot) -> CountedHeap {
        // SAFETY: by contract.
        let rows = unsafe { SeenRows::new(table, snapshot) };
        CountedHeap { rows, map: MapPage::default(), looked_up: 0 }
    }

    /// See [`SeenRows::rest`].
    fn rest(&mut self) {
        self.rows.rest();
        self.map.release();
    }

    /// See [`SeenRows::finish`].
    pub(super) fn finish(mut self) {
        self.rest();
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
        let map = self.map.read(self.rows.table(), page.saturating_mul(BLOCKS_OF_PAGE));
        if map == 0 {
            bytes.fill(0);
            return;
        }
        // SAFETY: the buffer is pinned. It is locked while it is read.
        unsafe {
            pg_sys::LockBuffer(map, pg_sys::BUFFER_LOCK_SHARE as i32);
            let content = pg_sys::BufferGetPage(map).cast::<u8>().add(PAGE_SIZE - MAP_BYTES);
            std::ptr::copy_nonoverlapping(content, bytes.as_mut_ptr(), MAP_BYTES);
            pg_sys::LockBuffer(map, pg_sys::BUFFER_LOCK_UNLOCK as i32);
        }
    }
}

impl Visibility for CountedHeap {
    fn all_visible(&mut self, tids: &[HeapTid], answers: &mut [bool]) {
        self.map.all_visible(self.rows.table(), tids, answers);
    }
}
