//! Copying a portion of the matches: out of one leaf of each delta tree, and one learned leaf.

use super::dead::may_have_dead;
use super::{Direction, Guard, Scan, Source};
use crate::corruption::Result;
use crate::entry::{Entry, Fence, Side};
use crate::fault::{Fault, injected};
use crate::key::{Code, Interval, Key, NullClass};
use crate::memory::Add;
use crate::page::delta::Delta;
use crate::page::leaf::{Leaf, taken};
use crate::stop::{StopPoint, stop_at};
use crate::store::Store;
use crate::tree::attempt::Attempt;
use crate::tree::directory::{Directory, Which};
use crate::tree::killed::{PageId, Slots};
use crate::tree::leaf::{LeafRef, OpenLeaf, read_leaf};

/// Keys of a list whose leaves are asked for ahead of reading them, from disk and from memory.
const KEYS_AHEAD: usize = 16;
/// The most leaves of a delta tree that are passed at once, where they have nothing but dead
/// entries.
const LEAVES_AT_ONCE: usize = 16;

impl<C: Code, P> Scan<P, C> {
    /// Copies a portion of the first matches at or after a position.
    pub(super) fn copy_from<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        mut from: Fence<C>,
    ) -> Attempt<bool> {
        // A list of keys may have each in a leaf of its own: some of them make a portion, unless
        // pages have to stay pinned or be looked at again, or delta trees have a part in it.
        let alone = self.intervals.as_slice().len() == 1
            || self.guard != Guard::Nothing
            || directory.state().has_delta();
        let mut leaves = if alone { 1 } else { self.leaves };
        self.leaves = (2 * self.leaves).min(KEYS_AHEAD);
        loop {
            let index = self.interval_after(from);
            let intervals = self.intervals.as_slice();
            let Some(interval) = intervals.get(index) else { return Ok(!self.copied.is_empty()) };
            let end = intervals.last().map_or(Fence::MIN, end_of);
            from = from.max(Fence::before(interval.low));
            if from.class == NullClass::NullsFirst as u8 && !directory.identity().nulls_first() {
                from = Fence::start_of(NullClass::Value);
                continue;
            }
            let class = from.null_class()?;
            if !self.copied.is_empty() && class != self.copied.class() {
                return Ok(true);
            }
            self.copied.set_class(class);
            self.ask_ahead(store, directory, index)?;
            // The leaf comes last; while delta trees are read, what is read of it may be on its
            // way.
            directory.warm_deltas(store, from)?;
            let mut leaf = directory.route(store, from)?;
            if let Some(at) = leaf {
                directory.warm(store, at, from.code);
            }
            // Up to where the portion is complete: every source may end it earlier.
            let mut bound = end.min(from.end_of_class());
            if let Some(high) = leaf.and_then(|at| directory.known_high(at)) {
                // What a delta tree has behind the leaf is of no use to this portion.
                bound = bound.min(high);
            }
            bound = self.copy_deltas(store, directory, Direction::Forward, (from, bound))?;
            if injected(Fault::KeepCopies) {
                directory.refresh(store)?;
                leaf = directory.route(store, from)?;
            }
            bound = self.copy_leaf(store, directory, Direction::Forward, leaf, (from, bound))?;
            self.merge_fresh(Direction::Forward, bound);
            self.exhausted = (bound >= end).then_some(Direction::Forward);
            leaves -= 1;
            let full = leaves == 0 || self.copied.len() >= self.portion;
            if !self.copied.is_empty() && (full || bound >= end) {
                return Ok(true);
            }
            if self.copied.is_empty() {
                leaves = leaves.max(1);
                self.release_copied(store);
            }
            from = bound;
        }
    }

    /// The first interval that ends after a position: mostly the one that was found the last time,
    /// or the next.
    #[inline]
    fn interval_after(&mut self, from: Fence<C>) -> usize {
        let intervals = self.intervals.as_slice();
        let ends_after = |index: usize| intervals.get(index).is_none_or(|i| end_of(i) > from);
        let near = [self.interval, self.interval + 1].into_iter().find(|&index| {
            ends_after(index)
                && (index == 0 || intervals.get(index - 1).is_some_and(|i| end_of(i) <= from))
        });
        self.interval = near.unwrap_or_else(|| intervals.partition_point(|i| end_of(i) <= from));
        self.interval
    }

    /// Copies the first matches between two positions, or the last, out of one leaf of each delta
    /// tree. Returns how far that is all there is.
    fn copy_deltas<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        direction: Direction,
        (mut from, mut to): (Fence<C>, Fence<C>),
    ) -> Attempt<Fence<C>> {
        self.fresh.clear();
        self.kills.deltas = [None; 2];
        for which in [Which::Active, Which::Frozen] {
            let what = (which, direction);
            let bound = self.copy_delta(store, directory, what, (from, to), LEAVES_AT_ONCE)?;
            match direction {
                Direction::Forward => to = bound,
                Direction::Backward => from = bound,
            }
        }
        Ok(match direction {
            Direction::Forward => to,
            Direction::Backward => from,
        })
    }

    /// Copies the first matches between two positions, or the last, out of one leaf of a delta
    /// tree. The leaves on the way to it, `at_once` less one at most, have nothing but dead
    /// entries. Returns how far that is all there is.
    fn copy_delta<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        (which, direction): (Which, Direction),
        (mut from, to): (Fence<C>, Fence<C>),
        at_once: usize,
    ) -> Attempt<Fence<C>> {
        let all = match direction {
            Direction::Forward => to,
            Direction::Backward => from,
        };
        if which == Which::Frozen {
            // Below the watermark a frozen tree has nothing, whatever its pages still say.
            from = from.max(directory.state().watermark);
        }
        let word = directory.state().word;
        let Some((routes, killed)) = directory.delta_and_killed(store, which)? else {
            return Ok(all);
        };
        if from >= to {
            return Ok(all);
        }
        let open = match direction {
            Direction::Forward => routes.read_leaf(store, word, from, Side::At)?,
            Direction::Backward => routes.read_leaf(store, word, to, Side::Before)?,
        };
        let node = open.view();
        let (low, high) = (node.low().max(from), node.high().min(to));
        // What is left to other leaves, and up to where this one has all there is.
        let (rest, reached) = match direction {
            Direction::Forward => ((high, to), high),
            Direction::Backward if low == from => ((low, low), all),
            Direction::Backward => ((all, low), low),
        };
        if rest.0 < rest.1 && at_once > 1 {
            // Where rows are deleted in the order of the key, many leaves have nothing but dead
            // entries, or nothing.
            let (page_id, count) = (PageId::of_delta(&node), node.len());
            if count == 0 || killed.of(&page_id).is_some_and(|killed| killed.has_all(count)) {
                drop(open);
                return self.copy_delta(store, directory, (which, direction), rest, at_once - 1);
            }
        }
        let of_one_code = high <= Fence::after(Key::value(low.code));
        if low.class == NullClass::Value as u8
            && of_one_code
            && !routes.may_have(&node, low.code)?
        {
            return Ok(reached);
        }
        let page_id = PageId::of_delta(&node);
        let killed = directory.killed_in(&page_id);
        if self.copy_fresh(&node, killed, low, high)? {
            self.kills.deltas[which as usize] = Some((page_id, node.len()));
            self.keep::<S>(open.into_page());
        }
        Ok(reached)
    }

    /// Copies the matches of a delta tree's leaf between two positions, but for the slots that are
    /// known to be dead. Returns whether there are any.
    fn copy_fresh(
        &mut self,
        node: &Delta<'_, C>,
        killed: Option<&Slots>,
        from: Fence<C>,
        to: Fence<C>,
    ) -> Result<bool> {
        let (before, fresh) = (self.fresh.len(), &mut self.fresh);
        match killed {
            None => node.collect(from, to, fresh)?,
            Some(killed) => node.visit(from, to, |slot, entry| {
                if !killed.has(slot) {
                    fresh.push(entry);
                }
            })?,
        }
        // The two positions are within the first interval and the last.
        let intervals = self.intervals.as_slice();
        if intervals.len() > 1 {
            let mut kept = before;
            for read in before..self.fresh.len() {
                let entry = self.fresh[read];
                let after = intervals.partition_point(|interval| interval.high < entry.key);
                if intervals.get(after).is_some_and(|interval| interval.contains(entry.key)) {
                    self.fresh[kept] = entry;
                    kept += 1;
                }
            }
            self.fresh.truncate(kept);
        }
        Ok(self.fresh.len() > before)
    }

    /// Unlocks a page, and keeps it pinned if the scan has to.
    fn keep<S: Store<Pin = P, Code = C>>(&mut self, page: S::Page<'_>) {
        if self.guard == Guard::Pins {
            self.pins.push(S::pin(page));
        }
    }

    /// [`Scan::keep`] of a leaf that has `dead` tombstones.
    #[inline]
    pub(super) fn keep_leaf<S: Store<Pin = P, Code = C>>(
        &mut self,
        page: S::Page<'_>,
        dead: usize,
    ) {
        if self.guard == Guard::Checks {
            self.source = Some(Source { pin: S::pin(page), dead });
        } else {
            self.keep::<S>(page);
        }
    }

    /// Puts the matches of the delta trees among those of a leaf, as far as that is all there is.
    fn merge_fresh(&mut self, direction: Direction, reached: Fence<C>) {
        self.reached = reached;
        self.fresh.retain(|&entry| match direction {
            Direction::Forward => Fence::at(entry) < reached,
            Direction::Backward => Fence::at(entry) >= reached,
        });
        if self.fresh.is_empty() {
            return;
        }
        self.work.unmerged += self.fresh.len() as u64;
        self.fresh.sort_unstable();
        self.merged.merge(&self.copied, &self.fresh);
        std::mem::swap(&mut self.copied, &mut self.merged);
    }

    /// Copies the first matches between two positions, or the last, out of the leaf there, if there
    /// is one. Returns how far that is all there is.
    #[inline]
    fn copy_leaf<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        direction: Direction,
        leaf: Option<LeafRef>,
        (mut from, mut to): (Fence<C>, Fence<C>),
    ) -> Attempt<Fence<C>> {
        let (side, near, far) = match direction {
            Direction::Forward => (Side::At, from, to),
            Direction::Backward => (Side::Before, to, from),
        };
        let Some(at) = leaf else { return Ok(far) };
        stop_at(StopPoint::ScanBeforeLeaf);
        let open = read_leaf(store, directory.state().word, at)?;
        open.check_holds(side, near)?;
        self.work.read(at.routed);
        let leaf = open.view();
        match direction {
            Direction::Forward => to = to.min(leaf.high()),
            Direction::Backward => from = from.max(leaf.low()),
        }
        if let &[interval] = self.intervals.as_slice() {
            let range = (from.max(Fence::before(interval.low)), to.min(end_of(&interval)));
            let living = self.skip_dead(store, directory, &leaf, at, range, direction)?;
            match direction {
                Direction::Forward => from = living.0,
                Direction::Backward => to = living.1,
            }
        }
        // Behind what other leaves gave.
        let first = self.copied.len();
        let (reached, cut) = match direction {
            Direction::Forward => self.copy_first(&leaf, from, to)?,
            Direction::Backward => self.copy_last(&leaf, from, to)?,
        };
        let copied = self.keep_living(store, directory, open, first)?.filter(|_| cut);
        Ok(copied.map_or(reached, |(first, last)| match direction {
            Direction::Forward => Fence::past(last),
            Direction::Backward => Fence::at(first),
        }))
    }

    /// Copies the first matches of a leaf between two positions, dead ones included: as many as a
    /// portion has room for. Returns up to where that is all there is, and whether it ends within
    /// an interval, behind the last entry.
    #[inline]
    fn copy_first(
        &mut self,
        leaf: &Leaf<'_, C>,
        mut from: Fence<C>,
        bound: Fence<C>,
    ) -> Result<(Fence<C>, bool)> {
        let mut index = self.interval_after(from);
        let intervals = self.intervals.as_slice();
        self.ranges.clear();
        let mut room = self.portion.saturating_sub(self.copied.len()).max(1);
        while let Some(interval) = intervals.get(index) {
            from = from.max(Fence::before(interval.low));
            if from >= bound {
                break;
            }
            let to = end_of(interval).min(bound);
            let key = Key { class: leaf.class(), code: from.code };
            let (slots, more) = if from == Fence::before(key) && to == Fence::after(key) {
                leaf.copy_run(key.code, room, &mut self.copied)?
            } else {
                leaf.copy_between(from, to, room, &mut self.copied)?
            };
            room = room.saturating_sub(slots.len());
            if !slots.is_empty() {
                self.ranges.add((slots.start, slots.end));
            }
            if more {
                return Ok((bound, true));
            }
            from = to;
            index += 1;
            if room == 0 {
                return Ok((bound.min(from), false));
            }
        }
        Ok((bound, false))
    }

    /// Copies a portion of the last matches before a position.
    pub(super) fn copy_before<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        mut to: Fence<C>,
    ) -> Attempt<bool> {
        loop {
            let intervals = self.intervals.as_slice();
            let left = intervals.partition_point(|interval| Fence::before(interval.low) < to);
            let Some(interval) = left.checked_sub(1).and_then(|last| intervals.get(last)) else {
                return Ok(false);
            };
            let start = intervals.first().map_or(Fence::MAX, |first| Fence::before(first.low));
            to = to.min(end_of(interval));
            let class_start = to.start_of_class_before();
            if class_start.class == NullClass::NullsLast as u8 && directory.identity().nulls_first()
            {
                to = class_start;
                continue;
            }
            self.copied.set_class(class_start.null_class()?);
            // From where the portion is complete: every source may begin it later.
            let mut bound = start.max(class_start);
            bound = self.copy_deltas(store, directory, Direction::Backward, (bound, to))?;
            let leaf = directory.route_before(store, to)?;
            bound = self.copy_leaf(store, directory, Direction::Backward, leaf, (bound, to))?;
            self.merge_fresh(Direction::Backward, bound);
            self.exhausted = (bound <= start).then_some(Direction::Backward);
            if !self.copied.is_empty() {
                return Ok(true);
            }
            self.release_copied(store);
            to = bound;
        }
    }

    /// As [`Scan::copy_first`] the last ones. Returns from where on that is all there is, and
    /// whether it begins within an interval, at the first entry.
    fn copy_last(
        &mut self,
        leaf: &Leaf<'_, C>,
        bound: Fence<C>,
        mut to: Fence<C>,
    ) -> Result<(Fence<C>, bool)> {
        let intervals = self.intervals.as_slice();
        let mut left = intervals.partition_point(|interval| Fence::before(interval.low) < to);
        self.ranges.clear();
        let mut room = self.portion;
        let (mut reached, mut cut) = (bound, false);
        while let Some(interval) = left.checked_sub(1).and_then(|last| intervals.get(last)) {
            to = to.min(end_of(interval));
            if to <= bound {
                break;
            }
            let from = Fence::before(interval.low).max(bound);
            let (start, end) = (leaf.slot_of(from)?, leaf.slot_of(to)?);
            let taken = taken(end.saturating_sub(start), room);
            if taken > 0 {
                self.ranges.add((end - taken, end));
                room = room.saturating_sub(taken);
            }
            if start + taken < end {
                cut = true;
                break;
            }
            to = from;
            left -= 1;
            if room == 0 {
                reached = bound.max(to);
                break;
            }
        }
        self.ranges.reverse();
        for &(start, end) in &self.ranges {
            leaf.decode(start, end, &mut self.copied)?;
        }
        Ok((reached, cut))
    }

    /// Keeps those of the entries copied from `ranges` that are alive; the entries before the
    /// `first`-th are of other leaves. Returns the first and the last of those copied, dead ones
    /// included.
    fn keep_living<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        open: OpenLeaf<S::Page<'_>, C>,
        first: usize,
    ) -> Attempt<Option<(Entry<C>, Entry<C>)>> {
        let (at, leaf) = (open.at, open.view());
        directory.remember(at, &leaf);
        let total: usize = self.ranges.iter().map(|(start, end)| end - start).sum();
        if total == 0 {
            return Ok(None);
        }
        let class = leaf.class();
        leaf.ensure(class == self.copied.class(), "entries of this null class", class as u64)?;
        let copied = self.copied.len() - first;
        leaf.ensure(copied == total, "as many entries as slots", copied as u64)?;
        let copied = self.copied.get(first).zip(self.copied.last());
        let dead = leaf.tombstones();
        if may_have_dead(directory, &leaf, at) {
            self.drop_dead(store, directory, &leaf, at, first)?;
        }
        if self.copied.len() > first {
            self.keep_leaf::<S>(open.into_page(), dead);
        }
        Ok(copied)
    }

    /// Asks for the leaves of the next keys of a list.
    fn ask_ahead<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &mut Directory<C>,
        index: usize,
    ) -> Attempt<()> {
        let keys = self.intervals.as_slice().len();
        if keys == 1 || !directory.is_resident() {
            return Ok(());
        }
        let ahead = self.asked.max(index + 1)..(index + 1 + KEYS_AHEAD).min(keys);
        for interval in self.intervals.as_slice().get(ahead.clone()).unwrap_or(&[]) {
            let Some(leaf) = directory.route(store, Fence::before(interval.low))? else { break };
            if leaf.hint == 0 {
                directory.remember_hint(leaf, store.prefetch(leaf.block));
            } else {
                directory.warm(store, leaf, interval.low.code);
            }
        }
        self.asked = self.asked.max(ahead.end);
        Ok(())
    }
}

/// The position after an interval.
fn end_of<C: Code>(interval: &Interval<C>) -> Fence<C> {
    Fence::after(interval.high)
}
