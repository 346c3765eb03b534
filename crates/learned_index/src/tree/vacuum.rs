//! Removing the entries of dead heap tuples, and giving pages back.
//!
//! In leaves a dead entry is marked by a tombstone; in delta trees it is taken out. The caller has
//! the exclusion: no entry moves from one place to another meanwhile, but for splits of the active
//! delta tree, which move entries to the right, where the walk still comes by.

use std::collections::HashSet;

use super::attempt::Attempt;
use super::budget::Budget;
use super::build::BuildOptions;
use super::directory::{UpperLevels, read_meta, read_model_pages};
use super::leaf::{LeafRef, Routed};
use super::mark::{Marked, Verdict, mark};
use super::rewrite::{Excluded, Rewrite, undisturbed};
use super::routes::{OpenNode, Routes, pages_of};
use super::tombstones::read_tombstones;
use super::transition::transition;
use super::used::{Used, is_of_delta};
use crate::corruption::{Result, ensure};
use crate::entries::Entries;
use crate::entry::{Block, Fence, HeapTid, Side};
use crate::fault::{Fault, injected};
use crate::key::Code;
use crate::memory::{Add, listed, with_room};
use crate::page::delta::Tree;
use crate::page::leaf::{Head, Leaf};
use crate::page::meta::State;
use crate::page::{self, edit, is_free};
use crate::stop::{StopPoint, stop_at};
use crate::store::{Store, Update};

/// What a pass over the index found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VacuumStats {
    /// Entries alive after the pass.
    pub alive: u64,
    /// Entries that the pass removed.
    pub removed: u64,
    /// Blocks that are free.
    pub free: u64,
}

/// The most leaves replaced by one publish of a compaction.
const COMPACTED_AT_ONCE: usize = 256;
/// A leaf is sparse if one in this many of its entries is dead.
const SPARSE_PART: usize = 4;
/// A compaction of some leaves must give back about this many.
const LEAST_GAIN: f64 = 1.1;

/// Asks `is_dead` for the heap TID of every entry that is alive, and removes those for which the
/// answer is yes. `before_page` is called without any lock. Blocks that nobody refers to are
/// offered for reuse, first of all: what follows may need some on a full disk. Leaves that have
/// become sparse are replaced at last.
///
/// Every page but the metapage is locked for cleanup, whatever it is and also if there is nothing
/// to remove: when that lock is granted no scan holds heap TIDs that it copied from the page and
/// has yet to return. The entries of such a page may be elsewhere by now; what matters is that the
/// scan has let go before VACUUM reuses the heap TIDs.
pub fn bulk_delete<S: Update>(
    store: &S,
    options: BuildOptions,
    mut is_dead: impl FnMut(HeapTid) -> bool,
    mut before_page: impl FnMut(),
) -> Result<VacuumStats> {
    let free = sweep(store, &mut before_page)?;
    stop_at(StopPoint::VacuumSwept);
    let mut stats = VacuumStats { free, ..VacuumStats::default() };
    let length = store.blocks();
    let (_, state) = read_meta(store, &mut 0)?;
    let excluded = Excluded { store, word: state.word };
    for (tree, from) in delta_trees(&state) {
        clean_delta(&excluded, tree, from, &mut is_dead, &mut before_page, &mut stats)?;
    }
    let mut used = undisturbed(Used::read(&excluded, &state))?;
    let mut memory = Entries::default();
    let mut fills: Vec<(u32, Fill)> = with_room(used.leaves.len());
    for block in 1..length {
        before_page();
        stop_at(StopPoint::VacuumBeforePage);
        let Some(&(ordinal, birth)) = used.leaves.get(&block) else {
            if !injected(Fault::SkipOtherPages) {
                drop(store.lock_for_cleanup(block));
            }
            continue;
        };
        let routed = Routed::ByDirectory;
        let at =
            LeafRef { ordinal: ordinal as usize, block, birth, hint: 0, verified: false, routed };
        let fill = vacuum_leaf(&excluded, at, &mut is_dead, &mut memory, &mut stats)?;
        used.others.add_all(fill.map);
        fills.push((ordinal, fill));
    }
    if !injected(Fault::KeepWord) {
        change_word(store)?;
    }
    fills.sort_unstable_by_key(|(ordinal, _)| *ordinal);
    let fills: Vec<Fill> = listed(fills.into_iter().map(|(_, fill)| fill));
    // Some may have been marked by others.
    if stats.removed > 0 || fills.iter().any(|fill| fill.dead > 0) {
        compact(store, options, &fills, &mut before_page)?;
        store.spread_offers();
    }
    Ok(stats)
}

/// Tells sessions that rows which they remember may lose their heap TIDs from now on.
fn change_word<S: Update>(store: &S) -> Result<()> {
    stop_at(StopPoint::VacuumBeforeWord);
    transition(store, |state| Some(*state))?;
    Ok(())
}

/// The delta trees, and from where on they are read.
fn delta_trees<C: Code>(state: &State<C>) -> impl Iterator<Item = (Tree, Fence<C>)> {
    let active = state.active.map(|tree| (tree, Fence::MIN));
    let frozen = state.frozen.map(|tree| (tree, state.watermark));
    active.into_iter().chain(frozen)
}

/// Takes the dead entries out of a delta tree, leaf by leaf from left to right.
fn clean_delta<S: Update>(
    excluded: &Excluded<'_, S>,
    tree: Tree,
    from: Fence<S::Code>,
    is_dead: &mut impl FnMut(HeapTid) -> bool,
    before_page: &mut impl FnMut(),
    stats: &mut VacuumStats,
) -> Result<()> {
    let mut next = Some(leaf_of(excluded, tree, from)?);
    // Where the leaf before ended.
    let mut low = None;
    while let Some(block) = next {
        before_page();
        let page = match injected(Fault::PlainLockOnDelta) {
            false => excluded.store.lock_for_cleanup(block),
            true => excluded.store.lock(block, 0),
        };
        let open = OpenNode::check(page, tree.name, block)?;
        let node = open.view();
        if node.level() > 0 && block == tree.root {
            // It was a leaf when it was looked up, and its entries have moved down since.
            drop(open);
            next = Some(leaf_of(excluded, tree, from)?);
            continue;
        }
        node.ensure(node.level() == 0, "a leaf of a delta tree", node.level().into())?;
        node.verify()?;
        let joins = low.is_none_or(|low| node.low() == low);
        node.ensure_that(joins, "the neighbour's fence")?;
        low = Some(node.high());
        next = (node.right() != 0).then_some(node.right());
        let entries = node.entries()?;
        // Below the watermark they are in the leaves by now.
        let read = entries.iter().filter(|&&entry| Fence::at(entry) >= from);
        let dead: HashSet<HeapTid> =
            read.clone().map(|entry| entry.tid).filter(|&tid| is_dead(tid)).collect();
        stats.alive += (read.count() - dead.len()) as u64;
        stats.removed += dead.len() as u64;
        if !dead.is_empty() {
            let alive: Vec<_> =
                entries.into_iter().filter(|entry| !dead.contains(&entry.tid)).collect();
            let cleaned = node.reduced_to(&alive);
            let edits = edit::difference(open.page(), &cleaned);
            excluded.store.change(&mut [(&mut open.into_page(), &edits)]);
        }
    }
    Ok(())
}

/// The leaf of a delta tree that a position belongs to.
fn leaf_of<S: Update>(
    excluded: &Excluded<'_, S>,
    tree: Tree,
    position: Fence<S::Code>,
) -> Result<Block> {
    let routes: Attempt<Routes<S::Code>> =
        Routes::read(excluded, excluded.word, tree, &Budget::alone(usize::MAX));
    let mut routes = undisturbed(routes)?;
    let found = routes.read_leaf(excluded, excluded.word, position, Side::At);
    undisturbed(found.map(|leaf| leaf.view().at()))
}

/// Frees what nobody refers to, which crashes and errors leave behind, and offers what is free.
/// Returns the number of free blocks. The caller has the exclusion.
pub fn sweep<S: Update>(store: &S, before_page: &mut impl FnMut()) -> Result<u64> {
    let length = store.blocks();
    let (_, state) = read_meta(store, &mut 0)?;
    let excluded = Excluded { store, word: state.word };
    let mut used = undisturbed(Used::read(&excluded, &state))?;
    // A delta tree's pages name their tree. That those which the tree links to do so keeps a
    // damaged one from being given away.
    for (tree, from) in delta_trees(&state) {
        for block in undisturbed(pages_of(&excluded, state.word, tree, from))? {
            before_page();
            let page = store.read(block, 0);
            ensure(is_of_delta(&page, &state), "a page of a delta tree", page::birth(&page))
                .map_err(|corruption| corruption.at(block))?;
        }
    }
    // A leaf's tombstone page is known by the leaf alone: leaves first.
    for block in 1..length {
        if used.leaves.contains_key(&block) {
            before_page();
            let page = store.read(block, 0);
            used.others.add_all(Head::<S::Code>::parse(&page, block)?.of(&page).tombstone_page());
        }
    }
    let mut free = 0;
    for block in 1..length {
        if used.leaves.contains_key(&block) || used.others.contains(&block) {
            continue;
        }
        before_page();
        let page = store.read(block, 0);
        let is_free = is_free(&page);
        if !is_free && is_of_delta(&page, &state) {
            continue;
        }
        drop(page);
        stop_at(StopPoint::SweepBeforeFree);
        if is_free {
            store.offer(block);
        } else {
            store.free(block, |page| {
                !is_of_delta(page, &state) || injected(Fault::SweepWithoutLook)
            });
        }
        free += 1;
    }
    store.spread_offers();
    Ok(free)
}

/// Whether the pages that the state refers to, and `free` ones, are as many as there are: then
/// nothing is lost that a [`sweep`] would find. Reads no leaf, and no directory page of the lowest
/// level; so pages of dead slots, which only leaves refer to, count as lost. What others add
/// meanwhile does too. The caller has the exclusion.
pub fn is_all_known<S: Store>(store: &S, free: Block) -> Result<bool> {
    let length = store.blocks() as usize;
    let (_, state) = read_meta(store, &mut 0)?;
    let excluded = Excluded { store, word: state.word };
    let upper = undisturbed(UpperLevels::read(&excluded, &state))?;
    let (_, model) = undisturbed(read_model_pages(&excluded, &state))?;
    let mut used = 1 + upper.blocks.len() + upper.pages.len() + model.len();
    used += state.leaves as usize;
    for (tree, from) in delta_trees(&state) {
        used += undisturbed(pages_of(&excluded, state.word, tree, from))?.len();
    }
    Ok(used + free as usize == length)
}

/// How full a leaf is.
#[derive(Clone, Copy)]
struct Fill {
    entries: usize,
    dead: usize,
    map: Option<Block>,
}

impl Fill {
    fn is_sparse(&self) -> bool {
        self.dead * SPARSE_PART >= self.entries
    }
}

/// Replaces runs of leaves with many dead entries, where that gives back at least one leaf.
fn compact<S: Update>(
    store: &S,
    options: BuildOptions,
    fills: &[Fill],
    before_page: &mut impl FnMut(),
) -> Result<()> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < fills.len() {
        let run = fills[at..].iter().take_while(|fill| fill.is_sparse()).count();
        let gain: f64 = fills[at..at + run]
            .iter()
            .map(|fill| fill.dead as f64 / fill.entries.max(1) as f64)
            .sum::<f64>()
            // An empty leaf is worth a page too.
            + fills[at..at + run].iter().filter(|fill| fill.entries == 0).count() as f64;
        let maps = fills[at..at + run].iter().filter(|fill| fill.map.is_some()).count();
        if run > 0 && (gain >= LEAST_GAIN && run > 1 || maps > 0) {
            runs.add((at, run));
        }
        at += run.max(1);
    }
    let mut spare = Vec::new();
    // From the last to the first: what is replaced does not move what is before it.
    while let Some((first, count)) = runs.pop() {
        let step = count.min(COMPACTED_AT_ONCE);
        let from = first + count - step;
        if count > step {
            runs.add((first, count - step));
        }
        let mut rewrite = Rewrite::begin(store, options, &mut spare)?;
        let mut run = None;
        let mut high = Fence::MIN;
        for ordinal in from..from + step {
            before_page();
            let contents = rewrite.take_leaf(ordinal)?;
            let run = run.get_or_insert_with(|| rewrite.begin_run(ordinal, contents.low));
            contents.entries.iter().for_each(|entry| rewrite.push(run, entry));
            high = contents.high;
        }
        if let Some(run) = run {
            rewrite.finish_run(run, step, high);
        }
        rewrite.publish(runs.is_empty(), |_| {})?;
    }
    Ok(())
}

fn vacuum_leaf<S: Update>(
    excluded: &Excluded<'_, S>,
    at: LeafRef,
    is_dead: &mut impl FnMut(HeapTid) -> bool,
    memory: &mut Entries<S::Code>,
    stats: &mut VacuumStats,
) -> Result<Fill> {
    let store = excluded.store;
    let judge = |leaf: &Leaf<'_, S::Code>| judge(excluded, leaf, is_dead, memory);
    let marked = mark(store, at, || store.lock_for_cleanup(at.block), true, judge, || {})?;
    let Marked { verdict, entries, map } = marked;
    stats.alive += (entries - verdict.dead.len()) as u64;
    stats.removed += verdict.new as u64;
    Ok(Fill { entries, dead: verdict.dead.len(), map })
}

fn judge<S: Update>(
    excluded: &Excluded<'_, S>,
    leaf: &Leaf<'_, S::Code>,
    is_dead: &mut impl FnMut(HeapTid) -> bool,
    memory: &mut Entries<S::Code>,
) -> Result<Verdict> {
    memory.clear();
    leaf.decode(0, leaf.entries(), memory)?;
    let known = undisturbed(read_tombstones(excluded, excluded.word, leaf))?.slots();
    let mut verdict = Verdict { dead: Vec::new(), new: 0 };
    for (slot, &tid) in memory.tids().iter().enumerate() {
        let slot = slot as u16;
        let was_dead = known.binary_search(&slot).is_ok();
        if was_dead || is_dead(tid) {
            verdict.dead.add(slot);
            verdict.new += usize::from(!was_dead);
        }
    }
    Ok(verdict)
}
