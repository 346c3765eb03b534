//! What a session remembers of the leaves that it has read: hints for reading them again, where
//! their parts lie, that they were found whole, and which of their rows are dead. Nothing but speed
//! depends on it.

use super::Directory;
use crate::cpu;
use crate::key::Code;
use crate::page::leaf::Leaf;
use crate::store::{Hint, Store};
use crate::tree::killed::{Killed, PageId, Slots};
use crate::tree::leaf::LeafRef;

/// How far into a leaf its last keys are, of 1.
const LAST_PART: f32 = 0.999;

impl<C: Code> Directory<C> {
    /// Remembers that a leaf was read and found whole, the hint for reading it again, and what it
    /// looks like.
    #[inline]
    pub(in crate::tree) fn remember(&mut self, at: LeafRef, leaf: &Leaf<'_, C>) {
        self.remember_hint(at, at.hint);
        if let Some(rest) = self.fences.tiles.rest.get_mut(at.ordinal)
            && !rest.verified
        {
            rest.verified = true;
            rest.outline = leaf.outline();
        }
    }

    /// Remembers the hint for reading a leaf that was not read yet.
    #[inline]
    pub fn remember_hint(&mut self, leaf: LeafRef, hint: Hint) {
        if let Some(rest) = self.fences.tiles.rest.get_mut(leaf.ordinal) {
            rest.hint = hint;
        }
    }

    /// Whether there is a hint for reading a leaf.
    #[inline]
    pub(in crate::tree) fn has_hint(&self, ordinal: usize) -> bool {
        self.fences.tiles.rest.get(ordinal).is_some_and(|rest| rest.hint != 0)
    }

    /// Whether what was learned of leaves is kept, so that looking ahead may pay.
    pub(in crate::tree) fn is_resident(&self) -> bool {
        self.fences.tiles.resident
    }

    /// Asks the processor for what looking a code up in a leaf will read.
    #[inline]
    pub(in crate::tree) fn warm<S: Store<Code = C>>(&self, store: &S, leaf: LeafRef, code: C) {
        if leaf.hint == 0 {
            return;
        }
        let page = store.expected_at(leaf.hint);
        let tiles = &self.fences.tiles;
        let Some(rest) = tiles.rest.get(leaf.ordinal).filter(|_| !page.is_null()) else {
            return;
        };
        let low = tiles.codes[leaf.ordinal];
        let high = tiles.codes.get(leaf.ordinal + 1).copied().unwrap_or(C::MAX);
        let fraction = code.part_of(low, high).min(LAST_PART);
        rest.outline.lines(fraction, |offset| cpu::prefetch(page.wrapping_add(offset)));
    }

    /// Whether any rows are known to be dead to all.
    #[inline]
    pub(in crate::tree) fn has_killed(&self) -> bool {
        !self.killed.is_empty()
    }

    /// The slots of a page whose rows are known to be dead to all.
    #[inline]
    pub(in crate::tree) fn killed_in(&self, page_id: &PageId<C>) -> Option<&Slots> {
        self.killed.of(page_id)
    }

    /// Entries whose rows are known to be dead to all.
    pub(in crate::tree) fn killed(&mut self) -> &mut Killed<C> {
        &mut self.killed
    }
}
