//! What a session remembers of a directory is what the directory is, after any publish, and what it
//! costs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::attempt::settled;
use super::budget::Budget;
use super::build::{BuildOptions, Builder, write_level, write_model};
use super::delta::insert;
use super::directory::{Directory, LeafRef, Routed};
use super::merge::{Limits, Step, merge_step};
use super::scan::{Direction, Guard, Scan};
use super::vacuum::bulk_delete;
use crate::entry::{Block, Entry, Fence, HeapTid};
use crate::key::{Key, NullClass};
use crate::model::{Model, ModelChoice};
use crate::page::directory::Child;
use crate::page::history::History;
use crate::page::meta::{self, Identity, KeyColumn, NOTHING_STALE, State};
use crate::page::{PAGE_SIZE, PageBytes};
use crate::store::memory::{MemoryPage, MemoryStore};
use crate::store::{BulkStore, Hint, Store, Update};

const IDENTITY: Identity = Identity::of_column(5, KeyColumn::ascending(1));

/// A directory over leaves that are not there, in pages of few leaves each.
struct Made {
    store: MemoryStore,
    state: State,
    /// The pages of the lowest level, and the leaves of each: the oracle.
    pages: Vec<(Child, Vec<Child>)>,
    /// Pages that the last publish wrote on the lowest level, and all those above.
    fresh: usize,
    upper: usize,
    next_leaf: Block,
}

impl Made {
    /// Of so many pages, with as many leaves each as `size` says.
    fn new(pages: usize, mut size: impl FnMut() -> usize) -> Made {
        let mut store = MemoryStore::new();
        store.append(&[0; PAGE_SIZE]);
        let birth = IDENTITY.beginning();
        let state = State {
            word: birth,
            epoch: birth,
            directory_root: 0,
            leaves: 0,
            null_leaves: 0,
            model_root: 0,
            model_len: 0,
            model_kind: 0,
            model_birth: birth,
            model_leaves: 0,
            stale: NOTHING_STALE,
            active: None,
            frozen: None,
            watermark: Fence::MIN,
            values: 0,
            nulls: 0,
            history: History::default(),
        };
        let mut made =
            Made { store, state, pages: Vec::new(), fresh: 0, upper: 0, next_leaf: 1 << 24 };
        let mut at = 0;
        for _ in 0..pages {
            let leaves = size();
            let lows: Vec<u64> = (0..leaves as u64).map(|leaf| at + leaf * 1_000).collect();
            at += leaves as u64 * 1_000;
            let page = made.write_page(&lows);
            made.pages.push(page);
        }
        made.publish(true);
        made
    }

    /// A page over leaves that begin at these codes; 0 is minus infinity.
    fn write_page(&mut self, lows: &[u64]) -> (Child, Vec<Child>) {
        let birth = self.state.epoch + 1;
        let leaf = |low: &u64| {
            self.next_leaf += 1;
            let low = if *low == 0 { Fence::MIN } else { Fence::before(Key::value(*low)) };
            Child { low, block: self.next_leaf, leaves: 1, birth }
        };
        let leaves: Vec<Child> = lows.iter().map(leaf).collect();
        let store = &self.store;
        let page = write_level(&leaves, 0, birth, |page| store.create(page))[0];
        (page, leaves)
    }

    fn leaves(&self) -> Vec<Child> {
        self.pages.iter().flat_map(|(_, leaves)| leaves.iter().copied()).collect()
    }

    /// Makes the pages current. The old ones stay as they are, which no session may rely on.
    fn publish(&mut self, train: bool) {
        let birth = self.state.epoch + 1;
        let store = &self.store;
        let before = store.blocks();
        let mut children: Vec<Child> = self.pages.iter().map(|(page, _)| *page).collect();
        self.fresh = children.iter().filter(|page| page.birth == birth).count();
        let mut level = 1;
        while children.len() > 1 {
            children = write_level(&children, level, birth, |page| store.create(page));
            level += 1;
        }
        self.upper = (store.blocks() - before) as usize;
        let mut next = self.state;
        next.directory_root = children.first().map_or(0, |root| root.block);
        next.leaves = children.first().map_or(0, |root| root.leaves);
        if train {
            let fences: Vec<u64> = self.leaves().iter().map(|leaf| leaf.low.code).collect();
            let model = Model::train(ModelChoice::Linear, &fences);
            let (root, len) = write_model(&model.to_bytes(), birth, |page| store.create(page));
            (next.model_root, next.model_len) = (root, len);
            (next.model_kind, next.model_birth) = (model.kind() as u8, birth);
            next.model_leaves = next.leaves;
        }
        (next.word, next.epoch) = (self.state.word + 1, birth);
        self.state = next;
        self.store.overwrite(0, &meta::encode(&IDENTITY, &next));
    }

    /// Replaces pages next to each other, sometimes in several places, by pages over other leaves.
    fn replace_some(&mut self, random: &mut StdRng) {
        for _ in 0..random.random_range(1..4) {
            let first = random.random_range(0..self.pages.len());
            let count = random.random_range(1..4).min(self.pages.len() - first);
            let mut lows: Vec<u64> = self.pages[first..first + count]
                .iter()
                .flat_map(|(_, leaves)| leaves.iter().map(|leaf| leaf.low.code))
                .collect();
            match random.random_range(0..3) {
                // As many, more, or fewer.
                0 => {}
                1 => {
                    let after = self.pages.get(first + count).map(|(page, _)| page.low.code);
                    for _ in 0..random.random_range(1..6) {
                        let at = random.random_range(0..lows.len());
                        let end = lows.get(at + 1).copied().or(after);
                        let end = end.unwrap_or(lows[at] + 1_000);
                        if end - lows[at] > 1 {
                            lows.insert(at + 1, random.random_range(lows[at] + 1..end));
                        }
                    }
                }
                _ => {
                    let begin = lows[0];
                    lows.retain(|&low| low == begin || random.random_range(0..3) > 0);
                }
            }
            let mut pages = Vec::new();
            while !lows.is_empty() {
                let rest = lows.split_off(random.random_range(1..7).min(lows.len()));
                pages.push(self.write_page(&lows));
                lows = rest;
            }
            self.pages.splice(first..first + count, pages);
        }
        self.publish(random.random_range(0..3) == 0);
    }
}

/// A store that says for once that the state has changed.
struct Disturbed<'a> {
    store: &'a MemoryStore,
    /// Loads of the word until then.
    after: Cell<u32>,
}

impl Store for Disturbed<'_> {
    type Code = u64;
    type Page<'s>
        = MemoryPage
    where
        Self: 's;
    type Pin = Block;

    fn word(&self) -> u64 {
        let after = self.after.get();
        self.after.set(after.wrapping_sub(1));
        self.store.word() + u64::from(after == 0)
    }

    fn read(&self, block: Block, hint: Hint) -> MemoryPage {
        self.store.read(block, hint)
    }

    fn hint(page: &MemoryPage) -> Hint {
        <MemoryStore as Store>::hint(page)
    }

    fn pin(page: MemoryPage) -> Block {
        <MemoryStore as Store>::pin(page)
    }

    fn lock_again(&self, block: Block) -> MemoryPage {
        self.read(block, 0)
    }

    fn unpin(&self, _: Block) {}

    fn prefetch(&self, block: Block) -> Hint {
        self.store.prefetch(block)
    }

    fn blocks(&self) -> Block {
        self.store.blocks()
    }
}

/// A directory, and which hints were remembered of which leaves.
struct Session {
    directory: Directory,
    budget: Rc<Budget>,
    hints: HashMap<(Block, u64), Hint>,
}

impl Session {
    fn open<S: Store<Code = u64>>(store: &S, memory: usize) -> Session {
        let budget = Budget::alone(memory);
        let directory = Directory::open_within(store, &budget).unwrap();
        Session { directory, budget, hints: HashMap::new() }
    }

    /// Looks some positions up, and remembers something of their leaves.
    fn look_up<S: Store<Code = u64>>(
        &mut self,
        store: &S,
        leaves: &[Child],
        times: usize,
        random: &mut StdRng,
    ) {
        let last = leaves.last().map_or(0, |leaf| leaf.low.code + 2_000);
        for _ in 0..times {
            let position = Fence {
                class: NullClass::Value as u8,
                code: random.random_range(0..last),
                tid: HeapTid::MIN,
            };
            let expected = leaves.partition_point(|leaf| leaf.low <= position) - 1;
            let found = settled(self.directory.route(store, position)).unwrap().unwrap().unwrap();
            assert_eq!(found.ordinal, expected);
            self.expect(found, leaves[expected]);
            if self.directory.is_resident() {
                let hint = random.random_range(1..1_000);
                self.directory.remember_hint(found, hint);
                self.hints.insert((found.block, found.birth), hint);
            }
        }
        self.expect_memory();
    }

    fn expect(&self, found: LeafRef, leaf: Child) {
        assert_eq!((found.block, found.birth), (leaf.block, leaf.birth));
        let known = self.hints.get(&(leaf.block, leaf.birth)).copied();
        let right = found.hint == 0 || Some(found.hint) == known;
        assert!(right, "the hint of another leaf: {found:?}, {known:?}");
    }

    /// All of it, against the oracle.
    fn expect_all<S: Store<Code = u64>>(&mut self, store: &S, leaves: &[Child]) {
        assert_eq!(self.directory.leaves(), leaves.len());
        for (ordinal, leaf) in leaves.iter().enumerate() {
            let found = settled(self.directory.leaf(store, ordinal)).unwrap().unwrap();
            assert_eq!(found.ordinal, ordinal);
            self.expect(found, *leaf);
            let low = settled(self.directory.low(store, ordinal)).unwrap().unwrap();
            assert_eq!(low, leaf.low);
        }
        self.expect_memory();
    }

    /// What the parts have taken of the budget is what they take: no more than there is, but for
    /// the list of pages.
    fn expect_memory(&self) {
        assert_eq!(self.budget.used(), self.directory.memory());
        let pages = self.directory.leaves() * 61 + 61;
        let most = self.budget.limit().max(size_of::<Directory>() + pages);
        assert!(self.budget.used() <= most, "{} bytes of {most}", self.budget.used());
    }
}

#[test]
fn a_directory_that_follows_publishes_is_what_a_new_one_would_be() {
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let pages = random.random_range(1..40);
        let mut made = Made::new(pages, || random.random_range(1..7));
        let mut random = StdRng::seed_from_u64(seed ^ 0x5EED);
        // Some with everything, some with what they happened to read, some that forget, some
        // without memory.
        let limits = [1 << 20, 1 << 20, 8_000, 4_000, 0];
        let mut sessions: Vec<Session> =
            limits.iter().map(|&memory| Session::open(&made.store, memory)).collect();
        settled(sessions[0].directory.load_all(&made.store)).unwrap();
        for _ in 0..40 {
            made.replace_some(&mut random);
            let leaves = made.leaves();
            for session in &mut sessions {
                // Sometimes several publishes are seen at once.
                if random.random_range(0..3) == 0 {
                    continue;
                }
                let after = Cell::new(random.random_range(0..30));
                let store = Disturbed { store: &made.store, after };
                session.directory.refresh(&store).unwrap();
                if random.random_range(0..8) == 0 {
                    session.directory.forget();
                    session.expect_memory();
                }
                let times = random.random_range(0..30);
                session.look_up(&made.store, &leaves, times, &mut random);
                if random.random_range(0..4) == 0 {
                    session.expect_all(&made.store, &leaves);
                }
                let mut fresh = Session::open(&made.store, 1 << 20);
                fresh.expect_all(&made.store, &leaves);
            }
        }
    }
}

#[test]
fn a_publish_costs_a_session_what_changed() {
    let mut random = StdRng::seed_from_u64(1);
    let mut made = Made::new(400, || 6);
    let mut session = Session::open(&made.store, 1 << 20);
    settled(session.directory.load_all(&made.store)).unwrap();
    for _ in 0..100 {
        let old_model = made.state.model_birth;
        made.replace_some(&mut random);
        let before = made.store.reads();
        session.directory.refresh(&made.store).unwrap();
        let model = usize::from(made.state.model_birth != old_model);
        let read = (made.store.reads() - before) as usize;
        assert_eq!(read, 1 + made.upper + made.fresh + model);
        // Everything is known again, and what was remembered of leaves that stay.
        let before = made.store.reads();
        session.look_up(&made.store, &made.leaves(), 100, &mut random);
        session.expect_all(&made.store, &made.leaves());
        assert_eq!(made.store.reads(), before);
        let kept = made
            .leaves()
            .iter()
            .filter(|l| session.hints.contains_key(&(l.block, l.birth)))
            .count();
        let mut known = 0;
        for ordinal in 0..session.directory.leaves() {
            let leaf = settled(session.directory.leaf(&made.store, ordinal)).unwrap().unwrap();
            known += usize::from(leaf.hint != 0);
        }
        assert_eq!(known, kept);
    }
}

#[test]
fn a_state_that_cannot_be_read_leaves_the_directory_as_it_was() {
    let mut random = StdRng::seed_from_u64(2);
    for seed in 0..40 {
        let mut made = Made::new(30, || 5);
        let mut session = Session::open(&made.store, 1 << 20);
        settled(session.directory.load_all(&made.store)).unwrap();
        let before = made.leaves();
        session.look_up(&made.store, &before, 50, &mut random);
        let state = *session.directory.state();
        made.replace_some(&mut random);
        // One of the pages that must be read anew.
        let birth = made.state.epoch;
        let new = made.pages.iter().filter(|(page, _)| page.birth == birth);
        let mut fresh: Vec<Block> = new.map(|(page, _)| page.block).collect();
        fresh.push(made.state.directory_root);
        if made.state.model_birth == birth {
            fresh.push(made.state.model_root);
        }
        let damaged = fresh.swap_remove(seed % fresh.len());
        let whole: PageBytes = *made.store.read(damaged, 0);
        made.store.damage(damaged, |page| page[40..PAGE_SIZE / 2].fill(7));
        assert!(session.directory.refresh(&made.store).is_err());
        assert_eq!(session.directory.state(), &state);
        session.look_up(&made.store, &before, 50, &mut random);
        session.expect_all(&made.store, &before);
        made.store.damage(damaged, |page| *page = whole);
        session.directory.refresh(&made.store).unwrap();
        session.look_up(&made.store, &made.leaves(), 50, &mut random);
        session.expect_all(&made.store, &made.leaves());
    }
}

/// Everything that a directory tells.
fn told<S: Store<Code = u64>>(
    store: &S,
    directory: &mut Directory,
    random: &mut StdRng,
) -> Vec<(LeafRef, Fence)> {
    let (mut told, routed) = (Vec::new(), Routed::ByDirectory);
    for ordinal in 0..directory.leaves() {
        let leaf = settled(directory.leaf(store, ordinal)).unwrap().unwrap();
        let low = settled(directory.low(store, ordinal)).unwrap().unwrap();
        told.push((LeafRef { hint: 0, verified: false, routed, ..leaf }, low));
    }
    for _ in 0..200 {
        let position = Fence { class: 1, code: random.random_range(0..1 << 61), tid: HeapTid::MIN };
        let leaf = settled(directory.route(store, position)).unwrap().unwrap().unwrap();
        told.push((LeafRef { hint: 0, verified: false, routed, ..leaf }, position));
    }
    told
}

#[test]
fn a_directory_that_follows_merges_and_vacuums_is_what_a_new_one_would_be() {
    for seed in 0..3 {
        let mut random = StdRng::seed_from_u64(seed);
        let options = BuildOptions { model: ModelChoice::Auto, fillfactor: 10 };
        let mut builder = Builder::new(MemoryStore::new(), IDENTITY, options);
        let tid = |row: u64| HeapTid::new((row * 7_919 % 1_000_000) as u32, (row % 50) as u16 + 1);
        let mut codes: Vec<u64> = (0..40_000).map(|_| random.random_range(0..1 << 60)).collect();
        codes.sort_unstable();
        codes.dedup();
        for (row, &code) in codes.iter().enumerate() {
            assert!(builder.try_push(code, tid(row as u64)));
        }
        let (store, _) = builder.finish();
        let mut writer = Directory::open(&store, 1 << 20).unwrap();
        let mut sessions =
            [1 << 20, 1 << 20, 20_000, 0].map(|memory| Session::open(&store, memory));
        settled(sessions[0].directory.load_all(&store)).unwrap();
        let mut row = 1_000_000;
        for round in 0..12 {
            for _ in 0..random.random_range(1..3_000) {
                row += 1;
                let code = match round % 3 {
                    0 => random.random_range(0..1 << 60),
                    1 => (1 << 60) + row,
                    _ => (1 << 59) + random.random_range(0..1 << 50),
                };
                insert(&store, &mut writer, Entry { key: Key::value(code), tid: tid(row) })
                    .unwrap();
            }
            let limits = Limits { leaves: random.random_range(1..200), entries: 1 << 10 };
            let mut spare = Vec::new();
            for _ in 0..random.random_range(1..8) {
                if merge_step(&store, options, limits, 1, &mut spare).unwrap() == Step::Idle {
                    break;
                }
                for session in &mut sessions {
                    session.directory.refresh(&store).unwrap();
                    session.expect_memory();
                }
            }
            if round % 4 == 3 {
                let dies = random.random_range(1..10);
                let dead = |tid: HeapTid| tid.to_u64() % 10 < dies;
                bulk_delete(&store, options, dead, || {}).unwrap();
            }
            let mut fresh = Directory::open(&store, 1 << 20).unwrap();
            let seed = random.random();
            let expected = told(&store, &mut fresh, &mut StdRng::seed_from_u64(seed));
            for session in &mut sessions {
                session.directory.refresh(&store).unwrap();
                let found = told(&store, &mut session.directory, &mut StdRng::seed_from_u64(seed));
                assert!(found == expected);
                session.expect_memory();
            }
        }
    }
}

thread_local! {
    /// The directories of a test that share a budget.
    static SHARING: RefCell<Vec<Rc<RefCell<Directory>>>> = const { RefCell::new(Vec::new()) };
    static RECLAIMED: Cell<usize> = const { Cell::new(0) };
}

/// What the extension does: the others forget, the one in use is borrowed.
fn reclaim(_: usize) {
    RECLAIMED.set(RECLAIMED.get() + 1);
    SHARING.with_borrow(|sharing| {
        for directory in sharing {
            if let Ok(mut directory) = directory.try_borrow_mut() {
                directory.forget();
            }
        }
    });
}

#[test]
fn directories_that_grow_stay_within_the_memory_that_they_share() {
    let mut random = StdRng::seed_from_u64(9);
    let options = BuildOptions { model: ModelChoice::Auto, fillfactor: 10 };
    let limit = 60_000;
    let budget = Budget::shared(limit, reclaim);
    let mut stores = Vec::new();
    for index in 0..6 {
        let mut builder = Builder::new(MemoryStore::new(), IDENTITY, options);
        let tid = |row: u64| HeapTid::new((row * 7_919 % 1_000_000) as u32, (row % 50) as u16 + 1);
        for row in 0..10_000 {
            assert!(builder.try_push(row << 40, tid(row)));
        }
        let (store, _) = builder.finish();
        let directory = Rc::new(RefCell::new(Directory::open_within(&store, &budget).unwrap()));
        SHARING.with_borrow_mut(|sharing| sharing.push(directory.clone()));
        stores.push((store, directory, 1_000_000 * (index + 1), tid));
    }
    let mut scan = Scan::new();
    for round in 0..400 {
        let at = random.random_range(0..stores.len());
        let (store, directory, next, tid) = &mut stores[at];
        let mut directory = directory.borrow_mut();
        for _ in 0..random.random_range(0..200) {
            let key = Key::value((random.random_range(0..10_000) << 40) + 1 + *next);
            insert(&*store, &mut directory, Entry { key, tid: tid(*next) }).unwrap();
            *next += 1;
        }
        for _ in 0..random.random_range(0..100) {
            let row = random.random_range(0..10_000);
            scan.restart(&*store, Guard::Nothing);
            scan.intervals_mut().set_points([Key::value(row << 40)]);
            let mut found = || scan.next(&*store, &mut directory, Direction::Forward).unwrap();
            assert_eq!(found().map(|entry| entry.tid), Some(tid(row)));
            assert_eq!(found(), None);
        }
        if round % 40 == 39 {
            let limits = Limits { leaves: 100, entries: 1 << 10 };
            merge_step(&*store, options, limits, 1, &mut Vec::new()).unwrap();
        }
        drop(directory);
        if budget.take_missed() > 0 {
            reclaim(1);
        }
        // The roots of delta trees are known in any case.
        assert!(budget.used() <= limit + 3_000, "{} bytes", budget.used());
        let kept: usize = SHARING.with_borrow(|sharing| {
            sharing.iter().map(|directory| directory.borrow().memory()).sum()
        });
        assert_eq!(budget.used(), kept);
    }
    assert!(RECLAIMED.get() > 10);
    drop(stores);
    SHARING.take();
    assert_eq!(budget.used(), 0);
}
