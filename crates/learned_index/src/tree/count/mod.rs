//! Counting: how many entries of some intervals a snapshot sees, mostly without looking at any.
//!
//! What is counted stands on one lemma. Take the state word; after that, read the table's
//! visibility map; after that, lock a leaf while the word is still the same, and read its header
//! and its tombstones. Each entry of the leaf that has no tombstone, and whose heap block the map
//! called all-visible, is of a row that the snapshot sees, if that was taken before the map was
//! read:
//!
//! 1. While the word is the same, the leaf has the same entries, and tombstones are only added. So
//!    the entry was there when the map was read, and had no tombstone.
//! 2. VACUUM gives a heap TID away only after all entries that have it are gone. So when the map
//!    was read, the TID was still that of the entry's row.
//! 3. An all-visible block has no dead line pointer, and only rows that every snapshot sees, old
//!    snapshots included. A transaction that deletes a row clears the block's bit first. If it did
//!    so before the map was read, the map says that the block is not all-visible; if it did so
//!    later, the snapshot is older than the deletion, and still sees the row. A transaction that
//!    inserts a row clears the bit before it puts the entry into a delta tree, so before any merge
//!    could bring the entry into a leaf under this word. The leaves of a new index have the rows
//!    that the table had before, and PostgreSQL does not use the index with a snapshot for which
//!    that would be too many or too few. (Blocks that COPY FREEZE has written are all-visible too
//!    early, for every kind of scan.)
//!
//! So of a leaf without hidden rows, the entries less the tombstones are the answer. Other leaves
//! are looked at block by block, and then entry by entry; an entry in a heap block that the map
//! does not speak for is looked up in the table, under the snapshot. That may come later, when
//! nothing is locked any more: a row that the snapshot sees keeps its TID as long as the snapshot
//! lives, and whatever else gets the TID meanwhile the snapshot does not see. Entries of delta
//! trees are all looked up: they can be newer than what was read of the map.
//!
//! A leaf need not be read again as long as the word stays the same: [`Directory`] remembers how
//! many living entries it has, those without a tombstone when it was read. Take the word, then the
//! map, and then load the word again. VACUUM changes the word when it has marked all that it was
//! told of, before it gives any heap TID away. So while the word is the same, each of these entries
//! has a TID that is still that of its row, whether or not it was marked since; and if the map
//! calls its block all-visible, the snapshot sees the row, by 3. (A row that is dead to all, whose
//! entry a session has marked, is in no such block: its line pointer is still there.)
//!
//! The bits belong to one snapshot and one word: when the word changes, the map is read again. On a
//! standby all of it holds too: replay brings tombstones, freed line pointers and bits in the
//! order of the primary, and cancels the snapshots that would not see a block as the bit says.
//!
//! - this file: the way through the leaves and the delta trees; `map`: the visibility map; `seen`:
//!   copies of leaves
//!
//! A count takes no predicate locks: its caller locks the table for a serializable transaction.

mod map;
mod seen;
#[cfg(test)]
mod tests;

use std::ops::{Deref, Range};

use super::attempt::{Attempt, Interruption};
use super::directory::{Directory, Living, Which};
use super::killed::PageId;
use super::leaf::{LeafRef, OpenLeaf, read_leaf};
use super::scan::Rows;
use super::tombstones::{Tombstones, read_tombstones};
use crate::corruption::{Result, ensure_that};
use crate::entries::Entries;
use crate::entry::{Block, Entry, Fence, HeapTid, Side};
use crate::fault::{Fault, injected};
use crate::key::{Code, Interval, Key, NullClass, Word};
use crate::memory::Add;
use crate::page::PageBytes;
use crate::page::leaf::Leaf;
use crate::stop::{StopPoint, stop_at};
use crate::store::Store;
use map::Map;
pub use map::{BLOCKS_OF_PAGE, MAP_BYTES, MapBytes};
pub use seen::SeenLeaf;

pub use crate::codec::Words;
pub use crate::page::slots::CodesOfSlots;

/// Leaves that are counted in one step, where all entries of an interval are, besides those that
/// are remembered. Small indexes of tests take several steps.
const LEAVES_AT_ONCE: usize = if cfg!(test) { 2 } else { 64 };
/// Leaves that are asked for ahead of the one that is read.
const LEAVES_AHEAD: usize = 16;
/// Entries of delta trees after which a step ends.
const ENTRIES_AT_ONCE: usize = 8192;
/// Rows to look up after which a step ends; and that are looked up together, unless the caller has
/// memory for more.
const ROWS_AT_ONCE: usize = 8192;

/// What a table says of its rows, to a count under a snapshot.
pub trait CountedTable: Rows {
    /// How many blocks it has.
    fn blocks(&mut self) -> u32;
    /// Reads a page of its visibility map, from 0: two bits for each block.
    fn read_map(&mut self, page: u32, bytes: &mut MapBytes);
}

/// What was counted, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Rows that the snapshot sees.
    pub rows: u64,
    /// Leaves that were counted: reads of leaves, and leaves that are remembered.
    pub leaves: u64,
    /// Entries of leaves that were looked at one by one.
    pub decoded: u64,
    /// Rows that were looked up in the table: those of delta trees included.
    pub looked_up: u64,
}

/// A count that goes on from step to step. It keeps its memory.
pub struct Count<C = Word> {
    /// Everything before this position is counted.
    reached: Fence<C>,
    /// What was read of the visibility map under the state with this word.
    map: Map,
    word: Option<u64>,
    counted: Counted,
    /// Of the step: what it counts, entries of delta trees, and rows to look up.
    step: Counted,
    /// Whether the step counts leaves without reading them.
    knew: bool,
    fresh: Vec<Entry<C>>,
    doubtful: Vec<HeapTid>,
    /// Rows of earlier steps that are to be looked up, and how many are looked up together.
    waiting: Vec<HeapTid>,
    at_once: usize,
    /// Memory for what is decoded.
    tids: Vec<HeapTid>,
    entries: Entries<C>,
}

/// Which entries of the intervals are counted.
#[derive(Clone, Copy)]
pub struct CodeFilter<'f, C> {
    /// Whether entries with a code are counted.
    pub passes: &'f dyn Fn(&C) -> bool,
    /// For a code that does not pass, the first greater one that does, if there is one.
    pub next: &'f dyn Fn(C) -> Option<C>,
}

impl<C: Code> CodeFilter<'_, C> {
    /// The first position at or after one where entries may pass.
    fn first_from(&self, position: Fence<C>) -> Fence<C> {
        if position.class != NullClass::Value as u8 || (self.passes)(&position.code) {
            return position;
        }
        match (self.next)(position.code) {
            Some(code) => position.max(Fence::before(Key::value(code))),
            None => position.end_of_class(),
        }
    }
}

impl<C: Code> Default for Count<C> {
    fn default() -> Count<C> {
        Count {
            reached: Fence::MIN,
            map: Map::default(),
            word: None,
            counted: Counted::default(),
            step: Counted::default(),
            knew: false,
            fresh: Vec::new(),
            doubtful: Vec::new(),
            waiting: Vec::new(),
            at_once: ROWS_AT_ONCE,
            tids: Vec::new(),
            entries: Entries::default(),
        }
    }
}

impl<C: Code> Count<C> {
    /// A count that collects up to `rows` doubtful rows, 8 bytes each, before it sorts them in the
    /// order of the table and looks them up; 8192 if `rows` is less.
    pub fn looking_up(rows: usize) -> Count<C> {
        Count { at_once: rows.max(ROWS_AT_ONCE), ..Count::default() }
    }

    /// Begins to count other intervals, under the same snapshot.
    pub fn restart(&mut self) {
        self.restart_from(Fence::MIN);
    }

    /// The same, but for what is before a position.
    pub fn restart_from(&mut self, position: Fence<C>) {
        self.reached = position;
        self.counted = Counted::default();
    }

    /// Gives memory back that was needed for many rows. What was read of the map stays.
    pub fn rest(&mut self) {
        (self.doubtful, self.waiting) = (Vec::new(), Vec::new());
        (self.fresh, self.tids) = (Vec::new(), Vec::new());
        self.entries = Entries::default();
    }

    /// What was counted since the count began.
    pub fn counted(&self) -> Counted {
        self.counted
    }

    /// Counts some more entries of sorted, disjoint intervals. Whether there may be more. The
    /// snapshot of the table was taken before the first call.
    ///
    /// # Errors
    /// If a page is damaged.
    pub fn step<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        intervals: &[Interval<C>],
        filter: Option<CodeFilter<'_, C>>,
        table: &mut impl CountedTable,
    ) -> Result<bool> {
        loop {
            directory.refresh(store)?;
            self.step = Counted::default();
            self.knew = false;
            self.fresh.clear();
            self.doubtful.clear();
            match self.try_step(store, directory, intervals, filter, table) {
                Err(Interruption::Corrupted(corruption)) => return Err(corruption),
                Err(Interruption::Changed) => {}
                Ok(None) => {
                    self.look_up(table);
                    return Ok(false);
                }
                Ok(Some(reached)) => {
                    self.reached = reached;
                    self.add_step();
                    if self.waiting.len() >= self.at_once {
                        self.look_up(table);
                    }
                    return Ok(true);
                }
            }
        }
    }

    /// Adds what the step has found.
    fn add_step(&mut self) {
        self.counted.rows += self.step.rows;
        self.counted.leaves += self.step.leaves;
        self.counted.decoded += self.step.decoded;
        self.waiting.add_all(self.doubtful.drain(..));
        self.waiting.add_all(self.fresh.drain(..).map(|entry| entry.tid));
    }

    /// Looks up what the leaves and the map did not tell.
    fn look_up(&mut self, table: &mut impl CountedTable) {
        // Neighbours in the table are read together.
        self.waiting.sort_unstable();
        let seen = self.waiting.iter().filter(|&&tid| table.sees(tid)).count();
        self.counted.rows += seen as u64;
        self.counted.looked_up += self.waiting.len() as u64;
        self.waiting.clear();
    }

    /// One step under one state. Returns up to where everything is counted then; `None` if that was
    /// so before.
    fn try_step<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        intervals: &[Interval<C>],
        filter: Option<CodeFilter<'_, C>>,
        table: &mut impl CountedTable,
    ) -> Attempt<Option<Fence<C>>> {
        let done = intervals.partition_point(|i| Fence::after(i.high) <= self.reached);
        let Some(interval) = intervals.get(done) else { return Ok(None) };
        let mut from = self.reached.max(Fence::before(interval.low));
        let mut bound = Fence::after(interval.high);
        if let Some(filter) = filter {
            from = filter.first_from(from);
            if from >= bound {
                return Ok(Some(bound));
            }
        }
        let word = directory.state().word;
        self.follow_word(word, table);
        directory.remember_living_from_now_on();
        let (leaf, leaves) = (directory.route(store, from)?, directory.leaves());
        let first = leaf.map_or(0, |leaf| leaf.ordinal);
        let stop = end_of_step(store, directory, (first, bound), filter.is_some())?;
        if stop < leaves {
            directory.leaf(store, stop)?;
            bound = bound.min(directory.low(store, stop)?);
        }
        if self.map.unread() > 0 && self.map.unread() <= stop - first {
            stop_at(StopPoint::CountBeforeMap);
            self.map.read_all(table);
            stop_at(StopPoint::CountBeforeLeaf);
        }
        for which in [Which::Active, Which::Frozen] {
            bound = self.collect_fresh(store, directory, which, (from, bound))?;
        }
        let (mut next, mut position) = (leaf, from);
        while let Some(at) = next.take_if(|_| position < bound) {
            let mut ordinal = at.ordinal;
            if filter.is_none() {
                ordinal += self.count_known(directory, ordinal, (position, bound));
            }
            if ordinal > at.ordinal {
                position = directory.low(store, ordinal)?;
            } else {
                self.ask_ahead(store, directory, (ordinal, stop), bound)?;
                let asked = (position, bound);
                position = self.count_leaf(store, directory, at, asked, filter, table)?;
                if self.doubtful.len() >= ROWS_AT_ONCE {
                    bound = bound.min(position);
                }
                ordinal += 1;
            }
            if ordinal < leaves && position < bound {
                next = Some(directory.leaf(store, ordinal)?);
            }
        }
        if self.knew && store.word() != word && !injected(Fault::KeepLiving) {
            return Err(Interruption::Changed);
        }
        ensure_that(leaf.is_none() || position >= bound, "leaves up to the end")?;
        self.fresh.retain(|&entry| {
            Fence::at(entry) < bound && filter.is_none_or(|filter| (filter.passes)(&entry.key.code))
        });
        Ok(Some(bound))
    }

    /// Forgets what was read of the map under another word.
    fn follow_word(&mut self, word: u64, table: &mut impl CountedTable) {
        if self.word != Some(word) && !(self.word.is_some() && injected(Fault::KeepMap)) {
            self.map.begin(table);
            self.word = Some(word);
        }
    }

    /// Counts leaves of which the directory remembers how many living entries they have: from one
    /// on, if it begins at a position, as far as they end before another one and everybody sees all
    /// their rows. Returns how many leaves that are.
    fn count_known(
        &mut self,
        directory: &Directory<C>,
        first: usize,
        (position, bound): (Fence<C>, Fence<C>),
    ) -> usize {
        let known = directory.living_from(first);
        let is_clean = self.map.is_clean();
        let (mut rows, mut leaves) = (0, 0);
        for living in known {
            let begins = leaves > 0 || directory.known_low(first) == position;
            let ends = directory.known_low(first + leaves + 1) <= bound;
            let is_seen = is_clean || self.map.are_clean(&living.heap_blocks());
            if !(begins && ends && is_seen) {
                break;
            }
            rows += living.entries();
            leaves += 1;
        }
        self.step.rows += rows;
        self.step.leaves += leaves as u64;
        self.knew |= leaves > 0;
        leaves
    }

    /// Asks for leaves that come soon, up to a position, where they are to be read from disk.
    fn ask_ahead<S: Store<Code = C>>(
        &self,
        store: &S,
        directory: &mut Directory<C>,
        (ordinal, stop): (usize, usize),
        bound: Fence<C>,
    ) -> Attempt<()> {
        if !ordinal.is_multiple_of(LEAVES_AHEAD) || !directory.is_resident() {
            return Ok(());
        }
        for ahead in ordinal + 1..stop.min(ordinal + 1 + 2 * LEAVES_AHEAD) {
            if directory.has_hint(ahead) {
                continue;
            }
            let leaf = directory.leaf(store, ahead)?;
            if directory.low(store, ahead)? >= bound {
                break;
            }
            directory.remember_hint(leaf, store.prefetch(leaf.block));
        }
        Ok(())
    }

    /// Collects the entries of a delta tree between two positions: as many as a step may have.
    /// Returns up to where these are all.
    fn collect_fresh<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        which: Which,
        (from, mut bound): (Fence<C>, Fence<C>),
    ) -> Attempt<Fence<C>> {
        let state = *directory.state();
        // Below the watermark a frozen tree has nothing, whatever its pages still say.
        let mut position = if which == Which::Frozen { from.max(state.watermark) } else { from };
        while position < bound {
            let Some((routes, killed)) = directory.delta_and_killed(store, which)? else {
                return Ok(bound);
            };
            let open = routes.read_leaf(store, state.word, position, Side::At)?;
            let node = open.view();
            let killed = killed.of(&PageId::of_delta(&node));
            node.visit(position, node.high().min(bound), |slot, entry| {
                if killed.is_none_or(|killed| !killed.has(slot)) {
                    self.fresh.push(entry);
                }
            })?;
            position = node.high();
            if self.fresh.len() >= ENTRIES_AT_ONCE {
                bound = bound.min(position);
            }
        }
        Ok(bound)
    }

    /// Counts what a leaf has between two positions, the first of which is its own. Returns the
    /// second one, or where the leaf ends if that comes first.
    fn count_leaf<S: Store<Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        at: LeafRef,
        (from, bound): (Fence<C>, Fence<C>),
        filter: Option<CodeFilter<'_, C>>,
        table: &mut impl CountedTable,
    ) -> Attempt<Fence<C>> {
        let word = directory.state().word;
        loop {
            let open = read_leaf(store, word, at)?;
            open.check_holds(Side::At, from)?;
            let leaf = open.view();
            directory.remember(open.at, &leaf);
            let bound = bound.min(leaf.high());
            let start = if from == leaf.low() { 0 } else { leaf.slot_of(from)? };
            let end = if bound == leaf.high() { leaf.entries() } else { leaf.slot_of(bound)? };
            let slots = start..end.max(start);
            if slots.is_empty() {
                self.step.leaves += 1;
                return Ok(bound);
            }
            if self.map.is_clean() {
                directory.remember_living(at.ordinal, &leaf, Living::of(&leaf, None));
                self.count_slots(store, word, &open, slots, true, filter)?;
                return Ok(bound);
            }
            let blocks = heap_blocks(&leaf, &slots)?;
            if slots.len() == leaf.entries() {
                directory.remember_living(at.ordinal, &leaf, Living::of(&leaf, Some(&blocks)));
            }
            if self.map.has_read(&blocks) {
                let is_clean = self.map.are_clean(&blocks);
                self.count_slots(store, word, &open, slots, is_clean, filter)?;
                return Ok(bound);
            }
            let first_look = injected(Fault::MapAfterLeaf).then(|| open.copied());
            drop(open);
            stop_at(StopPoint::CountBeforeMap);
            self.map.read(&blocks, table);
            stop_at(StopPoint::CountBeforeLeaf);
            if let Some(first_look) = first_look {
                let is_clean = self.map.are_clean(&blocks);
                self.count_slots(store, word, &first_look, slots, is_clean, filter)?;
                return Ok(bound);
            }
        }
    }

    /// Counts the entries of some slots of a leaf, which is locked. `is_clean` says whether the
    /// map tells that everybody sees the rows of all of them.
    fn count_slots<S: Store<Code = C>, P: Deref<Target = PageBytes>>(
        &mut self,
        store: &S,
        word: u64,
        open: &OpenLeaf<P, C>,
        slots: Range<usize>,
        is_clean: bool,
        filter: Option<CodeFilter<'_, C>>,
    ) -> Attempt<()> {
        let leaf = open.view();
        self.step.leaves += 1;
        if filter.is_none() && is_clean {
            let dead = match leaf.tombstones() {
                0 => 0,
                all if slots.len() == leaf.entries() => all,
                _ => read_tombstones(store, word, &leaf)?.count_within(&slots),
            };
            self.step.rows += slots.len().saturating_sub(dead) as u64;
            return Ok(());
        }
        let dead = match leaf.tombstones() {
            0 => None,
            _ => Some(read_tombstones(store, word, &leaf)?),
        };
        match filter {
            None => self.count_blocks(&leaf, slots, dead.as_ref()),
            Some(filter) => self.count_entries(&leaf, slots, dead.as_ref(), filter.passes),
        }
    }

    /// Counts the entries of some slots block by block.
    fn count_blocks<P: Deref<Target = PageBytes>>(
        &mut self,
        leaf: &Leaf<'_, C>,
        slots: Range<usize>,
        dead: Option<&Tombstones<'_, P, C>>,
    ) -> Attempt<()> {
        let Count { map, step, tids, doubtful, .. } = self;
        leaf.visit_tids(slots, |block| {
            if map.are_clean(&block.heap_blocks()) {
                let dead = dead.map_or(0, |dead| dead.count_within(&block.slots));
                step.rows += block.slots.len().saturating_sub(dead) as u64;
                return;
            }
            tids.clear();
            block.decode(tids);
            step.decoded += tids.len() as u64;
            let living = block.slots.clone().zip(tids.iter());
            let living = living.filter(|&(slot, _)| dead.is_none_or(|dead| !dead.has(slot)));
            tell_apart(map, living.map(|(_, &tid)| tid), step, doubtful);
        })?;
        Ok(())
    }

    /// Counts the entries of some slots whose codes pass a filter.
    fn count_entries<P: Deref<Target = PageBytes>>(
        &mut self,
        leaf: &Leaf<'_, C>,
        slots: Range<usize>,
        dead: Option<&Tombstones<'_, P, C>>,
        passes: &dyn Fn(&C) -> bool,
    ) -> Attempt<()> {
        let Count { map, step, entries, doubtful, .. } = self;
        entries.clear();
        entries.set_class(leaf.class());
        leaf.decode(slots.start, slots.end, entries)?;
        step.decoded += slots.len() as u64;
        let all = slots.zip(entries.codes().iter().zip(entries.tids()));
        let counted = all
            .filter(|&(slot, (code, _))| passes(code) && dead.is_none_or(|dead| !dead.has(slot)));
        tell_apart(map, counted.map(|(_, (_, &tid))| tid), step, doubtful);
        Ok(())
    }
}

/// Up to which leaf a step goes from one on, if it gets so far: leaves that are remembered are left
/// out of account.
fn end_of_step<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    (first, bound): (usize, Fence<S::Code>),
    is_filtered: bool,
) -> Attempt<usize> {
    let leaves = directory.leaves();
    // Behind a leaf, a filter may want nothing of the next ones.
    let stop = leaves.min(first + if is_filtered { 1 } else { LEAVES_AT_ONCE });
    if stop == leaves || is_filtered {
        return Ok(stop);
    }
    directory.leaf(store, stop)?;
    Ok(match directory.low(store, stop)? < bound {
        true => leaves.min(stop + directory.living_from(stop).count()),
        false => stop,
    })
}

/// Adds living entries to what is counted, or to what is to be looked up.
fn tell_apart(
    map: &Map,
    living: impl Iterator<Item = HeapTid>,
    step: &mut Counted,
    doubtful: &mut Vec<HeapTid>,
) {
    let mut last: Option<(Block, bool)> = None;
    for tid in living {
        let block = tid.block();
        let is_clean = match last {
            Some((same, is_clean)) if same == block => is_clean,
            _ => map.is_clean() || map.are_clean(&(block..=block)),
        };
        last = Some((block, is_clean));
        match is_clean {
            true => step.rows += 1,
            false => doubtful.add(tid),
        }
    }
}

/// Two heap blocks between which those of the slots of a range lie.
fn heap_blocks<C: Code>(
    leaf: &Leaf<'_, C>,
    slots: &Range<usize>,
) -> Result<std::ops::RangeInclusive<Block>> {
    let (mut first, mut last) = (Block::MAX, 0);
    leaf.visit_tids(slots.clone(), |block| {
        let blocks = block.heap_blocks();
        (first, last) = (first.min(*blocks.start()), last.max(*blocks.end()));
    })?;
    Ok(first..=last)
}
