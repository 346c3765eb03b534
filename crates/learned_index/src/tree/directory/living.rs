//! How many living entries leaves have, as counts have met them: remembered under one state word.
//!
//! Under one word a leaf keeps its entries, and VACUUM gives no heap TID of them away: it changes
//! the word before it does. What that is good for is said in `tree/count`.

use super::Directory;
use crate::entry::Block;
use crate::key::Code;
use crate::page::leaf::Leaf;
use crate::tree::budget::{Budget, Share};

use std::ops::RangeInclusive;
use std::rc::Rc;

/// What a count remembers of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tree) struct Living {
    /// Entries without tombstones; [`UNKNOWN`].
    entries: u32,
    /// Two heap blocks between which those of all its entries lie.
    first_block: Block,
    last_block: Block,
}

/// Of a leaf that was not counted.
const UNKNOWN: u32 = u32::MAX;
const NOTHING: Living = Living { entries: UNKNOWN, first_block: 0, last_block: Block::MAX };

impl Living {
    /// Of a leaf whose heap blocks were looked at, or may be any.
    pub(in crate::tree) fn of<C: Code>(
        leaf: &Leaf<'_, C>,
        blocks: Option<&RangeInclusive<Block>>,
    ) -> Living {
        let entries = leaf.entries().saturating_sub(leaf.tombstones()) as u32;
        let blocks = blocks.cloned().unwrap_or(0..=Block::MAX);
        Living { entries, first_block: *blocks.start(), last_block: *blocks.end() }
    }

    /// Entries without tombstones.
    pub(in crate::tree) fn entries(self) -> u64 {
        self.entries.into()
    }

    /// Two heap blocks between which those of all its entries lie.
    pub(in crate::tree) fn heap_blocks(self) -> RangeInclusive<Block> {
        self.first_block..=self.last_block
    }

    fn is_known(self) -> bool {
        self.entries != UNKNOWN
    }
}

/// What is remembered of all leaves.
pub(super) struct Known {
    word: u64,
    leaves: Vec<Living>,
    share: Share,
}

impl Known {
    pub(super) fn nothing(budget: &Rc<Budget>) -> Known {
        Known { word: 0, leaves: Vec::new(), share: Share::of(budget) }
    }

    pub(super) fn memory(&self) -> usize {
        self.leaves.capacity() * size_of::<Living>()
    }

    pub(super) fn forget(&mut self) {
        self.leaves = Vec::new();
        self.share.set(0);
    }

    /// Makes room for some leaves, if there is the memory, and forgets what was under another word.
    fn begin(&mut self, word: u64, leaves: usize) {
        if self.word == word && self.leaves.len() == leaves {
            return;
        }
        self.leaves.clear();
        if self.leaves.capacity() < leaves {
            let bytes = leaves.saturating_mul(size_of::<Living>());
            if !self.share.grow_to(bytes) || self.leaves.try_reserve_exact(leaves).is_err() {
                return self.forget();
            }
            self.share.set(self.memory());
        }
        self.leaves.resize(leaves, NOTHING);
        self.word = word;
    }
}

impl<C: Code> Directory<C> {
    /// Remembers from here on how many living entries leaves have. Not to be called with a page
    /// locked.
    #[inline]
    pub(in crate::tree) fn remember_living_from_now_on(&mut self) {
        let (word, leaves) = (self.state.word, self.leaves());
        if self.is_resident() {
            self.living.begin(word, leaves);
        }
    }

    /// Remembers what a leaf has that was read under the current word, if it begins and ends where
    /// the directory says: then so does what is before it and behind it.
    #[inline]
    pub(in crate::tree) fn remember_living(
        &mut self,
        ordinal: usize,
        leaf: &Leaf<'_, C>,
        living: Living,
    ) {
        let tiles = &self.fences.tiles;
        if self.living.word == self.state.word
            && let Some(known) = self.living.leaves.get_mut(ordinal)
            && ordinal + 1 < tiles.codes.len()
            && tiles.knows(ordinal + 1)
            && leaf.low() == tiles.known_low(ordinal)
            && leaf.high() == tiles.known_low(ordinal + 1)
        {
            *known = living;
        }
    }

    /// What is remembered of the leaves from one on, as far as the next one that nothing is known
    /// of, and without the last of all.
    #[inline]
    pub(in crate::tree) fn living_from(&self, ordinal: usize) -> impl Iterator<Item = Living> {
        let known = match self.living.word == self.state.word {
            true => self.living.leaves.get(ordinal..).unwrap_or(&[]),
            false => &[],
        };
        known.iter().copied().take_while(|living| living.is_known())
    }
}
