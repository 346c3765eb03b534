//! From a position to a leaf, under one state: the low fences of the leaves, and the model over them.
//!
//! They are what the state says, and never change while it lasts. The model is a hint; fences decide.

use std::ops::Range;
use std::rc::Rc;

use super::read::{read_children, read_model};
use super::tiles::{Change, Tiles};
use crate::corruption::Corruption;
use crate::entry::Fence;
use crate::key::NullClass;
use crate::model::{self, Model};
use crate::page::meta::State;
use crate::store::Store;
use crate::tree::attempt::Attempt;
use crate::tree::budget::{Budget, Share};
use crate::tree::leaf::LeafRef;

/// Lookups in a session for each directory page before all of them and the model are read.
const LOOKUPS_PER_PAGE: u32 = 4;

/// See the file.
pub(super) struct Fences {
    pub(super) tiles: Tiles,
    /// Set once all pages are loaded.
    model: Option<Model>,
    model_share: Share,
    lookups: u32,
    nulls_first: bool,
}

/// What another state has, read and not taken over yet.
pub(super) struct Next {
    change: Change,
    /// Another model, for a session that has one.
    model: Option<Model>,
}

impl Fences {
    /// Those of no state yet.
    pub(super) fn none(nulls_first: bool, budget: &Rc<Budget>) -> Fences {
        let (tiles, model_share) = (Tiles::none(budget), Share::of(budget));
        Fences { tiles, model: None, model_share, lookups: 0, nulls_first }
    }

    /// Reads what another state has that is not known. `same_model`: that is still the model of the state before.
    pub(super) fn read_next<S: Store>(
        &self,
        store: &S,
        next: &State,
        same_model: bool,
    ) -> Attempt<Next> {
        // A session that had everything gets everything: it goes on with few pages to read.
        let whole = self.model.is_some();
        let change = Change::read(store, next, &self.tiles, whole)?;
        let model = match whole && !same_model {
            true => Some(read_model(store, next)?),
            false => None,
        };
        Ok(Next { change, model })
    }

    /// Becomes those of another state. Nothing here fails.
    pub(super) fn take_over(&mut self, next: Next) {
        self.tiles.take_over(next.change);
        if let Some(model) = next.model {
            self.keep_model(model);
        }
        if !self.tiles.resident {
            self.forget_model();
        }
        self.lookups = 0;
    }

    /// Bytes that this takes.
    pub(super) fn memory(&self) -> usize {
        self.tiles.memory() + self.model.as_ref().map_or(0, Model::size_bytes)
    }

    /// Forgets the leaves and the model.
    pub(super) fn forget(&mut self) {
        self.tiles.forget();
        self.forget_model();
    }

    fn forget_model(&mut self) {
        self.model = None;
        self.model_share.set(0);
        self.lookups = 0;
    }

    /// Keeps the model of the current directory, if there is the memory.
    fn keep_model(&mut self, model: Model) {
        self.forget_model();
        let bytes = model.size_bytes();
        if self.model_share.grow_to(bytes) {
            self.model_share.set(bytes);
            self.model = Some(model);
        }
    }

    /// See [`super::Directory::route`].
    #[inline]
    pub(super) fn route<S: Store>(
        &mut self,
        store: &S,
        state: &State,
        position: Fence,
    ) -> Attempt<Option<LeafRef>> {
        if state.leaves == 0 {
            return Ok(None);
        }
        if let Some(leaf) = self.predicted(state, position) {
            return Ok(Some(self.tiles.known(leaf)));
        }
        let leaf = self.route_by_pages(store, state, position)?;
        self.count_lookup(store, state)?;
        Ok(leaf)
    }

    /// The ordinal of the leaf that a position belongs to, where the model is known and says something of it: among the
    /// leaves of values. Exact whatever the model says: it checks the fences, and the first of these leaves begins before
    /// every value.
    #[inline]
    pub(super) fn predicted(&self, state: &State, position: Fence) -> Option<usize> {
        let model = self.model.as_ref().filter(|_| position.class == NullClass::Value as u8)?;
        let values = self.value_leaves(state);
        let codes = &self.tiles.codes[values.clone()];
        let rest = &self.tiles.rest[values.clone()];
        let at_or_before = model::search(model.predict(position.code), codes.len(), |index| {
            codes[index] < position.code
                || (codes[index] == position.code && rest[index].tid <= position.tid)
                || index == 0
        });
        Some((values.start + at_or_before).saturating_sub(1))
    }

    /// The ordinals of the leaves with values.
    fn value_leaves(&self, state: &State) -> Range<usize> {
        let (leaves, nulls) = (state.leaves as usize, state.null_leaves as usize);
        if self.nulls_first { nulls.min(leaves)..leaves } else { 0..leaves.saturating_sub(nulls) }
    }

    /// See [`super::Directory::route_by_pages`].
    pub(super) fn route_by_pages<S: Store>(
        &mut self,
        store: &S,
        state: &State,
        position: Fence,
    ) -> Attempt<Option<LeafRef>> {
        if state.leaves == 0 {
            return Ok(None);
        }
        let tiles = &mut self.tiles;
        let page = tiles.pages.partition_point(|page| page.low <= position).saturating_sub(1);
        let first = tiles.firsts[page] as usize;
        if !tiles.resident {
            let children = read_children(store, state.word, tiles.pages[page], 0)?;
            let within = children.partition_point(|child| child.low <= position).saturating_sub(1);
            let child = children.get(within).ok_or(Corruption::new("a leaf", within as u64))?;
            return Ok(Some(LeafRef::unknown(first + within, child)));
        }
        tiles.load_page(store, state.word, page)?;
        let end = first + tiles.pages[page].leaves as usize;
        let (mut left, mut right) = (first + 1, end);
        while left < right {
            let middle = left + (right - left) / 2;
            if tiles.known_low(middle) <= position {
                left = middle + 1;
            } else {
                right = middle;
            }
        }
        Ok(Some(tiles.known(left - 1)))
    }

    /// See [`super::Directory::low`].
    pub(super) fn low<S: Store>(&self, store: &S, state: &State, ordinal: usize) -> Attempt<Fence> {
        if self.tiles.resident {
            return Ok(self.tiles.known_low(ordinal));
        }
        let page = self.tiles.page_of(ordinal);
        let children = read_children(store, state.word, self.tiles.pages[page], 0)?;
        let within = ordinal - self.tiles.firsts[page] as usize;
        Ok(children.get(within).map_or(Fence::MIN, |child| child.low))
    }

    /// See [`super::Directory::leaf`].
    pub(super) fn leaf<S: Store>(
        &mut self,
        store: &S,
        state: &State,
        ordinal: usize,
    ) -> Attempt<LeafRef> {
        let page = self.tiles.page_of(ordinal);
        if !self.tiles.resident {
            let children = read_children(store, state.word, self.tiles.pages[page], 0)?;
            let within = ordinal - self.tiles.firsts[page] as usize;
            let child = children.get(within).ok_or(Corruption::new("a leaf", ordinal as u64))?;
            return Ok(LeafRef::unknown(ordinal, child));
        }
        self.tiles.load_page(store, state.word, page)?;
        Ok(self.tiles.known(ordinal))
    }

    /// Counts a lookup without the model. After some of them everything is read, if there is the memory.
    fn count_lookup<S: Store>(&mut self, store: &S, state: &State) -> Attempt<()> {
        self.lookups = self.lookups.saturating_add(1);
        let enough = LOOKUPS_PER_PAGE.saturating_mul(self.tiles.pages.len() as u32);
        if self.lookups < enough {
            return Ok(());
        }
        self.tiles.try_to_reside();
        // Not again at once if there is not.
        self.lookups = 0;
        if self.tiles.resident { self.load_all(store, state) } else { Ok(()) }
    }

    /// See [`super::Directory::load_all`].
    pub(super) fn load_all<S: Store>(&mut self, store: &S, state: &State) -> Attempt<()> {
        if self.model.is_some() {
            return Ok(());
        }
        if !self.tiles.resident {
            // There is no memory to keep it: it is read, and found whole.
            return read_model(store, state).map(drop);
        }
        for page in 0..self.tiles.pages.len() {
            self.tiles.load_page(store, state.word, page)?;
        }
        let model = read_model(store, state)?;
        self.keep_model(model);
        Ok(())
    }
}
