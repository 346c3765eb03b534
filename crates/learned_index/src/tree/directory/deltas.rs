//! The two delta trees that an index can have, and the way to their leaves as far as a session
//! knows it.

use super::Directory;
use crate::corruption::Result;
use crate::entry::Fence;
use crate::fault::{Fault, injected};
use crate::key::Code;
use crate::memory::listed;
use crate::page::meta::State;
use crate::store::Store;
use crate::tree::attempt::{Attempt, settled};
use crate::tree::killed::Killed;
use crate::tree::routes::{Routes, usual_entries};

/// Parts of a delta tree that are looked up to learn how many leaves it is to be merged into.
const MOST_PARTS: usize = 256;

/// One of the two delta trees that an index can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that takes inserts.
    Active,
    /// The one that is being merged.
    Frozen,
}

/// What is known of the active and the frozen delta tree.
pub(super) struct Deltas<C>([Option<Routes<C>>; 2]);

impl<C: Code> Deltas<C> {
    /// Nothing yet.
    pub(super) fn unknown() -> Deltas<C> {
        Deltas([None, None])
    }

    /// Bytes that this takes.
    pub(super) fn memory(&self) -> usize {
        self.0.iter().flatten().map(Routes::memory).sum()
    }

    /// Keeps what is still right under another state.
    pub(super) fn follow(&mut self, before: &State<C>, now: &State<C>) {
        let [active, frozen] = &mut self.0;
        if now.frozen != before.frozen {
            // What was known of a tree that took inserts may lead to a leaf left of the right one,
            // and the merge frees leaves. A frozen tree's pages split no more: its leaves are read
            // from a frozen root, once.
            *frozen = active.take_if(|_| injected(Fault::KeepRoutesOfFrozen));
        }
        if now.active != before.active {
            *active = None;
        }
    }
}

impl<C: Code> Directory<C> {
    /// One of the delta trees, and what is known of it.
    pub(in crate::tree) fn delta<S: Store<Code = C>>(
        &mut self,
        store: &S,
        which: Which,
    ) -> Attempt<Option<&mut Routes<C>>> {
        Ok(self.delta_and_killed(store, which)?.map(|(routes, _)| routes))
    }

    /// The same, with the slots of its pages whose rows are known to be dead to all.
    #[inline]
    pub(in crate::tree) fn delta_and_killed<S: Store<Code = C>>(
        &mut self,
        store: &S,
        which: Which,
    ) -> Attempt<Option<(&mut Routes<C>, &Killed<C>)>> {
        let tree = match which {
            Which::Active => self.state.active,
            Which::Frozen => self.state.frozen,
        };
        let Some(tree) = tree else { return Ok(None) };
        let known = &mut self.deltas.0[which as usize];
        if known.as_ref().is_none_or(|routes| routes.tree() != tree || routes.is_stale()) {
            *known = None;
            *known = Some(Routes::read(store, self.state.word, tree, self.fences.tiles.budget())?);
        }
        Ok(known.as_mut().map(|routes| (routes, &self.killed)))
    }

    /// Asks the processor for what looking a position up in the delta trees will read.
    #[inline]
    pub(in crate::tree) fn warm_deltas<S: Store<Code = C>>(
        &mut self,
        store: &S,
        position: Fence<C>,
    ) -> Attempt<()> {
        for which in [Which::Active, Which::Frozen] {
            if let Some(routes) = self.delta(store, which)? {
                routes.warm(store, position);
            }
        }
        Ok(())
    }

    /// Forgets where the leaves of the active delta tree are.
    pub(in crate::tree) fn forget_routes(&mut self) {
        self.deltas.0[Which::Active as usize] = None;
    }

    /// Entries of the delta trees, about, as far as this session knows them.
    pub fn delta_entries(&self) -> u64 {
        let leaves: usize = self.deltas.0.iter().flatten().map(Routes::leaves).sum();
        (leaves * usual_entries::<C>()) as u64
    }

    /// Leaves that a merge would write anew for the entries of the delta trees, about, in the state
    /// of now.
    pub fn leaves_to_merge<S: Store<Code = C>>(&mut self, store: &S) -> Result<u64> {
        loop {
            self.refresh(store)?;
            if let Some(leaves) = settled(self.try_leaves_to_merge(store))? {
                return Ok(leaves);
            }
        }
    }

    fn try_leaves_to_merge<S: Store<Code = C>>(&mut self, store: &S) -> Attempt<u64> {
        let (mut found, word) = (0, self.state.word);
        for which in [Which::Active, Which::Frozen] {
            // Pages below the watermark are gone.
            let from = if which == Which::Frozen { self.state.watermark } else { Fence::MIN };
            let Some(routes) = self.delta(store, which)? else { continue };
            let Some(lows) = routes.leaf_lows() else { return Ok(self.state.leaves.into()) };
            let lows = &lows[lows.partition_point(|&low| low <= from).saturating_sub(1)..];
            // In a large tree a few parts say enough of the others.
            let step = lows.len().div_ceil(MOST_PARTS);
            let mut lows: Vec<Fence<C>> = listed(lows.iter().copied().step_by(step));
            // The first page begins before its entries do, as far as before all keys.
            if let Some(first) = routes.first_entry(store, word, from)? {
                lows[0] = Fence::at(first);
            }
            // The last one, and then those that lie before the one that was counted.
            let mut above = self.leaves().saturating_sub(1);
            found += 1;
            for &low in lows.iter().rev() {
                // Not counted as lookups, which would load the whole directory.
                let first = match self.predicted(low) {
                    Some((first, _)) => first,
                    None => self.route_by_pages(store, low)?.map_or(0, |leaf| leaf.ordinal),
                };
                found += above.saturating_sub(first).min(step * usual_entries::<C>()) as u64;
                above = first;
            }
        }
        Ok(found)
    }
}
