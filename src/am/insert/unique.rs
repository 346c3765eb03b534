//! Uniqueness of a new row, as far as it is the table's matter: what each row with the same key is,
//! as `_bt_check_unique` of nbtinsert.c finds it. Which rows these are, the insertion tells.
//!
//! The protocol: the page where the key's first entry would be is locked exclusively from before
//! the first [`UniqueCheck::look`] until the new entry is in, so that of two sessions with the same
//! key one looks after the other has inserted. For [`Found::Wait`] every lock and pin is let go,
//! and after [`UniqueCheck::wait`] the search begins anew, with a new check.

use learned_index::entry::HeapTid;
use learned_index::key::{Code, Key};
use pgrx::prelude::*;

use crate::am::serializable::check_readers;
use crate::am::unique_violation;
use crate::column::tid::item_pointer;
use crate::relation::{OpenIndex, OpenTable};
use crate::report::carried::carrying;

/// Whether a new entry has to be checked: not where the core does not ask, and not with a NULL,
/// unless NULLs are declared not to be distinct.
///
/// # Safety
/// `is_null` has an element for each column of the index.
pub(super) unsafe fn needs_check(
    index: OpenIndex,
    is_null: *const bool,
    mode: pg_sys::IndexUniqueCheck::Type,
) -> bool {
    if mode == pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO {
        return false;
    }
    // SAFETY: by contract.
    let is_null = unsafe { std::slice::from_raw_parts(is_null, index.key_columns()) };
    index.definition().indnullsnotdistinct || !is_null.contains(&true)
}

/// What a row with the same key is to the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Dead to all, for ever.
    Dead,
    /// No longer in the way of anybody, or removed by this transaction, or the new row itself: go
    /// on with the next. It stays so as long as this check goes on, and not for ever: this
    /// transaction may roll back to a savepoint.
    Nothing,
    /// A duplicate. When the check is partial, one that may yet go away: the insertion goes on and
    /// tells the core that the row may not be unique. Otherwise the insertion fails, if
    /// [`UniqueCheck::own_row_is_live`]; if not, the check is over and nothing is wrong.
    Conflict,
    /// Perhaps a duplicate: a transaction that still runs has inserted or deleted it.
    Wait(Waiting),
}

/// Whose end to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    xid: pg_sys::TransactionId,
    /// Not 0: only for the end of this speculative insertion.
    speculative_token: u32,
}

/// The check of one new row.
pub(super) struct UniqueCheck {
    table: OpenTable,
    index: OpenIndex,
    own: HeapTid,
    mode: pg_sys::IndexUniqueCheck::Type,
    /// Sees what is committed, what this transaction did, and what others have yet to commit: of
    /// these it tells the transaction.
    dirty: pg_sys::SnapshotData,
    own_found: bool,
}

impl UniqueCheck {
    /// `own` is the new row's TID.
    pub(super) fn new(
        table: OpenTable,
        index: OpenIndex,
        own: HeapTid,
        mode: pg_sys::IndexUniqueCheck::Type,
    ) -> UniqueCheck {
        let dirty = pg_sys::SnapshotData {
            snapshot_type: pg_sys::SnapshotType::SNAPSHOT_DIRTY,
            ..Default::default()
        };
        UniqueCheck { table, index, own, mode, dirty, own_found: false }
    }

    /// Looks at the table for the row of an entry with the new row's key. Locks pages of the table
    /// and not of the index, so the index's may be locked. Where none is locked, this can be
    /// interrupted.
    ///
    /// # Safety
    /// Within the transaction that inserts.
    pub(super) unsafe fn look(&mut self, tid: HeapTid) -> Found {
        let recheck = self.mode == pg_sys::IndexUniqueCheck::UNIQUE_CHECK_EXISTING;
        if recheck && tid == self.own {
            self.own_found = true;
            return Found::Nothing;
        }
        check_for_interrupts!();
        let mut dead = false;
        // SAFETY: the table is open, and the snapshot outlives the call.
        if !unsafe { is_visible(self.table, tid, &raw mut self.dirty, &raw mut dead) } {
            return if dead { Found::Dead } else { Found::Nothing };
        }
        if self.mode == pg_sys::IndexUniqueCheck::UNIQUE_CHECK_PARTIAL {
            return Found::Conflict;
        }
        let in_doubt = [self.dirty.xmin, self.dirty.xmax];
        match in_doubt.into_iter().find(|xid| *xid != pg_sys::InvalidTransactionId) {
            Some(xid) => {
                Found::Wait(Waiting { xid, speculative_token: self.dirty.speculativeToken })
            }
            None => Found::Conflict,
        }
    }

    /// Waits until it is certain what the row is. After that everything may have changed: the
    /// check starts over.
    ///
    /// # Safety
    /// No page is locked or pinned: this may take as long as the other transaction does.
    pub(super) unsafe fn wait(&self, waiting: Waiting) {
        // SAFETY: the index is open; the TID is for the error's context only.
        unsafe {
            carrying(|| {
                if waiting.speculative_token != 0 {
                    pg_sys::SpeculativeInsertionWait(waiting.xid, waiting.speculative_token);
                } else {
                    pg_sys::XactLockTableWait(
                        waiting.xid,
                        self.index.raw(),
                        &mut item_pointer(self.own),
                        pg_sys::XLTW_Oper::XLTW_InsertIndex,
                    );
                }
            });
        }
    }

    /// Whether the new row is still alive. CREATE INDEX CONCURRENTLY inserts rows that may have
    /// been deleted since: these violate nothing.
    ///
    /// The whole chain of HOT updates is looked at. Should another row of it than the one being
    /// inserted live, there is a violation all the same: it has the key, and the duplicate, which
    /// has an entry of its own, is not of this chain.
    ///
    /// # Safety
    /// Within the transaction that inserts.
    pub(super) unsafe fn own_row_is_live(&self) -> bool {
        // SAFETY: the table is open, and the snapshot is a constant of the core.
        unsafe {
            let dead = std::ptr::null_mut();
            is_visible(self.table, self.own, &raw mut pg_sys::SnapshotSelfData, dead)
        }
    }

    /// Whether the end of a recheck finds that the entry of the row itself was not there.
    pub(super) fn own_row_is_missing(&self) -> bool {
        self.mode == pg_sys::IndexUniqueCheck::UNIQUE_CHECK_EXISTING && !self.own_found
    }

    /// Raises the violation; or that the transaction cannot be serialized, where it has read that
    /// there is no such row: no order of the transactions gives it both.
    ///
    /// # Safety
    /// No page is locked. `values` and `is_null` are what the core passed to the insertion.
    pub(super) unsafe fn raise<C: Code>(
        &self,
        key: Key<C>,
        values: *const pg_sys::Datum,
        is_null: *const bool,
    ) -> ! {
        // SAFETY: the relations are open, the rest is by contract.
        unsafe {
            check_readers(self.index, key);
            unique_violation::duplicate_key(self.table, self.index, values, is_null)
        }
    }

    /// Raises the error of [`UniqueCheck::own_row_is_missing`].
    ///
    /// # Safety
    /// No page is locked.
    pub(super) unsafe fn missing_own_row(&self) -> ! {
        // SAFETY: the relations are open, the rest is by contract.
        unsafe { unique_violation::own_entry_missing(self.table, self.index) }
    }
}

/// Whether the snapshot sees a row of the HOT chain that begins at `tid`. If not, and `dead` is not
/// null, it is set to whether all rows of the chain are dead to all.
///
/// # Safety
/// The snapshot is valid, and `dead` valid or null.
unsafe fn is_visible(
    table: OpenTable,
    tid: HeapTid,
    snapshot: pg_sys::Snapshot,
    dead: *mut bool,
) -> bool {
    // The core moves the TID along the chain.
    let mut tid = item_pointer(tid);
    // SAFETY: by contract.
    unsafe { pg_sys::table_index_fetch_tuple_check(table.raw(), &raw mut tid, snapshot, dead) }
}
