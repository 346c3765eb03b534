//! Which blocks a state refers to, and what the others are.

use std::collections::{HashMap, HashSet};

use super::attempt::Attempt;
use super::directory::{UpperLevels, read_children, read_model_pages};
use crate::corruption::{Result, ensure};
use crate::entry::Block;
use crate::key::Code;
use crate::memory::Room;
use crate::page::delta::{Delta, Head};
use crate::page::meta::State;
use crate::page::{self, PageBytes, PageKind, is_kind};
use crate::store::Store;

/// The blocks that a state refers to, delta trees left out: their pages name their tree.
pub(super) struct Used {
    /// Leaves, with their ordinals and births.
    pub(super) leaves: HashMap<Block, (u32, u64)>,
    /// Directory pages and model pages, and what else is added with [`Used::take`].
    pub(super) others: HashSet<Block>,
}

impl Used {
    /// Reads the directory and the model.
    pub(super) fn read<S: Store>(store: &S, state: &State<S::Code>) -> Attempt<Used> {
        let mut used = Used { leaves: HashMap::new(), others: HashSet::from([0]) };
        used.leaves.make_room(state.leaves as usize);
        let upper = UpperLevels::read(store, state)?;
        for page in upper.blocks {
            used.take(page)?;
        }
        for page in upper.pages {
            used.take(page.block)?;
            for child in read_children(store, state.word, page, 0)? {
                let once = !used.others.contains(&child.block);
                let leaf = (used.leaves.len() as u32, child.birth);
                let once = once && used.leaves.insert(child.block, leaf).is_none();
                ensure(once, EACH_IN_ONE_PLACE, child.block.into())
                    .map_err(|corruption| corruption.at(page.block))?;
            }
        }
        for block in read_model_pages(store, state)?.1 {
            used.take(block)?;
        }
        Ok(used)
    }

    /// Adds a page that serves as something else than all others.
    pub(super) fn take(&mut self, block: Block) -> Result<()> {
        self.others.make_room(1);
        let once = !self.leaves.contains_key(&block) && self.others.insert(block);
        ensure(once, EACH_IN_ONE_PLACE, block.into()).map_err(|corruption| corruption.at(block))
    }
}

const EACH_IN_ONE_PLACE: &str = "each page in one place";

/// Whether a page belongs, or may belong, to a delta tree: one of the state's, or one that is
/// being opened right now.
pub(super) fn is_of_delta<C: Code>(page: &PageBytes, state: &State<C>) -> bool {
    if !is_kind(page, PageKind::Delta) {
        return false;
    }
    let name = page::birth(page);
    if name > state.word || state.active.is_some_and(|tree| tree.name == name) {
        return true;
    }
    let frozen = state.frozen.is_some_and(|tree| tree.name == name);
    // A leaf that the watermark has left behind is of no use any more.
    let is_ahead = |page: Delta<'_, C>| page.level() > 0 || page.high() > state.watermark;
    frozen && Head::parse(page, name, 0).is_ok_and(|head| is_ahead(head.of(page)))
}
