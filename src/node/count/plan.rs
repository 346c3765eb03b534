//! What a plan for a count keeps: in numbers, since plans are copied, cached and sent to workers.

use pgrx::pg_sys::{self, NodeTag};

use super::state::create_state;
use crate::node::condition::{Condition, STORED};

/// Methods that the core keeps a pointer to.
pub(super) struct Methods(pub(super) pg_sys::CustomScanMethods);

// SAFETY: names and functions, which nobody changes.
unsafe impl Sync for Methods {}

/// Those of the plan node.
pub(super) static METHODS: Methods = Methods(pg_sys::CustomScanMethods {
    CustomName: c"LearnedCount".as_ptr(),
    CreateCustomScanState: Some(create_state),
});

/// How one aggregate is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// By the number of rows that meet the conditions.
    Rows,
    /// By the number of those in which a column of the index, from 1, is not NULL.
    NotNull(i32),
    /// By the first value of a column of the index that is not NULL, in its order or against it.
    First(i32, Way),
}

/// Which way an index is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Backward,
}

impl Answer {
    fn stored(self) -> [i32; 2] {
        match self {
            Answer::Rows => [0, 0],
            Answer::NotNull(column) => [1, column],
            Answer::First(column, Way::Forward) => [2, column],
            Answer::First(column, Way::Backward) => [3, column],
        }
    }

    fn of_stored([kind, column]: [i32; 2]) -> Answer {
        match kind {
            0 => Answer::Rows,
            1 => Answer::NotNull(column),
            2 => Answer::First(column, Way::Forward),
            _ => Answer::First(column, Way::Backward),
        }
    }
}

/// See the file. What the conditions compare columns with is in the plan's expressions, and the
/// answers are those to the aggregates of its target list, in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CountPlan {
    pub(super) table: pg_sys::Oid,
    pub(super) index: pg_sys::Oid,
    pub(super) conditions: Vec<Condition>,
    pub(super) answers: Vec<Answer>,
}

impl CountPlan {
    /// As a list of integers.
    ///
    /// # Safety
    /// Within a memory context.
    pub(super) unsafe fn stored(&self) -> *mut pg_sys::List {
        let relations = [self.table, self.index].map(|oid| oid.to_u32() as i32);
        let counts = [self.conditions.len() as i32];
        let conditions = self.conditions.iter().flat_map(Condition::stored);
        let answers = self.answers.iter().flat_map(|answer| answer.stored());
        let numbers = relations.into_iter().chain(counts).chain(conditions).chain(answers);
        // SAFETY: by contract.
        numbers
            .fold(std::ptr::null_mut(), |list, number| unsafe { pg_sys::lappend_int(list, number) })
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
        let oid = |index: usize| pg_sys::Oid::from_u32(numbers[index] as u32);
        let (conditions, answers) = numbers[3..].split_at(numbers[2] as usize * STORED);
        CountPlan {
            table: oid(0),
            index: oid(1),
            conditions: conditions.as_chunks().0.iter().map(|&c| Condition::of_stored(c)).collect(),
            answers: answers.as_chunks().0.iter().map(|&a| Answer::of_stored(a)).collect(),
        }
    }
}
