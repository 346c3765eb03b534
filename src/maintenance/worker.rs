//! The background worker that merges one index, and starting it.
//!
//! A worker is started by the insert that finds enough to merge. It has the *seat* of its index as
//! long as it lives, so that there is one at the most. It merges range by range, each in a
//! transaction of its own, for which it takes no snapshot but those of catalog lookups: it holds
//! nothing back for long, and between two ranges whoever waits for a lock on the table or the
//! index gets it. It keeps the core's handling of
//! signals, so that it ends at once when told to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_char};
use std::time::{Duration, Instant};

use learned_index::corruption::Result;
use learned_index::entry::Block;
use learned_index::store::Update;
use learned_index::tree::directory::read_meta;
use learned_index::tree::merge::Step;
use learned_index::tree::vacuum::sweep;
use pgrx::prelude::*;

use super::{Demand, Exclusion, merge_range};
use crate::am;
use crate::am::options::Options;
use crate::storage::buffers::IndexStore;
use crate::storage::raise_corruption;

const LIBRARY: &CStr = c"omendb_learned";
const FUNCTION: &CStr = c"omendb_learned_retrain_main";
/// What pg_stat_activity shows.
const TYPE: &CStr = c"learned retrain";

/// How long a session leaves an index alone after it started a worker for it or found one, and after it could
/// not.
const AFTER_START: Duration = Duration::from_secs(1);
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Tries to get an exclusion that somebody else has, and the time between two.
const TRIES: usize = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// Looks at an index with nothing more to merge before the worker leaves, and the time between two. It sees what a
/// session inserts that leaves it to this worker.
const LAST_LOOKS: u32 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
const _: () = assert!(AFTER_START.as_millis() < LAST_LOOKS as u128 * BETWEEN_LOOKS.as_millis());

thread_local! {
    /// When this session may start a worker for an index again.
    static NEXT_START: RefCell<HashMap<u32, Instant>> = RefCell::new(HashMap::new());
}

/// The heavyweight lock that a worker holds as long as it lives.
fn seat(index: pg_sys::Oid) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        // SAFETY: a variable of this process, set when it connected.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: pg_sys::AccessMethodRelationId.to_u32(),
        locktag_field3: index.to_u32(),
        locktag_field4: 1,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        // Locks of this method are released when a process ends in any way, those that a session
        // holds included. The type keeps it apart from the locks that users take.
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    }
}

const SEAT_MODE: pg_sys::LOCKMODE = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;

/// Whether the seat of an index could be taken; then it is.
fn take_seat(index: pg_sys::Oid, for_session: bool) -> bool {
    // SAFETY: the tag is valid; the core releases the lock at the end of the session or the
    // transaction.
    let result = unsafe { pg_sys::LockAcquire(&seat(index), SEAT_MODE, for_session, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Starts a worker for an index, unless there is one or this session tried a short while ago.
///
/// # Safety
/// `index` is open, and nothing is locked or pinned.
pub(super) unsafe fn start(index: pg_sys::Relation) {
    // SAFETY: by contract.
    let oid = unsafe { (*index).rd_id };
    let now = Instant::now();
    let too_early =
        NEXT_START.with_borrow(|next| next.get(&oid.to_u32()).is_some_and(|&next| now < next));
    if too_early {
        return;
    }
    let started = if take_seat(oid, false) {
        // SAFETY: the lock was taken just now; the index is open.
        unsafe {
            pg_sys::LockRelease(&seat(oid), SEAT_MODE, false);
            // Where somebody else has the exclusion, VACUUM most often, a worker could only wait.
            let free = Exclusion::try_take(index).map(Exclusion::release).is_some();
            free && register(oid)
        }
    } else {
        true
    };
    let pause = if started { AFTER_START } else { AFTER_FAILURE };
    NEXT_START.with_borrow_mut(|next| {
        // A session that touches thousands of partitions does not keep them all in mind.
        if next.len() >= 1_000 {
            next.retain(|_, &mut next| now < next);
        }
        next.insert(oid.to_u32(), now + pause)
    });
}

/// Asks the postmaster for a worker. False if it has no slot for one.
fn register(index: pg_sys::Oid) -> bool {
    let mut worker = pg_sys::BackgroundWorker {
        bgw_flags: (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION)
            as i32,
        bgw_start_time: pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished,
        bgw_restart_time: pg_sys::BGW_NEVER_RESTART,
        bgw_main_arg: pg_sys::Datum::from(index.to_u32()),
        ..Default::default()
    };
    put(&mut worker.bgw_name, TYPE);
    put(&mut worker.bgw_type, TYPE);
    put(&mut worker.bgw_library_name, LIBRARY);
    put(&mut worker.bgw_function_name, FUNCTION);
    // SAFETY: a variable of this process, set when it connected.
    let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
    for (place, byte) in worker.bgw_extra.iter_mut().zip(database.to_ne_bytes()) {
        *place = byte as c_char;
    }
    // SAFETY: the worker is described completely; nobody asks for its handle.
    unsafe { pg_sys::RegisterDynamicBackgroundWorker(&mut worker, std::ptr::null_mut()) }
}

fn put(place: &mut [c_char], text: &CStr) {
    for (place, &byte) in place.iter_mut().zip(text.to_bytes()) {
        *place = byte as c_char;
    }
}

/// What the worker does.
///
/// # Safety
/// Called by the core, in a new process.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn omendb_learned_retrain_main(argument: pg_sys::Datum) {
    // SAFETY: the process is new: nothing is open, and the entry of the worker is its own.
    unsafe {
        let index = pg_sys::Oid::from(argument.value() as u32);
        let extra = &(*pg_sys::MyBgworkerEntry).bgw_extra;
        let database =
            u32::from_ne_bytes([extra[0] as u8, extra[1] as u8, extra[2] as u8, extra[3] as u8]);
        handle_sigterm();
        pg_sys::BackgroundWorkerUnblockSignals();
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database.into(), pg_sys::InvalidOid, 0);
        pg_sys::StartTransactionCommand();
        let mut seated = take_seat(index, true);
        pg_sys::CommitTransactionCommand();
        let mut spare = Vec::new();
        while seated && merge_all(index, &mut spare) {
            pg_sys::StartTransactionCommand();
            pg_sys::LockRelease(&seat(index), SEAT_MODE, true);
            pg_sys::CommitTransactionCommand();
            // Whoever found enough to merge after the last look, and the seat taken, has left it to this worker.
            let missed = matches!(merge_once(index, false, &mut spare), Merged::Range);
            pg_sys::StartTransactionCommand();
            seated = missed && take_seat(index, true);
            pg_sys::CommitTransactionCommand();
        }
    }
}

/// Makes SIGTERM end the process at the next check for interrupts, as it ends a session.
unsafe fn handle_sigterm() {
    // SAFETY: `die` is the core's own handler.
    unsafe {
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(libc_sigterm(), Some(die));
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(libc_sigterm(), Some(die));
    }
}

unsafe extern "C-unwind" {
    /// The handler of SIGTERM in sessions, in tcop/postgres.c.
    #[allow(ffi_unwind_calls)]
    fn die(signal: std::ffi::c_int);
}

/// SIGTERM, which has this number on every system that PostgreSQL runs on.
const fn libc_sigterm() -> std::ffi::c_int {
    15
}

/// Merges range after range until there is less than the threshold. False if the index is gone, or not to be had.
fn merge_all(index: pg_sys::Oid, spare: &mut Vec<Block>) -> bool {
    let (mut tries, mut looks, mut first) = (0, 0, true);
    while tries < TRIES {
        match merge_once(index, first, spare) {
            Merged::Range => (tries, looks, first) = (0, 0, false),
            Merged::TooLittle if looks < LAST_LOOKS => {
                looks += 1;
                wait(BETWEEN_LOOKS);
            }
            Merged::TooLittle => return true,
            Merged::Gone => return false,
            Merged::Busy => {
                tries += 1;
                wait(BETWEEN_TRIES);
            }
        }
    }
    false
}

/// Merges one range, in a transaction of its own.
fn merge_once(index: pg_sys::Oid, first: bool, spare: &mut Vec<Block>) -> Merged {
    check_for_interrupts!();
    // SAFETY: no transaction is open.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::pgstat_report_activity(
            pg_sys::BackendState::STATE_RUNNING,
            c"merging a learned index".as_ptr(),
        );
        let merged = open_and_merge(index, first, spare);
        pg_sys::CommitTransactionCommand();
        pg_sys::pgstat_report_stat(false);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
        merged
    }
}

/// Sleeps, unless the process is told something.
pub(super) fn wait(time: Duration) {
    // SAFETY: this process's own latch.
    unsafe {
        pg_sys::WaitLatch(
            pg_sys::MyLatch,
            (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as i32,
            time.as_millis() as std::ffi::c_long,
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
}

enum Merged {
    Range,
    /// There is less than the threshold.
    TooLittle,
    /// There is no such index, or it is not for workers any more.
    Gone,
    /// Somebody else has the exclusion, or the index is locked.
    Busy,
}

/// Opens the index, if it still is there, and merges one range.
///
/// # Safety
/// Within a transaction.
unsafe fn open_and_merge(oid: pg_sys::Oid, first: bool, spare: &mut Vec<Block>) -> Merged {
    // SAFETY: the table is locked before its index, as everybody does; both are closed again, and
    // their locks end with the transaction.
    unsafe {
        let table_lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let index_lock = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
        let table_oid = pg_sys::IndexGetRelation(oid, true);
        if table_oid == pg_sys::InvalidOid {
            return Merged::Gone;
        }
        let table = pg_sys::try_relation_open(table_oid, table_lock);
        if table.is_null() {
            return Merged::Gone;
        }
        // Whoever drops an extension locks its indexes before their tables, so that waiting here, with
        // the table locked, could end in a deadlock.
        if !pg_sys::ConditionalLockRelationOid(oid, index_lock) {
            pg_sys::relation_close(table, table_lock);
            return Merged::Busy;
        }
        let index = pg_sys::try_relation_open(oid, pg_sys::NoLock as pg_sys::LOCKMODE);
        let mut merged = Merged::Gone;
        if !index.is_null() {
            if am::is_learned(index) && am::is_ready(index) {
                merged = merge_open(index, first, spare);
            }
            pg_sys::relation_close(index, 0);
        }
        pg_sys::relation_close(table, 0);
        merged
    }
}

/// `first`: whether this process has merged nothing of the index yet.
///
/// # Safety
/// `index` is an open learned index.
unsafe fn merge_open(index: pg_sys::Relation, first: bool, spare: &mut Vec<Block>) -> Merged {
    // SAFETY: by contract.
    unsafe {
        // Turned off since the worker was started.
        if !Options::of(index).auto_retrain {
            return Merged::Gone;
        }
        let Some(exclusion) = Exclusion::try_take(index) else { return Merged::Busy };
        let store = IndexStore::new(index);
        let step = merge_or_resume(index, &store, first, spare);
        match step {
            Err(corruption) => raise_corruption(index, corruption),
            Ok(step) => {
                exclusion.release();
                if step == Step::Idle {
                    store.spread_offers();
                    // They are offered to everybody now.
                    spare.clear();
                }
                store.release();
                if step == Step::Idle { Merged::TooLittle } else { Merged::Range }
            }
        }
    }
}

/// # Safety
/// As [`merge_open`].
unsafe fn merge_or_resume(
    index: pg_sys::Relation,
    store: &IndexStore,
    first: bool,
    spare: &mut Vec<Block>,
) -> Result<Step> {
    if first && read_meta(store, &mut 0)?.1.frozen.is_some() {
        // Whoever began this merge did not end it: what it wrote in vain would add up, should it
        // fail again and again.
        sweep(store, &mut || {
            check_for_interrupts!();
        })?;
    }
    // SAFETY: by contract.
    unsafe { merge_range(index, store, Demand::Threshold, spare) }
}
