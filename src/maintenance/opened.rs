//! An index that a worker has opened, without ever waiting for a lock.

use std::ffi::CStr;

use pgrx::prelude::*;

use crate::am;

/// An open learned index that takes inserts, and its table.
pub(super) struct OpenedIndex {
    table: pg_sys::Relation,
    pub(super) index: pg_sys::Relation,
}

pub(super) enum Opened {
    Index(OpenedIndex),
    /// There is no such index, or its pages are not there yet.
    Gone,
    /// Somebody has the table or the index locked.
    Busy,
}

/// Opens an index, if it still is there and nobody keeps others out: a worker that waited would hold its seat for
/// nothing, and may be part of a deadlock.
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
        let opened = OpenedIndex { table, index };
        if am::is_learned(index) && am::is_ready(index) {
            return Opened::Index(opened);
        }
        opened.close();
        Opened::Gone
    }
}

impl OpenedIndex {
    /// Closes both; their locks end with the transaction.
    pub(super) fn close(self) {
        let keep = pg_sys::NoLock as pg_sys::LOCKMODE;
        // SAFETY: both are open.
        unsafe {
            pg_sys::relation_close(self.index, keep);
            pg_sys::relation_close(self.table, keep);
        }
    }

    /// The index's name with its schema, quoted where SQL needs it.
    pub(super) fn name(&self) -> String {
        // SAFETY: the index is open, and its name a NUL-terminated NameData; the schema is null if it is gone.
        // What the core gives is a C string.
        unsafe {
            let class = &*(*self.index).rd_rel;
            let schema = pg_sys::get_namespace_name(class.relnamespace);
            let name = class.relname.data.as_ptr();
            let quoted = pg_sys::quote_qualified_identifier(schema, name);
            CStr::from_ptr(quoted).to_string_lossy().into_owned()
        }
    }
}
