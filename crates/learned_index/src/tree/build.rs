//! Writing a new index from entries in order: leaves, directory, model, metapage.

use crate::corruption::Result;
use crate::entry::{Block, Fence, HeapTid};
use crate::key::NullClass;
use crate::model::{Model, ModelChoice};
use crate::page::directory::{self, Child};
use crate::page::leaf::{Leaf, MAX_ENTRIES, TidStride};
use crate::page::leaf_builder::{FilledLeaf, LeafBuilder};
use crate::page::meta::{self, Identity, State};
use crate::page::{PAGE_SIZE, PageBytes, PageKind, blob, leaf_builder, new_page, verify_seal};
use crate::store::BulkStore;

/// What the user chose for an index.
#[derive(Clone, Copy, Debug)]
pub struct BuildOptions {
    /// The model over the leaf fences.
    pub model: ModelChoice,
    /// Percent of each leaf to fill, 10 to 100.
    pub fillfactor: u32,
}

/// Entries that are gathered before leaves are cut from them.
const GATHER: usize = 2 * MAX_ENTRIES;
/// The state word of an index that nothing was published in.
const FIRST_WORD: u64 = 1 << 32;

/// Writes the pages of an index. Takes all values first, then all NULLs, each in index order.
pub struct Builder<W> {
    store: W,
    identity: Identity,
    options: BuildOptions,
    filler: LeafBuilder,
    /// The null class of the entries being gathered.
    class: NullClass,
    /// Entries that are not yet in a leaf; those before `taken` are.
    codes: Vec<u64>,
    tids: Vec<HeapTid>,
    tid_codes: Vec<u64>,
    taken: usize,
    last: Option<(u64, HeapTid)>,
    /// The largest line pointer so far.
    stride: u16,
    low: Fence,
    value_leaves: Vec<Child>,
    null_leaves: Vec<Child>,
    /// First code of each leaf of values: what the model learns.
    first_codes: Vec<u64>,
    values: u64,
    nulls: u64,
}

impl<W: BulkStore> Builder<W> {
    /// Begins an index at block 0 of `store`.
    pub fn new(mut store: W, identity: Identity, options: BuildOptions) -> Builder<W> {
        store.rewind();
        // Block 0 is the metapage, written last.
        store.append(&[0; PAGE_SIZE]);
        let low = if identity.nulls_first { Fence::start_of(NullClass::Value) } else { Fence::MIN };
        Builder {
            store,
            identity,
            options,
            filler: LeafBuilder::new(options.fillfactor),
            class: NullClass::Value,
            codes: Vec::new(),
            tids: Vec::new(),
            tid_codes: Vec::new(),
            taken: 0,
            last: None,
            stride: 1,
            low,
            value_leaves: Vec::new(),
            null_leaves: Vec::new(),
            first_codes: Vec::new(),
            values: 0,
            nulls: 0,
        }
    }

    /// Adds a value, unless it is before the one added last: then nothing happens and the
    /// answer is false.
    #[inline]
    pub fn try_push(&mut self, code: u64, tid: HeapTid) -> bool {
        if self.last.is_some_and(|last| (code, tid) <= last) {
            return false;
        }
        self.last = Some((code, tid));
        self.codes.push(code);
        self.tids.push(tid);
        if self.codes.len() >= GATHER {
            // A leaf that was filled too early is filled again, with what follows.
            drop(self.cut_leaves(MAX_ENTRIES));
        }
        true
    }

    /// Ends the values; what is pushed from here on is NULL, with code 0.
    pub fn begin_nulls(&mut self) {
        let class = match self.identity.nulls_first {
            true => NullClass::NullsFirst,
            false => NullClass::NullsLast,
        };
        let end = if class == NullClass::NullsLast { Fence::start_of(class) } else { Fence::MAX };
        self.finish_class(end);
        self.class = class;
        self.low = match class {
            NullClass::NullsLast if self.values > 0 => Fence::start_of(class),
            _ => Fence::MIN,
        };
        self.last = None;
    }

    /// Takes everything back that was added, in the order in which it was, as (code, TID). The
    /// store's pages may be written anew after that.
    ///
    /// # Errors
    /// If a page does not come back as it was written.
    pub fn into_entries(mut self, mut emit: impl FnMut(u64, HeapTid)) -> Result<W> {
        let (mut codes, mut tids) = (Vec::new(), Vec::new());
        for leaf in &self.value_leaves {
            let page = self.store.read_back(leaf.block);
            let decoded = verify_seal(&page)
                .and_then(|()| Leaf::parse(&page))
                .and_then(|leaf| leaf.decode(0, leaf.entries(), &mut codes, &mut tids));
            decoded.map_err(|corruption| corruption.at(leaf.block))?;
            codes.drain(..).zip(tids.drain(..)).for_each(|(code, tid)| emit(code, tid));
        }
        let gathered = self.codes[self.taken..].iter().zip(&self.tids[self.taken..]);
        gathered.for_each(|(&code, &tid)| emit(code, tid));
        Ok(self.store)
    }

    /// Writes the rest, and the metapage at last. Returns the store and what was written.
    pub fn finish(mut self) -> (W, State) {
        let end = match self.class {
            NullClass::NullsFirst if self.values > 0 => Fence::start_of(NullClass::Value),
            _ => Fence::MAX,
        };
        self.finish_class(end);
        if self.nulls == 0 {
            self.open_first_value_leaf();
        }
        let leaves: Vec<Child> = match self.identity.nulls_first {
            true => self.null_leaves.iter().chain(&self.value_leaves).copied().collect(),
            false => self.value_leaves.iter().chain(&self.null_leaves).copied().collect(),
        };
        let directory_root = self.write_directory(&leaves);
        let model = Model::train(self.options.model, &self.first_codes);
        let (model_root, model_len) = self.write_model(&model.to_bytes());
        // An earlier attempt, with the keys in another order, may have written more pages.
        self.store.replace_rest(&new_page(PageKind::Free, 0));
        let state = State {
            word: FIRST_WORD,
            epoch: 0,
            directory_root,
            leaves: leaves.len() as u32,
            null_leaves: self.null_leaves.len() as u32,
            model_root,
            model_len,
            model_kind: model.kind() as u8,
            active_delta: 0,
            frozen_delta: 0,
            watermark: Fence::MIN,
            values: self.values,
            nulls: self.nulls,
        };
        self.store.overwrite(0, &meta::encode(&self.identity, &state));
        (self.store, state)
    }

    /// Cuts leaves off the front of what was gathered until no more than `keep` entries are left,
    /// or until the rest fits one leaf: then that leaf, which is not written yet, is returned.
    fn cut_leaves(&mut self, keep: usize) -> Option<FilledLeaf> {
        self.number_tids();
        let mut last = None;
        while self.codes.len() - self.taken > keep {
            let filled = self.filler.fill(&self.codes[self.taken..], &self.tid_codes[self.taken..]);
            let next = self.taken + filled.entries;
            if next == self.codes.len() {
                // Perhaps the last leaf of the class: its high fence is not known yet.
                last = Some(filled);
                break;
            }
            let high = self.fence_between(next - 1, next);
            self.write_leaf(filled, high);
        }
        self.codes.drain(..self.taken);
        self.tids.drain(..self.taken);
        self.tid_codes.drain(..self.taken);
        self.taken = 0;
        last
    }

    fn finish_class(&mut self, end: Fence) {
        if let Some(last) = self.cut_leaves(0) {
            self.write_leaf(last, end);
        }
        // A leaf takes at least one entry: the loop ends with none left, or with the last leaf.
        assert_eq!(self.taken, self.codes.len(), "entries left over");
        self.codes.clear();
        self.tids.clear();
        self.tid_codes.clear();
        self.taken = 0;
    }

    /// Brings the numbers of the gathered TIDs up to date. A larger line pointer than ever before
    /// changes all of them.
    fn number_tids(&mut self) {
        let new = &self.tids[self.tid_codes.len()..];
        let largest = new.iter().map(|tid| tid.offset()).max().unwrap_or(0);
        if largest > self.stride {
            self.stride = largest;
            self.tid_codes.clear();
        }
        let stride = TidStride::new(self.stride);
        let new = &self.tids[self.tid_codes.len()..];
        self.tid_codes.extend(new.iter().map(|&tid| stride.encode(tid)));
    }

    /// The boundary between two gathered entries. Between different codes it is the larger one
    /// without a TID, so that whoever looks for that code comes to the right leaf at once.
    fn fence_between(&self, left: usize, right: usize) -> Fence {
        let code = self.codes[right];
        let tid = if self.codes[left] == code { self.tids[right] } else { HeapTid::MIN };
        Fence { class: self.class as u8, code, tid }
    }

    fn write_leaf(&mut self, filled: FilledLeaf, high: Fence) {
        let first_code = self.codes[self.taken];
        let entries = filled.entries;
        let low = std::mem::replace(&mut self.low, high);
        let page = filled.into_page(self.class, low, high, self.stride, 0);
        let block = self.store.append(&page);
        let child = Child { low, block, leaves: 1 };
        if self.class == NullClass::Value {
            self.value_leaves.push(child);
            self.first_codes.push(first_code);
            self.values += entries as u64;
        } else {
            self.null_leaves.push(child);
            self.nulls += entries as u64;
        }
        self.taken += entries;
    }

    /// Without NULLs before it, the first leaf of values begins at minus infinity.
    fn open_first_value_leaf(&mut self) {
        if let Some(first) = self.value_leaves.first_mut().filter(|first| first.low != Fence::MIN) {
            first.low = Fence::MIN;
            let mut page: Box<PageBytes> = self.store.read_back(first.block);
            leaf_builder::set_low(&mut page, Fence::MIN);
            self.store.overwrite(first.block, &page);
        }
    }

    fn write_directory(&mut self, leaves: &[Child]) -> Block {
        let mut children = leaves.to_vec();
        let mut level = 0;
        loop {
            let mut parents = Vec::with_capacity(children.len() / directory::CAPACITY + 1);
            for group in children.chunks(directory::CAPACITY) {
                let block = self.store.append(&directory::encode(level, group, 0));
                let leaves = group.iter().map(|child| child.leaves).sum();
                parents.push(Child { low: group[0].low, block, leaves });
            }
            match parents.as_slice() {
                [] => return 0,
                [root] => return root.block,
                _ => children = parents,
            }
            level += 1;
        }
    }

    fn write_model(&mut self, bytes: &[u8]) -> (Block, u32) {
        // From the last piece to the first: each knows the block of the one behind it.
        let mut next = None;
        for piece in bytes.chunks(blob::CAPACITY).rev() {
            next = Some(self.store.append(&blob::encode(piece, next, 0)));
        }
        (next.unwrap_or(0), bytes.len() as u32)
    }
}
