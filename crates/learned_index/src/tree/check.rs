//! Checking a whole index: every page, every fence, every entry.

use std::collections::HashSet;

use super::attempt::Attempt;
use super::directory::{self, Directory};
use super::rewrite::{Excluded, undisturbed};
use super::vacuum::dead_slots;
use crate::corruption::{Corruption, Result, ensure};
use crate::entry::{Block, Fence, HeapTid};
use crate::page::delta::{Delta, Tree};
use crate::page::leaf::Leaf;
use crate::page::meta::State;
use crate::page::{self, is_free, verify_seal};
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
    /// Blocks that are not free and that nothing refers to.
    pub lost: u64,
}

/// Reads the whole index and checks that the leaves tile the key space, that fences and entries
/// ascend, that every entry lies within its page's fences, that counts agree and seals hold, and
/// that no page serves twice. `see` is called for each entry that is alive, with its position.
///
/// Nobody may change the index meanwhile.
pub fn check<S: Store>(store: &S, see: impl FnMut(Fence)) -> Result<CheckReport> {
    let (_, state) = directory::read_meta(store, &mut 0)?;
    let excluded = Excluded { store, word: state.word };
    let mut checker =
        Checker { store, used: HashSet::from([0]), report: CheckReport::default(), see };
    undisturbed(checker.leaves(&excluded))?;
    for (tree, from) in [(state.active, Fence::MIN), (state.frozen, state.watermark)] {
        if let Some(tree) = tree {
            checker.delta(tree, from)?;
        }
    }
    let (_, model) = undisturbed(directory::read_model_pages(&excluded, &state))?;
    let upper = undisturbed(directory::UpperLevels::read(&excluded, &state))?;
    for block in model.into_iter().chain(upper.blocks) {
        checker.take(block)?;
    }
    for page in upper.pages {
        checker.take(page.block)?;
    }
    checker.rest();
    Ok(checker.report)
}

struct Checker<'a, S, F> {
    store: &'a S,
    used: HashSet<Block>,
    report: CheckReport,
    see: F,
}

impl<S: Store, F: FnMut(Fence)> Checker<'_, S, F> {
    fn take(&mut self, block: Block) -> Result<()> {
        ensure(self.used.insert(block), "each page in one place", block.into())
            .map_err(|corruption| corruption.at(block))
    }

    fn leaves(&mut self, excluded: &Excluded<'_, S>) -> Attempt<()> {
        let mut directory = Directory::open(excluded, usize::MAX)?;
        let mut expected_low = Fence::MIN;
        for ordinal in 0..directory.leaves() {
            let at = directory.leaf(excluded, ordinal)?;
            let named = |corruption: Corruption| corruption.at(at.block);
            self.take(at.block)?;
            let routed = directory.route(excluded, expected_low)?;
            ensure(
                routed.map(|leaf| leaf.ordinal) == Some(ordinal),
                "a directory that finds the leaf",
                ordinal as u64,
            )
            .map_err(named)?;
            expected_low = self.leaf(at.block, at.birth, expected_low).map_err(named)?;
        }
        let last_ends = directory.leaves() == 0 || expected_low == Fence::MAX;
        ensure(last_ends, "a last leaf without an end", expected_low.code)?;
        let state: &State = directory.state();
        let entries = state.values + state.nulls;
        ensure(
            entries == self.report.entries,
            "as many entries as the metapage says",
            self.report.entries,
        )
        .map_err(|corruption| corruption.at(0))?;
        Ok(())
    }

    fn leaf(&mut self, block: Block, birth: u64, low: Fence) -> Result<Fence> {
        let page = self.store.read(block, 0);
        verify_seal(&page)?;
        let leaf = Leaf::parse(&page)?;
        ensure(page::birth(&page) == birth, "the leaf that is meant", page::birth(&page))?;
        ensure(leaf.low() == low, "the fence of the leaf before", leaf.low().code)?;
        ensure(leaf.low() < leaf.high(), "fences that ascend", leaf.high().code)?;
        let (mut codes, mut tids) = (Vec::new(), Vec::new());
        leaf.decode(0, leaf.entries(), &mut codes, &mut tids)?;
        let count = codes.len();
        ensure(count == leaf.entries(), "as many entries as the leaf says", count as u64)?;
        if let Some(map) = leaf.tombstone_page() {
            self.take(map)?;
        }
        let dead = dead_slots(self.store, &leaf, block)?;
        ensure(dead.is_sorted_by(|left, right| left < right), "dead slots that ascend", 0)?;
        ensure(
            dead.len() == leaf.tombstones(),
            "as many dead slots as counted",
            dead.len() as u64,
        )?;
        ensure(
            dead.last().is_none_or(|&slot| usize::from(slot) < leaf.entries()),
            "dead slots within the leaf",
            leaf.entries() as u64,
        )?;
        let class = leaf.class() as u8;
        let mut previous: Option<Fence> = None;
        for (slot, (&code, &tid)) in codes.iter().zip(&tids).enumerate() {
            let entry = Fence { class, code, tid };
            ensure(tid.offset() > 0 && tid > HeapTid::MIN, "a heap TID", tid.to_u64())?;
            ensure(leaf.low() <= entry && entry < leaf.high(), "an entry within the fences", code)?;
            ensure(previous.is_none_or(|previous| previous < entry), "entries that ascend", code)?;
            previous = Some(entry);
            // Random access must find what decoding found.
            if slot % 61 == 0 {
                let found = leaf.slot_of(entry)?;
                ensure(found == slot, "a search that finds the entry", found as u64)?;
            }
            if dead.binary_search(&(slot as u16)).is_err() {
                (self.see)(entry);
            }
        }
        self.report.leaves += 1;
        self.report.entries += leaf.entries() as u64;
        self.report.dead += dead.len() as u64;
        Ok(leaf.high())
    }

    /// A delta tree: each level tiles the key space, and its links agree with the level above. Of a
    /// frozen one, the part that is read.
    fn delta(&mut self, tree: Tree, from: Fence) -> Result<()> {
        let mut level = vec![(tree.root, Fence::MIN, Fence::MAX, 0)];
        while !level.is_empty() {
            let mut below = Vec::new();
            for (block, low, high, right) in level {
                let named = |corruption: Corruption| corruption.at(block);
                self.take(block)?;
                self.report.delta_pages += 1;
                let page = self.store.read(block, 0);
                let node = Delta::parse(&page, tree.name).map_err(named)?;
                node.verify().map_err(named)?;
                let fits = node.low() == low && node.high() == high && node.right() == right;
                ensure(fits, "the fences and the link that the level above tells", node.low().code)
                    .map_err(named)?;
                if node.level() == 0 {
                    for entry in node.entries().map_err(named)? {
                        if Fence::at(entry) >= from {
                            self.report.delta += 1;
                            (self.see)(Fence::at(entry));
                        }
                    }
                    continue;
                }
                let children = node.children();
                for (index, child) in children.iter().enumerate() {
                    let next = children.get(index + 1);
                    let high = next.map_or(node.high(), |next| next.low);
                    below.push((child.block, child.low, high, node.level()));
                }
            }
            // The right neighbour is the next one of the level; what the watermark has left
            // behind may be free by now.
            let blocks: Vec<Block> = below.iter().map(|&(block, ..)| block).collect();
            level = below
                .into_iter()
                .enumerate()
                .filter(|(_, (_, _, high, above))| *above > 1 || *high > from)
                .map(|(index, (block, low, high, _))| {
                    (block, low, high, blocks.get(index + 1).copied().unwrap_or(0))
                })
                .collect();
        }
        Ok(())
    }

    fn rest(&mut self) {
        for block in 1..self.store.blocks() {
            if !self.used.contains(&block) {
                let free = is_free(&self.store.read(block, 0));
                *(if free { &mut self.report.free } else { &mut self.report.lost }) += 1;
            }
        }
    }
}
