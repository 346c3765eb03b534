//! The way to a leaf of a delta tree.
//!
//! A session remembers the leaves of a tree ([`Routes`]), so that an insert or a lookup goes to
//! its leaf at once. What it remembers may be old and is never wrong: a page never
//! moves its low fence, so an old route leads to the leaf or to one left of it.
//!
//! - this file: routes, and going right from where they lead
//! - `node`: opening a page
//! - `seen`: which keys a leaf does not have

mod node;
mod seen;

pub(super) use node::{OpenNode, lock_node, read_node};

use std::rc::Rc;

use seen::Seen;

use super::attempt::Attempt;
use super::budget::{Budget, Share};
use crate::corruption::{Result, ensure_at_most, ensure_that};
use crate::cpu;
use crate::entry::{Block, Entry, Fence, Side};
use crate::key::Code;
use crate::memory::{Add, listed, with_room};
use crate::page::delta::{self, Child, Delta, Tree};
use crate::stop::{StopPoint, stop_at};
use crate::store::{Hint, Store, Update};

/// The most levels of a tree; five hold 10^12 entries.
pub(super) const MAX_LEVELS: u16 = 12;
/// The most pages of one level that a session remembers. Beyond that it remembers a higher
/// level and descends from there.
const MOST_ROUTES: usize = 1 << 17;
/// The most leaves of which a session remembers the keys that it saw: 5 MB.
const MOST_SEEN: usize = 1 << 13;
/// What a search expects of the leaf that it ends at.
const HOLDS_KEY: &str = "a delta page that holds the key";
/// Routes are stale after this many steps to the right, and one more for each route.
const FREE_DETOURS: usize = 64;

/// What a session knows of a delta tree: the pages of one level, as far as they were met.
pub(super) struct Routes<C> {
    tree: Tree,
    /// The level of the pages: 0, or more in a tree too large to remember.
    level: u16,
    lows: Vec<Fence<C>>,
    rest: Vec<Route>,
    /// Keys seen in leaves that a key was looked up in.
    seen: Vec<Seen<C>>,
    detours: usize,
    share: Share,
    /// A position and its slot, looked for ahead. Reset when slots move: the least position is
    /// always in the first.
    last: (Fence<C>, usize),
}

#[derive(Clone, Copy)]
struct Route {
    block: Block,
    hint: Hint,
    /// Whether this session has checked the page as a whole.
    verified: bool,
    /// Which of those seen is of this page; none at first.
    seen: u32,
    /// Entries that were seen, for asking for the line behind them.
    entries: u16,
}

/// Bytes of one route.
const fn bytes_per_route<C>() -> usize {
    size_of::<Fence<C>>() + size_of::<Route>()
}
/// That nothing was seen of a page.
const UNSEEN: u32 = u32::MAX;

impl Route {
    fn to(block: Block) -> Route {
        Route { block, hint: 0, verified: false, seen: UNSEEN, entries: 0 }
    }
}

impl<C: Code> Routes<C> {
    /// Reads the upper levels of a tree, as far down as the budget has memory for what is below.
    pub(super) fn read<S: Store<Code = C>>(
        store: &S,
        word: u64,
        tree: Tree,
        budget: &Rc<Budget>,
    ) -> Attempt<Routes<C>> {
        let mut share = Share::of(budget);
        let root = Child { low: Fence::MIN, block: tree.root };
        let mut level = read_node(store, word, tree.name, tree.root, 0)?.view().level();
        let mut pages = vec![root];
        ensure_at_most!(usize::from(level) + 1, MAX_LEVELS as usize, "levels of a delta tree")?;
        while level > 0 && pages.len() * delta::most_children::<C>() <= MOST_ROUTES {
            let mut below = with_room(pages.len() * delta::most_children::<C>() / 2);
            for parent in &pages {
                let open = read_node(store, word, tree.name, parent.block, 0)?;
                let node = open.view();
                if parent.block == tree.root && node.level() > level {
                    // A level was put between the root and what it held a moment ago.
                    drop(open);
                    drop(share);
                    return Routes::read(store, word, tree, budget);
                }
                node.check_level(level)?;
                below.add_all(node.children());
            }
            // A reader of the root takes it for one that has grown, and starts anew.
            ensure_that(
                below.iter().all(|child| child.block != tree.root),
                "children other than the root",
            )?;
            if !share.grow_to(below.len() * bytes_per_route::<C>()) {
                break;
            }
            level -= 1;
            pages = below;
        }
        let ascending = pages.is_sorted_by(|left, right| left.low < right.low);
        ensure_that(ascending, "children of a delta tree that ascend")?;
        let route = |child: &Child<C>| Route::to(child.block);
        let mut routes = Routes {
            tree,
            level,
            lows: listed(pages.iter().map(|child| child.low)),
            rest: listed(pages.iter().map(route)),
            seen: Vec::new(),
            detours: 0,
            share,
            last: (Fence::MIN, 0),
        };
        routes.share.set(routes.memory());
        Ok(routes)
    }

    /// Reads the upper levels again.
    fn read_again<S: Store<Code = C>>(&mut self, store: &S, word: u64) -> Attempt<()> {
        let budget = Rc::clone(self.share.budget());
        *self = Routes::read(store, word, self.tree, &budget)?;
        Ok(())
    }

    pub(super) fn tree(&self) -> Tree {
        self.tree
    }

    /// Bytes that this takes.
    pub(super) fn memory(&self) -> usize {
        self.lows.capacity() * size_of::<Fence<C>>()
            + self.rest.capacity() * size_of::<Route>()
            + self.seen.capacity() * size_of::<Seen<C>>()
    }

    /// Whether so many pages were not known that reading the upper levels again pays.
    pub(super) fn is_stale(&self) -> bool {
        self.detours > FREE_DETOURS + self.lows.len()
    }

    /// Where the leaves begin, as far as they are known; none in a large tree.
    pub(super) fn leaf_lows(&self) -> Option<&[Fence<C>]> {
        (self.level == 0).then_some(&self.lows)
    }

    /// Where the pages begin that are known, whether they are leaves, and how many entries each has
    /// or leads to, about.
    pub(super) fn known_pages(&self) -> (&[Fence<C>], bool, usize) {
        (&self.lows, self.level == 0, self.leaves_of_page() * usual_entries::<C>())
    }

    /// The first entry of the leaf that a position belongs to, from there on; none if there is none
    /// in this leaf.
    pub(super) fn first_entry<S: Store<Code = C>>(
        &mut self,
        store: &S,
        word: u64,
        from: Fence<C>,
    ) -> Attempt<Option<Entry<C>>> {
        let open = self.read_leaf(store, word, from, Side::At)?;
        let mut first: Option<Entry<C>> = None;
        open.view().visit(from, Fence::MAX, |_, entry| {
            first = Some(first.map_or(entry, |first| first.min(entry)));
        })?;
        Ok(first)
    }

    /// Leaves of the tree, as far as they are known; an estimate in a large tree.
    pub(super) fn leaves(&self) -> usize {
        self.lows.len() * self.leaves_of_page()
    }

    /// Leaves that a page of the known level is or leads to; an estimate but for leaves.
    fn leaves_of_page(&self) -> usize {
        (delta::most_children::<C>() / 2).pow(self.level.into())
    }

    #[inline]
    fn slot_for(&self, position: Fence<C>, side: Side) -> usize {
        // Ascending inserts all go to the last one.
        if let Some(&last) = self.lows.last()
            && side.begins_early_enough(last, position)
        {
            return self.lows.len() - 1;
        }
        self.lows.partition_point(|&low| side.begins_early_enough(low, position)).saturating_sub(1)
    }

    /// Remembers a leaf that a split has made, unless the tree is too large to remember its leaves.
    pub(super) fn learn_leaf(&mut self, low: Fence<C>, block: Block) {
        if self.level == 0 {
            self.learn(low, block);
        }
    }

    /// Remembers a page that was met on the way right, if there is the memory.
    fn learn(&mut self, low: Fence<C>, block: Block) {
        self.detours += 1;
        let slot = self.lows.partition_point(|&known| known < low);
        if self.lows.get(slot) != Some(&low) && self.lows.len() < MOST_ROUTES && self.make_room() {
            self.lows.insert(slot, low);
            self.last = (Fence::MIN, 0);
            self.rest.insert(slot, Route::to(block));
        }
    }

    /// Makes room for a route. A page is locked meanwhile: nobody is asked to give way.
    fn make_room(&mut self) -> bool {
        let known = self.lows.len();
        if known < self.lows.capacity().min(self.rest.capacity()) {
            return true;
        }
        let more = known.max(4);
        let bytes = self.memory() + more * bytes_per_route::<C>();
        let made = self.share.try_grow_to(bytes)
            && self.lows.try_reserve_exact(more).is_ok()
            && self.rest.try_reserve_exact(more).is_ok();
        self.share.set(self.memory());
        made
    }

    /// Makes room for what was seen of one more leaf, which is locked.
    fn make_room_for_seen(&mut self) -> bool {
        let known = self.seen.len();
        if known < self.seen.capacity() {
            return true;
        }
        // From one on: most trees are small.
        let more = known.max(1);
        let bytes = self.memory() + more * size_of::<Seen<C>>();
        let made = known < MOST_SEEN
            && self.share.try_grow_to(bytes)
            && self.seen.try_reserve_exact(more).is_ok();
        self.share.set(self.memory());
        made
    }

    /// Remembers that a page was read, and found whole.
    #[inline]
    fn remember(&mut self, start: usize, low: Fence<C>, hint: Hint) {
        if self.lows.get(start) == Some(&low)
            && let Some(route) = self.rest.get_mut(start)
        {
            (route.hint, route.verified) = (hint, true);
        } else if let Ok(slot) = self.lows.binary_search(&low)
            && let Some(route) = self.rest.get_mut(slot)
        {
            route.hint = hint;
            route.verified = true;
        }
    }

    /// Locks the leaf for a position, for reading.
    pub(super) fn read_leaf<'s, S: Store<Code = C>>(
        &mut self,
        store: &'s S,
        word: u64,
        position: Fence<C>,
        side: Side,
    ) -> Attempt<OpenNode<S::Page<'s>, C>> {
        let start = match side == Side::At && self.last.0 == position {
            true => self.last.1,
            false => self.slot_for(position, side),
        };
        let mut at = self.step_to(start);
        loop {
            stop_at(StopPoint::DeltaBeforeRead);
            let open = read_node(store, word, self.tree.name, at.block, at.hint)?;
            let node = open.view();
            if at.is_root_that_grew(&node, self.tree) {
                drop(open);
                self.read_again(store, word)?;
                return self.read_leaf(store, word, position, side);
            }
            let hint = S::hint(open.page());
            at.check(&node, hint)?;
            if at.level == self.level {
                self.remember(start, at.low, hint);
            }
            if !side.goes_far_enough(node.high(), position) {
                at = right_of(&node, at)?;
                if at.level == self.level {
                    self.learn(at.low, at.block);
                }
                continue;
            }
            if at.level == 0 {
                node.ensure_that(side.begins_early_enough(at.low, position), HOLDS_KEY)?;
                return Ok(open);
            }
            let Child { low, block } = match side {
                Side::At => node.child_for(position),
                Side::Before => node.child_before(position),
            };
            at = Waypoint {
                block,
                low,
                level: at.level - 1,
                hint: 0,
                verified: false,
                from_route: false,
            };
        }
    }

    /// Asks the processor for what looking a code up in its leaf will read.
    #[inline]
    pub(super) fn warm<S: Store<Code = C>>(&mut self, store: &S, position: Fence<C>) {
        let slot = self.slot_for(position, Side::At);
        self.last = (position, slot);
        let Some(&Route { hint, seen, entries, .. }) =
            self.rest.get(slot).filter(|route| route.hint != 0)
        else {
            return;
        };
        let page = store.expected_at(hint);
        if let Some(seen) = self.seen.get(seen as usize) {
            seen.lines_for(position.code).into_iter().for_each(cpu::prefetch);
        }
        if !page.is_null() {
            for offset in delta::lines::<C>(entries.into()) {
                cpu::prefetch(page.wrapping_add(offset));
            }
        }
    }

    /// Whether a leaf, which is locked, may have an entry with this code of a value. Certain if
    /// not.
    #[inline]
    pub(super) fn may_have(&mut self, leaf: &Delta<'_, C>, code: C) -> Result<bool> {
        let slot = match self.lows.get(self.last.1) == Some(&leaf.low()) {
            true => self.last.1,
            false => self.lows.partition_point(|&low| low < leaf.low()),
        };
        if self.level > 0 || self.lows.get(slot) != Some(&leaf.low()) {
            return Ok(true);
        }
        if self.rest[slot].seen == UNSEEN {
            // Nothing depends on it, so a lack of memory is no error here.
            if !self.make_room_for_seen() {
                return Ok(true);
            }
            self.seen.push(Seen::nothing_of(leaf));
            self.rest[slot].seen = self.seen.len() as u32 - 1;
        }
        let route = &mut self.rest[slot];
        let seen = &mut self.seen[route.seen as usize];
        seen.update(leaf)?;
        route.entries = seen.count() as u16;
        Ok(seen.may_have(code))
    }

    /// Locks the leaf that a position belongs to, for changes.
    pub(super) fn lock_leaf<'s, S: Update<Code = C>>(
        &mut self,
        store: &'s S,
        word: u64,
        position: Fence<C>,
    ) -> Attempt<OpenNode<S::Exclusive<'s>, C>> {
        let start = self.slot_for(position, Side::At);
        let mut at = if self.level == 0 {
            self.step_to(start)
        } else {
            let open = self.read_leaf(store, word, position, Side::At)?;
            let (leaf, hint) = (open.view(), S::hint(open.page()));
            let (block, low) = (leaf.at(), leaf.low());
            Waypoint { block, low, level: 0, hint, verified: true, from_route: false }
        };
        loop {
            stop_at(StopPoint::InsertBeforeLock);
            let open = lock_node(store, word, self.tree.name, at.block, at.hint)?;
            let node = open.view();
            if at.is_root_that_grew(&node, self.tree) {
                drop(open);
                self.read_again(store, word)?;
                return self.lock_leaf(store, word, position);
            }
            let hint = S::exclusive_hint(open.page());
            at.check(&node, hint)?;
            if self.level == 0 {
                self.remember(start, at.low, hint);
            }
            if position < node.high() {
                node.ensure_that(at.low <= position, HOLDS_KEY)?;
                return Ok(open);
            }
            at = right_of(&node, at)?;
            if self.level == 0 {
                self.learn(at.low, at.block);
            }
        }
    }

    /// The page that a route leads to.
    fn step_to(&self, slot: usize) -> Waypoint<C> {
        let Route { block, hint, verified, .. } = self.rest[slot];
        Waypoint {
            block,
            low: self.lows[slot],
            level: self.level,
            hint,
            verified,
            from_route: true,
        }
    }
}

/// A page on the way to a position, and what it must be like. Low fences never move: with its own
/// one a page is no other page of the tree, and a search that goes right gets further.
#[derive(Clone, Copy)]
struct Waypoint<C> {
    block: Block,
    low: Fence<C>,
    level: u16,
    hint: Hint,
    /// Whether this session has checked the page as a whole, where the hint says.
    verified: bool,
    /// Whether a route led here, and not a page.
    from_route: bool,
}

impl<C: Code> Waypoint<C> {
    /// Whether a page is the root, which was of a lower level when the routes were made. It is the
    /// one page whose content moves to another level, and no page refers to it.
    fn is_root_that_grew(&self, node: &Delta<'_, C>, tree: Tree) -> bool {
        self.from_route && self.block == tree.root && node.level() > self.level
    }

    fn check(&self, node: &Delta<'_, C>, hint: Hint) -> Result<()> {
        if !(self.verified && self.hint == hint) {
            node.verify()?;
        }
        node.check_level(self.level)?;
        let begins = node.low() == self.low;
        node.ensure_that(begins, "a delta page that begins where it must")
    }
}

/// The right neighbour of a page.
fn right_of<C: Code>(node: &Delta<'_, C>, at: Waypoint<C>) -> Result<Waypoint<C>> {
    let right = node.right();
    node.ensure(right != 0 && right != at.block, "a right neighbour", right.into())?;
    let (low, level) = (node.high(), at.level);
    Ok(Waypoint { block: right, low, level, hint: 0, verified: false, from_route: false })
}

/// All pages of a tree, but the leaves that a watermark has left behind: these were freed when it
/// passed them, and may be anything by now. Of a tree that takes inserts, those that had their
/// place when their parent was read.
pub(super) fn pages_of<S: Store>(
    store: &S,
    word: u64,
    tree: Tree,
    watermark: Fence<S::Code>,
) -> Attempt<Vec<Block>> {
    let mut blocks = vec![tree.root];
    let mut parents = vec![tree.root];
    let mut level = None;
    while !parents.is_empty() {
        let mut below = Vec::new();
        for block in parents {
            let open = read_node(store, word, tree.name, block, 0)?;
            let node = open.view();
            let expected = level.unwrap_or(node.level());
            node.check_level(expected)?;
            if node.level() == 0 {
                break;
            }
            let children = node.children();
            for (index, child) in children.iter().enumerate() {
                let high = children.get(index + 1).map_or(node.high(), |next| next.low);
                if node.level() > 1 || high > watermark {
                    blocks.add(child.block);
                }
                if node.level() > 1 {
                    below.add(child.block);
                }
            }
            level = Some(expected);
        }
        level = level.map(|level| level.saturating_sub(1));
        parents = below;
    }
    Ok(blocks)
}

/// Entries that a leaf of a delta tree holds when it is as full as splits leave it.
pub(super) const fn usual_entries<C>() -> usize {
    delta::capacity::<C>() * 7 / 10
}
