//! What one session knows of an index: its state, and how to get from a position to the page that
//! has it.
//!
//! It is filled as it is needed: the first lookup reads the top page of the directory and one more,
//! as a B-tree would read its root and an inner page. A session that goes on to look things up gets
//! all of the directory and the model.
//!
//! - `read`: the directory and the model as they are on disk
//! - `fences`: routing, from a position to its leaf: where leaves begin under one state, in
//!   `tiles`, and the model over that
//! - `remembered`: what the session has seen of leaves; `living`: how many entries counts found
//! - `deltas`: the way to the leaves of the delta trees

mod deltas;
mod fences;
mod living;
mod read;
mod remembered;
mod tiles;

use std::rc::Rc;

use super::attempt::{Attempt, settled};
use super::budget::{Budget, Share};
use super::killed::Killed;
use crate::corruption::{Result, ensure};
use crate::fault::{Fault, injected};
use crate::key::{Code, Word};
use crate::page::meta::{Identity, State};
use crate::store::{Hint, Store};

use deltas::Deltas;
use fences::Fences;
use living::Known;

pub use super::leaf::{LeafRef, Routed};
pub use deltas::Which;
pub(super) use living::Living;
pub(super) use read::{UpperLevels, read_children, read_model_pages};
pub use read::{read_meta, read_model};

/// Bytes in which a session remembers the dead entries of an index, at most.
const KILLED_BYTES: usize = 1 << 20;

/// A session's copy of the metapage, and what goes with that state. [`Directory::refresh`] brings
/// it to the current one, and keeps what that still has.
pub struct Directory<C = Word> {
    identity: Identity,
    state: State<C>,
    meta_hint: Hint,
    fences: Fences<C>,
    deltas: Deltas<C>,
    /// Entries whose rows are known to be dead to all.
    killed: Killed<C>,
    /// How many entries leaves have, under the current word.
    living: Known,
    _own_share: Share,
}

impl<C: Code> Directory<C> {
    /// Reads the upper levels of the directory. `memory` in bytes bounds what is kept of it; a
    /// larger directory is read through the store at each lookup.
    pub fn open<S: Store<Code = C>>(store: &S, memory: usize) -> Result<Directory<C>> {
        Directory::open_within(store, &Budget::alone(memory))
    }

    /// The same, with memory that it shares with others.
    pub fn open_within<S: Store<Code = C>>(store: &S, budget: &Rc<Budget>) -> Result<Directory<C>> {
        let mut meta_hint = 0;
        let (identity, mut state) = read_meta(store, &mut meta_hint)?;
        let mut fences = Fences::none(budget);
        loop {
            if let Some(next) = settled(fences.read_next(store, &state, true))? {
                fences.take_over(next);
                break;
            }
            state = read_meta(store, &mut meta_hint)?.1;
        }
        let mut own_share = Share::of(budget);
        own_share.set(size_of::<Directory<C>>());
        let (deltas, killed) = (Deltas::unknown(), Killed::shared(KILLED_BYTES, budget));
        let (living, _own_share) = (Known::nothing(budget), own_share);
        Ok(Directory { identity, state, meta_hint, fences, deltas, killed, living, _own_share })
    }

    /// What the index is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The state that this copy was made of.
    pub fn state(&self) -> &State<C> {
        &self.state
    }

    /// Number of leaves.
    pub fn leaves(&self) -> usize {
        self.state.leaves as usize
    }

    /// Bytes that this copy takes.
    pub fn memory(&self) -> usize {
        size_of::<Directory<C>>()
            + self.fences.memory()
            + self.deltas.memory()
            + self.killed.memory()
            + self.living.memory()
    }

    /// Brings this copy to the current state, if that is another one: the metapage and the pages
    /// of the directory that changed are read again.
    ///
    /// # Errors
    /// If a page is damaged, or the index was built anew.
    #[inline]
    pub fn refresh<S: Store<Code = C>>(&mut self, store: &S) -> Result<()> {
        if store.word() == self.state.word { Ok(()) } else { self.follow(store) }
    }

    #[cold]
    fn follow<S: Store<Code = C>>(&mut self, store: &S) -> Result<()> {
        loop {
            let (identity, state) = read_meta(store, &mut self.meta_hint)?;
            ensure(identity == self.identity, "the build that was read before", state.word)
                .map_err(|corruption| corruption.at(0))?;
            if settled(self.adopt(store, state))?.is_some() {
                return Ok(());
            }
        }
    }

    /// Takes a state over: all of it, or nothing. What is new is read first; after that nothing
    /// fails.
    fn adopt<S: Store<Code = C>>(&mut self, store: &S, state: State<C>) -> Attempt<()> {
        if state.epoch != self.state.epoch && !injected(Fault::KeepDirectory) {
            let same_model = self.state.model_birth == state.model_birth;
            let next = self.fences.read_next(store, &state, same_model)?;
            self.fences.take_over(next);
        }
        self.deltas.follow(&self.state, &state);
        self.state = state;
        Ok(())
    }

    /// Forgets what is remembered for the sake of speed. The memory is free after that.
    pub fn forget(&mut self) {
        self.fences.forget();
        self.deltas = Deltas::unknown();
        self.killed.forget();
        self.living.forget();
    }
}
