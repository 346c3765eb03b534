//! Leaving out of a portion what is dead in a leaf: its tombstones, and the rows that the session
//! has found dead to all (`killed.rs`).

use std::ops::Deref;

use super::{Direction, Scan};
use crate::entry::Fence;
use crate::fault::{Fault, injected};
use crate::key::Code;
use crate::page::PageBytes;
use crate::page::leaf::Leaf;
use crate::store::Store;
use crate::tree::attempt::Attempt;
use crate::tree::directory::Directory;
use crate::tree::killed::{PageId, Slots};
use crate::tree::leaf::LeafRef;
use crate::tree::tombstones::{Tombstones, read_tombstones};

/// The dead slots of a leaf.
struct Dead<'a, P, C> {
    marked: Tombstones<'a, P, C>,
    killed: Option<&'a Slots>,
}

impl<C: Code, P: Deref<Target = PageBytes>> Dead<'_, P, C> {
    #[inline]
    fn has(&self, slot: usize) -> bool {
        self.marked.has(slot) || self.killed.is_some_and(|killed| killed.has(slot))
    }

    /// 64 slots at once, as far as they are not listed: a bit for each dead one.
    fn word(&self, index: usize) -> u64 {
        self.marked.word(index) | self.killed.map_or(0, |killed| killed.word(index))
    }

    /// The first slot from `start` on that is not dead; `end` if there is none before it.
    fn first_living(&self, start: usize, end: usize) -> usize {
        let mut slot = start;
        while slot < end {
            if slot.is_multiple_of(64) && self.word(slot / 64) == u64::MAX {
                slot += 64;
            } else if self.has(slot) {
                slot += 1;
            } else {
                return slot;
            }
        }
        end
    }

    /// The slot after the last one before `end` that is not dead; `start` if there is none from it
    /// on.
    fn last_living(&self, start: usize, end: usize) -> usize {
        let mut slot = end;
        while slot > start {
            if slot.is_multiple_of(64) && self.word(slot / 64 - 1) == u64::MAX {
                slot -= 64;
            } else if self.has(slot - 1) {
                slot -= 1;
            } else {
                return slot;
            }
        }
        start
    }
}

/// What is dead in a leaf, which is locked.
fn dead_of<'a, S: Store>(
    store: &'a S,
    directory: &'a Directory<S::Code>,
    leaf: &Leaf<'a, S::Code>,
    at: LeafRef,
) -> Attempt<Dead<'a, S::Page<'a>, S::Code>> {
    let marked = read_tombstones(store, directory.state().word, leaf)?;
    Ok(Dead { marked, killed: directory.killed_in(&PageId::of_leaf(at)) })
}

impl<C: Code, P> Scan<P, C> {
    /// Takes the dead entries off the end of a range within a leaf at which the scan begins: a long
    /// run of them is not copied to be dropped. An empty range if all of it is dead.
    pub(super) fn skip_dead<S: Store<Pin = P, Code = C>>(
        &self,
        store: &S,
        directory: &Directory<C>,
        leaf: &Leaf<'_, C>,
        at: LeafRef,
        (from, to): (Fence<C>, Fence<C>),
        direction: Direction,
    ) -> Attempt<(Fence<C>, Fence<C>)> {
        if !may_have_dead(directory, leaf, at) {
            return Ok((from, to));
        }
        let (start, end) = (leaf.slot_of(from)?, leaf.slot_of(to)?);
        let dead = dead_of(store, directory, leaf, at)?;
        Ok(match direction {
            Direction::Forward => match dead.first_living(start, end) {
                living if living == start => (from, to),
                living if living >= end => (to, to),
                living => (Fence::at(leaf.entry(living)?), to),
            },
            Direction::Backward => match dead.last_living(start, end) {
                living if living == end => (from, to),
                living if living <= start => (from, from),
                living => (from, Fence::past(leaf.entry(living - 1)?)),
            },
        })
    }

    /// Takes the dead entries out of what was just copied from a leaf, from the `first`-th on. The
    /// leaf is still locked.
    pub(super) fn drop_dead<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &Directory<C>,
        leaf: &Leaf<'_, C>,
        at: LeafRef,
        first: usize,
    ) -> Attempt<()> {
        let dead = dead_of(store, directory, leaf, at)?;
        let mut slots = self.ranges.iter().flat_map(|&(start, end)| start..end);
        self.copied.keep_from(first, |entry| {
            let neighbour = usize::from(injected(Fault::TombstoneOfNeighbour));
            let is_dead = slots.next().is_some_and(|slot| dead.has(slot + neighbour));
            if is_dead && injected(Fault::TombstoneByEntry) {
                self.fresh.retain(|&fresh| fresh != entry);
            }
            !is_dead
        });
        Ok(())
    }
}

/// Whether any entry of a leaf may be dead.
#[inline]
pub(super) fn may_have_dead<C: Code>(
    directory: &Directory<C>,
    leaf: &Leaf<'_, C>,
    at: LeafRef,
) -> bool {
    leaf.tombstones() > 0
        || (directory.has_killed() && directory.killed_in(&PageId::of_leaf(at)).is_some())
}
