//! Reading the metapage, the directory and the model from disk.

use crate::corruption::{Corruption, Result, ensure, ensure_at_most, ensure_that};
use crate::entry::{Block, Fence};
use crate::key::Code;
use crate::memory::{Add, with_room};
use crate::model::{MAX_BLOB_BYTES, Model};
use crate::page::directory::{self, Child};
use crate::page::meta::{self, Identity, State};
use crate::page::{self, PageBytes, blob};
use crate::store::{Hint, Store};
use crate::tree::attempt::{Attempt, read_current};

/// The most levels of directory pages; four of them hold 4 * 10^9 leaves.
const MAX_LEVELS: u16 = 8;

/// Reads the metapage.
pub fn read_meta<S: Store>(store: &S, hint: &mut Hint) -> Result<(Identity, State<S::Code>)> {
    let page = store.read(0, *hint);
    *hint = S::hint(&page);
    meta::decode(&page).map_err(|corruption| corruption.at(0))
}

/// Reads a directory page of a level that a parent points to.
pub(in crate::tree) fn read_children<S: Store>(
    store: &S,
    word: u64,
    parent: Child<S::Code>,
    level: u16,
) -> Attempt<Vec<Child<S::Code>>> {
    let (found, children) = read_page(store, word, parent)?;
    ensure(found == level, "a directory page of this level", found.into())
        .map_err(|corruption| corruption.at(parent.block))?;
    Ok(children)
}

/// Reads a directory page and checks it against what its parent says of it.
fn read_page<S: Store>(
    store: &S,
    word: u64,
    parent: Child<S::Code>,
) -> Attempt<(u16, Vec<Child<S::Code>>)> {
    let page = read_current(store, word, parent.block, 0)?;
    decode_page(&page, parent)
}

fn decode_page<C: Code>(page: &PageBytes, parent: Child<C>) -> Attempt<(u16, Vec<Child<C>>)> {
    let checked = directory::decode(page).and_then(|(level, children)| {
        let birth = page::birth(page);
        ensure(birth == parent.birth, "the directory page that the parent means", birth)?;
        let leaves = children.iter().fold(0u32, |sum, child| sum.saturating_add(child.leaves));
        ensure(leaves == parent.leaves, "as many leaves as the parent says", leaves.into())?;
        let single = level > 0 || children.iter().all(|child| child.leaves == 1);
        ensure(single, "one leaf a child", leaves.into())?;
        let first = children.first().map(|child| child.low);
        ensure_that(first == Some(parent.low), "the low fence that the parent says")?;
        Ok((level, children))
    });
    checked.map_err(|corruption| corruption.at(parent.block).into())
}

/// What stands above the lowest level of a directory.
pub(in crate::tree) struct UpperLevels<C> {
    /// The directory pages of the lowest level.
    pub(in crate::tree) pages: Vec<Child<C>>,
    /// The leaves, where one page is the whole directory.
    pub(in crate::tree) leaves: Option<Vec<Child<C>>>,
    /// Blocks of the pages above the lowest level.
    pub(in crate::tree) blocks: Vec<Block>,
}

impl<C: Code> UpperLevels<C> {
    pub(in crate::tree) fn read<S: Store<Code = C>>(
        store: &S,
        state: &State<C>,
    ) -> Attempt<UpperLevels<C>> {
        if state.leaves == 0 {
            return Ok(UpperLevels { pages: Vec::new(), leaves: None, blocks: Vec::new() });
        }
        let block = state.directory_root;
        let page = read_current(store, state.word, block, 0)?;
        // Nothing but the state points to it.
        let birth = page::birth(&page);
        let root = Child { low: Fence::MIN, block, leaves: state.leaves, birth };
        let (mut level, children) = decode_page(&page, root)?;
        drop(page);
        ensure_at_most!(usize::from(level) + 1, MAX_LEVELS as usize, "levels of a directory")
            .map_err(|corruption| corruption.at(block))?;
        if level == 0 {
            let leaves = Some(children);
            return Ok(UpperLevels { pages: vec![root], leaves, blocks: Vec::new() });
        }
        let mut pages = children;
        let mut blocks = vec![block];
        while level > 1 {
            level -= 1;
            let mut below = Vec::new();
            for page in pages {
                blocks.add(page.block);
                below.add_all(read_children(store, state.word, page, level)?);
            }
            pages = below;
        }
        Ok(UpperLevels { pages, leaves: None, blocks })
    }
}

/// Reads the model.
pub fn read_model<S: Store>(store: &S, state: &State<S::Code>) -> Attempt<Model> {
    Ok(read_model_pages(store, state)?.0)
}

/// Reads the model, and tells the blocks of its pages.
pub(in crate::tree) fn read_model_pages<S: Store>(
    store: &S,
    state: &State<S::Code>,
) -> Attempt<(Model, Vec<Block>)> {
    let len = state.model_len as usize;
    ensure_at_most!(len, MAX_BLOB_BYTES, "bytes of a model")?;
    let (mut bytes, mut blocks) = (with_room(len), Vec::new());
    let mut next = Some(state.model_root).filter(|_| len > 0);
    while let Some(block) = next {
        let page = read_current(store, state.word, block, 0)?;
        let named = |corruption: Corruption| corruption.at(block);
        let birth = page::birth(&page);
        ensure(birth == state.model_birth, "a page of the model that is meant", birth)
            .map_err(named)?;
        let (piece, following) = blob::decode(&page).map_err(named)?;
        // A full piece or the last one: links that go round end here.
        ensure_that(bytes.len() + piece.len() <= len && !piece.is_empty(), "a model of its length")
            .map_err(|corruption| corruption.at(block))?;
        bytes.extend_from_slice(piece);
        blocks.add(block);
        next = following;
    }
    ensure(bytes.len() == len, "a model of its length", bytes.len() as u64)?;
    let model = Model::from_bytes(&bytes)
        .ok()
        .filter(|model| model.kind() as u8 == state.model_kind)
        .ok_or(Corruption::not("a model of its kind").at(state.model_root))?;
    Ok((model, blocks))
}
