//! Sorted fences as real and adversarial tables give them; the same seed gives the same fences.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Rows a page, which is how far apart fences are in the rows that they stand for.
const PAGE: u64 = 580;

/// The names that [`fences`] knows.
pub(crate) const NAMES: [&str; 17] = [
    "sequential",
    "bursty",
    "interleaved",
    "zipfian",
    "random",
    "serial",
    "timestamps",
    "poisson",
    "lognormal",
    "uniform62",
    "clusters",
    "outliers",
    "duplicates",
    "zipf",
    "equal",
    "extremes",
    "dense",
];

/// `count` fences of the named distribution.
pub(crate) fn fences(name: &str, count: usize, seed: u64) -> Vec<u64> {
    let mut rng = StdRng::seed_from_u64(seed);
    let rng = &mut rng;
    let n = count as u64;
    let mut fences: Vec<u64> = match name {
        // The first five are those that earlier work on learned indexes published.
        "sequential" => (1..=n).collect(),
        // A thousand keys close together, then a pause.
        "bursty" => {
            let mut key = 0;
            sums(count, || {
                key += 1;
                if key % 1_000 == 0 {
                    rng.random_range(0..10_000_000)
                } else {
                    rng.random_range(1..10)
                }
            })
        }
        // Ten writers in turn, each counting in a range of its own.
        "interleaved" => (0..n).map(|i| ((i % 10) << 40) + i / 10).collect(),
        // The gap at rank r is as likely as 1 / r^2: many keys side by side, a few far away.
        "zipfian" => sums(count, || (1.0 / (1.0 - rng.random::<f64>())) as u64),
        "random" => (0..n).map(|_| rng.random()).collect(),
        "serial" => (0..n).map(|i| 1 + i * PAGE).collect(),
        // A row a second in microseconds, up to 50 ms late.
        "timestamps" => {
            let start = 1_700_000_000_000_000;
            (0..n).map(|i| start + i * PAGE * 1_000_000 + rng.random_range(0..50_000)).collect()
        }
        // Arrivals a millisecond apart on average: the sum of a page's exponential gaps.
        "poisson" => sums(count, || {
            let page: f64 = (0..16).map(|_| -(1.0 - rng.random::<f64>()).ln()).sum();
            (page * 1_000.0 * PAGE as f64 / 16.0) as u64
        }),
        "lognormal" => (0..n).map(|_| ((2.0 * normal(rng)).exp() * 1e9) as u64).collect(),
        "uniform62" => (0..n).map(|_| rng.random_range(0..1u64 << 62)).collect(),
        // Cell ids: few places hold most, at many scales.
        "clusters" => {
            let centres: Vec<(u64, f64)> = (0..200)
                .map(|_| (rng.random::<u64>() >> 1, rng.random_range(20.0..55.0)))
                .collect();
            (0..n)
                .map(|_| {
                    let (centre, bits) = centres[rng.random_range(0..centres.len())];
                    centre.saturating_add((normal(rng).abs() * bits.exp2()) as u64)
                })
                .collect()
        }
        "outliers" => (0..n)
            .map(|i| match i < 21 {
                true => u64::MAX - i * 3,
                false => i * 1_000_003 + rng.random_range(0..500_000),
            })
            .collect(),
        "duplicates" => (0..n).map(|_| rng.random_range(0..1_000) * 7_919).collect(),
        "zipf" => (0..n).map(|_| (1e6 * rng.random::<f64>().powi(12)) as u64).collect(),
        "equal" => vec![42; count],
        "extremes" => (0..n).map(|i| [0, 1, u64::MAX - 1, u64::MAX][i as usize % 4]).collect(),
        "dense" => sums(count, || rng.random_range(0..3)),
        other => panic!("no distribution {other}"),
    };
    fences.sort_unstable();
    fences
}

fn sums(count: usize, mut gap: impl FnMut() -> u64) -> Vec<u64> {
    (0..count)
        .scan(0u64, |sum, _| {
            *sum += gap();
            Some(*sum)
        })
        .collect()
}

/// Box and Muller's.
fn normal(rng: &mut StdRng) -> f64 {
    let u = 1.0 - rng.random::<f64>();
    let angle = core::f64::consts::TAU * rng.random::<f64>();
    (-2.0 * u.ln()).sqrt() * angle.cos()
}
