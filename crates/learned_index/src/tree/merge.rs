//! Merging the delta tree into the leaves, range by range.
//!
//! - *freeze*: the active tree becomes the frozen one; the next insert opens a new active tree
//! - *publish*: new leaves hold what the old ones and the frozen tree hold of a range; the
//!   watermark moves behind that range, and below it the frozen tree is no longer read
//! - *drop*: the last range is published and the frozen tree is gone, in one
//!
//! Each is one change of the metapage. After a crash at any point the merge goes on at the
//! watermark.

use super::attempt::{Attempt, settled};
use super::budget::Budget;
use super::build::BuildOptions;
use super::directory::read_meta;
use super::rewrite::{Excluded, Rewrite, undisturbed};
use super::routes::{Routes, pages_of, usual_entries};
use super::transition::transition;
use crate::corruption::Result;
use crate::entry::{Block, Entry, Fence, Side};
use crate::memory::{Add, listed};
use crate::page::delta::{self, Tree};
use crate::page::history::Time;
use crate::stop::{StopPoint, stop_at};
use crate::store::{Store, Update};

/// The most that one publish takes in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Leaves replaced.
    pub leaves: usize,
    /// Entries taken from the delta tree; and no further leaf is begun once as many were written.
    pub entries: usize,
}

impl Limits {
    /// A hundredth of the leaves, at least 64: what readers notice of a publish is reading the
    /// directory pages that changed.
    pub fn for_leaves(leaves: u32) -> Limits {
        Limits { leaves: (leaves as usize / 100).max(64), entries: 1 << 18 }
    }
}

/// When a merge begins, and why.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    /// Entries that the active tree must have.
    pub enough: u64,
    /// The caller's number for why, which the metapage keeps; 0: unknown.
    pub cause: u8,
}

impl From<u64> for Beginning {
    fn from(enough: u64) -> Beginning {
        Beginning { enough, cause: 0 }
    }
}

/// What one step of a merge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: there is nothing to merge, or less than was asked for.
    Idle,
    /// A range was published.
    Published {
        /// Entries that came from the delta tree.
        merged: u64,
        /// Leaves that were replaced.
        leaves: u64,
        /// Whether that was the last range.
        dropped: bool,
    },
}

/// Entries of the delta trees, about: from the number of their pages. Needs no exclusion.
pub fn delta_entries<S: Store>(store: &S) -> Result<u64> {
    let unbounded = Budget::alone(usize::MAX);
    loop {
        let (_, state) = read_meta(store, &mut 0)?;
        let trees = state.active.into_iter().chain(state.frozen);
        let leaves: Attempt<usize> =
            trees.map(|tree| Ok(Routes::read(store, state.word, tree, &unbounded)?.leaves())).sum();
        // Others may merge meanwhile: then there is another state to count.
        if let Some(leaves) = settled(leaves)? {
            return Ok((leaves * usual_entries::<S::Code>()) as u64);
        }
    }
}

/// Freezes the active tree if there is no frozen one and it has enough entries; then merges one
/// range. The caller has the exclusion. `spare` keeps free blocks from step to step.
pub fn merge_step<S: Update>(
    store: &S,
    options: BuildOptions,
    limits: Limits,
    beginning: impl Into<Beginning>,
    spare: &mut Vec<Block>,
) -> Result<Step> {
    let (Beginning { enough, cause }, begun) = (beginning.into(), store.now());
    let (_, state) = read_meta(store, &mut 0)?;
    if state.frozen.is_none() {
        if state.active.is_none() || (enough > 1 && delta_entries(store)? < enough) {
            return Ok(Step::Idle);
        }
        transition(store, |state| {
            let mut next = *state;
            next.frozen = next.active.take();
            next.watermark = Fence::MIN;
            next.history.begin(cause);
            next.frozen.is_some().then_some(next)
        })?;
        stop_at(StopPoint::Frozen);
    }
    merge_range(store, options, limits, begun, spare)
}

fn merge_range<S: Update>(
    store: &S,
    options: BuildOptions,
    limits: Limits,
    begun: Time,
    spare: &mut Vec<Block>,
) -> Result<Step> {
    let mut rewrite = Rewrite::begin(store, options, spare)?;
    let state = rewrite.state;
    let Some(tree) = state.frozen else { return Ok(Step::Idle) };
    let excluded = Excluded { store, word: state.word };
    let mut frozen = Frozen::new(&excluded, tree, state.watermark)?;
    let mut done = Done::default();
    while let Some(first) = frozen.peek()?
        && done.is_within(limits)
    {
        merge_run(&mut rewrite, &mut frozen, first, limits, &mut done)?;
    }
    let end = frozen.peek()?.map(Fence::at);
    let emptied = match end {
        Some(watermark) => frozen.leaves_before(watermark),
        None => undisturbed(pages_of(&excluded, state.word, tree, state.watermark))?,
    };
    rewrite.publish(end.is_none(), |next| {
        next.history.publish(begun, store.now(), done.merged, end.is_none());
        match end {
            Some(watermark) => next.watermark = watermark,
            None => {
                next.frozen = None;
                next.watermark = Fence::MIN;
            }
        }
    })?;
    stop_at(StopPoint::MergedBeforeFree);
    for block in emptied {
        store.free(block, |page| delta::belongs_to(page, tree.name));
        spare.add(block);
    }
    let Done { merged, leaves, .. } = done;
    Ok(Step::Published { merged, leaves: leaves as u64, dropped: end.is_none() })
}

/// What was merged for the next publish.
#[derive(Default)]
struct Done {
    /// Entries of the frozen tree.
    merged: u64,
    /// Leaves replaced.
    leaves: usize,
    /// Entries written.
    written: usize,
}

impl Done {
    fn is_within(&self, limits: Limits) -> bool {
        self.leaves < limits.leaves && self.written < limits.entries
    }
}

/// Merges leaves next to each other, beginning with the one that the first entry of the frozen tree
/// belongs to.
fn merge_run<S: Update>(
    rewrite: &mut Rewrite<'_, S>,
    frozen: &mut Frozen<'_, S>,
    first: Entry<S::Code>,
    limits: Limits,
    done: &mut Done,
) -> Result<()> {
    let ordinal = rewrite.ordinal_of(Fence::at(first))?;
    let mut contents = rewrite.take_leaf(ordinal)?;
    let mut run = rewrite.begin_run(ordinal, contents.low);
    let mut count = usize::from(rewrite.leaves() > 0);
    loop {
        let mut old = contents.entries.iter().peekable();
        done.written += contents.entries.len();
        while let Some(new) = frozen.peek()?
            && Fence::at(new) < contents.high
            && done.merged < limits.entries as u64
        {
            while let Some(entry) = old.next_if(|old| *old <= new) {
                rewrite.push(&mut run, entry);
            }
            rewrite.push(&mut run, new);
            frozen.advance();
            done.merged += 1;
            done.written += 1;
        }
        old.for_each(|entry| rewrite.push(&mut run, entry));
        done.leaves += 1;
        // The run goes on as long as the next leaf gets entries too: so leaves stay full.
        let next_is_touched = match frozen.peek()? {
            Some(next) if contents.high <= Fence::at(next) => {
                rewrite.ordinal_of(Fence::at(next))? == ordinal + count
            }
            _ => false,
        };
        if !next_is_touched || !done.is_within(limits) {
            break;
        }
        contents = rewrite.take_leaf(ordinal + count)?;
        count += 1;
    }
    rewrite.finish_run(run, count, contents.high);
    Ok(())
}

/// The entries of a frozen tree from the watermark on, in order.
struct Frozen<'a, S: Store> {
    store: &'a Excluded<'a, S>,
    routes: Routes<S::Code>,
    entries: Vec<Entry<S::Code>>,
    next: usize,
    /// Where the leaf ends that the entries are from.
    high: Fence<S::Code>,
    /// The leaves read so far, and where each ends.
    leaves: Vec<(Block, Fence<S::Code>)>,
}

impl<'a, S: Store> Frozen<'a, S> {
    fn new(
        store: &'a Excluded<'a, S>,
        tree: Tree,
        watermark: Fence<S::Code>,
    ) -> Result<Frozen<'a, S>> {
        let routes =
            undisturbed(Routes::read(store, store.word, tree, &Budget::alone(usize::MAX)))?;
        let mut frozen = Frozen {
            store,
            routes,
            entries: Vec::new(),
            next: 0,
            high: watermark,
            leaves: Vec::new(),
        };
        frozen.read_from(watermark)?;
        Ok(frozen)
    }

    fn read_from(&mut self, position: Fence<S::Code>) -> Result<()> {
        let word = self.store.word;
        let open = undisturbed(self.routes.read_leaf(self.store, word, position, Side::At))?;
        let node = open.view();
        self.entries = node.entries()?;
        self.next = self.entries.partition_point(|&entry| Fence::at(entry) < position);
        self.high = node.high();
        self.leaves.add((node.at(), self.high));
        Ok(())
    }

    fn peek(&mut self) -> Result<Option<Entry<S::Code>>> {
        while self.next >= self.entries.len() {
            if self.high == Fence::MAX {
                return Ok(None);
            }
            self.read_from(self.high)?;
        }
        Ok(self.entries.get(self.next).copied())
    }

    fn advance(&mut self) {
        self.next += 1;
    }

    /// The leaves that a watermark leaves behind.
    fn leaves_before(&self, watermark: Fence<S::Code>) -> Vec<Block> {
        let behind = self.leaves.iter().filter(|(_, high)| *high <= watermark);
        listed(behind.map(|&(block, _)| block))
    }
}
