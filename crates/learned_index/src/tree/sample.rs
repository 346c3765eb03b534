//! A sample of the keys of an index: some of them, each with how many entries it stands for. A
//! planner learns from it how the values of a column are distributed, for the price of a few pages.

use std::ops::Range;

use super::attempt::{Attempt, settled};
use super::directory::{Directory, Which};
use super::leaf::read_leaf;
use super::routes::Routes;
use super::tombstones::read_tombstones;
use crate::corruption::Result;
use crate::entry::{Entry, Fence, HeapTid, Side};
use crate::key::{Code, Interval};
use crate::memory::{Add, listed};
use crate::store::Store;

/// The most pages of the leaves, and of each delta tree, that are read: of more, each stands for
/// its neighbours too.
const MOST_PAGES: usize = 64;
/// Keys that are taken at least, if there are as many.
const KEYS: usize = 256;
/// Slots that are looked at for one that is not dead.
const SLOTS_LOOKED_AT: usize = 64;

/// A key of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledKey<C> {
    /// Its code.
    pub code: C,
    /// The row of an entry that has it, where one was read.
    pub tid: Option<HeapTid>,
    /// How many entries it stands for, about: itself and those between the key before and it.
    pub entries: f64,
}

/// Samples the entries with values of an interval, but those that are marked as dead: in the order
/// of the index, the last one mostly among them.
///
/// # Errors
/// If a page is damaged.
pub fn sample<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    interval: &Interval<S::Code>,
) -> Result<Vec<SampledKey<S::Code>>> {
    let span = Fence::before(interval.low)..Fence::after(interval.high);
    loop {
        directory.refresh(store)?;
        if let Some(mut keys) = settled(try_sample(store, directory, &span))? {
            keys.sort_unstable_by_key(|key| key.code);
            return Ok(keys);
        }
    }
}

fn try_sample<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    span: &Range<Fence<S::Code>>,
) -> Attempt<Vec<SampledKey<S::Code>>> {
    let mut keys = Vec::new();
    if let Some(first) = directory.route(store, span.start)?
        && let Some(last) = directory.route_before(store, span.end)?
    {
        let leaves = first.ordinal..last.ordinal + 1;
        let parts = Parts::of(leaves.len());
        for part in parts.of_range(leaves) {
            sample_leaf(store, directory, span, (part, parts.keys), &mut keys)?;
        }
    }
    sample_deltas(store, directory, span, &mut keys)?;
    Ok(keys)
}

/// How many entries with values there are, about, those included that are marked as dead.
///
/// # Errors
/// If a page is damaged.
pub fn entries_with_values<S: Store>(store: &S, directory: &mut Directory<S::Code>) -> Result<f64> {
    let Interval { low, high } = Interval::VALUES;
    let span = Fence::before(low)..Fence::after(high);
    loop {
        directory.refresh(store)?;
        let mut keys = Vec::new();
        if settled(sample_deltas(store, directory, &span, &mut keys))?.is_some() {
            let unmerged: f64 = keys.iter().map(|key| key.entries).sum();
            return Ok(directory.state().values as f64 + unmerged);
        }
    }
}

/// Takes keys of the delta trees.
fn sample_deltas<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    span: &Range<Fence<S::Code>>,
    keys: &mut Vec<SampledKey<S::Code>>,
) -> Attempt<()> {
    let (word, watermark) = (directory.state().word, directory.state().watermark);
    for which in [Which::Active, Which::Frozen] {
        let Some(routes) = directory.delta(store, which)? else { continue };
        // Below the watermark a frozen tree has nothing, whatever its pages still say.
        let start = if which == Which::Frozen { span.start.max(watermark) } else { span.start };
        if start < span.end {
            sample_delta(store, word, routes, &(start..span.end), keys)?;
        }
    }
    Ok(())
}

/// Pages that are next to each other, in parts of which one page is read.
struct Parts {
    /// Pages of a part.
    step: usize,
    /// Keys that are taken of a page.
    keys: usize,
}

impl Parts {
    fn of(pages: usize) -> Parts {
        let step = pages.div_ceil(MOST_PAGES).max(1);
        Parts { step, keys: KEYS.div_ceil(pages.div_ceil(step).max(1)) }
    }

    fn of_range(&self, pages: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = pages;
        let step = self.step;
        (start..end).step_by(step).map(move |first| first..(first + step).min(end))
    }
}

/// Takes keys of the last leaf of a part, for all of its leaves.
fn sample_leaf<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    span: &Range<Fence<S::Code>>,
    (part, most): (Range<usize>, usize),
    keys: &mut Vec<SampledKey<S::Code>>,
) -> Attempt<()> {
    let at = directory.leaf(store, part.end - 1)?;
    let word = directory.state().word;
    let open = read_leaf(store, word, at)?;
    let leaf = open.view();
    let slots = leaf.slot_of(span.start)?..leaf.slot_of(span.end)?;
    if slots.is_empty() {
        return Ok(());
    }
    let dead = read_tombstones(store, word, &leaf)?;
    let mut read = Vec::new();
    for group in in_groups(slots.clone(), most) {
        let looked_at = group.rev().take(SLOTS_LOOKED_AT);
        if let Some(slot) = looked_at.into_iter().find(|slot| !dead.has(*slot)) {
            read.add(leaf.entry(slot)?);
        }
    }
    let living = slots.len().saturating_sub(dead.count_within(&slots));
    keys.add_all(sharing(&read, living, part.len()));
    Ok(())
}

/// Takes keys of a delta tree.
fn sample_delta<S: Store>(
    store: &S,
    word: u64,
    routes: &mut Routes<S::Code>,
    span: &Range<Fence<S::Code>>,
    keys: &mut Vec<SampledKey<S::Code>>,
) -> Attempt<()> {
    let (lows, are_leaves, usual) = routes.known_pages();
    let first = lows.partition_point(|&low| low <= span.start).saturating_sub(1);
    let end = lows.partition_point(|&low| low < span.end);
    let lows = listed(lows[first..end.max(first)].iter().copied());
    let parts = Parts::of(lows.len());
    for part in parts.of_range(0..lows.len()) {
        let (pages, low) = (part.len(), lows[part.end - 1]);
        if !are_leaves {
            // So large a tree that one key says enough of a page of its upper levels.
            let entries = (pages * usual) as f64;
            let key = SampledKey { code: low.code, tid: None, entries };
            keys.extend(span.contains(&low).then_some(key));
            continue;
        }
        let open = routes.read_leaf(store, word, low.max(span.start), Side::At)?;
        let mut entries: Vec<Entry<S::Code>> = Vec::new();
        open.view().collect(span.start, span.end, &mut entries)?;
        entries.sort_unstable();
        let groups = in_groups(0..entries.len(), parts.keys);
        let read: Vec<Entry<S::Code>> = listed(groups.map(|group| entries[group.end - 1]));
        keys.add_all(sharing(&read, entries.len(), pages));
    }
    Ok(())
}

/// Groups of about the same size, as many as are wanted or can be.
fn in_groups(slots: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let (count, start) = (slots.len().min(most), slots.start);
    let border = move |group: usize| start + group * slots.len() / count.max(1);
    (0..count).map(move |group| border(group)..border(group + 1))
}

/// Some entries of a page as keys, the last one of several that are alike: they share its entries,
/// and the first one stands for those of the pages before too.
fn sharing<C: Code>(
    read: &[Entry<C>],
    entries: usize,
    pages: usize,
) -> impl Iterator<Item = SampledKey<C>> {
    let each = entries as f64 / read.len().max(1) as f64;
    let before = (entries * (pages - 1)) as f64;
    read.iter().enumerate().map(move |(at, entry)| {
        let entries = if at == 0 { each + before } else { each };
        SampledKey { code: entry.key.code, tid: Some(entry.tid), entries }
    })
}
