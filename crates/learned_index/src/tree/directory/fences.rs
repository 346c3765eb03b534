//! From a position to a leaf, under one state: the low fences of the leaves, and the model over
//! them.
//!
//! They are what the state says, and never change while it lasts. The model is a hint; fences
//! decide.

use std::rc::Rc;

use super::Directory;
use super::read::{read_children, read_model};
use super::tiles::{Change, Tiles};
use crate::corruption::Corruption;
use crate::entry::Fence;
use crate::key::{Code, NullClass};
use crate::model::{self, Model};
use crate::page::directory::Child;
use crate::page::meta::State;
use crate::partition::partition_point;
use crate::store::Store;
use crate::tree::attempt::Attempt;
use crate::tree::budget::{Budget, Share};
use crate::tree::leaf::{LeafRef, Routed};

/// Lookups in a session for each directory page before all of them and the model are read.
const LOOKUPS_PER_PAGE: u32 = 4;

/// See the file.
pub(super) struct Fences<C> {
    pub(super) tiles: Tiles<C>,
    /// Set once all pages are loaded.
    model: Option<Model>,
    model_share: Share,
    lookups: u32,
}

/// What another state has, read and not taken over yet.
pub(super) struct Next<C> {
    change: Change<C>,
    /// Another model, for a session that has one.
    model: Option<Model>,
}

impl<C: Code> Fences<C> {
    /// Those of no state yet.
    pub(super) fn none(budget: &Rc<Budget>) -> Fences<C> {
        let (tiles, model_share) = (Tiles::none(budget), Share::of(budget));
        Fences { tiles, model: None, model_share, lookups: 0 }
    }

    /// Reads what another state has that is not known. `same_model`: that is still the model of the
    /// state before.
    pub(super) fn read_next<S: Store<Code = C>>(
        &self,
        store: &S,
        next: &State<C>,
        same_model: bool,
    ) -> Attempt<Next<C>> {
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
    pub(super) fn take_over(&mut self, next: Next<C>) {
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
}

impl<C: Code> Directory<C> {
    /// The leaf that a position belongs to. `None` if there are no leaves.
    #[inline]
    pub fn route<S: Store<Code = C>>(
        &mut self,
        store: &S,
        position: Fence<C>,
    ) -> Attempt<Option<LeafRef>> {
        if self.leaves() == 0 {
            return Ok(None);
        }
        if let Some((leaf, routed)) = self.predicted(position) {
            return Ok(Some(LeafRef { routed, ..self.fences.tiles.known(leaf) }));
        }
        let leaf = self.route_by_pages(store, position)?;
        self.count_lookup(store)?;
        Ok(leaf)
    }

    /// The last leaf that holds positions before `position`. `None` if there are no leaves.
    pub fn route_before<S: Store<Code = C>>(
        &mut self,
        store: &S,
        position: Fence<C>,
    ) -> Attempt<Option<LeafRef>> {
        let Some(leaf) = self.route(store, position)? else { return Ok(None) };
        if leaf.ordinal == 0 || self.low(store, leaf.ordinal)? < position {
            return Ok(Some(leaf));
        }
        let before = self.leaf(store, leaf.ordinal - 1)?;
        Ok(Some(LeafRef { routed: leaf.routed, ..before }))
    }

    /// The ordinal of the leaf that a position belongs to, and how the model led to it, where the
    /// model is known and says something of it: among the leaves of values. Exact whatever the
    /// model says: it checks the fences, and the first of these leaves begins before every value.
    #[inline]
    pub(super) fn predicted(&self, position: Fence<C>) -> Option<(usize, Routed)> {
        let Fences { tiles, model, .. } = &self.fences;
        let model = model.as_ref().filter(|_| position.class == NullClass::Value as u8)?;
        let values = self.identity.value_leaves(&self.state);
        let codes = &tiles.codes[values.clone()];
        let rest = &tiles.rest[values.clone()];
        let prediction = model.predict(position.code.word());
        let (at_or_before, outside) = model::search_from(prediction, codes.len(), |index| {
            codes[index] < position.code
                || (codes[index] == position.code && rest[index].tid <= position.tid)
                || index == 0
        });
        // A model that says "none" means the first leaf too.
        let is_outside = outside && (at_or_before > 1 || prediction.low > 1);
        let routed = if is_outside { Routed::BySearch } else { Routed::ByModel };
        Some(((values.start + at_or_before).saturating_sub(1), routed))
    }

    /// Routing without the model, by a search among the directory's pages. `None` if there are no
    /// leaves.
    pub(in crate::tree) fn route_by_pages<S: Store<Code = C>>(
        &mut self,
        store: &S,
        position: Fence<C>,
    ) -> Attempt<Option<LeafRef>> {
        if self.leaves() == 0 {
            return Ok(None);
        }
        let tiles = &mut self.fences.tiles;
        let page = tiles.pages.partition_point(|page| page.low <= position).saturating_sub(1);
        let first = tiles.firsts[page] as usize;
        if !tiles.resident {
            let children = read_children(store, self.state.word, tiles.pages[page], 0)?;
            let within = children.partition_point(|child| child.low <= position).saturating_sub(1);
            let child = children.get(within).ok_or(Corruption::not("a leaf"))?;
            return Ok(Some(LeafRef::unknown(first + within, child)));
        }
        tiles.load_page(store, self.state.word, page)?;
        let leaves = first + 1..first + tiles.pages[page].leaves as usize;
        let after = partition_point(leaves, |leaf| tiles.known_low(leaf) <= position);
        Ok(Some(tiles.known(after - 1)))
    }

    /// Where a leaf ends that was routed to, if that is known without reading anything, and another
    /// one comes after it. The caller goes on to read the leaf, which fails if it does not hold the
    /// position: so what a damaged directory says here comes to nothing.
    pub(in crate::tree) fn known_high(&self, at: LeafRef) -> Option<Fence<C>> {
        let all_known = self.fences.model.is_some() && self.state.has_delta();
        (all_known && at.ordinal + 1 < self.leaves())
            .then(|| self.fences.tiles.known_low(at.ordinal + 1))
    }

    /// The low fence of a leaf that is remembered.
    #[inline]
    pub(in crate::tree) fn known_low(&self, ordinal: usize) -> Fence<C> {
        self.fences.tiles.known_low(ordinal)
    }

    /// The low fence of a leaf that was routed to.
    pub(in crate::tree) fn low<S: Store<Code = C>>(
        &self,
        store: &S,
        ordinal: usize,
    ) -> Attempt<Fence<C>> {
        let tiles = &self.fences.tiles;
        match tiles.resident {
            true => Ok(tiles.known_low(ordinal)),
            false => Ok(self.child(store, ordinal)?.map_or(Fence::MIN, |child| child.low)),
        }
    }

    /// The `ordinal`-th leaf; `ordinal` is below the number of leaves.
    pub fn leaf<S: Store<Code = C>>(&mut self, store: &S, ordinal: usize) -> Attempt<LeafRef> {
        if !self.fences.tiles.resident {
            let child = self.child(store, ordinal)?;
            let child = child.ok_or(Corruption::not("a leaf"))?;
            return Ok(LeafRef::unknown(ordinal, &child));
        }
        let tiles = &mut self.fences.tiles;
        tiles.load_page(store, self.state.word, tiles.page_of(ordinal))?;
        Ok(tiles.known(ordinal))
    }

    /// What the directory says of a leaf, read for this once.
    fn child<S: Store<Code = C>>(&self, store: &S, ordinal: usize) -> Attempt<Option<Child<C>>> {
        let tiles = &self.fences.tiles;
        let page = tiles.page_of(ordinal);
        let children = read_children(store, self.state.word, tiles.pages[page], 0)?;
        Ok(children.get(ordinal - tiles.firsts[page] as usize).copied())
    }

    /// Counts a lookup without the model. After some of them everything is read, if there is the
    /// memory.
    fn count_lookup<S: Store<Code = C>>(&mut self, store: &S) -> Attempt<()> {
        let Fences { tiles, lookups, .. } = &mut self.fences;
        *lookups = lookups.saturating_add(1);
        if *lookups < LOOKUPS_PER_PAGE.saturating_mul(tiles.pages.len() as u32) {
            return Ok(());
        }
        tiles.try_to_reside();
        // Not again at once if there is not.
        *lookups = 0;
        if tiles.resident { self.load_all(store) } else { Ok(()) }
    }

    /// Reads all of the directory that is not known yet, and the model.
    pub(in crate::tree) fn load_all<S: Store<Code = C>>(&mut self, store: &S) -> Attempt<()> {
        let Fences { tiles, model, .. } = &mut self.fences;
        if model.is_some() {
            return Ok(());
        }
        if !tiles.resident {
            // There is no memory to keep it: it is read, and found whole.
            return read_model(store, &self.state).map(drop);
        }
        for page in 0..tiles.pages.len() {
            tiles.load_page(store, self.state.word, page)?;
        }
        self.fences.keep_model(read_model(store, &self.state)?);
        Ok(())
    }
}
