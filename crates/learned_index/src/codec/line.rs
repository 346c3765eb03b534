//! Integer lines: position to value in fixed point.

/// Largest number of positions that a line is asked for.
pub(crate) const MAX_POSITIONS: usize = 1 << 16;
/// Bound on the slope, so that a position times the slope stays inside an `i64`.
const MAX_SLOPE: i64 = 1 << 46;
/// Largest scale of a slope.
pub(crate) const MAX_SHIFT: u32 = 46;

/// A line through the origin: `position * slope / 2^shift`, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) slope: i64,
    pub(crate) shift: u32,
}

impl Line {
    /// The line that rises by `rise` over `run` positions, as exact as fixed point allows.
    /// `None` where the slope is too steep for it.
    pub(crate) fn through(rise: i128, run: i128) -> Option<Line> {
        let slope_at = |shift: u32| (rise << shift).checked_div(run);
        let steepness = slope_at(0)?.unsigned_abs();
        let integer_bits = 128 - steepness.leading_zeros();
        let shift = 45u32.checked_sub(integer_bits)?.min(MAX_SHIFT);
        let slope = i64::try_from(slope_at(shift)?).ok()?;
        (slope.abs() <= MAX_SLOPE).then_some(Line { slope, shift })
    }

    /// Whether stored numbers form a line that this code wrote.
    pub(crate) fn is_valid(self) -> bool {
        self.shift <= MAX_SHIFT && self.slope.unsigned_abs() <= MAX_SLOPE.unsigned_abs()
    }

    /// The line's value at `position`, which is below [`MAX_POSITIONS`].
    #[inline]
    pub(crate) fn at(self, position: usize) -> i64 {
        (position as i64).wrapping_mul(self.slope) >> self.shift
    }

    /// Roughly the position where the line reaches `value`; a hint, clamped to `0..=limit`.
    #[inline]
    pub(crate) fn position_of(self, value: i64, limit: usize) -> usize {
        if self.slope <= 0 {
            return 0;
        }
        // Rounding does not matter: the caller checks what it finds there.
        let scale = (1u64 << self.shift) as f64;
        ((value.max(0) as f64 * scale / self.slope as f64) as usize).min(limit)
    }
}
