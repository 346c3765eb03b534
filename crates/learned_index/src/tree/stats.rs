//! Figures of an index for those who look after it: from the metapage, the directory, the model and
//! the inner pages of the delta trees. No leaf is read, so nothing is told of what only leaves
//! know: which entries are dead, and how their codes are written.

use super::attempt::{Attempt, Interruption, settled};
use super::directory::{UpperLevels, read_children, read_meta, read_model_pages};
use super::routes::{pages_of, read_node};
use crate::corruption::Result;
use crate::entry::{Block, Fence};
use crate::key::Code;
use crate::model::{Model, ModelKind};
use crate::page::delta::Tree;
use crate::page::history::History;
use crate::page::meta::{Identity, State};
use crate::store::Store;

/// Leaves of a delta tree whose entries are counted; of more leaves the others are estimated.
pub(super) const COUNTED_LEAVES: usize = 64;

/// What is known of an index without reading its leaves. All of it is of one state, but what
/// others add to the delta tree meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IndexStats {
    /// Pages of the file.
    pub pages: Block,
    /// Learned pages.
    pub leaves: Block,
    /// Pages of the directory.
    pub directory_pages: Block,
    /// Pages of the model.
    pub model_pages: Block,
    /// Pages of the delta trees.
    pub delta_pages: Block,
    /// Entries in leaves, dead ones included.
    pub entries: u64,
    /// Entries in delta trees: exact where they have few leaves.
    pub unmerged: u64,
    /// Whether a merge has begun and not ended.
    pub merging: bool,
    /// What was done last.
    pub history: History,
    /// How often pages were published since the build.
    pub generation: u64,
    /// What the model is.
    pub model: ModelKind,
    /// Its lines.
    pub segments: usize,
    /// Its length on disk, in bytes.
    pub model_bytes: u32,
    /// How far the model's predictions are off.
    pub errors: Errors,
}

impl IndexStats {
    /// Pages that are none of the above: free ones, those that mark dead entries of leaves, and
    /// those that a crash has left.
    pub fn other_pages(&self) -> Block {
        let known = [1, self.leaves, self.directory_pages, self.model_pages, self.delta_pages];
        known.into_iter().fold(self.pages, Block::saturating_sub)
    }
}

/// How far predictions are off, in leaves: for the first key of each leaf with values but the
/// first, where the model says it is, and where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Predictions.
    pub count: u64,
    /// The sum of what they are off.
    pub sum: u64,
    /// The most that one is off.
    pub max: u64,
}

impl Errors {
    /// What a prediction is off on average.
    pub fn average(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }

    fn add(&mut self, error: usize) {
        self.count += 1;
        self.sum += error as u64;
        self.max = self.max.max(error as u64);
    }
}

/// Reads the figures of an index.
///
/// # Errors
/// If a page is damaged.
pub fn stats<S: Store>(store: &S) -> Result<IndexStats> {
    loop {
        let (identity, state) = read_meta(store, &mut 0)?;
        if let Some(stats) = settled(read_stats(store, &identity, &state))? {
            return Ok(stats);
        }
    }
}

fn read_stats<S: Store>(
    store: &S,
    identity: &Identity,
    state: &State<S::Code>,
) -> Attempt<IndexStats> {
    let (model, model_blocks) = read_model_pages(store, state)?;
    let upper = UpperLevels::read(store, state)?;
    let errors = errors_of(store, identity, state, &upper, &model)?;
    let (mut delta_pages, mut unmerged) = (0, 0);
    for (tree, from) in [(state.active, Fence::MIN), (state.frozen, state.watermark)] {
        let Some(tree) = tree else { continue };
        let pages = pages_of(store, state.word, tree, from)?;
        delta_pages += pages.len() as Block;
        unmerged += entries_of(store, state.word, tree, from, &pages)?;
    }
    Ok(IndexStats {
        pages: store.blocks(),
        leaves: state.leaves,
        directory_pages: (upper.blocks.len() + upper.pages.len()) as Block,
        model_pages: model_blocks.len() as Block,
        delta_pages,
        entries: state.values.saturating_add(state.nulls),
        unmerged,
        merging: state.frozen.is_some(),
        history: state.history,
        generation: state.epoch.saturating_sub(identity.beginning()),
        model: model.kind(),
        segments: model.segments(),
        model_bytes: state.model_len,
        errors,
    })
}

/// Asks the model for the first key of each leaf. Keeps no more than a page of the directory.
fn errors_of<S: Store>(
    store: &S,
    identity: &Identity,
    state: &State<S::Code>,
    upper: &UpperLevels<S::Code>,
    model: &Model,
) -> Attempt<Errors> {
    let values = identity.value_leaves(state);
    let (mut errors, mut ordinal) = (Errors::default(), 0);
    for &page in &upper.pages {
        for child in read_children(store, state.word, page, 0)? {
            // The first leaf begins before all keys, wherever its first key is.
            if values.start < ordinal && ordinal < values.end {
                let predicted = model.predict(child.low.code.word()).position;
                // Models count the leaves that begin at or before a key.
                errors.add(predicted.abs_diff(ordinal - values.start + 1));
            }
            ordinal += 1;
        }
    }
    Ok(errors)
}

/// The entries of a delta tree from a position on. `pages` are those of the tree, its leaves last.
fn entries_of<S: Store>(
    store: &S,
    word: u64,
    tree: Tree,
    from: Fence<S::Code>,
    pages: &[Block],
) -> Attempt<u64> {
    let mut inner = 0;
    for &block in pages {
        if read_node(store, word, tree.name, block, 0)?.view().level() == 0 {
            break;
        }
        inner += 1;
    }
    let leaves = &pages[inner..];
    if leaves.is_empty() {
        // The root was a leaf when its pages were listed, and has grown since.
        return Err(Interruption::Changed);
    }
    let (mut entries, mut counted) = (0, 0);
    for &block in leaves.iter().step_by(leaves.len().div_ceil(COUNTED_LEAVES)) {
        let open = read_node(store, word, tree.name, block, 0)?;
        open.view().visit(from, Fence::MAX, |_, _| entries += 1)?;
        counted += 1;
    }
    Ok((entries as f64 * leaves.len() as f64 / counted as f64).round() as u64)
}
