//! The index that a SQL function was given: opened, and refused if it is not the caller's to use.

use pgrx::prelude::*;

use crate::relation::{OpenIndex, OpenTable};
use crate::report::refuse;

/// An open learned index and its table.
pub(super) struct Target {
    pub(super) table: OpenTable,
    pub(super) index: OpenIndex,
}

impl Target {
    /// Opens an index, and its table before it, as everybody does. Refuses what is not a learned
    /// index, those that are not the caller's, temporary ones of other sessions, and those whose
    /// pages are not there yet.
    ///
    /// # Safety
    /// Within a transaction.
    pub(super) unsafe fn open(oid: pg_sys::Oid, mode: u32) -> Target {
        // SAFETY: by contract.
        unsafe {
            let table = pg_sys::IndexGetRelation(oid, true);
            let table = if table == pg_sys::InvalidOid {
                std::ptr::null_mut()
            } else {
                pg_sys::try_relation_open(table, pg_sys::AccessShareLock as pg_sys::LOCKMODE)
            };
            let index = if table.is_null() {
                std::ptr::null_mut()
            } else {
                pg_sys::try_relation_open(oid, mode as pg_sys::LOCKMODE)
            };
            let opened = if index.is_null() { None } else { OpenIndex::of_relation(index) };
            let index = opened.unwrap_or_else(|| refuse_other(oid));
            let target = Target { table: OpenTable::new(table), index };
            target.require_own();
            target.require_ready();
            target
        }
    }

    /// Closes both; their locks stay to the end of the transaction, as those of every command do.
    ///
    /// # Safety
    /// No copy of the handles is used after that.
    pub(super) unsafe fn close(self) {
        // SAFETY: they are open.
        unsafe {
            pg_sys::relation_close(self.index.raw(), 0);
            pg_sys::relation_close(self.table.raw(), 0);
        }
    }

    /// The index's name.
    pub(super) fn name(&self) -> String {
        self.index.name()
    }

    fn require_own(&self) {
        let oid = self.index.oid();
        // SAFETY: within a transaction.
        let own = unsafe {
            let user = pg_sys::GetUserId();
            #[cfg(feature = "pg15")]
            let own = pg_sys::pg_class_ownercheck(oid, user);
            #[cfg(not(feature = "pg15"))]
            let own = pg_sys::object_ownercheck(pg_sys::RelationRelationId, oid, user);
            own
        };
        if !own {
            refuse(
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("must be owner of index {}", self.name()),
                "Only the owner of an index may retrain or check it.",
            );
        }
        if self.index.is_temporary_elsewhere() {
            refuse(
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("cannot access temporary index \"{}\" of another session", self.name()),
                "Retrain or check it in the session that created it.",
            );
        }
    }

    fn require_ready(&self) {
        if !self.index.is_ready() {
            refuse(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("index \"{}\" is not ready", self.name()),
                "It is still being built, or its build has failed: then REINDEX or DROP it.",
            );
        }
    }
}

/// Refuses what is not a learned index.
///
/// # Safety
/// Within a transaction.
unsafe fn refuse_other(oid: pg_sys::Oid) -> ! {
    // SAFETY: the name is null or a C string.
    let name = unsafe {
        let name = pg_sys::get_rel_name(oid);
        (!name.is_null()).then(|| std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned())
    };
    let (code, message, hint) = match name {
        // SAFETY: by contract.
        Some(name) if unsafe { is_partitioned_index(oid) } => (
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            format!("\"{name}\" is a partitioned index"),
            "Name the indexes of its partitions.",
        ),
        Some(name) => (
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            format!("\"{name}\" is not a learned index"),
            "Name an index that was created with USING learned.",
        ),
        None => (
            PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
            format!("relation with OID {} does not exist", oid.to_u32()),
            "Name an index that was created with USING learned.",
        ),
    };
    refuse(code, message, hint)
}

/// Whether a relation is an index of a partitioned table, which has no pages of its own.
///
/// # Safety
/// Within a transaction.
unsafe fn is_partitioned_index(oid: pg_sys::Oid) -> bool {
    // SAFETY: by contract; for a relation that is gone it is 0.
    unsafe { pg_sys::get_rel_relkind(oid) as u8 == pg_sys::RELKIND_PARTITIONED_INDEX }
}
