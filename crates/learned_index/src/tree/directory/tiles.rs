//! The directory pages of one state, and the leaves of those that a session has read.
//!
//! When another state is published, the leaves of pages that are the same stay in memory where they
//! are, or move over by as many places as there are more or fewer leaves before them. So a publish
//! costs a session what changed, and nothing is allocated for what did not.

use std::rc::Rc;

use super::read::{UpperLevels, read_children};
use crate::corruption::ensure;
use crate::entry::{Block, Fence, HeapTid};
use crate::key::Code;
use crate::memory::{Add, listed, with_room};
use crate::page::directory::Child;
use crate::page::meta::State;
use crate::page::outline::Outline;
use crate::store::{Hint, Store};
use crate::tree::attempt::Attempt;
use crate::tree::budget::{Budget, Share};
use crate::tree::leaf::{LeafRef, Routed};

/// Bytes that one leaf takes.
const fn bytes_per_leaf<C>() -> usize {
    size_of::<C>() + size_of::<Rest>()
}
/// Bytes that one directory page takes.
const BYTES_PER_PAGE: usize = size_of::<Child>() + size_of::<u32>() + size_of::<bool>();
/// When the number of leaves has grown, room is made for one in this many more.
const SPARE_ROOM: usize = 8;

/// See the file.
pub(super) struct Tiles<C> {
    /// Directory pages of the lowest level, and how many leaves stand before each.
    pub(super) pages: Vec<Child<C>>,
    pub(super) firsts: Vec<u32>,
    /// For each leaf, as far as its page was read: the code of its low fence, and the rest. Of
    /// others there may be anything.
    pub(super) codes: Vec<C>,
    pub(super) rest: Vec<Rest>,
    loaded: Vec<bool>,
    /// Whether there is memory for the leaves.
    pub(super) resident: bool,
    /// Of the budget: for the list of pages, and for the leaves.
    pages_share: Share,
    leaves_share: Share,
}

#[derive(Clone, Copy)]
pub(super) struct Rest {
    pub(super) tid: HeapTid,
    birth: u64,
    block: Block,
    pub(super) hint: Hint,
    class: u8,
    /// Whether this session has checked the leaf's seal.
    pub(super) verified: bool,
    pub(super) outline: Outline,
}

const _: () = assert!(size_of::<Rest>() == 48);

const UNKNOWN: Rest = Rest {
    tid: HeapTid::MIN,
    birth: 0,
    block: 0,
    hint: 0,
    class: 0,
    verified: false,
    outline: Outline::UNKNOWN,
};

/// What another state's directory is, read and not taken over yet.
pub(super) struct Change<C> {
    pages: Vec<Child<C>>,
    firsts: Vec<u32>,
    loaded: Vec<bool>,
    leaves: usize,
    moves: Vec<Move>,
    /// Pages that were read because they are new.
    read: Vec<(usize, Vec<Child<C>>)>,
}

/// Leaves next to each other that both states have: where they are, and where they will be.
#[derive(Clone, Copy)]
struct Move {
    from: usize,
    to: usize,
    leaves: usize,
}

impl<C: Code> Change<C> {
    /// Reads the upper levels of a state's directory; if `whole`, also the pages that `known` has
    /// not.
    pub(super) fn read<S: Store<Code = C>>(
        store: &S,
        state: &State<C>,
        known: &Tiles<C>,
        whole: bool,
    ) -> Attempt<Change<C>> {
        let UpperLevels { pages, leaves: only_page, .. } = UpperLevels::read(store, state)?;
        let mut firsts = with_room(pages.len());
        let mut before = 0u32;
        for page in &pages {
            firsts.push(before);
            before = before.saturating_add(page.leaves);
        }
        let leaves = state.leaves as usize;
        ensure(before as usize == leaves, "as many leaves as the metapage says", before.into())?;
        let loaded = listed(pages.iter().map(|_| false));
        let (moves, read) = (Vec::new(), Vec::new());
        let mut change = Change { pages, firsts, loaded, leaves, moves, read };
        if known.resident {
            change.keep(known);
        }
        if let Some(children) = only_page.filter(|_| change.loaded == [false]) {
            change.read.add((0, children));
        }
        if whole {
            // The only page was read just now, if it is new.
            for page in change.read.len()..change.pages.len() {
                if !change.loaded[page] {
                    let children = read_children(store, state.word, change.pages[page], 0)?;
                    change.read.add((page, children));
                }
            }
        }
        Ok(change)
    }

    /// Finds the pages that both states have. Fences ascend in both: one walk along both meets them
    /// all.
    fn keep(&mut self, known: &Tiles<C>) {
        let (mut old, mut new) = (0, 0);
        while let (Some(before), Some(after)) = (known.pages.get(old), self.pages.get(new)) {
            if before == after {
                self.loaded[new] = known.loaded[old];
                let (from, to) = (known.firsts[old] as usize, self.firsts[new] as usize);
                let leaves = after.leaves as usize;
                match self.moves.last_mut() {
                    Some(last)
                        if last.from + last.leaves == from && last.to + last.leaves == to =>
                    {
                        last.leaves += leaves;
                    }
                    _ => self.moves.add(Move { from, to, leaves }),
                }
                (old, new) = (old + 1, new + 1);
            } else if before.low <= after.low {
                old += 1;
            } else {
                new += 1;
            }
        }
    }
}

impl<C: Code> Tiles<C> {
    /// Of no directory.
    pub(super) fn none(budget: &Rc<Budget>) -> Tiles<C> {
        Tiles {
            pages: Vec::new(),
            firsts: Vec::new(),
            codes: Vec::new(),
            rest: Vec::new(),
            loaded: Vec::new(),
            resident: false,
            pages_share: Share::of(budget),
            leaves_share: Share::of(budget),
        }
    }

    /// Bytes that this takes.
    pub(super) fn memory(&self) -> usize {
        self.leaves_memory() + self.pages.capacity() * BYTES_PER_PAGE
    }

    pub(super) fn budget(&self) -> &Rc<Budget> {
        self.pages_share.budget()
    }

    /// Becomes another state's directory. Nothing here fails: without the memory for the leaves,
    /// pages are read at each lookup.
    pub(super) fn take_over(&mut self, change: Change<C>) {
        let Change { pages, firsts, loaded, leaves, moves, read } = change;
        self.make_room(leaves);
        if self.resident {
            self.resize(leaves.max(self.codes.len()));
            // To the left from the left on, then to the right from the right on: so nothing is
            // written over that is still to be moved.
            moves.iter().filter(|moved| moved.to < moved.from).for_each(|&moved| self.shift(moved));
            let rightward = moves.iter().rev().filter(|moved| moved.to > moved.from);
            rightward.for_each(|&moved| self.shift(moved));
            self.resize(leaves);
            self.give_back_room();
        }
        (self.pages, self.firsts, self.loaded) = (pages, firsts, loaded);
        self.pages_share.set(self.pages.capacity() * BYTES_PER_PAGE);
        // The list of pages may have taken what the leaves had before.
        if !self.budget().is_kept() {
            self.forget();
        }
        if self.resident {
            read.iter().for_each(|(page, children)| self.keep_page(*page, children));
        } else {
            self.loaded.fill(false);
        }
    }

    fn shift(&mut self, Move { from, to, leaves }: Move) {
        self.codes.copy_within(from..from + leaves, to);
        self.rest.copy_within(from..from + leaves, to);
    }

    fn resize(&mut self, leaves: usize) {
        self.codes.resize(leaves, C::MIN);
        self.rest.resize(leaves, UNKNOWN);
    }

    /// Makes room for so many leaves, or forgets all of them.
    fn make_room(&mut self, leaves: usize) {
        self.resident = leaves <= self.codes.capacity().min(self.rest.capacity())
            // What has grown once grows again.
            || !self.codes.is_empty() && self.reserve(leaves + leaves / SPARE_ROOM)
            || self.reserve(leaves);
        if !self.resident {
            (self.codes, self.rest) = (Vec::new(), Vec::new());
        }
        self.leaves_share.set(self.leaves_memory());
    }

    fn reserve(&mut self, room: usize) -> bool {
        let more = room.saturating_sub(self.codes.len());
        self.leaves_share.grow_to(room.saturating_mul(bytes_per_leaf::<C>()))
            && self.codes.try_reserve_exact(more).is_ok()
            && self.rest.try_reserve_exact(more).is_ok()
    }

    /// Gives back what is more than twice what is needed.
    fn give_back_room(&mut self) {
        let leaves = self.codes.len();
        let (mut codes, mut rest) = (Vec::new(), Vec::new());
        if self.codes.capacity() / 2 > leaves
            && codes.try_reserve_exact(leaves).is_ok()
            && rest.try_reserve_exact(leaves).is_ok()
        {
            codes.extend_from_slice(&self.codes);
            rest.extend_from_slice(&self.rest);
            (self.codes, self.rest) = (codes, rest);
            self.leaves_share.set(self.leaves_memory());
        }
    }

    fn leaves_memory(&self) -> usize {
        self.codes.capacity() * size_of::<C>() + self.rest.capacity() * size_of::<Rest>()
    }

    /// Keeps the leaves from now on, if there is the memory by now.
    pub(super) fn try_to_reside(&mut self) {
        if !self.resident {
            let leaves = self.pages.iter().map(|page| page.leaves as usize).sum();
            self.make_room(leaves);
            if self.resident {
                self.resize(leaves);
            }
        }
    }

    /// Forgets the leaves.
    pub(super) fn forget(&mut self) {
        (self.codes, self.rest) = (Vec::new(), Vec::new());
        self.loaded.fill(false);
        self.leaves_share.set(0);
        self.resident = false;
    }

    #[inline]
    pub(super) fn known(&self, ordinal: usize) -> LeafRef {
        let Rest { block, birth, hint, verified, .. } = self.rest[ordinal];
        LeafRef { ordinal, block, birth, hint, verified, routed: Routed::ByDirectory }
    }

    #[inline]
    pub(super) fn known_low(&self, ordinal: usize) -> Fence<C> {
        let Rest { tid, class, .. } = self.rest[ordinal];
        Fence { class, code: self.codes[ordinal], tid }
    }

    /// Whether a leaf is one of those whose page was read.
    #[inline]
    pub(super) fn knows(&self, ordinal: usize) -> bool {
        self.resident && self.loaded.get(self.page_of(ordinal)) == Some(&true)
    }

    pub(super) fn page_of(&self, ordinal: usize) -> usize {
        self.firsts.partition_point(|&first| first as usize <= ordinal).saturating_sub(1)
    }

    pub(super) fn load_page<S: Store<Code = C>>(
        &mut self,
        store: &S,
        word: u64,
        page: usize,
    ) -> Attempt<()> {
        if self.loaded[page] {
            return Ok(());
        }
        let children = read_children(store, word, self.pages[page], 0)?;
        self.keep_page(page, &children);
        Ok(())
    }

    fn keep_page(&mut self, page: usize, children: &[Child<C>]) {
        let first = self.firsts[page] as usize;
        for (index, child) in children.iter().enumerate() {
            let Child { low, block, birth, .. } = *child;
            self.codes[first + index] = low.code;
            self.rest[first + index] =
                Rest { tid: low.tid, birth, block, class: low.class, ..UNKNOWN };
        }
        self.loaded[page] = true;
    }
}
