//! Codes of `numeric` with a scale: the number without its decimal point.
//!
//! All values of a column `numeric(p, s)` have `s` decimal places, so that those of at most 18
//! digits are integers of 64 bits. What is read and made here are the bytes of PostgreSQL's
//! numeric.c behind the length: a header with sign, scale and weight, and digits of four decimals.

use super::Word;
use super::code::{from_i64, to_i64};
use super::cut::Cut;

/// The most digits of a value that has a code.
pub const MOST_DIGITS: u8 = 18;
/// The greatest scale of a column whose values have codes.
pub const GREATEST_SCALE: u8 = 18;

/// Codes are of integers less than this, and more than the negative of it.
const LIMIT: u64 = 10u64.pow(MOST_DIGITS as u32);
/// The code of NaN, which is greater than all numbers.
const NAN: Word = Word::MAX;
/// The code of values that have none.
const NONE: Word = from_i64(LIMIT as i64);

/// The bytes of a value that has a code: the longest have 6 digits of four decimals.
pub const LONGEST: usize = 14;

// The header, as numeric.c has it: NUMERIC_SHORT and so on.
const KIND: u16 = 0xC000;
const SPECIAL: u16 = 0xC000;
const SHORT: u16 = 0x8000;
const NEGATIVE: u16 = 0x4000;
const WHICH_SPECIAL: u16 = 0xF000;
const SPECIAL_NAN: u16 = 0xC000;
const SPECIAL_INFINITY: u16 = 0xD000;
const SHORT_NEGATIVE: u16 = 0x2000;
const SHORT_SCALE: u16 = 0x1F80;
const SHORT_SCALE_SHIFT: u32 = 7;
const SHORT_WEIGHT_SIGN: u16 = 0x0040;
const SHORT_WEIGHT: u16 = 0x003F;
const SCALE: u16 = 0x3FFF;
/// Decimals of a digit, and their number of values.
const DECIMALS: i32 = 4;
const BASE: u128 = 10_000;

/// A value as it is stored.
enum Number<'a> {
    NaN,
    Infinity {
        negative: bool,
    },
    Finite {
        negative: bool,
        scale: u16,
        /// Which power of 10,000 the first digit counts.
        weight: i32,
        digits: &'a [u8],
    },
}

impl Number<'_> {
    fn of_bytes(stored: &[u8]) -> Number<'_> {
        let (header, rest) = word_and_rest(stored);
        match header & KIND {
            SPECIAL => match header & WHICH_SPECIAL {
                SPECIAL_NAN => Number::NaN,
                which => Number::Infinity { negative: which != SPECIAL_INFINITY },
            },
            SHORT => {
                let below_one = header & SHORT_WEIGHT_SIGN != 0;
                let weight = i32::from(header & SHORT_WEIGHT);
                Number::Finite {
                    negative: header & SHORT_NEGATIVE != 0,
                    scale: (header & SHORT_SCALE) >> SHORT_SCALE_SHIFT,
                    weight: if below_one { weight - 1 - i32::from(SHORT_WEIGHT) } else { weight },
                    digits: rest,
                }
            }
            sign => {
                let (weight, digits) = word_and_rest(rest);
                Number::Finite {
                    negative: sign == NEGATIVE,
                    scale: header & SCALE,
                    weight: i32::from(weight as i16),
                    digits,
                }
            }
        }
    }
}

/// The first two bytes as a number, and the bytes behind them; 0 where there are none.
fn word_and_rest(bytes: &[u8]) -> (u16, &[u8]) {
    match bytes.split_first_chunk() {
        Some((word, rest)) => (u16::from_ne_bytes(*word), rest),
        None => (0, &[]),
    }
}

/// The integer part of a number without its sign, in units of the scale's last place, and whether
/// that is all of it. `None` if it has more digits than codes.
fn in_units(weight: i32, digits: &[u8], scale: u8) -> Option<(u64, bool)> {
    let (mut units, mut exact) = (0u128, true);
    // Of the last decimal of a digit.
    let mut power = weight * DECIMALS + i32::from(scale);
    for digit in digits.chunks_exact(2) {
        let digit = u128::from(word_and_rest(digit).0);
        if digit != 0 {
            match power {
                // Every power from there on is beyond all codes, and times a digit no overflow.
                0.. => units += digit * 10u128.pow(power.min(20) as u32),
                -3..0 => {
                    let parts = 10u128.pow(power.unsigned_abs());
                    units += digit / parts;
                    exact &= digit % parts == 0;
                }
                _ => exact = false,
            }
            if units >= u128::from(LIMIT) {
                return None;
            }
        }
        power -= DECIMALS;
    }
    Some((units as u64, exact))
}

/// The code of a value in a column of this scale. [`has_value`] does not hold of it if the value
/// is another than such columns have: it is infinite, or has more digits, or another scale.
pub fn code_of(stored: &[u8], scale: u8) -> Word {
    match Number::of_bytes(stored) {
        Number::NaN => NAN,
        Number::Finite { negative, scale: own, weight, digits } if own == u16::from(scale) => {
            match in_units(weight, digits, scale) {
                Some((units, true)) if negative => from_i64(-(units as i64)),
                Some((units, true)) => from_i64(units as i64),
                _ => NONE,
            }
        }
        _ => NONE,
    }
}

/// The code of a value and its scale. `None` of a value that no column has whose values have codes.
pub fn code_and_scale(stored: &[u8]) -> Option<(Word, u8)> {
    let scale = match Number::of_bytes(stored) {
        Number::NaN => 0,
        Number::Finite { scale, .. } if scale <= GREATEST_SCALE.into() => scale as u8,
        _ => return None,
    };
    let code = code_of(stored, scale);
    has_value(code).then_some((code, scale))
}

/// Whether a code is that of a value.
pub const fn has_value(code: Word) -> bool {
    code == NAN || to_i64(code).unsigned_abs() < LIMIT
}

/// Where any value falls among the codes of a column of this scale.
pub fn among(stored: &[u8], scale: u8) -> Cut {
    let (negative, units) = match Number::of_bytes(stored) {
        Number::NaN => return Cut::at(NAN),
        Number::Infinity { negative } => (negative, None),
        Number::Finite { negative, weight, digits, .. } => {
            (negative, in_units(weight, digits, scale))
        }
    };
    match (negative, units) {
        (false, None) => Cut::before(NAN),
        (true, None) => Cut::before(Word::MIN),
        (false, Some((units, true))) => Cut::at(from_i64(units as i64)),
        (true, Some((units, true))) => Cut::at(from_i64(-(units as i64))),
        (false, Some((units, false))) => Cut::before(from_i64(units as i64 + 1)),
        (true, Some((units, false))) => Cut::before(from_i64(-(units as i64))),
    }
}

/// The bytes of a code's value as numeric.c makes them, and how many they are. Of a code that has
/// none, those of some value.
pub fn to_bytes(code: Word, scale: u8) -> ([u8; LONGEST], usize) {
    let mut bytes = [0; LONGEST];
    if code == NAN {
        bytes[..2].copy_from_slice(&SPECIAL_NAN.to_ne_bytes());
        return (bytes, 2);
    }
    let (number, scale) = (to_i64(code), scale.min(GREATEST_SCALE));
    let behind_point = i32::from(scale.div_ceil(DECIMALS as u8));
    let padding = (behind_point * DECIMALS - i32::from(scale)).unsigned_abs();
    let mut rest = u128::from(number.unsigned_abs() % LIMIT) * 10u128.pow(padding);
    // From the last digit to the first, without zeros at either end.
    let (mut digits, mut count, mut weight) = ([0u16; LONGEST / 2 - 1], 0, -behind_point - 1);
    for digit in digits.iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *digit = (rest % BASE) as u16;
        rest /= BASE;
        count += 1;
        weight += 1;
    }
    let digits = &digits[digits.len() - count..];
    let zeros = digits.iter().rev().take_while(|digit| **digit == 0).count();
    let digits = &digits[..count - zeros];
    if digits.is_empty() {
        weight = 0;
    }
    let sign = if number < 0 { SHORT_NEGATIVE } else { 0 };
    let weight = weight as u16 & (SHORT_WEIGHT_SIGN | SHORT_WEIGHT);
    let header = SHORT | sign | u16::from(scale) << SHORT_SCALE_SHIFT | weight;
    let words = std::iter::once(&header).chain(digits);
    for (place, word) in bytes.chunks_exact_mut(2).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    (bytes, 2 + 2 * digits.len())
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;
    use crate::key::cut::Comparison;

    /// The bytes of a number in the long form, whatever its scale.
    fn long(negative: bool, scale: u16, weight: i16, digits: &[u16]) -> Vec<u8> {
        let sign = if negative { NEGATIVE } else { 0 };
        let words = [sign | scale, weight as u16];
        words.iter().chain(digits).flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// A number in units of its decimal place of this number, of which it has no more.
    fn exactly(negative: bool, weight: i16, digits: &[u16], places: i32) -> i128 {
        let of_digit = |(at, digit): (usize, &u16)| {
            let power = 4 * (i32::from(weight) - at as i32) + places;
            i128::from(*digit) * 10i128.pow(power as u32)
        };
        let sum: i128 = digits.iter().enumerate().map(of_digit).sum();
        if negative { -sum } else { sum }
    }

    fn holds(comparison: Comparison, ordering: Ordering) -> bool {
        match comparison {
            Comparison::Less => ordering.is_lt(),
            Comparison::LessEqual => ordering.is_le(),
            Comparison::Equal => ordering.is_eq(),
            Comparison::GreaterEqual => ordering.is_ge(),
            Comparison::Greater => ordering.is_gt(),
        }
    }

    const COMPARISONS: [Comparison; 5] = [
        Comparison::Less,
        Comparison::LessEqual,
        Comparison::Equal,
        Comparison::GreaterEqual,
        Comparison::Greater,
    ];

    fn selects(cut: Cut, comparison: Comparison, code: Word) -> bool {
        cut.select(comparison).is_some_and(|(first, last)| (first..=last).contains(&code))
    }

    /// A column's value in units of its scale: small ones are near the ends of a digit.
    fn units() -> impl Strategy<Value = i64> {
        let limit = LIMIT as i64;
        let ends = prop_oneof![Just(0), Just(limit - 1), Just(1 - limit), Just(10_000)];
        prop_oneof![-30_000..30_000i64, 1 - limit..limit, ends]
    }

    proptest! {
        #[test]
        fn codes_give_their_values_back(units in units(), scale in 0..=GREATEST_SCALE) {
            let code = from_i64(units);
            let (bytes, length) = to_bytes(code, scale);
            let bytes = &bytes[..length];
            prop_assert_eq!(code_of(bytes, scale), code);
            prop_assert_eq!(code_and_scale(bytes), Some((code, scale)));
            prop_assert!(has_value(code));
            prop_assert_eq!(among(bytes, scale), Cut::at(code));
            prop_assert!(!has_value(code_of(bytes, scale + 1)));
            // No zeros at either end.
            let digit = |at: usize| word_and_rest(bytes.get(at..).unwrap_or_default()).0;
            prop_assert!(length == 2 || digit(2) != 0 && digit(length - 2) != 0);
            let Number::Finite { negative, weight, digits, .. } = Number::of_bytes(bytes) else {
                return Err(TestCaseError::fail("a special value"));
            };
            let digits: Vec<_> = digits.chunks_exact(2).map(|pair| word_and_rest(pair).0).collect();
            let expected = i128::from(units) * 10i128.pow(20 - u32::from(scale));
            prop_assert_eq!(exactly(negative, weight as i16, &digits, 20), expected);
        }

        /// Both forms, and zeros at the ends, which PostgreSQL never stores.
        #[test]
        fn values_of_any_scale_fall_where_they_are(
            negative: bool,
            weight in -3..=2i16,
            digits in prop::collection::vec(prop_oneof![Just(0), Just(5000), 0..10_000u16], 0..4),
            scale in 0..=9u8,
            steps in -2..=2i64,
        ) {
            let stored = long(negative, 24, weight, &digits);
            let value = exactly(negative, weight, &digits, 24);
            let unit = 10i128.pow(24 - u32::from(scale));
            let near = (value / unit) as i64 + steps;
            prop_assume!(near.unsigned_abs() < LIMIT);
            let ordering = (i128::from(near) * unit).cmp(&value);
            let cut = among(&stored, scale);
            prop_assert!(cut.is_exact());
            for comparison in COMPARISONS {
                let found = selects(cut, comparison, from_i64(near));
                prop_assert_eq!(found, holds(comparison, ordering), "{:?}", comparison);
            }
        }

        #[test]
        fn any_bytes_fall_somewhere(bytes: Vec<u8>, scale in 0..=GREATEST_SCALE, code: Word) {
            let found = code_of(&bytes, scale);
            let told = has_value(found) && found != NAN;
            let own = code_and_scale(&bytes);
            prop_assert!(own.is_none_or(|(code, own)| code_of(&bytes, own) == code));
            prop_assert!(!told || own == Some((found, scale)));
            prop_assert!(!told || among(&bytes, scale) == Cut::at(found));
            let (bytes, length) = to_bytes(code, scale);
            let again = code_of(&bytes[..length], scale);
            prop_assert!(has_value(again));
            prop_assert!(again == code || !has_value(code));
        }
    }

    #[test]
    fn what_no_column_has_is_beyond_its_numbers_and_below_nan() {
        let nan = SPECIAL_NAN.to_ne_bytes();
        let (infinity, minus) = (0xD000u16.to_ne_bytes(), 0xF000u16.to_ne_bytes());
        let far = [i16::MAX, 4].map(|weight| long(false, 0, weight, &[1]));
        let below = [i16::MAX, 4].map(|weight| long(true, 0, weight, &[9999, 1]));
        let (least, greatest) = (from_i64(1 - LIMIT as i64), from_i64(LIMIT as i64 - 1));
        assert_eq!(code_of(&nan, 2), NAN);
        assert_eq!(code_and_scale(&nan), Some((NAN, 0)));
        assert_eq!([&infinity, &minus].map(|bytes| code_and_scale(bytes)), [None; 2]);
        assert_eq!(among(&nan, 2), Cut::at(NAN));
        for above in [&infinity[..], &far[0], &far[1]] {
            let cut = among(above, 2);
            assert!(selects(cut, Comparison::Less, greatest) && cut.is_exact());
            assert!(selects(cut, Comparison::Greater, NAN));
            assert!(!selects(cut, Comparison::Less, NAN));
            assert!(!selects(cut, Comparison::GreaterEqual, greatest));
            assert_eq!(cut.select(Comparison::Equal), None);
            assert!(!has_value(code_of(above, 2)));
        }
        for below in [&minus[..], &below[0], &below[1]] {
            let cut = among(below, 2);
            assert_eq!(cut.select(Comparison::LessEqual), None);
            assert!(selects(cut, Comparison::Greater, least));
            assert!(selects(cut, Comparison::Greater, NAN));
            assert!(!has_value(code_of(below, 2)));
        }
    }
}
