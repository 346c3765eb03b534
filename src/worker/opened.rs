//! An index that a worker has opened, without ever waiting for a lock.

use pgrx::prelude::*;

use crate::relation::OpenIndex;

/// An open learned index that takes inserts, and its table.
pub(super) struct OpenedIndex {
    table: pg_sys::Relation,
    pub(super) index: OpenIndex,
}

pub(super) enum Opened {
    Index(OpenedIndex),
    /// There is no such index, or its pages are not there yet.
    Gone,
    /// Another session has the table or the index locked.
    Busy,
}

/// Opens an index, if it still is there and nobody keeps others out: a worker that waited would
/// hold its seat for nothing, and may be part of a deadlock.
///
/// # Safety
/// Within a transaction, at whose end the locks are released.
pub(super) unsafe fn open(oid: pg_sys::Oid) -> Opened {
    let table_lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
    let index_lock = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
    let locked = pg_sys::NoLock as pg_sys::LOCKMODE;
    // SAFETY: by contract; what is opened is locked.
    unsafe {
        let table = pg_sys::IndexGetRelation(oid, true);
        if table == pg_sys::InvalidOid {
            return Opened::Gone;
        }
        if !pg_sys::ConditionalLockRelationOid(table, table_lock)
            || !pg_sys::ConditionalLockRelationOid(oid, index_lock)
        {
            return Opened::Busy;
        }
        let table = pg_sys::try_relation_open(table, locked);
        if table.is_null() {
            return Opened::Gone;
        }
        let index = pg_sys::try_relation_open(oid, locked);
        if index.is_null() {
            pg_sys::relation_close(table, locked);
            return Opened::Gone;
        }
        match OpenIndex::of_relation(index).filter(OpenIndex::is_ready) {
            Some(index) => Opened::Index(OpenedIndex { table, index }),
            None => {
                pg_sys::relation_close(index, locked);
                pg_sys::relation_close(table, locked);
                Opened::Gone
            }
        }
    }
}

impl OpenedIndex {
    /// Closes both; their locks end with the transaction.
    ///
    /// # Safety
    /// No copy of the handle is used after that.
    pub(super) unsafe fn close(self) {
        let keep = pg_sys::NoLock as pg_sys::LOCKMODE;
        // SAFETY: both are open.
        unsafe {
            pg_sys::relation_close(self.index.raw(), keep);
            pg_sys::relation_close(self.table, keep);
        }
    }
}
