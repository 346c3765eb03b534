//! Loading an index from entries in any order, within a memory limit.
//!
//! Entries that come in order go straight into leaves and are never sorted. The first one that
//! does not turns everything before it into one of the sorter's inputs.

use super::build::{BuildOptions, Builder};
use crate::corruption::Result;
use crate::entry::HeapTid;
use crate::page::meta::{Identity, State};
use crate::sort::{Sorter, Spill};
use crate::store::BulkStore;

/// Takes the entries of a new index one by one, in any order.
pub struct Loader<W, S, F> {
    identity: Identity,
    options: BuildOptions,
    memory: usize,
    new_spill: F,
    values: Values<W, S>,
    nulls: Sorter<S>,
    has_nulls: bool,
}

enum Values<W, S> {
    /// In order so far.
    InOrder(Builder<W>),
    Sorting(Sorter<S>, W),
    /// Only while one of the other two is turned into the other.
    Moving,
}

impl<W: BulkStore, S: Spill, F: Fn() -> S> Loader<W, S, F> {
    /// `memory` is the limit in bytes; `new_spill` makes temporary storage.
    pub fn new(
        store: W,
        identity: Identity,
        options: BuildOptions,
        memory: usize,
        new_spill: F,
    ) -> Self {
        // NULLs come in heap order and are few or cheap to spill: an eighth is theirs.
        let nulls = Sorter::new(new_spill(), memory / 8);
        let values = Values::InOrder(Builder::new(store, identity, options));
        Loader { identity, options, memory, new_spill, values, nulls, has_nulls: false }
    }

    /// Adds a value by its code.
    ///
    /// # Errors
    /// If pages that were written before do not come back as they were.
    #[inline]
    pub fn push(&mut self, code: u64, tid: HeapTid) -> Result<()> {
        match &mut self.values {
            Values::Sorting(sorter, _) => sorter.push(code, tid),
            Values::InOrder(builder) => {
                if !builder.try_push(code, tid) {
                    self.begin_sorting()?;
                    return self.push(code, tid);
                }
            }
            Values::Moving => {}
        }
        Ok(())
    }

    /// Adds a NULL.
    pub fn push_null(&mut self, tid: HeapTid) {
        self.has_nulls = true;
        self.nulls.push(0, tid);
    }

    /// Whether all values so far came in order.
    pub fn is_in_order(&self) -> bool {
        matches!(self.values, Values::InOrder(_))
    }

    #[cold]
    fn begin_sorting(&mut self) -> Result<()> {
        if let Values::InOrder(builder) = std::mem::replace(&mut self.values, Values::Moving) {
            let mut sorter = Sorter::new((self.new_spill)(), self.memory / 8 * 7);
            let store = builder.into_entries(|code, tid| sorter.push(code, tid))?;
            self.values = Values::Sorting(sorter, store);
        }
        Ok(())
    }

    /// Writes the index. `None` if an entry was added twice.
    pub fn finish(self) -> Option<(W, State)> {
        let mut distinct = true;
        let mut builder = match self.values {
            Values::InOrder(builder) => builder,
            Values::Sorting(sorter, store) => {
                let mut builder = Builder::new(store, self.identity, self.options);
                sorter.finish(|code, tid| distinct &= builder.try_push(code, tid));
                builder
            }
            Values::Moving => return None,
        };
        if self.has_nulls {
            builder.begin_nulls();
            self.nulls.finish(|code, tid| distinct &= builder.try_push(code, tid));
        }
        distinct.then(|| builder.finish())
    }
}
