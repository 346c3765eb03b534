//! The exact search around a prediction. This is where a model stops mattering for correctness.

use core::hint::select_unpredictable;

use super::Prediction;

/// The number of positions `i` in `0..len` for which `at_or_before(i)` is true, where the
/// predicate is true up to some position and false from there on.
///
/// Exact for any prediction. The window is searched first. An answer strictly inside it needs no
/// further proof, since the predicate is monotone; one at an end of the window is confirmed by one
/// probe outside it, and when that fails the search gallops outwards (Bentley & Yao 1976) from the
/// window, doubling the stride, so a model that is wrong by `d` positions costs O(log d) probes.
#[inline]
pub fn search(
    prediction: Prediction,
    len: usize,
    at_or_before: impl FnMut(usize) -> bool,
) -> usize {
    search_from(prediction, len, at_or_before).0
}

/// [`search`], and whether the answer is outside the window.
#[inline]
pub fn search_from(
    prediction: Prediction,
    len: usize,
    mut at_or_before: impl FnMut(usize) -> bool,
) -> (usize, bool) {
    let low = prediction.low.min(len);
    let high = prediction.high.clamp(low, len);
    let found = partition(low, high, &mut at_or_before);
    if found == low && low > 0 && !at_or_before(low - 1) {
        return (gallop_down(low - 1, high - low, &mut at_or_before), true);
    }
    if found == high && high < len && at_or_before(high) {
        return (gallop_up(high + 1, high - low, len, &mut at_or_before), true);
    }
    (found, false)
}

/// The partition point clamped into `low..=high`. The number of rounds depends on the width alone
/// and each is a conditional move, so that nothing is mispredicted.
#[inline]
fn partition(low: usize, high: usize, at_or_before: &mut impl FnMut(usize) -> bool) -> usize {
    let mut base = low;
    let mut width = high - low;
    if width == 0 {
        return low;
    }
    while width > 1 {
        let half = width / 2;
        base = select_unpredictable(at_or_before(base + half - 1), base + half, base);
        width -= half;
    }
    base + usize::from(at_or_before(base))
}

/// The partition point, known to be at most `high`.
#[cold]
fn gallop_down(
    mut high: usize,
    width: usize,
    at_or_before: &mut impl FnMut(usize) -> bool,
) -> usize {
    let mut stride = width.max(1);
    while high > 0 {
        let low = high.saturating_sub(stride);
        if at_or_before(low) {
            return partition(low + 1, high, at_or_before);
        }
        high = low;
        stride = stride.saturating_mul(2);
    }
    0
}

/// The partition point, known to be at least `low`.
#[cold]
fn gallop_up(
    mut low: usize,
    width: usize,
    len: usize,
    at_or_before: &mut impl FnMut(usize) -> bool,
) -> usize {
    let mut stride = width.max(1);
    while low < len {
        let probe = low.saturating_add(stride - 1).min(len - 1);
        if !at_or_before(probe) {
            return partition(low, probe, at_or_before);
        }
        low = probe + 1;
        stride = stride.saturating_mul(2);
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prediction_gives_the_exact_answer_for_every_length() {
        for len in 0..24 {
            for answer in 0..=len {
                for low in 0..=len + 2 {
                    for high in 0..=len + 2 {
                        let prediction = Prediction { position: low, low, high };
                        let found = search(prediction, len, |i| {
                            assert!(i < len, "probe {i} outside 0..{len}");
                            i < answer
                        });
                        assert_eq!(found, answer, "len {len} window {low}..={high}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_model_that_is_far_off_costs_logarithmically_many_probes() {
        let len = 1 << 30;
        for answer in [0, 1, 77, len / 2, len - 1, len] {
            for at in [0, 1, len / 3, len, usize::MAX] {
                let mut probes = 0;
                let found = search(Prediction { position: at, low: at, high: at }, len, |i| {
                    probes += 1;
                    i < answer
                });
                assert_eq!(found, answer);
                assert!(probes <= 2 * 30 + 4, "{probes} probes");
            }
        }
    }
}
