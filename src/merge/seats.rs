//! The seats of workers: heavyweight locks, which the core releases however a process ends.
//!
//! A worker has a seat of the server as long as it lives, and the seat of an index while it merges
//! it.

use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

use super::board::SEATS;

static MAX_MERGE_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(2);

/// Makes the setting known.
pub(crate) fn register_settings() {
    GucRegistry::define_int_guc(
        c"omendb_learned.max_merge_workers",
        c"Background workers of the server that merge learned indexes at the same time.",
        c"0 starts none: rows wait for VACUUM or learned_retrain().",
        &MAX_MERGE_WORKERS,
        0,
        SEATS as i32,
        // One limit for all sessions, or it would be none.
        GucContext::Sighup,
        GucFlags::default(),
    );
}

/// How many workers of the server may merge at a time.
pub(crate) fn limit() -> usize {
    (MAX_MERGE_WORKERS.get().max(0) as usize).min(SEATS)
}

const MODE: pg_sys::LOCKMODE = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;

/// A seat, whether a worker has it or not.
pub(crate) struct Seat(pg_sys::LOCKTAG);

impl Seat {
    /// The seat of an index of this database.
    pub(crate) fn of_index(index: pg_sys::Oid) -> Seat {
        // SAFETY: a variable of this process, set when it connected.
        let database = unsafe { pg_sys::MyDatabaseId };
        Seat::new(database.to_u32(), index.to_u32(), 1)
    }

    /// One of the server's seats, which all databases share.
    pub(crate) fn of_server(number: usize) -> Seat {
        Seat::new(0, number as u32, 2)
    }

    fn new(database: u32, object: u32, kind: u16) -> Seat {
        Seat(pg_sys::LOCKTAG {
            locktag_field1: database,
            locktag_field2: pg_sys::AccessMethodRelationId.to_u32(),
            locktag_field3: object,
            locktag_field4: kind,
            locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
            // Locks of this method are released when a process ends in any way, those that a
            // session holds included. The type keeps it apart from the locks that users take.
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        })
    }

    /// Takes the seat for this process, unless another has it. An ERROR does not give it back.
    pub(crate) fn try_take(&self) -> bool {
        self.try_lock(true) != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
    }

    /// Gives the seat back.
    pub(crate) fn leave(&self) {
        self.unlock(true);
    }

    /// Whether no process has the seat, this one included.
    pub(crate) fn is_free(&self) -> bool {
        let result = self.try_lock(false);
        if result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL {
            self.unlock(false);
        }
        result == pg_sys::LockAcquireResult::LOCKACQUIRE_OK
    }

    fn try_lock(&self, for_session: bool) -> pg_sys::LockAcquireResult::Type {
        // SAFETY: the tag is valid; the core releases the lock at the end of the session or the
        // transaction.
        unsafe { pg_sys::LockAcquire(&self.0, MODE, for_session, true) }
    }

    fn unlock(&self, for_session: bool) {
        // SAFETY: this process has the lock.
        unsafe { pg_sys::LockRelease(&self.0, MODE, for_session) };
    }
}

/// Whether nobody is about to drop, copy, move or rename a database, or waits for it. If so, those
/// commands wait until the end of the transaction. After that they wait for sessions of the
/// database for five seconds only, and then fail.
///
/// # Safety
/// Within a transaction.
pub(crate) unsafe fn is_undisturbed(database: pg_sys::Oid) -> bool {
    let tag = pg_sys::LOCKTAG {
        locktag_field1: 0,
        locktag_field2: pg_sys::DatabaseRelationId.to_u32(),
        locktag_field3: database.to_u32(),
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    // The lock that a session takes when it connects.
    let mode = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
    // SAFETY: the tag is that of the database, as LockSharedObject makes it.
    let result = unsafe { pg_sys::LockAcquire(&tag, mode, false, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}
