//! Remembering which of the entries that a scan has returned are of rows that are dead to all, as
//! its caller found.
//!
//! What is remembered must be the slot that an entry was copied from. An entry that is looked for
//! by its key and heap TID may be another one by then: VACUUM may have taken the first one out, and
//! its TID may be that of a new row with the same key. So slots are looked for only as long as they
//! mean what they meant when the portion was copied: in leaves and the frozen delta tree under the
//! same word, and in a leaf of a delta tree as long as it is the same [`PageId`], and among the
//! entries that it had then. Two entries that are in the index at one time are never equal.

use std::ops::Range;

use super::{LARGEST_PORTION, Scan, Stand};
use crate::corruption::Result;
use crate::entry::{Entry, Fence, Side};
use crate::fault::{Fault, injected};
use crate::key::{Code, Word};
use crate::memory::with_room;
use crate::page::leaf::Leaf;
use crate::store::Store;
use crate::tree::attempt::{Attempt, settled};
use crate::tree::directory::{Directory, Which};
use crate::tree::killed::{MoreDead, PageId};
use crate::tree::leaf::{LeafRef, read_leaf};
use crate::tree::routes::read_node;

/// A scan takes at most this many entries for dead before it looks for their slots: a portion has
/// no more.
const MOST_AT_ONCE: usize = 2 * LARGEST_PORTION;
/// Entries of a leaf between two that are dead, for each dead one, up to which all of them are
/// decoded at once.
const DENSE: usize = 16;

/// Positions of pages with enough dead entries for a record in the log that marks them for all
/// sessions.
#[derive(Clone, Copy, Debug)]
pub struct ManyDead<C = Word> {
    /// In a leaf, for [`crate::tree::mark::mark_killed`].
    pub in_leaf: Option<Fence<C>>,
    /// In a leaf of the active delta tree, for [`crate::tree::delta::remove_killed`].
    pub in_active: Option<Fence<C>>,
}

/// Where a portion was copied from, and which of its entries are dead.
pub(super) struct Kills<C> {
    /// The state that it was copied under.
    pub(super) word: u64,
    /// Leaves of delta trees that it has entries of, and how many each had then.
    pub(super) deltas: [Option<(PageId<C>, usize)>; 2],
    /// Entries whose rows are dead.
    entries: Vec<Entry<C>>,
    /// Where dead entries of a leaf were found last that are not marked.
    unmarked: Option<Fence<C>>,
}

impl<C> Default for ManyDead<C> {
    fn default() -> ManyDead<C> {
        ManyDead { in_leaf: None, in_active: None }
    }
}

impl<C: Code> Kills<C> {
    /// Nothing of no portion yet.
    pub(super) const fn none() -> Kills<C> {
        Kills { word: 0, deltas: [None; 2], entries: Vec::new(), unmarked: None }
    }

    /// Forgets what was said, and not remembered.
    #[inline]
    pub(super) fn forget(&mut self) {
        self.entries.clear();
    }
}

impl<C: Code, P> Scan<P, C> {
    /// Says that the row of the entry which was returned last is dead: no snapshot sees it, nor
    /// another of its HOT chain, and none ever will. Not to be said on a standby, whose primary
    /// goes by other snapshots.
    #[inline]
    pub fn kill_current(&mut self) {
        // A merge join or a cursor that goes back meets the same dead rows again.
        if let Stand::At(entry) = self.stand
            && self.kills.entries.len() < MOST_AT_ONCE
        {
            self.kills.entries.push(entry);
        }
    }

    /// Whether [`Scan::kill_current`] was called for the portion that the scan is in, or, if the
    /// scan ends, for one before.
    #[inline]
    pub fn has_kills(&self, ends: bool) -> bool {
        !self.kills.entries.is_empty() || (ends && self.kills.unmarked.is_some())
    }

    /// Remembers the slots of the entries that were said to be dead, as far as that is possible.
    /// Must come before another portion is copied. `ends`: none will be.
    pub fn remember_kills<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        ends: bool,
    ) -> Result<ManyDead<C>> {
        let more = if ends { MoreDead::Later } else { MoreDead::Soon };
        let mut entries = std::mem::take(&mut self.kills.entries);
        entries.sort_unstable();
        entries.dedup();
        self.work.dead += entries.len() as u64;
        if injected(Fault::KillByTid) {
            directory.refresh(store)?;
        }
        let same = directory.state().word == self.kills.word || injected(Fault::KillByTid);
        let mut many = ManyDead::default();
        if same && !entries.is_empty() {
            many = settled(self.remember(store, directory, &entries, more))?.unwrap_or_default();
        }
        if ends && let Some(position) = self.kills.unmarked.take() {
            // Whoever marks looks the leaf up again, under the state that is current by then.
            many.in_leaf = many.in_leaf.or(Some(position));
        }
        entries.clear();
        self.kills.entries = entries;
        Ok(many)
    }

    fn remember<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        entries: &[Entry<C>],
        more: MoreDead,
    ) -> Attempt<ManyDead<C>> {
        let mut many = ManyDead::default();
        let mut left = entries.len();
        for (which, from) in [Which::Active, Which::Frozen].into_iter().zip(self.kills.deltas) {
            let Some(from) = from else { continue };
            let (found, many_dead) = remember_in_delta(store, directory, from, entries, more)?;
            left -= found.min(left);
            if which == Which::Active {
                many.in_active = many_dead;
            }
        }
        // Mostly one page has all of them.
        let mut rest = if left == 0 { &[] } else { entries };
        while let Some(&first) = rest.first() {
            let Some(at) = directory.route(store, Fence::at(first))? else { break };
            let open = read_leaf(store, directory.state().word, at)?;
            open.check_holds(Side::At, Fence::at(first))?;
            let leaf = open.view();
            let high = leaf.high();
            let within = rest.partition_point(|&entry| Fence::at(entry) < high).max(1);
            let page_id = PageId::of_leaf(at);
            let slots = remember_in_leaf(directory, &leaf, at, &rest[..within])?;
            let all = slots.start == 0 || slots.end == leaf.entries();
            let more = if all { MoreDead::Never } else { more };
            let killed = directory.killed();
            if killed.is_worth_marking(&page_id, more) {
                many.in_leaf = Some(Fence::at(first));
                self.kills.unmarked = None;
            } else if killed.is_worth_marking(&page_id, MoreDead::Later) {
                self.kills.unmarked = Some(Fence::at(first));
            }
            rest = &rest[within..];
        }
        Ok(many)
    }
}

/// Remembers the entries that are in a leaf. Returns between which slots they are.
fn remember_in_leaf<C: Code>(
    directory: &mut Directory<C>,
    leaf: &Leaf<'_, C>,
    at: LeafRef,
    entries: &[Entry<C>],
) -> Attempt<Range<usize>> {
    let (Some(&first), Some(&last)) = (entries.first(), entries.last()) else { return Ok(0..0) };
    let (start, end) = (leaf.slot_of(Fence::at(first))?, leaf.slot_of(Fence::past(last))?);
    let mut slots: Vec<usize> = with_room(entries.len());
    if end.saturating_sub(start) <= DENSE * entries.len() {
        let mut wanted = entries.iter().peekable();
        for (slot, found) in leaf.entries_between(start, end)?.iter().enumerate() {
            while wanted.next_if(|&&wanted| wanted < found).is_some() {}
            if wanted.next_if(|&&wanted| wanted == found).is_some() {
                slots.push(start + slot);
            }
        }
    } else {
        for &entry in entries {
            let slot = leaf.slot_of(Fence::at(entry))?;
            if slot < leaf.entries() && leaf.entry(slot)? == entry {
                slots.push(slot);
            }
        }
    }
    if !slots.is_empty() {
        directory.killed().add_all(PageId::of_leaf(at), slots);
    }
    Ok(start..end)
}

/// Remembers the entries that are in a leaf of a delta tree, if it has all those still that were
/// copied. Returns how many were found, and where one of them is, if many are dead there.
fn remember_in_delta<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    (page_id, count): (PageId<S::Code>, usize),
    entries: &[Entry<S::Code>],
    more: MoreDead,
) -> Attempt<(usize, Option<Fence<S::Code>>)> {
    let PageId::Delta { block, name, .. } = page_id else { return Ok((0, None)) };
    let open = read_node(store, directory.state().word, name, block, 0)?;
    let node = open.view();
    if node.level() > 0 {
        // The root: its entries have moved down.
        return Ok((0, None));
    }
    let now = PageId::of_delta(&node);
    if now != page_id && !injected(Fault::KillByTid) {
        return Ok((0, None));
    }
    let (Some(&first), Some(&last)) = (entries.first(), entries.last()) else {
        return Ok((0, None));
    };
    let killed = directory.killed();
    let (mut found, mut last_found) = (0, None);
    node.visit(Fence::at(first), Fence::past(last), |slot, entry| {
        let was_copied = slot < count || injected(Fault::KillByTid);
        if was_copied && entries.binary_search(&entry).is_ok() {
            killed.add(now, slot);
            (found, last_found) = (found + 1, Some(Fence::at(entry)));
        }
    })?;
    Ok((found, last_found.filter(|_| killed.is_worth_marking(&now, more))))
}
