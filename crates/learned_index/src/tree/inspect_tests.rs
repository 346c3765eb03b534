//! What is told of models and leaves against the entries that went into them.

use super::attempt::settled;
use super::check::check;
use super::directory::{Directory, read_model};
use super::inspect::{LeafFigures, leaf, predict, segments};
use super::stats::stats;
use super::stats_tests::{ALL_MODELS, built, uneven};
use super::vacuum::bulk_delete;
use crate::key::{Key, NullClass, Sample};
use crate::memory::listed;
use crate::model::ModelChoice;
use crate::page::PAGE_SIZE;
use crate::store::memory::MemoryStore;
use crate::tree::build::BuildOptions;

fn leaves<C: Sample>(store: &MemoryStore<C>) -> Vec<LeafFigures<C>> {
    let mut directory = Directory::open(store, 1 << 24).unwrap();
    listed((0..).map_while(|ordinal| leaf(store, &mut directory, ordinal).unwrap()))
}

#[test]
fn leaves_have_every_entry_in_order_and_tell_their_dead_ones() {
    leaves_of::<u64>();
    leaves_of::<[u64; 2]>();
}

fn leaves_of<C: Sample>() {
    let keys = uneven(60_000);
    let store: MemoryStore<C> = built(ModelChoice::Auto, &keys);
    let options = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };
    let is_dead = |tid: crate::entry::HeapTid| tid.to_u64() % 10 == 3;
    let removed = bulk_delete(&store, options, is_dead, || {}).unwrap().removed;
    let found = leaves(&store);
    assert_eq!(found.len(), stats(&store).unwrap().leaves as usize);
    let mut before = 0;
    for leaf in &found {
        assert_eq!(leaf.first, Some(C::of(keys[before])), "entry {before}");
        assert_eq!(leaf.class, NullClass::Value);
        assert!(!leaf.forms.is_empty() && leaf.bytes < PAGE_SIZE && leaf.bytes > 1_000);
        before += leaf.entries;
    }
    assert_eq!(before, keys.len());
    let dead: usize = found.iter().map(|leaf| leaf.dead).sum();
    assert_eq!((dead as u64, removed), (check(&store, true, |_| {}).unwrap().dead, removed));
    assert!(removed > 1_000, "{removed} removed");
}

#[test]
fn a_prediction_names_the_leaf_that_has_the_key_and_what_the_model_says() {
    for choice in ALL_MODELS {
        let keys = uneven(200_000);
        let store: MemoryStore = built(choice, &keys);
        let found = leaves(&store);
        let mut directory = Directory::open(&store, 0).unwrap();
        let model = settled(read_model(&store, directory.state())).unwrap().unwrap();
        let mut outside = 0;
        // The first keys of leaves too.
        let firsts = found.iter().filter_map(|leaf| leaf.first);
        for key in keys.iter().step_by(997).copied().chain(firsts) {
            let predicted = predict(&store, &mut directory, Key::value(key)).unwrap().unwrap();
            let right = found.partition_point(|leaf| leaf.first.is_some_and(|first| first <= key));
            assert_eq!(predicted.leaf, right - 1, "key {key}");
            assert_eq!(predicted.block, found[right - 1].block);
            let answer = predicted.model.unwrap();
            assert!(answer.leaf.abs_diff(predicted.leaf) <= model.max_error(), "{answer:?}");
            outside += usize::from(predicted.is_outside());
        }
        // The first leaf aside, a new model knows its own error.
        assert_eq!(outside, 0, "{choice:?}");
        let null = predict(&store, &mut directory, Key::null(NullClass::NullsLast));
        let null = null.unwrap().unwrap();
        assert_eq!((null.model, null.leaf), (None, found.len() - 1));
    }
    let empty: MemoryStore = built(ModelChoice::Auto, &[]);
    let mut directory = Directory::open(&empty, 0).unwrap();
    assert_eq!(predict(&empty, &mut directory, Key::value(1)).unwrap(), None);
}

#[test]
fn segments_begin_where_leaves_begin_and_lead_to_them() {
    for choice in ALL_MODELS {
        let store: MemoryStore = built(choice, &uneven(400_000));
        let (lines, found) = (segments(&store).unwrap(), leaves(&store));
        let model =
            settled(read_model(&store, Directory::open(&store, 0).unwrap().state())).unwrap();
        let model = model.unwrap();
        assert!(lines.len() <= model.segments() && !lines.is_empty(), "{choice:?}");
        assert!(lines.is_sorted_by_key(|line| line.segment.first));
        let worst = lines.iter().map(|line| line.segment.max_error).max();
        assert_eq!(worst, Some(model.max_error()), "{choice:?}");
        for line in &lines {
            let Some(first) = line.first else { continue };
            assert_eq!(line.code, found[first].first, "{choice:?} {line:?}");
            // The line by itself: from its first code on, as far as its answers go.
            let code = line.code.unwrap();
            let (least, most) = line.segment.answers;
            let rise = line.segment.slope * (code - line.segment.first) as f64;
            let answer = f64::from(least) + rise;
            let off = (answer.min(f64::from(most)) - (first + 1) as f64).abs();
            assert!(
                off <= 2.0 * line.segment.max_error as f64 + 2.0,
                "{choice:?} {line:?}: {answer}"
            );
        }
    }
}
