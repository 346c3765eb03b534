//! What index-only scans return of rows with an included value that is too long for the index: the
//! row is read in the table, as a plain index scan does.
//!
//! Whatever row has the heap TID by then, an MVCC snapshot does not see it unless it is the row of
//! the entry. All versions of a row that share its entry have the same included values: updates
//! that change one are not HOT.

use learned_index::entry::HeapTid;
use learned_index::key::Key;
use learned_index::tree::scan::Direction;
use pgrx::prelude::*;

use super::quals::QualCode;
use super::{OpenScan, direction_of, open_scan};
use crate::am::serializable::is_mvcc;
use crate::column::KeyColumns;
use crate::column::tid::item_pointer;
use crate::relation::{OpenIndex, OpenTable};

/// The last such row, for a caller who asks for one after the other.
pub(super) struct WholeRow {
    /// What the other belongs to.
    parent: pg_sys::MemoryContext,
    /// Where the row is; null until there is one.
    context: pg_sys::MemoryContext,
}

impl WholeRow {
    /// For a scan whose memory is in a context.
    pub(super) fn new(parent: pg_sys::MemoryContext) -> WholeRow {
        WholeRow { parent, context: std::ptr::null_mut() }
    }

    /// Makes room for the next row, and has memory taken from there. Returns where it was taken
    /// from before.
    fn begin(&mut self) -> pg_sys::MemoryContext {
        // SAFETY: the contexts live as long as the scan.
        unsafe {
            if self.context.is_null() {
                self.context = pg_sys::AllocSetContextCreateExtended(
                    self.parent,
                    c"row of a learned index".as_ptr(),
                    pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                    pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
                );
            }
            pg_sys::MemoryContextReset(self.context);
            let before = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = self.context;
            before
        }
    }
}

impl<C: QualCode> OpenScan<C> {
    /// Hands the entry that the scan stands on to the core, or if the snapshot does not see its
    /// row, which has to be read, a later one. Whether there is one.
    ///
    /// # Safety
    /// As [`OpenScan::next`].
    pub(super) unsafe fn return_seen(
        &mut self,
        scan: pg_sys::IndexScanDesc,
        direction: Direction,
    ) -> bool {
        // SAFETY: by contract.
        unsafe {
            while !self.return_entry(scan) && !self.return_long(scan) {
                check_for_interrupts!();
                if !self.step(direction) && !self.copy_more(scan, direction) {
                    return false;
                }
            }
        }
        true
    }

    /// Hands an entry to the core that has a long value. Not if the snapshot does not see its row.
    ///
    /// # Safety
    /// As [`OpenScan::next`].
    unsafe fn return_long(&mut self, scan: pg_sys::IndexScanDesc) -> bool {
        // SAFETY: by contract.
        unsafe {
            if is_mvcc((*scan).xs_snapshot) {
                return return_row(self, scan);
            }
            // The planner wants keys, and its snapshot may see several rows.
            let Some((class, code, _)) = self.scan.here() else { return false };
            let tuple = self.columns.tuple_without_long(class, code, &mut self.tuple);
            (*scan).xs_itup = tuple.unwrap_or(std::ptr::null_mut());
            (*scan).xs_hitup = std::ptr::null_mut();
            tuple.is_some()
        }
    }
}

/// [`super::amgettuple`] where the scan stands on the next entry, and a part of it is only in the
/// table.
///
/// # Safety
/// As there.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn read_and_return<C: QualCode>(
    scan: pg_sys::IndexScanDesc,
    direction: pg_sys::ScanDirection::Type,
) -> bool {
    // SAFETY: by contract.
    unsafe { open_scan::<C>(scan).return_seen(scan, direction_of(direction)) }
}

/// Hands the row of the entry that the scan stands on to the core, as a heap tuple with the columns
/// of the index. Whether the snapshot sees it.
///
/// The row is read with what the core reads rows of this scan with: the page stays pinned for the
/// next row, until the core lets go of it. As the core never comes to see a row that the snapshot
/// does not, it is said here if that is dead to all.
///
/// # Safety
/// `scan` is an index-only scan with an MVCC snapshot, and the one that `open` belongs to.
unsafe fn return_row<C: QualCode>(open: &mut OpenScan<C>, scan: pg_sys::IndexScanDesc) -> bool {
    let Some((class, code, tid)) = open.scan.here() else { return false };
    let key = Key { class, code: *code };
    // SAFETY: by contract. After an error, the abort of the transaction gives everything back.
    unsafe {
        let table = OpenTable::new((*scan).heapRelation);
        let before = open.whole_row.begin();
        let slot = pg_sys::table_slot_create(table.raw(), std::ptr::null_mut());
        let (is_seen, is_dead) = read_row(table, scan, tid, slot);
        if is_seen {
            let index = open.store.index();
            let (mut values, mut nulls) = values_of(index, &open.columns, key, slot);
            (*scan).xs_hitup = pg_sys::heap_form_tuple(
                (*scan).xs_itupdesc,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
            (*scan).xs_hitupdesc = (*scan).xs_itupdesc;
            (*scan).xs_heaptid = item_pointer(tid);
            (*scan).xs_recheck = open.recheck;
        }
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::CurrentMemoryContext = before;
        // As `index_fetch_heap` of indexam.c has it.
        if is_dead && !(*scan).xactStartedInRecovery {
            open.scan.kill_current();
        }
        is_seen
    }
}

/// Reads the row with a heap TID that the snapshot of a scan sees. Whether there is one, and if
/// not, whether none is left that any snapshot sees.
///
/// # Safety
/// As [`return_row`]; the slot is one for rows of the scan's table.
unsafe fn read_row(
    table: OpenTable,
    scan: pg_sys::IndexScanDesc,
    tid: HeapTid,
    slot: *mut pg_sys::TupleTableSlot,
) -> (bool, bool) {
    let Some(read) = table.method().index_fetch_tuple else { return (false, false) };
    let (mut tid, mut call_again, mut is_dead) = (item_pointer(tid), false, false);
    // SAFETY: by contract; the core began this for each scan with a table. One row of a HOT chain
    // is enough, so there is no need to call again.
    unsafe {
        let (fetch, snapshot) = ((*scan).xs_heapfetch, (*scan).xs_snapshot);
        let (tid, again, dead) = (&raw mut tid, &raw mut call_again, &raw mut is_dead);
        let is_seen = pg_sys::ffi::pg_guard_ffi_boundary(
            #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
            || read(fetch, tid, snapshot, slot, again, dead),
        );
        (is_seen, is_dead)
    }
}

/// The values of an index's columns: of the key by the entry, of the others by the row.
///
/// # Safety
/// The slot has a row of the index's table.
unsafe fn values_of<C: QualCode>(
    index: OpenIndex,
    columns: &C::Columns,
    key: Key<C>,
    slot: *mut pg_sys::TupleTableSlot,
) -> (Vec<pg_sys::Datum>, Vec<bool>) {
    let of_key = columns.values(key).into_iter();
    let of_row = (index.key_columns()..index.stored_columns().count()).map(|column| {
        let mut is_null = false;
        // SAFETY: by contract; an included column is one of the table.
        let value = unsafe {
            pg_sys::slot_getattr(slot, index.table_column(column).into(), &raw mut is_null)
        };
        (!is_null).then_some(value)
    });
    of_key
        .chain(of_row)
        .map(|value| (value.unwrap_or(pg_sys::Datum::null()), value.is_none()))
        .unzip()
}
