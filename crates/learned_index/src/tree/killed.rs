//! Entries whose rows are dead, as far as a session has found out, so that it need not ask the
//! table again.
//!
//! What is remembered is a slot of a page, and it stays true for ever. A dead row stays dead. A
//! slot of a published leaf never changes its meaning, and no two published leaves have block and
//! birth in common. A slot of a delta leaf keeps its entry as long as the leaf keeps its high fence
//! and its number of rewrites (see `page/delta.rs`); a tree's pages are never given back while
//! entries are added to it, and no two trees have the same name. A heap TID gets another row only
//! after VACUUM has taken its entry out: by a tombstone, which counts before what is remembered
//! here, or by a rewrite.
//!
//! What is remembered ends with the build of the index that it is about (its incarnation), as the
//! directory does. It is never filled on a standby, where rows that are dead on the primary may be
//! seen.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use super::budget::{Budget, Share};
use super::leaf::LeafRef;
use crate::entry::{Block, Fence};
use crate::fault::{Fault, full_at, injected};
use crate::key::Code;
use crate::memory::{Add, Room};
use crate::page::delta::Delta;

/// A page whose slots keep their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::tree) enum PageId<C> {
    /// A published leaf.
    Leaf {
        /// Where it is.
        block: Block,
        /// The epoch in which it was written.
        birth: u64,
    },
    /// A leaf of a delta tree.
    Delta {
        /// Where it is.
        block: Block,
        /// The tree's name.
        name: u64,
        /// Times that entries were taken out.
        rewrites: u64,
        /// Where it ends: a split changes that.
        high: Fence<C>,
    },
}

impl<C: Code> PageId<C> {
    /// That of a leaf as the directory knows it.
    #[inline]
    pub(in crate::tree) fn of_leaf(at: LeafRef) -> PageId<C> {
        PageId::Leaf { block: at.block, birth: at.birth }
    }

    /// That of a leaf of a delta tree.
    pub(in crate::tree) fn of_delta(node: &Delta<'_, C>) -> PageId<C> {
        let rewrites = if injected(Fault::KeepKilled) { 0 } else { node.rewrites() };
        PageId::Delta { block: node.at(), name: node.tree(), rewrites, high: node.high() }
    }
}

/// Slots of one page: a bit for each.
#[derive(Clone, Debug, Default)]
pub(in crate::tree) struct Slots {
    bits: Vec<u64>,
    /// Added since these were marked in the page, for all sessions.
    unmarked: usize,
}

impl Slots {
    /// Whether the row of a slot's entry is known to be dead.
    #[inline]
    pub(in crate::tree) fn has(&self, slot: usize) -> bool {
        self.word(slot / 64) >> (slot % 64) & 1 == 1
    }

    /// 64 slots at once: a bit for each.
    #[inline]
    pub(in crate::tree) fn word(&self, index: usize) -> u64 {
        self.bits.get(index).copied().unwrap_or(0)
    }

    /// Whether it has all slots before `end`.
    pub(in crate::tree) fn has_all(&self, end: usize) -> bool {
        let (words, rest) = (end / 64, end % 64);
        (0..words).all(|index| self.word(index) == u64::MAX)
            && self.word(words) & ((1 << rest) - 1) == (1 << rest) - 1
    }

    /// Number of slots.
    pub(in crate::tree) fn count(&self) -> usize {
        self.bits.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// Adds a slot. Returns by how many words this has grown.
    fn add(&mut self, slot: usize) -> usize {
        let before = self.bits.len();
        while self.bits.len() <= slot / 64 {
            self.bits.add(0);
        }
        self.unmarked += usize::from(!self.has(slot));
        self.bits[slot / 64] |= 1 << (slot % 64);
        self.bits.len() - before
    }
}

/// New dead entries of one page that are worth a record in the log, at least.
const MANY_UNMARKED: usize = 32;
/// Whether more dead rows of a page are expected to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tree) enum MoreDead {
    /// By the scan that goes on.
    Soon,
    /// By another one.
    Later,
    /// No more: the scan has read the page to its end.
    Never,
}

/// Words that a page takes besides its bits, about.
const WORDS_PER_PAGE: usize = 16;

/// What is known of pages. Which pages these are is no secret, and each lookup of a key asks for
/// one.
type Pages<C> = HashMap<PageId<C>, Slots, BuildHasherDefault<PageIdHasher>>;

/// Mixes the few words of a [`PageId`]: multiplication by an odd number, as in FxHash.
#[derive(Default)]
struct PageIdHasher(u64);

impl Hasher for PageIdHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }
}

/// Dead entries by page, within a limit: the pages that were not asked for lately are forgotten.
#[derive(Debug)]
pub(in crate::tree) struct Killed<C> {
    /// The pages that were added to since the old ones were put aside.
    young: Pages<C>,
    old: Pages<C>,
    /// Words that the young ones take, and the old ones.
    words: [usize; 2],
    /// Of the young ones.
    limit: usize,
    /// What this takes of the memory for everything that the session remembers.
    share: Option<Share>,
}

impl<C: Code> Killed<C> {
    /// Nothing yet, and at most this many bytes, about.
    pub(in crate::tree) fn within(bytes: usize) -> Killed<C> {
        let (young, old) = (Pages::default(), Pages::default());
        Killed { young, old, words: [0; 2], limit: bytes / 16, share: None }
    }

    /// The same, and never more than a budget has.
    pub(in crate::tree) fn shared(bytes: usize, budget: &Rc<Budget>) -> Killed<C> {
        Killed { share: Some(Share::of(budget)), ..Killed::within(bytes) }
    }

    /// Bytes that this takes, about.
    pub(in crate::tree) fn memory(&self) -> usize {
        (self.words[0] + self.words[1]) * size_of::<u64>()
    }

    /// Whether nothing at all is known, which is the usual case.
    #[inline]
    pub(in crate::tree) fn is_empty(&self) -> bool {
        self.words == [0; 2]
    }

    /// What is known of a page's entries.
    #[inline]
    pub(in crate::tree) fn of(&self, page_id: &PageId<C>) -> Option<&Slots> {
        if self.is_empty() {
            return None;
        }
        self.young.get(page_id).or_else(|| self.old.get(page_id))
    }

    /// Whether this session knows enough new dead entries of a page to write a record that marks
    /// them for all sessions.
    pub(in crate::tree) fn is_worth_marking(&self, page_id: &PageId<C>, more: MoreDead) -> bool {
        self.of(page_id).is_some_and(|slots| {
            // Marking takes longer the more marks there are already: not again and again for a few
            // more.
            let is_part = |part: usize| slots.unmarked * part >= slots.count();
            slots.unmarked >= full_at(MANY_UNMARKED)
                && match more {
                    MoreDead::Soon => is_part(4),
                    MoreDead::Later => is_part(16),
                    MoreDead::Never => true,
                }
        })
    }

    /// Notes that the entries of a page that are known to be dead were marked for all sessions, as
    /// far as that was possible.
    pub(in crate::tree) fn were_marked(&mut self, page_id: &PageId<C>) {
        let [young, old] = [&mut self.young, &mut self.old];
        if let Some(slots) = young.get_mut(page_id).or_else(|| old.get_mut(page_id)) {
            slots.unmarked = 0;
        }
    }

    /// Remembers that the row of an entry is dead.
    pub(in crate::tree) fn add(&mut self, page_id: PageId<C>, slot: usize) {
        self.add_all(page_id, [slot]);
    }

    /// The same of several entries of one page.
    pub(in crate::tree) fn add_all(
        &mut self,
        page_id: PageId<C>,
        more: impl IntoIterator<Item = usize>,
    ) {
        if !self.young.contains_key(&page_id) {
            let known = self.old.remove(&page_id).unwrap_or_default();
            let words = WORDS_PER_PAGE + known.bits.len();
            if self.words[0] + words > self.limit {
                self.old = std::mem::take(&mut self.young);
                self.words = [0, self.words[0]];
            }
            self.young.make_room(1);
            self.young.insert(page_id, known);
            self.words[0] += words;
        }
        if let Some(slots) = self.young.get_mut(&page_id) {
            self.words[0] += more.into_iter().map(|slot| slots.add(slot)).sum::<usize>();
        }
        self.keep_within_budget();
    }

    /// Forgets everything. The memory is free after that.
    pub(in crate::tree) fn forget(&mut self) {
        (self.young, self.old, self.words) = (Pages::default(), Pages::default(), [0; 2]);
        if let Some(share) = &mut self.share {
            share.set(0);
        }
    }

    /// Forgets everything where the budget has no more: what is not known is asked again.
    fn keep_within_budget(&mut self) {
        let memory = self.memory();
        let Some(share) = &mut self.share else { return };
        if memory < share.bytes() {
            share.set(memory);
        } else if !share.try_grow_to(memory) {
            self.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(block: Block) -> PageId<u64> {
        PageId::Leaf { block, birth: 7 }
    }

    #[test]
    fn what_was_added_lately_is_known_and_memory_is_bounded() {
        let mut killed = Killed::within(64 * 1024);
        for block in 0..10_000 {
            for slot in [3usize, 64, 500] {
                killed.add(leaf(block), slot);
            }
            assert!(killed.memory() <= 80 * 1024, "{} bytes", killed.memory());
            for known in block.saturating_sub(100)..=block {
                assert!(
                    [3, 64, 500]
                        .iter()
                        .all(|&slot| killed.of(&leaf(known)).is_some_and(|slots| slots.has(slot)))
                );
                assert!(killed.of(&leaf(known)).is_none_or(|slots| !slots.has(4)));
            }
        }
        assert!(killed.of(&leaf(0)).is_none(), "nothing is ever forgotten");
        assert!(killed.of(&PageId::Leaf { block: 9_999, birth: 8 }).is_none());
    }

    #[test]
    fn nothing_is_remembered_beyond_the_budget_and_all_of_it_is_given_back() {
        let budget = Budget::alone(4_096);
        let mut killed = Killed::shared(1 << 20, &budget);
        for block in 0..1_000 {
            killed.add(leaf(block), 9);
            assert_eq!(budget.used(), killed.memory());
            assert!(budget.used() <= 4_096);
        }
        drop(killed);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_page_that_is_added_to_again_keeps_what_was_known_of_it() {
        let mut killed = Killed::within(16 * 1024);
        for round in 0..500usize {
            killed.add(leaf(1), round);
            (0..20).for_each(|other| killed.add(leaf(100 + round as Block * 20 + other), 1));
            let known = killed.of(&leaf(1)).unwrap();
            assert!((0..=round).all(|slot| known.has(slot)), "round {round}");
            assert_eq!(known.count(), round + 1);
        }
    }
}
