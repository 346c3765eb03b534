//! A quantised line from a code to a position, and the best line through a run of fences.
//!
//! Every model is made of such lines. All arithmetic is on integers: a double has 53 bits, so it
//! cannot tell neighbouring 64-bit codes apart, and an index built on it would promise errors that
//! do not hold. The error of a line is measured after it was quantised, by evaluating it.

use serde::{Deserialize, Serialize};

use super::{Prediction, Segment};

/// Fractional bits of a position inside a line: 12 let a page of serial keys be hit exactly while
/// an offset of half a million positions still fits an `i32`.
const FRACTION: u32 = 12;
/// Low bits of `Line::slope` that hold the shift; the rest is the multiplier.
const SHIFT_BITS: u32 = 7;
/// Bits that the multiplier may use.
const MULTIPLIER_BITS: u32 = 64 - SHIFT_BITS;

/// One distinct fence: `rank` is the number of fences not after `code`, the answer of a search for
/// every code from here up to the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) code: u64,
    pub(super) rank: u32,
}

/// The distinct fences in order. A fence below its predecessor (a caller's mistake) counts as
/// equal to it, so that every trainer can rely on strictly increasing codes; positions saturate at
/// `u32::MAX`, the number of blocks that a PostgreSQL relation can have.
pub(super) fn steps(fences: &[u64]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(fences.len());
    for (i, &code) in fences.iter().enumerate() {
        let rank = u32::try_from(i + 1).unwrap_or(u32::MAX);
        match steps.last_mut() {
            Some(last) if code <= last.code => last.rank = rank,
            _ => steps.push(Step { code, rank }),
        }
    }
    steps
}

/// position = start + offset + slope * (code - key), held between `start` and `end`.
///
/// The slope is `multiplier / 2^shift` in units of `2^-FRACTION` positions, the multiplier rounded
/// up to 57 significant bits. `start` and `end` are the true ranks at the two ends of the run that
/// the line was fitted to, so that no code in it, however far from any fence, is sent elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    slope: u64,
    start: u32,
    end: u32,
    offset: i32,
    error: u32,
}

impl Line {
    /// A line that answers `rank` whatever the code.
    pub(super) fn constant(rank: u32) -> Line {
        Line { start: rank, end: rank, ..Line::default() }
    }

    /// The line from (0, `start`) to (`run`, `end`).
    pub(super) fn through(run: u64, start: u32, end: u32) -> Line {
        let slope = quantise(u64::from(end.saturating_sub(start)), run);
        Line { slope, start, end: end.max(start), offset: 0, error: 0 }
    }

    /// The line with the least maximum error over `run`, relative to the code `key`.
    ///
    /// Ranks form a staircase: the line may be too low only at the first code of a tread (a fence)
    /// and too high only at its last (the code before the next fence). The best line in the
    /// maximum norm lies midway between the upper convex hull of the former and the lower hull of
    /// the latter, where the two are farthest apart, and is parallel to the hull edge there. The
    /// slope is that of a chord of a non-decreasing staircase, so never negative. `start` is the
    /// rank below which the line never goes.
    pub(super) fn fit(run: &[Step], key: u64, start: u32, hulls: &mut Hulls) -> Line {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Line::constant(start);
        };
        hulls.build(run);
        let (rise, width) = hulls.widest();
        let mut line =
            Line { slope: quantise(rise, width), start, end: last.rank, offset: 0, error: 0 };
        let residual = |point: &Step| {
            let position = i64::from(point.rank) - i64::from(start);
            (position << FRACTION) - line.rise(point.code.saturating_sub(key))
        };
        let highest = hulls.upper.iter().map(residual).max().unwrap_or(0);
        let lowest = hulls.lower.iter().map(residual).min();
        // With one step there is no tread's end: stand in the middle of the position.
        let lowest = lowest.unwrap_or(residual(first) - ((1 << FRACTION) - 1));
        // Positions are rounded down, hence the half.
        let offset = highest.saturating_add(lowest).div_euclid(2) + (1 << (FRACTION - 1));
        line.offset = offset.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        line
    }

    /// Records the largest error over `run` by evaluating the line at both ends of every tread.
    /// Between those the line is monotone and the answer constant, so the bound holds for every
    /// code. After the last fence the line is held at `end`, the answer there.
    pub(super) fn measure(&mut self, run: &[Step], key: u64) {
        self.error = 0;
        for (i, step) in run.iter().enumerate() {
            self.cover(step.code.saturating_sub(key), step.rank);
            if let Some(next) = run.get(i + 1) {
                self.cover((next.code - 1).saturating_sub(key), step.rank);
            }
        }
    }

    /// Widens the recorded error so that the code `key + distance` with answer `rank` is covered.
    pub(super) fn cover(&mut self, distance: u64, rank: u32) {
        self.error = self.error.max(self.position(distance).abs_diff(rank));
    }

    /// The position expected at `key + distance`.
    #[inline]
    pub(super) fn position(&self, distance: u64) -> u32 {
        // No overflow: 2^62 + 2^44 + 2^31 at most.
        let fixed =
            self.rise(distance) + (i64::from(self.start) << FRACTION) + i64::from(self.offset);
        let position = (fixed >> FRACTION).max(i64::from(self.start)).min(i64::from(self.end));
        position as u32
    }

    /// The position expected at `key + distance` with its window.
    #[inline]
    pub(super) fn predict(&self, distance: u64) -> Prediction {
        let position = self.position(distance);
        Prediction {
            position: position as usize,
            low: position.saturating_sub(self.error).max(self.start.min(position)) as usize,
            high: position.saturating_add(self.error).min(self.end.max(position)) as usize,
        }
    }

    /// slope * distance in units of `2^-FRACTION` positions, at most 2^62.
    #[inline]
    fn rise(&self, distance: u64) -> i64 {
        let multiplier = self.slope >> SHIFT_BITS;
        let shift = self.slope & ((1 << SHIFT_BITS) - 1);
        // 64 bits times 57 bits, shifted by at most 127.
        let rise = (u128::from(distance) * u128::from(multiplier)) >> shift;
        rise.min(1 << 62) as i64
    }

    /// The same line, so many positions further up.
    pub(super) fn moved(&self, positions: i64) -> Line {
        let moved = |rank: u32| i64::from(rank).saturating_add(positions).clamp(0, u32::MAX.into());
        Line { start: moved(self.start) as u32, end: moved(self.end) as u32, ..*self }
    }

    /// The rank before and the rank at the end of the run.
    pub(super) fn ends(&self) -> (u32, u32) {
        (self.start, self.end)
    }

    /// What is told of it, where it begins at the code `first`.
    pub(super) fn segment(&self, first: u64) -> Segment {
        Segment { first, answers: self.ends(), slope: self.slope(), max_error: self.error() }
    }

    /// Positions for each code.
    fn slope(&self) -> f64 {
        let (multiplier, shift) = (self.slope >> SHIFT_BITS, self.slope & ((1 << SHIFT_BITS) - 1));
        multiplier as f64 / 2f64.powi(shift as i32 + FRACTION as i32)
    }

    /// The largest error over the run that the line was measured on, in positions.
    pub(super) fn error(&self) -> usize {
        self.error as usize
    }
}

/// `rise / run` as multiplier and shift in units of `2^-FRACTION`, rounded up: a line through
/// evenly spaced fences then reaches each of them, where one rounded down would be a position
/// short at all of them.
fn quantise(rise: u64, run: u64) -> u64 {
    // Ranks have 32 bits; the shift below needs no more than 2^64 for the product to stay exact.
    let rise = u128::from(rise.min(1 << 33)) << FRACTION;
    if rise == 0 || run == 0 {
        return 0;
    }
    let up = rise.leading_zeros() - 1;
    let quotient = (rise << up) / u128::from(run);
    // At least 2^62, for the numerator is at least 2^126: there is always something to drop.
    let mut drop = (128 - quotient.leading_zeros()).saturating_sub(MULTIPLIER_BITS);
    let mut multiplier = (quotient >> drop) + 1;
    if multiplier >> MULTIPLIER_BITS != 0 {
        multiplier >>= 1;
        drop += 1;
    }
    let Some(shift) = up.checked_sub(drop) else { return u64::MAX << SHIFT_BITS };
    ((multiplier as u64) << SHIFT_BITS) | u64::from(shift)
}

/// The two convex hulls of a staircase; kept between fits so that their memory is reused.
#[derive(Default)]
pub(super) struct Hulls {
    /// Upper hull of the first codes of the treads: slopes fall from left to right.
    upper: Vec<Step>,
    /// Lower hull of the last codes of all treads but the last: slopes rise.
    lower: Vec<Step>,
}

impl Hulls {
    fn build(&mut self, run: &[Step]) {
        self.upper.clear();
        self.lower.clear();
        for (i, &step) in run.iter().enumerate() {
            while let [.., a, b] = self.upper[..]
                && slope_at_least(b, step, a, b)
            {
                self.upper.pop();
            }
            self.upper.push(step);
            let Some(next) = run.get(i + 1) else { break };
            let end = Step { code: next.code - 1, rank: step.rank };
            while let [.., a, b] = self.lower[..]
                && slope_at_least(a, b, b, end)
            {
                self.lower.pop();
            }
            self.lower.push(end);
        }
    }

    /// The slope, as rise and width, of the hull edge at the greatest vertical distance between
    /// the hulls. Their distance is a concave function of the code, so walk along both until the
    /// upper one is no longer steeper.
    fn widest(&self) -> (u64, u64) {
        let (mut u, mut l) = (0, 0);
        // Left of its first point the lower hull binds nothing.
        let mut before_lower = true;
        let mut edge = None;
        while let (Some(&a), Some(&b)) = (self.upper.get(u), self.upper.get(u + 1)) {
            if before_lower {
                edge = Some((a, b));
                match self.lower.first() {
                    Some(first) if first.code <= b.code => before_lower = false,
                    _ => u += 1,
                }
                continue;
            }
            let (Some(&c), Some(&d)) = (self.lower.get(l), self.lower.get(l + 1)) else {
                // Right of its last point neither: the upper edge above that point decides.
                edge = Some((a, b));
                break;
            };
            if slope_at_least(c, d, a, b) {
                // The vertex passed last lies on one hull, the edge over or under it on the other.
                edge = Some(if a.code > c.code { (c, d) } else { (a, b) });
                break;
            }
            if b.code <= d.code {
                u += 1;
            } else {
                l += 1;
            }
        }
        edge.map_or((0, 1), |(a, b)| (u64::from(b.rank - a.rank), b.code - a.code))
    }
}

/// Whether the slope from `a` to `b` is at least that from `c` to `d`; codes increase in each pair.
fn slope_at_least(a: Step, b: Step, c: Step, d: Step) -> bool {
    // Ranks do not fall along a staircase, so 64 by 32 bits in u128 are exact.
    u128::from(b.rank - a.rank) * u128::from(d.code - c.code)
        >= u128::from(d.rank - c.rank) * u128::from(b.code - a.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn staircase(mut codes: Vec<u64>) -> Vec<Step> {
        codes.sort_unstable();
        steps(&codes)
    }

    fn fitted(run: &[Step]) -> Line {
        let (key, start) = run.first().map_or((0, 0), |first| (first.code, first.rank));
        let mut line = Line::fit(run, key, start, &mut Hulls::default());
        line.measure(run, key);
        line
    }

    #[test]
    fn evenly_spaced_fences_are_hit_exactly() {
        for page in [1u64, 2, 3, 7, 366, 580, 8_190, 60_000] {
            let fences: Vec<u64> = (0..20_000).map(|i| 1_000 + i * page).collect();
            assert_eq!(fitted(&steps(&fences)).error(), 0, "{page} codes a page");
        }
    }

    #[test]
    fn a_quantised_slope_is_exact_to_fifty_six_bits() {
        for (rise, run) in
            [(1, 1), (1, u64::MAX), (u64::from(u32::MAX), 1), (3, 7), (1 << 31, u64::MAX)]
        {
            let line = Line { slope: quantise(rise, run), ..Line::default() };
            let exact = i128::from(rise) << FRACTION;
            let found = i128::from(line.rise(run));
            assert!((found - exact).abs() <= 1 + (exact >> 55), "{rise} / {run}");
        }
    }

    proptest! {
        #[test]
        fn no_other_line_has_a_smaller_error(
            codes in prop::collection::vec(0u64..2_000, 2..40),
            rise in 0i64..40, width in 1i64..2_000, shift in -400i64..400,
        ) {
            let run = staircase(codes);
            let best = fitted(&run).error() as i64;
            let other = |code: u64| {
                (rise * (code - run[0].code) as i64 * 10 + shift * width).div_euclid(10 * width)
            };
            let mut error = 0;
            for (i, step) in run.iter().enumerate() {
                error = error.max(i64::from(step.rank) - other(step.code));
                if let Some(next) = run.get(i + 1) {
                    error = error.max(other(next.code - 1) - i64::from(step.rank));
                }
            }
            // One for the rounding of the position, one for that of the offset.
            prop_assert!(best <= error + 2, "best {} other {}", best, error);
        }

        #[test]
        fn a_line_of_any_contents_keeps_its_window_in_order(
            slope: u64, start: u32, end: u32, offset: i32, error: u32, distance: u64,
        ) {
            let p = Line { slope, start, end, offset, error }.predict(distance);
            prop_assert!(p.low <= p.position && p.position <= p.high);
            prop_assert!(p.high <= end as usize);
        }
    }
}
