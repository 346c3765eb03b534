//! Loading an index from entries in any order, within a memory limit.
//!
//! Entries that come in order go straight into leaves and are never sorted. The first one that
//! does not turns everything before it into one of the sorter's inputs. `unique` finds duplicates.

mod unique;

#[cfg(test)]
mod tests;

use std::fmt;

use super::build::{BuildOptions, Builder};
use crate::corruption::Corruption;
use crate::entry::HeapTid;
use crate::key::{Code, Key, Word};
use crate::page::meta::{Identity, State};
use crate::sort::{Sorter, Spill};
use crate::store::BulkStore;

pub use unique::Uniqueness;
use unique::Watch;

/// Why an index cannot be built from the rows given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError<C = Word> {
    /// The index is to be unique, and two living rows have this key.
    Duplicate {
        /// The key, or one of them.
        key: Key<C>,
    },
    /// A row was added twice.
    Twice,
    /// Pages that were written before did not come back as they were.
    Corruption(Corruption),
}

impl<C: Code> From<Corruption> for BuildError<C> {
    fn from(corruption: Corruption) -> BuildError<C> {
        BuildError::Corruption(corruption)
    }
}

impl<C: Code> fmt::Display for BuildError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Duplicate { key } => write!(f, "key {key:?} is duplicated"),
            BuildError::Twice => write!(f, "a row came twice"),
            BuildError::Corruption(corruption) => corruption.fmt(f),
        }
    }
}

impl<C: Code> std::error::Error for BuildError<C> {}

/// The store of a new index, and its state.
pub type Built<W> = (W, State<<W as BulkStore>::Code>);

/// Takes the entries of a new index one by one, in any order.
pub struct Loader<W: BulkStore, S, F> {
    identity: Identity,
    options: BuildOptions,
    /// Bytes for sorting values.
    memory: usize,
    new_spill: F,
    values: Values<W, S>,
    nulls: Sorter<S, W::Code>,
    has_nulls: bool,
    /// Of a unique index.
    watch: Option<Watch<S, W::Code>>,
}

#[expect(clippy::large_enum_variant, reason = "there is one in a build")]
enum Values<W: BulkStore, S> {
    /// In order so far.
    InOrder(Builder<W>),
    Sorting(Sorter<S, W::Code>, W),
    /// What was written did not come back.
    Lost(Corruption),
}

impl<W: BulkStore, S: Spill, F: Fn() -> S> Loader<W, S, F> {
    /// `unique` is for unique indexes only; `memory` is the limit in bytes; `new_spill` makes
    /// temporary storage.
    pub fn new(
        store: W,
        identity: Identity,
        options: BuildOptions,
        unique: Option<Uniqueness>,
        memory: usize,
        new_spill: F,
    ) -> Self {
        // NULLs come in heap order and are few or cheap to spill, and so are the dead rows that a
        // unique index remembers: an eighth each is theirs.
        let share = memory / 8;
        let nulls = Sorter::new(new_spill(), share);
        let watch = unique.map(|unique| Watch::new(unique, identity, new_spill(), share));
        let memory = if unique.is_some() { share * 6 } else { share * 7 };
        let values = Values::InOrder(Builder::new(store, identity, options));
        let has_nulls = false;
        Loader { identity, options, memory, new_spill, values, nulls, has_nulls, watch }
    }

    /// Adds a value by its code. `alive` is false for rows that are deleted and only seen by old
    /// snapshots: they are nobody's duplicates.
    ///
    /// # Errors
    /// A duplicate, if it is noticed already; or if pages that were written before do not come
    /// back as they were.
    #[inline]
    pub fn push(
        &mut self,
        code: W::Code,
        tid: HeapTid,
        alive: bool,
    ) -> Result<(), BuildError<W::Code>> {
        match &mut self.values {
            Values::Sorting(sorter, _) => sorter.push(code, tid),
            Values::InOrder(builder) => {
                if !builder.try_push(code, tid) {
                    self.begin_sorting()?;
                    return self.push(code, tid, alive);
                }
                if let Some(watch) = self.watch.as_mut().filter(|_| alive) {
                    watch.next_in_order(code)?;
                }
            }
            Values::Lost(corruption) => return Err((*corruption).into()),
        }
        if let Some(watch) = self.watch.as_mut().filter(|_| !alive) {
            watch.add_dead(code, tid);
        }
        Ok(())
    }

    /// Adds a NULL. `alive` is as for values.
    ///
    /// # Errors
    /// A duplicate, where NULLs can be duplicates.
    pub fn push_null(&mut self, tid: HeapTid, alive: bool) -> Result<(), BuildError<W::Code>> {
        self.has_nulls = true;
        self.nulls.push(W::Code::MIN, tid);
        match self.watch.as_mut().filter(|_| alive) {
            Some(watch) => watch.add_null(Key::null(self.identity.null_class())),
            None => Ok(()),
        }
    }

    /// Whether all values so far came in order.
    pub fn is_in_order(&self) -> bool {
        matches!(self.values, Values::InOrder(_))
    }

    #[cold]
    fn begin_sorting(&mut self) -> Result<(), BuildError<W::Code>> {
        let lost = Values::Lost(Corruption::not("the pages of a build that goes on"));
        if let Values::InOrder(builder) = std::mem::replace(&mut self.values, lost) {
            let mut sorter = Sorter::new((self.new_spill)(), self.memory);
            let store = builder.into_entries(|code, tid| sorter.push(code, tid))?;
            self.values = Values::Sorting(sorter, store);
        }
        Ok(())
    }

    /// Writes the index.
    ///
    /// # Errors
    /// A duplicate, a row that was added twice, or the error of an earlier call.
    pub fn finish(self) -> Result<Built<W>, BuildError<W::Code>> {
        let mut outcome = Ok(());
        let mut builder = match self.values {
            Values::InOrder(builder) => builder,
            Values::Sorting(sorter, store) => {
                let mut builder = Builder::new(store, self.identity, self.options);
                let mut watch = self.watch.map(|watch| watch.into_sorted((self.new_spill)()));
                sorter.finish(|code, tid| {
                    outcome = outcome.and_then(|()| add(&mut builder, code, tid)).and_then(|()| {
                        watch.as_mut().map_or(Ok(()), |watch| watch.next(code, tid))
                    });
                });
                builder
            }
            Values::Lost(corruption) => return Err(corruption.into()),
        };
        outcome?;
        if self.has_nulls {
            builder.begin_nulls();
            self.nulls.finish(|code, tid| {
                outcome = outcome.and_then(|()| add(&mut builder, code, tid));
            });
            outcome?;
        }
        Ok(builder.finish())
    }
}

/// Adds the next of the sorted entries.
#[inline]
fn add<W: BulkStore>(
    builder: &mut Builder<W>,
    code: W::Code,
    tid: HeapTid,
) -> Result<(), BuildError<W::Code>> {
    if builder.try_push(code, tid) { Ok(()) } else { Err(BuildError::Twice) }
}
