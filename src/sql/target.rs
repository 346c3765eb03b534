//! The index that a SQL function was given: opened, and refused if it is not the caller's to use.

use pgrx::prelude::*;

use crate::relation::{OpenIndex, OpenRelation, OpenTable};
use crate::report::refuse;

/// An open learned index and its table.
pub(super) struct Target {
    pub(super) table: OpenTable,
    pub(super) index: OpenIndex,
}

/// Who may use a function on an index.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Users {
    /// Its owner.
    Owner,
    /// Those too who watch over the server: roles with the privileges of pg_stat_scan_tables, as
    /// pg_monitor has them. For figures that tell of no key.
    Monitors,
}

/// Why a function does not work on an index.
pub(super) struct Refusal {
    code: PgSqlErrorCode,
    message: String,
    hint: &'static str,
}

impl Refusal {
    /// Raises the error.
    pub(super) fn raise(self) -> ! {
        refuse(self.code, self.message, self.hint)
    }
}

impl Target {
    /// [`Target::find`] for its owner. Raises an error for what that refuses.
    ///
    /// # Safety
    /// Within a transaction.
    pub(super) unsafe fn open(oid: pg_sys::Oid, mode: u32) -> Target {
        // SAFETY: by contract.
        unsafe { Target::find(oid, mode, Users::Owner).unwrap_or_else(|refusal| refusal.raise()) }
    }

    /// Opens an index, and its table before it, as everybody does. Refuses what is not a learned
    /// index, those that are not the caller's, temporary ones of other sessions, and those whose
    /// pages are not there yet, or not on a standby.
    ///
    /// # Safety
    /// Within a transaction.
    pub(super) unsafe fn find(
        oid: pg_sys::Oid,
        mode: u32,
        users: Users,
    ) -> Result<Target, Refusal> {
        // SAFETY: by contract.
        unsafe {
            let table = pg_sys::IndexGetRelation(oid, true);
            let table = if table == pg_sys::InvalidOid {
                std::ptr::null_mut()
            } else {
                pg_sys::try_relation_open(table, pg_sys::AccessShareLock as pg_sys::LOCKMODE)
            };
            if table.is_null() {
                return Err(other(oid));
            }
            let index = pg_sys::try_relation_open(oid, mode as pg_sys::LOCKMODE);
            let opened = if index.is_null() { None } else { OpenIndex::of_relation(index) };
            let found = opened.map_or_else(
                || Err(other(oid)),
                |opened| {
                    let target = Target { table: OpenTable::new(table), index: opened };
                    target.require(users).map(|()| target)
                },
            );
            if found.is_err() {
                // Nobody holds locks on what he may not use.
                if !index.is_null() {
                    pg_sys::relation_close(index, mode as pg_sys::LOCKMODE);
                }
                pg_sys::relation_close(table, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            }
            found
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

    fn require(&self, users: Users) -> Result<(), Refusal> {
        let name = self.name();
        let (code, message, hint) = match () {
            () if !is_for(&self.index, users) && users == Users::Owner => (
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("must be owner of index {name}"),
                "Only the owner of an index may retrain, check or inspect it.",
            ),
            () if !is_for(&self.index, users) => (
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("permission denied for index {name}"),
                "The owner of the index may read its statistics, and so may roles with the \
                 privileges of pg_stat_scan_tables.",
            ),
            () if self.index.is_temporary_elsewhere() => (
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("cannot access temporary index \"{name}\" of another session"),
                "Call the function in the session that created it.",
            ),
            () if !self.index.is_ready() => (
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("index \"{name}\" is not ready"),
                "It is still being built, or its build has failed: then REINDEX or DROP it.",
            ),
            // SAFETY: a variable of this process, or one of the server's.
            () if self.index.is_unlogged() && unsafe { pg_sys::RecoveryInProgress() } => (
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("cannot access unlogged index \"{name}\" during recovery"),
                "It is empty until the standby is promoted.",
            ),
            () => return Ok(()),
        };
        Err(Refusal { code, message, hint })
    }
}

/// Whether the caller is one of those who may use a function on a relation.
pub(super) fn is_for(relation: &OpenRelation, users: Users) -> bool {
    let oid = relation.oid();
    // SAFETY: within a transaction, as everything that has a relation open.
    unsafe {
        let user = pg_sys::GetUserId();
        #[cfg(feature = "pg15")]
        let own = pg_sys::pg_class_ownercheck(oid, user);
        #[cfg(not(feature = "pg15"))]
        let own = pg_sys::object_ownercheck(pg_sys::RelationRelationId, oid, user);
        let watches = || pg_sys::has_privs_of_role(user, pg_sys::ROLE_PG_STAT_SCAN_TABLES.into());
        own || users == Users::Monitors && watches()
    }
}

/// Why something that is not a learned index is refused.
///
/// # Safety
/// Within a transaction.
unsafe fn other(oid: pg_sys::Oid) -> Refusal {
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
    Refusal { code, message, hint }
}

/// Whether a relation is an index of a partitioned table, which has no pages of its own.
///
/// # Safety
/// Within a transaction.
unsafe fn is_partitioned_index(oid: pg_sys::Oid) -> bool {
    // SAFETY: by contract; for a relation that is gone it is 0.
    unsafe { pg_sys::get_rel_relkind(oid) as u8 == pg_sys::RELKIND_PARTITIONED_INDEX }
}
