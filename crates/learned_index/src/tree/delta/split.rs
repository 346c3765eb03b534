//! Splitting the full pages of a delta tree.

use super::insert::give_back;
use crate::corruption::{Result, ensure, ensure_at_most};
use crate::entry::{Block, Fence, Side};
use crate::key::Code;
use crate::page::delta::{self, Child, Delta, Span, Tree};
use crate::page::{self, PageBytes, edit};
use crate::stop::{StopPoint, stop_at};
use crate::store::Update;
use crate::tree::attempt::{Attempt, lock_current, settled};
use crate::tree::directory::{Directory, Which};
use crate::tree::routes::{MAX_LEVELS, OpenNode, lock_node};

/// Splits the pages on the way to a position that are full, from the top down.
///
/// Locks: a page and one child of it, then the new right neighbour of that child. Nobody
/// who holds a child's lock waits for its parent's.
pub(super) fn make_room<S: Update>(
    store: &S,
    directory: &mut Directory<S::Code>,
    tree: Tree,
    position: Fence<S::Code>,
) -> Result<()> {
    // New pages are made before any lock is taken: finding one may mean extending the file.
    let mut spare: Vec<Block> = Vec::new();
    let word = directory.state().word;
    let placeholder = delta::leaf::<S::Code>(tree.name, Span::ALL, &[]);
    let outcome = loop {
        match settled(split_topmost(store, word, tree, position, &mut spare))? {
            Some(Split::Nothing) => {
                // Another session has split the page; or what is remembered leads to another page
                // than the tree does, and would again.
                directory.forget_routes();
                break Ok(());
            }
            None => break Ok(()),
            Some(Split::Leaf { low, block }) => {
                if let Ok(Some(routes)) = directory.delta(store, Which::Active) {
                    routes.learn_leaf(low, block);
                }
                break Ok(());
            }
            Some(Split::Inner) => {}
            Some(Split::NeedsPages(count)) => {
                while spare.len() < count {
                    spare.push(store.create(&placeholder));
                }
                stop_at(StopPoint::SplitBeforeLock);
            }
        }
    };
    for block in spare {
        give_back(store, block, tree.name);
    }
    outcome
}

enum Split<C> {
    /// No page on the way is full.
    Nothing,
    /// A leaf was split; this is its right half.
    Leaf { low: Fence<C>, block: Block },
    /// Another page was split: there may be more to do.
    Inner,
    /// So many new pages must be there first.
    NeedsPages(usize),
}

fn split_topmost<S: Update>(
    store: &S,
    word: u64,
    tree: Tree,
    position: Fence<S::Code>,
    spare: &mut Vec<Block>,
) -> Attempt<Split<S::Code>> {
    let mut parent = lock_node(store, word, tree.name, tree.root, 0)?;
    if parent.view().is_full() {
        if spare.len() < 2 {
            return Ok(Split::NeedsPages(2));
        }
        return split_root(store, word, tree, parent, position, spare);
    }
    loop {
        let node = parent.view();
        if node.level() == 0 {
            return Ok(Split::Nothing);
        }
        let at = node.child_for(position);
        // Nobody could end a wait for a lock of one's own.
        node.ensure(at.block != node.at(), "a child of its own", at.block.into())?;
        let child = lock_node(store, word, tree.name, at.block, 0)?;
        let below = child.view();
        let level = below.level();
        below.ensure(level == node.level() - 1, "a child's level", level.into())?;
        below.ensure_that(below.low() == at.low, "a child's fence")?;
        let holds = Side::At.holds(below.low(), below.high(), position);
        below.ensure_that(holds, "a child that holds the key")?;
        if below.is_full() {
            if spare.is_empty() {
                return Ok(Split::NeedsPages(1));
            }
            return split_child(store, word, parent, child, position, spare);
        }
        parent = child;
    }
}

/// The two halves of a page: the left one in place, the right one as a new page.
struct Halves<C> {
    left: PageBytes,
    right: PageBytes,
    separator: Fence<C>,
}

/// Halves a full page. `right` is where the right half will be.
fn halve<C: Code>(
    node: &Delta<'_, C>,
    position: Fence<C>,
    right: Block,
    rewrite_left: bool,
) -> Result<Halves<C>> {
    let tree = node.tree();
    // What is written anew gets a new seal, which must not hide damage.
    node.verify()?;
    let span = node.span();
    let right_span = |separator| Span { low: separator, ..span };
    let left_span = |separator| Span { high: separator, right, ..span };
    if node.level() > 0 {
        let children = node.children();
        // Ascending inserts split the last page all the time: leave the left one nearly full.
        let last = span.high == Fence::MAX && children.last().is_some_and(|c| c.low <= position);
        let at = if last { children.len() - 1 } else { children.len() / 2 };
        let (left, right) = children.split_at(at);
        let separator = right.first().map_or(span.high, |child| child.low);
        return Ok(Halves {
            left: delta::inner(tree, left_span(separator), node.level(), left),
            right: delta::inner(tree, right_span(separator), node.level(), right),
            separator,
        });
    }
    if span.high == Fence::MAX && node.is_behind_all(position) {
        let left = match rewrite_left {
            true => delta::leaf(tree, left_span(position), &node.entries()?),
            // The entries stay as they are, and so need not be logged again.
            false => node.with_right_end(position, right),
        };
        let right = delta::leaf(tree, right_span(position), &[]);
        return Ok(Halves { left, right, separator: position });
    }
    let entries = node.entries()?;
    let (left, right) = entries.split_at(entries.len() / 2);
    let separator = match (left.last(), right.first()) {
        (Some(before), Some(after)) if before.key != after.key => Fence::before(after.key),
        (_, Some(after)) => Fence::at(*after),
        _ => span.high,
    };
    Ok(Halves {
        left: node.left_half(left_span(separator))?,
        right: delta::leaf(tree, right_span(separator), right),
        separator,
    })
}

/// The root keeps its block: its content moves into two new pages below it.
fn split_root<'s, S: Update>(
    store: &'s S,
    word: u64,
    tree: Tree,
    root: OpenNode<S::Exclusive<'s>, S::Code>,
    position: Fence<S::Code>,
    spare: &mut Vec<Block>,
) -> Attempt<Split<S::Code>> {
    let (Some(&left_block), Some(&right_block)) = (spare.first(), spare.get(1)) else {
        return Ok(Split::NeedsPages(2));
    };
    let halves = halve(&root.view(), position, right_block, true)?;
    let level = root.view().level();
    ensure_at_most!(usize::from(level) + 2, MAX_LEVELS as usize, "levels of a delta tree")
        .map_err(|corruption| corruption.at(tree.root))?;
    let children = [
        Child { low: Fence::MIN, block: left_block },
        Child { low: halves.separator, block: right_block },
    ];
    let new_root = delta::inner(tree.name, Span::ALL, level + 1, &children);
    let mut left = lock_spare(store, word, tree.name, left_block, &[tree.root, right_block])?;
    let mut right = lock_spare(store, word, tree.name, right_block, &[tree.root, left_block])?;
    let mut root = root.into_page();
    let edits = [
        edit::difference(&root, &new_root),
        edit::difference(&left, &halves.left),
        edit::difference(&right, &halves.right),
    ];
    stop_at(StopPoint::SplitUnderLock);
    store.change(&mut [(&mut root, &edits[0]), (&mut left, &edits[1]), (&mut right, &edits[2])]);
    spare.clear();
    Ok(if level == 0 {
        Split::Leaf { low: halves.separator, block: right_block }
    } else {
        Split::Inner
    })
}

fn split_child<'s, S: Update>(
    store: &'s S,
    word: u64,
    parent: OpenNode<S::Exclusive<'s>, S::Code>,
    child: OpenNode<S::Exclusive<'s>, S::Code>,
    position: Fence<S::Code>,
    spare: &mut Vec<Block>,
) -> Attempt<Split<S::Code>> {
    let Some(&right_block) = spare.last() else { return Ok(Split::NeedsPages(1)) };
    let (node, below) = (parent.view(), child.view());
    let halves = halve(&below, position, right_block, false)?;
    node.verify()?;
    let mut children = node.children();
    let slot = children.partition_point(|known| known.low <= below.low());
    children.insert(slot, Child { low: halves.separator, block: right_block });
    let new_parent = delta::inner(node.tree(), node.span(), node.level(), &children);
    let is_leaf = below.level() == 0;
    let held = [node.at(), below.at()];
    let mut right = lock_spare(store, word, node.tree(), right_block, &held)?;
    let (mut parent, mut child) = (parent.into_page(), child.into_page());
    let edits = [
        edit::difference(&parent, &new_parent),
        edit::difference(&child, &halves.left),
        edit::difference(&right, &halves.right),
    ];
    stop_at(StopPoint::SplitUnderLock);
    store.change(&mut [(&mut parent, &edits[0]), (&mut child, &edits[1]), (&mut right, &edits[2])]);
    spare.pop();
    Ok(if is_leaf {
        Split::Leaf { low: halves.separator, block: right_block }
    } else {
        Split::Inner
    })
}

/// Locks a page that was made for a split, besides those that are `held`. No other session
/// uses it as long as its tree is active.
fn lock_spare<'s, S: Update>(
    store: &'s S,
    word: u64,
    tree: u64,
    block: Block,
    held: &[Block],
) -> Attempt<S::Exclusive<'s>> {
    ensure(!held.contains(&block), "a new page of its own", block.into())
        .map_err(|corruption| corruption.at(block))?;
    let page = lock_current(store, word, block, 0)?;
    ensure(delta::belongs_to(&page, tree), "a new page of this tree", page::birth(&page))
        .map_err(|corruption| corruption.at(block))?;
    Ok(page)
}
