//! The counters in shared memory: a table with a fixed number of slots.
//!
//! The memory is asked for when the first session needs it. PostgreSQL 17 and later have a registry
//! for that, so nothing has to be preloaded; earlier ones do not, and the option is refused there.
//!
//! There are no locks, so nothing is left behind by a session that ends at any moment. A slot is
//! claimed by its key: the database and the index. It goes to another index when all are taken and
//! its own is gone, or no longer counted. A session that still counts for the old one notices that
//! by the key. Between the look at the key and the addition it may be too late: then a scan is
//! counted for the wrong index, which is of no more consequence than that.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};

use pgrx::prelude::*;

use super::{COUNTERS, Counter, Figures};
use crate::relation::options::is_monitored_by;

/// Indexes that are counted at a time, over all databases.
const SLOTS: usize = 1024;
/// Microseconds until a session looks again for slots that can be reused.
const LOOK_AGAIN: i64 = 10_000_000;

const RELAXED: Ordering = Ordering::Relaxed;

/// The counters of all indexes.
#[repr(C)]
pub(super) struct Table {
    /// What the slots are for. 0: nothing yet.
    keys: [AtomicU64; SLOTS],
    slots: [Slot; SLOTS],
}

/// The counters of an index. Every value of every field is valid.
#[repr(C)]
pub(super) struct Slot {
    since: AtomicI64,
    /// 0: never.
    last_merge: AtomicI64,
    counters: [AtomicU64; COUNTERS],
}

fn now() -> i64 {
    // SAFETY: it only reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

impl Slot {
    pub(super) fn add(&self, counter: Counter, count: u64) {
        if count > 0 {
            self.counters[counter as usize].fetch_add(count, RELAXED);
        }
    }

    pub(super) fn merged_now(&self) {
        self.last_merge.store(now(), RELAXED);
    }

    fn begin(&self) {
        self.since.store(now(), RELAXED);
        self.last_merge.store(0, RELAXED);
        self.counters.iter().for_each(|counter| counter.store(0, RELAXED));
    }
}

impl Table {
    /// The server's table. `None` where there is no shared memory for it.
    pub(super) fn get() -> Option<&'static Table> {
        static SHARED: AtomicPtr<Table> = AtomicPtr::new(std::ptr::null_mut());
        thread_local! {
            static FAILED: Cell<bool> = const { Cell::new(false) };
        }
        let mut table = SHARED.load(RELAXED);
        if table.is_null() && !FAILED.get() {
            table = attach();
            SHARED.store(table, RELAXED);
            FAILED.set(table.is_null());
        }
        // SAFETY: it is null, or memory of this size, aligned to a page, which stays mapped as long
        // as the process lives. All fields are atomic, and valid whatever they hold.
        unsafe { table.as_ref() }
    }

    /// The slot at a place, if it is still that of a key.
    pub(super) fn slot(&self, at: usize, key: u64) -> Option<&Slot> {
        let (own, slot) = (self.keys.get(at)?, self.slots.get(at)?);
        (own.load(RELAXED) == key).then_some(slot)
    }

    /// The places from the one on where a key is looked for first.
    fn places_for(key: u64) -> impl Iterator<Item = usize> {
        let first = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize;
        (0..SLOTS).map(move |step| first.wrapping_add(step) % SLOTS)
    }

    /// The place of a key. A new one gets the first one that is free, or one that can be reused.
    ///
    /// # Safety
    /// Within a transaction.
    pub(super) unsafe fn find_or_claim(&self, key: u64) -> Option<usize> {
        for at in Table::places_for(key) {
            let found = match self.keys[at].load(RELAXED) {
                0 => match self.keys[at].compare_exchange(0, key, RELAXED, RELAXED) {
                    Ok(_) => {
                        self.slots[at].begin();
                        return Some(at);
                    }
                    // Of another session, for any index.
                    Err(found) => found,
                },
                found => found,
            };
            if found == key {
                return Some(at);
            }
        }
        // SAFETY: by contract.
        unsafe { self.reuse(key) }
    }

    /// Two sessions may reuse a slot each for one key. So all slots of a key count.
    ///
    /// # Safety
    /// Within a transaction.
    #[cold]
    unsafe fn reuse(&self, key: u64) -> Option<usize> {
        thread_local! {
            static NEXT_LOOK: Cell<i64> = const { Cell::new(i64::MIN) };
        }
        if now() < NEXT_LOOK.get() {
            return None;
        }
        for at in Table::places_for(key) {
            let old = self.keys[at].load(RELAXED);
            // SAFETY: by contract.
            if unsafe { is_over(old) }
                && self.keys[at].compare_exchange(old, key, RELAXED, RELAXED).is_ok()
            {
                self.slots[at].begin();
                return Some(at);
            }
        }
        NEXT_LOOK.set(now().saturating_add(LOOK_AGAIN));
        None
    }

    fn slots_of(&self, key: u64) -> impl Iterator<Item = &Slot> {
        (0..SLOTS).filter_map(move |at| self.slot(at, key))
    }

    /// What was counted for a key.
    pub(super) fn figures(&self, key: u64) -> Figures {
        let mut counters = [0; COUNTERS];
        for slot in self.slots_of(key) {
            for (sum, counter) in counters.iter_mut().zip(&slot.counters) {
                *sum += counter.load(RELAXED);
            }
        }
        let since = self.slots_of(key).map(|slot| slot.since.load(RELAXED)).min();
        let last_merge = self.slots_of(key).map(|slot| slot.last_merge.load(RELAXED)).max();
        Figures {
            counters,
            last_merge: last_merge.filter(|&time| time != 0),
            since: since.unwrap_or_else(now),
        }
    }

    /// Begins to count at 0 for a key.
    pub(super) fn reset(&self, key: u64) {
        self.slots_of(key).for_each(Slot::begin);
    }
}

/// Whether an index is not counted any more: it is gone, or its database is; or `monitoring` is
/// off. Of other databases it is not known what they have.
///
/// # Safety
/// Within a transaction.
unsafe fn is_over(key: u64) -> bool {
    let (database, index) = (pg_sys::Oid::from((key >> 32) as u32), pg_sys::Oid::from(key as u32));
    let none = pg_sys::Datum::from(0);
    // SAFETY: by contract. The tuple is released when its options have been read.
    unsafe {
        if database != pg_sys::MyDatabaseId {
            let id = pg_sys::SysCacheIdentifier::DATABASEOID as i32;
            return !pg_sys::SearchSysCacheExists(id, database.into(), none, none, none);
        }
        let id = pg_sys::SysCacheIdentifier::RELOID as i32;
        let tuple = pg_sys::SearchSysCache1(id, index.into());
        if tuple.is_null() {
            return true;
        }
        let (mut is_null, column) = (false, pg_sys::Anum_pg_class_reloptions as i16);
        let options = pg_sys::SysCacheGetAttr(id, tuple, column, &mut is_null);
        let is_monitored = !is_null && is_monitored_by(options);
        pg_sys::ReleaseSysCache(tuple);
        !is_monitored
    }
}

/// The table in this process's address space; null if it cannot be had.
#[cfg(any(feature = "pg17", feature = "pg18"))]
fn attach() -> *mut Table {
    /// The name in shared memory. Builds that lay the table out differently must call it
    /// differently.
    const NAME: &std::ffi::CStr = c"omendb_learned counters 1";
    // SAFETY: a variable of this process. A server without other processes has none of this memory.
    if !unsafe { pg_sys::IsUnderPostmaster } {
        return std::ptr::null_mut();
    }
    PgTryBuilder::new(|| {
        let mut found = false;
        // SAFETY: the memory is that of a table, which the function below makes of it before
        // anybody else has it.
        let table = unsafe {
            pg_sys::GetNamedDSMSegment(
                NAME.as_ptr(),
                size_of::<Table>(),
                Some(make_empty),
                &mut found,
            )
        };
        table.cast::<Table>()
    })
    .catch_others(|_| {
        // SAFETY: the caller holds no such lock. The registry does, in which the error was raised;
        // nobody could use it for as long as this transaction lasts.
        unsafe { pg_sys::LWLockReleaseAll() };
        std::ptr::null_mut()
    })
    .execute()
}

/// On earlier versions nothing is counted.
#[cfg(not(any(feature = "pg17", feature = "pg18")))]
fn attach() -> *mut Table {
    std::ptr::null_mut()
}

/// # Safety
/// Called by the core with new memory of the size of a table.
#[cfg(any(feature = "pg17", feature = "pg18"))]
unsafe extern "C-unwind" fn make_empty(memory: *mut std::ffi::c_void) {
    // SAFETY: by contract; all fields are integers.
    unsafe { memory.cast::<Table>().write_bytes(0, 1) };
}
