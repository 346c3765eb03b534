//! The model alone, without a server: how long it trains, and how fast it finds a key's place.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use learned_index::model::{Model, ModelChoice, search};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::Result;
use crate::bench::Bench;
use crate::data::{DataSet, MEAN_OF};
use crate::paired::{Side, alternate};

/// The group of the figures.
pub const GROUP: &str = "model";
/// The table that a model is trained for.
const ROWS: u64 = 100_000_000;
/// Rows of a leaf: fewer than most have, so that the model has more to learn.
const ROWS_OF_LEAF: u64 = 580;
/// Keys that places are looked up among.
const KEYS: u64 = 1_000_000;
/// Lookups of each round.
const LOOKUPS: u64 = 200_000;
/// The sets that earlier work published figures of.
const SETS: [&str; 5] = ["sequential", "bursty", "interleaved", "zipfian", "random"];

/// Measures training for an index of 100 million rows, and lookups among a million keys.
pub fn run(bench: &mut Bench) -> Result<()> {
    MEAN_OF.iter().try_for_each(|name| train(bench, name))?;
    SETS.iter().try_for_each(|name| look_up(bench, name))
}

/// Codes of a generated set, ascending.
fn codes(name: &str, count: u64) -> Result<Vec<u64>> {
    let keys = DataSet::generated(name, count)?.keys;
    let mut codes: Vec<u64> = keys.into_iter().map(|key| key as u64 ^ 1 << 63).collect();
    codes.sort_unstable();
    Ok(codes)
}

/// Trains a model; the other side puts the same keys into a `BTreeMap`.
fn train(bench: &mut Bench, name: &str) -> Result<()> {
    let leaves = ROWS / ROWS_OF_LEAF;
    // As many keys as there are leaves, spread as those of the table are.
    let codes = codes(name, leaves)?;
    let found = alternate(bench.options.rounds, |side, _| {
        let started = Instant::now();
        match side {
            Side::Theirs => drop(black_box(map_of(&codes))),
            Side::Ours => drop(black_box(Model::train(ModelChoice::Auto, &codes))),
        }
        Ok(started.elapsed().as_secs_f64() * 1e3)
    })?;
    let pairs = found.pairs(|took| *took);
    let what = format!("training for {leaves} leaves");
    let figure = pairs.figure(GROUP, (name, ROWS), &what, "ms", "BTreeMap");
    bench.add(figure.with_target(100.0));
    Ok(())
}

/// Each place is looked up with the model and an exact search around it.
fn look_up(bench: &mut Bench, name: &str) -> Result<()> {
    let codes = codes(name, KEYS)?;
    let mut rng = StdRng::seed_from_u64(1);
    let wanted: Vec<u64> = (0..LOOKUPS)
        .map(|_| codes.choose(&mut rng).copied().unwrap_or_else(|| rng.random()))
        .collect();
    let (model, map) = (Model::train(ModelChoice::Auto, &codes), map_of(&codes));
    let learned = |code: u64| search(model.predict(code), codes.len(), |i| codes[i] <= code);
    let in_map = |code: u64| map.get(&code).copied().unwrap_or(0);
    let by_halves = |code: u64| codes.partition_point(|other| *other <= code);
    let others: [(&str, &dyn Fn(u64) -> u64); 2] = [
        ("BTreeMap", &|chain| chained(&wanted, chain, in_map)),
        ("partition_point", &|chain| chained(&wanted, chain, by_halves)),
    ];
    for (against, other) in others {
        let mut answers = Vec::new();
        let found = alternate(bench.options.rounds, |side, _| {
            let started = Instant::now();
            answers.push(match side {
                Side::Theirs => other(0),
                Side::Ours => chained(&wanted, 0, learned),
            });
            Ok(started.elapsed().as_secs_f64() * 1e9 / wanted.len() as f64)
        })?;
        if answers.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(format!("different places of the keys of {name}").into());
        }
        let pairs = found.pairs(|took| *took);
        let what = "place of a key, in memory";
        let figure = pairs.figure(GROUP, (name, KEYS), what, "ns", against);
        bench.add(figure.with_target(1.0));
    }
    Ok(())
}

/// For each code, how many codes are not greater.
fn map_of(codes: &[u64]) -> BTreeMap<u64, usize> {
    codes.iter().copied().zip(1..).collect()
}

/// Looks up all codes, each only after the one before was found. Returns the sum of the places.
fn chained(wanted: &[u64], start: u64, place: impl Fn(u64) -> usize) -> u64 {
    wanted.iter().fold(start, |sum, code| {
        // Nothing is added, but the processor does not know.
        let found = place(code.wrapping_add(black_box(0) & sum)) as u64;
        sum.wrapping_add(found)
    })
}
