//! RadixSpline: a greedy linear spline, its segments found through a radix table.
//!
//! After Kipf et al., "RadixSpline: a single-pass learned index" (aiDM 2020); the spline is Neumann
//! & Michel's greedy corridor ("Smooth interpolating histograms with error guarantees", 2008). One
//! pass, a few operations a fence: the cheapest of the models to train.

use serde::{Deserialize, Serialize};

use super::Prediction;
use super::line::{Line, Step};
use super::segments::Segments;

/// Spline segments under a radix table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RadixSpline {
    segments: Segments,
}

impl RadixSpline {
    /// A spline with an error of at most `epsilon` positions, plus one for rounding.
    pub(super) fn train(steps: &[Step], epsilon: u32) -> RadixSpline {
        let knots = knots(steps, epsilon);
        let mut lines: Vec<Line> = knots
            .windows(2)
            .filter_map(|pair| match pair {
                &[a, b] => Some(Line::through(b.code - a.code, a.rank, b.rank)),
                _ => None,
            })
            .collect();
        lines.extend(knots.last().map(|last| Line::constant(last.rank)));
        measure(&knots, &mut lines, steps);
        let keys = knots.into_iter().map(|knot| knot.code).collect();
        RadixSpline { segments: Segments::new(keys, lines) }
    }

    #[inline]
    pub(super) fn predict(&self, code: u64) -> Prediction {
        self.segments.predict(code)
    }

    pub(super) fn segments(&self) -> &Segments {
        &self.segments
    }

    pub(super) fn into_segments(self) -> Segments {
        self.segments
    }

    pub(super) fn of(segments: Segments) -> RadixSpline {
        RadixSpline { segments }
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
fn measure(knots: &[Step], lines: &mut [Line], steps: &[Step]) {
    let mut segment = 0;
    let mut cover = |code: u64, rank: u32| {
        while knots.get(segment + 1).is_some_and(|knot| knot.code <= code) {
            segment += 1;
        }
        if let (Some(knot), Some(line)) = (knots.get(segment), lines.get_mut(segment)) {
            line.cover(code - knot.code, rank);
        }
    };
    for (i, step) in steps.iter().enumerate() {
        cover(step.code, step.rank);
        if let Some(next) = steps.get(i + 1) {
            cover(next.code - 1, step.rank);
        }
    }
}
