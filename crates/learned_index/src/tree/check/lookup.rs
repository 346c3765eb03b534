//! Looking single entries up, as a unique check would, by their heap TIDs.

use crate::corruption::Result;
use crate::entry::{Entry, Fence, Side};
use crate::store::Store;
use crate::tree::attempt::{Attempt, settled};
use crate::tree::directory::{Directory, Which};
use crate::tree::leaf::read_leaf;
use crate::tree::tombstones::read_tombstones;

/// Whether the index has an entry, alive.
pub fn contains<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    entry: Entry<S::Code>,
) -> Result<bool> {
    loop {
        directory.refresh(store)?;
        if let Some(found) = settled(find(store, directory, entry))? {
            return Ok(found);
        }
    }
}

fn find<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    entry: Entry<S::Code>,
) -> Attempt<bool> {
    let position = Fence::at(entry);
    let (word, watermark) = (directory.state().word, directory.state().watermark);
    for (which, begin) in [(Which::Active, Fence::MIN), (Which::Frozen, watermark)] {
        if position < begin {
            continue;
        }
        let Some(routes) = directory.delta(store, which)? else { continue };
        let open = routes.read_leaf(store, word, position, Side::At)?;
        let mut found = Vec::new();
        open.view().collect(position, Fence::past(entry), &mut found)?;
        if !found.is_empty() {
            return Ok(true);
        }
    }
    let Some(at) = directory.route(store, position)? else { return Ok(false) };
    let open = read_leaf(store, word, at)?;
    open.check_holds(Side::At, position)?;
    let leaf = open.view();
    directory.remember(open.at, &leaf);
    let slot = leaf.slot_of(position)?;
    let same = slot < leaf.entries() && leaf.entry(slot)? == entry;
    Ok(same && !read_tombstones(store, word, &leaf)?.has(slot))
}
