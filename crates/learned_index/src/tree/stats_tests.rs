//! The figures of an index against what its pages say of themselves, and its own check.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::attempt::settled;
use super::build::{BuildOptions, Builder};
use super::check::CheckReport;
use super::delta::insert;
use super::directory::{Directory, read_model};
use super::leaf::read_leaf;
use super::merge::{Limits, Step, merge_step};
use super::stats::{COUNTED_LEAVES, Errors, IndexStats, stats};
use crate::entry::{Block, Entry, HeapTid};
use crate::key::{Code, Key, NullClass, Sample};
use crate::model::ModelChoice;
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
