//! States of the core's aggregates, as its partial aggregates hand them on.
//!
//! Nobody stores them: those who write them and those who read them are of one major version. These
//! are the states of versions 15 to 18, and their readers refuse other lengths.

use pgrx::IntoDatum;
use pgrx::pg_sys;

/// What a digit of `NumericVar` counts up to: `NBASE` of numeric.c.
const BASE: u128 = 10_000;
/// `NUMERIC_POS` and `NUMERIC_NEG` of numeric.c.
const POSITIVE: u32 = 0;
const NEGATIVE: u32 = 0x4000;

/// Of `avg(int2)` and `avg(int4)`: `Int8TransTypeData` of numeric.c in an array. It has two zeros
/// before the first value, and its sum does not look for an overflow.
pub(super) fn of_integers(count: u64, sum: i128) -> Option<pg_sys::Datum> {
    vec![count as i64, sum as i64].into_datum()
}

/// Of `sum(int8)` and `avg(int8)`: what `int8_avg_serialize` of numeric.c makes. NULL before the
/// first value, as of a transition function that was not called.
pub(super) fn of_bigints(count: u64, sum: i128) -> Option<pg_sys::Datum> {
    if count == 0 {
        return None;
    }
    let mut digits = Vec::new();
    let mut rest = sum.unsigned_abs();
    while rest > 0 {
        digits.push((rest % BASE) as u16);
        rest /= BASE;
    }
    // As `numericvar_serialize` has it: how many digits, which power of the base the first counts,
    // the sign, the decimal places.
    let length = digits.len() as u32;
    let sign = if sum < 0 { NEGATIVE } else { POSITIVE };
    let header = [length, length.saturating_sub(1), sign, 0];
    let mut bytes = count.to_be_bytes().to_vec();
    bytes.extend(header.iter().flat_map(|word| word.to_be_bytes()));
    bytes.extend(digits.iter().rev().flat_map(|digit| digit.to_be_bytes()));
    bytes.into_datum()
}
