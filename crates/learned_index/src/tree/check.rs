//! Checking a whole index: every page, every fence, every entry.

use super::directory::{self, Directory};
use super::vacuum::dead_slots;
use crate::corruption::{Corruption, Result, ensure};
use crate::entry::{Block, Fence, HeapTid};
use crate::page::leaf::Leaf;
use crate::page::meta::State;
use crate::page::verify_seal;
use crate::store::Store;

/// What a check counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Leaves.
    pub leaves: u64,
    /// Entries, dead ones included.
    pub entries: u64,
    /// Entries that are marked as dead.
    pub dead: u64,
}

/// Reads the whole index and checks that the leaves tile the key space, that fences and entries
/// ascend, that every entry lies within its leaf's fences, that counts agree and seals hold.
/// `see` is called for each entry that is alive, with its position.
pub fn check<S: Store>(store: &S, mut see: impl FnMut(Fence)) -> Result<CheckReport> {
    let (identity, state) = directory::read_meta(store, &mut 0)?;
    let mut directory = Directory::open(store, identity, state, usize::MAX)?;
    directory::read_model(store, &state)?;
    let mut report = CheckReport::default();
    let mut expected_low = Fence::MIN;
    let mut blocks = std::collections::HashSet::new();
    for ordinal in 0..directory.leaves() {
        let at = directory.leaf(store, ordinal)?;
        let named = |corruption: Corruption| corruption.at(at.block);
        ensure(blocks.insert(at.block), "each leaf once", at.block.into()).map_err(named)?;
        let routed = directory.route(store, expected_low)?;
        ensure(
            routed.map(|leaf| leaf.ordinal) == Some(ordinal),
            "a directory that finds the leaf",
            ordinal as u64,
        )
        .map_err(named)?;
        let high =
            check_leaf(store, at.block, expected_low, &mut report, &mut see).map_err(named)?;
        expected_low = high;
    }
    let last_ends = directory.leaves() == 0 || expected_low == Fence::MAX;
    ensure(last_ends, "a last leaf without an end", expected_low.code)?;
    check_counts(&state, &report)?;
    Ok(report)
}

fn check_counts(state: &State, report: &CheckReport) -> Result<()> {
    let entries = state.values + state.nulls;
    ensure(entries == report.entries, "as many entries as the metapage says", report.entries)
        .map_err(|corruption| corruption.at(0))
}

fn check_leaf<S: Store>(
    store: &S,
    block: Block,
    low: Fence,
    report: &mut CheckReport,
    see: &mut impl FnMut(Fence),
) -> Result<Fence> {
    let page = store.read(block, 0);
    verify_seal(&page)?;
    let leaf = Leaf::parse(&page)?;
    ensure(leaf.low() == low, "the fence of the leaf before", leaf.low().code)?;
    ensure(leaf.low() < leaf.high(), "fences that ascend", leaf.high().code)?;
    let (mut codes, mut tids) = (Vec::new(), Vec::new());
    leaf.decode(0, leaf.entries(), &mut codes, &mut tids)?;
    ensure(codes.len() == leaf.entries(), "as many entries as the leaf says", codes.len() as u64)?;
    let dead = dead_slots(store, &leaf, block)?;
    ensure(dead.is_sorted_by(|left, right| left < right), "dead slots that ascend", 0)?;
    ensure(dead.len() == leaf.tombstones(), "as many dead slots as counted", dead.len() as u64)?;
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
            see(entry);
        }
    }
    report.leaves += 1;
    report.entries += leaf.entries() as u64;
    report.dead += dead.len() as u64;
    Ok(leaf.high())
}
