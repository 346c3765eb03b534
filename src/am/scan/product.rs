//! From the keys of a scan on several columns to the intervals that it visits.
//!
//! As long as the conditions on a column select single values, each of these is appended to each
//! combination of values of the columns before it. The first column with ranges, or without a
//! condition, ends that: each combination with each range is an interval. So
//! `a IN (1, 2) AND b > 5` is two intervals.
//!
//! Conditions on later columns say nothing about where entries are. They are a filter, which
//! entries pass before they are returned.

use learned_index::key::cut::Comparison;
use learned_index::key::{Code, Interval, Intervals, Key, Word};
use learned_index::memory::Add;
use learned_index::tree::scan::Direction;
use pgrx::prelude::*;

use super::quals::{Filter, QualCode, Selecting, cut, intersect};
use crate::column::KeyColumns;
use crate::column::columns::{Columns, Part, PartCode, encode};
use crate::column::key_type::KeyType;

/// The most intervals that a scan visits. Beyond that, the values of one more column are a filter.
const MOST_INTERVALS: usize = 1 << 16;

impl Selecting<PartCode> for Part {
    fn key_type(&self) -> KeyType {
        self.key_type
    }

    fn nulls(&self) -> Interval<PartCode> {
        Interval::point(Key::value(self.null()))
    }

    fn values(&self) -> Interval<PartCode> {
        let (first, last) = self.values();
        Interval::values(first, last)
    }

    unsafe fn compared(
        &self,
        value_type: KeyType,
        value: pg_sys::Datum,
        comparison: Comparison,
    ) -> (Option<Interval<PartCode>>, bool) {
        let interval = |(first, last)| Interval::values(first, last);
        if self.key_type.words() == 1 {
            // SAFETY: by contract.
            let cut = unsafe { cut(self.key_type, value_type, value) };
            let selected = cut.select(comparison);
            let between = selected.map(|(first, last)| self.between(first, last));
            return (between.map(interval), cut.is_exact());
        }
        // There are no comparisons with other types.
        // SAFETY: by contract.
        let words = unsafe { encode(value_type, value) };
        let selected = comparison.select(words);
        (selected.map(|(first, last)| interval(self.between_words(first, last))), true)
    }
}

/// What is asked of columns whose values do not say where entries are.
///
/// A scan does not walk through what does not pass. It goes on where the next entry that passes can
/// be: `b = 5` over an index on `(a, b)` goes from one `a` to the next.
#[derive(Default)]
pub(crate) struct PartFilter(Vec<(Part, Intervals<PartCode>)>);

impl<const L: usize> Filter<[Word; L]> for PartFilter {
    #[inline]
    fn asks(&self) -> bool {
        !self.0.is_empty()
    }

    #[inline]
    fn passes(&self, code: &[Word; L]) -> bool {
        self.0.iter().all(|(part, wanted)| wanted.contains(Key::value(part.take(code))))
    }

    fn next_to(&self, mut code: [Word; L], direction: Direction) -> Option<[Word; L]> {
        loop {
            let unwanted = |(part, wanted): &&(Part, Intervals<PartCode>)| {
                !wanted.contains(Key::value(part.take(&code)))
            };
            let Some((part, wanted)) = self.0.iter().find(unwanted) else { return Some(code) };
            let value = Key::value(part.take(&code));
            let ranges = wanted.as_slice();
            let (rest, edge) = match direction {
                Direction::Forward => {
                    let next = ranges.partition_point(|range| range.low <= value);
                    (Word::MIN, ranges.get(next).map(|range| range.low))
                }
                Direction::Backward => {
                    let before = &ranges[..ranges.partition_point(|range| range.high < value)];
                    (Word::MAX, before.last().map(|range| range.high))
                }
            };
            match edge {
                Some(edge) => {
                    part.put(edge.code, &mut code);
                    code[part.end()..].fill(rest);
                }
                // With these columns before it there is no more.
                None => code = beside(code, part.start(), direction)?,
            }
        }
    }
}

/// The nearest code, in this direction, with other words before the `end`-th.
fn beside<const L: usize>(code: [Word; L], end: usize, direction: Direction) -> Option<[Word; L]> {
    let mut edge = code;
    match direction {
        Direction::Forward => {
            edge[end..].fill(Word::MAX);
            edge.next()
        }
        Direction::Backward => {
            edge[end..].fill(Word::MIN);
            edge.previous()
        }
    }
}

impl<const L: usize> QualCode for [Word; L] {
    type Filter = PartFilter;

    unsafe fn set_intervals(
        keys: &[pg_sys::ScanKeyData],
        columns: &Columns<L>,
        intervals: &mut Intervals<[Word; L]>,
        filter: &mut PartFilter,
    ) -> bool {
        filter.0.clear();
        let mut exact = true;
        let mut wanted = |number: usize, part: &Part| {
            let asked = keys.iter().filter(|key| key.sk_attno as usize == number + 1);
            let (first, last) = part.all();
            let mut wanted = Intervals::new();
            wanted.set(Key::value(first), Key::value(last));
            // SAFETY: by contract.
            exact &= unsafe { intersect(asked.clone(), part, &mut wanted) };
            (wanted, asked.count() > 0)
        };
        // SAFETY: by contract.
        let (first, single) = unsafe { single_values(keys, columns) };
        // Whatever is stored beside the key.
        let included = columns.included_words();
        let whole =
            |code: [Word; L]| (Key::value(code), Key::value(code.with_last(included, Word::MAX)));
        if single == columns.parts().len() {
            let (low, high) = whole(first);
            intervals.set(low, high);
            return false;
        }
        let mut prefixes = vec![first];
        let mut placed = false;
        for (number, part) in columns.parts().iter().enumerate().skip(single) {
            let (wanted, is_asked) = wanted(number, part);
            if wanted.is_empty() {
                intervals.clear();
                return false;
            }
            if placed {
                if is_asked {
                    filter.0.add((*part, wanted));
                }
                continue;
            }
            let ranges = wanted.as_slice();
            let single = ranges.iter().all(|range| range.low == range.high);
            // A list on the first column is as long as it is.
            let fits = prefixes.len() == 1
                || prefixes.len().saturating_mul(ranges.len()) <= MOST_INTERVALS;
            if single && fits && !is_null_class(columns, ranges) {
                prefixes = each_with_each(&prefixes, part, ranges);
                continue;
            }
            placed = true;
            let hull = [Interval { low: ranges[0].low, high: ranges[ranges.len() - 1].high }];
            let ranges = if fits { ranges } else { &hull };
            set(intervals, &prefixes, (columns, part), ranges);
            if !fits {
                filter.0.add((*part, wanted));
            }
        }
        if !placed {
            let all = prefixes.into_iter().map(whole);
            intervals.set_union(all.map(|(low, high)| Interval { low, high }));
        }
        narrow(intervals, filter);
        !exact
    }
}

/// Has each interval begin and end with what passes the filter.
fn narrow<const L: usize>(intervals: &mut Intervals<[Word; L]>, filter: &PartFilter) {
    if Filter::<[Word; L]>::asks(filter) {
        let next = |code, direction| filter.next_to(code, direction);
        intervals
            .narrow(|low| next(low, Direction::Forward), |high| next(high, Direction::Backward));
    }
}

/// The words of the first columns, as far as each of them is asked for one value by one key, and
/// how many columns these are. Mostly these are all, and nothing has to be allocated for them.
///
/// # Safety
/// The keys are those of a scan on an index of these columns.
unsafe fn single_values<const L: usize>(
    keys: &[pg_sys::ScanKeyData],
    columns: &Columns<L>,
) -> ([Word; L], usize) {
    let mut code = [Word::MIN; L];
    for (number, part) in columns.parts().iter().enumerate() {
        let mut asked = keys.iter().filter(|key| key.sk_attno as usize == number + 1);
        let (Some(key), None) = (asked.next(), asked.next()) else { return (code, number) };
        if key.sk_flags != 0 || u32::from(key.sk_strategy) != pg_sys::BTEqualStrategyNumber {
            return (code, number);
        }
        let value_type = match key.sk_subtype {
            pg_sys::InvalidOid => Some(part.key_type),
            other => part.key_type.of_value(other),
        };
        let Some(value_type) = value_type else { return (code, number) };
        // SAFETY: the argument is of the key's subtype, whose Datums are those of the value type.
        match unsafe { part.compared(value_type, key.sk_argument, Comparison::Equal) } {
            (Some(found), true) if found.low == found.high => part.put(found.low.code, &mut code),
            _ => return (code, number),
        }
    }
    (code, columns.parts().len())
}

/// Whether some of the intervals are of NULLs that have a class of their own: those of an only
/// column do.
fn is_null_class<const L: usize>(columns: &Columns<L>, ranges: &[Interval<PartCode>]) -> bool {
    let null = Key::value(columns.parts()[0].null());
    columns.has_null_class() && ranges.iter().any(|range| range.contains(null))
}

/// Each of the codes with each of the single values behind it.
fn each_with_each<const L: usize>(
    prefixes: &[[Word; L]],
    part: &Part,
    values: &[Interval<PartCode>],
) -> Vec<[Word; L]> {
    let mut longer = Vec::new();
    for prefix in prefixes {
        longer.add_all(values.iter().map(|value| {
            let mut code = *prefix;
            part.put(value.low.code, &mut code);
            code
        }));
    }
    longer
}

/// Sets the intervals of what begins with one of the prefixes, and goes on with one of the ranges.
fn set<const L: usize>(
    intervals: &mut Intervals<[Word; L]>,
    prefixes: &[[Word; L]],
    (columns, part): (&Columns<L>, &Part),
    ranges: &[Interval<PartCode>],
) {
    let end = part.end();
    let with = |prefix: &[Word; L], value: PartCode, rest: Word| {
        let mut code = *prefix;
        part.put(value, &mut code);
        code[end..].fill(rest);
        Key::value(code)
    };
    let between = |prefix: &[Word; L], range: &Interval<PartCode>| Interval {
        low: with(prefix, range.low.code, Word::MIN),
        high: with(prefix, range.high.code, Word::MAX),
    };
    if !columns.has_null_class() {
        let all = prefixes
            .iter()
            .flat_map(|prefix| ranges.iter().map(move |range| between(prefix, range)));
        return intervals.set_union(all);
    }
    // The only column: its NULLs are no part of its values.
    let (null, class) = (Key::value(part.null()), columns.null_class());
    let (first, last) = part.values();
    let values = Interval::values(first, last);
    let mut found = Vec::new();
    for range in ranges {
        found.add_all(range.intersection(&values).map(|range| between(&prefixes[0], &range)));
        if range.contains(null) {
            found.add(Interval::point(Key::null(class)));
        }
    }
    intervals.set_union(found);
}
