//! Lookups in random order, and comparisons in turn: a machine that slows down slows all sides.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Lookups that are measured together.
pub(crate) const LOOKUPS: usize = 1 << 14;

/// Rounds of a comparison, and rounds of training. Many that are short: those in which something
/// else had the processor are then few, and medians leave them out.
pub(crate) const ROUNDS: usize = 64;
pub(crate) const TRAININGS: usize = 11;

/// So many of the keys, in random order.
pub(crate) fn picked(keys: &[u64], count: usize) -> Vec<u64> {
    let mut rng = StdRng::seed_from_u64(7);
    (0..count).map(|_| keys[rng.random_range(0..keys.len())]).collect()
}

/// Looks up every code; each lookup waits for the one before, as in an executor.
#[inline]
pub(crate) fn chained(codes: &[u64], mut lookup: impl FnMut(u64) -> usize) -> usize {
    let zero = black_box(0);
    codes.iter().fold(0, |last, code| lookup(code ^ (last as u64 & zero)))
}

/// The lookups of one round: others than in the round before, which are in the caches.
pub(crate) fn part(codes: &[u64], round: usize) -> &[u64] {
    let len = codes.len() / (ROUNDS / 2);
    &codes[round % (ROUNDS / 2) * len..][..len]
}

/// Nanoseconds of each side in each round. The order turns every other round; a first round is
/// dropped.
pub(crate) fn in_turn(
    rounds: usize,
    sides: &mut [&mut dyn FnMut(usize) -> usize],
) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::with_capacity(rounds); sides.len()];
    for round in 0..=rounds {
        for place in 0..sides.len() {
            let side = if round % 2 == 0 { place } else { sides.len() - 1 - place };
            let start = Instant::now();
            black_box(sides[side](round));
            let took = nanoseconds(start.elapsed());
            if round > 0 {
                times[side].push(took);
            }
        }
    }
    times
}

/// The median of the ratios of two sides, round by round.
pub(crate) fn ratio(theirs: &[f64], ours: &[f64]) -> f64 {
    median(theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect())
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
