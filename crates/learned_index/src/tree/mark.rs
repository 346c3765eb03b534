//! Marking entries of published leaves as dead, for all sessions: by tombstones.
//!
//! VACUUM does so for the rows that it removes. Before it comes, a session does so for the rows
//! that its scans have found dead to all ([`mark_killed`]): no other session has to look them up
//! again. Both have the exclusion, so one session at a time marks slots, and no merge copies the
//! leaf meanwhile.

use super::attempt::Attempt;
use super::delta::{Candidate, Table};
use super::directory::Directory;
use super::killed::PageId;
use super::leaf::{LeafRef, OpenLeaf, read_leaf};
use super::rewrite::{Excluded, undisturbed};
use super::tombstones::read_tombstones;
use crate::corruption::Result;
use crate::entry::{Block, Entry, Fence};
use crate::fault::{Fault, injected};
use crate::memory::{Add, listed};
use crate::page::leaf::Leaf;
use crate::page::tombstone;
use crate::stop::{StopPoint, stop_at};
use crate::store::{Store, Update};

/// The most rows that the table is asked about at once: it expects no more than a page of a B-tree
/// may have.
const MOST_AT_ONCE: usize = 1 << 10;

/// Which of a leaf's slots are dead.
pub(super) struct Verdict {
    /// All dead slots, ascending.
    pub(super) dead: Vec<u16>,
    /// Those of them that are not marked yet.
    pub(super) new: usize,
}

/// What a leaf is like once its dead slots are marked.
pub(super) struct Marked {
    pub(super) verdict: Verdict,
    pub(super) entries: usize,
    /// The page that marks them, if there is one.
    pub(super) map: Option<Block>,
}

/// Locks a leaf as `lock` does it, for the leaf that is meant, and marks the slots that `judge`
/// says are dead. `before` comes before the change, under the lock, if there is one. Where that
/// takes a page for the marks, and it may not be created, nothing is marked. The caller has the
/// exclusion.
pub(super) fn mark<'s, S: Update>(
    store: &'s S,
    at: LeafRef,
    lock: impl Fn() -> S::Exclusive<'s>,
    may_create: bool,
    mut judge: impl FnMut(&Leaf<'_, S::Code>) -> Result<Verdict>,
    before: impl FnOnce(),
) -> Result<Marked> {
    let mut map_page = None;
    loop {
        let open = OpenLeaf::check(lock(), LeafRef { verified: false, ..at }, 0)?;
        let leaf = open.view();
        let verdict = judge(&leaf)?;
        let entries = leaf.entries();
        let map = leaf.tombstone_page();
        if verdict.new == 0 {
            return Ok(Marked { verdict, entries, map });
        }
        let point_to = |map| [tombstone::point_to_map(verdict.dead.len(), map)];
        if let Some(edits) = tombstone::list(&leaf, &verdict.dead) {
            before();
            store.change(&mut [(&mut open.into_page(), &edits)]);
            return Ok(Marked { verdict, entries, map: None });
        }
        if let Some(map) = map {
            let mut map_guard = store.lock(map, 0);
            let edits = tombstone::map_edits(&leaf, &map_guard, &verdict.dead);
            let marks = point_to(map);
            let mut page = open.into_page();
            before();
            if injected(Fault::LogMapFirst) {
                store.change(&mut [(&mut map_guard, &edits), (&mut page, &marks)]);
            } else {
                // The leaf first: readers lock the two pages in this order, and so does replay.
                store.change(&mut [(&mut page, &marks), (&mut map_guard, &edits)]);
            }
            return Ok(Marked { verdict, entries, map: Some(map) });
        }
        if let Some(map) = map_page {
            let marks = point_to(map);
            before();
            store.change(&mut [(&mut open.into_page(), &marks)]);
            return Ok(Marked { verdict, entries, map: Some(map) });
        }
        if !may_create {
            return Ok(Marked { verdict: Verdict { new: 0, ..verdict }, entries, map: None });
        }
        // The list is full. A new page cannot be made under the lock of another, so this
        // leaf is judged again after that: only the session with the exclusion marks entries.
        let map = tombstone::map(&leaf, &verdict.dead);
        drop(open);
        map_page = Some(store.create(&map));
        stop_at(StopPoint::VacuumBeforeMap);
    }
}

/// Marks the entries of the leaf that a position belongs to whose rows this session knows to be
/// dead, if the table says so too: it tells standbys, and lets them cancel queries that may see the
/// rows. The caller has the exclusion, and this is no standby. `may_create`: the index may grow by
/// a page for that. Returns how many were marked.
pub fn mark_killed<S: Update, T: Table<S::Code>>(
    store: &S,
    directory: &mut Directory<S::Code>,
    position: Fence<S::Code>,
    may_create: bool,
    table: &mut T,
) -> Result<usize> {
    directory.refresh(store)?;
    let excluded = Excluded { store, word: directory.state().word };
    let Some(at) = undisturbed(directory.route(&excluded, position))? else { return Ok(0) };
    let known = undisturbed(unmarked(&excluded, directory, at))?;
    directory.killed().were_marked(&PageId::of_leaf(at));
    // The exclusion keeps VACUUM from removing entries, so each heap TID that has one here is still
    // that of its row.
    let mut slots: Vec<u16> = Vec::new();
    let mut removed: Vec<(T::Horizon, Vec<_>)> = Vec::new();
    for some in known.chunks(MOST_AT_ONCE) {
        let candidate =
            |entry: &Entry<S::Code>| Candidate { tid: entry.tid, promising: true, dead: false };
        let mut candidates: Vec<Candidate> = listed(some.iter().map(|(_, entry)| candidate(entry)));
        let horizon = table.find_dead(at.block, &mut candidates, true);
        let answers = || candidates.iter().zip(some).filter(|(candidate, _)| candidate.dead);
        slots.add_all(answers().map(|(_, &(slot, _))| slot));
        removed.add((horizon, listed(answers().map(|(_, &(_, entry))| entry))));
    }
    if slots.is_empty() {
        return Ok(0);
    }
    stop_at(StopPoint::MarkBeforeLock);
    let judge = |leaf: &Leaf<'_, S::Code>| {
        let mut dead = undisturbed(read_tombstones(&excluded, excluded.word, leaf))?.slots();
        let before = dead.len();
        dead.add_all(slots.iter().copied());
        dead.sort_unstable();
        dead.dedup();
        let new = dead.len() - before;
        Ok(Verdict { dead, new })
    };
    let before = || {
        for (horizon, entries) in removed {
            table.before_removal(horizon, &entries);
        }
    };
    let lock = || store.lock(at.block, at.hint);
    Ok(mark(store, at, lock, may_create, judge, before)?.verdict.new)
}

/// The slots of a leaf that this session knows to be dead and that are not marked, with their
/// entries.
fn unmarked<S: Store>(
    excluded: &Excluded<'_, S>,
    directory: &Directory<S::Code>,
    at: LeafRef,
) -> Attempt<Vec<(u16, Entry<S::Code>)>> {
    let Some(known) = directory.killed_in(&PageId::of_leaf(at)) else { return Ok(Vec::new()) };
    let open = read_leaf(excluded, excluded.word, at)?;
    let leaf = open.view();
    let marked = read_tombstones(excluded, excluded.word, &leaf)?.slots();
    let mut marked = marked.into_iter().map(usize::from).peekable();
    let mut is_marked = |slot| {
        while marked.next_if(|&other| other < slot).is_some() {}
        marked.peek() == Some(&slot)
    };
    let is_new = |slot: &usize| known.has(*slot) && !is_marked(*slot);
    let slots: Vec<usize> = listed((0..leaf.entries()).filter(is_new));
    let (Some(&start), Some(&last)) = (slots.first(), slots.last()) else { return Ok(Vec::new()) };
    let entries = leaf.entries_between(start, last + 1)?;
    let known = slots.iter().filter_map(|&slot| Some((slot as u16, entries.get(slot - start)?)));
    Ok(listed(known))
}
