//! What all sessions of a server know of merging: which workers are about to come, which databases
//! wait for one, and which indexes are left alone because merging them has failed.
//!
//! The board lies in shared memory, which is asked for when the first session needs it: without
//! preloading the server keeps some room for that. All of it is hints. Who may merge is decided by
//! locks; an entry that is missing, late or wrong costs a worker that finds nothing to do, or a
//! wait until the next insert. So fields are written one by one, and where there is no room for an
//! entry it is left out.

use std::sync::atomic::{AtomicI32, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use pgrx::prelude::*;

use crate::relation::OpenIndex;

/// The most workers that may merge at a time.
pub(crate) const SEATS: usize = 64;
const DATABASES: usize = 64;
const FAILURES: usize = 128;

/// The name in shared memory. Builds that lay the board out differently must call it differently.
const NAME: &std::ffi::CStr = c"omendb_learned board 1";

/// How long a worker that was asked for may take to come. After that it counts as failed.
const COMING: i64 = 10_000_000;
/// How long an index is left alone after its first failure. It doubles with each further one.
const SHORTEST_REST: i64 = 1_000_000;
/// A failing index is tried again after at most this time.
const LONGEST_REST: i64 = 300_000_000;
/// A failure that is older than this, counted from the end of the rest, is forgotten.
const REMEMBERED: i64 = 3_600_000_000;

/// The time in microseconds.
pub(crate) fn now() -> i64 {
    // SAFETY: it only reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// Names the file of an index, which REINDEX changes, or a whole database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject(u64);

impl Subject {
    pub(crate) fn database(database: pg_sys::Oid) -> Subject {
        Subject(u64::from(database.to_u32()) << 32)
    }

    pub(crate) fn file_of(index: OpenIndex) -> Subject {
        let file = index.file();
        Subject(u64::from(file.database) << 32 | u64::from(file.number))
    }
}

/// The board. Every value of every field is valid: whatever memory holds at first.
#[repr(C)]
pub(crate) struct Board {
    coming: [Coming; SEATS],
    waiting: [Waiting; DATABASES],
    failures: [Failure; FAILURES],
}

/// A seat for which a worker was asked that has not come yet.
#[repr(C)]
struct Coming {
    subject: AtomicU64,
    /// 0: none was.
    since: AtomicI64,
}

/// A database that has something to merge, and found no seat.
#[repr(C)]
struct Waiting {
    /// 0: none.
    database: AtomicU32,
    since: AtomicI64,
}

/// An index that could not be merged.
#[repr(C)]
struct Failure {
    /// 0: none.
    subject: AtomicU64,
    /// When it is tried again.
    until: AtomicI64,
    times: AtomicI32,
}

const ORDER: Ordering = Ordering::SeqCst;

impl Coming {
    /// `now` may be a little earlier than `since`: another process may have written that after this
    /// one read the clock. Such an entry is not one of a worker that never came.
    fn is_valid(since: i64, now: i64) -> bool {
        since != 0 && (-COMING..COMING).contains(&(now.saturating_sub(since)))
    }
}

impl Failure {
    fn is_remembered(&self, now: i64) -> bool {
        let past = now.saturating_sub(self.until.load(ORDER));
        self.subject.load(ORDER) != 0 && (-LONGEST_REST..REMEMBERED).contains(&past)
    }
}

impl Board {
    const fn new() -> Board {
        Board {
            coming: [const { Coming { subject: AtomicU64::new(0), since: AtomicI64::new(0) } };
                SEATS],
            waiting: [const { Waiting { database: AtomicU32::new(0), since: AtomicI64::new(0) } };
                DATABASES],
            failures: [const {
                Failure {
                    subject: AtomicU64::new(0),
                    until: AtomicI64::new(0),
                    times: AtomicI32::new(0),
                }
            }; FAILURES],
        }
    }

    /// The server's board. Where shared memory has no room for it, one of this process alone, with
    /// which each session counts failures for itself. Call it with nothing locked.
    pub(crate) fn get() -> &'static Board {
        static OWN: Board = Board::new();
        static SHARED: AtomicPtr<Board> = AtomicPtr::new(std::ptr::null_mut());
        let mut board = SHARED.load(Ordering::Relaxed);
        if board.is_null() {
            board = PgTryBuilder::new(|| {
                let mut found = false;
                // SAFETY: no lock is held that the error, which is caught here, would have to let
                // go; the core has released its own by then.
                unsafe { pg_sys::ShmemInitStruct(NAME.as_ptr(), size_of::<Board>(), &mut found) }
                    .cast::<Board>()
            })
            .catch_others(|_| (&raw const OWN).cast_mut())
            .execute();
            SHARED.store(board, Ordering::Relaxed);
        }
        // SAFETY: the core gave memory of this size, aligned to a cache line, which stays as long
        // as the process lives. All fields are atomic, and valid whatever they hold.
        unsafe { &*board }
    }

    /// Takes the right to ask for a worker for a seat, unless another session has asked a short
    /// while ago.
    pub(crate) fn claim(&self, seat: usize, subject: Subject) -> bool {
        let (coming, now) = (&self.coming[seat], now());
        let since = coming.since.load(ORDER);
        if Coming::is_valid(since, now)
            || coming.since.compare_exchange(since, now, ORDER, ORDER).is_err()
        {
            return false;
        }
        let last = coming.subject.swap(subject.0, ORDER);
        if since != 0 && last != 0 {
            // It never came: its library is gone, or its database takes no connections.
            self.failed(Subject(last));
        }
        true
    }

    /// A worker has come to the seat, or was not asked for after all.
    pub(crate) fn unclaim(&self, seat: usize) {
        if let Some(coming) = self.coming.get(seat) {
            coming.subject.store(0, ORDER);
            coming.since.store(0, ORDER);
        }
    }

    /// Whether a worker is about to come for this.
    pub(crate) fn is_coming(&self, subject: Subject) -> bool {
        let now = now();
        self.coming.iter().any(|coming| {
            coming.subject.load(ORDER) == subject.0
                && Coming::is_valid(coming.since.load(ORDER), now)
        })
    }

    /// Notes that a database has something to merge for which there is no seat. The next worker
    /// that has a seat to give sees it.
    pub(crate) fn wait(&self, database: pg_sys::Oid) {
        if self.waits(database) {
            return;
        }
        for waiting in &self.waiting {
            if waiting.database.compare_exchange(0, database.to_u32(), ORDER, ORDER).is_ok() {
                waiting.since.store(now(), ORDER);
                return;
            }
        }
    }

    /// Whether a database waits.
    pub(crate) fn waits(&self, database: pg_sys::Oid) -> bool {
        let database = database.to_u32();
        self.waiting.iter().any(|waiting| waiting.database.load(ORDER) == database)
    }

    /// Takes the note back, before looking for what there is to merge. Whether there was one.
    pub(crate) fn answer(&self, database: pg_sys::Oid) -> bool {
        let mut found = false;
        for waiting in &self.waiting {
            found |= waiting.database.compare_exchange(database.to_u32(), 0, ORDER, ORDER).is_ok();
        }
        found
    }

    /// The databases that wait, but those that are left alone; the one that has waited longest
    /// comes first.
    pub(crate) fn waiting(&self) -> Vec<pg_sys::Oid> {
        let mut found: Vec<(i64, u32)> = self
            .waiting
            .iter()
            .map(|waiting| (waiting.since.load(ORDER), waiting.database.load(ORDER)))
            .filter(|&(_, database)| database != 0)
            .collect();
        found.sort_unstable();
        found
            .into_iter()
            .map(|(_, database)| database.into())
            .filter(|&database| !self.rests(Subject::database(database)))
            .collect()
    }

    /// Whether merging this has failed a short while ago, so that it is left alone.
    pub(crate) fn rests(&self, subject: Subject) -> bool {
        let now = now();
        self.failure_of(subject).is_some_and(|failure| {
            let left = failure.until.load(ORDER).saturating_sub(now);
            // A clock that was put back does not prolong the rest.
            (1..=LONGEST_REST).contains(&left)
        })
    }

    /// Notes that merging this has failed, and returns how long it is left alone.
    pub(crate) fn failed(&self, subject: Subject) -> Duration {
        let now = now();
        let known = self.failure_of(subject);
        let times = known
            .filter(|failure| failure.is_remembered(now))
            .map_or(0, |failure| failure.times.load(ORDER).clamp(0, 30));
        let rest = (SHORTEST_REST << times).min(LONGEST_REST);
        let place = known
            .or_else(|| self.failures.iter().find(|failure| !failure.is_remembered(now)))
            .or_else(|| self.failures.iter().min_by_key(|failure| failure.until.load(ORDER)));
        if let Some(failure) = place {
            failure.until.store(now + rest, ORDER);
            failure.times.store(times + 1, ORDER);
            failure.subject.store(subject.0, ORDER);
        }
        Duration::from_micros(rest as u64)
    }

    /// Notes that this can be merged.
    pub(crate) fn works(&self, subject: Subject) {
        if let Some(failure) = self.failure_of(subject) {
            failure.subject.store(0, ORDER);
        }
    }

    fn failure_of(&self, subject: Subject) -> Option<&Failure> {
        self.failures.iter().find(|failure| failure.subject.load(ORDER) == subject.0)
    }
}
