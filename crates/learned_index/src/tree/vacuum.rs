//! Marking the entries of dead heap tuples.

use crate::corruption::{Corruption, Result, ensure};
use crate::entry::{Block, HeapTid};
use crate::page::leaf::Leaf;
use crate::page::tombstone;
use crate::page::{PageKind, expect_kind};
use crate::store::Update;

/// What a pass over the index found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VacuumStats {
    /// Entries alive after the pass.
    pub alive: u64,
    /// Entries that the pass marked as dead.
    pub removed: u64,
}

/// Asks `is_dead` for the heap TID of every entry that is alive, and marks those for which the
/// answer is yes. `before_page` is called without any lock.
///
/// Every page but the metapage is locked for cleanup, also those with nothing to mark: when that
/// lock is granted no scan holds heap TIDs that it copied from the page and has yet to return.
pub fn bulk_delete<S: Update>(
    store: &S,
    mut is_dead: impl FnMut(HeapTid) -> bool,
    mut before_page: impl FnMut(),
) -> Result<VacuumStats> {
    let mut stats = VacuumStats::default();
    let mut memory = Memory::default();
    for block in 1..store.blocks() {
        before_page();
        vacuum_page(store, block, &mut is_dead, &mut memory, &mut stats)
            .map_err(|corruption| corruption.at(block))?;
    }
    Ok(stats)
}

/// Decoded entries of a leaf, kept from leaf to leaf.
#[derive(Default)]
struct Memory {
    codes: Vec<u64>,
    tids: Vec<HeapTid>,
}

/// A leaf's slots, sorted out.
struct Verdict {
    /// All dead slots, ascending.
    dead: Vec<u16>,
    new: usize,
    alive: usize,
}

fn vacuum_page<S: Update>(
    store: &S,
    block: Block,
    is_dead: &mut impl FnMut(HeapTid) -> bool,
    memory: &mut Memory,
    stats: &mut VacuumStats,
) -> Result<()> {
    let mut map_page = None;
    loop {
        let mut page = store.lock_for_cleanup(block);
        if expect_kind(&page, PageKind::Leaf, "a leaf").is_err() {
            return Ok(());
        }
        let leaf = Leaf::parse(&page)?;
        let verdict = judge(store, &leaf, block, is_dead, memory)?;
        if verdict.new > 0 {
            let marks = |map| [tombstone::point_to_map(verdict.dead.len(), map)];
            if let Some(edits) = tombstone::list(&leaf, &verdict.dead) {
                store.change(&mut [(&mut page, &edits)]);
            } else if let Some(map) = leaf.tombstone_page() {
                let mut map_guard = store.lock(map);
                let edits = tombstone::map_edits(&map_guard, &verdict.dead);
                // The leaf first: whoever reads both locks them in this order.
                store.change(&mut [(&mut page, &marks(map)), (&mut map_guard, &edits)]);
            } else if let Some(map) = map_page {
                store.change(&mut [(&mut page, &marks(map))]);
            } else {
                // The list is full. A new page cannot be made under the lock of another, so this
                // leaf is judged again after that: only vacuum marks entries, and there is one.
                drop(page);
                map_page = Some(store.create(&tombstone::map(block, &verdict.dead, 0)));
                continue;
            }
        }
        stats.alive += verdict.alive as u64;
        stats.removed += verdict.new as u64;
        return Ok(());
    }
}

fn judge<S: Update>(
    store: &S,
    leaf: &Leaf<'_>,
    block: Block,
    is_dead: &mut impl FnMut(HeapTid) -> bool,
    memory: &mut Memory,
) -> Result<Verdict> {
    memory.codes.clear();
    memory.tids.clear();
    leaf.decode(0, leaf.entries(), &mut memory.codes, &mut memory.tids)?;
    let known = dead_slots(store, leaf, block)?;
    let mut verdict = Verdict { dead: Vec::new(), new: 0, alive: 0 };
    for (slot, &tid) in memory.tids.iter().enumerate() {
        let slot = slot as u16;
        let was_dead = known.binary_search(&slot).is_ok();
        if was_dead || is_dead(tid) {
            verdict.dead.push(slot);
            verdict.new += usize::from(!was_dead);
        } else {
            verdict.alive += 1;
        }
    }
    Ok(verdict)
}

/// The slots of a locked leaf that are marked as dead, ascending.
pub(crate) fn dead_slots<S: crate::store::Store>(
    store: &S,
    leaf: &Leaf<'_>,
    block: Block,
) -> Result<Vec<u16>> {
    let Some(map) = leaf.tombstone_page() else {
        return Ok(leaf.listed_tombstones().collect());
    };
    ensure(map != block, "a tombstone page of its own", map.into())?;
    let page = store.read(map, 0);
    tombstone::expect_map(&page, block).map_err(|corruption: Corruption| corruption.at(map))?;
    Ok((0..leaf.entries())
        .filter(|&slot| tombstone::is_dead(&page, slot))
        .map(|slot| slot as u16)
        .collect())
}
