//! The indexes that schedules begin with, and their tables.

use std::sync::Arc;

use super::heap::Heap;
use super::scheduler::Random;
use crate::entry::Entry;
use crate::key::{Key, Sample};
use crate::model::ModelChoice;
use crate::page::PageBytes;
use crate::page::meta::{Identity, KeyColumn};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::tree::build::{BuildOptions, Builder};
use crate::tree::delta::insert;
use crate::tree::directory::Directory;
use crate::tree::merge::{Limits, merge_step};
use crate::tree::vacuum::bulk_delete;

/// Keys that rows share.
pub(super) const SHARED_KEYS: u64 = 12;

/// An index before its threads begin, and its table.
#[derive(Clone)]
pub(super) struct Image<C> {
    pub(super) pages: Vec<Arc<PageBytes>>,
    pub(super) heap: Heap<C>,
    pub(super) options: BuildOptions,
    /// The number of the largest key of the table.
    pub(super) last: u64,
    /// How many words at the end of a code are not of the key.
    pub(super) included: usize,
}

/// The `n`-th of the keys that rows share, far apart from each other.
pub(super) fn shared_key<C: Sample>(n: u64) -> Key<C> {
    numbered((n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 3)
}

/// The key of a number, in the order of numbers.
pub(super) fn numbered<C: Sample>(number: u64) -> Key<C> {
    Key::value(C::of_each(number))
}

impl<C: Sample> Image<C> {
    /// An index built over some rows, with keys of their own and shared ones.
    fn built(rows: u64, fillfactor: u32, included: usize) -> Image<C> {
        let heap = Heap::default();
        let mut random = Random::new(rows);
        let mut entries: Vec<Entry<C>> = Vec::new();
        for row in 0..rows {
            let key = match row % 8 {
                0 => shared_key(row % SHARED_KEYS),
                _ => numbered(random.next() >> 3),
            };
            let entry = heap.begin(key);
            heap.indexed(entry.tid);
            heap.commit(entry.tid);
            entries.push(entry);
        }
        entries.sort_unstable();
        let options = BuildOptions { model: ModelChoice::Linear, fillfactor };
        let column = Identity::of_column(5, KeyColumn::ascending(1));
        let identity = Identity { included_words: included as u8, ..column };
        let mut builder = Builder::new(MemoryStore::default(), identity, options);
        entries.iter().for_each(|entry| assert!(builder.try_push(entry.key.code, entry.tid)));
        let (store, _) = builder.finish();
        let last = u64::MAX >> 3;
        Image { pages: pages_of(&store), heap, options, last, included }
    }

    /// The same after some inserts, deletions and steps of merges.
    fn lived_in(&self, inserts: u64, deletions: u64, steps: u64) -> Image<C> {
        let store = memory_store::<C>(&self.pages);
        let mut directory = Directory::open(&store, 1 << 20).unwrap();
        let mut random = Random::new(inserts);
        let mut last = self.last;
        for row in 0..inserts {
            let key = match row % 3 {
                0 => shared_key(random.below(SHARED_KEYS)),
                1 => numbered(random.next() >> 3),
                _ => {
                    last += 1;
                    numbered(last)
                }
            };
            let entry = self.heap.begin(key);
            insert(&store, &mut directory, entry).unwrap();
            self.heap.indexed(entry.tid);
            self.heap.commit(entry.tid);
            if row == inserts * 3 / 4 {
                let limits = Limits { leaves: 1, entries: 4 };
                for _ in 0..steps {
                    merge_step(&store, self.options, limits, 1, &mut Vec::new()).unwrap();
                }
            }
        }
        for _ in 0..deletions {
            self.heap.kill(*random.pick(&self.heap.alive()));
        }
        let dead = self.heap.dead();
        bulk_delete(&store, self.options, |tid| dead.contains(&tid), || {}).unwrap();
        self.heap.recycle(&dead);
        self.heap.mark_visible();
        Image { pages: pages_of(&store), heap: self.heap.clone(), last, ..self.clone() }
    }

    /// The same with all rows in leaves.
    fn merged(&self) -> Image<C> {
        let store = memory_store::<C>(&self.pages);
        let limits = Limits { leaves: usize::MAX, entries: usize::MAX };
        merge_step(&store, self.options, limits, 1, &mut Vec::new()).unwrap();
        Image { pages: pages_of(&store), ..self.clone() }
    }

    /// Those of [`Cast::Splits`] and [`Cast::Maps`] stand last, in this order.
    pub(super) fn all(included: usize) -> Vec<Image<C>> {
        let built = |rows, fillfactor| Image::built(rows, fillfactor, included);
        let small = built(150, 10);
        vec![
            built(0, 10),
            small.clone(),
            small.clone().lived_in(30, 10, 0),
            small.clone().lived_in(60, 20, 3),
            small.clone().lived_in(120, 30, 5),
            // Leaves so full that their dead slots need a page of their own.
            built(1_100, 100).lived_in(4, 90, 0),
            // A delta tree and no free block: what its pages are split into is behind all others.
            small.lived_in(60, 0, 0),
            // After all leaves were written anew, pages of dead slots are in blocks before their
            // leaves.
            built(3_000, 100).lived_in(16, 0, 0).merged().lived_in(4, 250, 0),
        ]
    }
}

pub(super) fn pages_of<C: Sample>(store: &MemoryStore<C>) -> Vec<Arc<PageBytes>> {
    (0..store.blocks()).map(|block| Arc::new(*store.read(block, 0))).collect()
}

pub(super) fn memory_store<C: Sample>(pages: &[Arc<PageBytes>]) -> MemoryStore<C> {
    let mut store = MemoryStore::default();
    for page in pages {
        crate::store::BulkStore::append(&mut store, page);
    }
    store
}
