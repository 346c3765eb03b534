//! Where a value of another type falls among the values of a column.
//!
//! A comparison `column op value` selects a range of codes. With a value of the column's own
//! type its ends are obvious; with a `timestamp` against a `date` column, or an instant against
//! a column of local times, they are not, and a conversion that depends on the time zone may
//! not even be monotone. A [`Cut`] states four ends that hold in every case.

use super::code::from_i64;
use super::{Code, Word};

/// A comparison of a column with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `column < value`
    Less,
    /// `column <= value`
    LessEqual,
    /// `column = value`
    Equal,
    /// `column >= value`
    GreaterEqual,
    /// `column > value`
    Greater,
}

impl Comparison {
    /// The first and the last of the codes that compare so with one.
    pub fn select<C: Code>(self, code: C) -> Option<(C, C)> {
        Some(match self {
            Comparison::Less => (C::MIN, code.previous()?),
            Comparison::LessEqual => (C::MIN, code),
            Comparison::Equal => (code, code),
            Comparison::GreaterEqual => (code, C::MAX),
            Comparison::Greater => (code.next()?, C::MAX),
        })
    }
}

/// The ends of the codes that compare in each way with one value.
///
/// An end is a position between codes, 0 to 2^64: position `p` has the codes below `p` on its
/// left. In an exact cut the left ends equal the right ends; otherwise the selected codes
/// include all that match and a few that do not, which the caller has to recheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// All codes less than the value are left of this.
    pub less: u128,
    /// All codes less than or equal to the value are left of this.
    pub less_equal: u128,
    /// All codes greater than or equal to the value are right of this.
    pub greater_equal: u128,
    /// All codes greater than the value are right of this.
    pub greater: u128,
}

/// The position behind all codes.
const END: u128 = 1 << Word::BITS;

impl Cut {
    /// A value that has a code in the column's own space.
    #[inline]
    pub const fn at(code: Word) -> Cut {
        let at = code as u128;
        Cut { less: at, greater_equal: at, less_equal: at + 1, greater: at + 1 }
    }

    /// A value that is equal to those of the codes from `first` to `last`.
    #[inline]
    pub const fn equal_to((first, last): (Word, Word)) -> Cut {
        let (from, to) = (first as u128, last as u128 + 1);
        Cut { less: from, greater_equal: from, less_equal: to, greater: to }
    }

    /// A value that no code equals: greater than the codes below `code`, less than the others.
    #[inline]
    pub const fn before(code: Word) -> Cut {
        let at = code as u128;
        Cut { less: at, greater_equal: at, less_equal: at, greater: at }
    }

    /// A value that is greater than those of all codes.
    pub const fn behind_all() -> Cut {
        Cut { less: END, greater_equal: END, less_equal: END, greater: END }
    }

    /// Whether a comparison with this value selects exactly the codes that match.
    #[inline]
    pub const fn is_exact(&self) -> bool {
        self.less == self.greater_equal && self.less_equal == self.greater
    }

    /// The first and the last code (both inclusive) that a comparison selects.
    #[inline]
    pub const fn select(&self, comparison: Comparison) -> Option<(Word, Word)> {
        let (from, to) = match comparison {
            Comparison::Less => (0, self.less),
            Comparison::LessEqual => (0, self.less_equal),
            Comparison::Equal => (self.greater_equal, self.less_equal),
            Comparison::GreaterEqual => (self.greater_equal, END),
            Comparison::Greater => (self.greater, END),
        };
        if from < to { Some((from as Word, (to - 1) as Word)) } else { None }
    }
}

/// Microseconds in a day.
pub const USECS_PER_DAY: i64 = 86_400_000_000;
/// The first day whose midnight is no valid timestamp (PostgreSQL's `TIMESTAMP_END_JULIAN`),
/// in days since 2000-01-01. Such a date is later than every finite timestamp.
pub const TIMESTAMP_END_DAY: i32 = 106_751_983;

/// The infinities of `date`, which are its own extremes.
const DATE_NOBEGIN: i32 = i32::MIN;
const DATE_NOEND: i32 = i32::MAX;
/// The infinities of `timestamp` and `timestamptz`.
const NOBEGIN: i64 = i64::MIN;
const NOEND: i64 = i64::MAX;

/// A `date` against a column of `timestamp`. Follows `date_cmp_timestamp_internal`.
pub const fn date_among_timestamps(date: i32) -> Cut {
    match date {
        DATE_NOBEGIN => Cut::at(from_i64(NOBEGIN)),
        DATE_NOEND => Cut::at(from_i64(NOEND)),
        _ if date >= TIMESTAMP_END_DAY => after_finite_timestamps(),
        _ => Cut::at(from_i64((date as i64).saturating_mul(USECS_PER_DAY))),
    }
}

/// A value later than every finite `timestamp`, but not infinite.
pub const fn after_finite_timestamps() -> Cut {
    Cut::before(from_i64(NOEND))
}

/// A value earlier than every finite `timestamp`, but not infinite.
pub const fn before_finite_timestamps() -> Cut {
    Cut::before(from_i64(NOBEGIN + 1))
}

/// A `timestamp` against a column of `date`: dates are compared as their midnights.
pub fn timestamp_among_dates(timestamp: i64) -> Cut {
    instant_among_dates(timestamp, OffsetRange { least: 0, greatest: 0 })
}

/// The offsets from UTC, in microseconds, that a time zone may have used for any local time
/// that is possibly the one of a given instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// The smallest (most westerly).
    pub least: i64,
    /// The greatest (most easterly).
    pub greatest: i64,
}

/// An instant (`timestamptz`) against a column of local times (`timestamp`).
///
/// PostgreSQL converts the *column* with the session's time zone: `instant = local -
/// offset(local)`. Whatever offset between `least` and `greatest` applies to a local time, it is
/// earlier than the instant if it is less than `instant + least`, and later if greater than
/// `instant + greatest`; with one offset the cut is exact.
pub fn instant_among_timestamps(instant: i64, offsets: OffsetRange) -> Cut {
    if instant == NOBEGIN || instant == NOEND {
        return Cut::at(from_i64(instant));
    }
    let position = |local: i128| {
        // A finite instant stands between the infinities.
        let local = local.clamp(i128::from(NOBEGIN) + 1, i128::from(NOEND));
        u128::from(from_i64(local as i64))
    };
    let low = i128::from(instant) + i128::from(offsets.least);
    let high = i128::from(instant) + i128::from(offsets.greatest);
    Cut {
        less: position(high),
        less_equal: position(high + 1),
        greater_equal: position(low),
        greater: position(low + 1),
    }
}

/// An instant (`timestamptz`) against a column of `date`: as against a column of `timestamp`
/// that holds only midnights.
pub fn instant_among_dates(instant: i64, offsets: OffsetRange) -> Cut {
    if instant == NOBEGIN {
        return Cut::at(from_i64(DATE_NOBEGIN as i64));
    }
    if instant == NOEND {
        return Cut::at(from_i64(DATE_NOEND as i64));
    }
    let day = i128::from(USECS_PER_DAY);
    let position = |date: i128| {
        // Dates beyond the last timestamp are later than any finite instant, whatever the zone.
        let date = date.clamp(i128::from(DATE_NOBEGIN) + 1, i128::from(TIMESTAMP_END_DAY));
        u128::from(from_i64(date as i64))
    };
    let low = i128::from(instant) + i128::from(offsets.least);
    let high = i128::from(instant) + i128::from(offsets.greatest);
    // The first midnight at or after, and the first midnight after, a local time.
    let ceil = |local: i128| (local + day - 1).div_euclid(day);
    let next = |local: i128| local.div_euclid(day) + 1;
    Cut {
        less: position(ceil(high)),
        less_equal: position(next(high)),
        greater_equal: position(ceil(low)),
        greater: position(next(low)),
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    const MIN_TIMESTAMP: i64 = -211_813_488_000_000_000;
    const END_TIMESTAMP: i64 = 9_223_371_331_200_000_000;
    const ALL: [Comparison; 5] = [
        Comparison::Less,
        Comparison::LessEqual,
        Comparison::Equal,
        Comparison::GreaterEqual,
        Comparison::Greater,
    ];

    fn holds(comparison: Comparison, order: Ordering) -> bool {
        match comparison {
            Comparison::Less => order.is_lt(),
            Comparison::LessEqual => order.is_le(),
            Comparison::Equal => order.is_eq(),
            Comparison::GreaterEqual => order.is_ge(),
            Comparison::Greater => order.is_gt(),
        }
    }

    /// Checks a cut against the order of one column value and the value it was made from.
    fn check(cut: Cut, code: u64, order: Ordering) {
        for comparison in ALL {
            let selected =
                cut.select(comparison).is_some_and(|(first, last)| (first..=last).contains(&code));
            let expected = holds(comparison, order);
            assert!(selected || !expected, "{comparison:?} misses {code}: {cut:?}");
            assert!(selected == expected || !cut.is_exact(), "{comparison:?} adds {code}: {cut:?}");
        }
    }

    /// A position on one axis for finite and infinite values: core's comparison rules.
    fn date_as_instant(date: i32, offset: i64) -> i128 {
        match date {
            DATE_NOBEGIN => i128::from(NOBEGIN),
            DATE_NOEND => i128::from(NOEND),
            _ if date >= TIMESTAMP_END_DAY => i128::from(NOEND) - 1,
            _ => timestamp_as_instant(i64::from(date) * USECS_PER_DAY, offset),
        }
    }

    fn timestamp_as_instant(timestamp: i64, offset: i64) -> i128 {
        if timestamp == NOBEGIN || timestamp == NOEND {
            return i128::from(timestamp);
        }
        let instant = i128::from(timestamp) - i128::from(offset);
        if instant < i128::from(MIN_TIMESTAMP) {
            i128::from(NOBEGIN) + 1
        } else if instant >= i128::from(END_TIMESTAMP) {
            i128::from(NOEND) - 1
        } else {
            instant
        }
    }

    fn timestamps() -> impl Strategy<Value = i64> {
        prop_oneof![
            1 => Just(NOBEGIN),
            1 => Just(NOEND),
            2 => MIN_TIMESTAMP..MIN_TIMESTAMP + 20 * USECS_PER_DAY,
            2 => END_TIMESTAMP - 20 * USECS_PER_DAY..END_TIMESTAMP,
            4 => -5 * USECS_PER_DAY..5 * USECS_PER_DAY,
            4 => (-5i64..5).prop_map(|d| d * USECS_PER_DAY),
            4 => MIN_TIMESTAMP..END_TIMESTAMP,
        ]
    }

    fn dates() -> impl Strategy<Value = i32> {
        prop_oneof![
            1 => Just(DATE_NOBEGIN),
            1 => Just(DATE_NOEND),
            2 => -2_451_545..-2_451_525,
            4 => TIMESTAMP_END_DAY - 20..TIMESTAMP_END_DAY + 20,
            8 => -6..6,
            4 => -2_451_545..2_145_031_949,
        ]
    }

    fn offsets() -> impl Strategy<Value = i64> {
        let week = 7 * 86_400_i64;
        prop_oneof![Just(0i64), -week..week, -86_400i64..86_400].prop_map(|s| s * 1_000_000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_date_cuts_timestamps_as_postgres_compares_them(date in dates(), t in timestamps()) {
            let order = i128::from(t).cmp(&date_as_instant(date, 0));
            let cut = date_among_timestamps(date);
            prop_assert!(cut.is_exact());
            check(cut, from_i64(t), order);
        }

        #[test]
        fn a_timestamp_cuts_dates_as_postgres_compares_them(date in dates(), t in timestamps()) {
            let order = date_as_instant(date, 0).cmp(&i128::from(t));
            let cut = timestamp_among_dates(t);
            prop_assert!(cut.is_exact());
            check(cut, from_i64(date.into()), order);
        }

        #[test]
        fn an_instant_selects_every_local_time_that_matches(
            t in timestamps(), local in timestamps(), near in -2i64..=2,
            a in offsets(), b in offsets(), used_first: bool,
        ) {
            let range = OffsetRange { least: a.min(b), greatest: a.max(b) };
            let offset = if used_first { a } else { b };
            let cut = instant_among_timestamps(t, range);
            prop_assert!(cut.is_exact() || a != b);
            let mut locals = vec![local];
            let beside = i128::from(t) + i128::from(offset) + i128::from(near);
            if let Ok(beside) = i64::try_from(beside)
                && (MIN_TIMESTAMP..END_TIMESTAMP).contains(&beside)
            {
                locals.push(beside);
            }
            for local in locals {
                let order = timestamp_as_instant(local, offset).cmp(&i128::from(t));
                check(cut, from_i64(local), order);
            }
        }

        #[test]
        fn an_instant_selects_every_date_that_matches(
            t in timestamps(), date in dates(), near in -2i64..=2,
            a in offsets(), b in offsets(), used_first: bool,
        ) {
            let range = OffsetRange { least: a.min(b), greatest: a.max(b) };
            let offset = if used_first { a } else { b };
            let cut = instant_among_dates(t, range);
            prop_assert!(cut.is_exact() || a != b);
            let mut dates = vec![date];
            let beside = (i128::from(t) + i128::from(offset)).div_euclid(USECS_PER_DAY.into())
                + i128::from(near);
            if (-2_451_545..2_145_031_949).contains(&beside) {
                dates.push(beside as i32);
            }
            for date in dates {
                let order = date_as_instant(date, offset).cmp(&i128::from(t));
                check(cut, from_i64(date.into()), order);
            }
        }
    }
}
