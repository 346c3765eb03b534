//! Checking what each block of the index is for.

use super::CheckReport;
use crate::corruption::Result;
use crate::entry::{Block, Fence};
use crate::memory::Add;
use crate::page::leaf::Head;
use crate::page::meta::State;
use crate::page::{self, is_free, tombstone};
use crate::store::Store;
use crate::tree::attempt::{Attempt, settled};
use crate::tree::directory::read_meta;
use crate::tree::routes::pages_of;
use crate::tree::used::{Used, is_of_delta};

/// Checks that each block serves for at most one thing, and counts those that are free and those
/// that nothing refers to.
pub(super) fn check<S: Store>(store: &S, report: &mut CheckReport) -> Result<()> {
    let (state, used, delta_pages) = current_use(store)?;
    report.delta_pages = delta_pages;
    let mut unknown = Vec::new();
    for block in 0..store.blocks() {
        if used.leaves.contains_key(&block) {
            continue;
        }
        let page = store.read(block, 0);
        let is_free = is_free(&page);
        // Whatever the page is by now, it is written as a whole.
        if !is_free {
            page::verify_whole::<S::Code>(&page, block)?;
        }
        if used.others.contains(&block) {
            continue;
        }
        if is_free {
            report.free += 1;
        } else if !is_of_delta(&page, &state) {
            let (birth, owner) = (page::birth(&page), tombstone::owner_of(&page));
            drop(page);
            if !is_tombstone_page(store, &used, block, owner) {
                unknown.add((block, birth));
            }
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    // Others may have published and freed pages since the state was read. What is as it was, and
    // still has no use, has none.
    let (state, used, _) = current_use(store)?;
    for (block, birth) in unknown {
        let page = store.read(block, 0);
        let in_use = used.leaves.contains_key(&block) || used.others.contains(&block);
        let changed = page::birth(&page) != birth || is_free(&page) || is_of_delta(&page, &state);
        report.lost += u64::from(!in_use && !changed);
    }
    Ok(())
}

/// The current state, the blocks that it refers to, and how many of them are pages of delta trees.
fn current_use<S: Store>(store: &S) -> Result<(State<S::Code>, Used, u64)> {
    loop {
        let (_, state) = read_meta(store, &mut 0)?;
        if let Some((used, delta_pages)) = settled(read_use(store, &state))? {
            return Ok((state, used, delta_pages));
        }
    }
}

fn read_use<S: Store>(store: &S, state: &State<S::Code>) -> Attempt<(Used, u64)> {
    let mut used = Used::read(store, state)?;
    let mut delta_pages = 0;
    for (tree, from) in [(state.active, Fence::MIN), (state.frozen, state.watermark)] {
        let Some(tree) = tree else { continue };
        for block in pages_of(store, state.word, tree, from)? {
            used.take(block)?;
            delta_pages += 1;
        }
    }
    Ok((used, delta_pages))
}

/// Whether a block is the tombstone page of its owner, if it is one of a current leaf.
fn is_tombstone_page<S: Store>(store: &S, used: &Used, block: Block, owner: Option<Block>) -> bool {
    owner.filter(|owner| used.leaves.contains_key(owner)).is_some_and(|owner| {
        let page = store.read(owner, 0);
        Head::<S::Code>::parse(&page, owner)
            .is_ok_and(|head| head.of(&page).tombstone_page() == Some(block))
    })
}
