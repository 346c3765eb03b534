//! Checking a delta tree, from left to right.

use crate::corruption::{Result, ensure_at_most};
use crate::entry::{Block, Fence};
use crate::key::Code;
use crate::page::PageBytes;
use crate::page::delta::{Delta, Tree};
use crate::store::Store;
use crate::tree::attempt::{Attempt, settled};
use crate::tree::directory::{Which, read_meta};
use crate::tree::routes::{MAX_LEVELS, OpenNode, read_node};

/// Checks one of the delta trees, in whatever state it is when the check comes by. Returns how many
/// entries it has.
pub(super) fn check<S: Store>(
    store: &S,
    which: Which,
    see: &mut impl FnMut(Fence<S::Code>),
) -> Result<u64> {
    let mut walk = Walk { from: Fence::MIN, entries: 0, tree: None, links: Vec::new() };
    loop {
        let (_, state) = read_meta(store, &mut 0)?;
        let (tree, begin) = match which {
            Which::Active => (state.active, Fence::MIN),
            Which::Frozen => (state.frozen, state.watermark),
        };
        let Some(tree) = tree else { return Ok(walk.entries) };
        if walk.tree.replace(tree) != Some(tree) {
            walk.links.clear();
        }
        // Below the watermark everything is in the leaves by now.
        walk.from = walk.from.max(begin);
        if settled(walk.go_on(store, state.word, tree, see))?.is_some() {
            return Ok(walk.entries);
        }
    }
}

/// Where a page must stand.
#[derive(Clone, Copy)]
struct Expected<C> {
    block: Block,
    low: Fence<C>,
    /// Where its parent's next child begins. Splits since the parent was read may have made the
    /// page end earlier; then its right neighbours go on up to there.
    high: Fence<C>,
    /// That of its parent less one; of a root anything.
    level: Option<u16>,
}

struct Walk<C> {
    /// Up to where everything is checked.
    from: Fence<C>,
    entries: u64,
    tree: Option<Tree>,
    /// For each level where the page read last ends, and its right neighbour.
    links: Vec<Option<(Fence<C>, Block)>>,
}

impl<C: Code> Walk<C> {
    fn go_on<S: Store<Code = C>>(
        &mut self,
        store: &S,
        word: u64,
        tree: Tree,
        see: &mut impl FnMut(Fence<C>),
    ) -> Attempt<()> {
        while self.from < Fence::MAX {
            let mut at =
                Expected { block: tree.root, low: Fence::MIN, high: Fence::MAX, level: None };
            loop {
                let copied = self.read(store, word, tree, at)?;
                let node = copied.view();
                if node.high() <= self.from {
                    at = right_of(&node, at)?;
                } else if node.level() > 1 {
                    at = self.child(&node);
                } else if node.level() == 1 {
                    self.leaves(store, word, tree, &node, see)?;
                    break;
                } else {
                    self.leaf(&node, see)?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// The child of an inner page in which the check goes on.
    fn child(&self, node: &Delta<'_, C>) -> Expected<C> {
        let children = node.children();
        let slot = children.partition_point(|child| child.low <= self.from).saturating_sub(1);
        expected_child(node, slot)
    }

    /// Checks the leaves below a page of level 1 from the current position on.
    fn leaves<S: Store<Code = C>>(
        &mut self,
        store: &S,
        word: u64,
        tree: Tree,
        parent: &Delta<'_, C>,
        see: &mut impl FnMut(Fence<C>),
    ) -> Attempt<()> {
        for slot in 0..parent.child_count() {
            let mut at = expected_child(parent, slot);
            while at.low < at.high && self.from < at.high {
                let copied = self.read(store, word, tree, at)?;
                let node = copied.view();
                self.leaf(&node, see)?;
                if node.high() == at.high {
                    break;
                }
                at = right_of(&node, at)?;
            }
        }
        Ok(())
    }

    /// Counts what a leaf, which was read already, has from the current position on.
    fn leaf(&mut self, node: &Delta<'_, C>, see: &mut impl FnMut(Fence<C>)) -> Result<()> {
        let entries = node.entries()?;
        let twice = entries.windows(2).any(|pair| pair[0] == pair[1]);
        node.ensure_that(!twice, "each entry once")?;
        for entry in entries {
            if Fence::at(entry) >= self.from {
                self.entries += 1;
                see(Fence::at(entry));
            }
        }
        self.from = self.from.max(node.high());
        Ok(())
    }

    /// Copies a page, and checks all of it that can be checked by itself, its place, and that it is
    /// the one that its left neighbour links to.
    fn read<S: Store<Code = C>>(
        &mut self,
        store: &S,
        word: u64,
        tree: Tree,
        at: Expected<C>,
    ) -> Attempt<OpenNode<Box<PageBytes>, C>> {
        let copied = read_node(store, word, tree.name, at.block, 0)?.copied();
        self.check_page(&copied.view(), at)?;
        Ok(copied)
    }

    fn check_page(&mut self, node: &Delta<'_, C>, at: Expected<C>) -> Result<()> {
        node.verify()?;
        let level = node.level();
        ensure_at_most!(usize::from(level) + 1, MAX_LEVELS as usize, "levels of a delta tree")?;
        node.ensure(
            at.level.is_none_or(|expected| level == expected),
            "a child's level",
            level.into(),
        )?;
        node.ensure_that(node.low() == at.low, "the low fence that the parent says")?;
        node.ensure_that(node.low() < node.high(), "fences that ascend")?;
        node.ensure_that(node.high() <= at.high, "a page that ends where the next begins")?;
        let last = node.high() == Fence::MAX;
        node.ensure(
            last == (node.right() == 0),
            "a neighbour of each page but the last",
            node.right().into(),
        )?;
        if level > 0 {
            let children = node.children();
            let first = children.first().is_some_and(|child| child.low == node.low());
            node.ensure_that(first, "a first child that begins with its parent")?;
            let ascending = children.is_sorted_by(|left, right| left.low < right.low);
            node.ensure_that(ascending, "children that ascend")?;
            let inside = children.last().is_some_and(|child| child.low < node.high());
            node.ensure_that(inside, "children within the fences")?;
        }
        let slot = usize::from(level);
        if self.links.len() <= slot {
            self.links.resize(slot + 1, None);
        }
        if let Some((end, right)) = self.links[slot].replace((node.high(), node.right()))
            && end == node.low()
        {
            node.ensure(
                right == at.block,
                "the page that its left neighbour links to",
                right.into(),
            )?;
        }
        Ok(())
    }
}

fn expected_child<C: Code>(parent: &Delta<'_, C>, slot: usize) -> Expected<C> {
    let child = parent.child(slot);
    let next = slot + 1;
    let high = if next < parent.child_count() { parent.child(next).low } else { parent.high() };
    let level = parent.level().checked_sub(1);
    Expected { block: child.block, low: child.low, high, level }
}

/// The right neighbour of a page that ends before its parent's next child begins.
fn right_of<C: Code>(node: &Delta<'_, C>, at: Expected<C>) -> Result<Expected<C>> {
    node.ensure(node.right() != 0, "a right neighbour", 0)?;
    let level = Some(node.level());
    Ok(Expected { block: node.right(), low: node.high(), high: at.high, level })
}
