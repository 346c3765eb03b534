//! An index with every kind of page, and what each page is for.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::entry::{Block, Entry, HeapTid};
use crate::fault::testing::set_full_at;
use crate::key::{Code, Key, NullClass, Sample};
use crate::model::ModelChoice;
use crate::page::leaf::Head;
use crate::page::meta::{Identity, KeyColumn, State};
use crate::page::{PageBytes, PageKind, free_page, is_kind};
use crate::sort::MemorySpill;
use crate::store::memory::MemoryStore;
use crate::store::{Store, Update};
use crate::tree::build::BuildOptions;
use crate::tree::delta::insert;
use crate::tree::directory::{Directory, read_meta};
use crate::tree::load::Loader;
use crate::tree::merge::{Limits, merge_step};
use crate::tree::vacuum::bulk_delete;

/// Few entries a leaf.
pub(super) const SPARSE: BuildOptions = BuildOptions { model: ModelChoice::Pgm, fillfactor: 10 };
/// Many.
const FULL: BuildOptions = BuildOptions { model: ModelChoice::Pgm, fillfactor: 100 };
/// Entries and children with which pages of delta trees are full.
const FULL_AT: usize = 8;

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    Meta,
    /// A leaf of which nothing is dead.
    Leaf,
    /// One that lists its dead slots.
    LeafWithList,
    /// One whose dead slots are in a page of their own.
    LeafWithMap,
    Map,
    Directory,
    UpperDirectory,
    Model,
    ActiveLeaf,
    ActiveInner,
    FrozenLeaf,
    FrozenInner,
    Free,
}

pub(super) const ROLES: [Role; 13] = [
    Role::Meta,
    Role::Leaf,
    Role::LeafWithList,
    Role::LeafWithMap,
    Role::Map,
    Role::Directory,
    Role::UpperDirectory,
    Role::Model,
    Role::ActiveLeaf,
    Role::ActiveInner,
    Role::FrozenLeaf,
    Role::FrozenInner,
    Role::Free,
];

/// An index, its oracle, and an earlier time of its life.
pub(super) struct Subject<C> {
    pub(super) store: MemoryStore<C>,
    pub(super) entries: BTreeSet<Entry<C>>,
    pub(super) null: Key<C>,
    pub(super) roles: Vec<Role>,
    pub(super) earlier: MemoryStore<C>,
}

/// A new entry. Its key is that of a random number with at least `zeros` leading zeros.
fn entry<C: Sample>(zeros: u32, random: &mut StdRng, number: &mut u64) -> Entry<C> {
    *number += 1;
    // Some keys have many rows.
    let code: u64 = random.random();
    let code = if random.random_range(0..10) == 0 { (code % 50) << 56 } else { code >> 3 };
    let code = C::of_any(code >> zeros);
    let block = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u32;
    Entry { key: Key::value(code), tid: HeapTid::new(block, (*number % 50) as u16 + 1) }
}

impl<C: Sample> Subject<C> {
    pub(super) fn new(seed: u64) -> Subject<C> {
        set_full_at(FULL_AT);
        let mut random = StdRng::seed_from_u64(seed);
        let nulls_first = seed % 2 == 1;
        let column = KeyColumn { key_type: 1, descending: false, nulls_first };
        // Apart as random numbers are: epochs begin there, which tell pages of two indexes apart.
        let identity = Identity::of_column(seed << 32, column);
        let class = if nulls_first { NullClass::NullsFirst } else { NullClass::NullsLast };
        let null = Key::null(class);
        let store = MemoryStore::default();
        let mut loader = Loader::new(store, identity, SPARSE, None, 1 << 20, MemorySpill::default);
        let (mut entries, mut number) = (BTreeSet::new(), 0);
        for row in 0..24_000 {
            let mut entry = entry(0, &mut random, &mut number);
            if row % 100 == 0 {
                entry.key = null;
                loader.push_null(entry.tid, true).unwrap();
            } else {
                loader.push(entry.key.code, entry.tid, true).unwrap();
            }
            entries.insert(entry);
        }
        let store = loader.finish().unwrap().0;
        let mut subject =
            Subject { earlier: store.clone(), store, entries, null, roles: Vec::new() };
        // The first leaves become full.
        subject.insert(600, 5, &mut random, &mut number);
        subject.merge(&FULL, 100);
        // Of all leaves a few entries die: of full ones too many for a list.
        let dead: BTreeSet<HeapTid> = subject
            .entries
            .iter()
            .filter(|_| random.random_range(0..12) == 0)
            .map(|entry| entry.tid)
            .collect();
        bulk_delete(&subject.store, SPARSE, |tid| dead.contains(&tid), || {}).unwrap();
        subject.entries.retain(|entry| !dead.contains(&entry.tid));
        // A frozen tree that is merged in part, and an active one.
        subject.insert(800, 0, &mut random, &mut number);
        subject.earlier = subject.store.clone();
        merge_step(&subject.store, SPARSE, Limits { leaves: 4, entries: 60 }, 1, &mut Vec::new())
            .unwrap();
        subject.insert(700, 0, &mut random, &mut number);
        for _ in 0..3 {
            subject.store.create(&free_page());
        }
        subject.roles = roles_of(&subject.store);
        for role in ROLES {
            assert!(!subject.blocks(role).is_empty(), "no page is a {role:?}");
        }
        subject
    }

    /// Inserts `count` entries, made as [`entry`] makes them.
    fn insert(&mut self, count: usize, zeros: u32, random: &mut StdRng, number: &mut u64) {
        let mut directory = Directory::open(&self.store, 1 << 24).unwrap();
        for _ in 0..count {
            let mut entry = entry(zeros, random, number);
            if random.random_range(0..50) == 0 {
                entry.key = self.null;
            }
            insert(&self.store, &mut directory, entry).unwrap();
            self.entries.insert(entry);
        }
    }

    /// Merges everything.
    fn merge(&self, options: &BuildOptions, leaves: usize) {
        let mut spare = Vec::new();
        let limits = Limits { leaves, entries: 1 << 18 };
        while read_meta(&self.store, &mut 0).unwrap().1.active.is_some()
            || read_meta(&self.store, &mut 0).unwrap().1.frozen.is_some()
        {
            merge_step(&self.store, *options, limits, 1, &mut spare).unwrap();
        }
    }

    /// The blocks of a role.
    pub(super) fn blocks(&self, role: Role) -> Vec<Block> {
        let blocks = (0..).zip(&self.roles);
        blocks.filter(|&(_, &found)| found == role).map(|(block, _)| block).collect()
    }

    pub(super) fn page(&self, block: Block) -> PageBytes {
        *self.store.read(block, 0)
    }
}

fn roles_of<C: Code>(store: &MemoryStore<C>) -> Vec<Role> {
    let (_, state) = read_meta(store, &mut 0).unwrap();
    (0..store.blocks()).map(|block| role_of::<C>(&store.read(block, 0), block, &state)).collect()
}

fn role_of<C: Code>(page: &PageBytes, block: Block, state: &State<C>) -> Role {
    let is = |kind| is_kind(page, kind);
    if block == 0 {
        Role::Meta
    } else if is(PageKind::Leaf) {
        let head = Head::<C>::parse(page, block).unwrap();
        let leaf = head.of(page);
        match (leaf.tombstones(), leaf.tombstone_page()) {
            (_, Some(_)) => Role::LeafWithMap,
            (0, None) => Role::Leaf,
            _ => Role::LeafWithList,
        }
    } else if is(PageKind::Tombstones) {
        Role::Map
    } else if is(PageKind::Directory) {
        let (level, _) = crate::page::directory::decode::<C>(page).unwrap();
        if level == 0 { Role::Directory } else { Role::UpperDirectory }
    } else if is(PageKind::Model) {
        Role::Model
    } else if is(PageKind::Free) {
        Role::Free
    } else {
        let name = crate::page::birth(page);
        let head = crate::page::delta::Head::<C>::parse(page, name, block).unwrap();
        let node = head.of(page);
        let frozen = state.frozen.is_some_and(|tree| tree.name == name);
        match (frozen, node.level()) {
            (true, 0) => Role::FrozenLeaf,
            (true, _) => Role::FrozenInner,
            (false, 0) => Role::ActiveLeaf,
            (false, _) => Role::ActiveInner,
        }
    }
}
