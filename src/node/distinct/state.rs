//! Carrying it out: what the core calls.

use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;

use crate::am::scan::leave_group;
use crate::node::explain::{column_of, show_number, show_text};
use crate::node::list_of;
use crate::report::carried::carrying;
use crate::report::refuse;

/// What a plan keeps: in numbers, since plans are copied, cached and sent to workers.
pub(super) struct Skipping {
    pub(super) index: pg_sys::Oid,
    /// How many of its first columns are the same in the rows of a group.
    pub(super) alike: i32,
    /// How the index is read.
    pub(super) direction: pg_sys::ScanDirection::Type,
}

impl Skipping {
    /// As a list of integers.
    ///
    /// # Safety
    /// Within a memory context.
    pub(super) unsafe fn stored(&self) -> *mut pg_sys::List {
        let numbers = [self.index.to_u32() as i32, self.alike, self.direction];
        // SAFETY: by contract.
        let add = |list, number| unsafe { pg_sys::lappend_int(list, number) };
        numbers.into_iter().fold(std::ptr::null_mut(), add)
    }

    /// From such a list.
    ///
    /// # Safety
    /// The list is one that [`Skipping::stored`] has made, or a copy.
    unsafe fn of_stored(list: *mut pg_sys::List) -> Skipping {
        // SAFETY: by contract.
        let number = |place| unsafe { pg_sys::list_nth_int(list, place) };
        let index = pg_sys::Oid::from_u32(number(0) as u32);
        Skipping { index, alike: number(1), direction: number(2) }
    }
}

/// The state of a plan node, as the core sees it; and what we keep beside that.
#[repr(C)]
struct DistinctState {
    node: pg_sys::CustomScanState,
    /// The node of the scan.
    below: *mut pg_sys::PlanState,
    /// Whether the group of the row that was returned last is still to be left.
    is_in_group: bool,
    groups: u64,
    /// How often the index was searched for the group behind another.
    searches: u64,
}

/// Methods that the core keeps a pointer to.
pub(super) struct ScanMethods(pub(super) pg_sys::CustomScanMethods);

// SAFETY: names and functions, which nobody changes.
unsafe impl Sync for ScanMethods {}

/// Those of the plan node.
pub(super) static SCAN_METHODS: ScanMethods = ScanMethods(pg_sys::CustomScanMethods {
    CustomName: c"LearnedDistinct".as_ptr(),
    CreateCustomScanState: Some(create_state),
});

/// Methods that the core keeps a pointer to.
struct Methods(pg_sys::CustomExecMethods);

// SAFETY: names and functions, which nobody changes.
unsafe impl Sync for Methods {}

static METHODS: Methods = Methods(pg_sys::CustomExecMethods {
    CustomName: c"LearnedDistinct".as_ptr(),
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
unsafe extern "C-unwind" fn create_state(_plan: *mut pg_sys::CustomScan) -> *mut pg_sys::Node {
    // SAFETY: a state without fields that are set is valid; the core frees it with the query.
    unsafe {
        let state: *mut DistinctState = pg_sys::palloc0(size_of::<DistinctState>()).cast();
        (*state).node.ss.ps.type_ = NodeTag::T_CustomScanState;
        (*state).node.methods = &raw const METHODS.0;
        state.cast()
    }
}

/// What a plan node of ours keeps.
///
/// # Safety
/// As [`skipping_of`].
unsafe fn state_of<'n>(node: *mut pg_sys::CustomScanState) -> &'n mut DistinctState {
    // SAFETY: by contract: the state was made by `create_state`.
    unsafe { &mut *node.cast::<DistinctState>() }
}

/// The plan of a node.
///
/// # Safety
/// `node` is one of ours.
unsafe fn skipping_of(node: *mut pg_sys::CustomScanState) -> Skipping {
    // SAFETY: by contract: the plan was made by `plan_path`.
    unsafe {
        let custom = (*node).ss.ps.plan.cast::<pg_sys::CustomScan>();
        Skipping::of_stored((*custom).custom_private)
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
        let plan = pg_sys::list_nth((*custom).custom_plans, 0).cast();
        let below = carrying(|| pg_sys::ExecInitNode(plan, estate, flags));
        state_of(node).below = below;
        let node = &mut *node;
        node.custom_ps = list_of([below]);
        if node.ss.ps.ps_ProjInfo.is_null() {
            // The rows of the scan are returned as they are.
            let mut is_fixed = false;
            node.ss.ps.resultops = pg_sys::ExecGetResultSlotOps(below, &mut is_fixed);
            node.ss.ps.resultopsfixed = is_fixed;
            node.ss.ps.resultopsset = true;
        }
    }
}

/// # Safety
/// Called by the core with a node that has begun.
#[pg_guard]
unsafe extern "C-unwind" fn end(node: *mut pg_sys::CustomScanState) {
    // SAFETY: by contract.
    unsafe { carrying(|| pg_sys::ExecEndNode(state_of(node).below)) };
}

/// # Safety
/// Called by the core with a node that has begun.
#[pg_guard]
unsafe extern "C-unwind" fn rescan(node: *mut pg_sys::CustomScanState) {
    // SAFETY: by contract.
    unsafe {
        let state = state_of(node);
        state.is_in_group = false;
        let (below, changed) = (state.below, (*node).ss.ps.chgParam);
        if !changed.is_null() {
            pg_sys::UpdateChangedParamSet(below, changed);
        }
        // Otherwise it begins again when it is asked for a row.
        if (*below).chgParam.is_null() {
            carrying(|| pg_sys::ExecReScan(below));
        }
    }
}

/// The first row of the next group.
///
/// # Safety
/// Called by the core with a node that has begun.
#[pg_guard]
unsafe extern "C-unwind" fn next(
    node: *mut pg_sys::CustomScanState,
) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: by contract. The slot of the scan has as many columns as ours.
    unsafe {
        let state = state_of(node);
        if std::mem::take(&mut state.is_in_group) {
            leave(node);
        }
        let row = carrying(|| pg_sys::ExecProcNode(state.below));
        if row.is_null() || u32::from((*row).tts_flags) & pg_sys::TTS_FLAG_EMPTY != 0 {
            return std::ptr::null_mut();
        }
        state.is_in_group = true;
        state.groups += 1;
        let scan = &mut (*node).ss;
        if scan.ps.ps_ProjInfo.is_null() {
            return row;
        }
        let (slot, context) = (scan.ss_ScanTupleSlot, scan.ps.ps_ExprContext);
        pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
        pg_sys::ExecClearTuple(slot);
        pg_sys::slot_getallattrs(row);
        let columns = (*(*slot).tts_tupleDescriptor).natts as usize;
        (*slot).tts_values.copy_from_nonoverlapping((*row).tts_values, columns);
        (*slot).tts_isnull.copy_from_nonoverlapping((*row).tts_isnull, columns);
        pg_sys::ExecStoreVirtualTuple(slot);
        (*context).ecxt_scantuple = slot;
        carrying(|| pg_sys::ExecProject(scan.ps.ps_ProjInfo))
    }
}

/// Has the scan leave the group of the row that it returned last.
///
/// # Safety
/// As [`next`]; the scan has returned a row.
unsafe fn leave(node: *mut pg_sys::CustomScanState) {
    // SAFETY: by contract. A scan that has returned a row is open.
    unsafe {
        let (state, Skipping { alike, direction, index }) = (state_of(node), skipping_of(node));
        let scan = scan_of(state.below);
        let left = if scan.is_null() { None } else { leave_group(scan, alike as usize, direction) };
        match left {
            Some(is_searched) => state.searches += u64::from(is_searched),
            None => refuse(
                PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                format!("the scan of index {} stands on no row", index.to_u32()),
                "Please report this. SET omendb_learned.enable_distinct = off avoids it.",
            ),
        }
    }
}

/// The open scan of an index that a node reads; null if there is none.
///
/// # Safety
/// The node is that of a plan of the core for a path of an index.
unsafe fn scan_of(mut node: *mut pg_sys::PlanState) -> pg_sys::IndexScanDesc {
    // SAFETY: by contract; a node is what its tag says.
    unsafe {
        // A condition on no row, such as a parameter, is checked above the scan.
        while (*node).type_ == NodeTag::T_ResultState && !(*node).lefttree.is_null() {
            node = (*node).lefttree;
        }
        match (*node).type_ {
            NodeTag::T_IndexScanState => (*node.cast::<pg_sys::IndexScanState>()).iss_ScanDesc,
            NodeTag::T_IndexOnlyScanState => {
                (*node.cast::<pg_sys::IndexOnlyScanState>()).ioss_ScanDesc
            }
            _ => std::ptr::null_mut(),
        }
    }
}

/// Adds to EXPLAIN what groups are told apart by and, with ANALYZE, how many there were and how
/// many of them the index was searched for.
///
/// # Safety
/// Called by the core with a node that has begun.
#[pg_guard]
unsafe extern "C-unwind" fn explain(
    node: *mut pg_sys::CustomScanState,
    _ancestors: *mut pg_sys::List,
    explain: *mut pg_sys::ExplainState,
) {
    // SAFETY: by contract.
    unsafe {
        let (state, Skipping { alike, index, .. }) = (state_of(node), skipping_of(node));
        let columns: Vec<_> = (1..=alike).map(|column| column_of(index, column)).collect();
        if let Ok(text) = std::ffi::CString::new(columns.join(", ")) {
            show_text(explain, c"Group Key", text.as_ptr());
        }
        if (*explain).analyze {
            show_number(explain, c"Groups", state.groups);
            show_number(explain, c"Searches", state.searches);
        }
    }
}
