//! Comparisons of rows: `(a, b) > (x, y)` as a condition of a scan.
//!
//! The first columns that differ decide. So the rows that compare so are those of a few *boxes*:
//! `a > x`, and `a = x AND b > y`, and so on. Each box is a range for some columns. Where these are
//! the next columns of the index, a box is one interval of codes, in whatever direction its columns
//! are sorted. Otherwise entries are compared one by one.
//!
//! As in `ExecEvalRowCompare` of execExprInterp.c, nothing compares so with NULL: what is behind a
//! NULL does not matter, and what comes before it may still decide.

use learned_index::key::cut::Comparison;
use learned_index::key::{Interval, Intervals, Key, Word};
use pgrx::prelude::*;

use super::quals::{Selecting, comparison_of, is_row, members_of, value_type_of};
use crate::column::columns::{Columns, Part, PartCode};

/// The most boxes that a scan looks for. Comparisons that would make more are a filter.
const MOST_BOXES: usize = 64;

/// A column, from 0, and the range that a box has of it.
pub(super) type Limit = (usize, Interval<PartCode>);

/// One comparison of rows.
pub(super) struct RowComparison {
    members: Vec<Member>,
    /// Whether rows that are equal compare so.
    or_equal: bool,
    /// Whether boxes were made of it.
    is_boxed: bool,
}

/// A column that is compared with a value.
struct Member {
    column: usize,
    part: Part,
    /// What is less, or greater; at least that.
    beyond: Option<Interval<PartCode>>,
    /// What is equal; at least that.
    equal: Option<Interval<PartCode>>,
}

impl RowComparison {
    /// All of a scan's keys. `exact` becomes false where they select more than what compares so.
    ///
    /// # Safety
    /// The keys are those of a scan on an index of these columns.
    pub(super) unsafe fn all<const L: usize>(
        keys: &[pg_sys::ScanKeyData],
        columns: &Columns<L>,
        exact: &mut bool,
    ) -> Vec<RowComparison> {
        let rows = keys.iter().filter(|key| is_row(key));
        // SAFETY: by contract.
        rows.map(|key| unsafe { RowComparison::of(key, columns.parts(), exact) }).collect()
    }

    /// # Safety
    /// As [`RowComparison::all`].
    unsafe fn of(key: &pg_sys::ScanKeyData, parts: &[Part], exact: &mut bool) -> RowComparison {
        let (beyond, or_equal) = match comparison_of(key.sk_strategy) {
            Comparison::LessEqual => (Comparison::Less, true),
            Comparison::GreaterEqual => (Comparison::Greater, true),
            strict => (strict, false),
        };
        let mut members = Vec::new();
        // SAFETY: by contract.
        for member in unsafe { members_of(key) } {
            let column = member.sk_attno as usize - 1;
            let part = parts[column];
            let value_type = value_type_of(part.key_type, member.sk_subtype);
            let is_null = member.sk_flags as u32 & pg_sys::SK_ISNULL != 0;
            let mut compared = |comparison| {
                // SAFETY: the argument is of the key's subtype, whose Datums are those of the type.
                let (interval, is_exact) =
                    unsafe { part.compared(value_type, member.sk_argument, comparison) };
                *exact &= is_exact;
                interval
            };
            let (beyond, equal) = match is_null {
                true => (None, None),
                false => (compared(beyond), compared(Comparison::Equal)),
            };
            members.push(Member { column, part, beyond, equal });
            if is_null {
                break;
            }
        }
        RowComparison { members, or_equal, is_boxed: false }
    }

    /// The first column that is compared, and what it has in all rows that compare so.
    pub(super) fn first(&self) -> (usize, Intervals<PartCode>) {
        let mut ranges = Intervals::new();
        let first = &self.members[0];
        ranges.set_union(first.beyond.into_iter().chain(first.equal));
        (first.column, ranges)
    }

    fn boxes(&self) -> Vec<Vec<Limit>> {
        let (mut boxes, mut equal_so_far) = (Vec::new(), Vec::new());
        for member in &self.members {
            boxes.extend(member.beyond.map(|beyond| {
                let mut limits: Vec<Limit> = equal_so_far.clone();
                limits.push((member.column, beyond));
                limits
            }));
            let Some(equal) = member.equal else { return boxes };
            equal_so_far.push((member.column, equal));
        }
        if self.or_equal {
            boxes.push(equal_so_far);
        }
        boxes
    }

    /// Whether intervals tell all of it that tell of the first `columns` columns in each box.
    pub(super) fn is_told(&self, columns: usize) -> bool {
        self.is_boxed && self.members.iter().all(|member| member.column < columns)
    }

    /// Of an entry that does not compare so, behind which of the code's words it may differ, and
    /// still does not. `None` if it compares so.
    #[inline]
    pub(super) fn fails_by(&self, code: &[Word]) -> Option<usize> {
        let mut end = 0;
        for Member { part, beyond, equal, .. } in &self.members {
            end = end.max(part.end());
            let value = Key::value(part.take(code));
            let is_in = |range: &Option<Interval<PartCode>>| {
                range.is_some_and(|range| range.contains(value))
            };
            if is_in(beyond) {
                return None;
            }
            if !is_in(equal) {
                return Some(end);
            }
        }
        (!self.or_equal).then_some(end)
    }
}

/// The boxes of all comparisons together: in each of them, a box of each comparison.
pub(super) fn boxes_of(rows: &mut [RowComparison]) -> Vec<Vec<Limit>> {
    let mut all: Vec<Vec<Limit>> = vec![Vec::new()];
    for row in rows {
        let own = row.boxes();
        row.is_boxed = all.len() * own.len() <= MOST_BOXES;
        if row.is_boxed {
            let with_own = |limits: &Vec<Limit>| {
                own.iter().map(|own| [&limits[..], own].concat()).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(with_own).collect();
        }
    }
    all
}
