//! The background worker that merges.
//!
//! It is bound to a database, and merges the index that it was started for, then the others that
//! have enough to merge while its database waits for a worker, the neediest first. When another
//! database waits and no seat of the server is free it gives its own away before it begins with the
//! next index, or once more with the same: rows may come as fast as they are merged. When nobody
//! waits it ends at once.
//!
//! An index is merged range by range, each in a transaction of its own, for which it takes no
//! snapshot but those of catalog lookups: it holds nothing back for long, and between two ranges a
//! session that waits for a lock on the table or the index gets it. It never waits for such a lock
//! itself. It keeps the core's handling of signals, so that it ends at once when told to.
//!
//! - `due`: which indexes need to be merged
//! - `opened`, `attempt`: working on one that may be locked, or damaged

mod attempt;
mod due;
mod opened;

use std::ffi::c_int;
use std::time::Duration;

use learned_index::corruption::Result;
use learned_index::entry::Block;
use learned_index::store::Update;
use learned_index::tree::directory::read_meta;
use learned_index::tree::merge::{Step, delta_entries};
use learned_index::tree::vacuum::sweep;
use pgrx::prelude::*;

use crate::column::code::{IndexCode, with_code};
use crate::merge::board::{Board, Subject};
use crate::merge::exclusion::Exclusion;
use crate::merge::range::{Cause, merge_range};
use crate::merge::seats::{Seat, is_undisturbed, limit};
use crate::merge::start::{Order, start_for_waiting};
use crate::merge::wait::wait;
use crate::relation::OpenIndex;
use crate::storage::buffers::IndexStore;
use attempt::{Attempt, attempt, in_transaction};
use due::due;
use opened::{Opened, open};

/// Tries to merge an index that another session has locked, and the time between two.
const TRIES: usize = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);
/// Tries to take the seat that was free when the worker was asked for, and the time between two.
const SEAT_TRIES: usize = 20;
const BETWEEN_SEAT_TRIES: Duration = Duration::from_millis(10);

/// What the worker does. The postmaster finds it by its name, which `merge/start.rs` gives.
///
/// # Safety
/// Called by the core, in a new process.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn omendb_learned_retrain_main(argument: pg_sys::Datum) {
    // SAFETY: the process is new: nothing is open.
    unsafe {
        let order = Order::of_this_worker(argument);
        handle_signals();
        pg_sys::BackgroundWorkerUnblockSignals();
        pg_sys::BackgroundWorkerInitializeConnectionByOid(order.database, pg_sys::InvalidOid, 0);
        let board = Board::get();
        let seat = Seat::of_server(order.seat);
        let seated = sit(&seat);
        // Only now, so that the seat is never both free and not asked for.
        board.unclaim(order.seat);
        if !seated {
            board.wait(order.database);
            return;
        }
        let worker = Worker { database: order.database, seat: order.seat, board };
        worker.merge_all(order.index);
        in_transaction(|| {
            seat.leave();
            // Those too that have found no seat since the last look.
            start_for_waiting(None)
        });
    }
}

/// Takes a seat. False if another process keeps it.
fn sit(seat: &Seat) -> bool {
    for _ in 0..SEAT_TRIES {
        if in_transaction(|| seat.try_take()) {
            return true;
        }
        wait(BETWEEN_SEAT_TRIES);
        check_for_interrupts!();
    }
    false
}

/// Makes SIGTERM end the process at the next check for interrupts, as it ends a session, and SIGHUP
/// have it read the configuration again.
unsafe fn handle_signals() {
    // SAFETY: both are the core's own handlers.
    unsafe {
        for (signal, handler) in
            [(SIGTERM, die as Handler), (SIGHUP, SignalHandlerForConfigReload as Handler)]
        {
            #[cfg(feature = "pg18")]
            pg_sys::pqsignal_be(signal, Some(handler));
            #[cfg(not(feature = "pg18"))]
            pg_sys::pqsignal(signal, Some(handler));
        }
    }
}

type Handler = unsafe extern "C-unwind" fn(c_int);

unsafe extern "C-unwind" {
    /// The handler of SIGTERM in sessions, in tcop/postgres.c.
    fn die(signal: c_int);
    /// The handler of SIGHUP in sessions, in postmaster/interrupt.c.
    fn SignalHandlerForConfigReload(signal: c_int);
}

// They have these numbers on every system that PostgreSQL runs on.
const SIGHUP: c_int = 1;
const SIGTERM: c_int = 15;

/// What became of one range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merged {
    Range,
    /// The last range of a frozen tree. There may be enough again, but a database waits.
    Turn,
    /// There is less than the threshold.
    TooLittle,
    /// There is no such index, or it is not for workers any more, or merging it has failed.
    Gone,
    /// Another session has the exclusion, or the table or the index is locked.
    Busy,
    /// The worker has to end.
    Leave,
}

/// A worker that has a seat of the server.
struct Worker {
    database: pg_sys::Oid,
    seat: usize,
    board: &'static Board,
}

impl Worker {
    /// Merges an index; if it is invalid, all indexes that have enough to merge. Goes on with those
    /// that have enough as long as this database waits for a seat.
    fn merge_all(&self, first: pg_sys::Oid) {
        let mut indexes = vec![first];
        let mut given = first != pg_sys::InvalidOid;
        loop {
            if !given {
                // SAFETY: no transaction is open.
                indexes = unsafe { due() };
            }
            if !self.merge_each(&indexes) {
                // Something may be left. It has had its turn: an older note would put it in front
                // of the others again.
                self.board.answer(self.database);
                self.board.wait(self.database);
                return;
            }
            given = false;
            // Taken back before the look at what is due: who notes it after that is seen the next
            // time.
            if !self.board.answer(self.database) {
                return;
            }
        }
    }

    /// Merges some indexes. False if the worker has to end.
    fn merge_each(&self, indexes: &[pg_sys::Oid]) -> bool {
        let mut busy = Vec::new();
        for &index in indexes {
            match self.merge_index(index) {
                Merged::Leave => return false,
                Merged::Busy => busy.push(index),
                _ => {}
            }
            if self.is_wanted_elsewhere() {
                return false;
            }
        }
        let mut has_merged = busy.len() < indexes.len();
        for _ in 0..TRIES {
            // Who waits now is served before those that cannot be. They are looked at again with
            // the others.
            if busy.is_empty() || has_merged && self.board.waits(self.database) {
                break;
            }
            // The next round may find the same again.
            has_merged = true;
            wait(BETWEEN_TRIES);
            let mut left = false;
            busy.retain(|&index| {
                let merged = if left { Merged::Busy } else { self.merge_index(index) };
                left |= merged == Merged::Leave;
                merged == Merged::Busy
            });
            if left || self.is_wanted_elsewhere() {
                return false;
            }
        }
        true
    }

    /// Whether another database waits, and no other seat is free.
    fn is_wanted_elsewhere(&self) -> bool {
        // SAFETY: within a transaction.
        in_transaction(|| unsafe { !start_for_waiting(Some(self.database)) })
    }

    /// Merges range after range until there is less than the threshold. Where a database waits,
    /// only until everything is merged that was there when the tree was frozen: [`due()`] then
    /// comes back to the index.
    fn merge_index(&self, index: pg_sys::Oid) -> Merged {
        let seat = Seat::of_index(index);
        let mut spare = Vec::new();
        let mut first = true;
        while in_transaction(|| seat.try_take()) {
            let ended = loop {
                match self.merge_once(index, first, &mut spare) {
                    Merged::Range => first = false,
                    other => break other,
                }
            };
            in_transaction(|| seat.leave());
            if ended != Merged::TooLittle {
                return ended;
            }
            // A session that found enough to merge after the last look, and the seat taken, has
            // left it to this worker.
            match self.merge_once(index, false, &mut spare) {
                Merged::Range => first = false,
                other => return other,
            }
        }
        // Another worker is at it, and looks once more too.
        Merged::TooLittle
    }

    /// Merges one range, in a transaction of its own. `first`: this worker has merged nothing of
    /// the index yet.
    fn merge_once(&self, index: pg_sys::Oid, first: bool, spare: &mut Vec<Block>) -> Merged {
        check_for_interrupts!();
        reload_configuration();
        // SAFETY: no transaction is open, and `attempt` opens one.
        let merged =
            unsafe { attempt(|attempt| self.open_and_merge(index, attempt, first, spare)) };
        merged.unwrap_or(Merged::Gone)
    }

    /// Opens the index, if it still is there, and merges one range.
    ///
    /// # Safety
    /// Within a transaction.
    unsafe fn open_and_merge(
        &self,
        index: pg_sys::Oid,
        attempt: &Attempt,
        first: bool,
        spare: &mut Vec<Block>,
    ) -> Merged {
        // SAFETY: by contract.
        unsafe {
            if self.seat >= limit() || !is_undisturbed(self.database) {
                return Merged::Leave;
            }
            let opened = match open(index) {
                Opened::Index(opened) => opened,
                Opened::Gone => return Merged::Gone,
                Opened::Busy => return Merged::Busy,
            };
            attempt.is_about(&opened, "merging index");
            let waiting = with_code!(opened.index, C => waiting::<C>(opened.index));
            attempt.goes_on(&format!("about {waiting} rows wait"));
            let mut merged =
                with_code!(opened.index, C => merge_open::<C>(opened.index, first, spare));
            if matches!(merged, Merged::Range | Merged::Turn | Merged::TooLittle) {
                self.board.works(Subject::file_of(opened.index));
            }
            if merged == Merged::Turn {
                let waited_for = self.board.waits(self.database);
                if waited_for || !start_for_waiting(Some(self.database)) {
                    with_code!(opened.index, C => {
                        let store: IndexStore<C> = IndexStore::new(opened.index);
                        offer_to_all(&store, spare);
                        store.release();
                    });
                } else {
                    merged = Merged::Range;
                }
            }
            opened.close();
            merged
        }
    }
}

fn reload_configuration() {
    // SAFETY: a variable of this process, which the handler of SIGHUP sets; no transaction is open.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// The rows that wait to be merged, about.
fn waiting<C: IndexCode>(index: OpenIndex) -> u64 {
    let store: IndexStore<C> = IndexStore::new(index);
    let waiting = delta_entries(&store);
    store.release();
    waiting.unwrap_or_else(|corruption| index.raise_corruption(corruption))
}

/// Merges one range. [`Merged::Turn`] if it was the last one, whether another database waits or
/// not.
fn merge_open<C: IndexCode>(index: OpenIndex, first: bool, spare: &mut Vec<Block>) -> Merged {
    // Turned off since the worker was started.
    if !index.options().auto_retrain {
        return Merged::Gone;
    }
    let Some(exclusion) = Exclusion::try_take(index) else { return Merged::Busy };
    let store: IndexStore<C> = IndexStore::new(index);
    let step = match merge_or_resume(&store, first, spare) {
        Err(corruption) => index.raise_corruption(corruption),
        Ok(step) => step,
    };
    exclusion.release();
    if step == Step::Idle {
        offer_to_all(&store, spare);
    }
    store.release();
    match step {
        Step::Idle => Merged::TooLittle,
        Step::Published { dropped: true, .. } => Merged::Turn,
        Step::Published { .. } => Merged::Range,
    }
}

/// Lets others find the blocks that this worker has freed.
fn offer_to_all<C: IndexCode>(store: &IndexStore<C>, spare: &mut Vec<Block>) {
    store.spread_offers();
    spare.clear();
}

fn merge_or_resume<C: IndexCode>(
    store: &IndexStore<C>,
    first: bool,
    spare: &mut Vec<Block>,
) -> Result<Step> {
    if first && read_meta(store, &mut 0)?.1.frozen.is_some() {
        // The session that began this merge did not end it: the pages that it wrote would add up,
        // should it fail again and again.
        sweep(store, &mut || {
            check_for_interrupts!();
        })?;
    }
    merge_range(store, Cause::Worker, spare)
}
