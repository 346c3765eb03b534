//! What an insert does when the delta tree has grown by a page.

use learned_index::corruption::Result;
use learned_index::store::Update;
use learned_index::tree::merge::Step;

use super::need::is_due;
use super::range::{Cause, merge_range};
use super::start::start;
use crate::column::code::IndexCode;
use crate::relation::OpenIndex;
use crate::storage::buffers::IndexStore;

/// At most so many ranges are merged by one insert, where only its own session can.
const RANGES_AT_ONCE: usize = 4;

/// Called with nothing locked: starts a worker if there is enough to merge. Where no worker could
/// see the index, this session merges itself.
pub(crate) fn after_growth<C: IndexCode>(index: OpenIndex) {
    if !index.options().auto_retrain {
        return;
    }
    let store: IndexStore<C> = IndexStore::new(index);
    match is_due(&store, true) {
        Err(corruption) => index.raise_corruption(corruption),
        Ok(false) => {}
        Ok(true) if index.is_private() => {
            if let Err(corruption) = merge_here(&store) {
                index.raise_corruption(corruption);
            }
        }
        Ok(true) => {
            store.release();
            start(index);
        }
    }
    store.release();
}

/// Merges some ranges of an index that no other session sees.
fn merge_here<C: IndexCode>(store: &IndexStore<C>) -> Result<()> {
    let mut spare = Vec::new();
    for _ in 0..RANGES_AT_ONCE {
        if merge_range(store, Cause::Insert, &mut spare)? == Step::Idle {
            break;
        }
    }
    store.spread_offers();
    Ok(())
}
