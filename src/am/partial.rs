//! States of the core's aggregates, as its partial aggregates hand them on.
//!
//! Nobody stores them: those who write them and those who read them are of one major version. These
//! are the states of versions 15 to 18, and their readers refuse other lengths.

use pgrx::IntoDatum;
use pgrx::pg_sys;

/// What a digit of `NumericVar` counts up to: `NBASE` of numeric.c.
const BASE: u128 = 10_000;
/// Decimals of such a digit.
const DECIMALS: u8 = 4;
/// `NUMERIC_POS` and `NUMERIC_NEG` of numeric.c.
const POSITIVE: i32 = 0;
const NEGATIVE: i32 = 0x4000;

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
    let mut bytes = count.to_be_bytes().to_vec();
    add_number(&mut bytes, sum, 0);
    bytes.into_datum()
}

/// Of `sum(numeric)` and `avg(numeric)`, of a column whose values have this scale: what
/// `numeric_avg_serialize` makes of `count` numbers and some NaNs. NULL as before.
pub(super) fn of_decimals(count: u64, sum: i128, scale: u8, nans: u64) -> Option<pg_sys::Datum> {
    if count + nans == 0 {
        return None;
    }
    let mut bytes = count.to_be_bytes().to_vec();
    add_number(&mut bytes, sum, scale);
    // The greatest scale of the numbers, and how many have it.
    bytes.extend(u32::from(scale).to_be_bytes());
    bytes.extend(count.to_be_bytes());
    // No column with a scale has infinities.
    bytes.extend([nans, 0, 0].iter().flat_map(|number| number.to_be_bytes()));
    bytes.into_datum()
}

/// Adds a number with some decimal places as `numericvar_serialize` has it: how many digits there
/// are, which power of the base the first counts, the sign, the decimal places; the digits.
fn add_number(bytes: &mut Vec<u8>, number: i128, scale: u8) {
    let behind_point = scale.div_ceil(DECIMALS);
    let padding = 10u128.pow(u32::from(behind_point * DECIMALS - scale));
    let mut digits = Vec::new();
    // Of up to 2^48 rows with 18 digits, this is less than 2^120. `int8` needs no padding.
    let mut rest = number.unsigned_abs() * padding;
    while rest > 0 {
        digits.push((rest % BASE) as u16);
        rest /= BASE;
    }
    let length = digits.len() as i32;
    let weight = if length == 0 { 0 } else { length - 1 - i32::from(behind_point) };
    let sign = if number < 0 { NEGATIVE } else { POSITIVE };
    let header = [length, weight, sign, scale.into()];
    bytes.extend(header.iter().flat_map(|word| word.to_be_bytes()));
    bytes.extend(digits.iter().rev().flat_map(|digit| digit.to_be_bytes()));
}
