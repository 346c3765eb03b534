//! Which slots of a leaf are marked as dead, for all sessions: by the leaf itself, or by its
//! tombstone page.

use std::ops::{Deref, Range};

use super::attempt::{Attempt, read_current};
use crate::corruption::Corruption;
use crate::fault::{Fault, injected};
use crate::key::Code;
use crate::memory::listed;
use crate::page::leaf::Leaf;
use crate::page::{PageBytes, tombstone};
use crate::stop::{StopPoint, stop_at};
use crate::store::Store;

/// The dead slots of a locked leaf.
pub(super) struct Tombstones<'a, P, C> {
    leaf: Leaf<'a, C>,
    listed: &'a [[u8; 2]],
    /// The page that marks them, locked too; without one the leaf lists them.
    map: Option<P>,
}

/// Reads the tombstones of a locked leaf. That locks the page that has them, if there is one.
///
/// Nobody locks the two in another order, and changes name them in this one, in which replay locks
/// them. While the word is the same, the page is the leaf's. After that it may be gone although the
/// leaf is still locked: when what a merge replaced was not freed by the merge but swept up later,
/// in the order of the blocks.
pub(super) fn read_tombstones<'a, 's, S: Store>(
    store: &'s S,
    word: u64,
    leaf: &Leaf<'a, S::Code>,
) -> Attempt<Tombstones<'a, S::Page<'s>, S::Code>> {
    let (leaf, listed) = (*leaf, leaf.listed());
    let Some(map) = leaf.tombstone_page() else {
        return Ok(Tombstones { leaf, listed, map: None });
    };
    leaf.ensure(map != leaf.at(), "a tombstone page of its own", map.into())?;
    stop_at(StopPoint::BeforeMap);
    let page = match injected(Fault::MapUnderAnyWord) {
        false => read_current(store, word, map, 0)?,
        true => store.read(map, 0),
    };
    tombstone::check_map(&page, &leaf).map_err(|corruption: Corruption| corruption.at(map))?;
    Ok(Tombstones { leaf, listed, map: Some(page) })
}

impl<C: Code, P: Deref<Target = PageBytes>> Tombstones<'_, P, C> {
    /// Whether a slot is dead.
    #[inline]
    pub(super) fn has(&self, slot: usize) -> bool {
        match &self.map {
            Some(map) => tombstone::is_dead(map, slot),
            None => {
                let slot_of = |dead: &[u8; 2]| u16::from_le_bytes(*dead).into();
                self.listed.binary_search_by_key(&slot, slot_of).is_ok()
            }
        }
    }

    /// 64 slots at once, as far as they are not listed: a bit for each dead one.
    pub(super) fn word(&self, index: usize) -> u64 {
        self.map.as_ref().map_or(0, |map| tombstone::word(map, index))
    }

    /// How many slots of a range are dead.
    pub(super) fn count_within(&self, slots: &Range<usize>) -> usize {
        let Some(map) = &self.map else {
            let slot_of = |dead: &[u8; 2]| usize::from(u16::from_le_bytes(*dead));
            let before = |slot| self.listed.partition_point(|dead| slot_of(dead) < slot);
            return before(slots.end).saturating_sub(before(slots.start));
        };
        let words = slots.start / 64..slots.end.div_ceil(64);
        let within = |word: usize| {
            let from = u64::MAX << slots.start.saturating_sub(64 * word).min(63);
            let behind = (64 * (word + 1)).saturating_sub(slots.end).min(63);
            from & (u64::MAX >> behind)
        };
        words.map(|word| (tombstone::word(map, word) & within(word)).count_ones() as usize).sum()
    }

    /// All dead slots, ascending.
    pub(super) fn slots(&self) -> Vec<u16> {
        match &self.map {
            None => self.leaf.listed_tombstones().collect(),
            Some(map) => {
                let dead = (0..self.leaf.entries()).filter(|&slot| tombstone::is_dead(map, slot));
                listed(dead.map(|slot| slot as u16))
            }
        }
    }
}
