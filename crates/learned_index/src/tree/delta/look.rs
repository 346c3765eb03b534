//! Looking at the rows that have the key of a new one, for a unique index. What is stored beside
//! the key may be another.
//!
//! What was found out about a row is remembered by its entry's slot, so that each row is looked up
//! once, however often the check begins again beside a merge: for this session where the row is
//! dead to all, for this check where it is of no concern to it.

use std::ops::ControlFlow;

use crate::corruption::Result;
use crate::entries::Entries;
use crate::entry::{Block, Fence, HeapTid, Side};
use crate::fault::{Fault, full_at, injected};
use crate::key::{Code, Key, NullClass};
use crate::memory::Add;
use crate::page::delta::Delta;
use crate::stop::{StopPoint, stop_at};
use crate::store::Store;
use crate::tree::attempt::Attempt;
use crate::tree::directory::{Directory, Which};
use crate::tree::killed::{Killed, PageId};
use crate::tree::leaf::{OpenLeaf, read_leaf};
use crate::tree::tombstones::read_tombstones;

/// What a row is to the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// Dead: no snapshot sees it, and none ever will. Its entry may go.
    Dead,
    /// Of no concern, which stays so until the check is over.
    Gone,
    /// Passed by this time; to be looked at again when the check has to begin again.
    Passed,
}

/// Rows that are looked up under a page's lock: nobody can cancel that, and others wait.
const MOST_UNDER_LOCK: usize = 8;
/// Times that rows which came meanwhile are looked up before the lock is taken. After that they are
/// looked up under it: others might go on adding some for ever.
const MOST_ROUNDS: usize = 3;
/// Dead entries of one key in a leaf that are worth taking out.
const MANY_DEAD: usize = 32;
/// Entries of a leaf that are copied at once.
const PORTION: usize = 512;

/// The check of one new row. `L` looks a row up.
pub(super) struct Look<L, C> {
    /// The first and the last of the keys that are equal to the new row's, apart from what is
    /// stored beside them.
    same: (Key<C>, Key<C>),
    look: L,
    /// Rows that need not be looked up again by this check.
    gone: Killed<C>,
    /// Entries of the page that is looked at: slots and rows.
    found: Vec<(usize, HeapTid)>,
    copied: Entries<C>,
    rounds: usize,
    /// Rows that may yet be looked up under the lock.
    allowed: usize,
    /// In the leaf of the active tree that begins here, or goes on, many entries of the key are
    /// dead.
    pub(super) many_dead: Option<Fence<C>>,
}

/// What looking into a leaf of the active tree, which is locked, has come to.
pub(super) enum Looked<B, C> {
    /// The check stops at a row.
    Stopped(B),
    /// Too many rows are unknown to be looked up under the lock.
    TooMany,
    /// Nothing is in the way up to here, and this is the page to the right.
    Until(Fence<C>, Block),
}

impl<C: Code, L> Look<L, C> {
    pub(super) fn new(same: (Key<C>, Key<C>), look: L) -> Look<L, C> {
        Look {
            same,
            look,
            // A bit for each row of the key: nothing is to be forgotten.
            gone: Killed::within(usize::MAX),
            found: Vec::new(),
            copied: Entries::of(same.0.class),
            rounds: 0,
            allowed: 0,
            many_dead: None,
        }
    }

    /// From where to where entries have the key.
    pub(super) fn range(&self) -> (Fence<C>, Fence<C>) {
        (Fence::before(self.same.0), Fence::after(self.same.1))
    }

    /// The key, if nothing is stored beside it.
    fn single(&self) -> Option<Key<C>> {
        let (first, last) = self.same;
        (first == last).then_some(first)
    }

    /// Begins to look into the active tree under the lock.
    pub(super) fn begin_under_lock(&mut self) {
        let few = full_at(MOST_UNDER_LOCK);
        self.allowed = if self.rounds < MOST_ROUNDS { few } else { usize::MAX };
        self.many_dead = None;
    }

    /// Leaves what is not known yet of the entries that were found.
    fn drop_known(&mut self, killed: &Killed<C>, page_id: &PageId<C>) {
        if injected(Fault::ForgetRows) {
            return;
        }
        let (killed, gone) = (killed.of(page_id), self.gone.of(page_id));
        if killed.is_some() || gone.is_some() {
            let has = |slot| [killed, gone].into_iter().flatten().any(|known| known.has(slot));
            self.found.retain(|&(slot, _)| !has(slot));
        }
    }

    /// Notes the entries of the key in a leaf of a delta tree, from a position on.
    fn find_in_delta(&mut self, node: &Delta<'_, C>, from: Fence<C>) -> Result<()> {
        self.found.clear();
        let ((_, end), found) = (self.range(), &mut self.found);
        node.visit(from, end, |slot, entry| found.push((slot, entry.tid)))
    }
}

impl<C: Code, B, L: FnMut(HeapTid) -> ControlFlow<B, Row>> Look<L, C> {
    /// Looks at the rows that were found, and are unknown.
    fn look_at_found(&mut self, killed: &mut Killed<C>, page_id: PageId<C>) -> Option<B> {
        // Looking at a few again costs nothing.
        let many = self.found.len() >= full_at(MOST_UNDER_LOCK);
        for &(slot, tid) in &self.found {
            stop_at(StopPoint::UniqueLook);
            match (self.look)(tid) {
                ControlFlow::Break(why) => return Some(why),
                ControlFlow::Continue(Row::Passed) => {}
                ControlFlow::Continue(row) => {
                    if row == Row::Dead {
                        killed.add(page_id, slot);
                    }
                    if many {
                        self.gone.add(page_id, slot);
                    }
                }
            }
        }
        None
    }

    /// Looks at the rows that were found in a page. Their TIDs are given to no other rows as long
    /// as the page is pinned.
    fn look_pinned<S: Store<Code = C>>(
        &mut self,
        store: &S,
        killed: &mut Killed<C>,
        page_id: PageId<C>,
        page: S::Page<'_>,
    ) -> Option<B> {
        self.drop_known(killed, &page_id);
        if self.found.is_empty() {
            return None;
        }
        let pin = S::pin(page);
        let stopped = self.look_at_found(killed, page_id);
        store.unpin(pin);
        stopped
    }

    /// Looks at every row whose entry is not in the active delta tree.
    pub(super) fn below_active<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
    ) -> Attempt<Option<B>> {
        directory.warm_deltas(store, self.range().0)?;
        let from = self.range().0.max(directory.state().watermark);
        if let Some(why) = self.in_delta(store, directory, Which::Frozen, from)? {
            return Ok(Some(why));
        }
        self.in_leaves(store, directory)
    }

    /// Looks at every row whose entry is in the active delta tree, without keeping it locked.
    pub(super) fn ahead_of_lock<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
    ) -> Attempt<Option<B>> {
        let stopped = self.in_delta(store, directory, Which::Active, self.range().0)?;
        // Those that a change of the word has cut off do not count: merges end, and what was looked
        // up is remembered.
        self.rounds += 1;
        Ok(stopped)
    }

    fn in_delta<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        which: Which,
        mut from: Fence<C>,
    ) -> Attempt<Option<B>> {
        let word = directory.state().word;
        while from < self.range().1 {
            let Some(routes) = directory.delta(store, which)? else { break };
            let open = routes.read_leaf(store, word, from, Side::At)?;
            let node = open.view();
            let may_have = match self.single() {
                Some(key) if key.class == NullClass::Value => routes.may_have(&node, key.code)?,
                _ => true,
            };
            self.found.clear();
            if may_have {
                self.find_in_delta(&node, from)?;
            }
            let page_id = PageId::of_delta(&node);
            from = node.high();
            if let Some(why) =
                self.look_pinned(store, directory.killed(), page_id, open.into_page())
            {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    fn in_leaves<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
    ) -> Attempt<Option<B>> {
        let (mut from, end) = self.range();
        while from < end {
            let Some(at) = directory.route(store, from)? else { break };
            directory.warm(store, at, from.code);
            let open = read_leaf(store, directory.state().word, at)?;
            from = self.find_in_leaf(store, directory, &open, from)?;
            let page_id = PageId::of_leaf(at);
            if let Some(why) =
                self.look_pinned(store, directory.killed(), page_id, open.into_page())
            {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// Notes the entries of the key in a leaf from a position on. Returns up to where these are
    /// all.
    fn find_in_leaf<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        open: &OpenLeaf<S::Page<'_>, C>,
        from: Fence<C>,
    ) -> Attempt<Fence<C>> {
        self.found.clear();
        open.check_holds(Side::At, from)?;
        let leaf = open.view();
        directory.remember(open.at, &leaf);
        let (first, end) = self.range();
        let to = end.min(leaf.high());
        // Without any value a leaf of NULLs has the positions of all values.
        if leaf.class() != self.same.0.class {
            return Ok(to);
        }
        self.copied.clear();
        let (slots, more) = match self.single() {
            Some(key) if from == first && to == end => {
                leaf.copy_run(key.code, PORTION, &mut self.copied)
            }
            _ => leaf.copy_between(from, to, PORTION, &mut self.copied),
        }?;
        let all = self.copied.len() == slots.len();
        leaf.ensure(all, "as many entries as slots", slots.len() as u64)?;
        let next = match self.copied.last() {
            Some(last) if more => Fence::past(last),
            _ => to,
        };
        self.found.add_all(slots.zip(self.copied.tids().iter().copied()));
        if leaf.tombstones() > 0 && !self.found.is_empty() {
            let dead = read_tombstones(store, directory.state().word, &leaf)?;
            self.found.retain(|&(slot, _)| !dead.has(slot));
        }
        Ok(next)
    }

    /// Looks at the rows of the key in a leaf of the active tree that is locked, or right of one
    /// that is; it begins at `begin`, if that is known.
    pub(super) fn under_lock(
        &mut self,
        killed: &mut Killed<C>,
        node: &Delta<'_, C>,
        begin: Option<Fence<C>>,
    ) -> Result<Looked<B, C>> {
        if let Some(begin) = begin {
            // The first one was checked when it was locked.
            node.verify()?;
            node.ensure_that(node.low() == begin, "the neighbour's fence")?;
        }
        let (low, _) = self.range();
        self.find_in_delta(node, low)?;
        let next = Looked::Until(node.high(), node.right());
        if self.found.is_empty() {
            return Ok(next);
        }
        let page_id = PageId::of_delta(node);
        let all = self.found.len();
        let dead = |killed: &Killed<C>| killed.of(&page_id).map_or(0, |known| known.count());
        self.drop_known(killed, &page_id);
        if self.found.len() > self.allowed {
            return Ok(Looked::TooMany);
        }
        self.allowed -= self.found.len();
        if let Some(why) = self.look_at_found(killed, page_id) {
            return Ok(Looked::Stopped(why));
        }
        let many = full_at(MANY_DEAD);
        if all >= many && dead(killed) >= many {
            self.many_dead = Some(node.low().max(low));
        }
        Ok(next)
    }
}
