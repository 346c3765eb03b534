//! Taking the entries of dead rows out of a leaf of the active tree before it is split.
//!
//! What nbtree calls bottom-up and simple deletion: rows that are updated again and again leave
//! entries that nobody will ever see, and without this each of them would stay, and split leaves,
//! until VACUUM comes.
//!
//! Why nothing is lost, and nobody minds, is in PROTOCOL.md, under "Removing dead entries".

use std::collections::HashSet;

use crate::corruption::Result;
use crate::entry::{Block, Entry, Fence, HeapTid, Side};
use crate::fault::{self, Fault, injected};
use crate::key::{Code, Word};
use crate::page::delta::{Tree, capacity};
use crate::page::edit;
use crate::page::meta::Identity;
use crate::stop::{StopPoint, stop_at};
use crate::store::{Hint, Update};
use crate::tree::attempt::{Attempt, settled};
use crate::tree::directory::{Directory, Which};
use crate::tree::killed::PageId;
use crate::tree::routes::lock_node;

/// An entry whose row may be dead.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The row, or the first of a HOT chain.
    pub tid: HeapTid,
    /// Whether there is a reason to think so: several entries have the key, or the row was seen to
    /// be dead.
    pub promising: bool,
    /// The answer: no snapshot sees the row, or another of its chain, and none ever will.
    pub dead: bool,
}

/// The table, as far as taking out the entries of dead rows needs it.
pub trait Table<C = Word> {
    /// Up to where rows are removed: what a standby must know.
    type Horizon;

    /// Sets [`Candidate::dead`] where that is certain. `all`: at least one row was seen to be dead,
    /// and all are to be looked at; otherwise it is enough to look where most promises to be dead.
    /// No TID among them is given to another row meanwhile: their leaf, which is this block, is
    /// pinned and not locked.
    fn find_dead(&mut self, leaf: Block, candidates: &mut [Candidate], all: bool) -> Self::Horizon;

    /// Called before entries are taken out that were found dead, under their leaf's lock.
    fn before_removal(&mut self, horizon: Self::Horizon, entries: &[Entry<C>]);
}

/// A table of which nothing is known: no entry is ever taken out.
pub struct KeepAll;

impl<C> Table<C> for KeepAll {
    type Horizon = ();

    fn find_dead(&mut self, _: Block, _: &mut [Candidate], _: bool) {}

    fn before_removal(&mut self, (): (), _: &[Entry<C>]) {}
}

/// Of a leaf's entries, the part that must be dead for it to be worth writing the leaf anew.
const LEAST_PART: usize = 16;

/// Takes the entries of dead rows out of the leaf of the active tree that a position belongs to, if
/// there may be some: because the new entry's row is another version of one that is there
/// (`unchanged`), or because this session has seen dead rows there. Returns whether it did.
pub(super) fn remove_dead<S: Update, T: Table<S::Code>>(
    store: &S,
    directory: &mut Directory<S::Code>,
    position: Fence<S::Code>,
    unchanged: bool,
    table: &mut T,
) -> Result<bool> {
    let removed = settled(try_to_remove(store, directory, position, unchanged, table))?;
    Ok(removed == Some(true))
}

/// Takes the entries of dead rows out of the leaf of the active tree that a position belongs to,
/// where this session has seen many. Returns whether it did.
pub fn remove_killed<S: Update, T: Table<S::Code>>(
    store: &S,
    directory: &mut Directory<S::Code>,
    position: Fence<S::Code>,
    table: &mut T,
) -> Result<bool> {
    remove_dead(store, directory, position, false, table)
}

fn try_to_remove<S: Update, T: Table<S::Code>>(
    store: &S,
    directory: &mut Directory<S::Code>,
    position: Fence<S::Code>,
    unchanged: bool,
    table: &mut T,
) -> Attempt<bool> {
    let word = directory.state().word;
    let Some(routes) = directory.delta(store, Which::Active)? else { return Ok(false) };
    let tree = routes.tree();
    let open = routes.read_leaf(store, word, position, Side::At)?;
    let (block, hint) = (open.view().at(), S::hint(open.page()));
    // All entries of the leaf in order, and whether this session has seen that the row is dead.
    let mut entries: Vec<(Entry<S::Code>, bool)> = Vec::with_capacity(capacity::<S::Code>());
    let node = open.view();
    let page_id = PageId::of_delta(&node);
    let known = directory.killed_in(&page_id);
    if known.is_none() && !unchanged {
        return Ok(false);
    }
    let is_known = |slot| known.is_some_and(|known| known.has(slot));
    node.visit(Fence::MIN, Fence::MAX, |slot, entry| entries.push((entry, is_known(slot))))?;
    // The pin keeps VACUUM from giving these TIDs to other rows before the entries are out.
    let pin = match injected(Fault::RemoveWithoutPin) {
        true => {
            drop(open);
            None
        }
        false => Some(S::pin(open.into_page())),
    };
    entries.sort_unstable();
    let least = (fault::full_at(capacity::<S::Code>()) / LEAST_PART).max(1);
    let known = entries.iter().filter(|(_, known)| *known);
    // Where the table has to be looked at for enough of those that are known, these and their
    // neighbours are all.
    let blocks: Option<HashSet<u32>> = (known.clone().count() >= least)
        .then(|| known.map(|(entry, _)| entry.tid.block()).collect());
    let (asked, mut candidates) = candidates_of(&entries, blocks.as_ref(), directory.identity());
    let horizon = table.find_dead(block, &mut candidates, blocks.is_some());
    directory.killed().were_marked(&page_id);
    let answers = candidates.iter().zip(asked).filter(|(candidate, _)| candidate.dead);
    let dead: Vec<Entry<S::Code>> = answers.map(|(_, entry)| entry).collect();
    let enough = dead.len() >= least;
    stop_at(StopPoint::RemovalBeforeLock);
    let outcome = match enough {
        true => take_out(store, word, tree, (block, hint), &dead, |removed| {
            table.before_removal(horizon, removed);
        }),
        false => Ok(false),
    };
    if let Some(pin) = pin {
        store.unpin(pin);
    }
    outcome
}

/// The entries of a leaf to ask the table for: those with rows in these blocks, or all. Each comes
/// with whether its row is known to be dead, and in order.
fn candidates_of<C: Code>(
    entries: &[(Entry<C>, bool)],
    blocks: Option<&HashSet<u32>>,
    identity: &Identity,
) -> (Vec<Entry<C>>, Vec<Candidate>) {
    let mut asked: Vec<Entry<C>> = Vec::with_capacity(entries.len());
    let mut candidates: Vec<Candidate> = Vec::with_capacity(entries.len());
    let equality = identity.equality::<C>();
    for (index, &(entry, known)) in entries.iter().enumerate() {
        let same = |other: Option<&(Entry<C>, bool)>| {
            let key = |entry: Entry<C>| equality.range_of(entry.key).0;
            other.is_some_and(|other| key(other.0) == key(entry))
        };
        let before = index.checked_sub(1).and_then(|before| entries.get(before));
        let promising = known || same(before) || same(entries.get(index + 1));
        if blocks.is_none_or(|blocks| blocks.contains(&entry.tid.block())) {
            asked.push(entry);
            candidates.push(Candidate { tid: entry.tid, promising, dead: false });
        }
    }
    (asked, candidates)
}

/// Takes entries out of a leaf, as far as they still are there. `dead` ascends.
fn take_out<S: Update>(
    store: &S,
    word: u64,
    tree: Tree,
    (block, hint): (Block, Hint),
    dead: &[Entry<S::Code>],
    before: impl FnOnce(&[Entry<S::Code>]),
) -> Attempt<bool> {
    // The tree is active still, so no merge has read the leaf.
    let open = lock_node(store, word, tree.name, block, hint)?;
    let node = open.view();
    if node.level() > 0 {
        // The root: its entries have moved down.
        return Ok(false);
    }
    // What is written anew gets a new seal, which must not hide damage.
    node.verify()?;
    let (removed, kept): (Vec<_>, Vec<_>) =
        node.entries()?.into_iter().partition(|entry| dead.binary_search(entry).is_ok());
    if removed.is_empty() {
        return Ok(false);
    }
    before(&removed);
    let edits = edit::difference(open.page(), &node.reduced_to(&kept));
    stop_at(StopPoint::RemovalUnderLock);
    store.change(&mut [(&mut open.into_page(), &edits)]);
    Ok(true)
}
