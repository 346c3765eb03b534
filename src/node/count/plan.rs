//! What a plan for a count keeps: in numbers, since plans are copied, cached and sent to workers.

use pgrx::pg_sys::{self, NodeTag};

use crate::am::aggregate::Aggregate;
use crate::am::buckets::{BucketMemory, Steps};
use crate::node::condition::{Condition, STORED};

/// Numbers that an answer is stored as.
const STORED_ANSWER: usize = 3;

/// How one aggregate is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// By the number of rows that meet the conditions.
    Rows,
    /// By the number of those in which a column of the index, from 1, is not NULL.
    NotNull(i32),
    /// By the first value of a column of the index that is not NULL, in its order or against it.
    First(i32, Way),
    /// By the aggregate itself, over the values of a column of the index.
    Aggregate(i32, pg_sys::Oid),
    /// By its state, which the core puts together with others.
    State(i32, pg_sys::Oid),
}

/// Which way an index is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Backward,
}

impl Answer {
    fn stored(self) -> [i32; STORED_ANSWER] {
        match self {
            Answer::Rows => [0, 0, 0],
            Answer::NotNull(column) => [1, column, 0],
            Answer::First(column, Way::Forward) => [2, column, 0],
            Answer::First(column, Way::Backward) => [3, column, 0],
            Answer::Aggregate(column, function) => [4, column, function.to_u32() as i32],
            Answer::State(column, function) => [5, column, function.to_u32() as i32],
        }
    }

    /// The aggregate over a column of the index, from 0, if it is one.
    pub(super) fn aggregate(self) -> Option<(usize, Aggregate)> {
        let (column, aggregate) = match self {
            Answer::Aggregate(column, function) => (column, Aggregate::of_function(function)?),
            Answer::State(column, function) => {
                (column, Aggregate::of_function(function)?.partial())
            }
            _ => return None,
        };
        Some((column as usize - 1, aggregate))
    }

    fn of_stored([kind, column, function]: [i32; STORED_ANSWER]) -> Answer {
        match kind {
            0 => Answer::Rows,
            1 => Answer::NotNull(column),
            2 => Answer::First(column, Way::Forward),
            3 => Answer::First(column, Way::Backward),
            4 => Answer::Aggregate(column, pg_sys::Oid::from_u32(function as u32)),
            _ => Answer::State(column, pg_sys::Oid::from_u32(function as u32)),
        }
    }
}

/// How groups of rows are told apart: all have a row of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grouping {
    /// How many columns of the index a group's rows have in common.
    pub(super) alike: i32,
    /// How groups are told apart that have these in common: by a function of the next column, which
    /// is the plan's last expression.
    pub(super) function: Option<Function>,
    /// What the rows of the result begin with: columns of the index, from 0, or the function.
    pub(super) shown: Vec<Shown>,
}

/// What is known of a function that tells groups apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Whether it is one of the session's time zone.
    pub(super) of_time_zone: bool,
}

/// A column of the result that groups are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Column(i32),
    Function,
}

impl Grouping {
    /// What is known of its groups at first, and of what the function gives.
    pub(super) fn new_memory(&self, steps: Option<Steps>) -> BucketMemory {
        BucketMemory::new(self.function.is_some_and(|function| function.of_time_zone), steps)
    }

    fn stored(&self) -> Vec<i32> {
        let function = self.function.map_or(0, |function| 1 + i32::from(function.of_time_zone));
        let shown = self.shown.iter().map(|shown| match shown {
            Shown::Column(column) => *column,
            Shown::Function => -1,
        });
        [self.alike, function, self.shown.len() as i32].into_iter().chain(shown).collect()
    }

    /// The grouping at the front of some numbers, and those behind it.
    fn of_stored(numbers: &[i32]) -> (Option<Grouping>, &[i32]) {
        let &[alike, function, shown, ref behind @ ..] = numbers else { return (None, numbers) };
        let (own, behind) = behind.split_at(shown as usize);
        let shown = own.iter().map(|&column| match column {
            -1 => Shown::Function,
            column => Shown::Column(column),
        });
        let function = (function > 0).then_some(Function { of_time_zone: function > 1 });
        let grouping = Grouping { alike, function, shown: shown.collect() };
        ((!own.is_empty()).then_some(grouping), behind)
    }
}

/// How the rows of one table are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) table: pg_sys::Oid,
    pub(super) index: pg_sys::Oid,
    pub(super) conditions: Vec<Condition>,
    /// One for each aggregate.
    pub(super) answers: Vec<Answer>,
}

/// See the file. What the conditions compare columns with is in the plan's expressions. Each row
/// has what groups are told apart by, and the answers to the aggregates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CountPlan {
    pub(super) grouping: Option<Grouping>,
    pub(super) part: Part,
}

impl CountPlan {
    /// As a list of integers.
    ///
    /// # Safety
    /// Within a memory context.
    pub(super) unsafe fn stored(&self) -> *mut pg_sys::List {
        let mut numbers = self.grouping.as_ref().map_or(vec![0, 0, 0], Grouping::stored);
        let part = &self.part;
        numbers.extend([part.table, part.index].map(|oid| oid.to_u32() as i32));
        numbers.push(part.conditions.len() as i32);
        numbers.extend(part.conditions.iter().flat_map(Condition::stored));
        numbers.extend(part.answers.iter().flat_map(|answer| answer.stored()));
        // SAFETY: by contract.
        let add = |list, number| unsafe { pg_sys::lappend_int(list, number) };
        numbers.into_iter().fold(std::ptr::null_mut(), add)
    }

    /// From such a list.
    ///
    /// # Safety
    /// The list is one that [`CountPlan::stored`] has made, or a copy.
    pub(super) unsafe fn of_stored(list: *mut pg_sys::List) -> CountPlan {
        // SAFETY: by contract.
        let numbers: Vec<i32> = unsafe {
            debug_assert_eq!((*list).type_, NodeTag::T_IntList);
            (0..(*list).length).map(|index| pg_sys::list_nth_int(list, index)).collect()
        };
        let (grouping, rest) = Grouping::of_stored(&numbers);
        let (&[table, index, conditions], behind) =
            rest.split_first_chunk().unwrap_or((&[0; 3], &[]));
        let (conditions, answers) = behind.split_at(conditions as usize * STORED);
        let oid = |number: i32| pg_sys::Oid::from_u32(number as u32);
        let part = Part {
            table: oid(table),
            index: oid(index),
            conditions: conditions.as_chunks().0.iter().map(|&c| Condition::of_stored(c)).collect(),
            answers: answers.as_chunks().0.iter().map(|&a| Answer::of_stored(a)).collect(),
        };
        CountPlan { grouping, part }
    }
}

#[cfg(any(test, feature = "pg_test"))]
#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use super::*;

    #[pg_test]
    fn a_plan_comes_back_as_it_was() {
        let oid = pg_sys::Oid::from_u32;
        let compared = Condition {
            column: 2,
            flags: pg_sys::SK_SEARCHARRAY as i32,
            strategy: 3,
            value_type: oid(4_000_000_000),
            operator: oid(96),
        };
        let answers = vec![
            Answer::Rows,
            Answer::NotNull(3),
            Answer::First(1, Way::Forward),
            Answer::First(8, Way::Backward),
            Answer::Aggregate(7, oid(2100)),
            Answer::State(6, oid(2101)),
        ];
        let part = |table: u32, conditions, answers| Part {
            table: oid(table),
            index: oid(u32::MAX),
            conditions,
            answers,
        };
        let whole = part(7, vec![compared, Condition::not_null(1)], answers);
        let grouping = |of_time_zone| Grouping {
            alike: 1,
            function: Some(Function { of_time_zone }),
            shown: vec![Shown::Column(0), Shown::Function],
        };
        let plain = Grouping { function: None, shown: vec![Shown::Column(3)], alike: 4 };
        for grouping in [None, Some(grouping(false)), Some(grouping(true)), Some(plain)] {
            for part in [whole.clone(), part(9, vec![], vec![])] {
                let plan = CountPlan { grouping: grouping.clone(), part };
                // SAFETY: within a memory context; the list is the one that was made.
                let back = unsafe { CountPlan::of_stored(plan.stored()) };
                assert_eq!(back, plan);
            }
        }
    }
}
