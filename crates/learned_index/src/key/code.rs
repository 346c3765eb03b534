//! Codes of single values of at most 64 bits: numbers that sort as SQL sorts the values.
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

const USECS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// The instants that codes have room for lie less than 2^46 microseconds (814 days) from midnight
/// in UTC. The lowest bits are left for what is not the instant.
const INSTANTS: i64 = 1 << 46;
const REST_BITS: u32 = 17;
const REST: Word = (1 << REST_BITS) - 1;

/// The code of `timetz`: a time of day in microseconds, and a zone in seconds west of UTC.
///
/// `timetz_cmp_internal` of the core's date.c compares the instants, `time + zone`, and then the
/// zones. Of two values with the same instant, the one further west has fewer whole seconds since
/// its midnight, and fewer than 2^17 in any case. So these, counted backwards, stand for the zone.
///
/// A value that codes have no room for gets one that no other value has, in its order among those:
/// see [`is_zoned_time`].
#[inline]
pub fn from_zoned_time(time: i64, zone: i32) -> Word {
    let instant = time.saturating_add(i64::from(zone) * USECS_PER_SECOND);
    let rest = SECONDS_PER_DAY + 1 - time.div_euclid(USECS_PER_SECOND);
    if instant < -INSTANTS {
        Word::MIN
    } else if instant >= INSTANTS {
        Word::MAX
    } else {
        ((instant + INSTANTS) as Word) << REST_BITS | rest.clamp(0, REST as i64) as Word
    }
}

/// Whether a code made by [`from_zoned_time`] tells its value. Times of day up to 24:00 have such
/// codes in zones of up to 813 days. PostgreSQL reads zones of less than 16 hours, but
/// `AT TIME ZONE` makes others of any interval.
#[inline]
pub fn is_zoned_time(code: Word) -> bool {
    (1..=SECONDS_PER_DAY as Word + 1).contains(&(code & REST))
}

/// The time and the zone of a code made by [`from_zoned_time`] that [`is_zoned_time`].
#[inline]
pub fn to_zoned_time(code: Word) -> (i64, i32) {
    let instant = (code >> REST_BITS) as i64 - INSTANTS;
    let seconds = SECONDS_PER_DAY + 1 - (code & REST) as i64;
    let zone = instant.div_euclid(USECS_PER_SECOND) - seconds.clamp(0, SECONDS_PER_DAY);
    (instant - zone * USECS_PER_SECOND, zone as i32)
}

const DAYS_PER_MONTH: i128 = 30;

/// The code of `interval`. `interval_cmp_internal` of the core's timestamp.c compares spans, in
/// which a month has 30 days and a day 24 hours. Values with the same span have the same code.
/// Spans of more than 106,751,990 days have codes of which [`is_span`] does not hold.
#[inline]
pub const fn from_interval(time: i64, days: i32, months: i32) -> Word {
    let days = months as i128 * DAYS_PER_MONTH + days as i128;
    let span = days * (SECONDS_PER_DAY * USECS_PER_SECOND) as i128 + time as i128;
    let (least, greatest) = (i64::MIN as i128 + 2, i64::MAX as i128 - 2);
    match span {
        _ if span <= least => from_i64(least as i64),
        _ if span >= greatest => from_i64(greatest as i64),
        _ => from_i64(span as i64),
    }
}

/// A value whose span is that of a code made by [`from_interval`]: microseconds, and days.
#[inline]
pub const fn to_interval(code: Word) -> (i64, i32) {
    let (span, day) = (to_i64(code), SECONDS_PER_DAY * USECS_PER_SECOND);
    (span % day, (span / day) as i32)
}

/// Whether a code made by [`from_interval`] tells its span, or is the least or the greatest, which
/// are left for infinities. Those next to these are left too, as ends of ranges.
#[inline]
pub const fn is_span(code: Word) -> bool {
    code != Word::MIN + 2 && code != Word::MAX - 2
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

    /// PostgreSQL's timetz_cmp_internal.
    fn sql_cmp_zoned(a: (i64, i32), b: (i64, i32)) -> Ordering {
        let instant = |(time, zone)| i128::from(time) + i128::from(zone) * 1_000_000;
        instant(a).cmp(&instant(b)).then(a.1.cmp(&b.1))
    }

    /// 813 days.
    const FAR: i32 = 813 * 86_400;
    const DAY: i64 = SECONDS_PER_DAY * USECS_PER_SECOND;

    /// Times of day and zones: any, those that PostgreSQL reads, and few instants in many zones.
    fn zoned_time() -> impl Strategy<Value = (i64, i32)> {
        let zones = prop_oneof![any::<i32>(), -57_599..=57_599, -FAR..=FAR];
        let near = (0..3i64, -40_000..=40_000)
            .prop_map(|(usecs, zone)| (usecs + DAY / 2 - i64::from(zone) * USECS_PER_SECOND, zone));
        let ends = prop_oneof![Just(0), Just(1), Just(DAY - 1), Just(DAY)];
        prop_oneof![(0..=DAY, zones.clone()), (ends, zones), near]
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

    #[test]
    fn zoned_times_are_ordered_by_their_instants_and_then_by_their_zones() {
        let (noon, hour) = (DAY / 2, 3_600 * USECS_PER_SECOND);
        let sorted = [
            (0, -57_599),
            (DAY, -57_599),
            (noon + hour, -3_600),
            (noon, 0),
            (noon - hour, 3_600),
            (noon - hour + 1, 3_600),
            (DAY, 57_599),
        ];
        for pair in sorted.windows(2) {
            let codes = [pair[0], pair[1]].map(|(time, zone)| from_zoned_time(time, zone));
            assert!(codes[0] < codes[1], "{pair:?}: {codes:?}");
        }
    }

    #[test]
    fn zoned_times_that_no_code_tells_are_beyond_all_others() {
        let (first, last) = ((0, -FAR), (DAY, FAR));
        for (time, zone) in [(0, i32::MIN), (DAY, -71_000_000), (i64::MIN, 0)] {
            assert!(from_zoned_time(time, zone) < from_zoned_time(first.0, first.1));
        }
        for (time, zone) in [(DAY, i32::MAX), (0, 71_000_000), (i64::MAX, 0)] {
            assert!(from_zoned_time(time, zone) > from_zoned_time(last.0, last.1));
        }
    }

    proptest! {
        #[test]
        fn zoned_times_keep_their_order_and_value(a in zoned_time(), b in zoned_time()) {
            let codes = [a, b].map(|(time, zone)| from_zoned_time(time, zone));
            for (value, code) in [(a, codes[0]), (b, codes[1])] {
                let told = is_zoned_time(code);
                prop_assert!(told || !(-FAR..=FAR).contains(&value.1), "{value:?}");
                prop_assert!(!told || to_zoned_time(code) == value, "{value:?}");
            }
            let (found, expected) = (codes[0].cmp(&codes[1]), sql_cmp_zoned(a, b));
            let both_beyond = !codes.into_iter().any(is_zoned_time);
            let same = found == expected || both_beyond && found == Ordering::Equal;
            prop_assert!(same, "{a:?} against {b:?}: {codes:?}");
        }

        #[test]
        fn intervals_are_ordered_by_their_spans(a: (i64, i32, i32), b: (i64, i32, i32), far: bool) {
            // Those that all columns hold, and any.
            let near = |(time, days, months): (i64, i32, i32)| match far {
                true => (time, days, months),
                false => (time >> 20, days >> 8, months >> 10),
            };
            let span = |(time, days, months): (i64, i32, i32)| {
                (i128::from(months) * 30 + i128::from(days)) * i128::from(DAY) + i128::from(time)
            };
            let codes = [near(a), near(b)].map(|(time, days, months)| {
                from_interval(time, days, months)
            });
            let expected = span(near(a)).cmp(&span(near(b)));
            let both_beyond = !codes.into_iter().any(is_span);
            prop_assert!(far || !both_beyond);
            let (time, days) = to_interval(codes[0]);
            prop_assert_eq!(from_interval(time, days, 0), codes[0]);
            let equal = codes[0] == codes[1];
            prop_assert!(codes[0].cmp(&codes[1]) == expected || both_beyond && equal);
        }

        #[test]
        fn any_bytes_are_a_zoned_time_or_none(time: i64, zone: i32, code: Word) {
            let of_bytes = from_zoned_time(time, zone);
            prop_assert!(!is_zoned_time(of_bytes) || to_zoned_time(of_bytes) == (time, zone));
            let (time, zone) = to_zoned_time(code);
            prop_assert!((0..DAY + USECS_PER_SECOND).contains(&time), "{code}: {time} {zone}");
        }

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
