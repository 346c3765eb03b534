//! Merging one range.

use std::time::Instant;

use learned_index::corruption::Result;
use learned_index::entry::Block;
use learned_index::tree::directory::read_meta;
use learned_index::tree::merge::{Beginning, Limits, Step, merge_step};

use super::need::is_due;
use crate::column::code::IndexCode;
use crate::counters::place_of;
use crate::storage::buffers::IndexStore;

/// Why rows are merged, by the numbers that metapages have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cause {
    /// A worker has found enough of them.
    Worker = 1,
    /// VACUUM has, at its end.
    Vacuum = 2,
    /// A user asks for it, however few they are.
    Retrain = 3,
    /// The session that inserts has found enough of them, in an index that no other session sees.
    Insert = 4,
}

impl Cause {
    const ALL: [Cause; 4] = [Cause::Worker, Cause::Vacuum, Cause::Retrain, Cause::Insert];

    /// The name of a number. `None`: not one of these.
    pub(crate) fn name_of(number: u8) -> Option<&'static str> {
        let cause = Cause::ALL.into_iter().find(|&cause| cause as u8 == number)?;
        Some(match cause {
            Cause::Worker => "worker",
            Cause::Vacuum => "vacuum",
            Cause::Retrain => "learned_retrain",
            Cause::Insert => "insert",
        })
    }
}

/// Merges one range, if there is enough to merge. What is being merged is merged to its end. The
/// caller has the exclusion, or no other session can see the index.
pub(crate) fn merge_range<C: IndexCode>(
    store: &IndexStore<C>,
    cause: Cause,
    spare: &mut Vec<Block>,
) -> Result<Step> {
    let (_, state) = read_meta(store, &mut 0)?;
    if cause != Cause::Retrain && !is_due(store, false)? {
        return Ok(Step::Idle);
    }
    let (options, limits) = (store.index().options(), Limits::for_leaves(state.leaves));
    let (place, begun) = (place_of(store.index()), Instant::now());
    let beginning = Beginning { enough: 1, cause: cause as u8 };
    let step = merge_step(store, options.build(), limits, beginning, spare)?;
    if let (Some(place), Step::Published { merged, .. }) = (place, step) {
        place.add_merge(merged, begun.elapsed().as_micros() as u64);
    }
    Ok(step)
}
