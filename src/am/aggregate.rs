//! Sums, averages and extremes of a column: of the rows that a snapshot sees, in the order of the
//! index.
//!
//! Where everybody sees all rows of a leaf, the values are taken from a copy of it
//! (`tree/count/seen.rs` of the pure crate). Other entries are those of a scan under
//! [`Guard::Checks`] (`tree/scan/visible.rs` of the pure crate), whose codes have the values. What
//! is made of them is what the aggregates of the core make of the rows of an index-only scan: sums
//! of floats depend on the order, and errors on the values before.

use learned_index::corruption::Result;
use learned_index::entry::{Fence, HeapTid};
use learned_index::key::{Interval, Intervals, Key, NullClass, Word};
use learned_index::tree::count::{Count, CountedTable, SeenLeaf, Words};
use learned_index::tree::directory::Directory;
use learned_index::tree::scan::{Direction, Guard, Scan, Visibility};
use pgrx::check_for_interrupts;
use pgrx::prelude::*;

use super::partial;
use super::scan::quals::{Filter, QualCode};
use super::selected::Selected;
use crate::column::code::IndexCode;
use crate::column::columns::{NOT_A_NUMBER, Numbers};
use crate::column::{IncludedNumbers, KeyColumns};
use crate::storage::buffers::{IndexStore, Pin};

/// What is made of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    /// How many there are.
    Count,
    Sum,
    Average,
    Least,
    Greatest,
}

/// What the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    /// Any, to be counted.
    Any,
    /// Of up to four bytes: a sum of them is `int8`.
    Integer,
    /// Of eight bytes: a sum of them is `numeric`.
    Bigint,
    /// `numeric` with a scale, without its decimal point.
    Decimal,
    /// Integers of a type that has no sums.
    Ordered,
    Float4,
    Float8,
}

/// Whether an aggregate gives its value, or the state from which the core goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gives {
    Value,
    State,
}

/// An aggregate of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aggregate {
    function: Function,
    of: Number,
    gives: Gives,
}

impl Aggregate {
    /// The one with this OID, of those that are known here.
    pub(crate) fn of_function(function: pg_sys::Oid) -> Option<Aggregate> {
        use Function as F;
        use Number as N;
        let (function, of) = match function.to_u32() {
            pg_sys::F_COUNT_ANY => (F::Count, N::Any),
            pg_sys::F_SUM_INT2 | pg_sys::F_SUM_INT4 => (F::Sum, N::Integer),
            pg_sys::F_SUM_INT8 => (F::Sum, N::Bigint),
            pg_sys::F_SUM_NUMERIC => (F::Sum, N::Decimal),
            pg_sys::F_AVG_NUMERIC => (F::Average, N::Decimal),
            pg_sys::F_MIN_NUMERIC => (F::Least, N::Decimal),
            pg_sys::F_MAX_NUMERIC => (F::Greatest, N::Decimal),
            pg_sys::F_SUM_FLOAT4 => (F::Sum, N::Float4),
            pg_sys::F_SUM_FLOAT8 => (F::Sum, N::Float8),
            pg_sys::F_AVG_INT2 | pg_sys::F_AVG_INT4 => (F::Average, N::Integer),
            pg_sys::F_AVG_INT8 => (F::Average, N::Bigint),
            pg_sys::F_AVG_FLOAT4 => (F::Average, N::Float4),
            pg_sys::F_AVG_FLOAT8 => (F::Average, N::Float8),
            pg_sys::F_MIN_FLOAT4 => (F::Least, N::Float4),
            pg_sys::F_MIN_FLOAT8 => (F::Least, N::Float8),
            pg_sys::F_MAX_FLOAT4 => (F::Greatest, N::Float4),
            pg_sys::F_MAX_FLOAT8 => (F::Greatest, N::Float8),
            pg_sys::F_MIN_INT2
            | pg_sys::F_MIN_INT4
            | pg_sys::F_MIN_INT8
            | pg_sys::F_MIN_DATE
            | pg_sys::F_MIN_TIME
            | pg_sys::F_MIN_MONEY
            | pg_sys::F_MIN_TIMESTAMP
            | pg_sys::F_MIN_TIMESTAMPTZ => (F::Least, N::Ordered),
            pg_sys::F_MAX_INT2
            | pg_sys::F_MAX_INT4
            | pg_sys::F_MAX_INT8
            | pg_sys::F_MAX_DATE
            | pg_sys::F_MAX_TIME
            | pg_sys::F_MAX_MONEY
            | pg_sys::F_MAX_TIMESTAMP
            | pg_sys::F_MAX_TIMESTAMPTZ => (F::Greatest, N::Ordered),
            _ => return None,
        };
        Some(Aggregate { function, of, gives: Gives::Value })
    }

    /// Whether it reads values of `numeric`.
    pub(crate) fn reads_decimals(self) -> bool {
        self.of == Number::Decimal
    }

    /// The aggregate that gives the state, if [`Aggregate::has_states`].
    pub(crate) fn partial(self) -> Aggregate {
        Aggregate { gives: Gives::State, ..self }
    }

    /// Whether the core can put together what it gives of several tables, and comes to the value
    /// over all rows. A sum of sums of floats is not their sum one after the other.
    pub(crate) fn has_states(self) -> bool {
        let adds = matches!(self.function, Function::Sum | Function::Average);
        !adds || !matches!(self.of, Number::Float4 | Number::Float8)
    }
}

/// What an aggregate has made of the values so far.
#[derive(Clone, Copy, Debug)]
enum State {
    Count(u64),
    /// How many integers there were, and their sum. As wide as no sum of rows can be.
    Integers(u64, i128),
    /// The same of `numeric`, and how many NaNs there were.
    Decimals(u64, i128, u64),
    /// `float4pl` and `float8pl` of float.c: the first value is the first sum.
    Float4(Option<f32>),
    Float8(Option<f64>),
    Moments(Moments),
    /// The least value so far, or the greatest, and whether another takes its place.
    Extreme(Option<i64>, fn(i64, i64) -> bool),
}

/// `float8_accum` of float.c: how many values there were, their sum, and the sum of the squares of
/// their distances from the average, for the errors that it may raise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

fn float4_of(number: i64) -> f32 {
    f32::from_bits(number as u32)
}

fn float8_of(number: i64) -> f64 {
    f64::from_bits(number as u64)
}

/// `float8_lt` of utils/float.h: NaN is greater than all others.
fn is_less(one: f64, other: f64) -> bool {
    !one.is_nan() && (other.is_nan() || one < other)
}

/// The error of `float_overflow_error` of float.c.
#[cold]
fn raise_overflow() -> ! {
    ereport!(
        ERROR,
        PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
        "value out of range: overflow"
    );
}

impl Moments {
    #[inline(always)]
    fn add(&mut self, value: f64) {
        let Moments { count: before, sum: sum_before, .. } = *self;
        self.count += 1.0;
        self.sum += value;
        if before > 0.0 {
            let distance = value * self.count - self.sum;
            self.squares += distance * distance / (self.count * before);
            if self.sum.is_infinite() || self.squares.is_infinite() {
                if !sum_before.is_infinite() && !value.is_infinite() {
                    raise_overflow();
                }
                self.squares = f64::NAN;
            }
        } else if !value.is_finite() {
            self.squares = f64::NAN;
        }
    }
}

impl State {
    /// Before the first value.
    fn of(Aggregate { function, of, .. }: Aggregate) -> State {
        use Function as F;
        use Number as N;
        // The two zeros are equal: as with `float8smaller` of float.c, the later one stays.
        let takes_place: fn(i64, i64) -> bool = match (function, of) {
            (F::Least, N::Float4) => {
                |old, new| !is_less(float4_of(old).into(), float4_of(new).into())
            }
            (F::Least, N::Float8) => |old, new| !is_less(float8_of(old), float8_of(new)),
            (F::Greatest, N::Float4) => {
                |old, new| !is_less(float4_of(new).into(), float4_of(old).into())
            }
            (F::Greatest, N::Float8) => |old, new| !is_less(float8_of(new), float8_of(old)),
            (F::Least, _) => |old, new| new < old,
            _ => |old, new| new > old,
        };
        match (function, of) {
            (F::Count, _) => State::Count(0),
            (F::Least | F::Greatest, _) => State::Extreme(None, takes_place),
            (F::Sum, N::Float4) => State::Float4(None),
            (F::Sum, N::Float8) => State::Float8(None),
            (F::Average, N::Float4 | N::Float8) => State::Moments(Moments::default()),
            (F::Sum | F::Average, N::Decimal) => State::Decimals(0, 0, 0),
            (F::Sum | F::Average, _) => State::Integers(0, 0),
        }
    }

    /// Adds the values of a column in some codes of keys that are not NULL.
    fn add<C: IndexCode>(&mut self, of: Number, numbers: &Numbers, codes: &[C]) {
        match numbers {
            // With its width known, this is a loop over a slice.
            Numbers::Included(included) => {
                self.add_all(of, codes.iter().filter_map(|code| included.of(code.words())));
            }
            Numbers::Decimals(..) => {
                self.add_all(of, codes.iter().filter_map(|code| numbers.of(code.words())));
            }
            _ => self.add_all(of, codes.iter().filter_map(|code| numbers.of(code.words()))),
        }
    }

    /// Adds the values of an included column, of which some codes have these words.
    fn add_words(
        &mut self,
        of: Number,
        included: &IncludedNumbers,
        (values, nulls): (Words<'_>, Words<'_>),
        count: usize,
    ) {
        match (values, nulls) {
            (Words::Each(values), Words::Same(null)) if !included.is_null(null) => {
                self.add_all(of, values.iter().map(|&value| included.number(value)));
            }
            (values, nulls) => {
                let at = |words: &Words<'_>, index: usize| match words {
                    Words::Each(words) => words[index],
                    Words::Same(word) => *word,
                };
                let number = |index| {
                    let is_null = included.is_null(at(&nulls, index));
                    (!is_null).then(|| included.number(at(&values, index)))
                };
                self.add_all(of, (0..count).filter_map(number));
            }
        }
    }

    #[inline(always)]
    fn add_all(&mut self, of: Number, values: impl Iterator<Item = i64>) {
        match self {
            State::Count(count) => *count += values.count() as u64,
            State::Integers(count, sum) => {
                // A portion has too few values for this to overflow.
                let (mut high, mut low, mut more) = (0, 0, 0);
                values.for_each(|value| {
                    high += value >> 32;
                    low += value & i64::from(u32::MAX);
                    more += 1;
                });
                *count += more;
                *sum += (i128::from(high) << 32) + i128::from(low);
            }
            State::Decimals(count, sum, nans) => values.for_each(|value| match value {
                NOT_A_NUMBER => *nans += 1,
                _ => {
                    *count += 1;
                    *sum += i128::from(value);
                }
            }),
            State::Float4(sum) => values.for_each(|value| {
                let value = float4_of(value);
                let before = sum.unwrap_or(-0.0);
                let after = before + value;
                if after.is_infinite() && !before.is_infinite() && !value.is_infinite() {
                    raise_overflow();
                }
                *sum = Some(after);
            }),
            State::Float8(sum) => values.for_each(|value| {
                let value = float8_of(value);
                let before = sum.unwrap_or(-0.0);
                let after = before + value;
                if after.is_infinite() && !before.is_infinite() && !value.is_infinite() {
                    raise_overflow();
                }
                *sum = Some(after);
            }),
            State::Moments(moments) => match of {
                Number::Float4 => values.for_each(|value| moments.add(float4_of(value).into())),
                _ => values.for_each(|value| moments.add(float8_of(value))),
            },
            State::Extreme(found, takes_place) => values.for_each(|value| {
                if found.is_none_or(|found| takes_place(found, value)) {
                    *found = Some(value);
                }
            }),
        }
    }

    /// What the aggregate gives, of numbers with some decimal places; `None` for NULL. In the
    /// current memory context.
    fn result(self, aggregate: Aggregate, scale: u8) -> Option<pg_sys::Datum> {
        let Aggregate { function, of, gives } = aggregate;
        match self {
            State::Count(count) => Some(pg_sys::Datum::from(count as i64)),
            // The states of all others are their values.
            State::Integers(count, sum) if gives == Gives::State && of == Number::Bigint => {
                partial::of_bigints(count, sum)
            }
            State::Integers(count, sum)
                if gives == Gives::State && function == Function::Average =>
            {
                partial::of_integers(count, sum)
            }
            State::Decimals(count, sum, nans) if gives == Gives::State => {
                partial::of_decimals(count, sum, scale, nans)
            }
            State::Integers(0, _) | State::Decimals(0, _, 0) => None,
            // `numeric_sum` and `numeric_avg` of numeric.c.
            State::Decimals(count, sum, nans) => {
                let sum = decimal((nans == 0).then_some(sum), scale);
                match function {
                    Function::Average => (sum / AnyNumeric::from(count.max(1))).into_datum(),
                    _ => sum.into_datum(),
                }
            }
            State::Integers(count, sum) => match (function, of) {
                // `int8_avg` and `numeric_poly_avg` of numeric.c.
                (Function::Average, _) => {
                    (AnyNumeric::from(sum) / AnyNumeric::from(count)).into_datum()
                }
                (_, Number::Bigint) => AnyNumeric::from(sum).into_datum(),
                // `int4_sum` of numeric.c does not look for an overflow.
                _ => Some(pg_sys::Datum::from(sum as i64)),
            },
            State::Float4(sum) => sum.and_then(IntoDatum::into_datum),
            State::Float8(sum) => sum.and_then(IntoDatum::into_datum),
            State::Moments(Moments { count: 0.0, .. }) => None,
            State::Moments(Moments { count, sum, .. }) => (sum / count).into_datum(),
            State::Extreme(found, _) if of == Number::Decimal => found.and_then(|found| {
                let number = (found != NOT_A_NUMBER).then_some(found.into());
                decimal(number, scale).into_datum()
            }),
            State::Extreme(found, _) => found.map(pg_sys::Datum::from),
        }
    }
}

/// A `numeric` with some decimal places, which it keeps though they are zeros; NaN for `None`.
fn decimal(number: Option<i128>, scale: u8) -> AnyNumeric {
    let text = match number {
        None => "NaN".to_owned(),
        Some(number) => {
            let places = usize::from(scale);
            let sign = if number < 0 { "-" } else { "" };
            let mut digits = format!("{:0>width$}", number.unsigned_abs(), width = places + 1);
            if places > 0 {
                digits.insert(digits.len() - places, '.');
            }
            format!("{sign}{digits}")
        }
    };
    // What is written so is one.
    AnyNumeric::try_from(text.as_str()).unwrap_or_else(|error| error!("{error}"))
}

/// Rows whose values are added at once.
const AT_ONCE: usize = 256;

/// Aggregates of columns of an index, each by the column's number from 0.
pub(super) struct Aggregates<C: QualCode> {
    all: Vec<(Aggregate, Numbers)>,
    /// All rows of which some are asked for.
    selected: Selected<C>,
    /// Part of the intervals: memory kept from span to span.
    part: Intervals<C>,
    scan: Scan<Pin, C>,
    seen: SeenLeaf<C>,
    states: Vec<State>,
    memory: Memory<C>,
    /// Entries that were read.
    pub(super) decoded: u64,
}

/// Memory for what is decoded.
struct Memory<C> {
    values: [Word; AT_ONCE],
    nulls: [Word; AT_ONCE],
    codes: Vec<C>,
}

/// The table whose rows are asked for, and what knows which of its leaves everybody sees.
pub(super) type Asked<'a, T, C> = (&'a mut T, &'a mut Count<C>);

impl<C: QualCode> Aggregates<C> {
    /// Of the rows that are selected, or some of them.
    pub(super) fn new(
        columns: &C::Columns,
        aggregates: &[(usize, Aggregate)],
        selected: Selected<C>,
        store: &IndexStore<C>,
    ) -> Aggregates<C> {
        let numbers = |&(column, aggregate)| (aggregate, columns.numbers(column));
        let mut scan = Scan::new();
        scan.restart(store, Guard::Checks);
        scan.intervals_mut().set_union(selected.intervals.as_slice().iter().copied());
        Aggregates {
            all: aggregates.iter().map(numbers).collect(),
            selected,
            part: Intervals::new(),
            scan,
            seen: SeenLeaf::default(),
            states: Vec::new(),
            memory: Memory { values: [0; AT_ONCE], nulls: [0; AT_ONCE], codes: Vec::new() },
            decoded: 0,
        }
    }

    /// The results over the rows in some intervals that ascend; `None` for NULL.
    pub(super) fn over<T: Visibility + CountedTable>(
        &mut self,
        store: &IndexStore<C>,
        directory: &mut Directory<C>,
        spans: &[Interval<C>],
        (table, count): Asked<'_, T, C>,
    ) -> Result<Vec<Option<pg_sys::Datum>>> {
        self.states.clear();
        self.states.extend(self.all.iter().map(|(aggregate, _)| State::of(*aggregate)));
        for span in spans {
            self.add_span(store, directory, span, (table, count))?;
        }
        let results = self.states.iter().zip(&self.all);
        let result = |(state, (aggregate, numbers)): (&State, &(Aggregate, Numbers))| {
            state.result(*aggregate, numbers.scale())
        };
        Ok(results.map(result).collect())
    }

    /// The results over all rows that are selected.
    pub(super) fn over_all<T: Visibility + CountedTable>(
        &mut self,
        store: &IndexStore<C>,
        directory: &mut Directory<C>,
        table: Asked<'_, T, C>,
    ) -> Result<Vec<Option<pg_sys::Datum>>> {
        self.over(store, directory, &[Interval { low: Key::MIN, high: Key::MAX }], table)
    }

    /// Adds the rows of an interval: from copies of leaves whose rows everybody sees, and otherwise
    /// by a scan.
    fn add_span<T: Visibility + CountedTable>(
        &mut self,
        store: &IndexStore<C>,
        directory: &mut Directory<C>,
        span: &Interval<C>,
        (table, count): Asked<'_, T, C>,
    ) -> Result<()> {
        if self.selected.filter.asks() {
            return self.scan(store, directory, Fence::before(span.low), span.high, table);
        }
        self.part.set_intersection(span, &self.selected.intervals);
        let parts = std::mem::take(&mut self.part);
        for part in parts.as_slice() {
            let (mut position, end) = (Fence::before(part.low), Fence::after(part.high));
            while position < end {
                check_for_interrupts!();
                if count.see(store, directory, &mut self.seen, position, table)? {
                    let to = self.seen.to().min(end);
                    self.add_seen(position, to)?;
                    position = to;
                    continue;
                }
                let to = self.seen.to();
                // The last key before the leaf ends, if no others like it are in the next one.
                let last = match to.code.previous().map(Key::value) {
                    Some(last) if to < end && Fence::before(last).class == to.class => {
                        (to.tid == HeapTid::MIN).then_some(last)
                    }
                    _ => None,
                };
                self.scan(store, directory, position, last.unwrap_or(part.high), table)?;
                position = if last.is_some() { to } else { end };
            }
        }
        self.part = parts;
        Ok(())
    }

    /// Adds the rows of a copied leaf between two positions.
    fn add_seen(&mut self, from: Fence<C>, to: Fence<C>) -> Result<()> {
        let Aggregates { all, seen, states, memory, decoded, .. } = self;
        let slots = seen.slots_between(from, to)?;
        *decoded += slots.len() as u64;
        // NULLs of an index's only column have no values.
        if seen.class() != NullClass::Value {
            return Ok(());
        }
        seen.visit_codes(slots, |codes| {
            for first in (0..codes.count()).step_by(AT_ONCE) {
                let count = (codes.count() - first).min(AT_ONCE);
                memory.codes.clear();
                for (place, (_, numbers)) in all.iter().enumerate() {
                    // Together with the first one over the same column.
                    if all[..place].iter().any(|(_, other)| other == numbers) {
                        continue;
                    }
                    let some = states[place..].iter_mut().zip(&all[place..]);
                    let some = some.filter(|(_, (_, other))| other == numbers);
                    let Numbers::Included(included) = numbers else {
                        if memory.codes.is_empty() {
                            memory.codes.resize(count, C::MIN);
                            codes.decode(first, &mut memory.codes);
                        }
                        for (state, (aggregate, _)) in some {
                            state.add(aggregate.of, numbers, &memory.codes);
                        }
                        continue;
                    };
                    let (value, null) = included.words();
                    let values = codes.words(value, first, &mut memory.values[..count]);
                    let nulls = codes.words(null, first, &mut memory.nulls[..count]);
                    for (state, (aggregate, _)) in some {
                        state.add_words(aggregate.of, included, (values, nulls), count);
                    }
                }
            }
        })
    }

    /// Adds the rows from a position to a key.
    fn scan(
        &mut self,
        store: &IndexStore<C>,
        directory: &mut Directory<C>,
        mut from: Fence<C>,
        high: Key<C>,
        table: &mut impl Visibility,
    ) -> Result<()> {
        let Aggregates { all, selected: Selected { filter, .. }, scan, states, decoded, .. } = self;
        'sent: loop {
            scan.seek(store, Direction::Forward, from);
            loop {
                check_for_interrupts!();
                let (class, codes) = scan.next_codes(store, directory, table)?;
                let end = codes.partition_point(|code| Key { class, code: *code } <= high);
                let is_last = end < codes.len() || codes.is_empty();
                *decoded += end as u64;
                // NULLs of an index's only column have no values.
                let mut rest = if class == NullClass::Value { &codes[..end] } else { &[] };
                while !rest.is_empty() {
                    let fails = |code| filter.asks() && !filter.passes(code);
                    let passing = rest.iter().position(fails).unwrap_or(rest.len());
                    for (state, (aggregate, numbers)) in states.iter_mut().zip(&*all) {
                        state.add(aggregate.of, numbers, &rest[..passing]);
                    }
                    rest = &rest[passing..];
                    let Some(&code) = rest.first() else { break };
                    let next = filter.next_to(code, Direction::Forward);
                    let Some(next) = next else { return Ok(()) };
                    rest = &rest[rest.partition_point(|code| *code < next)..];
                    if rest.is_empty() && !is_last {
                        from = Fence::before(Key::value(next));
                        continue 'sent;
                    }
                }
                if is_last {
                    return Ok(());
                }
            }
        }
    }

    /// Gives back what is held.
    pub(super) fn end(&mut self, store: &IndexStore<C>) {
        self.scan.release(store);
    }
}
