//! Merging one range.

use std::time::Instant;

use learned_index::corruption::Result;
use learned_index::entry::Block;
use learned_index::tree::directory::read_meta;
use learned_index::tree::merge::{Limits, Step, merge_step};

use super::need::is_due;
use crate::column::code::IndexCode;
use crate::counters::place_of;
use crate::storage::buffers::IndexStore;

/// How much must be in the delta tree for it to be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Anything.
    All,
    /// As much as the index's options say. What is being merged is merged to its end.
    Threshold,
}

/// Merges one range. The caller has the exclusion, or no other session can see the index.
pub(crate) fn merge_range<C: IndexCode>(
    store: &IndexStore<C>,
    demand: Demand,
    spare: &mut Vec<Block>,
) -> Result<Step> {
    let (_, state) = read_meta(store, &mut 0)?;
    if demand == Demand::Threshold && !is_due(store, false)? {
        return Ok(Step::Idle);
    }
    let (options, limits) = (store.index().options(), Limits::for_leaves(state.leaves));
    let (place, begun) = (place_of(store.index()), Instant::now());
    let step = merge_step(store, options.build(), limits, 1, spare)?;
    if let (Some(place), Step::Published { merged, .. }) = (place, step) {
        place.add_merge(merged, begun.elapsed().as_micros() as u64);
    }
    Ok(step)
}
