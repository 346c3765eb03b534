//! Models: training, and lookups from a code to its place among sorted fences, the exact search
//! around the prediction included, against `BTreeMap::get` and `partition_point`.
//!
//! `cargo bench -p learned_index --bench models [-- --quick]`. First a table of lookups measured in
//! turn, with the ratios; then each on its own.
#![allow(clippy::panic, missing_docs, unreachable_pub)]

#[path = "../tests/distributions/mod.rs"]
mod distributions;
mod paired;
mod settings;

use std::collections::BTreeMap;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use learned_index::model::{Model, ModelChoice, search};

use paired::{LOOKUPS, ROUNDS, TRAININGS, chained, in_turn, median, part, picked, ratio};
use settings::{is_measuring, settings};

/// Fences that lookups are among.
const KEYS: usize = 1_000_000;
/// Fences of an index of 100 million rows, 580 in a leaf.
const FENCES: usize = 100_000_000 / 580;
const SEED: u64 = 1;
/// Lookups of the table, a part of them in each round.
const COMPARED: usize = 1 << 17;

const CHOICES: [(&str, ModelChoice); 5] = [
    ("auto", ModelChoice::Auto),
    ("linear", ModelChoice::Linear),
    ("rmi", ModelChoice::Rmi),
    ("pgm", ModelChoice::Pgm),
    ("radix_spline", ModelChoice::RadixSpline),
];

/// The number of fences at or before a code.
#[inline]
fn learned(model: &Model, fences: &[u64], code: u64) -> usize {
    search(model.predict(code), fences.len(), |i| fences[i] <= code)
}

#[inline]
fn binary(fences: &[u64], code: u64) -> usize {
    fences.partition_point(|fence| *fence <= code)
}

/// A map from each distinct fence to the number of fences at or before it.
fn map_of(fences: &[u64]) -> BTreeMap<u64, usize> {
    fences.iter().enumerate().map(|(i, fence)| (*fence, i + 1)).collect()
}

fn table(_: &mut Criterion) {
    if !is_measuring() {
        return;
    }
    println!(
        "| {KEYS} keys | distinct | model | ns | BTreeMap ns | ratio | partition_point ns | ratio \
         | training {FENCES} fences, ms | the least |"
    );
    println!("|---|---:|---|---:|---:|---:|---:|---:|---:|---:|");
    for name in distributions::NAMES {
        let fences = distributions::fences(name, KEYS, SEED);
        let model = Model::train(ModelChoice::Auto, &fences);
        let map = map_of(&fences);
        let codes = picked(&fences, COMPARED);
        for code in &codes {
            let place = binary(&fences, *code);
            assert_eq!(learned(&model, &fences, *code), place, "{name}");
            assert_eq!(map.get(code), Some(&place), "{name}");
        }
        let in_map = |code: u64| map.get(&code).copied().unwrap_or(0);
        let times = in_turn(
            ROUNDS,
            &mut [
                &mut |round| chained(part(&codes, round), |code| learned(&model, &fences, code)),
                &mut |round| chained(part(&codes, round), in_map),
                &mut |round| chained(part(&codes, round), |code| binary(&fences, code)),
            ],
        );
        let few = distributions::fences(name, FENCES, SEED);
        let mut train = |_| Model::train(ModelChoice::Auto, &few).size_bytes();
        let training = in_turn(TRAININGS, &mut [&mut train]).remove(0);
        let each = |side: usize| median(times[side].clone()) / part(&codes, 0).len() as f64;
        println!(
            "| {name} | {} | {} | {:.1} | {:.1} | {:.2} | {:.1} | {:.2} | {:.1} | {:.1} |",
            map.len(),
            model.kind().name(),
            each(0),
            each(1),
            ratio(&times[1], &times[0]),
            each(2),
            ratio(&times[2], &times[0]),
            median(training.clone()) / 1e6,
            training.iter().copied().fold(f64::INFINITY, f64::min) / 1e6,
        );
    }
}

fn lookup(criterion: &mut Criterion) {
    for name in distributions::NAMES {
        let fences = distributions::fences(name, KEYS, SEED);
        let codes = picked(&fences, LOOKUPS);
        let mut group = criterion.benchmark_group(format!("lookup/{name}"));
        group.throughput(Throughput::Elements(LOOKUPS as u64)).sampling_mode(SamplingMode::Flat);
        for (label, choice) in CHOICES {
            let model = Model::train(choice, &fences);
            group.bench_function(label, |bench| {
                bench.iter(|| chained(&codes, |code| learned(&model, &fences, code)));
            });
        }
        let map = map_of(&fences);
        group.bench_function("BTreeMap", |bench| {
            bench.iter(|| chained(&codes, |code| map.get(&code).copied().unwrap_or(0)));
        });
        group.bench_function("partition_point", |bench| {
            bench.iter(|| chained(&codes, |code| binary(&fences, code)));
        });
        group.finish();
    }
}

fn training(criterion: &mut Criterion) {
    for name in distributions::NAMES {
        let fences = distributions::fences(name, FENCES, SEED);
        let mut group = criterion.benchmark_group(format!("train/{name}"));
        group.throughput(Throughput::Elements(FENCES as u64)).sampling_mode(SamplingMode::Flat);
        for (label, choice) in CHOICES {
            group.bench_function(label, |bench| bench.iter(|| Model::train(choice, &fences)));
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = settings(10, 500);
    targets = table, lookup, training
}
criterion_main!(benches);
