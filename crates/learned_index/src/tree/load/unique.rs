//! Finding the duplicates of a unique index while it is loaded.
//!
//! Dead rows that an older snapshot may still see get entries and are no duplicates. They
//! are kept apart in a sorter of their own, within its memory limit, so that they can be told from
//! the others when all rows have been sorted: the second spool of `nbtsort.c`.

use std::marker::PhantomData;

use super::BuildError;
use crate::entry::HeapTid;
use crate::key::{Code, Key};
use crate::page::meta::{Equality, Identity};
use crate::sort::{Sorter, Spill, pair_len, read_pair};

/// Bytes of sorted dead rows that are written or read at once.
const CHUNK: usize = 16 * 1024;

/// What a unique index asks of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uniqueness {
    /// Whether a second NULL is a duplicate too.
    pub nulls_not_distinct: bool,
}

/// Looks at the rows of a unique index as they come.
pub(super) struct Watch<S, C> {
    uniqueness: Uniqueness,
    identity: Identity,
    dead: Sorter<S, C>,
    living: Living<C>,
    null_is_alive: bool,
}

impl<C: Code, S: Spill> Watch<S, C> {
    /// `memory` is for the dead rows, in bytes.
    pub(super) fn new(
        uniqueness: Uniqueness,
        identity: Identity,
        spill: S,
        memory: usize,
    ) -> Watch<S, C> {
        let (dead, living) = (Sorter::new(spill, memory), Living::of(identity));
        Watch { uniqueness, identity, dead, living, null_is_alive: false }
    }

    /// Remembers that a value's row is dead.
    pub(super) fn add_dead(&mut self, code: C, tid: HeapTid) {
        self.dead.push(code, tid);
    }

    /// The next value that is alive, while all values come in index order.
    #[inline]
    pub(super) fn next_in_order(&mut self, code: C) -> Result<(), BuildError<C>> {
        self.living.next(code)
    }

    /// A NULL that is alive, in any order.
    pub(super) fn add_null(&mut self, key: Key<C>) -> Result<(), BuildError<C>> {
        if self.uniqueness.nulls_not_distinct && self.null_is_alive {
            return Err(BuildError::Duplicate { key });
        }
        self.null_is_alive = true;
        Ok(())
    }

    /// For looking at all values again, in index order. `spill` is for the dead rows in order.
    pub(super) fn into_sorted(self, spill: S) -> SortedWatch<S, C> {
        let mut dead = DeadRows::sort(self.dead, spill);
        let next_dead = dead.next();
        SortedWatch { dead, next_dead, living: Living::of(self.identity) }
    }
}

/// Looks at the values of a unique index in index order, the dead among them.
pub(super) struct SortedWatch<S, C> {
    dead: DeadRows<S, C>,
    next_dead: Option<(C, HeapTid)>,
    living: Living<C>,
}

impl<C: Code, S: Spill> SortedWatch<S, C> {
    #[inline]
    pub(super) fn next(&mut self, code: C, tid: HeapTid) -> Result<(), BuildError<C>> {
        if self.next_dead == Some((code, tid)) {
            self.next_dead = self.dead.next();
            return Ok(());
        }
        self.living.next(code)
    }
}

/// The living value that came last. Dead ones between it and its duplicate change nothing.
struct Living<C> {
    equality: Equality,
    /// The first of the codes that are equal to its own.
    last: Option<C>,
}

impl<C: Code> Living<C> {
    fn of(identity: Identity) -> Living<C> {
        Living { equality: identity.equality::<C>(), last: None }
    }

    #[inline]
    fn next(&mut self, code: C) -> Result<(), BuildError<C>> {
        let key = Key::value(code);
        let first = self.equality.range_of(key).0.code;
        if self.last.replace(first) == Some(first) {
            return Err(BuildError::Duplicate { key });
        }
        Ok(())
    }
}

/// The dead rows in index order, one by one: from a run where they do not fit the buffer.
struct DeadRows<S, C> {
    codes: PhantomData<C>,
    spill: S,
    run: usize,
    /// Rows of the run that were not in the buffer yet.
    unread: usize,
    buffer: Vec<u8>,
    at: usize,
}

impl<C: Code, S: Spill> DeadRows<S, C> {
    fn sort(dead: Sorter<S, C>, mut spill: S) -> DeadRows<S, C> {
        let mut buffer = Vec::new();
        let (mut run, mut written) = (None, 0);
        dead.finish(|code, tid| {
            if buffer.len() >= CHUNK {
                let run = *run.get_or_insert_with(|| spill.create_run());
                spill.write(run, &buffer);
                written += buffer.len() / pair_len::<C>();
                buffer.clear();
            }
            buffer.extend_from_slice(code.as_bytes());
            buffer.extend_from_slice(&tid.to_u64().to_le_bytes());
        });
        if let Some(run) = run {
            spill.write(run, &buffer);
            written += buffer.len() / pair_len::<C>();
            buffer.clear();
        }
        let (run, codes) = (run.unwrap_or(0), PhantomData);
        DeadRows { codes, spill, run, unread: written, buffer, at: 0 }
    }

    fn next(&mut self) -> Option<(C, HeapTid)> {
        if self.at == self.buffer.len() && self.unread > 0 {
            let pairs = self.unread.min(CHUNK / pair_len::<C>());
            self.buffer.resize(pairs * pair_len::<C>(), 0);
            self.spill.read(self.run, &mut self.buffer);
            self.unread -= pairs;
            self.at = 0;
        }
        let (code, tid) = read_pair(self.buffer.get(self.at..)?)?;
        self.at += pair_len::<C>();
        Some((code, HeapTid::from_u64(tid)))
    }
}
