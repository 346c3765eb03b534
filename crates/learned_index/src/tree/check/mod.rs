//! Checking a whole index: every page, every fence, every entry.
//!
//! Others may read, insert, merge and vacuum meanwhile, and a standby may replay: nothing is
//! excluded. As a scan does, a check stands at a position, and goes on there under the new state
//! when the state has changed. It goes through the places in the order in which entries move:
//! active tree, frozen tree, leaves. So it meets every entry that is there from its beginning to
//! its end.
//!
//! - `delta`: the delta trees
//! - `leaves`: the directory, the leaves, the model
//! - `pages`: what each block is for
//! - `lookup`: looking single entries up

mod delta;
mod leaves;
mod lookup;
mod pages;

pub use lookup::contains;

use super::directory::{Which, read_meta};
use crate::corruption::{Result, ensure, ensure_that};
use crate::entry::Fence;
use crate::key::Code;
use crate::page::meta::State;
use crate::store::Store;

/// What a check counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Leaves.
    pub leaves: u64,
    /// Entries of leaves, dead ones included.
    pub entries: u64,
    /// Entries of leaves that are marked as dead.
    pub dead: u64,
    /// Entries of the delta trees that are read.
    pub delta: u64,
    /// Pages of the delta trees.
    pub delta_pages: u64,
    /// Blocks that are free.
    pub free: u64,
    /// Blocks that are not free and that nothing refers to: what a crash has left until VACUUM, or
    /// what a merge that is running has made.
    pub lost: u64,
}

/// Reads the whole index and checks that the leaves tile the key space and agree with the
/// directory, that the pages of delta trees tile it and agree with their parents and links, that
/// fences and entries ascend, that every entry lies within its page's fences and is found by
/// search, that counts agree, seals and marks hold, and that no page serves twice. With
/// `verify_model` also that the model is whole and that routing by it leads to every leaf.
///
/// `see` is called with the position of each entry that is alive: once if nobody changes the
/// index meanwhile, else at least once for each that is there all the time.
pub fn check<S: Store>(
    store: &S,
    verify_model: bool,
    mut see: impl FnMut(Fence<S::Code>),
) -> Result<CheckReport> {
    let (_, state) = read_meta(store, &mut 0)?;
    check_state(&state).map_err(|corruption| corruption.at(0))?;
    let mut report = CheckReport::default();
    for which in [Which::Active, Which::Frozen] {
        report.delta += delta::check(store, which, &mut see)?;
    }
    leaves::check(store, verify_model, &mut see, &mut report)?;
    pages::check(store, &mut report)?;
    Ok(report)
}

/// What must hold of a state by itself.
fn check_state<C: Code>(state: &State<C>) -> Result<()> {
    ensure(
        state.model_birth <= state.epoch,
        "a model that is not of the future",
        state.model_birth,
    )?;
    ensure(
        state.null_leaves <= state.leaves,
        "no more leaves of NULLs than leaves",
        state.null_leaves.into(),
    )?;
    for tree in state.active.into_iter().chain(state.frozen) {
        ensure(tree.name <= state.word, "a delta tree that is not of the future", tree.name)?;
    }
    let unmerged = state.frozen.is_some() || state.watermark == Fence::MIN;
    ensure_that(unmerged, "no watermark without a frozen tree")
}
