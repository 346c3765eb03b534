//! Reading a sequence in place.

use std::ops::Range;

use super::bits::{Packed, mask, packed_len};
use super::elias_fano::{EliasFano, Shape};
use super::line::{Line, MAX_POSITIONS};
use crate::corruption::{Corruption, Result, ensure, ensure_at_most, ensure_that};
use crate::partition::partition_point;

/// Bytes of the part of a header that every form has: form, width, shift, flags, base.
pub(crate) const HEADER_LEN: usize = 12;
/// Runs that are decoded at once.
const RUNS_AT_ONCE: usize = 64;
/// Flag of a header that is followed by a divisor of 8 bytes.
pub(crate) const HAS_DIVISOR: u8 = 1;

/// The forms, as stored in the first byte of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FormTag {
    FrameOfReference = 1,
    Line = 2,
    EliasFano = 3,
    Runs = 4,
}

/// A sequence of `u64` inside a page's bytes.
///
/// Parsing checks that all of it lies within the bytes; after that no access fails: contents that
/// nobody wrote give wrong values, which the checksum of the page is there to catch.
#[derive(Clone, Copy)]
pub struct Sequence<'a> {
    count: usize,
    form: Form<'a>,
}

#[derive(Clone, Copy)]
enum Form<'a> {
    Plain(Plain<'a>),
    Runs { values: Plain<'a>, ends: Plain<'a>, runs: usize },
}

/// A form that does not contain others: value = base + divisor * offset, modulo 2^64.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    base: u64,
    divisor: u64,
    offsets: Offsets<'a>,
}

#[derive(Clone, Copy)]
enum Offsets<'a> {
    Packed(Packed<'a>),
    Line { line: Line, width: u32, residuals: Packed<'a> },
    EliasFano(EliasFano<'a>),
}

fn byte(bytes: &[u8], at: usize) -> Result<u8> {
    bytes.get(at).copied().ok_or(Corruption::not("a sequence header within the page"))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_le_bytes([byte(bytes, at)?, byte(bytes, at + 1)?]))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    bytes
        .get(at..)
        .and_then(|tail| tail.first_chunk())
        .map(|chunk| u64::from_le_bytes(*chunk))
        .ok_or(Corruption::not("a sequence header within the page"))
}

impl<'a> Sequence<'a> {
    /// Reads the header of a sequence of `count` values at the start of `bytes`, which may go on
    /// behind it. Returns the view and the sequence's length in bytes.
    pub fn parse(bytes: &'a [u8], count: usize) -> Result<(Sequence<'a>, usize)> {
        ensure_at_most!(count, MAX_POSITIONS, "values in a sequence")?;
        if byte(bytes, 0)? != FormTag::Runs as u8 {
            let (plain, len) = Plain::parse(bytes, count)?;
            return Ok((Sequence { count, form: Form::Plain(plain) }, len));
        }
        let runs = usize::from(u16_at(bytes, 2)?);
        ensure(runs > 0 && runs <= count, "as many runs as values, or fewer", runs as u64)?;
        let (values, values_len) = Plain::parse(bytes.get(4..).unwrap_or(&[]), runs)?;
        let ends_at = 4 + values_len;
        let (ends, ends_len) = Plain::parse(bytes.get(ends_at..).unwrap_or(&[]), runs)?;
        let last = ends.get(runs - 1);
        ensure(last == count as u64, "runs that end with the block", last)?;
        Ok((Sequence { count, form: Form::Runs { values, ends, runs } }, ends_at + ends_len))
    }

    /// The name of its form.
    pub fn form(&self) -> &'static str {
        match self.form {
            Form::Runs { .. } => "runs",
            Form::Plain(plain) => match plain.offsets {
                Offsets::Packed(_) => "frame_of_reference",
                Offsets::Line { .. } => "line",
                Offsets::EliasFano(_) => "elias_fano",
            },
        }
    }

    /// The `index`-th value, `index` below the count.
    #[inline]
    pub fn get(&self, index: usize) -> u64 {
        match self.form {
            Form::Plain(plain) => plain.get(index),
            Form::Runs { values, ends, runs } => {
                values.get(ends.lower_bound(index as u64 + 1, runs).min(runs - 1))
            }
        }
    }

    /// Two numbers between which all values lie, where these are below 2^63: the least and the
    /// greatest value, or numbers beyond them. Takes as long however many there are.
    pub fn bounds(&self) -> (u64, u64) {
        match self.form {
            Form::Plain(plain) => plain.bounds(self.count),
            Form::Runs { values, runs, .. } => values.bounds(runs),
        }
    }

    /// In an ascending sequence, the first index whose value is at least `target`.
    #[inline]
    pub fn lower_bound(&self, target: u64) -> usize {
        match self.form {
            Form::Plain(plain) => plain.lower_bound(target, self.count),
            Form::Runs { values, ends, runs } => match values.lower_bound(target, runs) {
                0 => 0,
                run => (ends.get(run - 1) as usize).min(self.count),
            },
        }
    }

    /// In an ascending sequence, the indexes from the first value that is at least `target` to the
    /// first that is larger. Calls `near` as soon as an index close to them is known.
    #[inline]
    pub fn run_of(&self, target: u64, near: impl FnMut(usize)) -> (usize, usize) {
        match self.form {
            Form::Plain(plain) => plain.run_of(target, self.count, near),
            Form::Runs { .. } => {
                let start = self.lower_bound(target);
                let end = target.checked_add(1).map_or(self.count, |next| self.lower_bound(next));
                (start, end.max(start))
            }
        }
    }

    /// Where, from the start of the sequence, its packed values begin: what a search for one of
    /// them reads after the header.
    pub(crate) fn packed_at(bytes: &[u8]) -> Result<usize> {
        if byte(bytes, 0)? == FormTag::Runs as u8 {
            return Ok(4 + HEADER_LEN);
        }
        let divisor = if byte(bytes, 3)? & HAS_DIVISOR != 0 { 8 } else { 0 };
        let at = HEADER_LEN + divisor;
        Ok(match byte(bytes, 0)? {
            tag if tag == FormTag::Line as u8 => at + 8,
            tag if tag == FormTag::EliasFano as u8 => at + 2 + 8 * usize::from(u16_at(bytes, at)?),
            _ => at,
        })
    }

    /// Asks the processor for what reading these values will read.
    #[inline]
    pub fn prefetch(&self, indexes: Range<usize>) {
        if let Form::Plain(plain) = self.form {
            plain.prefetch(indexes);
        }
    }

    /// Writes the values from the `start`-th on, at most as many as there are.
    pub fn decode(&self, start: usize, out: &mut [u64]) {
        match self.form {
            Form::Plain(plain) => plain.decode(start, out),
            Form::Runs { values, ends, runs } => {
                let mut index = start;
                let mut rest = out;
                let (mut run_values, mut run_ends) = ([0; RUNS_AT_ONCE], [0; RUNS_AT_ONCE]);
                let mut run = ends.lower_bound(start as u64 + 1, runs);
                while run < runs && !rest.is_empty() {
                    let some = (runs - run).min(rest.len()).min(RUNS_AT_ONCE);
                    values.decode(run, &mut run_values[..some]);
                    ends.decode(run, &mut run_ends[..some]);
                    for (&value, &end) in run_values.iter().zip(&run_ends).take(some) {
                        let repeated = (end as usize).saturating_sub(index).min(rest.len());
                        let (same, others) = rest.split_at_mut(repeated);
                        same.fill(value);
                        rest = others;
                        index += repeated;
                    }
                    run += some;
                }
                rest.fill(0);
            }
        }
    }
}

impl<'a> Plain<'a> {
    /// As [`Sequence::parse`].
    pub(super) fn parse(bytes: &'a [u8], count: usize) -> Result<(Plain<'a>, usize)> {
        let tag = byte(bytes, 0)?;
        let width = u32::from(byte(bytes, 1)?);
        let shift = u32::from(byte(bytes, 2)?);
        let flags = byte(bytes, 3)?;
        let base = u64_at(bytes, 4)?;
        let mut at = HEADER_LEN;
        let mut divisor = 1;
        if flags & HAS_DIVISOR != 0 {
            divisor = u64_at(bytes, at)?;
            ensure(divisor > 1, "a divisor above 1", divisor)?;
            at += 8;
        }
        ensure(width <= 64, "a width of at most 64 bits", width.into())?;
        let body = |at: usize, len: usize| {
            ensure_that(at + len <= bytes.len(), "a sequence within the page")?;
            Ok(&bytes[at..])
        };
        let offsets = match tag {
            tag if tag == FormTag::FrameOfReference as u8 => {
                let packed = Packed::new(body(at, packed_len(count, width))?, width);
                at += packed_len(count, width);
                Offsets::Packed(packed)
            }
            tag if tag == FormTag::Line as u8 => {
                let line = Line { slope: u64_at(bytes, at)? as i64, shift };
                ensure(line.is_valid(), "a slope in range", line.slope as u64)?;
                at += 8;
                let residuals = Packed::new(body(at, packed_len(count, width))?, width);
                at += packed_len(count, width);
                Offsets::Line { line, width, residuals }
            }
            tag if tag == FormTag::EliasFano as u8 => {
                let shape =
                    Shape { low_width: width, upper_words: usize::from(u16_at(bytes, at)?) };
                at += 2;
                ensure(width < 64, "a low width below 64 bits", width.into())?;
                let sequence = EliasFano::new(body(at, shape.len(count))?, shape);
                at += shape.len(count);
                Offsets::EliasFano(sequence.ok_or(Corruption::not("an Elias-Fano body"))?)
            }
            other => return Err(Corruption::new("a known sequence form", other.into())),
        };
        Ok((Plain { base, divisor, offsets }, at))
    }

    #[inline]
    fn value(&self, offset: u64) -> u64 {
        self.base.wrapping_add(self.divisor.wrapping_mul(offset))
    }

    /// See [`Sequence::prefetch`].
    #[inline]
    pub(super) fn prefetch(&self, indexes: Range<usize>) {
        match self.offsets {
            Offsets::Packed(packed) => packed.prefetch(indexes),
            Offsets::Line { residuals, .. } => residuals.prefetch(indexes),
            Offsets::EliasFano(sequence) => sequence.prefetch(indexes),
        }
    }

    /// The `index`-th value, `index` below the count.
    #[inline]
    pub(super) fn get(&self, index: usize) -> u64 {
        self.value(match self.offsets {
            Offsets::Packed(packed) => packed.get(index),
            Offsets::Line { line, residuals, .. } => {
                (line.at(index) as u64).wrapping_add(residuals.get(index))
            }
            Offsets::EliasFano(sequence) => sequence.get(index),
        })
    }

    /// See [`Sequence::bounds`].
    fn bounds(&self, count: usize) -> (u64, u64) {
        let last = count.saturating_sub(1);
        let widest = |width: u32| i128::from(mask(width.min(63)));
        let (least, greatest) = match self.offsets {
            Offsets::Packed(packed) => (0, widest(packed.width())),
            Offsets::Line { line, width, .. } => {
                let end = i128::from(line.at(last));
                (end.min(0), end.max(0) + widest(width))
            }
            Offsets::EliasFano(sequence) => {
                (i128::from(sequence.get(0)), i128::from(sequence.get(last)))
            }
        };
        // The base of a line may lie below 0.
        let value = |offset: i128| i128::from(self.base as i64) + i128::from(self.divisor) * offset;
        let bound = |value: i128| value.clamp(0, i64::MAX.into()) as u64;
        (bound(value(least)), bound(value(greatest)))
    }

    #[inline]
    fn lower_bound(&self, target: u64, count: usize) -> usize {
        match self.offsets {
            Offsets::Packed(_) => {
                partition_around(count / 2, count, |index| self.get(index) < target)
            }
            Offsets::EliasFano(sequence) => {
                let Some(above) = target.checked_sub(self.base) else { return 0 };
                sequence.lower_bound(above.div_ceil(self.divisor), count)
            }
            Offsets::Line { line, width, .. } => {
                // The base lies up to a residual below the first value and may have wrapped.
                let above = target.wrapping_sub(self.base) as i64;
                let offset = if self.divisor == 1 { above } else { above / self.divisor as i64 };
                let half = if width == 0 { 0 } else { 1i64 << (width - 1).min(61) };
                let guess = line.position_of(offset.saturating_sub(half), count);
                partition_around(guess, count, |index| self.get(index) < target)
            }
        }
    }

    #[inline]
    fn run_of(&self, target: u64, count: usize, mut near: impl FnMut(usize)) -> (usize, usize) {
        if let Offsets::EliasFano(sequence) = self.offsets {
            let Some(above) = target.checked_sub(self.base) else { return (0, 0) };
            let (start, end) = sequence.run_of(above.div_ceil(self.divisor), count, near);
            let exact = self.divisor == 1 || above % self.divisor == 0;
            return (start, if exact { end } else { start });
        }
        let start = self.lower_bound(target, count);
        near(start);
        let mut end = start;
        while end < count && self.get(end) == target {
            end += 1;
            if end - start == 8 {
                let next = target.checked_add(1);
                let end = next.map_or(count, |next| self.lower_bound(next, count));
                return (start, end.max(start));
            }
        }
        (start, end)
    }

    /// See [`Sequence::decode`].
    pub(super) fn decode(&self, start: usize, out: &mut [u64]) {
        match self.offsets {
            Offsets::Packed(packed) => packed.decode(start, out),
            Offsets::Line { line, residuals, .. } => {
                residuals.decode(start, out);
                for (value, index) in out.iter_mut().zip(start..) {
                    *value = value.wrapping_add(line.at(index) as u64);
                }
            }
            Offsets::EliasFano(sequence) => sequence.decode(start, out),
        }
        match self.divisor {
            1 => out.iter_mut().for_each(|value| *value = value.wrapping_add(self.base)),
            _ => out.iter_mut().for_each(|value| *value = self.value(*value)),
        }
    }
}

/// The number of leading positions for which `is_before` holds, looked for around `guess` in
/// steps that double: the better the guess, the fewer the probes; right for any guess.
#[inline]
fn partition_around(guess: usize, count: usize, mut is_before: impl FnMut(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    let guess = guess.min(count.saturating_sub(1));
    let mut step = 1;
    if count == 0 {
        return 0;
    }
    if is_before(guess) {
        low = guess + 1;
        while low + step <= high {
            if !is_before(low + step - 1) {
                high = low + step - 1;
                break;
            }
            low += step;
            step *= 2;
        }
    } else {
        high = guess;
        while step <= high {
            if is_before(high - step) {
                low = high - step + 1;
                break;
            }
            high -= step;
            step *= 2;
        }
    }
    partition_point(low..high, is_before)
}
