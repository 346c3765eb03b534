//! The directory as one session knows it: from a position to its leaf.

use crate::corruption::{Corruption, Result, ensure};
use crate::entry::{Block, Fence, HeapTid};
use crate::key::NullClass;
use crate::model::{self, MAX_BLOB_BYTES, Model};
use crate::page::directory::Child;
use crate::page::meta::{self, Identity, State};
use crate::page::{self, PageBytes, blob, directory};
use crate::store::{Hint, Store};

/// Levels of directory pages at the most; four of them hold 10^10 leaves.
const MAX_LEVELS: u16 = 8;
/// Bytes that one leaf takes in a resident directory.
const BYTES_PER_LEAF: usize = size_of::<u64>() + size_of::<Rest>();
/// Lookups in a session for each directory page before all of them and the model are read.
const LOOKUPS_PER_PAGE: u32 = 4;

/// A session's copy of the metapage and of the directory pages that it used, and the model.
///
/// It is filled as it is needed: the first lookup reads the top page and one directory page, as a
/// B-tree would read its root and an inner page. A session that goes on to look things up gets
/// all of the directory and the model.
pub struct Directory {
    identity: Identity,
    state: State,
    /// Directory pages of the lowest level, and how many leaves stand before each.
    pages: Vec<Child>,
    firsts: Vec<u32>,
    /// For each leaf, as far as its page was read: the code of its low fence, and the rest.
    codes: Vec<u64>,
    rest: Vec<Rest>,
    loaded: Vec<bool>,
    /// Set once all pages are loaded.
    model: Option<Model>,
    /// Leaves without a hint: this session has not read them.
    unread: usize,
    lookups: u32,
    resident: bool,
}

#[derive(Clone, Copy)]
struct Rest {
    tid: HeapTid,
    block: Block,
    class: u8,
    /// Whether this session has checked the leaf's seal.
    verified: bool,
    hint: Hint,
}

const UNKNOWN: Rest = Rest { tid: HeapTid::MIN, block: 0, class: 0, verified: false, hint: 0 };

/// A leaf as the directory knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafRef {
    /// Its place among all leaves, from 0.
    pub ordinal: usize,
    /// Where it is.
    pub block: Block,
    /// Hint for reading it.
    pub hint: Hint,
    /// Whether this session has checked the leaf's seal.
    pub verified: bool,
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
    pub fn open<S: Store>(
        store: &S,
        identity: Identity,
        state: State,
        memory: usize,
    ) -> Result<Directory> {
        let leaves = state.leaves as usize;
        let (pages, root_children) = read_upper_levels(store, &state)?;
        let mut firsts = Vec::with_capacity(pages.len());
        let mut before = 0u32;
        for page in &pages {
            firsts.push(before);
            before = before.saturating_add(page.leaves);
        }
        ensure(before as usize == leaves, "as many leaves as the metapage says", before.into())?;
        let (mut codes, mut rest) = (Vec::new(), Vec::new());
        // Without the memory the directory is read page by page at each lookup.
        let resident = leaves * BYTES_PER_LEAF <= memory
            && codes.try_reserve_exact(leaves).is_ok()
            && rest.try_reserve_exact(leaves).is_ok();
        let held = if resident { leaves } else { 0 };
        codes.resize(held, 0);
        rest.resize(held, UNKNOWN);
        let mut directory = Directory {
            identity,
            state,
            loaded: vec![false; pages.len()],
            pages,
            firsts,
            codes,
            rest,
            model: None,
            unread: held,
            lookups: 0,
            resident,
        };
        if let Some(children) = root_children.filter(|_| resident) {
            directory.keep_page(0, &children);
        }
        Ok(directory)
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
            + self.codes.capacity() * BYTES_PER_LEAF
            + self.pages.capacity() * (size_of::<Child>() + 5)
            + self.model.as_ref().map_or(0, Model::size_bytes)
    }

    /// The leaf that a position belongs to. `None` if there are no leaves.
    #[inline]
    pub fn route<S: Store>(&mut self, store: &S, position: Fence) -> Result<Option<LeafRef>> {
        if self.leaves() == 0 {
            return Ok(None);
        }
        match &self.model {
            Some(model) if position.class == NullClass::Value as u8 => {
                let leaf = self.route_by_model(model, position);
                Ok(Some(self.known(leaf)))
            }
            _ => self.route_by_pages(store, position).map(Some),
        }
    }

    /// The last leaf that holds positions before `position`. `None` if there are no leaves.
    pub fn route_before<S: Store>(
        &mut self,
        store: &S,
        position: Fence,
    ) -> Result<Option<LeafRef>> {
        let Some(leaf) = self.route(store, position)? else { return Ok(None) };
        if leaf.ordinal == 0 || self.low(store, leaf.ordinal)? < position {
            return Ok(Some(leaf));
        }
        self.leaf(store, leaf.ordinal - 1).map(Some)
    }

    /// The low fence of a leaf that was routed to.
    fn low<S: Store>(&self, store: &S, ordinal: usize) -> Result<Fence> {
        if self.resident {
            return Ok(self.known_low(ordinal));
        }
        let page = self.page_of(ordinal);
        let children = read_children(store, self.pages[page], 0)?;
        let within = ordinal - self.firsts[page] as usize;
        Ok(children.get(within).map_or(Fence::MIN, |child| child.low))
    }

    fn known_low(&self, ordinal: usize) -> Fence {
        let Rest { tid, class, .. } = self.rest[ordinal];
        Fence { class, code: self.codes[ordinal], tid }
    }

    fn page_of(&self, ordinal: usize) -> usize {
        self.firsts.partition_point(|&first| first as usize <= ordinal).saturating_sub(1)
    }

    /// The `ordinal`-th leaf; `ordinal` is below the number of leaves.
    pub fn leaf<S: Store>(&mut self, store: &S, ordinal: usize) -> Result<LeafRef> {
        let page = self.page_of(ordinal);
        if !self.resident {
            let children = read_children(store, self.pages[page], 0)?;
            let within = ordinal - self.firsts[page] as usize;
            let child = children.get(within).ok_or(Corruption::new("a leaf", ordinal as u64))?;
            return Ok(LeafRef { ordinal, block: child.block, hint: 0, verified: false });
        }
        self.load_page(store, page)?;
        Ok(self.known(ordinal))
    }

    /// Remembers that a leaf was read and found whole, and the hint for reading it again.
    #[inline]
    pub fn remember(&mut self, leaf: LeafRef, hint: Hint) {
        self.remember_hint(leaf, hint);
        if let Some(rest) = self.rest.get_mut(leaf.ordinal) {
            rest.verified = true;
        }
    }

    /// Remembers the hint for reading a leaf that was not read yet.
    #[inline]
    pub fn remember_hint(&mut self, leaf: LeafRef, hint: Hint) {
        if let Some(rest) = self.rest.get_mut(leaf.ordinal).filter(|rest| rest.hint != hint) {
            self.unread -= usize::from(rest.hint == 0);
            rest.hint = hint;
        }
    }

    /// Whether some leaves are not known to be in memory, so that reading ahead may pay.
    pub fn has_unread_leaves(&self) -> bool {
        self.resident && self.unread > 0
    }

    fn known(&self, ordinal: usize) -> LeafRef {
        let rest = self.rest[ordinal];
        LeafRef { ordinal, block: rest.block, hint: rest.hint, verified: rest.verified }
    }

    /// The ordinals of the leaves with values.
    fn value_leaves(&self) -> std::ops::Range<usize> {
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
        let codes = &self.codes[values.clone()];
        let rest = &self.rest[values.clone()];
        let at_or_before = model::search(model.predict(position.code), codes.len(), |index| {
            codes[index] < position.code
                || (codes[index] == position.code && rest[index].tid <= position.tid)
                || index == 0
        });
        (values.start + at_or_before).saturating_sub(1)
    }

    fn route_by_pages<S: Store>(&mut self, store: &S, position: Fence) -> Result<LeafRef> {
        let page = self.pages.partition_point(|page| page.low <= position).saturating_sub(1);
        let first = self.firsts[page] as usize;
        if !self.resident {
            let children = read_children(store, self.pages[page], 0)?;
            let within = children.partition_point(|child| child.low <= position).saturating_sub(1);
            let block = children.get(within).map_or(0, |child| child.block);
            return Ok(LeafRef { ordinal: first + within, block, hint: 0, verified: false });
        }
        self.load_page(store, page)?;
        let end = first + self.pages[page].leaves as usize;
        let (mut left, mut right) = (first + 1, end);
        while left < right {
            let middle = left + (right - left) / 2;
            if self.known_low(middle) <= position {
                left = middle + 1;
            } else {
                right = middle;
            }
        }
        let leaf = self.known(left - 1);
        self.lookups = self.lookups.saturating_add(1);
        let enough = LOOKUPS_PER_PAGE.saturating_mul(self.pages.len() as u32);
        if self.model.is_none() && self.lookups >= enough {
            self.load_all(store)?;
        }
        Ok(leaf)
    }

    fn load_page<S: Store>(&mut self, store: &S, page: usize) -> Result<()> {
        if self.loaded[page] {
            return Ok(());
        }
        let children = read_children(store, self.pages[page], 0)?;
        self.keep_page(page, &children);
        Ok(())
    }

    fn keep_page(&mut self, page: usize, children: &[Child]) {
        let first = self.firsts[page] as usize;
        for (index, child) in children.iter().enumerate() {
            self.codes[first + index] = child.low.code;
            self.rest[first + index] =
                Rest { tid: child.low.tid, block: child.block, class: child.low.class, ..UNKNOWN };
        }
        self.loaded[page] = true;
    }

    fn load_all<S: Store>(&mut self, store: &S) -> Result<()> {
        (0..self.pages.len()).try_for_each(|page| self.load_page(store, page))?;
        self.model = Some(read_model(store, &self.state)?);
        Ok(())
    }
}

/// Reads a directory page of a level that a parent points to.
fn read_children<S: Store>(store: &S, parent: Child, level: u16) -> Result<Vec<Child>> {
    let (found, children) = read_page(store, parent)?;
    ensure(found == level, "a directory page of this level", found.into())
        .map_err(|corruption| corruption.at(parent.block))?;
    Ok(children)
}

/// Reads a directory page and checks it against what its parent says of it.
fn read_page<S: Store>(store: &S, parent: Child) -> Result<(u16, Vec<Child>)> {
    let decoded = directory::decode(&store.read(parent.block, 0));
    let checked = decoded.and_then(|(level, children)| {
        let leaves = children.iter().fold(0u32, |sum, child| sum.saturating_add(child.leaves));
        ensure(leaves == parent.leaves, "as many leaves as the parent says", leaves.into())?;
        let single = level > 0 || children.iter().all(|child| child.leaves == 1);
        ensure(single, "one leaf a child", leaves.into())?;
        let first = children.first().map(|child| child.low);
        ensure(first == Some(parent.low), "the low fence that the parent says", level.into())?;
        Ok((level, children))
    });
    checked.map_err(|corruption| corruption.at(parent.block))
}

/// The directory pages of the lowest level; if that is the top page alone, its children too.
fn read_upper_levels<S: Store>(
    store: &S,
    state: &State,
) -> Result<(Vec<Child>, Option<Vec<Child>>)> {
    if state.leaves == 0 {
        return Ok((Vec::new(), None));
    }
    let root = Child { low: Fence::MIN, block: state.directory_root, leaves: state.leaves };
    let (mut level, children) = read_page(store, root)?;
    ensure(level < MAX_LEVELS, "at most 8 directory levels", level.into())
        .map_err(|corruption| corruption.at(root.block))?;
    if level == 0 {
        return Ok((vec![root], Some(children)));
    }
    let mut pages = children;
    while level > 1 {
        level -= 1;
        let mut below = Vec::new();
        for page in pages {
            below.extend(read_children(store, page, level)?);
        }
        pages = below;
    }
    Ok((pages, None))
}

/// Reads the model.
pub fn read_model<S: Store>(store: &S, state: &State) -> Result<Model> {
    let len = state.model_len as usize;
    ensure(len <= MAX_BLOB_BYTES, "a model of at most 64 MiB", len as u64)?;
    let mut bytes = Vec::new();
    let mut next = Some(state.model_root).filter(|_| len > 0);
    while let Some(block) = next {
        let page = store.read(block, 0);
        let decoded: &PageBytes = &page;
        let (piece, following) =
            blob::decode(decoded).map_err(|corruption| corruption.at(block))?;
        // A full piece or the last one: links that go round end here.
        ensure(
            bytes.len() + piece.len() <= len && !piece.is_empty(),
            "a model of its length",
            piece.len() as u64,
        )
        .map_err(|corruption| corruption.at(block))?;
        bytes.extend_from_slice(piece);
        next = following;
    }
    ensure(bytes.len() == len, "a model of its length", bytes.len() as u64)?;
    Model::from_bytes(&bytes)
        .map_err(|_| Corruption::new("a model", state.model_kind.into()).at(state.model_root))
}

/// Checks the seal of a page that this session reads for the first time.
pub(crate) fn verify_once(leaf: LeafRef, page: &PageBytes) -> Result<()> {
    if leaf.verified { Ok(()) } else { page::verify_seal(page) }
}
