//! From the keys of a scan to the intervals that it visits: what the conditions on one column
//! select. How several columns are put together is in `product`.

use learned_index::key::code::from_i64;
use learned_index::key::cut::{
    Comparison, Cut, OffsetRange, after_finite_timestamps, before_finite_timestamps,
    date_among_timestamps, instant_among_dates, instant_among_timestamps, timestamp_among_dates,
};
use learned_index::key::{Code, Interval, Intervals, Key, Word};
use learned_index::memory::with_room;
use learned_index::tree::scan::Direction;
use pgrx::prelude::*;

use crate::am::time_zone::{EPOCH_DIFFERENCE, Offsets, USECS_PER_SECOND};
use crate::column::Column;
use crate::column::code::IndexCode;
use crate::column::key_type::{KeyType, type_name};
use crate::report::refuse;

/// The core converts a local time by the offset in force a day before it (read as UTC), or by the
/// one after the first transition from then on. Local times are at most one offset away from their
/// instant, and the transition at most two from it. POSIX zones have offsets of up to 167 hours;
/// those of real zones are all smaller than a day.
const NEAR_ANY_ZONE: i64 = 15 * 86_400;
const NEAR_REAL_ZONE: i64 = 3 * 86_400;
const REAL_OFFSET: i64 = 86_400;

/// A code that keys of scans become intervals of.
pub(crate) trait QualCode: IndexCode {
    /// What entries of the intervals must be like besides.
    type Filter: Filter<Self>;

    /// Sets the intervals that the keys ask for, in index order, and what the entries in them must
    /// be like. Returns whether that includes keys that do not match, so that each row has to be
    /// checked.
    ///
    /// # Safety
    /// The keys are those of a scan on an index of these columns.
    unsafe fn set_intervals(
        keys: &[pg_sys::ScanKeyData],
        columns: &Self::Columns,
        intervals: &mut Intervals<Self>,
        filter: &mut Self::Filter,
    ) -> bool;
}

/// What entries of a scan's intervals must be like.
pub(crate) trait Filter<C>: Default {
    /// Whether there is anything that they must be like.
    fn asks(&self) -> bool;
    /// Whether an entry with this code is one.
    fn passes(&self, code: &C) -> bool;
    /// Of a code that does not pass, the first behind it, in this direction, that does.
    fn next_to(&self, code: C, direction: Direction) -> Option<C>;
}

/// Of one column, intervals say everything.
#[derive(Default)]
pub(crate) struct Everything;

impl Filter<Word> for Everything {
    #[inline(always)]
    fn asks(&self) -> bool {
        false
    }

    #[inline(always)]
    fn passes(&self, _: &Word) -> bool {
        true
    }

    fn next_to(&self, _: Word, _: Direction) -> Option<Word> {
        None
    }
}

impl QualCode for Word {
    type Filter = Everything;

    unsafe fn set_intervals(
        keys: &[pg_sys::ScanKeyData],
        column: &Column,
        intervals: &mut Intervals,
        _: &mut Everything,
    ) -> bool {
        intervals.set(Key::MIN, Key::MAX);
        // SAFETY: by contract.
        !unsafe { intersect(keys.iter(), column, intervals) }
    }
}

/// A column of which conditions select codes.
pub(super) trait Selecting<C> {
    /// Its type.
    fn key_type(&self) -> KeyType;
    /// Its NULLs.
    fn nulls(&self) -> Interval<C>;
    /// Its values.
    fn values(&self) -> Interval<C>;

    /// The values that compare so with another, and whether all of these do.
    ///
    /// # Safety
    /// The value is of a type whose values [`KeyType::of_value`] takes for those of `value_type`.
    unsafe fn compared(
        &self,
        value_type: KeyType,
        value: pg_sys::Datum,
        comparison: Comparison,
    ) -> (Option<Interval<C>>, bool);
}

impl Selecting<Word> for Column {
    #[inline]
    fn key_type(&self) -> KeyType {
        self.key_type
    }

    fn nulls(&self) -> Interval {
        Interval::point(self.null_key())
    }

    fn values(&self) -> Interval {
        Interval::VALUES
    }

    #[inline]
    unsafe fn compared(
        &self,
        value_type: KeyType,
        value: pg_sys::Datum,
        comparison: Comparison,
    ) -> (Option<Interval>, bool) {
        // SAFETY: by contract.
        let cut = unsafe { cut(self.key_type, value_type, value) };
        let interval = cut.select(comparison).map(|(first, last)| match self.descending {
            true => Interval::values(self.in_order(last), self.in_order(first)),
            false => Interval::values(first, last),
        });
        (interval, cut.is_exact())
    }
}

/// Keeps of some intervals what the keys ask of a column. Whether it all matches.
///
/// # Safety
/// The keys are those of a scan on this column.
pub(super) unsafe fn intersect<'k, C: Code>(
    keys: impl Iterator<Item = &'k pg_sys::ScanKeyData>,
    column: &impl Selecting<C>,
    intervals: &mut Intervals<C>,
) -> bool {
    let mut exact = true;
    for (number, key) in keys.enumerate() {
        // SAFETY: by contract.
        let selected = unsafe { select(key, column, &mut exact) };
        match selected {
            Selection::One(interval) if number == 0 => {
                intervals.set_union([interval]);
            }
            Selection::One(interval) => intervals.intersect(&interval),
            Selection::Many(many) => intervals.intersect_all(&many),
            Selection::Nothing => intervals.clear(),
        }
    }
    exact
}

/// What one key selects.
enum Selection<C> {
    Nothing,
    One(Interval<C>),
    Many(Intervals<C>),
}

impl<C> From<Option<Interval<C>>> for Selection<C> {
    fn from(interval: Option<Interval<C>>) -> Selection<C> {
        interval.map_or(Selection::Nothing, Selection::One)
    }
}

/// # Safety
/// As [`intersect`].
#[inline]
unsafe fn select<C: Code>(
    key: &pg_sys::ScanKeyData,
    column: &impl Selecting<C>,
    exact: &mut bool,
) -> Selection<C> {
    let key_type = column.key_type();
    let flags = key.sk_flags as u32;
    if flags & pg_sys::SK_SEARCHNULL != 0 {
        return Selection::One(column.nulls());
    }
    if flags & pg_sys::SK_SEARCHNOTNULL != 0 {
        return Selection::One(column.values());
    }
    if is_row(key) {
        *exact = false;
        // SAFETY: the key compares rows, and there is no other column.
        return unsafe { first_of_row(key, column) };
    }
    let comparison = comparison_of(key.sk_strategy);
    // No operator of ours is true for NULL.
    if flags & pg_sys::SK_ISNULL != 0 {
        return Selection::Nothing;
    }
    let value_type = value_type_of(key_type, key.sk_subtype);
    let mut interval_of = |value: pg_sys::Datum| {
        // SAFETY: the argument is of the key's subtype, whose Datums are those of the value type.
        let (interval, is_exact) = unsafe { column.compared(value_type, value, comparison) };
        *exact &= is_exact;
        interval
    };
    if flags & pg_sys::SK_SEARCHARRAY == 0 {
        return interval_of(key.sk_argument).into();
    }
    // SAFETY: the argument of an array key is an array of the key's subtype.
    let found = unsafe { of_elements(key.sk_argument, interval_of) };
    let mut many = Intervals::new();
    many.set_union(found);
    Selection::Many(many)
}

/// Whether a key compares rows. It has the number of the first column.
#[inline]
pub(super) fn is_row(key: &pg_sys::ScanKeyData) -> bool {
    key.sk_flags as u32 & pg_sys::SK_ROW_HEADER != 0
}

/// The keys of the columns that a key compares.
///
/// # Safety
/// The key compares rows.
pub(super) unsafe fn members_of<'k>(
    key: &pg_sys::ScanKeyData,
) -> impl Iterator<Item = &'k pg_sys::ScanKeyData> {
    let mut next = key.sk_argument.cast_mut_ptr::<pg_sys::ScanKeyData>();
    std::iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: the argument points to the first of them, and the last one is marked
        // (`ExecIndexBuildScanKeys` of nodeIndexscan.c). They live as long as the scan's node.
        unsafe {
            let member = &*next;
            let is_last = member.sk_flags as u32 & pg_sys::SK_ROW_END != 0;
            next = if is_last { std::ptr::null_mut() } else { next.add(1) };
            Some(member)
        }
    })
}

/// What the first value of a row says of an index's only column, where rows of the column beside
/// itself are compared: `(a, a) > (1, 2)`.
///
/// # Safety
/// The key compares rows of the column.
#[cold]
unsafe fn first_of_row<C: Code>(
    key: &pg_sys::ScanKeyData,
    column: &impl Selecting<C>,
) -> Selection<C> {
    // SAFETY: by contract.
    let Some(member) = (unsafe { members_of(key) }).next() else { return Selection::Nothing };
    let first = pg_sys::ScanKeyData {
        sk_flags: member.sk_flags & pg_sys::SK_ISNULL as i32,
        sk_strategy: match comparison_of(key.sk_strategy) {
            Comparison::Less => pg_sys::BTLessEqualStrategyNumber as pg_sys::StrategyNumber,
            Comparison::Greater => pg_sys::BTGreaterEqualStrategyNumber as pg_sys::StrategyNumber,
            _ => key.sk_strategy,
        },
        ..*member
    };
    // SAFETY: a condition on the column.
    unsafe { select(&first, column, &mut false) }
}

/// The comparison that a strategy number stands for.
#[inline]
pub(super) fn comparison_of(strategy: pg_sys::StrategyNumber) -> Comparison {
    match u32::from(strategy) {
        pg_sys::BTLessStrategyNumber => Comparison::Less,
        pg_sys::BTLessEqualStrategyNumber => Comparison::LessEqual,
        pg_sys::BTEqualStrategyNumber => Comparison::Equal,
        pg_sys::BTGreaterEqualStrategyNumber => Comparison::GreaterEqual,
        pg_sys::BTGreaterStrategyNumber => Comparison::Greater,
        other => error!("unexpected strategy number {other} in a scan of a learned index"),
    }
}

/// The type of the value that a key compares a column with.
#[inline]
pub(super) fn value_type_of(column: KeyType, subtype: pg_sys::Oid) -> KeyType {
    match subtype {
        // The column's own type.
        pg_sys::InvalidOid => column,
        other => column.of_value(other).unwrap_or_else(|| refuse_value(column, other)),
    }
}

/// Refuses a value of a type that has no codes among those of the column's. The planner takes the
/// type from the operator's entry in the operator family, to which others may add operators.
#[cold]
fn refuse_value(key_type: KeyType, value_type: pg_sys::Oid) -> ! {
    let (key, value) = (type_name(key_type.oid()), type_name(value_type));
    refuse(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("access method \"learned\" cannot compare type {key} with type {value}"),
        "Remove the operators that compare these types from the operator family.",
    )
}

/// The intervals of the elements of an array that are not NULL.
///
/// # Safety
/// `array` is a non-null array. What `interval_of` is given may point into
/// memory that is freed afterwards.
unsafe fn of_elements<C>(
    array: pg_sys::Datum,
    interval_of: impl FnMut(pg_sys::Datum) -> Option<Interval<C>>,
) -> Vec<Interval<C>> {
    // SAFETY: by contract; what was allocated here is freed here.
    unsafe {
        let stored = array.cast_mut_ptr::<pg_sys::varlena>();
        let plain = pg_sys::pg_detoast_datum(stored);
        let array = plain.cast::<pg_sys::ArrayType>();
        let element_type = (*array).elemtype;
        let (mut len, mut by_value, mut align) = (0, false, 0);
        pg_sys::get_typlenbyvalalign(element_type, &mut len, &mut by_value, &mut align);
        let mut values = std::ptr::null_mut();
        let mut nulls = std::ptr::null_mut();
        let mut count = 0;
        pg_sys::deconstruct_array(
            array,
            element_type,
            len.into(),
            by_value,
            align,
            &mut values,
            &mut nulls,
            &mut count,
        );
        let count = usize::try_from(count).unwrap_or(0);
        let mut found = with_room(count);
        let not_null = (0..count).filter(|&index| !*nulls.add(index));
        found.extend(not_null.map(|index| *values.add(index)).filter_map(interval_of));
        pg_sys::pfree(values.cast());
        pg_sys::pfree(nulls.cast());
        if plain != stored {
            pg_sys::pfree(plain.cast());
        }
        found
    }
}

/// Where a value of another type of the same operator family falls among the column's codes.
///
/// # Safety
/// `value` is a Datum of the value type, which the column's type compares with.
#[inline]
pub(super) unsafe fn cut(key_type: KeyType, value_type: KeyType, value: pg_sys::Datum) -> Cut {
    let number = value.value() as i64;
    match (key_type, value_type) {
        (KeyType::Date, KeyType::Timestamp) => timestamp_among_dates(number),
        (KeyType::Date, KeyType::TimestampTz) => instant_among_dates(number, offsets_near(number)),
        (KeyType::Timestamp, KeyType::Date) => date_among_timestamps(number as i32),
        (KeyType::Timestamp, KeyType::TimestampTz) => {
            instant_among_timestamps(number, offsets_near(number))
        }
        (KeyType::TimestampTz, KeyType::Date | KeyType::Timestamp) => {
            let mut overflow = 0;
            // SAFETY: core functions of plain numbers; the overflow is reported, not raised.
            let instant = unsafe {
                match value_type {
                    KeyType::Date => {
                        pg_sys::date2timestamptz_opt_overflow(number as i32, &mut overflow)
                    }
                    _ => pg_sys::timestamp2timestamptz_opt_overflow(number, &mut overflow),
                }
            };
            match overflow {
                0 => Cut::at(from_i64(instant)),
                1.. => after_finite_timestamps(),
                _ => before_finite_timestamps(),
            }
        }
        (
            KeyType::Numeric(_)
            | KeyType::Inet
            | KeyType::Interval
            | KeyType::Float4Bits
            | KeyType::Float8Bits,
            _,
        ) => {
            // SAFETY: by contract.
            unsafe { key_type.cut(value_type, value) }
        }
        // SAFETY: by contract.
        _ => Cut::at(unsafe { value_type.encode(value) }),
    }
}

/// The offsets from UTC, in microseconds, by which the core may convert the local times of an
/// instant, and the instants of a local time.
pub(crate) fn offsets_near(instant: i64) -> OffsetRange {
    let seconds = instant.div_euclid(USECS_PER_SECOND).saturating_add(EPOCH_DIFFERENCE);
    let mut offsets = offsets_within(seconds, NEAR_ANY_ZONE);
    let real = offsets.least >= -REAL_OFFSET && offsets.greatest <= REAL_OFFSET;
    // The nearer window keeps more instants exact around a transition.
    if offsets.least != offsets.greatest && real {
        offsets = offsets_within(seconds, NEAR_REAL_ZONE);
    }
    OffsetRange {
        least: offsets.least * USECS_PER_SECOND,
        greatest: offsets.greatest * USECS_PER_SECOND,
    }
}

/// The offsets, in seconds, that the session's time zone uses within `near` seconds of a time.
fn offsets_within(seconds: i64, near: i64) -> OffsetRange {
    let end = seconds.saturating_add(near);
    let mut from = seconds.saturating_sub(near);
    let mut offsets = OffsetRange { least: i64::MAX, greatest: i64::MIN };
    let mut include = |offset: i64| {
        offsets.least = offsets.least.min(offset);
        offsets.greatest = offsets.greatest.max(offset);
    };
    loop {
        // A time that the zone's rules do not reach is converted with offset 0.
        let Offsets { before, change, .. } = Offsets::around(from);
        include(before);
        let Some((at, after)) = change.filter(|&(at, _)| at <= end) else { break };
        include(after);
        from = at;
    }
    offsets
}
