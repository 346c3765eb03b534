//! What index-only scans return of rows with an included value that is too long for the index: the
//! row is read in the table, as a plain index scan does.
//!
//! Whatever row has the heap TID by then, an MVCC snapshot does not see it unless it is the row of
//! the entry. All versions of a row that share its entry have the same included values: updates
//! that change one are not HOT.

use pgrx::prelude::*;

use super::OpenScan;
use super::quals::QualCode;
use super::visible::SeenRows;
use crate::column::KeyColumns;
use crate::relation::{OpenIndex, OpenTable};
use learned_index::key::Key;
use learned_index::tree::scan::Rows;

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

/// Hands the row of the entry that the scan stands on to the core, as a heap tuple with the columns
/// of the index. Whether the snapshot sees it.
///
/// # Safety
/// `scan` is an index-only scan with an MVCC snapshot, and the one that `open` belongs to.
pub(super) unsafe fn return_row<C: QualCode>(
    open: &mut OpenScan<C>,
    scan: pg_sys::IndexScanDesc,
) -> bool {
    let Some((class, code, tid)) = open.scan.here() else { return false };
    let key = Key { class, code: *code };
    // SAFETY: by contract. After an error, the abort of the transaction gives everything back.
    unsafe {
        let table = OpenTable::new((*scan).heapRelation);
        let before = open.whole_row.begin();
        let mut rows = SeenRows::new(table, (*scan).xs_snapshot);
        let is_seen = rows.sees(tid);
        if is_seen {
            let index = open.store.index();
            let (mut values, mut nulls) = values_of(index, &open.columns, key, rows.slot());
            (*scan).xs_hitup = pg_sys::heap_form_tuple(
                (*scan).xs_itupdesc,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
            (*scan).xs_hitupdesc = (*scan).xs_itupdesc;
            (*scan).xs_heaptid = crate::column::tid::item_pointer(tid);
            (*scan).xs_recheck = open.recheck;
        }
        rows.finish();
        pg_sys::CurrentMemoryContext = before;
        is_seen
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
