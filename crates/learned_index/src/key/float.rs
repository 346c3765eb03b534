//! Codes of `float4` and `float8` that keep every bit, for index-only scans to return.
//!
//! Equal values have different codes: those of the two zeros are neighbours, and those of all NaNs
//! are the greatest. So the codes of equal values are a range, which is what comparisons are made
//! with. A `float4` has the code of the `float8` with the same value.

use super::Word;

/// The bit that separates negative from other numbers.
const SIGN: Word = 1 << 63;
/// The bits of the exponent, which only infinities and NaNs have all of.
const EXPONENT: Word = 0x7FF << 52;
/// How many NaNs have a sign. By their bits they are less than all numbers: codes are
/// this much less than bits in order.
pub const SIGNED_NANS: Word = (1 << 52) - 1;
/// The code of the negative zero; that of the other one is the next.
const ZERO: Word = from_bits(SIGN);
/// The code of the least NaN.
const FIRST_NAN: Word = from_bits(EXPONENT) + 1;

/// The bits that `float4` has less in its fraction, and the bits of its exponent.
const FEWER_BITS: u32 = 52 - 23;
const EXPONENT4: u32 = 0xFF << 23;
const SIGN4: u32 = 1 << 31;

/// The code of a `float8`, by its bits. From the least on: numbers with a sign, the others, NaNs
/// without a sign, and those with one.
#[inline]
pub const fn from_bits(bits: u64) -> Word {
    // Negative numbers grow in magnitude as they fall in order.
    let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    ordered.wrapping_sub(SIGNED_NANS)
}

/// The bits of the `float8` with a code.
#[inline]
pub const fn to_bits(code: Word) -> u64 {
    let ordered = code.wrapping_add(SIGNED_NANS);
    if ordered & SIGN == 0 { !ordered } else { ordered ^ SIGN }
}

/// The code of a `float4`, by its bits.
#[inline]
pub fn from_bits4(bits: u32) -> Word {
    if bits & !SIGN4 > EXPONENT4 {
        // A processor would make another NaN of some.
        let fraction = Word::from(bits & !(SIGN4 | EXPONENT4)) << FEWER_BITS;
        return from_bits(Word::from(bits & SIGN4) << 32 | EXPONENT | fraction);
    }
    from_bits(f64::from(f32::from_bits(bits)).to_bits())
}

/// The bits of the `float4` with a code. Of a code that none has, of some `float4`.
#[inline]
pub fn to_bits4(code: Word) -> u32 {
    let bits = to_bits(code);
    if bits & !SIGN > EXPONENT {
        let fraction = (bits & !(SIGN | EXPONENT)) >> FEWER_BITS;
        return (bits >> 32) as u32 & SIGN4 | EXPONENT4 | fraction as u32;
    }
    (f64::from_bits(bits) as f32).to_bits()
}

/// The first and the last of the codes whose values are equal to that of one.
#[inline]
pub const fn equal(code: Word) -> (Word, Word) {
    if code >= FIRST_NAN {
        (FIRST_NAN, Word::MAX)
    } else if code == ZERO || code == ZERO + 1 {
        (ZERO, ZERO + 1)
    } else {
        (code, code)
    }
}

/// How a word of an index's codes stands for a float, or for NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatWord {
    /// Whether 1 was added to the code, so that the least and the greatest word are left for NULLs.
    /// The greatest codes then have one word.
    pub moved: bool,
    /// Whether all bits are inverted.
    pub descending: bool,
}

impl FloatWord {
    /// The first and the last of the words whose values are equal to that of one. NULL is equal to
    /// itself alone.
    #[inline]
    pub const fn equal(self, word: Word) -> (Word, Word) {
        let word = if self.descending { !word } else { word };
        let (first, last) = match (self.moved, word) {
            (false, _) => equal(word),
            (true, Word::MIN | Word::MAX) => (word, word),
            (true, _) => {
                let (first, last) = equal(word - 1);
                (first + 1, if last < Word::MAX - 1 { last + 1 } else { Word::MAX - 1 })
            }
        };
        if self.descending { (!last, !first) } else { (first, last) }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;
    use crate::key::code::from_f64;

    /// PostgreSQL's float8_cmp_internal: that of the codes which do not tell equal values apart.
    fn sql_cmp(a: u64, b: u64) -> Ordering {
        from_f64(f64::from_bits(a)).cmp(&from_f64(f64::from_bits(b)))
    }

    /// A float4 as the float8 that has its value.
    fn widened(bits: u32) -> u64 {
        f64::from(f32::from_bits(bits)).to_bits()
    }

    /// Bits of any float8, and of those around the ends of what is equal.
    fn bits() -> impl Strategy<Value = u64> {
        let ends = [0, SIGN, EXPONENT, SIGN | EXPONENT, SIGN - 1, u64::MAX, EXPONENT | 1 << 51];
        let near = (proptest::sample::select(ends.to_vec()), -3i64..=3)
            .prop_map(|(end, step)| end.wrapping_add_signed(step));
        let nan = any::<u64>().prop_map(|bits| bits | EXPONENT);
        prop_oneof![any::<u64>(), near, nan]
    }

    /// The same of float4.
    fn bits4() -> impl Strategy<Value = u32> {
        let ends =
            [0, SIGN4, EXPONENT4, SIGN4 | EXPONENT4, SIGN4 - 1, u32::MAX, EXPONENT4 | 1 << 22];
        let near = (proptest::sample::select(ends.to_vec()), -3i32..=3)
            .prop_map(|(end, step)| end.wrapping_add_signed(step));
        let nan = any::<u32>().prop_map(|bits| bits | EXPONENT4);
        prop_oneof![any::<u32>(), near, nan]
    }

    #[test]
    fn the_ends_of_what_is_equal_are_where_they_should_be() {
        let code = |value: f64| from_bits(value.to_bits());
        assert_eq!(code(f64::NEG_INFINITY), Word::MIN);
        assert_eq!(code(-0.0) + 1, code(0.0));
        assert_eq!(equal(code(0.0)), (code(-0.0), code(0.0)));
        assert_eq!(equal(code(-0.0)), (code(-0.0), code(0.0)));
        let nans = (code(f64::INFINITY) + 1, Word::MAX);
        for bits in [EXPONENT | 1, SIGN - 1, SIGN | EXPONENT | 1, u64::MAX] {
            assert!(f64::from_bits(bits).is_nan());
            assert_eq!(equal(from_bits(bits)), nans, "{bits:x}");
        }
        assert_eq!([EXPONENT | 1, SIGN | EXPONENT | 1].map(from_bits), [nans.0, nans.1]);
    }

    /// All ways in which a word stands for a float: descending or not, moved for NULLs or not.
    fn words() -> impl Strategy<Value = FloatWord> {
        any::<(bool, bool)>().prop_map(|(moved, descending)| FloatWord { moved, descending })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn codes_keep_every_bit_and_the_order(a in bits(), b in bits()) {
            prop_assert_eq!(to_bits(from_bits(a)), a);
            prop_assert_eq!(from_bits(to_bits(b)), b);
            let (first, last) = equal(from_bits(a));
            let code = from_bits(b);
            let found = if code < first { Ordering::Greater }
                else if code > last { Ordering::Less }
                else { Ordering::Equal };
            prop_assert_eq!(found, sql_cmp(a, b), "{:x} against {:x}", a, b);
        }

        #[test]
        fn float4_keeps_every_bit_and_has_the_codes_of_float8(a in bits4(), b in bits()) {
            let code = from_bits4(a);
            prop_assert_eq!(to_bits4(code), a);
            let (first, last) = equal(code);
            let found = from_bits(b);
            prop_assert_eq!(first <= found && found <= last, sql_cmp(widened(a), b).is_eq());
            prop_assert_eq!(found < first, sql_cmp(b, widened(a)).is_lt());
        }

        #[test]
        fn any_code_is_that_of_some_float4_or_none(code: Word) {
            let _ = to_bits4(code);
        }

        #[test]
        fn words_are_equal_where_their_values_are(a in bits(), b in bits(), kind in words()) {
            let word = |bits| {
                let code = from_bits(bits);
                let middle = code.saturating_add(1).min(Word::MAX - 1);
                let moved = if kind.moved { middle } else { code };
                if kind.descending { !moved } else { moved }
            };
            let (first, last) = kind.equal(word(a));
            let equal = first <= word(b) && word(b) <= last;
            prop_assert_eq!(equal, sql_cmp(a, b).is_eq(), "{:x} against {:x}", a, b);
            prop_assert!(first <= word(a) && word(a) <= last);
            if kind.moved {
                prop_assert!(first > Word::MIN && last < Word::MAX);
                prop_assert_eq!(kind.equal(Word::MIN), (Word::MIN, Word::MIN));
                prop_assert_eq!(kind.equal(Word::MAX), (Word::MAX, Word::MAX));
            }
        }
    }
}
