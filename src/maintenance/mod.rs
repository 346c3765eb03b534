//! Merging the delta trees into the leaves (by a background worker, by VACUUM, on demand), and
//! checking an index.
//!
//! - [`exclusion`]: one at a time
//! - [`worker`]: the background worker, [`start`]: asking for one
//! - [`seats`]: how many there may be; [`board`]: what sessions tell each other about them
//! - [`due`]: which indexes need one; [`opened`], [`attempt`]: working on one that may be locked, or damaged
//! - [`retrain`], [`check`]: the SQL functions, and [`target`]: the index that they were given

mod attempt;
mod board;
mod check;
mod due;
mod exclusion;
mod opened;
mod retrain;
mod seats;
mod start;
mod target;
mod worker;

use learned_index::corruption::Result;
use learned_index::entry::Block;
use learned_index::store::Update;
use learned_index::tree::directory::read_meta;
use learned_index::tree::merge::{Limits, Step, delta_entries, merge_step};
use learned_index::tree::vacuum::{is_all_known, sweep};
use pgrx::prelude::*;

use board::{Board, Subject};
pub(crate) use exclusion::Exclusion;
pub(crate) use seats::register_settings;

use crate::am::options::Options;
use crate::storage::buffers::IndexStore;
use crate::storage::{raise_corruption, session};

/// Ranges that one insert merges at the most, where only its own session can.
const RANGES_AT_ONCE: usize = 4;

/// How much must be in the delta tree for it to be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Anything.
    All,
    /// As much as the index's options say. What is being merged is merged to its end.
    Threshold,
}

/// Merges one range. The caller has the exclusion.
///
/// # Safety
/// `index` is an open learned index, and `store` writes to it.
pub(crate) unsafe fn merge_range(
    index: pg_sys::Relation,
    store: &IndexStore,
    demand: Demand,
    spare: &mut Vec<Block>,
) -> Result<Step> {
    // SAFETY: by contract.
    let options = unsafe { Options::of(index) };
    let (_, state) = read_meta(store, &mut 0)?;
    // SAFETY: by contract.
    if demand == Demand::Threshold && !unsafe { is_due(index, store, &options, false) }? {
        return Ok(Step::Idle);
    }
    merge_step(store, options.build(), Limits::for_leaves(state.leaves), 1, spare)
}

/// Called when an insert made the delta tree grow by a page, with nothing locked: starts a worker
/// if there is enough to merge. Where no worker could see the index, this session merges itself.
///
/// # Safety
/// `index` is an open learned index.
pub(crate) unsafe fn after_growth(index: pg_sys::Relation) {
    // SAFETY: by contract.
    unsafe {
        let options = Options::of(index);
        if !options.auto_retrain {
            return;
        }
        let store = IndexStore::new(index);
        match is_due(index, &store, &options, true) {
            Err(corruption) => raise_corruption(index, corruption),
            Ok(false) => {}
            Ok(true) if is_private(index) => {
                let mut spare = Vec::new();
                for _ in 0..RANGES_AT_ONCE {
                    match merge_range(index, &store, Demand::Threshold, &mut spare) {
                        Err(corruption) => raise_corruption(index, corruption),
                        Ok(Step::Idle) => break,
                        Ok(Step::Published { .. }) => {}
                    }
                }
                store.spread_offers();
            }
            Ok(true) => start::start(index),
        }
        store.release();
    }
}

/// Whether an index is to be merged now. `known`: what this session knows of the delta trees is enough.
///
/// # Safety
/// As [`after_growth`].
unsafe fn is_due(
    index: pg_sys::Relation,
    store: &IndexStore,
    options: &Options,
    known: bool,
) -> Result<bool> {
    // SAFETY: by contract.
    unsafe {
        // A merge that has begun goes on to its end.
        let begun = session::directory_of(index, store)?.borrow().state().frozen.is_some();
        Ok(begun || need_of(index, store, options, known)? >= 1.0)
    }
}

/// How much an index needs to be merged: from 1 on it is due. `known` as in [`is_due`].
///
/// # Safety
/// As [`after_growth`].
unsafe fn need_of(
    index: pg_sys::Relation,
    store: &IndexStore,
    options: &Options,
    known: bool,
) -> Result<f64> {
    // SAFETY: by contract.
    let directory = unsafe { session::directory_of(index, store) }?;
    let mut directory = directory.borrow_mut();
    let waits = if known { directory.delta_entries() } else { delta_entries(store)? };
    let entries = directory.state().values + directory.state().nulls;
    options.need(entries, waits, || directory.leaves_to_merge(store))
}

/// Whether no other session can see the index: it is temporary, or this transaction made it.
///
/// # Safety
/// `index` is open.
unsafe fn is_private(index: pg_sys::Relation) -> bool {
    // SAFETY: by contract; rd_rel of an open relation is valid.
    unsafe {
        let relation = &*index;
        #[cfg(feature = "pg15")]
        let first_subid = relation.rd_firstRelfilenodeSubid;
        #[cfg(not(feature = "pg15"))]
        let first_subid = relation.rd_firstRelfilelocatorSubid;
        (*relation.rd_rel).relpersistence as u8 == pg_sys::RELPERSISTENCE_TEMP
            || relation.rd_createSubid != 0
            || first_subid != 0
    }
}

/// Whether this server has replayed the log since it was started, after a crash or as a standby. A crash may have lost pages,
/// and the free space map is as old then as it was written last.
fn was_recovered() -> bool {
    // SAFETY: reads shared memory under its lock; nothing is asked for but the result.
    unsafe { pg_sys::GetXLogReplayRecPtr(std::ptr::null_mut()) != 0 }
}

/// What VACUUM does at its end: gives back lost pages, if there may be some and that was not done, and merges. Steps
/// aside where somebody else merges. `delay` is called without any lock.
///
/// # Safety
/// `index` is an open learned index, and `store` writes to it.
pub(crate) unsafe fn finish_vacuum(
    index: pg_sys::Relation,
    store: &IndexStore,
    swept: bool,
    mut delay: impl FnMut(),
) -> Result<()> {
    let mut spare = Vec::new();
    // SAFETY: by contract.
    unsafe {
        if !swept && let Some(exclusion) = Exclusion::try_for_a_moment(index) {
            if was_recovered() || !is_all_known(store, store.offered())? {
                sweep(store, &mut delay)?;
            }
            exclusion.release();
        }
        while let Some(exclusion) = Exclusion::try_for_a_moment(index) {
            let step = merge_range(index, store, Demand::Threshold, &mut spare)?;
            exclusion.release();
            if step == Step::Idle {
                break;
            }
            delay();
        }
        Board::get().works(Subject::file_of(index));
    }
    store.spread_offers();
    Ok(())
}
