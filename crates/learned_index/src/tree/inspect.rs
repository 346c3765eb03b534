//! Looking into an index: what its model says of a key, the lines that it is made of, and how full
//! leaves are. Leaves are named by their ordinals, from 0.

use super::attempt::{Attempt, settled};
use super::directory::{Directory, UpperLevels, read_children, read_meta, read_model};
use super::leaf::{LeafRef, read_leaf};
use crate::corruption::Result;
use crate::entry::{Block, Fence};
use crate::key::{Code, Key, NullClass};
use crate::memory::Add;
use crate::model::Segment;
use crate::page::CONTENT_START;
use crate::page::meta::{Identity, State};
use crate::store::Store;

/// What the model says of a key, and what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predicted {
    /// The last leaf that may have the key.
    pub leaf: usize,
    /// Where it is.
    pub block: Block,
    /// What the model says; none of NULLs, of which it knows nothing.
    pub model: Option<ModelAnswer>,
}

/// What a model says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelAnswer {
    /// The last leaf that may have the key.
    pub leaf: usize,
    /// The first and the last leaf that the search tries at first.
    pub window: (usize, usize),
}

impl Predicted {
    /// Whether the search had to leave the window.
    pub fn is_outside(&self) -> bool {
        self.model.is_some_and(|model| self.leaf < model.window.0 || model.window.1 < self.leaf)
    }
}

/// Asks the model for a key. `None` if there are no leaves.
///
/// # Errors
/// If a page is damaged.
pub fn predict<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    key: Key<S::Code>,
) -> Result<Option<Predicted>> {
    loop {
        directory.refresh(store)?;
        if let Some(found) = settled(try_predict(store, directory, key))? {
            return Ok(found);
        }
    }
}

fn try_predict<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    key: Key<S::Code>,
) -> Attempt<Option<Predicted>> {
    // Models count the leaves that begin at or before a key, whatever the heap TIDs.
    let Some(found) = directory.route(store, Fence::after(key))? else { return Ok(None) };
    let state = directory.state();
    let values = directory.identity().value_leaves(state);
    let model = if key.class == NullClass::Value && !values.is_empty() {
        let answer = read_model(store, state)?.predict(key.code.word());
        let leaf = |position: usize| values.start + position.clamp(1, values.len()) - 1;
        let window = (leaf(answer.low), leaf(answer.high));
        Some(ModelAnswer { leaf: leaf(answer.position), window })
    } else {
        None
    };
    Ok(Some(Predicted { leaf: found.ordinal, block: found.block, model }))
}

/// A line of the model, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlacedSegment<C> {
    /// The line. Its answers are numbers of leaves with values.
    pub segment: Segment,
    /// The first leaf that begins at its first code or behind it; none if there is none any more.
    pub first: Option<usize>,
    /// The code at which that leaf begins.
    pub code: Option<C>,
}

/// The lines of the model.
///
/// # Errors
/// If a page is damaged.
pub fn segments<S: Store>(store: &S) -> Result<Vec<PlacedSegment<S::Code>>> {
    loop {
        let (identity, state) = read_meta(store, &mut 0)?;
        if let Some(found) = settled(try_segments(store, &identity, &state))? {
            return Ok(found);
        }
    }
}

fn try_segments<S: Store>(
    store: &S,
    identity: &Identity,
    state: &State<S::Code>,
) -> Attempt<Vec<PlacedSegment<S::Code>>> {
    let mut rest = read_model(store, state)?.lines().into_iter().peekable();
    let values = identity.value_leaves(state);
    let (mut placed, mut ordinal) = (Vec::new(), 0);
    for page in UpperLevels::read(store, state)?.pages {
        for child in read_children(store, state.word, page, 0)? {
            let leaf = ordinal;
            ordinal += 1;
            if !values.contains(&leaf) {
                continue;
            }
            // The first one begins before all keys, far from its first entry.
            let mut code = Some(child.low.code);
            if leaf == values.start {
                let at = LeafRef::unknown(leaf, &child);
                code = read_leaf(store, state.word, at)?.view().first_code();
            }
            let word = code.map_or(0, |code| code.word());
            while let Some(segment) = rest.next_if(|segment| segment.first <= word) {
                placed.add(PlacedSegment { segment, first: Some(leaf), code });
            }
        }
    }
    placed.add_all(rest.map(|segment| PlacedSegment { segment, first: None, code: None }));
    Ok(placed)
}

/// How full a leaf is, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFigures<C> {
    /// Where it is.
    pub block: Block,
    /// The null class of its entries.
    pub class: NullClass,
    /// The code of its first entry, if there is one.
    pub first: Option<C>,
    /// Its entries, dead ones included.
    pub entries: usize,
    /// Those that are marked as dead.
    pub dead: usize,
    /// Bytes that its content takes, headers of the page left out.
    pub bytes: usize,
    /// The names of the forms of codes and heap TIDs, for each of its blocks.
    pub forms: Vec<(&'static str, &'static str)>,
}

/// Reads the figures of a leaf. `None` if there are not as many.
///
/// # Errors
/// If a page is damaged.
pub fn leaf<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    ordinal: usize,
) -> Result<Option<LeafFigures<S::Code>>> {
    loop {
        directory.refresh(store)?;
        if ordinal >= directory.leaves() {
            return Ok(None);
        }
        if let Some(found) = settled(try_leaf(store, directory, ordinal))? {
            return Ok(Some(found));
        }
    }
}

fn try_leaf<S: Store>(
    store: &S,
    directory: &mut Directory<S::Code>,
    ordinal: usize,
) -> Attempt<LeafFigures<S::Code>> {
    let at = directory.leaf(store, ordinal)?;
    // Copied, so that it is not locked for long.
    let copied = read_leaf(store, directory.state().word, at)?.copied();
    let leaf = copied.view();
    let first = leaf.first_code().filter(|_| leaf.class() == NullClass::Value);
    Ok(LeafFigures {
        block: leaf.at(),
        class: leaf.class(),
        first,
        entries: leaf.entries(),
        dead: leaf.tombstones(),
        bytes: leaf.content_end() - CONTENT_START,
        forms: leaf.forms()?,
    })
}
