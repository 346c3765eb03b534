//! Prints, for each distribution and model: training time, segments, bytes, greatest error, and
//! nanoseconds a lookup next to those of `partition_point`.
//!
//! `cargo run --release -p learned_index --example model_report [fences]`
#![allow(clippy::panic, missing_docs)]

#[path = "../tests/distributions/mod.rs"]
mod distributions;

use std::hint::black_box;
use std::time::Instant;

use learned_index::model::{Model, ModelChoice, search};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Lookups a measurement; the best of some is kept.
const LOOKUPS: usize = 1 << 17;
const REPEATS: usize = 5;

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(110_000);
    println!(
        "| {count} fences | model | train ms | segments | bytes | max error | ns | binary ns |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for name in distributions::NAMES {
        let fences = distributions::fences(name, count, 1);
        let codes = codes(&fences);
        let binary = nanoseconds(&codes, |code| fences.partition_point(|fence| *fence <= code));
        for (label, choice) in [
            ("linear", ModelChoice::Linear),
            ("rmi", ModelChoice::Rmi),
            ("pgm", ModelChoice::Pgm),
            ("radix_spline", ModelChoice::RadixSpline),
            ("auto", ModelChoice::Auto),
        ] {
            let start = Instant::now();
            let model = Model::train(choice, &fences);
            let trained = start.elapsed().as_secs_f64() * 1e3;
            let lookup = nanoseconds(&codes, |code| {
                search(model.predict(code), fences.len(), |i| fences[i] <= code)
            });
            let label = if choice == ModelChoice::Auto {
                format!("auto: {}", model.kind().name())
            } else {
                label.to_owned()
            };
            println!(
                "| {name} | {label} | {trained:.1} | {} | {} | {} | {lookup:.0} | {binary:.0} |",
                model.segments(),
                model.size_bytes(),
                model.max_error(),
            );
        }
    }
}

/// Fences and codes between them, in random order.
fn codes(fences: &[u64]) -> Vec<u64> {
    let mut rng = StdRng::seed_from_u64(7);
    (0..LOOKUPS)
        .map(|_| {
            let i = rng.random_range(0..fences.len());
            let next = fences.get(i + 1).copied().unwrap_or(fences[i]);
            rng.random_range(fences[i]..=next)
        })
        .collect()
}

/// A lookup's time when each waits for the one before.
fn nanoseconds(codes: &[u64], lookup: impl Fn(u64) -> usize) -> f64 {
    let zero = black_box(0);
    (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            let mut last = 0;
            for code in codes {
                // The code itself, but not before the last lookup ended.
                last = lookup(code ^ (last as u64 & zero));
            }
            black_box(last);
            start.elapsed().as_secs_f64() * 1e9 / codes.len() as f64
        })
        .fold(f64::INFINITY, f64::min)
}
