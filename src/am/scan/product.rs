//! From the keys of a scan on several columns to the intervals that it visits.
//!
//! As long as the conditions on a column select single values, each of these is appended to each
//! combination of values of the columns before it. The first column with ranges, or without a
//! condition, ends that: each combination with each range is an interval. So
//! `a IN (1, 2) AND b > 5` is two intervals.
//!
//! Conditions on later columns say nothing about where entries are. They are a filter, which
//! entries pass before they are returned.
//!
//! The comparison of rows is a union of *boxes* ([`super::rows`]): `(a, b) > (1, 2)` is `a > 1`,
//! and `a = 1 AND b > 2`. Each box is conditions on columns, and becomes intervals as these do.

use std::borrow::Cow;

use learned_index::key::cut::Comparison;
use learned_index::key::{Code, Interval, Intervals, Key, Word};
use learned_index::memory::Add;
use learned_index::tree::scan::Direction;
use pgrx::prelude::*;

use super::quals::{Filter, QualCode, Selecting, cut, intersect, is_row};
use super::rows::{Limit, RowComparison, boxes_of};
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
pub(crate) struct PartFilter {
    columns: Vec<(Part, Intervals<PartCode>)>,
    rows: Vec<RowComparison>,
}

impl<const L: usize> Filter<[Word; L]> for PartFilter {
    #[inline]
    fn asks(&self) -> bool {
        !self.columns.is_empty() || !self.rows.is_empty()
    }

    #[inline]
    fn passes(&self, code: &[Word; L]) -> bool {
        let wanted = |(part, wanted): &(Part, Intervals<PartCode>)| {
            wanted.contains(Key::value(part.take(code)))
        };
        self.columns.iter().all(wanted) && self.rows.iter().all(|row| row.fails_by(code).is_none())
    }

    /// Rows that are compared may fail for one code after the other. Then it is only one that may
    /// pass, since there are fewer entries than codes.
    fn next_to(&self, mut code: [Word; L], direction: Direction) -> Option<[Word; L]> {
        let before = code;
        loop {
            let unwanted = |(part, wanted): &&(Part, Intervals<PartCode>)| {
                !wanted.contains(Key::value(part.take(&code)))
            };
            let Some((part, wanted)) = self.columns.iter().find(unwanted) else {
                match self.rows.iter().find_map(|row| row.fails_by(&code)) {
                    Some(end) if code == before => code = beside(code, end, direction)?,
                    _ => return Some(code),
                }
                continue;
            };
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
        filter.columns.clear();
        filter.rows.clear();
        let mut exact = true;
        // SAFETY: by contract.
        let (mut rows, (first, single)) = unsafe {
            let rows = RowComparison::all(keys, columns, &mut exact);
            let none = ([Word::MIN; L], 0);
            let single = if rows.is_empty() { single_values(keys, columns) } else { none };
            (rows, single)
        };
        if single == columns.parts().len() {
            let whole = whole(columns, first);
            intervals.set(whole.low, whole.high);
            return false;
        }
        let mut wanted: Vec<Wanted> = Vec::new();
        for (number, part) in columns.parts().iter().enumerate().skip(single) {
            // SAFETY: by contract.
            wanted.push(unsafe { Wanted::of(keys, number, part, &mut exact) });
        }
        for (column, ranges) in rows.iter().map(RowComparison::first) {
            wanted[column].ranges.intersect_all(&ranges);
            wanted[column].is_asked = true;
        }
        let boxes = boxes_of(&mut rows);
        let most = MOST_INTERVALS / boxes.len().max(1);
        let mut found = Vec::new();
        // As many columns are told by the intervals.
        let mut told = columns.parts().len();
        for limits in &boxes {
            let limited = limited(&wanted, limits);
            told = told.min(place(columns, (first, single), &limited, most, &mut found));
        }
        intervals.set_union(found);
        let untold = wanted.into_iter().enumerate().skip(told - single);
        for (number, wanted) in untold.filter(|(_, wanted)| wanted.is_asked) {
            filter.columns.add((columns.parts()[single + number], wanted.ranges));
        }
        rows.retain(|row| !row.is_told(told));
        filter.rows = rows;
        narrow(intervals, filter);
        !exact
    }
}

/// What is asked of a column.
#[derive(Clone)]
struct Wanted {
    ranges: Intervals<PartCode>,
    is_asked: bool,
}

impl Wanted {
    /// # Safety
    /// The keys are those of a scan on an index with this column.
    unsafe fn of(
        keys: &[pg_sys::ScanKeyData],
        number: usize,
        part: &Part,
        exact: &mut bool,
    ) -> Wanted {
        let asked = keys.iter().filter(|key| key.sk_attno as usize == number + 1 && !is_row(key));
        let (first, last) = part.all();
        let mut ranges = Intervals::new();
        ranges.set(Key::value(first), Key::value(last));
        // SAFETY: by contract.
        *exact &= unsafe { intersect(asked.clone(), part, &mut ranges) };
        Wanted { ranges, is_asked: asked.count() > 0 }
    }
}

/// What is wanted of the columns, within some limits.
fn limited<'w>(wanted: &'w [Wanted], limits: &[Limit]) -> Cow<'w, [Wanted]> {
    let mut limited = Cow::Borrowed(wanted);
    for (column, range) in limits {
        // Rows are compared where no column is told beforehand.
        limited.to_mut()[*column].ranges.intersect(range);
    }
    limited
}

/// Whatever is stored beside a key.
fn whole<const L: usize>(columns: &Columns<L>, code: [Word; L]) -> Interval<[Word; L]> {
    let last = code.with_last(columns.included_words(), Word::MAX);
    Interval { low: Key::value(code), high: Key::value(last) }
}

/// Adds the intervals of what is wanted of the columns behind those that are told beforehand. How
/// many columns they tell of.
fn place<const L: usize>(
    columns: &Columns<L>,
    (first, single): ([Word; L], usize),
    wanted: &[Wanted],
    most: usize,
    found: &mut Vec<Interval<[Word; L]>>,
) -> usize {
    let parts = columns.parts();
    if wanted.iter().any(|wanted| wanted.ranges.is_empty()) {
        return parts.len();
    }
    let mut prefixes = vec![first];
    for (number, (part, wanted)) in parts.iter().skip(single).zip(wanted).enumerate() {
        let ranges = wanted.ranges.as_slice();
        let is_single = ranges.iter().all(|range| range.low == range.high);
        // A list on the first column is as long as it is.
        let fits = prefixes.len() == 1 || prefixes.len().saturating_mul(ranges.len()) <= most;
        if is_single && fits && !is_null_class(columns, ranges) {
            prefixes = each_with_each(&prefixes, part, ranges);
            continue;
        }
        let hull = [Interval { low: ranges[0].low, high: ranges[ranges.len() - 1].high }];
        let ranges = if fits { ranges } else { &hull };
        add(found, &prefixes, (columns, part), ranges);
        return single + number + usize::from(fits);
    }
    found.add_all(prefixes.into_iter().map(|code| whole(columns, code)));
    parts.len()
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

/// Adds the intervals of what begins with one of the prefixes, and goes on with one of the ranges.
fn add<const L: usize>(
    intervals: &mut Vec<Interval<[Word; L]>>,
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
        intervals.add_all(all);
        return;
    }
    // The only column: its NULLs are no part of its values.
    let (null, class) = (Key::value(part.null()), columns.null_class());
    let (first, last) = part.values();
    let values = Interval::values(first, last);
    for range in ranges {
        intervals.add_all(range.intersection(&values).map(|range| between(&prefixes[0], &range)));
        if range.contains(null) {
            intervals.add(Interval::point(Key::null(class)));
        }
    }
}
