//! Opening a leaf. Everything that reads a leaf opens it here, which locks the page under one
//! state, checks that it is the leaf that the directory means, and checks its header once.

use std::ops::Deref;

use super::attempt::{Attempt, Interruption, read_current};
use crate::corruption::{Corruption, Result, ensure};
use crate::entry::{Block, Fence, Side};
use crate::key::Code;
use crate::page::directory::Child;
use crate::page::leaf::{Head, Leaf};
use crate::page::{self, PageBytes};
use crate::store::{Hint, Store};

/// How a position was led to its leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// Without the model, by pages of the directory.
    ByDirectory,
    /// By the model: the leaf is in the window that it promised.
    ByModel,
    /// By a search that began at this window, and had to leave it.
    BySearch,
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
    /// How a position was led to it.
    pub routed: Routed,
}

impl LeafRef {
    /// One that this session has not read yet.
    pub(super) fn unknown<C>(ordinal: usize, child: &Child<C>) -> LeafRef {
        let Child { block, birth, .. } = *child;
        LeafRef { ordinal, block, birth, hint: 0, verified: false, routed: Routed::ByDirectory }
    }
}

/// A leaf that is locked, and was checked.
pub(super) struct OpenLeaf<P, C> {
    page: P,
    head: Head<C>,
    /// Where it is, with the hint of this time.
    pub(super) at: LeafRef,
}

/// Locks a leaf for reading, as long as the state is the one with this word, and checks it.
#[inline(always)]
pub(super) fn read_leaf<'s, S: Store>(
    store: &'s S,
    word: u64,
    at: LeafRef,
) -> Attempt<OpenLeaf<S::Page<'s>, S::Code>> {
    let page = read_current(store, word, at.block, at.hint)?;
    let hint = S::hint(&page);
    OpenLeaf::check(page, at, hint).map_err(Interruption::from)
}

impl<C: Code, P: Deref<Target = PageBytes>> OpenLeaf<P, C> {
    /// Checks that a locked page is the leaf that is meant, and its seal when this session finds it
    /// there (`hint`) for the first time: where it was elsewhere before, it was read from disk
    /// since.
    #[inline(always)]
    pub(super) fn check(page: P, at: LeafRef, hint: Hint) -> Result<OpenLeaf<P, C>> {
        let named = |corruption: Corruption| corruption.at(at.block);
        let birth = page::birth(&page);
        ensure(birth == at.birth, "the leaf that the directory means", birth).map_err(named)?;
        if !(at.verified && at.hint == hint) {
            page::verify_seal(&page).map_err(named)?;
        }
        let head = Head::parse(&page, at.block)?;
        Ok(OpenLeaf { page, head, at: LeafRef { hint, ..at } })
    }

    /// Checks that the leaf has a position, or what is before it.
    #[inline(always)]
    pub(super) fn check_holds(&self, side: Side, position: Fence<C>) -> Result<()> {
        let leaf = self.view();
        let holds = side.holds(leaf.low(), leaf.high(), position);
        leaf.ensure_that(holds, "a leaf that holds the key")
    }

    /// The leaf.
    #[inline(always)]
    pub(super) fn view(&self) -> Leaf<'_, C> {
        self.head.of(&self.page)
    }

    /// The locked page.
    pub(super) fn page(&self) -> &P {
        &self.page
    }

    /// What a view of a copy of the page needs.
    pub(super) fn head(&self) -> Head<C> {
        self.head
    }

    /// A copy that is not locked.
    pub(super) fn copied(&self) -> OpenLeaf<Box<PageBytes>, C> {
        OpenLeaf { page: Box::new(*self.page), head: self.head, at: self.at }
    }

    /// Gives up the view, and returns the locked page.
    #[inline(always)]
    pub(super) fn into_page(self) -> P {
        self.page
    }
}
