//! Finding the duplicates of a unique index while it is loaded.
//!
//! Dead rows that an older snapshot may still see get entries and are no duplicates. They
//! are kept apart in a sorter of their own, within its memory limit, so that they can be told from
//! the others when all rows have been sorted: the second spool of `nbtsort.c`.

use super::BuildError;
use crate::entry::HeapTid;
use crate::key::{Code, Key};
use crate::sort::{Sorter, Spill};

/// Bytes of sorted dead rows that are written or read at once.
const CHUNK: usize = 16 * 1024;
const PAIR_LEN: usize = size_of::<(u64, u64)>();

/// What a unique index asks of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uniqueness {
    /// Whether a second NULL is a duplicate too.
    pub nulls_not_distinct: bool,
}

/// Looks at the rows of a unique index as they come.
pub(super) struct Watch<S> {
    uniqueness: Uniqueness,
    dead: Sorter<S>,
    living: Living,
    null_is_alive: bool,
}

impl<S: Spill> Watch<S> {
    /// `memory` is for the dead rows, in bytes.
    pub(super) fn new(uniqueness: Uniqueness, spill: S, memory: usize) -> Watch<S> {
        let dead = Sorter::new(spill, memory);
        Watch { uniqueness, dead, living: Living::default(), null_is_alive: false }
    }

    /// Remembers that a value's row is dead.
    pub(super) fn add_dead(&mut self, code: Code, tid: HeapTid) {
        self.dead.push(code, tid);
    }

    /// The next value that is alive, while all values come in index order.
    #[inline]
    pub(super) fn next_in_order(&mut self, code: Code) -> Result<(), BuildError> {
        self.living.next(code)
    }

    /// A NULL that is alive, in any order.
    pub(super) fn add_null(&mut self, key: Key) -> Result<(), BuildError> {
        if self.uniqueness.nulls_not_distinct && self.null_is_alive {
            return Err(BuildError::Duplicate { key });
        }
        self.null_is_alive = true;
        Ok(())
    }

    /// For looking at all values again, in index order. `spill` is for the dead rows in order.
    pub(super) fn into_sorted(self, spill: S) -> SortedWatch<S> {
        let mut dead = DeadRows::sort(self.dead, spill);
        let next_dead = dead.next();
        SortedWatch { dead, next_dead, living: Living::default() }
    }
}

/// Looks at the values of a unique index in index order, the dead among them.
pub(super) struct SortedWatch<S> {
    dead: DeadRows<S>,
    next_dead: Option<(Code, HeapTid)>,
    living: Living,
}

impl<S: Spill> SortedWatch<S> {
    #[inline]
    pub(super) fn next(&mut self, code: Code, tid: HeapTid) -> Result<(), BuildError> {
        if self.next_dead == Some((code, tid)) {
            self.next_dead = self.dead.next();
            return Ok(());
        }
        self.living.next(code)
    }
}

/// The living value that came last. Dead ones between it and its duplicate change nothing.
#[derive(Default)]
struct Living {
    last: Option<Code>,
}

impl Living {
    #[inline]
    fn next(&mut self, code: Code) -> Result<(), BuildError> {
        if self.last.replace(code) == Some(code) {
            return Err(BuildError::Duplicate { key: Key::value(code) });
        }
        Ok(())
    }
}

/// The dead rows in index order, one by one: from a run where they do not fit the buffer.
struct DeadRows<S> {
    spill: S,
    run: usize,
    /// Rows of the run that were not in the buffer yet.
    unread: usize,
    buffer: Vec<u8>,
    at: usize,
}

impl<S: Spill> DeadRows<S> {
    fn sort(dead: Sorter<S>, mut spill: S) -> DeadRows<S> {
        let mut buffer = Vec::new();
        let (mut run, mut written) = (None, 0);
        dead.finish(|code, tid| {
            if buffer.len() >= CHUNK {
                let run = *run.get_or_insert_with(|| spill.create_run());
                spill.write(run, &buffer);
                written += buffer.len() / PAIR_LEN;
                buffer.clear();
            }
            buffer.extend_from_slice(&code.to_le_bytes());
            buffer.extend_from_slice(&tid.to_u64().to_le_bytes());
        });
        if let Some(run) = run {
            spill.write(run, &buffer);
            written += buffer.len() / PAIR_LEN;
            buffer.clear();
        }
        DeadRows { spill, run: run.unwrap_or(0), unread: written, buffer, at: 0 }
    }

    fn next(&mut self) -> Option<(Code, HeapTid)> {
        if self.at == self.buffer.len() && self.unread > 0 {
            let pairs = self.unread.min(CHUNK / PAIR_LEN);
            self.buffer.resize(pairs * PAIR_LEN, 0);
            self.spill.read(self.run, &mut self.buffer);
            self.unread -= pairs;
            self.at = 0;
        }
        let (pair, _) = self.buffer.get(self.at..)?.split_first_chunk::<PAIR_LEN>()?;
        self.at += PAIR_LEN;
        let (code, tid) = pair.split_first_chunk::<8>()?;
        let tid = u64::from_le_bytes(*tid.first_chunk::<8>()?);
        Some((u64::from_le_bytes(*code), HeapTid::from_u64(tid)))
    }
}
