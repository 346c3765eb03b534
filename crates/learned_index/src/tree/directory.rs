//! The directory as one session knows it: from a position to its leaf.

use std::ops::Range;
use std::rc::Rc;

use super::attempt::{Attempt, read_current, settled};
use super::budget::{Budget, Share};
use super::delta::{Routes, USUAL_ENTRIES};
use super::killed::{Killed, Place, Slots};
use super::tiles::{Change, Tiles};
use crate::corruption::{Corruption, Result, ensure};
use crate::cpu;
use crate::entry::{Block, Fence};
use crate::fault::{Fault, injected};
use crate::key::NullClass;
use crate::memory::{Add, listed, with_room};
use crate::model::{self, MAX_BLOB_BYTES, Model};
use crate::page::delta::Tree;
use crate::page::directory::Child;
use crate::page::leaf::Leaf;
use crate::page::meta::{self, Identity, State};
use crate::page::{self, PageBytes, blob, directory};
use crate::store::{Hint, Store};

/// Levels of directory pages at the most; four of them hold 4 * 10^9 leaves.
const MAX_LEVELS: u16 = 8;
/// Bytes in which a session remembers the dead entries of an index, at most.
const KILLED_BYTES: usize = 1 << 20;
/// Parts of a delta tree that are looked up to learn how many leaves it is to be merged into.
const MOST_PARTS: usize = 256;
/// Lookups in a session for each directory page before all of them and the model are read.
const LOOKUPS_PER_PAGE: u32 = 4;

/// A session's copy of the metapage and of the directory pages that it used, and the model.
///
/// It is filled as it is needed: the first lookup reads the top page and one directory page, as a
/// B-tree would read its root and an inner page. A session that goes on to look things up gets
/// all of the directory and the model. [`Directory::refresh`] brings it to the current state, and
/// keeps what that state still has.
pub struct Directory {
    identity: Identity,
    state: State,
    meta_hint: Hint,
    tiles: Tiles,
    /// Set once all pages are loaded.
    model: Option<Model>,
    model_share: Share,
    lookups: u32,
    /// What is known of the active and the frozen delta tree.
    deltas: [Option<Routes>; 2],
    /// Entries whose rows are known to be dead to all.
    killed: Killed,
    _own_share: Share,
}

/// A leaf as the directory knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafRef {
    /// Its place among all leaves, from 0.
    pub ordinal: usize,
    /// Where it is.
    pub block: Block,
    /// The epoch in which it was written.
    pub birth: u64,
    /// Hint for reading it.
    pub hint: Hint,
    /// Whether this session has checked the leaf's seal.
    pub verified: bool,
}

/// One of the two delta trees that an index can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that takes inserts.
    Active,
    /// The one that is being merged.
    Frozen,
}

/// Reads the metapage.
pub fn read_meta<S: Store>(store: &S, hint: &mut Hint) -> Result<(Identity, State)> {
    let page = store.read(0, *hint);
    *hint = S::hint(&page);
    meta::decode(&page).map_err(|corruption| corruption.at(0))
}

impl Directory {
    /// Reads the upper levels of the directory. `memory` in bytes bounds what is kept of it; a
    /// larger directory is read through the store at each lookup.
    pub fn open<S: Store>(store: &S, memory: usize) -> Result<Directory> {
        Directory::open_within(store, &Budget::alone(memory))
    }

    /// The same, with memory that it shares with others.
    pub fn open_within<S: Store>(store: &S, budget: &Rc<Budget>) -> Result<Directory> {
        let mut meta_hint = 0;
        let (identity, mut state) = read_meta(store, &mut meta_hint)?;
        let mut tiles = Tiles::none(budget);
        loop {
            if let Some(change) = settled(Change::read(store, &state, &tiles, false))? {
                tiles.take_over(change);
                break;
            }
            state = read_meta(store, &mut meta_hint)?.1;
        }
        let mut own_share = Share::of(budget);
        own_share.set(size_of::<Directory>());
        Ok(Directory {
            identity,
            state,
            meta_hint,
            tiles,
            model: None,
            model_share: Share::of(budget),
            lookups: 0,
            deltas: [None, None],
            killed: Killed::shared(KILLED_BYTES, budget),
            _own_share: own_share,
        })
    }

    /// What the index is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The state that this copy was made of.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Number of leaves.
    pub fn leaves(&self) -> usize {
        self.state.leaves as usize
    }

    /// Bytes that this copy takes.
    pub fn memory(&self) -> usize {
        size_of::<Directory>()
            + self.tiles.memory()
            + self.model.as_ref().map_or(0, Model::size_bytes)
            + self.deltas.iter().flatten().map(Routes::memory).sum::<usize>()
            + self.killed.memory()
    }

    /// Brings this copy to the state of now, if that is another one: the metapage and the pages
    /// of the directory that changed are read again.
    ///
    /// # Errors
    /// If a page is damaged, or the index was built anew.
    #[inline]
    pub fn refresh<S: Store>(&mut self, store: &S) -> Result<()> {
        if store.word() == self.state.word { Ok(()) } else { self.follow(store) }
    }

    #[cold]
    fn follow<S: Store>(&mut self, store: &S) -> Result<()> {
        loop {
            let (identity, state) = read_meta(store, &mut self.meta_hint)?;
            ensure(identity == self.identity, "the build that was read before", state.word)
                .map_err(|corruption| corruption.at(0))?;
            if settled(self.adopt(store, state))?.is_some() {
                return Ok(());
            }
        }
    }

    /// Forgets what is remembered for the sake of speed. The memory is free after that.
    pub fn forget(&mut self) {
        self.tiles.forget();
        self.forget_model();
        self.deltas = [None, None];
        self.killed.forget();
    }

    fn forget_model(&mut self) {
        self.model = None;
        self.model_share.set(0);
        self.lookups = 0;
    }

    /// Takes a state over: all of it, or nothing. What is new is read first; after that nothing fails.
    fn adopt<S: Store>(&mut self, store: &S, state: State) -> Attempt<()> {
        if state.epoch != self.state.epoch && !injected(Fault::KeepDirectory) {
            // A session that had everything gets everything: it goes on with few pages to read.
            let whole = self.model.is_some();
            let change = Change::read(store, &state, &self.tiles, whole)?;
            let model = match whole && self.state.model_birth != state.model_birth {
                true => Some(read_model(store, &state)?),
                false => None,
            };
            self.tiles.take_over(change);
            if let Some(model) = model {
                self.keep_model(model);
            }
            if !self.tiles.resident {
                self.forget_model();
            }
            self.lookups = 0;
        }
        let [active, frozen] = &mut self.deltas;
        if state.frozen != self.state.frozen {
            // What was known of a tree that took inserts may lead to a leaf left of the right one,
            // and the merge frees leaves. A frozen tree's pages split no more: its leaves are read
            // from a frozen root, once.
            *frozen = active.take_if(|_| injected(Fault::KeepRoutesOfFrozen));
        }
        if state.active != self.state.active {
            *active = None;
        }
        self.state = state;
        Ok(())
    }

    /// Entries of the delta trees, about, as far as this session knows them.
    pub fn delta_entries(&self) -> u64 {
        let leaves: usize = self.deltas.iter().flatten().map(Routes::leaves).sum();
        (leaves * USUAL_ENTRIES) as u64
    }

    /// Leaves that a merge would write anew for the entries of the delta trees, about, in the state of now.
    pub fn leaves_to_merge<S: Store>(&mut self, store: &S) -> Result<u64> {
        loop {
            self.refresh(store)?;
            if let Some(leaves) = settled(self.try_leaves_to_merge(store))? {
                return Ok(leaves);
            }
        }
    }

    fn try_leaves_to_merge<S: Store>(&mut self, store: &S) -> Attempt<u64> {
        let (mut found, word) = (0, self.state.word);
        for which in [Which::Active, Which::Frozen] {
            // Pages below the watermark are gone.
            let from = if which == Which::Frozen { self.state.watermark } else { Fence::MIN };
            let Some(routes) = self.delta(store, which)? else { continue };
            let Some(lows) = routes.leaf_lows() else { return Ok(self.state.leaves.into()) };
            let lows = &lows[lows.partition_point(|&low| low <= from).saturating_sub(1)..];
            // In a large tree a few parts say enough of the others.
            let step = lows.len().div_ceil(MOST_PARTS);
            let mut lows: Vec<Fence> = listed(lows.iter().copied().step_by(step));
            // The first page begins before its entries do, as far as before all keys.
            if let Some(first) = routes.first_entry(store, word, from)? {
                lows[0] = Fence::at(first);
            }
            // The last one, and then those that lie before the one that was counted.
            let mut above = self.leaves().saturating_sub(1);
            found += 1;
            for &low in lows.iter().rev() {
                // Not counted as lookups, which would load the whole directory.
                let first = match &self.model {
                    Some(model) if low.class == NullClass::Value as u8 => {
                        self.route_by_model(model, low)
                    }
                    _ => self.route_by_pages(store, low)?.map_or(0, |leaf| leaf.ordinal),
                };
                found += above.saturating_sub(first).min(step * USUAL_ENTRIES) as u64;
                above = first;
            }
        }
        Ok(found)
    }

    /// One of the delta trees, and what is known of it.
    pub(super) fn delta<S: Store>(
        &mut self,
        store: &S,
        which: Which,
    ) -> Attempt<Option<&mut Routes>> {
        let tree: Option<Tree> = match which {
            Which::Active => self.state.active,
            Which::Frozen => self.state.frozen,
        };
        let Some(tree) = tree else { return Ok(None) };
        let slot = &mut self.deltas[which as usize];
        if slot.as_ref().is_none_or(|routes| routes.tree() != tree || routes.is_stale()) {
            *slot = None;
            *slot = Some(Routes::read(store, self.state.word, tree, self.tiles.budget())?);
        }
        Ok(slot.as_mut())
    }

    /// The same, with the slots of its pages whose rows are known to be dead to all.
    #[inline]
    pub(super) fn delta_and_killed<S: Store>(
        &mut self,
        store: &S,
        which: Which,
    ) -> Attempt<Option<(&mut Routes, &Killed)>> {
        if self.delta(store, which)?.is_none() {
            return Ok(None);
        }
        Ok(self.deltas[which as usize].as_mut().map(|routes| (routes, &self.killed)))
    }

    /// Asks the processor for what looking a position up in the delta trees will read.
    #[inline]
    pub(super) fn warm_deltas<S: Store>(&mut self, store: &S, position: Fence) -> Attempt<()> {
        for which in [Which::Active, Which::Frozen] {
            if let Some(routes) = self.delta(store, which)? {
                routes.warm(store, position);
            }
        }
        Ok(())
    }

    /// Whether any rows are known to be dead to all.
    #[inline]
    pub(super) fn has_killed(&self) -> bool {
        !self.killed.is_empty()
    }

    /// The slots of a page whose rows are known to be dead to all.
    #[inline]
    pub(super) fn killed_in(&self, place: &Place) -> Option<&Slots> {
        self.killed.of(place)
    }

    /// Entries whose rows are known to be dead to all.
    pub(super) fn killed(&mut self) -> &mut Killed {
        &mut self.killed
    }

    /// Forgets where the leaves of the active delta tree are.
    pub(super) fn forget_routes(&mut self) {
        self.deltas[Which::Active as usize] = None;
    }

    /// The leaf that a position belongs to. `None` if there are no leaves.
    #[inline]
    pub fn route<S: Store>(&mut self, store: &S, position: Fence) -> Attempt<Option<LeafRef>> {
        if self.leaves() == 0 {
            return Ok(None);
        }
        match &self.model {
            Some(model) if position.class == NullClass::Value as u8 => {
                let leaf = self.route_by_model(model, position);
                Ok(Some(self.tiles.known(leaf)))
            }
            _ => {
                let leaf = self.route_by_pages(store, position)?;
                self.count_lookup(store)?;
                Ok(leaf)
            }
        }
    }

    /// The last leaf that holds positions before `position`. `None` if there are no leaves.
    pub fn route_before<S: Store>(
        &mut self,
        store: &S,
        position: Fence,
    ) -> Attempt<Option<LeafRef>> {
        let Some(leaf) = self.route(store, position)? else { return Ok(None) };
        if leaf.ordinal == 0 || self.low(store, leaf.ordinal)? < position {
            return Ok(Some(leaf));
        }
        self.leaf(store, leaf.ordinal - 1).map(Some)
    }

    /// The low fence of a leaf that was routed to.
    pub(super) fn low<S: Store>(&self, store: &S, ordinal: usize) -> Attempt<Fence> {
        if self.tiles.resident {
            return Ok(self.tiles.known_low(ordinal));
        }
        let page = self.tiles.page_of(ordinal);
        let children = read_children(store, self.state.word, self.tiles.pages[page], 0)?;
        let within = ordinal - self.tiles.firsts[page] as usize;
        Ok(children.get(within).map_or(Fence::MIN, |child| child.low))
    }

    /// The `ordinal`-th leaf; `ordinal` is below the number of leaves.
    pub fn leaf<S: Store>(&mut self, store: &S, ordinal: usize) -> Attempt<LeafRef> {
        let page = self.tiles.page_of(ordinal);
        if !self.tiles.resident {
            let children = read_children(store, self.state.word, self.tiles.pages[page], 0)?;
            let within = ordinal - self.tiles.firsts[page] as usize;
            let child = children.get(within).ok_or(Corruption::new("a leaf", ordinal as u64))?;
            return Ok(LeafRef::unknown(ordinal, child));
        }
        self.tiles.load_page(store, self.state.word, page)?;
        Ok(self.tiles.known(ordinal))
    }

    /// Remembers that a leaf was read and found whole, the hint for reading it again, and what it looks
    /// like.
    #[inline]
    pub(super) fn remember(&mut self, at: LeafRef, leaf: &Leaf<'_>) {
        self.remember_hint(at, at.hint);
        if let Some(rest) = self.tiles.rest.get_mut(at.ordinal)
            && !rest.verified
        {
            rest.verified = true;
            rest.outline = leaf.outline();
        }
    }

    /// Asks the processor for what looking a code up in a leaf will read.
    #[inline]
    pub(super) fn warm<S: Store>(&self, store: &S, leaf: LeafRef, code: u64) {
        if leaf.hint == 0 {
            return;
        }
        let page = store.expect(leaf.hint);
        let Some(rest) = self.tiles.rest.get(leaf.ordinal).filter(|_| !page.is_null()) else {
            return;
        };
        let low = self.tiles.codes[leaf.ordinal];
        let high = self.tiles.codes.get(leaf.ordinal + 1).copied().unwrap_or(u64::MAX);
        let width = high.saturating_sub(low) as f32;
        let fraction = (code.saturating_sub(low) as f32 / width.max(1.0)).min(0.999);
        rest.outline.lines(fraction, |offset| cpu::prefetch(page.wrapping_add(offset)));
    }

    /// Remembers the hint for reading a leaf that was not read yet.
    #[inline]
    pub fn remember_hint(&mut self, leaf: LeafRef, hint: Hint) {
        if let Some(rest) = self.tiles.rest.get_mut(leaf.ordinal) {
            rest.hint = hint;
        }
    }

    /// Whether what was learned of leaves is kept, so that looking ahead may pay.
    pub(super) fn is_resident(&self) -> bool {
        self.tiles.resident
    }

    /// The ordinals of the leaves with values.
    fn value_leaves(&self) -> Range<usize> {
        let (leaves, nulls) = (self.leaves(), self.state.null_leaves as usize);
        if self.identity.nulls_first {
            nulls.min(leaves)..leaves
        } else {
            0..leaves.saturating_sub(nulls)
        }
    }

    /// Learned routing among the leaves of values. Exact whatever the model says: it checks the
    /// fences, and the first of these leaves begins before every value.
    fn route_by_model(&self, model: &Model, position: Fence) -> usize {
        let values = self.value_leaves();
        let codes = &self.tiles.codes[values.clone()];
        let rest = &self.tiles.rest[values.clone()];
        let at_or_before = model::search(model.predict(position.code), codes.len(), |index| {
            codes[index] < position.code
                || (codes[index] == position.code && rest[index].tid <= position.tid)
                || index == 0
        });
        (values.start + at_or_before).saturating_sub(1)
    }

    /// Routing without the model, by a search among the directory's pages. `None` if there are no
    /// leaves.
    pub(super) fn route_by_pages<S: Store>(
        &mut self,
        store: &S,
        position: Fence,
    ) -> Attempt<Option<LeafRef>> {
        if self.leaves() == 0 {
            return Ok(None);
        }
        let tiles = &mut self.tiles;
        let page = tiles.pages.partition_point(|page| page.low <= position).saturating_sub(1);
        let first = tiles.firsts[page] as usize;
        if !tiles.resident {
            let children = read_children(store, self.state.word, tiles.pages[page], 0)?;
            let within = children.partition_point(|child| child.low <= position).saturating_sub(1);
            let child = children.get(within).ok_or(Corruption::new("a leaf", within as u64))?;
            return Ok(Some(LeafRef::unknown(first + within, child)));
        }
        tiles.load_page(store, self.state.word, page)?;
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

    /// Counts a lookup without the model. After some of them everything is read, if there is the memory.
    fn count_lookup<S: Store>(&mut self, store: &S) -> Attempt<()> {
        self.lookups = self.lookups.saturating_add(1);
        let enough = LOOKUPS_PER_PAGE.saturating_mul(self.tiles.pages.len() as u32);
        if self.lookups < enough {
            return Ok(());
        }
        self.tiles.try_to_reside();
        // Not again at once if there is not.
        self.lookups = 0;
        if self.tiles.resident { self.load_all(store) } else { Ok(()) }
    }

    /// Reads all of the directory that is not known yet, and the model.
    pub(super) fn load_all<S: Store>(&mut self, store: &S) -> Attempt<()> {
        if self.model.is_some() {
            return Ok(());
        }
        if !self.tiles.resident {
            // There is no memory to keep it: it is read, and found whole.
            return read_model(store, &self.state).map(drop);
        }
        for page in 0..self.tiles.pages.len() {
            self.tiles.load_page(store, self.state.word, page)?;
        }
        let model = read_model(store, &self.state)?;
        self.keep_model(model);
        Ok(())
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

impl LeafRef {
    /// A leaf that this session has not read yet.
    pub(super) fn unknown(ordinal: usize, child: &Child) -> LeafRef {
        LeafRef { ordinal, block: child.block, birth: child.birth, hint: 0, verified: false }
    }
}

/// Reads a directory page of a level that a parent points to.
pub(super) fn read_children<S: Store>(
    store: &S,
    word: u64,
    parent: Child,
    level: u16,
) -> Attempt<Vec<Child>> {
    let (found, children) = read_page(store, word, parent)?;
    ensure(found == level, "a directory page of this level", found.into())
        .map_err(|corruption| corruption.at(parent.block))?;
    Ok(children)
}

/// Reads a directory page and checks it against what its parent says of it.
fn read_page<S: Store>(store: &S, word: u64, parent: Child) -> Attempt<(u16, Vec<Child>)> {
    let page = read_current(store, word, parent.block, 0)?;
    decode_page(&page, parent)
}

fn decode_page(page: &PageBytes, parent: Child) -> Attempt<(u16, Vec<Child>)> {
    let checked = directory::decode(page).and_then(|(level, children)| {
        let birth = page::birth(page);
        ensure(birth == parent.birth, "the directory page that the parent means", birth)?;
        let leaves = children.iter().fold(0u32, |sum, child| sum.saturating_add(child.leaves));
        ensure(leaves == parent.leaves, "as many leaves as the parent says", leaves.into())?;
        let single = level > 0 || children.iter().all(|child| child.leaves == 1);
        ensure(single, "one leaf a child", leaves.into())?;
        let first = children.first().map(|child| child.low);
        ensure(first == Some(parent.low), "the low fence that the parent says", level.into())?;
        Ok((level, children))
    });
    checked.map_err(|corruption| corruption.at(parent.block).into())
}

/// What stands above the lowest level of a directory.
pub(super) struct UpperLevels {
    /// The directory pages of the lowest level.
    pub(super) pages: Vec<Child>,
    /// The leaves, where one page is the whole directory.
    pub(super) leaves: Option<Vec<Child>>,
    /// Blocks of the pages above the lowest level.
    pub(super) blocks: Vec<Block>,
}

impl UpperLevels {
    pub(super) fn read<S: Store>(store: &S, state: &State) -> Attempt<UpperLevels> {
        if state.leaves == 0 {
            return Ok(UpperLevels { pages: Vec::new(), leaves: None, blocks: Vec::new() });
        }
        let block = state.directory_root;
        let page = read_current(store, state.word, block, 0)?;
        // Nothing but the state points to it.
        let birth = page::birth(&page);
        let root = Child { low: Fence::MIN, block, leaves: state.leaves, birth };
        let (mut level, children) = decode_page(&page, root)?;
        drop(page);
        ensure(level < MAX_LEVELS, "at most 8 directory levels", level.into())
            .map_err(|corruption| corruption.at(block))?;
        if level == 0 {
            let leaves = Some(children);
            return Ok(UpperLevels { pages: vec![root], leaves, blocks: Vec::new() });
        }
        let mut pages = children;
        let mut blocks = vec![block];
        while level > 1 {
            level -= 1;
            let mut below = Vec::new();
            for page in pages {
                blocks.add(page.block);
                below.add_all(read_children(store, state.word, page, level)?);
            }
            pages = below;
        }
        Ok(UpperLevels { pages, leaves: None, blocks })
    }
}

/// Reads the model.
pub fn read_model<S: Store>(store: &S, state: &State) -> Attempt<Model> {
    Ok(read_model_pages(store, state)?.0)
}

/// Reads the model, and tells the blocks of its pages.
pub(super) fn read_model_pages<S: Store>(store: &S, state: &State) -> Attempt<(Model, Vec<Block>)> {
    let len = state.model_len as usize;
    ensure(len <= MAX_BLOB_BYTES, "a model of at most 64 MiB", len as u64)?;
    let (mut bytes, mut blocks) = (with_room(len), Vec::new());
    let mut next = Some(state.model_root).filter(|_| len > 0);
    while let Some(block) = next {
        let page = read_current(store, state.word, block, 0)?;
        let named = |corruption: Corruption| corruption.at(block);
        let birth = page::birth(&page);
        ensure(birth == state.model_birth, "a page of the model that is meant", birth)
            .map_err(named)?;
        let (piece, following) = blob::decode(&page).map_err(named)?;
        // A full piece or the last one: links that go round end here.
        ensure(
            bytes.len() + piece.len() <= len && !piece.is_empty(),
            "a model of its length",
            piece.len() as u64,
        )
        .map_err(|corruption| corruption.at(block))?;
        bytes.extend_from_slice(piece);
        blocks.add(block);
        next = following;
    }
    ensure(bytes.len() == len, "a model of its length", bytes.len() as u64)?;
    let model = Model::from_bytes(&bytes)
        .ok()
        .filter(|model| model.kind() as u8 == state.model_kind)
        .ok_or(
            Corruption::new("a model of its kind", state.model_kind.into()).at(state.model_root),
        )?;
    Ok((model, blocks))
}
