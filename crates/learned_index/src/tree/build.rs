//! Writing a new index from entries in order: leaves, directory, model, metapage.

use super::leaf::{LeafRef, OpenLeaf};
use super::leaf_cutter::{LeafCutter, NewLeaf};
use crate::corruption::Result;
use crate::entries::Entries;
use crate::entry::{Block, Fence, HeapTid};
use crate::key::{Code, NullClass, Word};
use crate::memory::{Add, listed, with_room};
use crate::model::{Model, ModelChoice};
use crate::page::directory::{self, Child};
use crate::page::history::{History, Training};
use crate::page::meta::{self, Identity, State};
use crate::page::{PAGE_SIZE, PageBytes, blob, free_page, leaf_builder};
use crate::store::BulkStore;

/// What the user chose for an index.
#[derive(Clone, Copy, Debug)]
pub struct BuildOptions {
    /// The model over the leaf fences.
    pub model: ModelChoice,
    /// Percent of each leaf to fill, 10 to 100.
    pub fillfactor: u32,
}

/// Writes the pages of an index. Takes all values first, then all NULLs, each in index order.
pub struct Builder<W: BulkStore> {
    identity: Identity,
    options: BuildOptions,
    cutter: LeafCutter<W::Code>,
    last: Option<(W::Code, HeapTid)>,
    written: Written<W>,
}

/// Where the leaves went.
struct Written<W: BulkStore> {
    store: W,
    value_leaves: Vec<Child<W::Code>>,
    null_leaves: Vec<Child<W::Code>>,
    /// First code of each leaf of values: what the model learns.
    first_codes: Vec<Word>,
    values: u64,
    nulls: u64,
}

impl<W: BulkStore> Written<W> {
    fn add(&mut self, leaf: NewLeaf<W::Code>) {
        let child = leaf.child(self.store.append(&leaf.page));
        if leaf.class == NullClass::Value {
            self.value_leaves.add(child);
            self.first_codes.add(leaf.first_code.word());
            self.values += leaf.entries as u64;
        } else {
            self.null_leaves.add(child);
            self.nulls += leaf.entries as u64;
        }
    }
}

impl<W: BulkStore> Builder<W> {
    /// Begins an index at block 0 of `store`.
    pub fn new(mut store: W, identity: Identity, options: BuildOptions) -> Builder<W> {
        store.rewind();
        // Block 0 is the metapage, written last.
        store.append(&[0; PAGE_SIZE]);
        let low =
            if identity.nulls_first() { Fence::start_of(NullClass::Value) } else { Fence::MIN };
        let written = Written {
            store,
            value_leaves: Vec::new(),
            null_leaves: Vec::new(),
            first_codes: Vec::new(),
            values: 0,
            nulls: 0,
        };
        let cutter =
            LeafCutter::new(options.fillfactor, NullClass::Value, low, identity.beginning());
        Builder { identity, options, cutter, last: None, written }
    }

    /// Adds a value, unless it is before the one added last: then nothing happens and the
    /// answer is false.
    #[inline]
    pub fn try_push(&mut self, code: W::Code, tid: HeapTid) -> bool {
        if self.last.is_some_and(|last| (code, tid) <= last) {
            return false;
        }
        self.last = Some((code, tid));
        let written = &mut self.written;
        self.cutter.push(code, tid, |leaf| written.add(leaf));
        true
    }

    /// Ends the values; what is pushed from here on is NULL, with code 0.
    pub fn begin_nulls(&mut self) {
        let class = self.identity.null_class();
        let end = if class == NullClass::NullsLast { Fence::start_of(class) } else { Fence::MAX };
        self.finish_class(end);
        let low = match class {
            NullClass::NullsLast if self.written.values > 0 => Fence::start_of(class),
            _ => Fence::MIN,
        };
        self.cutter.begin(class, low);
        self.last = None;
    }

    /// Takes everything back that was added, in the order in which it was, as (code, TID). The
    /// store's pages may be written anew after that.
    ///
    /// # Errors
    /// If a page does not come back as it was written.
    pub fn into_entries(mut self, mut emit: impl FnMut(W::Code, HeapTid)) -> Result<W> {
        let mut entries = Entries::default();
        for leaf in &self.written.value_leaves {
            let page = self.written.store.read_back(leaf.block);
            let open = OpenLeaf::check(page, LeafRef::unknown(0, leaf), 0)?;
            entries.clear();
            open.view().decode(0, open.view().entries(), &mut entries)?;
            entries.iter().for_each(|entry| emit(entry.key.code, entry.tid));
        }
        self.cutter.gathered().for_each(|entry| emit(entry.key.code, entry.tid));
        Ok(self.written.store)
    }

    /// Writes the rest, and the metapage at last. Returns the store and what was written.
    pub fn finish(mut self) -> (W, State<W::Code>) {
        let end = match self.cutter.class() {
            NullClass::NullsFirst if self.written.values > 0 => Fence::start_of(NullClass::Value),
            _ => Fence::MAX,
        };
        self.finish_class(end);
        if self.written.nulls == 0 {
            self.open_first_value_leaf();
        }
        let Written { store, value_leaves, null_leaves, first_codes, values, nulls } =
            &mut self.written;
        let leaves: Vec<Child<W::Code>> = match self.identity.nulls_first() {
            true => listed(null_leaves.iter().chain(value_leaves.iter()).copied()),
            false => listed(value_leaves.iter().chain(null_leaves.iter()).copied()),
        };
        let birth = self.identity.beginning();
        let directory_root = write_directory(&leaves, birth, |page| store.append(page));
        let begun = store.now();
        let model = Model::train(self.options.model, first_codes);
        let (model_root, model_len) =
            write_model(&model.to_bytes(), birth, |page| store.append(page));
        let training = Training::between(begun, store.now());
        // An earlier attempt, with the keys in another order, may have written more pages.
        store.replace_rest(&free_page());
        let state = State {
            word: birth,
            epoch: birth,
            directory_root,
            leaves: leaves.len() as u32,
            null_leaves: null_leaves.len() as u32,
            model_root,
            model_len,
            model_kind: model.kind() as u8,
            model_birth: birth,
            model_leaves: value_leaves.len() as u32,
            stale: meta::NOTHING_STALE,
            active: None,
            frozen: None,
            watermark: Fence::MIN,
            values: *values,
            nulls: *nulls,
            history: History { training, ..History::default() },
        };
        store.overwrite(0, &meta::encode(&self.identity, &state));
        (self.written.store, state)
    }

    fn finish_class(&mut self, end: Fence<W::Code>) {
        let written = &mut self.written;
        self.cutter.finish(end, |leaf| written.add(leaf));
    }

    /// Without NULLs before it, the first leaf of values begins at minus infinity.
    fn open_first_value_leaf(&mut self) {
        let Written { store, value_leaves, .. } = &mut self.written;
        if let Some(first) = value_leaves.first_mut().filter(|first| first.low != Fence::MIN) {
            first.low = Fence::MIN;
            let mut page: Box<PageBytes> = store.read_back(first.block);
            leaf_builder::set_low::<W::Code>(&mut page, Fence::MIN);
            store.overwrite(first.block, &page);
        }
    }
}

/// Writes a directory over leaves. Returns its top page.
fn write_directory<C: Code>(
    leaves: &[Child<C>],
    birth: u64,
    mut write: impl FnMut(&PageBytes) -> Block,
) -> Block {
    let mut children = listed(leaves.iter().copied());
    let mut level = 0;
    loop {
        let parents = write_level(&children, level, birth, &mut write);
        match parents.as_slice() {
            [] => return 0,
            [root] => return root.block,
            _ => children = parents,
        }
        level += 1;
    }
}

/// Writes one level of a directory. Returns the places of its pages in the level above.
pub(super) fn write_level<C: Code>(
    children: &[Child<C>],
    level: u16,
    birth: u64,
    mut write: impl FnMut(&PageBytes) -> Block,
) -> Vec<Child<C>> {
    let mut parents = with_room(children.len() / directory::capacity::<C>() + 1);
    for group in children.chunks(directory::capacity::<C>()) {
        let block = write(&directory::encode(level, group, birth));
        let leaves = group.iter().map(|child| child.leaves).sum();
        parents.push(Child { low: group[0].low, block, leaves, birth });
    }
    parents
}

/// Writes the pages of a model. Returns the first one, and the length in bytes.
pub(super) fn write_model(
    bytes: &[u8],
    birth: u64,
    mut write: impl FnMut(&PageBytes) -> Block,
) -> (Block, u32) {
    // From the last piece to the first: each knows the block of the one behind it.
    let mut next = None;
    for piece in bytes.chunks(blob::CAPACITY).rev() {
        next = Some(write(&blob::encode(piece, next, birth)));
    }
    (next.unwrap_or(0), bytes.len() as u32)
}
