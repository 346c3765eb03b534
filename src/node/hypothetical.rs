//! An index that its table does not have, for the planner alone.
//!
//! `learned_explain` creates it on a small copy of the table that it takes back afterwards. While
//! it has a query explained, the planner is told that the index is one of the table, as large as it
//! would be there. That goes for the query itself. Functions that the planner calls may run queries
//! of their own: these get to see what there is, since they are carried out.

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int};

use learned_index::page::directory;
use learned_index::page::meta::MOST_COLUMNS;
use pgrx::pg_sys::ffi;
use pgrx::prelude::*;

use crate::report::carried::carrying;

/// An index on a copy of a table.
pub(crate) struct Hypothetical {
    pub(crate) table: pg_sys::Oid,
    pub(crate) copy: pg_sys::Oid,
    pub(crate) index: pg_sys::Oid,
    /// The number that each column of the copy has in the table.
    pub(crate) columns: Vec<pg_sys::AttrNumber>,
    /// The share of the table's rows that the index has.
    pub(crate) share: f64,
    /// Learned pages for a row of the index.
    pub(crate) pages_per_row: f64,
}

thread_local! {
    static CURRENT: RefCell<Option<Hypothetical>> = const { RefCell::new(None) };
    /// How many calls of the planner are under way since there is one.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Whether the planner's hook is ours, or one that calls ours.
    static HOOKED: Cell<bool> = const { Cell::new(false) };
    /// The hook that was there before.
    static PLANNER_BEFORE: Cell<pg_sys::planner_hook_type> = const { Cell::new(None) };
}

/// Takes everything back when it is dropped, also where an error passes.
struct Told;

impl Drop for Told {
    fn drop(&mut self) {
        CURRENT.take();
        let ours = plan as unsafe extern "C-unwind" fn(_, _, _, _) -> _;
        // SAFETY: hooks are variables of this process, which no other thread uses. A library that
        // was loaded meanwhile goes on calling ours, which does nothing without an index.
        unsafe {
            if pg_sys::planner_hook.is_some_and(|hook| std::ptr::fn_addr_eq(hook, ours)) {
                pg_sys::planner_hook = PLANNER_BEFORE.take();
                HOOKED.set(false);
            }
        }
    }
}

/// Calls `explain` while the planner is told of an index.
pub(crate) fn told<T>(of: Hypothetical, explain: impl FnOnce() -> T) -> T {
    CURRENT.set(Some(of));
    DEPTH.set(0);
    if !HOOKED.replace(true) {
        // SAFETY: as above.
        unsafe {
            PLANNER_BEFORE.set(pg_sys::planner_hook);
            pg_sys::planner_hook = Some(plan);
        }
    }
    let _told = Told;
    explain()
}

/// Whether the planner is told of an index.
pub(crate) fn is_told() -> bool {
    CURRENT.with_borrow(Option::is_some)
}

/// Whether an index is none that the catalogs know. Such ones are of other libraries.
///
/// # Safety
/// Called while a query is planned, with an index of one of its tables.
pub(super) unsafe fn is_unknown(index: *const pg_sys::IndexOptInfo) -> bool {
    // SAFETY: by contract.
    let (hypothetical, oid) = unsafe { ((*index).hypothetical, (*index).indexoid) };
    let told = |current: &Option<Hypothetical>| current.as_ref().is_some_and(|of| of.index == oid);
    hypothetical && !CURRENT.with_borrow(told)
}

/// A call of the planner, until it is dropped.
struct Call;

impl Call {
    fn begin() -> Call {
        DEPTH.set(DEPTH.get() + 1);
        Call
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

/// Counts the calls of the planner.
///
/// # Safety
/// Called by the core, as the planner is.
#[pg_guard]
unsafe extern "C-unwind" fn plan(
    query: *mut pg_sys::Query,
    text: *const c_char,
    options: c_int,
    parameters: pg_sys::ParamListInfo,
) -> *mut pg_sys::PlannedStmt {
    let _call = Call::begin();
    // SAFETY: by contract.
    unsafe {
        match PLANNER_BEFORE.get() {
            Some(before) => carrying(|| {
                ffi::pg_guard_ffi_boundary(
                    #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
                    || before(query, text, options, parameters),
                )
            }),
            None => carrying(|| pg_sys::standard_planner(query, text, options, parameters)),
        }
    }
}

/// Adds the index to those of its table.
///
/// # Safety
/// Called by the planner, which has looked up what it knows of the table.
pub(super) unsafe fn add_to(
    root: *mut pg_sys::PlannerInfo,
    table: pg_sys::Oid,
    is_parent: bool,
    rel: *mut pg_sys::RelOptInfo,
) {
    if DEPTH.get() != 1 || is_parent {
        return;
    }
    CURRENT.with_borrow(|current| {
        if let Some(index) = current.as_ref().filter(|index| index.table == table) {
            // SAFETY: by contract.
            unsafe { add(root, index, &mut *rel) };
        }
    });
}

/// # Safety
/// As [`add_to`].
unsafe fn add(root: *mut pg_sys::PlannerInfo, of: &Hypothetical, rel: &mut pg_sys::RelOptInfo) {
    // SAFETY: by contract; the planner makes such structures itself. The copy is locked, since this
    // transaction has made it.
    unsafe {
        let copy = pg_sys::palloc0(size_of::<pg_sys::RelOptInfo>()).cast::<pg_sys::RelOptInfo>();
        (*copy).type_ = pg_sys::NodeTag::T_RelOptInfo;
        (*copy).reloptkind = rel.reloptkind;
        (*copy).relid = rel.relid;
        pg_sys::get_relation_info(root, of.copy, false, copy);
        let indexes = pgrx::PgList::<pg_sys::IndexOptInfo>::from_pg((*copy).indexlist);
        let Some(index) = indexes.iter_ptr().find(|&index| (*index).indexoid == of.index) else {
            return;
        };
        let found = &mut *index;
        found.rel = rel;
        found.hypothetical = true;
        found.tuples = (rel.tuples * of.share).max(1.0);
        let leaves = (found.tuples * of.pages_per_row).ceil();
        // The metapage, and one page of the model.
        let others = (leaves / directory::capacity::<[u64; MOST_COLUMNS]>() as f64).ceil() + 2.0;
        found.pages = (leaves + others).min(f64::from(u32::MAX - 1)) as pg_sys::BlockNumber;
        if renumber(found, of, rel.relid as i32) {
            rel.indexlist = pg_sys::lappend(rel.indexlist, index.cast());
        }
    }
}

/// Gives the columns the numbers that they have in the table. False if the index refers to whole
/// rows, which the copy has other ones of.
///
/// # Safety
/// As [`add_to`]; the index is one of the copy.
unsafe fn renumber(index: &mut pg_sys::IndexOptInfo, of: &Hypothetical, number: i32) -> bool {
    let mut columns = of.columns.clone();
    let map = pg_sys::AttrMap { attnums: columns.as_mut_ptr(), maplen: columns.len() as i32 };
    let mut whole_row = false;
    let mut renumbered = |list: *mut pg_sys::List| {
        let (invalid, found) = (pg_sys::InvalidOid, &raw mut whole_row);
        // SAFETY: by contract; the map has a number for each column of the copy.
        unsafe { pg_sys::map_variable_attnos(list.cast(), number, 0, &map, invalid, found).cast() }
    };
    index.indexprs = renumbered(index.indexprs);
    index.indpred = renumbered(index.indpred);
    index.indextlist = renumbered(index.indextlist);
    // SAFETY: there is a number for each column of the index.
    let keys = unsafe { std::slice::from_raw_parts_mut(index.indexkeys, index.ncolumns as usize) };
    for key in keys.iter_mut().filter(|key| **key > 0) {
        *key = of.columns[*key as usize - 1].into();
    }
    !whole_row
}
