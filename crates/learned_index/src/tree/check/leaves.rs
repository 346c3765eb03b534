//! Checking the directory, the leaves and the model, from left to right.

use super::CheckReport;
use crate::corruption::{Result, ensure, ensure_that};
use crate::entry::{Fence, HeapTid};
use crate::key::{Code, NullClass};
use crate::page::leaf::Leaf;
use crate::page::verify_whole;
use crate::store::Store;
use crate::tree::attempt::{Attempt, settled};
use crate::tree::directory::Directory;
use crate::tree::leaf::{LeafRef, read_leaf};
use crate::tree::tombstones::read_tombstones;

/// The check looks up one slot in this many by search.
const SEARCHED: usize = 61;

/// Checks all leaves, in whatever state the index is when the check comes by.
pub(super) fn check<S: Store>(
    store: &S,
    verify_model: bool,
    see: &mut impl FnMut(Fence<S::Code>),
    report: &mut CheckReport,
) -> Result<()> {
    let mut directory = Directory::open(store, usize::MAX)?;
    let begin = directory.state().epoch;
    let mut walk = Walk { from: Fence::MIN, epoch: begin, values: 0, nulls: 0, null_leaves: 0 };
    loop {
        directory.refresh(store)?;
        if settled(walk.go_on(store, &mut directory, verify_model, see, report))?.is_some() {
            break;
        }
    }
    report.entries = walk.values + walk.nulls;
    let state = directory.state();
    if state.epoch == begin {
        let counted = [walk.values, walk.nulls, walk.null_leaves];
        let expected = [state.values, state.nulls, state.null_leaves.into()];
        for (counted, expected) in counted.into_iter().zip(expected) {
            ensure(counted == expected, "as many entries as the metapage says", counted)
                .map_err(|corruption| corruption.at(0))?;
        }
    }
    Ok(())
}

struct Walk<C> {
    /// Up to where everything is checked.
    from: Fence<C>,
    /// The state of the directory that the leaf before was of.
    epoch: u64,
    values: u64,
    nulls: u64,
    null_leaves: u64,
}

impl<C: Code> Walk<C> {
    fn go_on<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        verify_model: bool,
        see: &mut impl FnMut(Fence<C>),
        report: &mut CheckReport,
    ) -> Attempt<()> {
        if verify_model {
            directory.load_all(store)?;
        }
        if self.from == Fence::MAX {
            return Ok(());
        }
        let Some(first) = directory.route_by_pages(store, self.from)? else { return Ok(()) };
        for ordinal in first.ordinal..directory.leaves() {
            let at = directory.leaf(store, ordinal)?;
            let low = self.leaf(store, directory, at, see, report)?;
            if verify_model {
                let routed = directory.route(store, low)?.map(|leaf| leaf.ordinal);
                ensure_that(routed == Some(ordinal), "a model that leads to the leaf")
                    .map_err(|corruption| corruption.at(at.block))?;
            }
        }
        ensure_that(self.from == Fence::MAX, "a last leaf without an end")?;
        Ok(())
    }

    /// Checks a leaf. Returns its low fence.
    fn leaf<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &Directory<C>,
        at: LeafRef,
        see: &mut impl FnMut(Fence<C>),
        report: &mut CheckReport,
    ) -> Attempt<Fence<C>> {
        let state = directory.state();
        // Copied, so that it is not locked for long. What marks its dead entries goes with it.
        let (copied, dead) = {
            let open = read_leaf(store, state.word, at)?;
            verify_whole::<C>(open.page(), at.block)?;
            let dead = read_tombstones(store, state.word, &open.view())?.slots();
            (open.copied(), dead)
        };
        let (leaf, birth) = (copied.view(), at.birth);
        let low = directory.low(store, at.ordinal)?;
        // Where the state has changed, leaves may begin elsewhere than the last one ended.
        let same = self.epoch == state.epoch;
        let joins = if same { leaf.low() == self.from } else { leaf.low() <= self.from };
        leaf.ensure(birth <= state.epoch, "a leaf that is not of the future", birth)?;
        leaf.ensure_that(joins, "the fence of the leaf before")?;
        leaf.ensure_that(self.from < leaf.high(), "fences that ascend")?;
        leaf.ensure_that(leaf.low() == low, "the directory's fence")?;
        report.dead += self.entries(&leaf, &dead, see)?;
        report.leaves += 1;
        if leaf.class() != NullClass::Value {
            self.null_leaves += 1;
        }
        self.from = leaf.high();
        self.epoch = state.epoch;
        Ok(leaf.low())
    }

    /// Checks the entries of a leaf, and counts those from the current position on. Returns how
    /// many of these are dead.
    fn entries(
        &mut self,
        leaf: &Leaf<'_, C>,
        dead: &[u16],
        see: &mut impl FnMut(Fence<C>),
    ) -> Result<u64> {
        let entries = leaf.entries_between(0, leaf.entries())?;
        let count = entries.len();
        leaf.ensure(count == leaf.entries(), "as many entries as the leaf says", count as u64)?;
        let listed = dead.len();
        leaf.ensure_that(dead.is_sorted_by(|left, right| left < right), "dead slots that ascend")?;
        leaf.ensure(listed == leaf.tombstones(), "as many dead slots as counted", listed as u64)?;
        let inside = dead.last().is_none_or(|&slot| usize::from(slot) < count);
        leaf.ensure_that(inside, "dead slots within the leaf")?;
        let mut counted_dead = 0;
        let mut previous: Option<Fence<C>> = None;
        for (slot, entry) in entries.iter().enumerate() {
            let (entry, tid) = (Fence::at(entry), entry.tid);
            leaf.ensure(tid.offset() > 0 && tid > HeapTid::MIN, "a heap TID", tid.to_u64())?;
            let inside = leaf.low() <= entry && entry < leaf.high();
            leaf.ensure_that(inside, "an entry within the fences")?;
            let ascends = previous.is_none_or(|previous| previous < entry);
            leaf.ensure_that(ascends, "entries that ascend")?;
            previous = Some(entry);
            if slot % SEARCHED == 0 {
                let found = leaf.slot_of(entry)?;
                leaf.ensure(found == slot, "a search that finds the entry", found as u64)?;
            }
            if entry < self.from {
                continue;
            }
            let number =
                if leaf.class() == NullClass::Value { &mut self.values } else { &mut self.nulls };
            *number += 1;
            if dead.binary_search(&(slot as u16)).is_ok() {
                counted_dead += 1;
            } else {
                see(entry);
            }
        }
        Ok(counted_dead)
    }
}
