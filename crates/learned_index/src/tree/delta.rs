//! The delta tree: a B-link tree beside the learned leaves, which takes inserts.
//!
//! After Lehman and Yao ("Efficient locking for concurrent operations on B-trees", 1981): readers hold
//! one lock at a time and go right when a split has moved what they look for. Unlike theirs, a
//! split changes parent, left and right in one step, from the top down: a full page on the way
//! to a full leaf is split first, so that every parent has room. Pages of a tree are never
//! given back one by one; a tree that was merged is dropped as a whole.
//!
//! A session remembers the leaves of a tree ([`Routes`]), so that an insert or a lookup goes to
//! its leaf at once. What it remembers may be old and is never wrong: a page never
//! moves its low fence, so an old route leads to the leaf or to one left of it.

use super::attempt::{Attempt, Interruption, lock_current, read_current, settled};
use super::directory::{Directory, Which};
use super::transition::transition;
use crate::corruption::{Result, ensure};
use crate::entry::{Block, Entry, Fence, HeapTid};
use crate::fault::{Fault, injected};
use crate::page::delta::{self, CAPACITY, Child, Delta, Place, Tree};
use crate::page::{self, PageBytes, edit};
use crate::store::{Hint, Store, Update};

/// Levels of a tree at the most; five hold 10^12 entries.
const MAX_LEVELS: u16 = 12;
/// Pages of one level that a session remembers at the most. Beyond that it remembers a higher
/// level and descends from there.
const MOST_ROUTES: usize = 1 << 17;
/// Steps to the right, in excess of one for each so many routes, that make routes stale.
const FREE_DETOURS: usize = 64;

/// What a session knows of a delta tree: the pages of one level, as far as they were met.
pub(super) struct Routes {
    tree: Tree,
    /// The level of the pages: 0, or more in a tree too large to remember.
    level: u16,
    lows: Vec<Fence>,
    rest: Vec<Route>,
    detours: usize,
}

#[derive(Clone, Copy)]
struct Route {
    block: Block,
    hint: Hint,
    /// Whether this session has checked the page as a whole.
    verified: bool,
}

/// A leaf found for a position, or for what is before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The leaf that the position belongs to.
    At,
    /// The leaf with the last positions before it.
    Before,
}

impl Side {
    fn begins_early_enough(self, low: Fence, position: Fence) -> bool {
        if self == Side::At { low <= position } else { low < position }
    }

    fn goes_far_enough(self, high: Fence, position: Fence) -> bool {
        if self == Side::At { position < high } else { position <= high }
    }
}

impl Routes {
    /// Reads the upper levels of a tree.
    pub(super) fn read<S: Store>(store: &S, word: u64, tree: Tree) -> Attempt<Routes> {
        let root = Child { low: Fence::MIN, block: tree.root };
        let (mut level, mut pages) = {
            let page = read_current(store, word, tree.root, 0)?;
            let node = open(&page, tree).map_err(|error| error.at(tree.root))?;
            (node.level(), vec![root])
        };
        ensure(level < MAX_LEVELS, "at most 12 levels of a delta tree", level.into())?;
        while level > 0 && pages.len() * delta::CHILDREN <= MOST_ROUTES {
            let mut below = Vec::with_capacity(pages.len() * delta::CHILDREN / 2);
            for parent in pages {
                let page = read_current(store, word, parent.block, 0)?;
                let node = open(&page, tree).map_err(|error| error.at(parent.block))?;
                if parent.block == tree.root && node.level() > level {
                    // A level was put between the root and what it held a moment ago.
                    drop(page);
                    return Routes::read(store, word, tree);
                }
                ensure(node.level() == level, "a delta page of this level", node.level().into())
                    .map_err(|corruption| corruption.at(parent.block))?;
                below.extend(node.children());
            }
            level -= 1;
            pages = below;
        }
        let ascending = pages.is_sorted_by(|left, right| left.low < right.low);
        ensure(ascending, "children of a delta tree that ascend", level.into())?;
        let route = |child: &Child| Route { block: child.block, hint: 0, verified: false };
        Ok(Routes {
            tree,
            level,
            lows: pages.iter().map(|child| child.low).collect(),
            rest: pages.iter().map(route).collect(),
            detours: 0,
        })
    }

    pub(super) fn tree(&self) -> Tree {
        self.tree
    }

    /// Bytes that this takes.
    pub(super) fn memory(&self) -> usize {
        self.lows.capacity() * size_of::<Fence>() + self.rest.capacity() * size_of::<Route>()
    }

    /// Whether so many pages were not known that reading the upper levels again pays.
    pub(super) fn is_stale(&self) -> bool {
        self.detours > FREE_DETOURS + self.lows.len()
    }

    /// Leaves of the tree, as far as they are known; an estimate in a large tree.
    pub(super) fn leaves(&self) -> usize {
        self.lows.len() * (delta::CHILDREN / 2).pow(self.level.into())
    }

    #[inline]
    fn slot_for(&self, position: Fence, side: Side) -> usize {
        // Ascending inserts all go to the last one.
        if let Some(&last) = self.lows.last()
            && side.begins_early_enough(last, position)
        {
            return self.lows.len() - 1;
        }
        self.lows.partition_point(|&low| side.begins_early_enough(low, position)).saturating_sub(1)
    }

    /// Remembers a page that was met on the way right.
    fn learn(&mut self, low: Fence, block: Block) {
        self.detours += 1;
        let slot = self.lows.partition_point(|&known| known < low);
        if self.lows.get(slot) != Some(&low) && self.lows.len() < MOST_ROUTES {
            self.lows.insert(slot, low);
            self.rest.insert(slot, Route { block, hint: 0, verified: false });
        }
    }

    /// Remembers that a page was read, and found whole.
    #[inline]
    fn remember(&mut self, start: usize, low: Fence, hint: Hint) {
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
    pub(super) fn read_leaf<'s, S: Store>(
        &mut self,
        store: &'s S,
        word: u64,
        position: Fence,
        side: Side,
    ) -> Attempt<(S::Page<'s>, Block)> {
        let start = self.slot_for(position, side);
        let Route { mut block, mut hint, mut verified } = self.rest[start];
        let mut level = self.level;
        loop {
            let page = read_current(store, word, block, hint)?;
            let node = open(&page, self.tree).map_err(|error| error.at(block))?;
            if self.root_has_grown(&node, level, block) {
                drop(page);
                *self = Routes::read(store, word, self.tree)?;
                return self.read_leaf(store, word, position, side);
            }
            let (low, high) = self.expect(&node, level, position, side, verified, block)?;
            if node.level() == self.level {
                self.remember(start, low, S::hint(&page));
            }
            if !side.goes_far_enough(high, position) {
                block = next_right(&node).map_err(|error| error.at(block))?;
                if node.level() == self.level {
                    self.learn(high, block);
                }
                (hint, verified) = (0, false);
                continue;
            }
            if node.level() == 0 {
                return Ok((page, block));
            }
            let child = match side {
                Side::At => node.child_for(position),
                Side::Before => node.child_before(position),
            };
            (block, hint, verified) = (child.block, 0, false);
            level -= 1;
        }
    }

    /// Locks the leaf that a position belongs to, for changes.
    pub(super) fn lock_leaf<'s, S: Update>(
        &mut self,
        store: &'s S,
        word: u64,
        position: Fence,
    ) -> Attempt<(S::Exclusive<'s>, Block)> {
        let start = self.slot_for(position, Side::At);
        let (mut block, mut hint, mut verified) = if self.level == 0 {
            let Route { block, hint, verified } = self.rest[start];
            (block, hint, verified)
        } else {
            (self.read_leaf(store, word, position, Side::At)?.1, 0, true)
        };
        loop {
            let page = lock_current(store, word, block, hint)?;
            let node = open(&page, self.tree).map_err(|error| error.at(block))?;
            if self.root_has_grown(&node, 0, block) {
                drop(page);
                *self = Routes::read(store, word, self.tree)?;
                return self.lock_leaf(store, word, position);
            }
            let (low, high) = self.expect(&node, 0, position, Side::At, verified, block)?;
            if self.level == 0 {
                self.remember(start, low, S::exclusive_hint(&page));
            }
            if position < high {
                return Ok((page, block));
            }
            block = next_right(&node).map_err(|error| error.at(block))?;
            if self.level == 0 {
                self.learn(high, block);
            }
            (hint, verified) = (0, false);
        }
    }

    /// Whether a page is the root, which was of this level when these routes were made. It is the
    /// one page whose content moves to another level.
    fn root_has_grown(&self, node: &Delta<'_>, level: u16, block: Block) -> bool {
        block == self.tree.root && node.level() > level
    }

    /// Checks a page that was met on the way to a position. Returns its fences.
    fn expect(
        &self,
        node: &Delta<'_>,
        level: u16,
        position: Fence,
        side: Side,
        verified: bool,
        block: Block,
    ) -> Attempt<(Fence, Fence)> {
        let (low, high) = (node.low(), node.high());
        let checked = if verified { Ok(()) } else { node.verify() };
        checked
            .and_then(|()| {
                ensure(node.level() == level, "a delta page of this level", node.level().into())?;
                let early = side.begins_early_enough(low, position) || low == Fence::MIN;
                ensure(early, "a delta page that begins before the key", low.code)
            })
            .map_err(|corruption| corruption.at(block))?;
        Ok((low, high))
    }
}

fn open(page: &PageBytes, tree: Tree) -> Attempt<Delta<'_>> {
    Ok(Delta::parse(page, tree.name)?)
}

fn next_right(node: &Delta<'_>) -> Attempt<Block> {
    ensure(node.right() != 0, "a right neighbour", node.right().into())?;
    Ok(node.right())
}

/// What became of an entry that was to be inserted.
enum Append {
    Done,
    /// Its leaf is full.
    Full,
}

/// Adds an entry to the index. Returns whether the delta tree grew by a page, which is when it is
/// worth looking at its size.
pub fn insert<S: Update>(store: &S, directory: &mut Directory, entry: Entry) -> Result<bool> {
    let mut grew = false;
    loop {
        directory.refresh(store)?;
        let Some(tree) = directory.state().active else {
            open_tree(store, directory)?;
            continue;
        };
        match settled(append(store, directory, entry))? {
            Some(Append::Done) => return Ok(grew),
            Some(Append::Full) => {
                make_room(store, directory, tree, Fence::at(entry))?;
                grew = true;
            }
            None => {}
        }
    }
}

fn append<S: Update>(store: &S, directory: &mut Directory, entry: Entry) -> Attempt<Append> {
    let word = directory.state().word;
    let Some(routes) = directory.delta(store, Which::Active)? else {
        return Err(Interruption::Changed);
    };
    let (mut page, block) = routes.lock_leaf(store, word, Fence::at(entry))?;
    append_to(store, &mut page, routes.tree(), entry).map_err(|error| error.at(block))
}

fn append_to<'s, S: Update>(
    store: &'s S,
    page: &mut S::Exclusive<'s>,
    tree: Tree,
    entry: Entry,
) -> Attempt<Append> {
    match open(page, tree)?.append(entry) {
        None => return Ok(Append::Full),
        Some((None, edit)) => store.change(&mut [(page, &[edit])]),
        Some((Some(end), edit)) => store.change(&mut [(page, &[end, edit])]),
    }
    Ok(Append::Done)
}

/// Makes a delta tree with one empty leaf the active one, unless there is one by now.
pub(super) fn open_tree<S: Update>(store: &S, directory: &mut Directory) -> Result<()> {
    let word = directory.state().word;
    let name = word + 1;
    let root = store.create(&delta::leaf(name, Place::ALL, &[]));
    let opened = transition(store, |state| {
        (state.word == word && state.active.is_none()).then(|| {
            let mut next = *state;
            next.active = Some(Tree { root, name });
            next
        })
    })?;
    if opened.is_none() {
        give_back(store, root, name);
    }
    directory.refresh(store)
}

/// Frees a page that was made for a tree and never linked. If it is another's by now, somebody
/// swept it meanwhile.
fn give_back<S: Update>(store: &S, block: Block, tree: u64) {
    store.free(block, |page| delta::belongs_to(page, tree));
}

/// Splits the pages on the way to a position that are full, from the top down.
///
/// Locks: a page and one child of it, then the new right neighbour of that child. Nobody
/// who holds a child's lock waits for its parent's.
fn make_room<S: Update>(
    store: &S,
    directory: &mut Directory,
    tree: Tree,
    position: Fence,
) -> Result<()> {
    // New pages are made before any lock is taken: finding one may mean extending the file.
    let mut spare: Vec<Block> = Vec::new();
    let word = directory.state().word;
    let placeholder = delta::leaf(tree.name, Place::ALL, &[]);
    let outcome = loop {
        match settled(split_topmost(store, word, tree, position, &mut spare))? {
            Some(Split::Nothing) | None => break Ok(()),
            Some(Split::Leaf { low, block }) => {
                if let Ok(Some(routes)) = directory.delta(store, Which::Active)
                    && routes.level == 0
                {
                    routes.learn(low, block);
                }
                break Ok(());
            }
            Some(Split::Inner) => {}
            Some(Split::NeedsPages(count)) => {
                while spare.len() < count {
                    spare.push(store.create(&placeholder));
                }
            }
        }
    };
    for block in spare {
        give_back(store, block, tree.name);
    }
    outcome
}

enum Split {
    /// No page on the way is full.
    Nothing,
    /// A leaf was split; this is its right half.
    Leaf { low: Fence, block: Block },
    /// Another page was split: there may be more to do.
    Inner,
    /// So many new pages must be there first.
    NeedsPages(usize),
}

fn split_topmost<S: Update>(
    store: &S,
    word: u64,
    tree: Tree,
    position: Fence,
    spare: &mut Vec<Block>,
) -> Attempt<Split> {
    let mut block = tree.root;
    let mut parent = lock_current(store, word, block, 0)?;
    if open(&parent, tree).map_err(|error| error.at(block))?.is_full() {
        if spare.len() < 2 {
            return Ok(Split::NeedsPages(2));
        }
        return split_root(store, word, tree, parent, position, spare);
    }
    loop {
        let node = open(&parent, tree).map_err(|error| error.at(block))?;
        if node.level() == 0 {
            return Ok(Split::Nothing);
        }
        let child = node.child_for(position);
        let below = lock_current(store, word, child.block, 0)?;
        let full = {
            let below = open(&below, tree).map_err(|error| error.at(child.block))?;
            ensure(below.level() + 1 == node.level(), "a child's level", below.level().into())
                .map_err(|corruption| corruption.at(child.block))?;
            below.is_full()
        };
        if full {
            if spare.is_empty() {
                return Ok(Split::NeedsPages(1));
            }
            return split_child(store, word, tree, parent, below, child, position, spare);
        }
        (parent, block) = (below, child.block);
    }
}

/// The two halves of a page: the left one in place, the right one as a new page.
struct Halves {
    left: PageBytes,
    right: PageBytes,
    separator: Fence,
}

/// Halves a full page. `left` and `right` are where they will be.
fn halve(
    page: &PageBytes,
    tree: Tree,
    position: Fence,
    right: Block,
    rewrite_left: bool,
) -> Attempt<Halves> {
    let node = open(page, tree)?;
    let place = node.place();
    let right_place = |separator| Place { low: separator, ..place };
    let left_place = |separator| Place { high: separator, right, ..place };
    if node.level() > 0 {
        let children = node.children();
        // Ascending inserts split the last page all the time: leave the left one nearly full.
        let last = place.high == Fence::MAX && children.last().is_some_and(|c| c.low <= position);
        let at = if last { children.len() - 1 } else { children.len() / 2 };
        let (left, right) = children.split_at(at);
        let separator = right.first().map_or(place.high, |child| child.low);
        return Ok(Halves {
            left: delta::inner(tree.name, left_place(separator), node.level(), left),
            right: delta::inner(tree.name, right_place(separator), node.level(), right),
            separator,
        });
    }
    if place.high == Fence::MAX && node.is_behind_all(position) {
        let left = match rewrite_left {
            true => delta::leaf(tree.name, left_place(position), &node.entries()?),
            // The entries stay as they are, and so need not be logged again.
            false => delta::with_right_end(page, position, right),
        };
        let right = delta::leaf(tree.name, right_place(position), &[]);
        return Ok(Halves { left, right, separator: position });
    }
    let entries = node.entries()?;
    let (left, right) = entries.split_at(entries.len() / 2);
    let separator = match (left.last(), right.first()) {
        (Some(before), Some(after)) if before.key != after.key => Fence::before(after.key),
        (_, Some(after)) => Fence::at(*after),
        _ => place.high,
    };
    Ok(Halves {
        left: node.left_half(left_place(separator))?,
        right: delta::leaf(tree.name, right_place(separator), right),
        separator,
    })
}

/// The root keeps its block: its content moves into two new pages below it.
fn split_root<'s, S: Update>(
    store: &'s S,
    word: u64,
    tree: Tree,
    mut root: S::Exclusive<'s>,
    position: Fence,
    spare: &mut Vec<Block>,
) -> Attempt<Split> {
    let (Some(&left_block), Some(&right_block)) = (spare.first(), spare.get(1)) else {
        return Ok(Split::NeedsPages(2));
    };
    let halves =
        halve(&root, tree, position, right_block, true).map_err(|error| error.at(tree.root))?;
    let level = open(&root, tree)?.level();
    let children = [
        Child { low: Fence::MIN, block: left_block },
        Child { low: halves.separator, block: right_block },
    ];
    let new_root = delta::inner(tree.name, Place::ALL, level + 1, &children);
    let mut left = lock_spare(store, word, tree, left_block)?;
    let mut right = lock_spare(store, word, tree, right_block)?;
    let edits = [
        edit::difference(&root, &new_root),
        edit::difference(&left, &halves.left),
        edit::difference(&right, &halves.right),
    ];
    store.change(&mut [(&mut root, &edits[0]), (&mut left, &edits[1]), (&mut right, &edits[2])]);
    spare.clear();
    Ok(if level == 0 {
        Split::Leaf { low: halves.separator, block: right_block }
    } else {
        Split::Inner
    })
}

#[allow(clippy::too_many_arguments)] // a step of make_room, with what it has locked
fn split_child<'s, S: Update>(
    store: &'s S,
    word: u64,
    tree: Tree,
    mut parent: S::Exclusive<'s>,
    mut child: S::Exclusive<'s>,
    at: Child,
    position: Fence,
    spare: &mut Vec<Block>,
) -> Attempt<Split> {
    let Some(&right_block) = spare.last() else { return Ok(Split::NeedsPages(1)) };
    let halves =
        halve(&child, tree, position, right_block, false).map_err(|error| error.at(at.block))?;
    let node = open(&parent, tree)?;
    let mut children = node.children();
    let slot = children.partition_point(|known| known.low <= at.low);
    children.insert(slot, Child { low: halves.separator, block: right_block });
    let new_parent = delta::inner(tree.name, node.place(), node.level(), &children);
    let leaf = open(&child, tree)?.level() == 0;
    let mut right = lock_spare(store, word, tree, right_block)?;
    let edits = [
        edit::difference(&parent, &new_parent),
        edit::difference(&child, &halves.left),
        edit::difference(&right, &halves.right),
    ];
    store.change(&mut [(&mut parent, &edits[0]), (&mut child, &edits[1]), (&mut right, &edits[2])]);
    spare.pop();
    Ok(if leaf { Split::Leaf { low: halves.separator, block: right_block } } else { Split::Inner })
}

/// Locks a page that was made for a split. It is nobody else's as long as its tree is active.
fn lock_spare<S: Update>(
    store: &S,
    word: u64,
    tree: Tree,
    block: Block,
) -> Attempt<S::Exclusive<'_>> {
    let page = lock_current(store, word, block, 0)?;
    ensure(delta::belongs_to(&page, tree.name), "a new page of this tree", page::birth(&page))
        .map_err(|corruption| corruption.at(block))?;
    Ok(page)
}

/// What a unique index says of an entry that was to be inserted.
pub enum Unique<C> {
    /// It is in. Whether the tree grew.
    Inserted(bool),
    /// It was not to be inserted, and nothing stands in its way.
    Checked,
    /// `look` stopped here. No lock is held.
    Stopped(C),
}

/// Looks at every entry with the same key, and adds the entry (unless `insert` is false) if `look`
/// stopped at none of them.
///
/// First come the frozen tree and the leaves, without a lock: as long as the state stays the same
/// no entry is added there. Then all inserts of one key meet at one lock: that of the left-most leaf
/// of the active tree that can hold the key. If the state is still the same under it, the
/// entries of the active tree are looked at, and the lock is held until the new one is in.
///
/// Nothing below the active tree is read under that lock. What a state says of a block may be out
/// of date before the block is locked: it could be a leaf by then that another insert has locked,
/// which waits for this one.
///
/// No TID is reused between the moment in which it was read and the end of `look`, whose verdict
/// that a row is dead must be final. `look` is called under pins, or under that lock and maybe
/// another of the same index.
pub fn insert_unique<S: Update, C>(
    store: &S,
    directory: &mut Directory,
    entry: Entry,
    insert: bool,
    mut look: impl FnMut(HeapTid) -> std::ops::ControlFlow<C>,
) -> Result<Unique<C>> {
    let mut grew = false;
    loop {
        directory.refresh(store)?;
        let Some(tree) = directory.state().active else {
            open_tree(store, directory)?;
            continue;
        };
        match settled(check_and_append(store, directory, entry, insert, &mut look))? {
            Some(CheckedAppend::Done) if insert => return Ok(Unique::Inserted(grew)),
            Some(CheckedAppend::Done) => return Ok(Unique::Checked),
            Some(CheckedAppend::Stopped(why)) => return Ok(Unique::Stopped(why)),
            Some(CheckedAppend::Full) => {
                make_room(store, directory, tree, Fence::at(entry))?;
                grew = true;
            }
            None => {}
        }
    }
}

enum CheckedAppend<C> {
    Done,
    Full,
    Stopped(C),
}

fn check_and_append<S: Update, C>(
    store: &S,
    directory: &mut Directory,
    entry: Entry,
    insert: bool,
    look: &mut impl FnMut(HeapTid) -> std::ops::ControlFlow<C>,
) -> Attempt<CheckedAppend<C>> {
    let (low, high) = (Fence::before(entry.key), Fence::after(entry.key));
    let word = directory.state().word;
    if let Some(why) = super::scan::look_below_active(store, directory, entry.key, look)? {
        return Ok(CheckedAppend::Stopped(why));
    }
    let Some(routes) = directory.delta(store, Which::Active)? else {
        return Err(Interruption::Changed);
    };
    let tree = routes.tree();
    let place = if injected(Fault::UniqueLocksOwnLeaf) { Fence::at(entry) } else { low };
    let (mut first, first_block) = routes.lock_leaf(store, word, place)?;
    let mut found = Vec::new();
    let mut look_into = |page: &PageBytes, block: Block, begin: Option<Fence>| {
        let node = open(page, tree).map_err(|error| error.at(block))?;
        let fits = begin.is_none_or(|begin| node.low() == begin);
        found.clear();
        ensure(fits, "the neighbour's fence", node.low().code)
            .and_then(|()| node.collect(low, high, &mut found))
            .map_err(|corruption| corruption.at(block))?;
        let stopped = found.iter().find_map(|entry| look(entry.tid).break_value());
        Attempt::Ok((stopped, node.high(), node.right()))
    };
    let (mut stopped, mut end, mut right) = look_into(&first, first_block, None)?;
    // To the right, one more lock at a time, as long as the key may go on. No merge gets past the
    // first leaf, so these are pages of the tree even if it is frozen meanwhile.
    while stopped.is_none() && end < high {
        let page = store.read(right, 0);
        (stopped, end, right) = look_into(&page, right, Some(end))?;
    }
    if let Some(why) = stopped {
        return Ok(CheckedAppend::Stopped(why));
    }
    if !insert {
        return Ok(CheckedAppend::Done);
    }
    let position = Fence::at(entry);
    let belongs_here = {
        let node = open(&first, tree).map_err(|error| error.at(first_block))?;
        position < node.high()
    };
    let appended = if belongs_here {
        append_to(store, &mut first, tree, entry).map_err(|error| error.at(first_block))?
    } else {
        append_right_of(store, word, &first, tree, entry)?
    };
    // A tree frozen by now may still have taken the entry: its leaf was locked all the time, and
    // whoever merges it or looks for the key there waits for that lock.
    Ok(match appended {
        Append::Done => CheckedAppend::Done,
        Append::Full => CheckedAppend::Full,
    })
}

/// Adds an entry to its leaf, right of one that is locked and stays locked. No merge gets past that
/// one, so this leaf would be the right one even in a tree that was frozen meanwhile; the word is
/// loaded all the same, so that nothing rests on the order in which merges read leaves.
fn append_right_of<'s, S: Update>(
    store: &'s S,
    word: u64,
    first: &S::Exclusive<'s>,
    tree: Tree,
    entry: Entry,
) -> Attempt<Append> {
    let mut block = open(first, tree)?.right();
    loop {
        let mut page: S::Exclusive<'s> = lock_current(store, word, block, 0)?;
        let (far_enough, right) = {
            let node = open(&page, tree).map_err(|error| error.at(block))?;
            (Fence::at(entry) < node.high(), node.right())
        };
        if far_enough {
            return append_to(store, &mut page, tree, entry).map_err(|error| error.at(block));
        }
        block = right;
    }
}

/// Entries that a leaf of a delta tree holds when it is as full as splits leave it.
pub(super) const USUAL_ENTRIES: usize = CAPACITY * 7 / 10;
