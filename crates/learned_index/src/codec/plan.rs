//! Choosing the smallest form of a sequence, and writing it.

use super::bits::{Packer, packed_len, width_of};
use super::elias_fano::Shape;
use super::line::{Line, MAX_POSITIONS};
use super::sequence::{FormTag, HAS_DIVISOR, HEADER_LEN};
use crate::memory::with_room;

/// Offsets from the base that a line can describe: their sums and differences stay in an `i64`.
const MAX_LINE_RANGE: u64 = 1 << 61;
/// Positions looked at before a whole line is measured.
const LINE_SAMPLES: usize = 32;

/// How a sequence will be stored; made from the values, and to be written with the same values.
#[derive(Clone, Debug)]
pub struct SequencePlan {
    form: FormPlan,
    len: usize,
}

#[derive(Clone, Debug)]
enum FormPlan {
    Plain(PlainPlan),
    Runs { values: Vec<u64>, ends: Vec<u64>, value_plan: PlainPlan, end_plan: PlainPlan },
}

#[derive(Clone, Copy, Debug)]
struct PlainPlan {
    base: u64,
    divisor: u64,
    offsets: OffsetPlan,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
enum OffsetPlan {
    Packed { width: u32 },
    Line { line: Line, width: u32 },
    EliasFano(Shape),
}

/// What one look over the values tells.
struct Survey {
    min: u64,
    max: u64,
    ascending: bool,
    runs: usize,
    divisor: u64,
}

impl Survey {
    fn of(values: &[u64]) -> Survey {
        let (mut min, mut max, mut descents, mut changes) = (u64::MAX, 0, 0usize, 0usize);
        for &value in values {
            min = min.min(value);
            max = max.max(value);
        }
        for pair in values.windows(2) {
            descents += usize::from(pair[1] < pair[0]);
            changes += usize::from(pair[1] != pair[0]);
        }
        let mut divisor = 0;
        for &value in values {
            divisor = gcd(divisor, value.wrapping_sub(min));
            if divisor == 1 {
                break;
            }
        }
        Survey {
            min: min.min(max),
            max,
            ascending: descents == 0,
            runs: changes + 1,
            divisor: divisor.max(1),
        }
    }
}

/// The greatest common divisor; `known` is that of the values so far, and mostly stays as it is.
fn gcd(known: u64, other: u64) -> u64 {
    let rest = other.checked_rem(known).unwrap_or(other);
    if known == 0 || rest == 0 {
        return known.max(rest);
    }
    // By subtraction and shifts (Stein, "Computational problems associated with Racah algebra",
    // 1967): divisions of large numbers take longer.
    let shared = (known | rest).trailing_zeros();
    let (mut low, mut high) = (known >> known.trailing_zeros(), rest >> rest.trailing_zeros());
    while low != high {
        let difference = low.abs_diff(high);
        low = low.min(high);
        high = difference >> difference.trailing_zeros();
    }
    low << shared
}

impl SequencePlan {
    /// The smallest form for 1 to 65,536 values.
    pub fn of(values: &[u64]) -> SequencePlan {
        let survey = Survey::of(values);
        let plain = PlainPlan::of(values, &survey);
        let mut plan = SequencePlan { len: plain.len, form: FormPlan::Plain(plain) };
        // A run costs a value and an end: with fewer than a quarter repeated it cannot pay.
        if survey.ascending && survey.runs * 4 <= values.len() * 3 && values.len() >= 8 {
            let mut distinct = with_room(survey.runs);
            let mut ends = with_room(survey.runs);
            for run in values.chunk_by(|left, right| left == right) {
                distinct.push(run[0]);
                ends.push(ends.last().unwrap_or(&0) + run.len() as u64);
            }
            let value_plan = PlainPlan::of(&distinct, &Survey::of(&distinct));
            let end_plan = PlainPlan::of(&ends, &Survey::of(&ends));
            let len = 4 + value_plan.len + end_plan.len;
            if len < plan.len {
                let form = FormPlan::Runs { values: distinct, ends, value_plan, end_plan };
                plan = SequencePlan { form, len };
            }
        }
        plan
    }

    /// The smallest form but runs.
    pub(super) fn without_runs(values: &[u64]) -> SequencePlan {
        let plain = PlainPlan::of(values, &Survey::of(values));
        SequencePlan { len: plain.len, form: FormPlan::Plain(plain) }
    }

    /// The frame of reference, in which a value is found at once.
    pub(super) fn packed(values: &[u64]) -> SequencePlan {
        let plain = PlainPlan::packed(values, &Survey::of(values));
        SequencePlan { len: plain.len, form: FormPlan::Plain(plain) }
    }

    /// Bytes that the sequence will take.
    pub fn byte_len(&self) -> usize {
        self.len
    }

    /// The name of the form, in the words of the module's description.
    pub fn form(&self) -> &'static str {
        match &self.form {
            FormPlan::Plain(plan) => match plan.offsets {
                OffsetPlan::Packed { .. } => "frame of reference",
                OffsetPlan::Line { .. } => "line",
                OffsetPlan::EliasFano(_) => "Elias-Fano",
            },
            FormPlan::Runs { .. } => "runs",
        }
    }

    /// Whether an element is found in constant time however long the sequence is, so that long
    /// blocks cost a lookup nothing.
    pub fn is_constant_time(&self) -> bool {
        let constant = |plan: &PlainPlan| !matches!(plan.offsets, OffsetPlan::EliasFano(_));
        match &self.form {
            FormPlan::Plain(plan) => constant(plan),
            FormPlan::Runs { value_plan, end_plan, .. } => {
                constant(value_plan) && constant(end_plan)
            }
        }
    }

    /// Appends the sequence. `values` are those that the plan was made from.
    pub fn write(&self, values: &[u64], out: &mut Vec<u8>) {
        let start = out.len();
        match &self.form {
            FormPlan::Plain(plan) => plan.write(values, out),
            FormPlan::Runs { values, ends, value_plan, end_plan } => {
                out.extend_from_slice(&[FormTag::Runs as u8, 0]);
                out.extend_from_slice(&(values.len() as u16).to_le_bytes());
                value_plan.write(values, out);
                end_plan.write(ends, out);
            }
        }
        debug_assert_eq!(out.len() - start, self.len);
    }
}

impl PlainPlan {
    fn packed(values: &[u64], survey: &Survey) -> PlainPlan {
        let &Survey { min, max, divisor, .. } = survey;
        let header = HEADER_LEN + if divisor > 1 { 8 } else { 0 };
        let width = width_of((max - min) / divisor);
        PlainPlan {
            base: min,
            divisor,
            offsets: OffsetPlan::Packed { width },
            len: header + packed_len(values.len(), width),
        }
    }

    fn of(values: &[u64], survey: &Survey) -> PlainPlan {
        let &Survey { min, max, divisor, .. } = survey;
        let header = HEADER_LEN + if divisor > 1 { 8 } else { 0 };
        let universe = (max - min) / divisor;
        let width = width_of(universe);
        let mut best = PlainPlan::packed(values, survey);
        if width > 0 && survey.ascending {
            let shape = Shape::smallest(values.len(), universe);
            let len = header + 2 + shape.len(values.len());
            if len < best.len && shape.upper_words <= usize::from(u16::MAX) {
                best = PlainPlan { offsets: OffsetPlan::EliasFano(shape), len, ..best };
            }
        }
        let is_candidate = width > 0 && values.len() > 2 && max - min < MAX_LINE_RANGE;
        if let Some(line) = is_candidate
            .then(|| best_line(values, divisor, best.len.saturating_sub(header + 8)))
            .flatten()
        {
            best = PlainPlan {
                base: values[0].wrapping_add(divisor.wrapping_mul(line.lowest as u64)),
                offsets: OffsetPlan::Line { line: line.line, width: line.width },
                len: header + 8 + packed_len(values.len(), line.width),
                ..best
            };
        }
        best
    }

    fn write(&self, values: &[u64], out: &mut Vec<u8>) {
        let (tag, width, shift) = match self.offsets {
            OffsetPlan::Packed { width } => (FormTag::FrameOfReference, width, 0),
            OffsetPlan::Line { line, width } => (FormTag::Line, width, line.shift),
            OffsetPlan::EliasFano(shape) => (FormTag::EliasFano, shape.low_width, 0),
        };
        let flags = if self.divisor > 1 { HAS_DIVISOR } else { 0 };
        out.extend_from_slice(&[tag as u8, width as u8, shift as u8, flags]);
        out.extend_from_slice(&self.base.to_le_bytes());
        if self.divisor > 1 {
            out.extend_from_slice(&self.divisor.to_le_bytes());
        }
        let offset = |value: u64| {
            let above = value.wrapping_sub(self.base);
            if self.divisor == 1 { above } else { above / self.divisor }
        };
        match self.offsets {
            OffsetPlan::Packed { width } => {
                let mut packer = Packer::new(out, width);
                values.iter().for_each(|&value| packer.push(offset(value)));
                packer.finish();
            }
            OffsetPlan::Line { line, width } => {
                out.extend_from_slice(&line.slope.to_le_bytes());
                let mut packer = Packer::new(out, width);
                for (index, &value) in values.iter().enumerate() {
                    // The base may lie below zero or above the value: signed, modulo 2^64.
                    let above = value.wrapping_sub(self.base) as i64;
                    let above = if self.divisor == 1 { above } else { above / self.divisor as i64 };
                    packer.push(above.wrapping_sub(line.at(index)) as u64);
                }
                packer.finish();
            }
            OffsetPlan::EliasFano(shape) => {
                out.extend_from_slice(&(shape.upper_words as u16).to_le_bytes());
                shape.write(values.iter().map(|&value| offset(value)), out);
            }
        }
    }
}

/// A line and what is left of the values above it.
#[derive(Clone, Copy)]
struct FittedLine {
    line: Line,
    /// The lowest residual; added to the base, so that the stored ones start at 0.
    lowest: i64,
    /// Bits of the highest stored residual.
    width: u32,
}

/// The better of two lines - through the ends, and through the means of the two halves (which
/// jitter at the ends does not bend) - if its residuals take less than `budget` bytes.
fn best_line(values: &[u64], divisor: u64, budget: usize) -> Option<FittedLine> {
    let count = values.len();
    if count > MAX_POSITIONS {
        return None;
    }
    let origin = values[0];
    let offset = |value: u64| {
        let above = value.wrapping_sub(origin) as i64;
        if divisor == 1 { above } else { above / divisor as i64 }
    };
    let fits = |width: u32| packed_len(count, width) < budget;
    let step = (count / LINE_SAMPLES).max(1);
    let residual_width = |line: Line, step: usize| {
        let (mut lowest, mut highest) = (i64::MAX, i64::MIN);
        for (index, &value) in values.iter().enumerate().step_by(step) {
            let residual = offset(value) - line.at(index);
            lowest = lowest.min(residual);
            highest = highest.max(residual);
        }
        (lowest, width_of(highest.wrapping_sub(lowest) as u64))
    };
    let measured = |line: Line| {
        // The residuals of a few positions bound the width from below: most hopeless lines end
        // here.
        if !fits(residual_width(line, step).1) {
            return None;
        }
        let (lowest, width) = residual_width(line, 1);
        fits(width).then_some(FittedLine { line, lowest, width })
    };
    let rise = i128::from(offset(values[count - 1]));
    let through_ends = Line::through(rise, count as i128 - 1).and_then(measured);
    if through_ends.is_some_and(|fitted| fitted.width == 0) {
        return through_ends;
    }
    // The means as fixed-point numbers with 16 fractional bits.
    let sampled_mean = |range: std::ops::Range<usize>| {
        let sum: i128 = values[range.clone()].iter().map(|&value| i128::from(offset(value))).sum();
        (sum << 16) / range.len() as i128
    };
    let half = count / 2;
    let through_halves = if through_ends.is_some() || count <= 4 * LINE_SAMPLES {
        let rise = sampled_mean(half..count) - sampled_mean(0..half);
        Line::through(rise, (count as i128) << 15).and_then(measured)
    } else {
        None
    };
    [through_ends, through_halves].into_iter().flatten().min_by_key(|fitted| fitted.width)
}

#[cfg(test)]
mod tests {
    use super::gcd;
    use proptest::prelude::*;

    fn euclid(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { euclid(b, a % b) }
    }

    proptest! {
        #[test]
        fn the_greatest_common_divisor_is_that_of_euclid(
            shared in prop_oneof![Just(1u64), 1u64..1 << 20, (0u32..32).prop_map(|bits| 1 << bits)],
            a in prop_oneof![0u64..100, 0u64..1 << 32],
            b in prop_oneof![0u64..100, 0u64..1 << 32],
        ) {
            prop_assert_eq!(gcd(a * shared, b * shared), euclid(a * shared, b * shared));
            prop_assert_eq!(gcd(u64::MAX - a, u64::MAX - b), euclid(u64::MAX - a, u64::MAX - b));
        }
    }
}
