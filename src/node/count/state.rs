//! Carrying a count out.

use std::ffi::c_int;

use learned_index::tree::count::Counted;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;
use pgrx::{PgList, PgMemoryContexts, check_for_interrupts};

use super::explain::explain;
use super::plan::{Answer, CountPlan, Part, Way};
use crate::am::count::count_rows;
use crate::node::condition::Condition;
use crate::relation::{OpenIndex, OpenTable};
use crate::report::carried::carrying;

unsafe extern "C-unwind" {
    /// Of utils/datum.h, which pgrx does not bind. It may raise an error.
    fn datumCopy(value: pg_sys::Datum, by_value: bool, length: c_int) -> pg_sys::Datum;
}

/// The state of a plan node, as the core sees it; and what we keep beside that.
#[repr(C)]
pub(super) struct CountState {
    node: pg_sys::CustomScanState,
    run: *mut Run,
}

/// What a node keeps from its beginning to its end. In the memory of the query.
pub(super) struct Run {
    pub(super) parts: Vec<RunningPart>,
    /// Whether the row was returned.
    is_done: bool,
}

/// The rows of one table.
pub(super) struct RunningPart {
    pub(super) plan: Part,
    /// Of the conditions that compare with something, in order.
    values: Vec<*mut pg_sys::ExprState>,
    /// Null if nothing is to be carried out.
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    /// All that was counted, however often the node was asked.
    pub(super) counted: Counted,
}

/// Methods that the core keeps a pointer to.
struct Methods(pg_sys::CustomExecMethods);

// SAFETY: names and functions, which nobody changes.
unsafe impl Sync for Methods {}

static METHODS: Methods = Methods(pg_sys::CustomExecMethods {
    CustomName: c"LearnedCount".as_ptr(),
    BeginCustomScan: Some(begin),
    ExecCustomScan: Some(next),
    EndCustomScan: Some(end),
    ReScanCustomScan: Some(rescan),
    MarkPosCustomScan: None,
    RestrPosCustomScan: None,
    EstimateDSMCustomScan: None,
    InitializeDSMCustomScan: None,
    ReInitializeDSMCustomScan: None,
    InitializeWorkerCustomScan: None,
    ShutdownCustomScan: None,
    ExplainCustomScan: Some(explain),
});

/// The state for a plan, with nothing in it yet.
///
/// # Safety
/// Called by the core with a plan of ours.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn create_state(
    _plan: *mut pg_sys::CustomScan,
) -> *mut pg_sys::Node {
    // SAFETY: a state without fields that are set is valid; the core frees it with the query.
    unsafe {
        let state: *mut CountState = pg_sys::palloc0(size_of::<CountState>()).cast();
        (*state).node.ss.ps.type_ = NodeTag::T_CustomScanState;
        (*state).node.methods = &raw const METHODS.0;
        state.cast()
    }
}

/// What a node has begun with.
///
/// # Safety
/// `node` is one of ours, after [`begin`].
pub(super) unsafe fn run_of<'n>(node: *mut pg_sys::CustomScanState) -> &'n mut Run {
    // SAFETY: by contract: the state was made by `create_state`.
    unsafe { &mut *(*node.cast::<CountState>()).run }
}

/// # Safety
/// Called by the core with a state that [`create_state`] has made.
#[pg_guard]
unsafe extern "C-unwind" fn begin(
    node: *mut pg_sys::CustomScanState,
    estate: *mut pg_sys::EState,
    flags: i32,
) {
    // SAFETY: by contract. The locks are held by whoever has the plan; a parallel worker takes its
    // own.
    unsafe {
        let custom = (*node).ss.ps.plan.cast::<pg_sys::CustomScan>();
        let plan = CountPlan::of_stored((*custom).custom_private);
        let parent = &raw mut (*node).ss.ps;
        let values = pg_sys::ExecInitExprList((*custom).custom_exprs, parent);
        let values = PgList::<pg_sys::ExprState>::from_pg(values);
        let mut values = values.iter_ptr();
        let is_run = flags as u32 & pg_sys::EXEC_FLAG_EXPLAIN_ONLY == 0;
        let parts = plan.0.into_iter().map(|plan| {
            let compared = plan.conditions.iter().filter(|condition| condition.has_value());
            let values = values.by_ref().take(compared.count()).collect();
            let (mut table, mut index) = (std::ptr::null_mut(), std::ptr::null_mut());
            if is_run {
                let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
                table = pg_sys::table_open(plan.table, lock);
                index = pg_sys::index_open(plan.index, lock);
            }
            RunningPart { plan, values, table, index, counted: Counted::default() }
        });
        let run = Run { parts: parts.collect(), is_done: false };
        let mut memory = PgMemoryContexts::For((*estate).es_query_cxt);
        (*node.cast::<CountState>()).run = memory.leak_and_drop_on_delete(run);
    }
}

/// # Safety
/// Called by the core with a node that has begun.
#[pg_guard]
unsafe extern "C-unwind" fn end(node: *mut pg_sys::CustomScanState) {
    // SAFETY: by contract. The locks stay to the end of the transaction.
    unsafe {
        let no_lock = pg_sys::NoLock as pg_sys::LOCKMODE;
        for part in run_of(node).parts.drain(..).filter(|part| !part.table.is_null()) {
            pg_sys::index_close(part.index, no_lock);
            pg_sys::table_close(part.table, no_lock);
        }
    }
}

/// # Safety
/// Called by the core with a node that has begun.
#[pg_guard]
unsafe extern "C-unwind" fn rescan(node: *mut pg_sys::CustomScanState) {
    // SAFETY: by contract.
    unsafe { run_of(node).is_done = false };
}

/// The only row, the first time.
///
/// # Safety
/// Called by the core with a node that has begun.
#[pg_guard]
unsafe extern "C-unwind" fn next(
    node: *mut pg_sys::CustomScanState,
) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: by contract. The slot has as many columns as the plan has answers.
    unsafe {
        check_for_interrupts!();
        let run = run_of(node);
        let state = &mut (*node).ss;
        if std::mem::replace(&mut run.is_done, true) {
            return std::ptr::null_mut();
        }
        let slot = state.ss_ScanTupleSlot;
        let context = state.ps.ps_ExprContext;
        pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
        pg_sys::ExecClearTuple(slot);
        let mut memory = PgMemoryContexts::For((*context).ecxt_per_tuple_memory);
        let answers = memory.switch_to(|_| run.answers(context, (*state.ps.state).es_snapshot));
        for (number, answer) in answers.into_iter().enumerate() {
            *(*slot).tts_values.add(number) = answer.unwrap_or(pg_sys::Datum::null());
            *(*slot).tts_isnull.add(number) = answer.is_none();
        }
        pg_sys::ExecStoreVirtualTuple(slot);
        if state.ps.ps_ProjInfo.is_null() {
            return slot;
        }
        (*context).ecxt_scantuple = slot;
        // Expressions around the aggregates may call anything.
        carrying(|| pg_sys::ExecProject(state.ps.ps_ProjInfo))
    }
}

impl Run {
    /// The answers of the plan, `None` for NULL.
    ///
    /// # Safety
    /// The context and the snapshot are those of the node.
    unsafe fn answers(
        &mut self,
        context: *mut pg_sys::ExprContext,
        snapshot: pg_sys::Snapshot,
    ) -> Vec<Option<pg_sys::Datum>> {
        let mut total: Vec<Found> = Vec::new();
        for part in &mut self.parts {
            // SAFETY: by contract.
            let found = unsafe { part.answers(context, snapshot) };
            if total.is_empty() {
                total = found;
                continue;
            }
            for (total, found) in total.iter_mut().zip(found) {
                if let (Found::Rows(total), Found::Rows(found)) = (total, found) {
                    *total += found;
                }
            }
        }
        let datum = |found| match found {
            Found::Rows(rows) => Some(pg_sys::Datum::from(rows as i64)),
            Found::Value(value) => value,
        };
        total.into_iter().map(datum).collect()
    }
}

/// What one table gives for an aggregate.
#[derive(Clone, Copy)]
enum Found {
    Rows(u64),
    Value(Option<pg_sys::Datum>),
}

impl RunningPart {
    /// What the table gives for each aggregate.
    ///
    /// # Safety
    /// The context and the snapshot are those of the node.
    unsafe fn answers(
        &mut self,
        context: *mut pg_sys::ExprContext,
        snapshot: pg_sys::Snapshot,
    ) -> Vec<Found> {
        // SAFETY: by contract; the relations are open.
        unsafe {
            let keys = self.keys(context);
            let mut known: Vec<(Answer, Found)> = Vec::new();
            for answer in self.plan.answers.clone() {
                let found = match known.iter().find(|(other, _)| *other == answer) {
                    Some((_, found)) => *found,
                    None => match answer {
                        Answer::First(column, way) => {
                            Found::Value(self.first(&keys, snapshot, column, way))
                        }
                        _ => Found::Rows(self.count(&keys, snapshot, answer)),
                    },
                };
                known.push((answer, found));
            }
            known.into_iter().map(|(_, found)| found).collect()
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
    /// The relations are open, the snapshot is that of the query.
    unsafe fn count(
        &mut self,
        keys: &[pg_sys::ScanKeyData],
        snapshot: pg_sys::Snapshot,
        answer: Answer,
    ) -> u64 {
        let mut keys = keys.to_vec();
        if let Answer::NotNull(column) = answer {
            keys.push(Condition::not_null(column).key(pg_sys::Datum::null(), false));
        }
        // SAFETY: by contract.
        let counted = unsafe {
            let (index, table) = (OpenIndex::new(self.index), OpenTable::new(self.table));
            count_rows(index, table, snapshot, &keys)
        };
        self.counted.rows += counted.rows;
        self.counted.leaves += counted.leaves;
        self.counted.decoded += counted.decoded;
        self.counted.looked_up += counted.looked_up;
        counted.rows
    }

    /// The first value of a column, of the rows that some keys select.
    ///
    /// # Safety
    /// As [`RunningPart::count`]. The index gives these rows in the order of the column.
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
