//! Binary search among numbers.

use std::ops::Range;

/// The first of these numbers for which `holds` is false; the end if there is none. `holds` must be
/// false for all numbers after the first for which it is.
#[inline(always)]
pub(crate) fn partition_point(
    numbers: Range<usize>,
    mut holds: impl FnMut(usize) -> bool,
) -> usize {
    let Range { start: mut low, end: mut high } = numbers;
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
