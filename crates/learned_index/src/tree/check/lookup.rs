//! Looking single entries up, as a unique check would, by their heap TIDs.

use crate::corruption::{Corruption, Result};
use crate::entry::{Entry, Fence};
use crate::page::delta::Delta;
use crate::page::leaf::Leaf;
use crate::store::Store;
use crate::tree::attempt::{Attempt, read_current, settled};
use crate::tree::delta::Side;
use crate::tree::directory::{Directory, Which, expect_leaf};
use crate::tree::vacuum::is_dead;

/// Whether the index has an entry, alive.
pub fn contains<S: Store>(store: &S, directory: &mut Directory, entry: Entry) -> Result<bool> {
    loop {
        directory.refresh(store)?;
        if let Some(found) = settled(find(store, directory, entry))? {
            return Ok(found);
        }
    }
}

fn find<S: Store>(store: &S, directory: &mut Directory, entry: Entry) -> Attempt<bool> {
    let position = Fence::at(entry);
    let (word, watermark) = (directory.state().word, directory.state().watermark);
    for (which, begin) in [(Which::Active, Fence::MIN), (Which::Frozen, watermark)] {
        if position < begin {
            continue;
        }
        let Some(routes) = directory.delta(store, which)? else { continue };
        let tree = routes.tree();
        let (page, block) = routes.read_leaf(store, word, position, Side::At)?;
        let mut found = Vec::new();
        Delta::parse(&page, tree.name)
            .and_then(|node| node.collect(position, Fence::past(entry), &mut found))
            .map_err(|corruption| corruption.at(block))?;
        if !found.is_empty() {
            return Ok(true);
        }
    }
    let Some(at) = directory.route(store, position)? else { return Ok(false) };
    let page = read_current(store, word, at.block, at.hint)?;
    let named = |corruption: Corruption| corruption.at(at.block);
    expect_leaf(at, &page, S::hint(&page)).map_err(named)?;
    let leaf = Leaf::parse(&page).map_err(named)?;
    directory.remember(at, S::hint(&page), &leaf);
    let slot = leaf.slot_of(position).map_err(named)?;
    let (mut codes, mut tids) = (Vec::with_capacity(1), Vec::with_capacity(1));
    leaf.decode(slot, (slot + 1).min(leaf.entries()), &mut codes, &mut tids).map_err(named)?;
    let same = leaf.class() == entry.key.class
        && codes.first() == Some(&entry.key.code)
        && tids.first() == Some(&entry.tid);
    let dead =
        same && is_dead(store, word, &leaf, at.block, slot).map_err(|error| error.at(at.block))?;
    Ok(same && !dead)
}
