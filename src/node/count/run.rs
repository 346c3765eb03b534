//! What a count that is being carried out knows, and how it comes to its rows.

use std::ffi::c_int;

use learned_index::tree::count::Counted;
use learned_index::tree::scan::Direction;
use pgrx::PgMemoryContexts;
use pgrx::pg_sys;

use super::plan::{Answer, CountPlan, Grouping, Part, Shown, Way};
use super::steps::steps_of;
use crate::am;
use crate::am::buckets::{BucketMemory, Buckets, Steps};
use crate::am::count::{Counter, counter_of};
use crate::am::groups::{Groups, Wanted, groups_of};
use crate::am::time_zone::InTimeZone;
use crate::node::condition::Condition;
use crate::relation::{OpenIndex, OpenTable};
use crate::report::carried::carrying;

unsafe extern "C-unwind" {
    /// Of utils/datum.h, which pgrx does not bind. It may raise an error.
    fn datumCopy(value: pg_sys::Datum, by_value: bool, length: c_int) -> pg_sys::Datum;
}

/// Calls of a function before what it has allocated is freed.
const CALLS_BETWEEN_RESETS: u32 = 64;

/// The state of a plan node, as the core sees it; and what we keep beside that.
#[repr(C)]
pub(super) struct CountState {
    pub(super) node: pg_sys::CustomScanState,
    pub(super) run: *mut Run,
}

/// What a node keeps from its beginning to its end. In the memory of the query.
pub(super) struct Run {
    pub(super) part: RunningPart,
    /// Whether the last row was returned.
    is_done: bool,
    pub(super) grouping: Option<RunningGrouping>,
}

/// Groups of the rows.
pub(super) struct RunningGrouping {
    plan: Grouping,
    /// The function that tells groups apart.
    function: Option<*mut pg_sys::ExprState>,
    /// What it gives, if that is known.
    steps: Option<Steps>,
    /// What the function allocates, and its calls since that was freed.
    scratch: pg_sys::MemoryContext,
    calls: u32,
    memory: BucketMemory,
    /// The session's time zone when the first row was asked for.
    zone: *mut pg_sys::pg_tz,
    /// From the first row on.
    groups: Option<Box<dyn Groups>>,
    /// What was counted by groups that came to their end.
    pub(super) counted: Counted,
}

/// The rows of the table.
pub(super) struct RunningPart {
    pub(super) plan: Part,
    /// Of the conditions that compare with something, in order.
    values: Vec<*mut pg_sys::ExprState>,
    /// Null if nothing is to be carried out.
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    /// From the first count on.
    counter: Option<Box<dyn Counter>>,
    /// All that was counted, however often the node was asked.
    pub(super) counted: Counted,
}

/// What a node has begun with.
///
/// # Safety
/// `node` is one of ours, after it was begun.
pub(super) unsafe fn run_of<'n>(node: *mut pg_sys::CustomScanState) -> &'n mut Run {
    // SAFETY: by contract: the state was made by `create_state`.
    unsafe { &mut *(*node.cast::<CountState>()).run }
}

/// Memory for what a function allocates.
///
/// # Safety
/// The parent is a memory context.
unsafe fn scratch_in(parent: pg_sys::MemoryContext) -> pg_sys::MemoryContext {
    // SAFETY: by contract; it is deleted with its parent.
    unsafe {
        pg_sys::AllocSetContextCreateExtended(
            parent,
            c"groups of a learned index".as_ptr(),
            pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
            pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
            pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
        )
    }
}

impl Run {
    /// What a plan begins with, whose expressions these are. What lives as long as the query is in
    /// the context.
    ///
    /// # Safety
    /// Called where the core begins a plan of ours; `is_run` tells whether it will be carried out.
    pub(super) unsafe fn begin(
        plan: CountPlan,
        mut exprs: impl Iterator<Item = *mut pg_sys::ExprState>,
        context: pg_sys::MemoryContext,
        is_run: bool,
    ) -> Run {
        let compared = plan.part.conditions.iter().filter(|condition| condition.has_value());
        let values = exprs.by_ref().take(compared.count()).collect();
        let (mut table, mut index) = (std::ptr::null_mut(), std::ptr::null_mut());
        if is_run {
            let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
            // SAFETY: by contract. The session that runs the plan holds such locks; a parallel
            // worker takes its own.
            unsafe {
                table = pg_sys::table_open(plan.part.table, lock);
                index = pg_sys::index_open(plan.part.index, lock);
            }
        }
        let (counter, counted) = (None, Counted::default());
        let part = RunningPart { plan: plan.part, values, table, index, counter, counted };
        let grouping = plan.grouping.map(|plan| {
            let function = plan.function.and_then(|_| exprs.next());
            // SAFETY: by contract, it is one that was made of the plan's last expression.
            let steps = function.and_then(|function| unsafe { steps_of((*function).expr) });
            RunningGrouping {
                memory: plan.new_memory(steps),
                function,
                steps,
                plan,
                // SAFETY: by contract.
                scratch: unsafe { scratch_in(context) },
                calls: 0,
                zone: std::ptr::null_mut(),
                groups: None,
                counted: Counted::default(),
            }
        });
        Run { part, is_done: false, grouping }
    }

    /// Gives back what is held. Locks stay to the end of the transaction.
    ///
    /// # Safety
    /// Called where the core ends the plan.
    pub(super) unsafe fn end(&mut self) {
        self.begin_again();
        let no_lock = pg_sys::NoLock as pg_sys::LOCKMODE;
        if let Some(counter) = self.part.counter.take() {
            counter.end();
        }
        if !self.part.table.is_null() {
            // SAFETY: they were opened in the beginning.
            unsafe {
                pg_sys::index_close(self.part.index, no_lock);
                pg_sys::table_close(self.part.table, no_lock);
            }
        }
    }

    /// The next row of the result; `None` for NULL in its columns.
    ///
    /// # Safety
    /// The context and the state are those of the node.
    pub(super) unsafe fn row(
        &mut self,
        context: *mut pg_sys::ExprContext,
        state: *mut pg_sys::EState,
    ) -> Option<Vec<Option<pg_sys::Datum>>> {
        // SAFETY: by contract; the relations are open.
        unsafe {
            let snapshot = (*state).es_snapshot;
            let Some(grouping) = &mut self.grouping else {
                let was_done = std::mem::replace(&mut self.is_done, true);
                return (!was_done).then(|| self.part.answers(context, state));
            };
            if self.is_done {
                return None;
            }
            if grouping.groups.is_none() {
                let part = &self.part;
                let wanted = part.grouping(&grouping.plan, &part.keys(context));
                let mut memory = PgMemoryContexts::For((*state).es_query_cxt);
                let (index, table) = (OpenIndex::new(part.index), OpenTable::new(part.table));
                let groups = memory.switch_to(|_| groups_of(index, table, snapshot, &wanted));
                grouping.groups = Some(groups);
                grouping.zone = pg_sys::session_timezone;
            }
            let row = grouping.row(context);
            if row.is_none() {
                // The query may go on for long.
                self.is_done = true;
                grouping.end_groups();
            }
            row
        }
    }

    /// Forgets where it is.
    pub(super) fn begin_again(&mut self) {
        self.is_done = false;
        if let Some(grouping) = &mut self.grouping {
            grouping.memory = grouping.plan.new_memory(grouping.steps);
            grouping.end_groups();
        }
    }
}

/// Adds what was counted to what was counted before.
fn add(total: &mut Counted, counted: Counted) {
    total.rows += counted.rows;
    total.leaves += counted.leaves;
    total.decoded += counted.decoded;
    total.looked_up += counted.looked_up;
}

impl RunningGrouping {
    /// Gives back what is held of the index and the table.
    fn end_groups(&mut self) {
        if let Some(groups) = self.groups.take() {
            add(&mut self.counted, groups.counted());
            groups.end();
        }
    }

    /// All that was counted, however often the node was asked.
    pub(super) fn counted(&self) -> Counted {
        let mut total = self.counted;
        add(&mut total, self.groups.as_ref().map_or(Counted::default(), |groups| groups.counted()));
        total
    }

    /// How many columns of its rows tell groups apart.
    pub(super) fn columns(&self) -> usize {
        self.plan.shown.len()
    }

    /// The row of the next group.
    ///
    /// # Safety
    /// The context is that of the node; the groups were begun.
    unsafe fn row(
        &mut self,
        context: *mut pg_sys::ExprContext,
    ) -> Option<Vec<Option<pg_sys::Datum>>> {
        let (function, scratch) = (self.function, self.scratch);
        let calls = &mut self.calls;
        let mut call = |argument: i64| {
            let Some(function) = function else { return 0 };
            // SAFETY: by contract; what the function allocates is not its value.
            unsafe {
                *calls += 1;
                if *calls == CALLS_BETWEEN_RESETS {
                    *calls = 0;
                    pg_sys::MemoryContextReset(scratch);
                }
                (*context).caseValue_datum = pg_sys::Datum::from(argument);
                (*context).caseValue_isNull = false;
                let mut is_null = false;
                let mut memory = PgMemoryContexts::For(scratch);
                let value =
                    memory.switch_to(|_| pg_sys::ExecEvalExpr(function, context, &mut is_null));
                value.value() as i64
            }
        };
        let groups = self.groups.as_mut()?;
        // SAFETY: by contract. As if all rows had been looked at when the first was asked for.
        let group = unsafe {
            let _zone = InTimeZone::of(self.zone);
            match function {
                None => groups.next(None),
                Some(_) => groups.next(Some(&mut Buckets::new(&mut call, &mut self.memory))),
            }
        }?;
        let shown = self.plan.shown.iter().map(|shown| match shown {
            Shown::Column(column) => group.values[*column as usize],
            Shown::Function => group.bucket,
        });
        Some(shown.chain(group.answers).collect())
    }
}

impl RunningPart {
    /// The answer to each aggregate, `None` for NULL.
    ///
    /// # Safety
    /// The context and the state are those of the node.
    unsafe fn answers(
        &mut self,
        context: *mut pg_sys::ExprContext,
        state: *mut pg_sys::EState,
    ) -> Vec<Option<pg_sys::Datum>> {
        // SAFETY: by contract; the relations are open.
        unsafe {
            let keys = self.keys(context);
            let mut known = self.aggregates(&keys, state);
            let answers = self.plan.answers.clone();
            for &answer in &answers {
                if known.iter().any(|(other, _)| *other == answer) {
                    continue;
                }
                let found = match answer {
                    Answer::First(column, way) => {
                        self.first(&keys, (*state).es_snapshot, column, way)
                    }
                    _ => Some(pg_sys::Datum::from(self.count(&keys, state, answer) as i64)),
                };
                known.push((answer, found));
            }
            if let Some(counter) = &mut self.counter {
                // The query may go on for long.
                counter.rest();
            }
            let found = |answer| known.iter().find(|(other, _)| other == answer);
            answers.iter().filter_map(found).map(|(_, found)| *found).collect()
        }
    }

    /// What each group of its rows is asked for, which have the first columns in common.
    fn grouping(&self, plan: &Grouping, keys: &[pg_sys::ScanKeyData]) -> am::groups::Grouping {
        let not_null = |column: i32| {
            let own = Condition::not_null(column).key(pg_sys::Datum::null(), false);
            [keys, &[own]].concat()
        };
        let wanted = self.plan.answers.iter().map(|answer| match *answer {
            Answer::Rows => Wanted::Rows,
            Answer::NotNull(column) => Wanted::Count(not_null(column)),
            Answer::First(column, way) => {
                let direction = match way {
                    Way::Forward => Direction::Forward,
                    Way::Backward => Direction::Backward,
                };
                Wanted::Value(not_null(column), column as usize - 1, direction)
            }
            Answer::Aggregate(..) | Answer::State(..) => match answer.aggregate() {
                Some((column, aggregate)) => Wanted::Aggregate(column, aggregate),
                // The planner has seen to that.
                None => Wanted::Rows,
            },
        });
        am::groups::Grouping {
            keys: keys.to_vec(),
            columns: plan.alike as usize,
            by_function: plan.function.is_some(),
            wanted: wanted.collect(),
        }
    }

    /// The keys of the conditions, with the values of now.
    ///
    /// # Safety
    /// The context is that of the node.
    unsafe fn keys(&self, context: *mut pg_sys::ExprContext) -> Vec<pg_sys::ScanKeyData> {
        let mut values = self.values.iter();
        let mut key = |condition: &Condition| {
            let value = if condition.has_value() { values.next() } else { None };
            let Some(&value) = value else { return condition.key(pg_sys::Datum::null(), false) };
            let mut is_null = false;
            // SAFETY: by contract.
            let value = unsafe { pg_sys::ExecEvalExpr(value, context, &mut is_null) };
            condition.key(value, is_null)
        };
        // SAFETY: within a transaction. The values may call anything.
        unsafe { carrying(|| self.plan.conditions.iter().map(&mut key).collect()) }
    }

    /// Counts the rows that some keys select, and that have a value where the answer needs it.
    ///
    /// # Safety
    /// The relations are open, the state is that of the node.
    unsafe fn count(
        &mut self,
        keys: &[pg_sys::ScanKeyData],
        state: *mut pg_sys::EState,
        answer: Answer,
    ) -> u64 {
        let mut keys = keys.to_vec();
        if let Answer::NotNull(column) = answer {
            keys.push(Condition::not_null(column).key(pg_sys::Datum::null(), false));
        }
        // SAFETY: by contract.
        let counted = unsafe { self.counter(state).count(&keys) };
        add(&mut self.counted, counted);
        counted.rows
    }

    /// What counts the rows, under the snapshot of the query.
    ///
    /// # Safety
    /// The relations are open, the state is that of the node.
    unsafe fn counter(&mut self, state: *mut pg_sys::EState) -> &mut dyn Counter {
        let (index, table) = (self.index, self.table);
        let begin = || {
            // SAFETY: by contract.
            unsafe {
                let mut memory = PgMemoryContexts::For((*state).es_query_cxt);
                let (index, table) = (OpenIndex::new(index), OpenTable::new(table));
                memory.switch_to(|_| counter_of(index, table, (*state).es_snapshot))
            }
        };
        self.counter.get_or_insert_with(begin).as_mut()
    }

    /// The answers that are aggregates over columns of the rows that some keys select: all of them
    /// in one pass.
    ///
    /// # Safety
    /// The relations are open, the state is that of the node.
    unsafe fn aggregates(
        &mut self,
        keys: &[pg_sys::ScanKeyData],
        state: *mut pg_sys::EState,
    ) -> Vec<(Answer, Option<pg_sys::Datum>)> {
        let answers = self.plan.answers.iter();
        let wanted = answers.filter_map(|&answer| Some((answer, answer.aggregate()?)));
        let (answers, wanted): (Vec<_>, Vec<_>) = wanted.unzip();
        if answers.is_empty() {
            return Vec::new();
        }
        // SAFETY: by contract.
        let (results, counted) = unsafe { self.counter(state).aggregate(keys, &wanted) };
        add(&mut self.counted, counted);
        answers.into_iter().zip(results).collect()
    }

    /// The first value of a column, of the rows that some keys select.
    ///
    /// # Safety
    /// The relations are open, the snapshot is that of the query. The index gives these rows in the
    /// order of the column.
    unsafe fn first(
        &self,
        keys: &[pg_sys::ScanKeyData],
        snapshot: pg_sys::Snapshot,
        column: i32,
        way: Way,
    ) -> Option<pg_sys::Datum> {
        let mut keys = keys.to_vec();
        keys.push(Condition::not_null(column).key(pg_sys::Datum::null(), false));
        let direction = match way {
            Way::Forward => pg_sys::ScanDirection::ForwardScanDirection,
            Way::Backward => pg_sys::ScanDirection::BackwardScanDirection,
        };
        // SAFETY: by contract; what is begun here ends here. What the value points to is copied out
        // of the row.
        unsafe {
            let (table, index, count) = (self.table, self.index, keys.len() as i32);
            #[cfg(feature = "pg18")]
            let scan =
                pg_sys::index_beginscan(table, index, snapshot, std::ptr::null_mut(), count, 0);
            #[cfg(not(feature = "pg18"))]
            let scan = pg_sys::index_beginscan(table, index, snapshot, count, 0);
            pg_sys::index_rescan(scan, keys.as_mut_ptr(), count, std::ptr::null_mut(), 0);
            let slot = pg_sys::table_slot_create(self.table, std::ptr::null_mut());
            let found = pg_sys::index_getnext_slot(scan, direction, slot);
            let value = found.then(|| self.value_in(slot, column));
            pg_sys::index_endscan(scan);
            pg_sys::ExecDropSingleTupleTableSlot(slot);
            value
        }
    }

    /// A copy of the value that a row has in a column of the index, from 1.
    ///
    /// # Safety
    /// The slot has a row of the table, whose value there is not NULL.
    unsafe fn value_in(&self, slot: *mut pg_sys::TupleTableSlot, column: i32) -> pg_sys::Datum {
        // SAFETY: by contract; the column is one of the table.
        unsafe {
            let index = OpenIndex::new(self.index);
            let attribute = index.table_column(column as usize - 1);
            let mut is_null = false;
            let value = pg_sys::slot_getattr(slot, attribute.into(), &mut is_null);
            let (mut length, mut by_value) = (0, false);
            let value_type = index.key_types()[column as usize - 1];
            pg_sys::get_typlenbyval(value_type, &mut length, &mut by_value);
            pg_sys::ffi::pg_guard_ffi_boundary(
                #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                || datumCopy(value, by_value, length.into()),
            )
        }
    }
}
