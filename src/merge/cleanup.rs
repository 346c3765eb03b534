//! What VACUUM does at its end.

use learned_index::corruption::Result;
use learned_index::store::Update;
use learned_index::tree::merge::Step;
use learned_index::tree::vacuum::{is_all_known, sweep};
use pgrx::prelude::*;

use super::board::{Board, Subject};
use super::exclusion::Exclusion;
use super::range::{Cause, merge_range};
use crate::column::code::IndexCode;
use crate::storage::buffers::IndexStore;

/// Gives back lost pages, if there may be some and `swept` does not say that it was done, and
/// merges. Steps aside where another session merges. `delay` is called with no page locked.
pub(crate) fn finish_vacuum<C: IndexCode>(
    store: &IndexStore<C>,
    swept: bool,
    mut delay: impl FnMut(),
) -> Result<()> {
    let index = store.index();
    let mut spare = Vec::new();
    if !swept && let Some(exclusion) = Exclusion::try_for_a_moment(index) {
        if was_recovered() || !is_all_known(store, store.offered())? {
            sweep(store, &mut delay)?;
        }
        exclusion.release();
    }
    while let Some(exclusion) = Exclusion::try_for_a_moment(index) {
        let step = merge_range(store, Cause::Vacuum, &mut spare)?;
        exclusion.release();
        if step == Step::Idle {
            break;
        }
        delay();
    }
    Board::get().works(Subject::file_of(index));
    store.spread_offers();
    Ok(())
}

/// Whether this server has replayed the log since it was started, after a crash or as a standby. A
/// crash may have lost pages, and the free space map is as old then as it was written last.
fn was_recovered() -> bool {
    // SAFETY: reads shared memory under its lock; nothing is asked for but the result.
    unsafe { pg_sys::GetXLogReplayRecPtr(std::ptr::null_mut()) != 0 }
}
