//! Predicate locks: what a serializable transaction reads of an index, and whom a row that it
//! inserts concerns.
//!
//! The core knows locks on a relation and on its blocks. A block's number is but a number to it:
//! here it stands for a part of the keys (`learned_index::predicate`). Such a lock holds wherever
//! entries are moved to, and needs no care when a page is split or an index merged. Where the index
//! goes away, the core makes a lock on the table of it.
//!
//! Readers lock, then read; writers insert, then look for locks. So either the reader finds the
//! entry, or the writer finds the lock (PROTOCOL.md, "Serializable").

use std::cell::RefCell;
use std::collections::HashMap;

use learned_index::key::{Code, Key};
use learned_index::predicate::{GROUPS, Held, Lock, MOST_PARTS, marker, parts_of};
use learned_index::tree::scan::PredicateLocks;
use pgrx::pg_sys;
use pgrx::pg_sys::ffi;

use crate::relation::{OpenIndex, OpenTable};

use predicate_h::{
    CheckForSerializableConflictIn, PageIsPredicateLocked, PredicateLockPage, PredicateLockRelation,
};

/// Of storage/predicate.h, which pgrx does not bind. All of them may raise errors: they are called
/// within a guard, many at once, since a guard costs more than most of them.
mod predicate_h {
    use pgrx::pg_sys;

    unsafe extern "C-unwind" {
        pub(super) fn PredicateLockRelation(relation: pg_sys::Relation, snapshot: pg_sys::Snapshot);
        pub(super) fn PredicateLockPage(
            relation: pg_sys::Relation,
            block: pg_sys::BlockNumber,
            snapshot: pg_sys::Snapshot,
        );
        pub(super) fn PageIsPredicateLocked(
            relation: pg_sys::Relation,
            block: pg_sys::BlockNumber,
        ) -> bool;
        pub(super) fn CheckForSerializableConflictIn(
            relation: pg_sys::Relation,
            tid: pg_sys::ItemPointer,
            block: pg_sys::BlockNumber,
        );
    }
}

/// Whether a snapshot sees only what is committed for it: `IsMVCCSnapshot` of snapmgr.h.
///
/// # Safety
/// `snapshot` is null or valid.
pub(super) unsafe fn is_mvcc(snapshot: pg_sys::Snapshot) -> bool {
    // SAFETY: by contract.
    unsafe { snapshot.as_ref() }.is_some_and(|snapshot| {
        snapshot.snapshot_type == pg_sys::SnapshotType::SNAPSHOT_MVCC
            || snapshot.snapshot_type == pg_sys::SnapshotType::SNAPSHOT_HISTORIC_MVCC
    })
}

/// Whether a transaction takes part in what follows: predicate locks are for serializable ones, on
/// tables that others see too.
#[inline]
fn is_serializable(index: OpenIndex) -> bool {
    // SAFETY: the level is this session's own.
    let level = unsafe { pg_sys::XactIsoLevel };
    level == pg_sys::XACT_SERIALIZABLE as i32 && !index.is_temporary()
}

/// Locks all of a table for a serializable transaction that counts its rows.
///
/// # Safety
/// The relations are open, and `snapshot` is null or valid.
pub(super) unsafe fn lock_table_if_serializable(
    index: OpenIndex,
    table: OpenTable,
    snapshot: pg_sys::Snapshot,
) {
    // SAFETY: by contract.
    unsafe {
        if locks_reads(index, snapshot) {
            ffi::pg_guard_ffi_boundary(
                #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                || PredicateLockRelation(table.raw(), snapshot),
            );
        }
    }
}

/// Whether a scan has to lock what it reads.
///
/// # Safety
/// `snapshot` is null or valid.
#[inline]
pub(super) unsafe fn locks_reads(index: OpenIndex, snapshot: pg_sys::Snapshot) -> bool {
    // SAFETY: by contract.
    is_serializable(index) && unsafe { is_mvcc(snapshot) }
}

/// What the transaction that runs, or ran last, has locked of each index.
#[derive(Default)]
struct Taken {
    transaction: pg_sys::LocalTransactionId,
    indexes: HashMap<pg_sys::Oid, Held>,
}

thread_local! {
    static TAKEN: RefCell<Taken> = RefCell::default();
}

/// The number of this session's transaction. A session never has two at once, and numbers them one
/// after the other.
fn transaction() -> pg_sys::LocalTransactionId {
    // SAFETY: a session that reads an index has an entry among the processes.
    let process = unsafe { &*pg_sys::MyProc };
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    let number = process.lxid;
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    let number = process.vxid.lxid;
    number
}

/// The locks of a scan.
pub(super) struct ReadLocks {
    index: OpenIndex,
    snapshot: pg_sys::Snapshot,
    held: Held,
}

/// Reads with what it takes to lock what is read.
///
/// # Safety
/// As [`locks_reads`], which has said so.
pub(super) unsafe fn with_read_locks<T>(
    index: OpenIndex,
    snapshot: pg_sys::Snapshot,
    read: impl FnOnce(&mut ReadLocks) -> T,
) -> T {
    let transaction = transaction();
    let oid = index.oid();
    let held = TAKEN.with_borrow_mut(|taken| {
        if taken.transaction != transaction {
            *taken = Taken { transaction, ..Taken::default() };
        }
        taken.indexes.remove(&oid).unwrap_or_default()
    });
    let mut locks = ReadLocks { index, snapshot, held };
    // After an error what was locked is forgotten, and locked once more.
    let outcome = read(&mut locks);
    TAKEN.with_borrow_mut(|taken| taken.indexes.insert(oid, locks.held));
    outcome
}

impl PredicateLocks for ReadLocks {
    const LOCKS: bool = true;

    fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    fn lock(&mut self, lock: Lock) {
        let (index, snapshot) = (self.index.raw(), self.snapshot);
        let number = lock.number();
        // SAFETY: the index is open and the snapshot valid as long as the scan goes on; no page is
        // locked.
        unsafe {
            ffi::pg_guard_ffi_boundary(
                #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                || match number {
                    Some(number) => PredicateLockPage(index, number, snapshot),
                    None => PredicateLockRelation(index, snapshot),
                },
            );
        }
    }
}

/// Fails if this transaction cannot be serialized with one that has read where this key is.
///
/// To be called when the entry is in: a scan that locked before it read the place has either found
/// the entry, or its lock is found here. The lock on the whole index is looked for last, because a
/// session that replaces others by it takes it first.
///
/// # Safety
/// None of the index's pages is locked by this session.
pub(super) unsafe fn check_readers<C: Code>(index: OpenIndex, key: Key<C>) {
    if !is_serializable(index) {
        return;
    }
    let index = index.raw();
    // SAFETY: by contract.
    unsafe {
        // Asking costs less than checking, which also looks at the whole index each time.
        let mut marked = [false; GROUPS];
        ffi::pg_guard_ffi_boundary(
            #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
            || marked = std::array::from_fn(|group| PageIsPredicateLocked(index, marker(group))),
        );
        let (mut numbers, mut count) = ([0; MOST_PARTS], 0);
        parts_of(key.word(), |part| {
            if marked[part.group()] {
                numbers[count] = part.number();
                count += 1;
            }
        });
        let numbers = &numbers[..count];
        let no_row = std::ptr::null_mut();
        ffi::pg_guard_ffi_boundary(
            #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
            || {
                for &number in numbers {
                    if PageIsPredicateLocked(index, number) {
                        CheckForSerializableConflictIn(index, no_row, number);
                    }
                }
                CheckForSerializableConflictIn(index, no_row, pg_sys::InvalidBlockNumber);
            },
        );
    }
}
