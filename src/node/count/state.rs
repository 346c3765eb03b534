//! Carrying a count out: what the core calls.

use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;
use pgrx::{PgList, PgMemoryContexts, check_for_interrupts};

use super::explain::explain;
use super::plan::CountPlan;
use super::privilege;
use super::run::{CountState, Run, run_of};
use crate::report::carried::carrying;

/// Methods that the core keeps a pointer to.
pub(super) struct ScanMethods(pub(super) pg_sys::CustomScanMethods);

// SAFETY: names and functions, which nobody changes.
unsafe impl Sync for ScanMethods {}

/// Those of the plan node.
pub(super) static SCAN_METHODS: ScanMethods = ScanMethods(pg_sys::CustomScanMethods {
    CustomName: c"LearnedCount".as_ptr(),
    CreateCustomScanState: Some(create_state),
});

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

/// # Safety
/// Called by the core with a state that [`create_state`] has made.
#[pg_guard]
unsafe extern "C-unwind" fn begin(
    node: *mut pg_sys::CustomScanState,
    estate: *mut pg_sys::EState,
    flags: i32,
) {
    // SAFETY: by contract.
    unsafe {
        let custom = (*node).ss.ps.plan.cast::<pg_sys::CustomScan>();
        privilege::check((*custom).custom_scan_tlist);
        let plan = CountPlan::of_stored((*custom).custom_private);
        let parent = &raw mut (*node).ss.ps;
        let exprs = pg_sys::ExecInitExprList((*custom).custom_exprs, parent);
        let exprs = PgList::<pg_sys::ExprState>::from_pg(exprs);
        let is_run = flags as u32 & pg_sys::EXEC_FLAG_EXPLAIN_ONLY == 0;
        let context = (*estate).es_query_cxt;
        let run = Run::begin(plan, exprs.iter_ptr(), context, is_run);
        let mut memory = PgMemoryContexts::For(context);
        (*node.cast::<CountState>()).run = memory.leak_and_drop_on_delete(run);
    }
}

/// # Safety
/// Called by the core with a node that has begun.
#[pg_guard]
unsafe extern "C-unwind" fn end(node: *mut pg_sys::CustomScanState) {
    // SAFETY: by contract.
    unsafe { run_of(node).end() };
}

/// # Safety
/// Called by the core with a node that has begun.
#[pg_guard]
unsafe extern "C-unwind" fn rescan(node: *mut pg_sys::CustomScanState) {
    // SAFETY: by contract.
    unsafe { run_of(node).begin_again() };
}

/// The next row that meets the conditions on groups.
///
/// # Safety
/// Called by the core with a node that has begun.
#[pg_guard]
unsafe extern "C-unwind" fn next(
    node: *mut pg_sys::CustomScanState,
) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: by contract. The slot has as many columns as the plan has answers.
    unsafe {
        let run = run_of(node);
        let state = &mut (*node).ss;
        let slot = state.ss_ScanTupleSlot;
        let context = state.ps.ps_ExprContext;
        loop {
            check_for_interrupts!();
            pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
            let mut memory = PgMemoryContexts::For((*context).ecxt_per_tuple_memory);
            let row = memory.switch_to(|_| run.row(context, state.ps.state));
            let Some(row) = row else { return std::ptr::null_mut() };
            pg_sys::ExecClearTuple(slot);
            for (number, value) in row.into_iter().enumerate() {
                *(*slot).tts_values.add(number) = value.unwrap_or(pg_sys::Datum::null());
                *(*slot).tts_isnull.add(number) = value.is_none();
            }
            pg_sys::ExecStoreVirtualTuple(slot);
            (*context).ecxt_scantuple = slot;
            // Expressions around the aggregates may call anything.
            if !state.ps.qual.is_null() && !carrying(|| pg_sys::ExecQual(state.ps.qual, context)) {
                if let Some(instrument) = state.ps.instrument.as_mut() {
                    instrument.nfiltered1 += 1.0;
                }
                continue;
            }
            return match state.ps.ps_ProjInfo.is_null() {
                true => slot,
                false => carrying(|| pg_sys::ExecProject(state.ps.ps_ProjInfo)),
            };
        }
    }
}
