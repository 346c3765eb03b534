//! Codes of single values: `u64` numbers that sort as SQL sorts the values.
//!
//! Types that SQL compares with one another share one space of codes, so that a comparison
//! across types (`int8 = int2`, `float4 < float8`) is a comparison of codes.

use super::Word;

/// The bit that separates negative from other numbers.
const SIGN: Word = 1 << 63;

/// The code of `int2`, `int4` and `int8`, and of dates (days) and times (microseconds),
/// widened to 64 bits.
#[inline]
pub const fn from_i64(value: i64) -> Word {
    value as Word ^ SIGN
}

/// The value of a code made by [`from_i64`].
#[inline]
pub const fn to_i64(code: Word) -> i64 {
    (code ^ SIGN) as i64
}

/// The code of `float8`, and of `float4` after the exact conversion to `float8`.
///
/// As PostgreSQL orders floats: one zero, and one NaN that is greater than everything else.
/// The sign of a zero and the payload of a NaN are lost.
#[inline]
pub const fn from_f64(value: f64) -> Word {
    let bits = if value.is_nan() {
        f64::INFINITY.to_bits() | 1 << 51
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    };
    // Negative numbers grow in magnitude as they fall in order.
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The value of a code made by [`from_f64`]: equal in SQL to the one encoded.
#[inline]
pub const fn to_f64(code: Word) -> f64 {
    f64::from_bits(if code & SIGN == 0 { !code } else { code ^ SIGN })
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    /// PostgreSQL's float8_cmp_internal.
    fn sql_cmp(a: f64, b: f64) -> Ordering {
        match (a.is_nan(), b.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                if a < b {
                    Ordering::Less
                } else if a > b {
                    Ordering::Greater
                } else {
                    Ordering::Equal
                }
            }
        }
    }

    const FLOATS: [f64; 16] = [
        f64::NEG_INFINITY,
        f64::MIN,
        -1.5,
        -f64::MIN_POSITIVE,
        -5e-324,
        -0.0,
        0.0,
        5e-324,
        f64::MIN_POSITIVE,
        1.0,
        1.5,
        9007199254740993.0,
        f64::MAX,
        f64::INFINITY,
        f64::NAN,
        -f64::NAN,
    ];

    #[test]
    fn special_floats_are_ordered_as_postgres_orders_them() {
        for a in FLOATS {
            for b in FLOATS {
                assert_eq!(from_f64(a).cmp(&from_f64(b)), sql_cmp(a, b), "{a} against {b}");
            }
        }
    }

    #[test]
    fn every_int2_keeps_its_order_and_value() {
        let mut previous = None;
        for value in i16::MIN..=i16::MAX {
            let code = from_i64(value.into());
            assert!(previous < Some(code));
            assert_eq!(to_i64(code), i64::from(value));
            previous = Some(code);
        }
    }

    #[test]
    fn the_extremes_of_int8_are_the_extremes_of_the_codes() {
        assert_eq!(from_i64(i64::MIN), 0);
        assert_eq!(from_i64(i64::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn integers_keep_their_order_and_value(a: i64, b: i64) {
            prop_assert_eq!(from_i64(a).cmp(&from_i64(b)), a.cmp(&b));
            prop_assert_eq!(to_i64(from_i64(a)), a);
        }

        #[test]
        fn floats_keep_their_order_and_value(a: u64, b: u64) {
            let (a, b) = (f64::from_bits(a), f64::from_bits(b));
            prop_assert_eq!(from_f64(a).cmp(&from_f64(b)), sql_cmp(a, b));
            prop_assert_eq!(sql_cmp(to_f64(from_f64(a)), a), Ordering::Equal);
        }

        #[test]
        fn a_float4_is_found_among_float8(a: u32, b: u64) {
            let (a, b) = (f64::from(f32::from_bits(a)), f64::from_bits(b));
            prop_assert_eq!(from_f64(a).cmp(&from_f64(b)), sql_cmp(a, b));
        }
    }
}
