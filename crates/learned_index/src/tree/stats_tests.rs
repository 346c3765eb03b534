//! The figures of an index against what its pages say of themselves, and its own check.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::attempt::settled;
use super::build::{BuildOptions, Builder};
use super::check::CheckReport;
use super::delta::insert;
use super::directory::{Directory, read_model};
use super::leaf::read_leaf;
use super::merge::{Beginning, Limits, Step, merge_step};
use super::stats::{COUNTED_LEAVES, Errors, IndexStats, stats};
use super::vacuum::bulk_delete;
use crate::entry::{Block, Entry, HeapTid};
use crate::key::{Code, Key, NullClass, Sample};
use crate::model::ModelChoice;
use crate::page::history::{History, Merge, Training};
use crate::page::meta::{Identity, KeyColumn};
use crate::page::{self, PageKind};
use crate::store::Store;
use crate::store::memory::MemoryStore;

pub(super) const ALL_MODELS: [ModelChoice; 5] = [
    ModelChoice::Auto,
    ModelChoice::Linear,
    ModelChoice::Rmi,
    ModelChoice::Pgm,
    ModelChoice::RadixSpline,
];

/// Asserts that the figures of an index at rest are those of its check and of its pages.
pub(super) fn assert_stats<C: Code>(store: &MemoryStore<C>, report: &CheckReport) {
    let stats = stats(store).unwrap();
    let pages = |kind: PageKind| {
        let is_one = |block: &Block| page::is_kind(&store.read(*block, 0), kind);
        (0..store.blocks()).filter(is_one).count() as Block
    };
    assert_eq!(stats.pages, store.blocks());
    assert_eq!(u64::from(stats.leaves), report.leaves);
    assert_eq!(stats.leaves, pages(PageKind::Leaf));
    assert_eq!(stats.directory_pages, pages(PageKind::Directory));
    assert_eq!(stats.model_pages, pages(PageKind::Model));
    assert_eq!(stats.delta_pages, pages(PageKind::Delta));
    assert_eq!(stats.other_pages(), pages(PageKind::Free) + pages(PageKind::Tombstones));
    assert_eq!(stats.entries, report.entries);
    if (stats.delta_pages as usize) <= COUNTED_LEAVES {
        assert_eq!(stats.unmerged, report.delta);
    } else {
        let (found, exact) = (stats.unmerged as f64, report.delta as f64);
        assert!((found - exact).abs() < 0.1 * exact, "{found} unmerged instead of {exact}");
    }
    assert_eq!(stats.errors, errors(store));
}

/// What the model is off at the first key of each leaf, of which it has to say that the leaves up
/// to there begin before it.
fn errors<C: Code>(store: &MemoryStore<C>) -> Errors {
    let mut directory = Directory::open(store, usize::MAX).unwrap();
    let state = *directory.state();
    let model = settled(read_model(store, &state)).unwrap().unwrap();
    let (mut errors, mut before) = (Errors::default(), 0);
    for ordinal in 0..directory.leaves() {
        let at = settled(directory.leaf(store, ordinal)).unwrap().unwrap();
        let leaf = settled(read_leaf(store, state.word, at)).unwrap().unwrap();
        let leaf = leaf.view();
        if leaf.class() != NullClass::Value {
            continue;
        }
        before += 1;
        if before > 1 {
            let error = model.predict(leaf.low().code.word()).position.abs_diff(before) as u64;
            errors.count += 1;
            errors.sum += error;
            errors.max = errors.max.max(error);
        }
    }
    errors
}

/// An index of ascending keys.
pub(super) fn built<C: Sample>(model: ModelChoice, keys: &[u64]) -> MemoryStore<C> {
    let options = BuildOptions { model, fillfactor: 100 };
    let identity = Identity::of_column(7, KeyColumn::ascending(1));
    let mut builder = Builder::new(MemoryStore::default(), identity, options);
    for (row, key) in (0u32..).zip(keys) {
        assert!(builder.try_push(C::of(*key), HeapTid::new(row / 100, (row % 100) as u16 + 1)));
    }
    builder.finish().0
}

/// Keys whose density changes by a factor of a hundred every 50,000 keys.
pub(super) fn uneven(count: u64) -> Vec<u64> {
    let mut random = StdRng::seed_from_u64(3);
    let mut key = 0;
    let step = |row: u64| if (row / 50_000).is_multiple_of(2) { 10 } else { 1_000 };
    (0..count).map(|row| (key += random.random_range(1..=step(row)), key).1).collect()
}

#[test]
fn a_new_index_tells_its_model_and_no_prediction_is_off_by_more_than_that_promises() {
    for choice in ALL_MODELS {
        let store: MemoryStore = built(choice, &uneven(200_000));
        let directory = Directory::open(&store, usize::MAX).unwrap();
        let model = settled(read_model(&store, directory.state())).unwrap().unwrap();
        let IndexStats { errors, leaves, generation, unmerged, .. } = stats(&store).unwrap();
        let found = stats(&store).unwrap();
        assert_eq!((found.model, found.segments), (model.kind(), model.segments()));
        assert_eq!(found.model_bytes as usize, model.to_bytes().len());
        assert_eq!((generation, unmerged, found.merging), (0, 0, false));
        assert!(leaves > 20 && errors.count == u64::from(leaves) - 1, "{leaves} leaves");
        assert!(errors.max <= model.max_error() as u64, "{errors:?}");
        assert!(errors.average() <= errors.max as f64, "{errors:?}");
        // One line does not fit these keys.
        assert!(choice != ModelChoice::Linear || errors.max > 1, "{errors:?}");
    }
}

#[test]
fn an_empty_index_has_figures() {
    let found = stats(&built::<u64>(ModelChoice::Auto, &[])).unwrap();
    assert_eq!((found.leaves, found.entries, found.errors), (0, 0, Errors::default()));
    assert_eq!(found.other_pages(), 0);
}

#[test]
fn each_publish_makes_a_generation_and_a_merge_that_has_begun_is_told() {
    let store: MemoryStore = built(ModelChoice::Auto, &uneven(50_000));
    let mut directory = Directory::open(&store, 1 << 24).unwrap();
    for row in 0..40_000u64 {
        let tid = HeapTid::new(10_000 + (row / 100) as u32, (row % 100) as u16 + 1);
        let entry = Entry { key: Key::value(row * 911 % 10_000_000), tid };
        insert(&store, &mut directory, entry).unwrap();
    }
    let waiting = stats(&store).unwrap();
    assert!(waiting.unmerged.abs_diff(40_000) < 2_000, "{} unmerged", waiting.unmerged);
    assert_eq!((waiting.generation, waiting.merging), (0, false));
    let options = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };
    let limits = Limits { leaves: 4, entries: 10_000 };
    let mut published = 0;
    while let Step::Published { dropped, .. } =
        merge_step(&store, options, limits, 1, &mut Vec::new()).unwrap()
    {
        published += 1;
        let found = stats(&store).unwrap();
        assert_eq!((found.generation, found.merging), (published, !dropped));
    }
    assert!(published > 3, "{published} publishes");
    assert_eq!(stats(&store).unwrap().unmerged, 0);
}

#[test]
fn the_metapage_tells_of_the_last_merge_and_the_last_training_and_of_no_time_between_ranges() {
    const HOUR: i64 = 3_600_000_000;
    // More looks at the clock than anything here takes.
    const SHORT: u64 = 100;
    let store: MemoryStore = MemoryStore::new();
    store.set_clock(HOUR);
    let options = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };
    let identity = Identity::of_column(5, KeyColumn::ascending(1));
    let mut builder = Builder::new(store, identity, options);
    for (row, key) in uneven(50_000).into_iter().enumerate() {
        let tid = HeapTid::new((row / 100) as u32, (row % 100) as u16 + 1);
        assert!(builder.try_push(key, tid));
    }
    let (store, _) = builder.finish();
    let built = stats(&store).unwrap().history;
    assert_eq!(built, History { training: built.training, ..History::default() });
    let is_within = |training: Training, from: i64| {
        (from..from + SHORT as i64).contains(&training.ended)
            && (1..SHORT).contains(&training.duration)
    };
    assert!(is_within(built.training, HOUR), "{built:?}");
    let mut directory = Directory::open(&store, 1 << 24).unwrap();
    let mut last = Merge::default();
    for round in 1..4u8 {
        for row in 0..20_000u64 {
            let tid = HeapTid::new(u32::from(round) * 10_000 + row as u32, 1);
            let key = Key::value(row * 911 % 10_000_000);
            insert(&store, &mut directory, Entry { key, tid }).unwrap();
        }
        let limits = Limits { leaves: 4, entries: 5_000 };
        let (mut cause, mut entries, mut ranges) = (round, 0, 0);
        let history = loop {
            ranges += 1;
            let now = (i64::from(round) * 1_000 + ranges) * HOUR;
            store.set_clock(now);
            // Only the first step is asked for why it began.
            let beginning = Beginning { enough: 1, cause: std::mem::replace(&mut cause, 99) };
            let step = merge_step(&store, options, limits, beginning, &mut Vec::new()).unwrap();
            let Step::Published { merged, dropped, .. } = step else { panic!("{step:?}") };
            entries += merged;
            let history = stats(&store).unwrap().history;
            if dropped {
                assert!(is_within(history.training, now), "the last range trains: {history:?}");
                assert!((now..now + SHORT as i64).contains(&history.merge.ended), "{history:?}");
                break history;
            }
            assert_eq!(history.merge, last, "the merge before, until this one has ended");
            let Merge { ended, entries: so_far, cause, .. } = history.begun;
            assert_eq!((ended, so_far, cause), (0, entries, round));
            // VACUUM in between replaces leaves, and leaves the merge as it is.
            let half = |tid: HeapTid| tid.block() < 500 && tid.block().is_multiple_of(2);
            bulk_delete(&store, options, half, || ()).unwrap();
            assert_eq!(stats(&store).unwrap().history.begun, history.begun);
        };
        assert!(ranges > 3, "{ranges} ranges");
        let Merge { duration, entries: merged, cause, .. } = history.merge;
        assert_eq!((merged, cause, history.begun), (entries, round, Merge::default()));
        let ranges = ranges as u64;
        assert!((ranges..ranges * SHORT).contains(&duration), "{duration} of {ranges} ranges");
        last = history.merge;
    }
    // As much as another session reads that opens the index anew.
    let page = store.read(0, 0);
    let (_, state) = crate::page::meta::decode::<u64>(&page).unwrap();
    assert_eq!(state.history.merge, last);
}
