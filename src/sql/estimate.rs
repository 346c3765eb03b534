//! How large a learned index in the place of a B-tree would be: runs of the B-tree's entries are
//! written into learned pages in memory, by the code that builds an index.

use std::collections::BTreeMap;

use learned_index::corruption::Result;
use learned_index::entry::{Block, Entry};
use learned_index::key::NullClass;
use learned_index::model::ModelChoice;
use learned_index::page::leaf::MAX_ENTRIES;
use learned_index::page::{PAGE_SIZE, directory};
use learned_index::store::Store;
use learned_index::store::memory::MemoryStore;
use learned_index::tree::build::{BuildOptions, Builder};
use learned_index::tree::directory::Directory;
use learned_index::tree::inspect;
use pgrx::check_for_interrupts;

use super::nbtree::BTreeLeaf;
use crate::column::KeyColumns;
use crate::column::code::IndexCode;
use crate::relation::OpenIndex;
use crate::storage::buffers::IndexStore;

/// Blocks of the B-tree that are looked at, evenly spread, and how many of them begin a run.
const LOOKED_AT: usize = 256;
const RUNS: usize = 12;
/// Entries of a run at first, and at most: a run goes on until it fills some learned pages.
const FIRST_ENTRIES: usize = 16_384;
const MOST_ENTRIES: usize = 4 * MAX_ENTRIES;
const ENOUGH_LEAVES: usize = 3;
/// Bytes of a learned page that are no content.
const HEADERS: usize = 48;

/// What a learned index would be.
pub(super) struct Estimate {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// The forms of most blocks of keys.
    pub(super) codecs: Option<String>,
}

/// What became of a run.
struct Encoded {
    entries: usize,
    leaves: f64,
}

/// Estimates the size of a learned index with the entries of a B-tree.
///
/// # Safety
/// `index` is an open B-tree with columns that a learned index can have.
pub(super) unsafe fn estimate<C: IndexCode>(index: OpenIndex) -> Result<Estimate> {
    let store: IndexStore<C> = IndexStore::new(index);
    // Block 0 is the metapage.
    let blocks = store.blocks().saturating_sub(1) as usize;
    let looked_at = blocks.min(LOOKED_AT);
    let place = |number: usize| (1 + number * blocks / looked_at) as Block;
    let (mut leaves, mut counted) = (Vec::new(), 0);
    for block in (0..looked_at).map(place) {
        if let Some(leaf) = BTreeLeaf::read(&store, block) {
            let count = leaf.count();
            counted += count;
            leaves.push((block, count));
        }
    }
    let entries = (counted as f64 * blocks as f64 / looked_at.max(1) as f64).round();
    let (mut forms, mut pages, mut weight) = (BTreeMap::new(), 0.0, 0.0);
    let step = leaves.len().div_ceil(RUNS).max(1);
    for &(block, count) in leaves.iter().step_by(step) {
        // SAFETY: by contract.
        let encoded = unsafe { encode_run(&store, block, &mut forms)? };
        if encoded.entries > 0 {
            pages += count as f64 * encoded.leaves / encoded.entries as f64;
            weight += count as f64;
        }
    }
    let leaves = if weight > 0.0 { (entries * pages / weight).ceil() } else { 0.0 };
    let directory = (leaves / directory::capacity::<C>() as f64).ceil();
    // The metapage, and one page of the model.
    let bytes = (leaves + directory + 2.0) * PAGE_SIZE as f64;
    let most = forms.into_iter().max_by_key(|(_, count)| *count);
    Ok(Estimate {
        entries: entries as u64,
        bytes: bytes as u64,
        codecs: most.map(|(form, _): (&str, usize)| form.to_owned()),
    })
}

/// Writes the entries from a leaf of the B-tree on into learned pages.
///
/// # Safety
/// As [`estimate`].
unsafe fn encode_run<C: IndexCode>(
    store: &IndexStore<C>,
    from: Block,
    forms: &mut BTreeMap<&'static str, usize>,
) -> Result<Encoded> {
    let index = store.index();
    let columns = C::Columns::of_index(index);
    let (mut entries, mut next, mut wanted) = (Vec::new(), Some(from), FIRST_ENTRIES);
    let blocks = store.blocks();
    let mut left = blocks;
    loop {
        while let Some(block) = next.filter(|_| entries.len() < wanted) {
            check_for_interrupts!();
            let Some(leaf) = BTreeLeaf::read(store, block) else {
                next = None;
                break;
            };
            // SAFETY: by contract.
            unsafe { leaf.entries::<C>(index, columns, &mut entries) };
            // A damaged page may name one that is not there, or itself, without end.
            next = leaf.next().filter(|next| *next < blocks && left > 0);
            left = left.saturating_sub(1);
        }
        let (encoded, leaves) = encode(columns, &entries, forms)?;
        if leaves >= ENOUGH_LEAVES || next.is_none() || wanted >= MOST_ENTRIES {
            return Ok(encoded);
        }
        wanted *= 4;
    }
}

/// Writes entries in order into learned pages, as many as are of the null class of the first one.
/// Returns what became of them, and how many pages there are.
fn encode<C: IndexCode>(
    columns: C::Columns,
    entries: &[Entry<C>],
    forms: &mut BTreeMap<&'static str, usize>,
) -> Result<(Encoded, usize)> {
    let options = BuildOptions { model: ModelChoice::Linear, fillfactor: 100 };
    let mut builder = Builder::new(MemoryStore::default(), columns.new_identity(), options);
    let class = entries.first().map_or(NullClass::Value, |first| first.key.class);
    if class != NullClass::Value {
        builder.begin_nulls();
    }
    for entry in entries.iter().take_while(|entry| entry.key.class == class) {
        // An index that an old version built does not order equal keys by their heap TIDs.
        let _ = builder.try_push(entry.key.code, entry.tid);
    }
    let (pages, state) = builder.finish();
    let mut directory = Directory::open(&pages, 0)?;
    let (mut encoded, mut last) = (Encoded { entries: 0, leaves: 0.0 }, 0.0);
    let count = state.leaves as usize;
    for ordinal in 0..count {
        let Some(leaf) = inspect::leaf(&pages, &mut directory, ordinal)? else { break };
        leaf.forms.iter().for_each(|(form, _)| *forms.entry(form).or_default() += 1);
        let by_bytes = leaf.bytes as f64 / (PAGE_SIZE - HEADERS) as f64;
        last = by_bytes.max(leaf.entries as f64 / MAX_ENTRIES as f64);
        encoded.entries += leaf.entries;
    }
    // The last page is as full as it happened to be.
    encoded.leaves = count.saturating_sub(1) as f64 + last;
    Ok((encoded, count))
}
