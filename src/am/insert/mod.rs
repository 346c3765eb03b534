//! Insertion of one entry.
//!
//! - [`unique`]: what each row with the same key is to the new one

mod unique;

use std::cell::RefCell;
use std::ops::ControlFlow;

use learned_index::corruption::Result;
use learned_index::entry::Entry;
use learned_index::tree::delta::{self, Row, Unique};
use learned_index::tree::directory::Directory;
use pgrx::prelude::*;

use super::dead_rows::DeadRows;
use super::serializable::check_readers;
use crate::column::KeyColumns;
use crate::column::code::{IndexCode, with_code};
use crate::merge::growth::after_growth;
use crate::relation::{OpenIndex, OpenTable};
use crate::storage::buffers::IndexStore;
use crate::storage::session;
use unique::{Found, UniqueCheck, Waiting, needs_check};

/// Adds a row to the index. Whether it is certain to be unique, for a check that may be partial.
///
/// # Safety
/// Called by the core with open relations, the value of one column, and its row's TID.
#[expect(clippy::too_many_arguments, reason = "the core's signature")]
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn aminsert(
    index: pg_sys::Relation,
    values: *mut pg_sys::Datum,
    is_null: *mut bool,
    tid: pg_sys::ItemPointer,
    heap: pg_sys::Relation,
    check_unique: pg_sys::IndexUniqueCheck::Type,
    index_unchanged: bool,
    _info: *mut pg_sys::IndexInfo,
) -> bool {
    // SAFETY: by contract.
    unsafe {
        let (index, table) = (OpenIndex::new(index), OpenTable::new(heap));
        let row = NewRow { index, table, values, is_null, index_unchanged };
        with_code!(index, C => insert::<C>(row, tid, check_unique))
    }
}

/// # Safety
/// As [`aminsert`].
#[inline]
unsafe fn insert<C: IndexCode>(
    row: NewRow,
    tid: pg_sys::ItemPointer,
    check_unique: pg_sys::IndexUniqueCheck::Type,
) -> bool {
    let NewRow { index, table, values, is_null, index_unchanged } = row;
    // SAFETY: by contract.
    unsafe {
        let store: IndexStore<C> = IndexStore::new(index);
        let inserted = session::directory_of(&store).and_then(|directory| {
            let columns = C::Columns::of_identity(directory.borrow().identity())?;
            let entry = columns.entry(values, is_null, tid);
            let inserted = if needs_check(index, is_null, check_unique) {
                row.insert_unique(entry, &store, &directory, check_unique)?
            } else {
                let mut dead_rows = DeadRows::new(index, table);
                let mut directory = directory.borrow_mut();
                let grew = delta::insert_removing(
                    &store,
                    &mut directory,
                    entry,
                    index_unchanged,
                    &mut dead_rows,
                )?;
                Inserted { unique: true, grew }
            };
            Ok((inserted, entry.key))
        });
        match inserted {
            Err(corruption) => index.raise_corruption(corruption),
            Ok((inserted, key)) => {
                store.release();
                if check_unique != pg_sys::IndexUniqueCheck::UNIQUE_CHECK_EXISTING {
                    check_readers(index, key);
                }
                if inserted.grew {
                    after_growth::<C>(index);
                }
                inserted.unique
            }
        }
    }
}

struct Inserted {
    /// False: there may be another row with the key; the core will look again.
    unique: bool,
    /// Whether the delta tree has more pages than before.
    grew: bool,
}

/// The row that is inserted.
#[derive(Clone, Copy)]
struct NewRow {
    index: OpenIndex,
    table: OpenTable,
    values: *const pg_sys::Datum,
    is_null: *const bool,
    /// Whether it is another version of a row with this key, as far as the core knows.
    index_unchanged: bool,
}

/// Why looking at the rows with the same key ended.
enum Stop {
    Conflict,
    Wait(Waiting),
}

impl NewRow {
    /// Inserts an entry that must be the only one alive of its key; with `UNIQUE_CHECK_EXISTING` it
    /// is there already, and only the check is made.
    ///
    /// # Safety
    /// The pointers are valid.
    unsafe fn insert_unique<C: IndexCode>(
        &self,
        entry: Entry<C>,
        store: &IndexStore<C>,
        directory: &RefCell<Directory<C>>,
        mode: pg_sys::IndexUniqueCheck::Type,
    ) -> Result<Inserted> {
        let insert = mode != pg_sys::IndexUniqueCheck::UNIQUE_CHECK_EXISTING;
        let partial = mode == pg_sys::IndexUniqueCheck::UNIQUE_CHECK_PARTIAL;
        let mut checked = true;
        loop {
            let mut check = UniqueCheck::new(self.table, self.index, entry.tid, mode);
            let mut unique = true;
            // SAFETY: the relations are open, and this transaction inserts the row.
            let look = |tid| match unsafe { check.look(tid) } {
                Found::Dead => ControlFlow::Continue(Row::Dead),
                Found::Nothing => ControlFlow::Continue(Row::Gone),
                _ if !checked => ControlFlow::Continue(Row::Passed),
                Found::Conflict if partial => {
                    unique = false;
                    ControlFlow::Continue(Row::Passed)
                }
                Found::Conflict => ControlFlow::Break(Stop::Conflict),
                Found::Wait(waiting) => ControlFlow::Break(Stop::Wait(waiting)),
            };
            // SAFETY: the relations are open, and a standby inserts nothing.
            let mut dead_rows = unsafe { DeadRows::new(self.index, self.table) };
            let outcome = delta::insert_unique_removing(
                store,
                &mut directory.borrow_mut(),
                entry,
                insert,
                self.index_unchanged,
                &mut dead_rows,
                look,
            )?;
            let grew = match outcome {
                Unique::Stopped(stop) => {
                    // Nothing is locked; nothing shall be pinned while we wait.
                    store.release();
                    // SAFETY: by contract.
                    unsafe {
                        match stop {
                            Stop::Wait(waiting) => check.wait(waiting),
                            Stop::Conflict if check.own_row_is_live() => {
                                check.raise(entry.key, self.values, self.is_null)
                            }
                            // A row that is dead by now violates nothing.
                            Stop::Conflict => checked = false,
                        }
                    }
                    continue;
                }
                Unique::Inserted(grew) => grew,
                Unique::Checked => false,
            };
            if checked && check.own_row_is_missing() {
                store.release();
                // SAFETY: by contract.
                unsafe { check.missing_own_row() }
            }
            return Ok(Inserted { unique, grew });
        }
    }
}
