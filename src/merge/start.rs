//! Asking for a background worker.
//!
//! A session asks when an insert of its has found enough to merge, for a seat of the server that is
//! free. If there is none it notes on the board that its database waits, and a worker that has a
//! seat to give does the rest. So the session need not come again.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::board::{Board, Subject};
use super::exclusion::Exclusion;
use super::seats::{Seat, is_undisturbed, limit};
use crate::relation::OpenIndex;

const LIBRARY: &[u8] = b"omendb_learned";
/// The worker's main function, in `worker`.
const FUNCTION: &CStr = c"omendb_learned_retrain_main";
/// What pg_stat_activity shows.
const TYPE: &CStr = c"learned retrain";

/// How long a session asks for no worker after the postmaster had no slot for one.
const AFTER_NO_SLOT: Duration = Duration::from_secs(10);

thread_local! {
    /// When this session may ask again.
    static NEXT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What a worker is told.
pub(crate) struct Order {
    pub(crate) database: pg_sys::Oid,
    /// The index to begin with. Invalid: whichever needs it most.
    pub(crate) index: pg_sys::Oid,
    /// The seat that was free.
    pub(crate) seat: usize,
}

/// What became of asking.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Coming,
    /// All seats are taken.
    NoSeat,
    /// The postmaster has no slot for a worker.
    NoSlot,
}

/// Has an index merged, now or when a worker has time for it. Nothing is locked or pinned.
pub(super) fn start(index: OpenIndex) {
    if limit() == 0 || NEXT.get().is_some_and(|next| Instant::now() < next) {
        return;
    }
    let board = Board::get();
    let (oid, subject) = (index.oid(), Subject::file_of(index));
    // A worker that merges it, or is about to, looks once more after it has left the seat.
    if board.rests(subject) || board.is_coming(subject) || !Seat::of_index(oid).is_free() {
        return;
    }
    // Where another session has the exclusion, most often VACUUM, which merges at its end, a worker
    // could only wait.
    if Exclusion::try_take(index).map(Exclusion::release).is_none() {
        return;
    }
    // SAFETY: a variable of this process, set when it connected.
    let database = unsafe { pg_sys::MyDatabaseId };
    let mut answer = ask(board, database, oid, subject);
    if answer != Answer::Coming {
        board.wait(database);
    }
    if answer == Answer::NoSeat {
        // One may have become free meanwhile, and its worker not have seen that this database
        // waits.
        answer = ask(board, database, oid, subject);
    }
    if answer == Answer::NoSlot {
        NEXT.set(Some(Instant::now() + AFTER_NO_SLOT));
    }
}

/// Gives the free seats to the databases that wait, the one that has waited longest first. False if
/// one goes on waiting because no seat is free.
///
/// # Safety
/// Within a transaction.
pub(crate) unsafe fn start_for_waiting(but: Option<pg_sys::Oid>) -> bool {
    let board = Board::get();
    for database in board.waiting().into_iter().filter(|&database| Some(database) != but) {
        let subject = Subject::database(database);
        // SAFETY: by contract.
        unsafe {
            // While it is dropped or copied, a worker would wait for the end, and may then fail.
            if board.is_coming(subject) || !is_undisturbed(database) {
                continue;
            }
            if pg_sys::get_database_name(database).is_null() {
                board.answer(database);
                continue;
            }
        }
        match ask(board, database, pg_sys::InvalidOid, subject) {
            Answer::Coming => {}
            Answer::NoSeat => return false,
            Answer::NoSlot => break,
        }
    }
    true
}

/// Asks for a worker for a seat that is free.
fn ask(board: &Board, database: pg_sys::Oid, index: pg_sys::Oid, subject: Subject) -> Answer {
    for seat in (0..limit()).filter(|&seat| board.claim(seat, subject)) {
        if Seat::of_server(seat).is_free() {
            if register(&Order { database, index, seat }) {
                return Answer::Coming;
            }
            board.unclaim(seat);
            return Answer::NoSlot;
        }
        board.unclaim(seat);
    }
    Answer::NoSeat
}

/// Asks the postmaster for a worker. False if it has no slot for one.
fn register(order: &Order) -> bool {
    let mut worker = pg_sys::BackgroundWorker {
        bgw_flags: (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION)
            as i32,
        bgw_start_time: pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished,
        bgw_restart_time: pg_sys::BGW_NEVER_RESTART,
        bgw_main_arg: pg_sys::Datum::from(order.index.to_u32()),
        ..Default::default()
    };
    put(&mut worker.bgw_name, TYPE.to_bytes());
    put(&mut worker.bgw_type, TYPE.to_bytes());
    put(&mut worker.bgw_function_name, FUNCTION.to_bytes());
    let room = worker.bgw_library_name.len() - 1;
    put(&mut worker.bgw_library_name, &library(room));
    let extra = [order.database.to_u32(), order.seat as u32].map(u32::to_ne_bytes).concat();
    put(&mut worker.bgw_extra, &extra);
    // SAFETY: the worker is described completely; nobody asks for its handle.
    unsafe { pg_sys::RegisterDynamicBackgroundWorker(&mut worker, std::ptr::null_mut()) }
}

/// Copies bytes into a field, which is larger.
fn put(field: &mut [c_char], bytes: &[u8]) {
    for (place, &byte) in field.iter_mut().zip(bytes) {
        *place = byte as c_char;
    }
}

impl Order {
    /// The order that this worker was started with.
    ///
    /// # Safety
    /// Within the main function of a worker, which was given the argument.
    pub(crate) unsafe fn of_this_worker(argument: pg_sys::Datum) -> Order {
        // SAFETY: by contract the entry of the worker is its own.
        let extra = unsafe { &(*pg_sys::MyBgworkerEntry).bgw_extra };
        let number = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|i| extra[at + i] as u8));
        Order {
            database: number(0).into(),
            index: pg_sys::Oid::from(argument.value() as u32),
            seat: number(4) as usize,
        }
    }
}

/// `Dl_info` of dlfcn.h.
#[repr(C)]
struct DlInfo {
    file: *const c_char,
    base: *mut c_void,
    symbol: *const c_char,
    address: *mut c_void,
}

// Without pgrx's guard: it raises no error.
unsafe extern "C" {
    fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
}

/// The name by which a worker finds the library that this session has loaded, of at most `room`
/// bytes.
///
/// The worker loads it before it is connected to a database, with the `dynamic_library_path` of the
/// server's configuration, while that of this session's role or database may be another. Therefore
/// a path. PostgreSQL 15 and 16 take 95 bytes: there a long one is named from the server's own
/// directory, and where it lies elsewhere the worker has to search for the library. From 17 on
/// there is room for any path, and 18 takes `$libdir/` for the name alone.
fn library(room: usize) -> Vec<u8> {
    // Any function of this library.
    let here = library as *const c_void;
    let mut found = DlInfo {
        file: std::ptr::null(),
        base: std::ptr::null_mut(),
        symbol: std::ptr::null(),
        address: std::ptr::null_mut(),
    };
    // SAFETY: the address is that of a function of this library; the file's name, if there is one,
    // is a C string that stays as long as the library is loaded. pkglib_path is one too.
    let (path, directory) = unsafe {
        if dladdr(here, &mut found) == 0 || found.file.is_null() {
            return LIBRARY.to_vec();
        }
        let directory = CStr::from_ptr((&raw const pg_sys::pkglib_path).cast());
        (CStr::from_ptr(found.file).to_bytes(), directory.to_bytes())
    };
    if path.starts_with(b"/") && path.len() <= room {
        return path.to_vec();
    }
    let within = path.strip_prefix(directory).filter(|rest| rest.starts_with(b"/"));
    let named = within.map(|rest| [b"$libdir", rest].concat());
    named.filter(|name| name.len() <= room).unwrap_or(LIBRARY.to_vec())
}
