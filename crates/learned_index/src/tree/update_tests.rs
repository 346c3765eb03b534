//! Inserting, deleting, merging and vacuuming against a `BTreeSet`, one thing at a time.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::build::{BuildOptions, Builder};
use super::check::check;
use super::count::{BLOCKS_OF_PAGE, CodeFilter, Count, CountedTable, MapBytes};
use super::delta::{Unique, insert, insert_unique};
use super::directory::Directory;
use super::merge::{Limits, Step, delta_entries, merge_step};
use super::scan::{Direction, Guard, Rows, Scan};
use super::stats_tests::assert_stats;
use super::vacuum::bulk_delete;
use crate::entry::Block;
use crate::entry::{Entry, Fence, HeapTid};
use crate::fault::Fault;
use crate::fault::testing::inject;
use crate::key::{Interval, Key, NullClass, Sample};
use crate::model::ModelChoice;
use crate::page::meta::{Identity, KeyColumn};
use crate::store::memory::{MemoryPage, MemoryStore};
use crate::store::{Hint, Store};

const OPTIONS: BuildOptions = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };
const SMALL: Limits = Limits { leaves: 2, entries: 3_000 };

/// An index that is written to, its oracle, and the heap that gives out TIDs.
struct Live<C = u64> {
    store: MemoryStore<C>,
    directory: Directory<C>,
    entries: BTreeSet<Entry<C>>,
    null: Key<C>,
    next_tid: u64,
    reusable: Vec<HeapTid>,
}

/// A table in which some blocks are not all-visible, and half of the rows of these are hidden.
struct SomeHidden {
    choice: u64,
    blocks: u32,
}

impl SomeHidden {
    fn is_clean(&self, block: u32) -> bool {
        match self.choice % 3 {
            0 => true,
            1 => !(u64::from(block) ^ self.choice).is_multiple_of(7),
            _ => false,
        }
    }
}

impl Rows for SomeHidden {
    fn sees(&mut self, tid: HeapTid) -> bool {
        self.is_clean(tid.block()) || tid.offset().is_multiple_of(2)
    }
}

impl CountedTable for SomeHidden {
    fn blocks(&mut self) -> u32 {
        self.blocks
    }

    fn read_map(&mut self, page: u32, bytes: &mut MapBytes) {
        bytes.fill(0);
        let start = page * BLOCKS_OF_PAGE;
        for block in start..self.blocks.min(start + BLOCKS_OF_PAGE) {
            if self.is_clean(block) {
                let place = block - start;
                bytes[(place / 4) as usize] |= 1 << (2 * (place % 4));
            }
        }
    }
}

fn key<C: Sample>(number: u64) -> Key<C> {
    Key::value(C::of(number))
}

impl<C: Sample> Live<C> {
    fn new(nulls_first: bool, built: u64) -> Live<C> {
        Live::with_included(nulls_first, built, 0)
    }

    /// An index whose codes end with words of included columns: `included_words` of them.
    fn with_included(nulls_first: bool, built: u64, included_words: u8) -> Live<C> {
        let column = KeyColumn { key_type: 1, descending: false, nulls_first };
        let identity = Identity { included_words, ..Identity::of_column(5, column) };
        let mut builder = Builder::new(MemoryStore::default(), identity, OPTIONS);
        let mut entries = BTreeSet::new();
        for row in 0..built {
            let (key, tid) =
                (key(row * 1_000), HeapTid::new((row / 50) as u32, (row % 50) as u16 + 1));
            assert!(builder.try_push(key.code, tid));
            entries.insert(Entry { key, tid });
        }
        let (store, _) = builder.finish();
        let directory = Directory::open(&store, 1 << 24).unwrap();
        let class = if nulls_first { NullClass::NullsFirst } else { NullClass::NullsLast };
        let null = Key::null(class);
        Live { store, directory, entries, null, next_tid: built, reusable: Vec::new() }
    }

    fn new_tid(&mut self) -> HeapTid {
        if let Some(tid) = self.reusable.pop() {
            return tid;
        }
        let row = self.next_tid;
        self.next_tid += 1;
        HeapTid::new((row / 50) as u32, (row % 50) as u16 + 1)
    }

    fn insert(&mut self, key: Key<C>) {
        let entry = Entry { key, tid: self.new_tid() };
        insert(&self.store, &mut self.directory, entry).unwrap();
        assert!(self.entries.insert(entry));
    }

    /// Deletes entries and vacuums: after that their TIDs may come again.
    fn vacuum(&mut self, dies: impl Fn(&Entry<C>) -> bool) {
        let dead: BTreeSet<HeapTid> =
            self.entries.iter().filter(|entry| dies(entry)).map(|entry| entry.tid).collect();
        self.entries.retain(|entry| !dead.contains(&entry.tid));
        let stats = bulk_delete(&self.store, OPTIONS, |tid| dead.contains(&tid), || {}).unwrap();
        assert_eq!(stats.removed, dead.len() as u64);
        assert_eq!(stats.alive, self.entries.len() as u64);
        self.reusable.extend(dead);
    }

    fn merge(&mut self, limits: Limits) -> Step {
        merge_step(&self.store, OPTIONS, limits, 1, &mut Vec::new()).unwrap()
    }

    fn check(&self) {
        let mut seen = Vec::new();
        let report = check(&self.store, true, |entry| seen.push(entry)).unwrap();
        assert_eq!(report.lost, 0);
        assert_stats(&self.store, &report);
        seen.sort();
        let expected: Vec<Fence<C>> = self.entries.iter().map(|&entry| Fence::at(entry)).collect();
        assert!(seen == expected, "{} entries instead of {}", seen.len(), expected.len());
    }

    /// Counts with a table of which some blocks, chosen by `choice`, have rows that nobody sees.
    fn assert_count(&mut self, low: Key<C>, high: Key<C>, choice: u64) {
        let mut table = SomeHidden { choice, blocks: (self.next_tid / 50) as u32 + 1 };
        let mut count = Count::default();
        let interval = [Interval { low, high }];
        let odd = |code: &C| code.word() % 2 == 1;
        let filter = CodeFilter { passes: &odd, next: &|code: C| code.next() };
        let filter = (choice % 4 == 3).then_some(filter);
        while count.step(&self.store, &mut self.directory, &interval, filter, &mut table).unwrap() {
        }
        let is_counted = |entry: &&Entry<C>| {
            interval[0].contains(entry.key)
                && filter.is_none_or(|filter| (filter.passes)(&entry.key.code))
                && table.sees(entry.tid)
        };
        let expected = self.entries.iter().filter(is_counted).count();
        assert_eq!(count.counted().rows, expected as u64, "from {low:?} to {high:?}");
    }

    /// Goes to a key from wherever a scan stands.
    fn assert_seek(&mut self, key: Key<C>) {
        let mut scan = Scan::new();
        scan.restart(&self.store, Guard::Nothing);
        scan.intervals_mut().set(Key::MIN, Key::MAX);
        for (position, direction) in [
            (Fence::MIN, Direction::Forward),
            (Fence::before(key), Direction::Forward),
            (Fence::after(key), Direction::Forward),
            (Fence::after(key), Direction::Backward),
            (Fence::before(key), Direction::Backward),
            (Fence::MAX, Direction::Backward),
        ] {
            scan.seek(&self.store, direction, position);
            let found = scan.next(&self.store, &mut self.directory, direction).unwrap();
            let is_before = |entry: &&Entry<C>| Fence::at(**entry) < position;
            let expected = match direction {
                Direction::Forward => self.entries.iter().find(|entry| !is_before(entry)),
                Direction::Backward => self.entries.iter().rev().find(is_before),
            };
            assert_eq!(found.as_ref(), expected, "{direction:?} from {position:?}");
        }
    }

    fn scan(&mut self, low: Key<C>, high: Key<C>, direction: Direction) -> Vec<Entry<C>> {
        let mut scan = Scan::new();
        scan.restart(&self.store, Guard::Pins);
        scan.intervals_mut().set(low, high);
        let mut found = Vec::new();
        while let Some(entry) = scan.next(&self.store, &mut self.directory, direction).unwrap() {
            found.push(entry);
        }
        found
    }

    fn assert_range(&mut self, low: Key<C>, high: Key<C>) {
        let expected: Vec<Entry<C>> = self
            .entries
            .iter()
            .filter(|entry| low <= entry.key && entry.key <= high)
            .copied()
            .collect();
        assert!(self.scan(low, high, Direction::Forward) == expected, "forward {low:?} {high:?}");
        let mut backward = self.scan(low, high, Direction::Backward);
        backward.reverse();
        assert!(backward == expected, "backward {low:?} {high:?}");
        self.assert_count(low, high, expected.len() as u64 + self.next_tid);
        if expected.len() % 4 == 1 {
            self.assert_seek(low);
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    Insert {
        key: u64,
        step: u64,
        count: u16,
    },
    InsertNulls(u8),
    Vacuum {
        modulus: u64,
        class: u64,
    },
    DeleteRange(u64, u64),
    Merge {
        small: bool,
        times: u8,
    },
    Scan(u64, u64),
    /// So many lookups of one key each, so far apart.
    LookUp {
        key: u64,
        step: u64,
        count: u8,
    },
    Check,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let key = || 0u64..100_000;
    let action = prop_oneof![
        4 => (key(), 0u64..200, 1u16..1500)
            .prop_map(|(key, step, count)| Action::Insert { key, step, count }),
        1 => any::<u8>().prop_map(Action::InsertNulls),
        1 => (1u64..20, 0u64..20).prop_map(|(modulus, class)| Action::Vacuum { modulus, class }),
        1 => (key(), key()).prop_map(|(low, high)| Action::DeleteRange(low, high)),
        3 => (any::<bool>(), 1u8..8).prop_map(|(small, times)| Action::Merge { small, times }),
        3 => (key(), key()).prop_map(|(low, high)| Action::Scan(low, high)),
        3 => (key(), 0u64..200, any::<u8>())
            .prop_map(|(key, step, count)| Action::LookUp { key, step, count }),
        1 => Just(Action::Check),
    ];
    prop::collection::vec(action, 1..25)
}

/// Carries some actions out, and checks everything against the set.
fn act<C: Sample>(nulls_first: bool, built: u64, actions: Vec<Action>) {
    let mut live: Live<C> = Live::new(nulls_first, built);
    for action in actions {
        match action {
            Action::Insert { key: from, step, count } => {
                for row in 0..u64::from(count) {
                    live.insert(key(from + row * step));
                }
            }
            Action::InsertNulls(count) => (0..count).for_each(|_| live.insert(live.null)),
            Action::Vacuum { modulus, class } => {
                live.vacuum(|entry| entry.tid.to_u64() % modulus == class);
            }
            Action::DeleteRange(low, high) => {
                live.vacuum(|entry| key(low) <= entry.key && entry.key <= key(high));
            }
            Action::Merge { small, times } => {
                let limits = if small { SMALL } else { Limits::for_leaves(0) };
                for _ in 0..times {
                    live.merge(limits);
                }
            }
            Action::Scan(low, high) => {
                live.assert_range(key(low), key(high));
                live.assert_range(Key::MIN, key(high));
            }
            Action::LookUp { key: from, step, count } => {
                live.assert_range(live.null, live.null);
                for row in 0..u64::from(count) {
                    let key = key(from + row * step);
                    live.assert_range(key, key);
                }
            }
            Action::Check => live.check(),
        }
    }
    live.assert_range(Key::MIN, Key::MAX);
    live.check();
    while live.merge(SMALL) != Step::Idle {}
    live.assert_range(Key::MIN, Key::MAX);
    live.check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn an_index_that_is_written_to_answers_as_a_set(
        nulls_first in any::<bool>(), built in prop_oneof![Just(0u64), 1u64..3_000],
        actions in actions(), words in 1..=3,
    ) {
        match words {
            1 => act::<u64>(nulls_first, built, actions),
            2 => act::<[u64; 2]>(nulls_first, built, actions),
            _ => act::<[u64; 3]>(nulls_first, built, actions),
        }
    }
}

#[test]
fn a_large_delta_tree_is_merged_range_by_range_and_gives_its_pages_back() {
    let mut random = StdRng::seed_from_u64(21);
    let mut live: Live = Live::new(false, 20_000);
    for round in 0..3 {
        for _ in 0..150_000 {
            let key = random.random_range(0..30_000_000u64);
            live.insert(Key::value(key));
        }
        for row in 0..100_000 {
            live.insert(Key::value(40_000_000 + round * 100_000 + row));
        }
        live.check();
        let mut steps = 0;
        while let Step::Published { dropped, .. } =
            live.merge(Limits { leaves: 20, entries: 30_000 })
        {
            steps += 1;
            if steps % 5 == 0 || dropped {
                let low = random.random_range(0..40_000_000);
                live.assert_range(Key::value(low), Key::value(low + 200_000));
                live.check();
            }
        }
        assert!(steps > 3, "{steps} steps");
        live.assert_range(Key::MIN, Key::MAX);
    }
    let report = check(&live.store, true, |_| {}).unwrap();
    assert_eq!(report.delta_pages, 0);
    // What the delta trees and old leaves took is used again.
    assert!(u64::from(live.store.blocks()) < 4 * report.leaves, "{} blocks", live.store.blocks());
    // A session that was there all the time still reads one page a lookup.
    let before = live.store.reads();
    for code in 0..1_000 {
        live.scan(Key::value(code * 1_000), Key::value(code * 1_000), Direction::Forward);
    }
    assert!(live.store.reads() - before < 1_100, "{}", live.store.reads() - before);
}

/// Looks keys up before and after leaves of the delta tree are written anew, by splits and by
/// VACUUM, with as many entries as before: in the session that inserts, and in one that finds out
/// later. Whether all answers were right.
fn lookups_through_rewrites(seed: u64) -> bool {
    let mut random = StdRng::seed_from_u64(seed);
    let mut live: Live = Live::new(false, 0);
    let mut other = Directory::open(&live.store, 1 << 24).unwrap();
    let lookup = |live: &mut Live, code| {
        let key = Key::value(code);
        let expected: Vec<Entry> =
            live.entries.iter().filter(|entry| entry.key == key).copied().collect();
        live.scan(key, key, Direction::Forward) == expected
    };
    let mut right = true;
    for _ in 0..12 {
        let sizes = [10, 100, 700];
        for _ in 0..sizes[random.random_range(0..3)] {
            live.insert(Key::value(random.random_range(0..5_000)));
        }
        let mut asked = random.clone();
        for _ in 0..2 {
            right &= (0..300).all(|_| lookup(&mut live, asked.random_range(0..5_000)));
            std::mem::swap(&mut live.directory, &mut other);
        }
        let dying = random.random_range(0..4);
        live.vacuum(|entry| entry.tid.to_u64() % 4 == dying);
        for _ in 0..live.reusable.len() {
            let code = random.random_range(0..5_000);
            live.insert(Key::value(code));
            std::mem::swap(&mut live.directory, &mut other);
            right &= lookup(&mut live, code);
            if random.random_range(0..2) == 0 {
                std::mem::swap(&mut live.directory, &mut other);
                right &= lookup(&mut live, code);
            }
        }
    }
    right
}

#[test]
fn lookups_are_right_before_and_after_delta_leaves_are_written_anew() {
    assert!((0..20).all(lookups_through_rewrites));
}

#[test]
fn keeping_what_was_seen_of_a_rewritten_leaf_is_noticed() {
    inject(Some(Fault::KeepSeen));
    let noticed = (0..20).any(|seed| !lookups_through_rewrites(seed));
    inject(None);
    assert!(noticed);
}

#[test]
fn a_scan_goes_on_through_inserts_merges_and_vacuum() {
    scan_on::<u64>();
    scan_on::<[u64; 2]>();
    scan_on::<[u64; 3]>();
}

fn scan_on<C: Sample>() {
    let mut random = StdRng::seed_from_u64(8);
    for seed in 0..40 {
        let mut live = Live::<C>::new(false, 5_000);
        for _ in 0..2_000 {
            live.insert(key(random.random_range(0..5_000_000)));
        }
        let direction = if seed % 2 == 0 { Direction::Forward } else { Direction::Backward };
        let mut scan = Scan::new();
        scan.restart(&live.store, Guard::Nothing);
        scan.intervals_mut().set(Key::MIN, Key::MAX);
        let before = live.entries.clone();
        let mut found = BTreeSet::new();
        let mut gone = BTreeSet::new();
        while let Some(entry) = scan.next(&live.store, &mut live.directory, direction).unwrap() {
            assert!(found.insert(entry), "{entry:?} came twice");
            if found.len() % 97 == 0 {
                match random.random_range(0..6) {
                    0 | 1 => {
                        for _ in 0..400 {
                            live.insert(key(random.random_range(0..5_000_000)));
                        }
                    }
                    2 => {
                        let class = random.random_range(0..50);
                        let dies = |entry: &Entry<C>| entry.tid.to_u64() % 50 == class;
                        gone.extend(live.entries.iter().filter(|entry| dies(entry)));
                        live.vacuum(dies);
                        // A snapshot would keep the TIDs that the scan may have copied.
                        live.reusable.clear();
                    }
                    _ => drop(live.merge(SMALL)),
                }
            }
        }
        for entry in before.difference(&gone) {
            assert!(found.contains(entry), "{entry:?} was missed");
        }
        assert!(found.iter().all(|entry| live.entries.contains(entry) || gone.contains(entry)));
    }
}

/// Scans that pass over what their caller does not want, in both directions and through turns.
fn skip_on<C: Sample>() {
    let mut random = StdRng::seed_from_u64(12);
    for seed in 0..60 {
        let mut live = Live::<C>::new(false, 3_000);
        for _ in 0..random.random_range(0..3_000) {
            live.insert(key(random.random_range(0..3_000_000)));
        }
        for _ in 0..seed % 3 {
            live.merge(SMALL);
        }
        let entries: Vec<Entry<C>> = live.entries.iter().copied().collect();
        let mut scan = Scan::new();
        scan.restart(&live.store, Guard::Pins);
        scan.intervals_mut().set(Key::value(C::MIN), Key::value(C::MAX));
        // How many entries are before where the scan stands.
        let (mut at, mut direction) = (0, Direction::Forward);
        for _ in 0..300 {
            let far = [1_000, 30_000, 1_000_000][random.random_range(0..3)];
            let from = random.random_range(0..3_000_000u64);
            let to = C::of(if random.random() { from } else { from % far });
            let skipped = match direction {
                Direction::Forward => entries.partition_point(|entry| entry.key.code < to).max(at),
                Direction::Backward => {
                    entries.partition_point(|entry| entry.key.code <= to).min(at)
                }
            };
            let skips = skipped != at && random.random_range(0..3) > 0;
            let copied = if skips { scan.skip_to(direction, to) } else { None };
            let found = match copied {
                Some(entry) => Some(entry),
                None => scan.next(&live.store, &mut live.directory, direction).unwrap(),
            };
            let before = if skips { skipped } else { at };
            let expected = match direction {
                Direction::Forward => entries.get(before),
                Direction::Backward => before.checked_sub(1).map(|last| &entries[last]),
            };
            assert_eq!(found.as_ref(), expected, "{direction:?} to {to:?}");
            let Some(found) = found else { break };
            at = entries.partition_point(|entry| *entry < found);
            if random.random_range(0..20) == 0 {
                direction = match direction {
                    Direction::Forward => Direction::Backward,
                    Direction::Backward => Direction::Forward,
                };
            }
            at += usize::from(direction == Direction::Forward);
        }
        scan.release(&live.store);
    }
}

#[test]
fn a_scan_goes_on_where_its_caller_says() {
    skip_on::<u64>();
    skip_on::<[u64; 2]>();
    skip_on::<[u64; 3]>();
}

#[test]
fn a_unique_insert_sees_every_entry_of_its_key_wherever_it_is() {
    insert_unique_ones::<u64>(0);
    insert_unique_ones::<[u64; 2]>(0);
    insert_unique_ones::<[u64; 3]>(0);
}

#[test]
fn and_every_entry_of_its_key_whatever_is_stored_beside_it() {
    insert_unique_ones::<[u64; 2]>(1);
    insert_unique_ones::<[u64; 3]>(1);
    insert_unique_ones::<[u64; 3]>(2);
}

fn insert_unique_ones<C: Sample>(included_words: u8) {
    let mut random = StdRng::seed_from_u64(4);
    let mut live = Live::<C>::with_included(false, 2_000, included_words);
    let included = usize::from(included_words);
    let same = |code: C| code.with_last(included, 0);
    let mut rows: BTreeMap<C, u64> = BTreeMap::new();
    live.entries.iter().for_each(|entry| *rows.entry(same(entry.key.code)).or_default() += 1);
    for round in 0..20_000u64 {
        let mut key = key::<C>(random.random_range(0..3_000) * 1_000);
        if included > 0 {
            let beside = [0, 1, 7, u64::MAX][random.random_range(0..4)];
            key = Key::value(key.code.with_last(included, beside));
        }
        let entry = Entry { key, tid: live.new_tid() };
        // As if all rows with the key were dead: each is looked at, and none is in the way. Once
        // more where the leaf was full and had to be split.
        let mut seen = BTreeSet::new();
        let look = |tid| {
            seen.insert(tid);
            if round % 7 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let result = insert_unique(&live.store, &mut live.directory, entry, true, look).unwrap();
        let known = rows.entry(same(key.code)).or_default();
        if round % 7 == 0 && *known > 0 {
            assert!(matches!(result, Unique::Stopped(())) && seen.len() == 1);
        } else {
            assert!(matches!(result, Unique::Inserted(_)));
            assert_eq!(seen.len() as u64, *known, "{key:?}");
            *known += 1;
            live.entries.insert(entry);
        }
        if round % 500 == 499 {
            live.merge(SMALL);
        }
    }
    live.check();
}

#[test]
fn deleting_old_and_appending_new_keeps_the_size() {
    let mut live: Live = Live::new(false, 0);
    let mut sizes = Vec::new();
    for round in 0..40u64 {
        for row in 0..20_000 {
            live.insert(Key::value((round * 20_000 + row) * 977 % (1 << 40)));
        }
        while live.merge(Limits::for_leaves(1)) != Step::Idle {}
        let floor = (round.saturating_sub(3) * 20_000) * 977;
        live.vacuum(|entry| entry.key.code < floor);
        live.check();
        sizes.push(live.store.blocks());
    }
    assert!(sizes[39] <= sizes[10] + 2, "{sizes:?}");
}

/// A store in which another session merges everything just before a page is read.
struct MergedMeanwhile<'a> {
    store: &'a MemoryStore,
    reads_before: Cell<u32>,
}

impl Store for MergedMeanwhile<'_> {
    type Code = u64;
    type Page<'s>
        = MemoryPage
    where
        Self: 's;
    type Pin = Block;

    fn word(&self) -> u64 {
        self.store.word()
    }

    fn read(&self, block: Block, hint: Hint) -> MemoryPage {
        let left = self.reads_before.get();
        self.reads_before.set(left.wrapping_sub(1));
        if left == 0 {
            let limits = Limits::for_leaves(1);
            let step = || merge_step(self.store, OPTIONS, limits, 1, &mut Vec::new()).unwrap();
            while step() != Step::Idle {}
        }
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

#[test]
fn the_size_of_the_delta_trees_is_told_while_they_are_merged() {
    let mut live: Live = Live::new(false, 1_000);
    let insert = |live: &mut Live, base: u64| {
        (0..2_000).for_each(|row| live.insert(Key::value(base + row * 7919 % 100_000)));
    };
    insert(&mut live, 1);
    // One tree is frozen, with a part of it merged; another one takes inserts.
    live.merge(Limits { leaves: 1, entries: 100 });
    insert(&mut live, 500_000);
    let before = delta_entries(&live.store).unwrap();
    assert!((2_000..6_000).contains(&before), "{before}");
    for reads_before in 0..10 {
        let store = live.store.clone();
        let meanwhile = MergedMeanwhile { store: &store, reads_before: Cell::new(reads_before) };
        let told = delta_entries(&meanwhile).unwrap();
        assert!(told == 0 || told == before, "{told} entries after {reads_before} reads");
    }
}
