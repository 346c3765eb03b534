//! The PGM index: the fewest segments whose error stays within epsilon.
//!
//! After Ferragina & Vinciguerra, "The PGM-index" (VLDB 2020). The segmentation is O'Rourke's
//! one-pass algorithm ("An on-line algorithm for fitting straight lines between data ranges",
//! 1981): keep the convex hulls of the constraints seen, and with them the steepest and the
//! flattest line still possible; when a constraint excludes both, a segment ends. Greedy segments
//! are as few as any segmentation has. Instead of recursing on the segments' keys, the segment is
//! found through a radix table: measured faster at the few thousand segments that an index has.

use serde::{Deserialize, Serialize};

use super::Prediction;
use super::line::{Hulls, Line, Step};
use super::segments::Segments;

/// Epsilon-bounded optimal segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pgm {
    segments: Segments,
}

impl Pgm {
    /// Segments with an error of at most `epsilon` positions, plus one for rounding.
    pub(super) fn train(steps: &[Step], epsilon: u32) -> Pgm {
        let (mut keys, mut lines) = (Vec::new(), Vec::new());
        let mut hulls = Hulls::default();
        let mut corridor = Corridor::new(epsilon);
        let mut rest = steps;
        while let Some(first) = rest.first() {
            let (run, next) = rest.split_at(corridor.run(rest));
            let mut line = Line::fit(run, first.code, first.rank, &mut hulls);
            line.measure(run, first.code);
            keys.push(first.code);
            lines.push(line);
            rest = next;
        }
        Pgm { segments: Segments::new(keys, lines) }
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

    pub(super) fn of(segments: Segments) -> Pgm {
        Pgm { segments }
    }
}

/// A constraint: the line passes above or below (x, y).
#[derive(Clone, Copy, Default)]
struct Point {
    x: u64,
    y: i64,
}

/// The lines that pass above every lower and below every upper constraint seen.
///
/// A line may be at most epsilon too low at a fence, and at most epsilon too high at the last code
/// before the next fence: with a slope that never falls these two imply every other code.
struct Corridor {
    epsilon: i64,
    upper: Vec<Point>,
    lower: Vec<Point>,
    /// Where the hulls still matter.
    upper_start: usize,
    lower_start: usize,
    /// The flattest line, from an upper to a lower constraint.
    flattest: (Point, Point),
    /// The steepest line, from a lower to an upper constraint.
    steepest: (Point, Point),
}

impl Corridor {
    fn new(epsilon: u32) -> Corridor {
        Corridor {
            // At least one, for a constraint right above another to have a direction.
            epsilon: i64::from(epsilon.max(1)),
            upper: Vec::new(),
            lower: Vec::new(),
            upper_start: 0,
            lower_start: 0,
            flattest: Default::default(),
            steepest: Default::default(),
        }
    }

    /// How many of `steps` one line can cover; at least one if there are any.
    fn run(&mut self, steps: &[Step]) -> usize {
        let mut previous: Option<&Step> = None;
        for (i, step) in steps.iter().enumerate() {
            let lower = Point { x: step.code, y: i64::from(step.rank) - self.epsilon };
            match previous {
                None => {
                    self.lower.clear();
                    self.lower.push(lower);
                    self.lower_start = 0;
                }
                Some(before) => {
                    let upper =
                        Point { x: step.code - 1, y: i64::from(before.rank) + self.epsilon };
                    let fits = match i {
                        1 => self.start(upper, lower),
                        _ => self.add_upper(upper) && self.add_lower(lower),
                    };
                    if !fits {
                        return i;
                    }
                }
            }
            previous = Some(step);
        }
        steps.len()
    }

    /// The second and third constraint; false if the rise between them (a long run of equal
    /// fences) is too steep for a line that keeps the first.
    fn start(&mut self, upper: Point, lower: Point) -> bool {
        let first = self.lower.first().copied().unwrap_or_default();
        if steeper(upper, lower, first, upper) {
            return false;
        }
        self.upper.clear();
        self.upper.push(upper);
        self.upper_start = 0;
        self.steepest = (first, upper);
        self.flattest = (upper, lower);
        self.push_lower(lower);
        true
    }

    fn add_upper(&mut self, point: Point) -> bool {
        if steeper(self.flattest.0, self.flattest.1, self.flattest.1, point) {
            return false;
        }
        if steeper(self.steepest.0, self.steepest.1, self.steepest.0, point) {
            // The steepest line now ends here and leans on the lower hull.
            let mut pivot = self.lower_start;
            while let (Some(&a), Some(&b)) = (self.lower.get(pivot), self.lower.get(pivot + 1))
                && !steeper(b, point, a, point)
            {
                pivot += 1;
            }
            self.lower_start = pivot;
            if let Some(&pivot) = self.lower.get(pivot) {
                self.steepest = (pivot, point);
            }
            while self.upper.len() >= self.upper_start + 2
                && let [.., a, b] = self.upper[..]
                && !steeper(b, point, a, b)
            {
                self.upper.pop();
            }
            self.upper.push(point);
        }
        true
    }

    fn add_lower(&mut self, point: Point) -> bool {
        if steeper(self.steepest.1, point, self.steepest.0, self.steepest.1) {
            return false;
        }
        if steeper(self.flattest.0, point, self.flattest.0, self.flattest.1) {
            let mut pivot = self.upper_start;
            while let (Some(&a), Some(&b)) = (self.upper.get(pivot), self.upper.get(pivot + 1))
                && !steeper(a, point, b, point)
            {
                pivot += 1;
            }
            self.upper_start = pivot;
            if let Some(&pivot) = self.upper.get(pivot) {
                self.flattest = (pivot, point);
            }
            self.push_lower(point);
        }
        true
    }

    fn push_lower(&mut self, point: Point) {
        while self.lower.len() >= self.lower_start + 2
            && let [.., a, b] = self.lower[..]
            && !steeper(a, b, b, point)
        {
            self.lower.pop();
        }
        self.lower.push(point);
    }
}

/// Whether the slope from `a` to `b` is greater than that from `c` to `d`; x never falls in a
/// pair, and an upper constraint straight above a lower one counts as infinitely steep.
fn steeper(a: Point, b: Point, c: Point, d: Point) -> bool {
    // y has 34 bits with its sign and x 64: the products are exact.
    i128::from(b.y - a.y) * i128::from(d.x - c.x) > i128::from(d.y - c.y) * i128::from(b.x - a.x)
}

#[cfg(test)]
mod tests {
    use super::super::line::steps;
    use super::*;
    use proptest::prelude::*;

    fn fences() -> impl Strategy<Value = Vec<u64>> {
        let code = prop_oneof![any::<u64>(), 0u64..100, 0u64..10_000, u64::MAX - 300..=u64::MAX];
        // Few codes many times, far apart: runs longer than any epsilon here.
        let code = prop_oneof![code, (0u64..8).prop_map(|code| code * 1_000)];
        prop::collection::vec(code, 0..600).prop_map(|mut fences| {
            fences.sort_unstable();
            fences
        })
    }

    proptest! {
        #[test]
        fn segments_keep_epsilon_and_none_could_be_longer(fences in fences(), epsilon in 1u32..20) {
            let steps = steps(&fences);
            let pgm = Pgm::train(&steps, epsilon);
            prop_assert!(pgm.segments.max_error() <= epsilon as usize + 1);
            // The best line is found by another algorithm than the corridor.
            let keys = pgm.segments.keys();
            for pair in keys.windows(2) {
                let start = steps.partition_point(|step| step.code < pair[0]);
                let end = steps.partition_point(|step| step.code <= pair[1]);
                let longer = &steps[start..end];
                let mut line =
                    Line::fit(longer, pair[0], longer[0].rank, &mut Hulls::default());
                line.measure(longer, pair[0]);
                prop_assert!(line.error() + 1 > epsilon as usize, "{}", line.error());
            }
        }
    }
}
