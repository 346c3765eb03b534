//! RadixSpline: a greedy linear spline, its segments found through a radix table.
//!
//! After Kipf et al., "RadixSpline: a single-pass learned index" (aiDM 2020); the spline is Neumann
//! & Michel's greedy corridor ("Smooth interpolating histograms with error guarantees", 2008).
//! The published table is over the key's leading bits, so a handful of keys near 2^64 send all the
//! others to one slot. Here the table covers only the codes between two quantiles of the fences;
//! codes outside go to its first or last slot, and how much to leave outside is chosen by the
//! expected cost over all fences. The table is derived from the keys, never stored.

use serde::{Deserialize, Serialize};

use super::line::{Line, Step};
use super::segments::Segments;
use super::{ModelError, Prediction};

/// Shares of the fences, as a right shift of their number, that a table may leave outside at each
/// end. 63 leaves out none.
const TRIMS: [u32; 5] = [63, 12, 9, 6, 4];

/// Table slots a segment, at most.
const SLOTS_PER_SEGMENT: usize = 4;

/// Spline segments and their radix table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct RadixSpline {
    segments: Segments,
    radix: Radix,
}

impl RadixSpline {
    /// A spline with an error of at most `epsilon` positions, plus one for rounding.
    pub(super) fn train(steps: &[Step], epsilon: u32) -> RadixSpline {
        let mut segments = Segments::default();
        let knots = knots(steps, epsilon);
        for pair in knots.windows(2) {
            if let &[a, b] = pair {
                segments.push(a.code, Line::through(b.code - a.code, a.rank, b.rank));
            }
        }
        if let Some(last) = knots.last() {
            segments.push(last.code, Line::constant(last.rank));
        }
        measure(&mut segments, steps);
        let radix = Radix::choose(&segments);
        RadixSpline { segments, radix }
    }

    #[inline]
    pub(super) fn predict(&self, code: u64) -> Prediction {
        let Some(segment) = self.radix.count(&self.segments.keys, code).checked_sub(1) else {
            return Prediction::default();
        };
        match (self.segments.keys.get(segment), self.segments.lines.get(segment)) {
            (Some(key), Some(line)) => line.predict(code.saturating_sub(*key)),
            _ => Prediction::default(),
        }
    }

    /// Rounds of the search within the slot of `code`.
    pub(super) fn rounds(&self, code: u64) -> u32 {
        let (low, high) = self.radix.slot(code);
        usize::BITS - high.saturating_sub(low).leading_zeros()
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.segments.size_bytes() + size_of_val(self.radix.table.as_slice())
    }

    pub(super) fn max_error(&self) -> usize {
        self.segments.max_error()
    }
}

/// The knots of the greedy corridor. The spline is continuous and a run of equal fences is not, so
/// the end of a tread (the code before the next fence) can be a knot as well as its start.
fn knots(steps: &[Step], epsilon: u32) -> Vec<Step> {
    let Some(&first) = steps.first() else { return Vec::new() };
    let epsilon = i64::from(epsilon);
    let mut knots = vec![first];
    let mut corridor: Option<(Slope, Slope)> = None;
    let mut base = first;
    let mut previous = first;
    let mut visit = |point: Step| {
        if point.code == previous.code {
            return;
        }
        let to = |y: i64| Slope {
            rise: i64::from(point.rank) + y - i64::from(base.rank),
            run: point.code - base.code,
        };
        let (flat, steep) = (to(-epsilon), to(epsilon));
        let straight = to(0);
        corridor = Some(match corridor {
            Some((flattest, steepest))
                if steepest.less_than(straight) || straight.less_than(flattest) =>
            {
                knots.push(previous);
                base = previous;
                let to = |y: i64| Slope {
                    rise: i64::from(point.rank) + y - i64::from(base.rank),
                    run: point.code - base.code,
                };
                (to(-epsilon), to(epsilon))
            }
            Some((flattest, steepest)) => (
                if flattest.less_than(flat) { flat } else { flattest },
                if steep.less_than(steepest) { steep } else { steepest },
            ),
            None => (flat, steep),
        });
        previous = point;
    };
    for pair in steps.windows(2) {
        if let &[a, b] = pair {
            visit(a);
            visit(Step { code: b.code - 1, rank: a.rank });
        }
    }
    if let Some(&last) = steps.last() {
        visit(last);
        if last != first {
            knots.push(last);
        }
    }
    knots
}

/// A slope as a fraction; `run` is positive.
#[derive(Clone, Copy)]
struct Slope {
    rise: i64,
    run: u64,
}

impl Slope {
    fn less_than(self, other: Slope) -> bool {
        // 34 by 64 bits: exact.
        i128::from(self.rise) * i128::from(other.run)
            < i128::from(other.rise) * i128::from(self.run)
    }
}

/// Records every segment's error at both ends of every tread.
fn measure(segments: &mut Segments, steps: &[Step]) {
    let mut segment = 0;
    let mut cover = |code: u64, rank: u32| {
        while segments.keys.get(segment + 1).is_some_and(|key| *key <= code) {
            segment += 1;
        }
        if let (Some(key), Some(line)) =
            (segments.keys.get(segment), segments.lines.get_mut(segment))
        {
            line.cover(code - key, rank);
        }
    };
    for (i, step) in steps.iter().enumerate() {
        cover(step.code, step.rank);
        if let Some(next) = steps.get(i + 1) {
            cover(next.code - 1, step.rank);
        }
    }
}

/// A table over `low + slot << shift`: `table[slot]` keys lie before the slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Radix {
    low: u64,
    shift: u32,
    table: Vec<u32>,
}

impl Radix {
    /// The table with the fewest expected rounds of search over the fences.
    fn choose(segments: &Segments) -> Radix {
        let Some(&(_, fences)) = segments.lines.last().map(Line::ends).as_ref() else {
            return Radix::default();
        };
        let mut best: Option<(u64, Radix)> = None;
        for trim in TRIMS {
            let outside = fences.checked_shr(trim).unwrap_or(0);
            let at = |rank: u32| {
                let i = segments.lines.partition_point(|line| line.ends().1 < rank);
                segments.keys.get(i).copied().unwrap_or(u64::MAX)
            };
            let low = if outside == 0 { segments.keys.first().copied() } else { Some(at(outside)) };
            let high = if outside == 0 {
                segments.keys.last().copied()
            } else {
                Some(at(fences - outside))
            };
            let (low, high) = (low.unwrap_or(0), high.unwrap_or(u64::MAX));
            let radix = Radix::new(&segments.keys, low, high.max(low));
            let cost = radix.cost(segments);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, radix));
            }
        }
        best.map(|(_, radix)| radix).unwrap_or_default()
    }

    /// A table over `low..=high` with a power of two of codes a slot.
    fn new(keys: &[u64], low: u64, high: u64) -> Radix {
        let slots = keys.len().saturating_mul(SLOTS_PER_SEGMENT).max(1) as u64;
        let mut shift = 0;
        while (high - low) >> shift >= slots {
            shift += 1;
        }
        let slots = ((high - low) >> shift) as usize + 1;
        let mut table = Vec::with_capacity(slots + 1);
        let mut before = 0usize;
        for slot in 0..slots {
            // In range: the slot of `high` starts at or before it.
            let first = low + ((slot as u64) << shift);
            while slot > 0 && keys.get(before).is_some_and(|key| *key < first) {
                before += 1;
            }
            table.push(before as u32);
        }
        table.push(keys.len() as u32);
        Radix { low, shift, table }
    }

    /// The number of keys not after `code` lies in this range.
    #[inline]
    fn slot(&self, code: u64) -> (usize, usize) {
        let slot = (code.saturating_sub(self.low) >> self.shift) as usize;
        let slot = slot.min(self.table.len().saturating_sub(2));
        match self.table.get(slot..slot + 2) {
            Some(&[low, high]) => (low as usize, high as usize),
            _ => (0, 0),
        }
    }

    #[inline]
    fn count(&self, keys: &[u64], code: u64) -> usize {
        let (low, high) = self.slot(code);
        let Some(slot) = keys.get(low..high) else { return 0 };
        low + slot.partition_point(|key| *key <= code)
    }

    /// Rounds of search summed over all fences.
    fn cost(&self, segments: &Segments) -> u64 {
        let mut cost = 0u64;
        for (key, line) in segments.keys.iter().zip(&segments.lines) {
            let (start, end) = line.ends();
            let (low, high) = self.slot(*key);
            let rounds = usize::BITS - high.saturating_sub(low).leading_zeros();
            cost = cost.saturating_add(u64::from(end - start + 1) * u64::from(rounds));
        }
        cost
    }
}

/// Segments and what rebuilds the table.
#[derive(Serialize, Deserialize)]
struct Stored {
    segments: Segments,
    low: u64,
    high: u64,
}

impl From<RadixSpline> for Stored {
    fn from(RadixSpline { segments, radix }: RadixSpline) -> Stored {
        let slots = radix.table.len().saturating_sub(2) as u64;
        // The start of the last slot gives the same shift and the same number of slots.
        Stored { segments, low: radix.low, high: radix.low + (slots << radix.shift) }
    }
}

impl TryFrom<Stored> for RadixSpline {
    type Error = ModelError;

    fn try_from(Stored { segments, low, high }: Stored) -> Result<RadixSpline, ModelError> {
        segments.validate()?;
        if low > high {
            return Err(ModelError::Structure("the radix table ends before it starts"));
        }
        let radix = match segments.keys.is_empty() {
            true => Radix::default(),
            false => Radix::new(&segments.keys, low, high),
        };
        Ok(RadixSpline { segments, radix })
    }
}
