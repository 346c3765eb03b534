//! The statistics of a column that an index leads with.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;

use learned_index::corruption::Result;
use learned_index::memory::listed;
use pgrx::PgMemoryContexts;
use pgrx::pg_sys;

use super::beyond::{Beyond, Order};
use super::histogram::fresh;
use super::tuple::{Statistics, ValueType, of_sample};
use crate::am::sample::{ends_of, sample_of, sizes_of};
use crate::relation::{File, OpenIndex};

/// Bytes that a session remembers of all columns; beyond, it forgets some, whichever.
const MOST_KNOWN: usize = 8 << 20;
/// The session looks at an index anew at once if it, or its table, has grown by more than a 128th
/// part.
const GREAT_GROWTH: u32 = 128;
/// If it has grown by more than a thousandth, the session first waits 20 times as long as the last
/// look took.
const GROWTH: (u32, i64) = (1_000, 20);
/// If it has grown by less, or has rows beyond the ends that may be gone by now, the session looks
/// again after a second. In microseconds.
const AFTER_GROWTH: i64 = 1_000_000;
/// Otherwise after a minute, since rows also change in place. In microseconds.
const WITHOUT_GROWTH: i64 = 60_000_000;

/// A column, or an expression, that an index leads with.
pub(super) struct Subject {
    pub(super) index: *mut pg_sys::IndexOptInfo,
    pub(super) rel: *mut pg_sys::RelOptInfo,
    /// Of which relation and column ANALYZE has written.
    pub(super) analysed: (pg_sys::Oid, pg_sys::AttrNumber),
    /// The columns that must be readable for the values to be told; null: all.
    pub(super) asked: *mut pg_sys::Bitmapset,
}

/// What was found out of a column.
struct Known {
    /// The index's file at that time.
    file: File,
    analysed: Option<Version>,
    /// Pages of the table and of the index at that time.
    pages: (u32, u32),
    /// When that was, and how long it took, in microseconds.
    at: i64,
    took: i64,
    /// A row of pg_statistic, in memory of its own; `None` where the core's is as good.
    found: Option<pg_sys::HeapTuple>,
}

/// What tells a row of pg_statistic from the next one of the same column.
type Version = (pg_sys::TransactionId, u32, u16);

thread_local! {
    static KNOWN: RefCell<Remembered> = RefCell::new(Remembered::default());
}

/// What a session remembers.
#[derive(Default)]
struct Remembered {
    /// By their indexes.
    columns: HashMap<pg_sys::Oid, Known>,
    bytes: usize,
}

/// Has what is known of an index forgotten when its definition changes, or it is dropped.
pub(super) fn register() {
    // SAFETY: a function that lives as long as the process does.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(forget), pg_sys::Datum::from(0)) };
}

/// # Safety
/// Called by the core when it invalidates what it knows of a relation, or of all (0).
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn forget(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    let forgotten: Vec<Known> = KNOWN.with(|known| {
        // No function of the core is called while it is borrowed, so this does not happen then.
        let Ok(mut known) = known.try_borrow_mut() else { return Vec::new() };
        let forgotten: Vec<Known> = if relation == pg_sys::InvalidOid {
            known.columns.drain().map(|(_, known)| known).collect()
        } else {
            known.columns.remove(&relation).into_iter().collect()
        };
        known.bytes -= forgotten.iter().map(bytes_of).sum::<usize>();
        forgotten
    });
    free_all(forgotten);
}

/// Frees what was found of columns.
fn free_all(forgotten: Vec<Known>) {
    for tuple in forgotten.into_iter().filter_map(|known| known.found) {
        // SAFETY: a tuple that is referred to nowhere else: the planner was given copies.
        unsafe { pg_sys::heap_freetuple(tuple) };
    }
}

/// Puts the statistics of a column in place, if there are better ones than ANALYZE's.
///
/// # Safety
/// The subject is one of a query that is planned, and the variable is asked for.
pub(super) unsafe fn supply(
    root: *mut pg_sys::PlannerInfo,
    subject: &Subject,
    variable: *mut pg_sys::VariableStatData,
) -> bool {
    // SAFETY: by contract; the planner has the index locked. The catalog cache's entry is released.
    unsafe {
        let relation = pg_sys::index_open((*subject.index).indexoid, 0);
        let index = OpenIndex::new(relation);
        let (oid, column) = subject.analysed;
        let cached = pg_sys::SearchSysCache3(
            pg_sys::SysCacheIdentifier::STATRELATTINH as i32,
            oid.into(),
            column.into(),
            false.into(),
        );
        let known = known_of(index, subject, cached);
        if !cached.is_null() {
            pg_sys::ReleaseSysCache(cached);
        }
        pg_sys::index_close(relation, 0);
        let Some(known) = known else { return false };
        (*variable).statsTuple = known;
        (*variable).freefunc = Some(free);
        (*variable).acl_ok = is_readable(root, subject);
        true
    }
}

/// Frees a row that the planner was given.
///
/// # Safety
/// It is one of [`supply`].
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn free(tuple: pg_sys::HeapTuple) {
    // SAFETY: by contract.
    unsafe { pg_sys::heap_freetuple(tuple) }
}

/// A copy of what is known of a column, found out where it is not known or too old.
///
/// # Safety
/// As [`supply`]; `cached` is the row of ANALYZE, or null.
unsafe fn known_of(
    index: OpenIndex,
    subject: &Subject,
    cached: pg_sys::HeapTuple,
) -> Option<pg_sys::HeapTuple> {
    // SAFETY: by contract.
    unsafe {
        let file = index.file();
        let analysed = (!cached.is_null()).then(|| version(cached));
        let pages = ((*subject.rel).pages, (*subject.index).pages);
        let now = pg_sys::GetCurrentTimestamp();
        let remembered = KNOWN.with_borrow(|known| {
            let known = known.columns.get(&index.oid()).filter(|known| known.file == file)?;
            if is_old(known, analysed, pages, now) {
                return None;
            }
            Some(known.found.map(|found| pg_sys::heap_copytuple(found)))
        });
        if let Some(found) = remembered {
            return found;
        }
        let found = find(index, cached);
        let took = pg_sys::GetCurrentTimestamp() - now;
        remember(index.oid(), Known { file, analysed, pages, at: now, took, found: None }, found);
        found
    }
}

fn is_old(known: &Known, analysed: Option<Version>, pages: (u32, u32), now: i64) -> bool {
    let by_part = |now: u32, before: u32, part: u32| now.abs_diff(before) > before / part;
    let grew =
        |part| by_part(pages.0, known.pages.0, part) || by_part(pages.1, known.pages.1, part);
    let age = now - known.at;
    let kept = match () {
        () if pages == known.pages && known.found.is_none() => WITHOUT_GROWTH,
        () if grew(GREAT_GROWTH) => -1,
        () if grew(GROWTH.0) => AFTER_GROWTH.min(GROWTH.1 * known.took),
        () => AFTER_GROWTH,
    };
    known.analysed != analysed || age < 0 || age > kept
}

/// # Safety
/// The tuple is one of a catalog.
unsafe fn version(tuple: pg_sys::HeapTuple) -> Version {
    // SAFETY: by contract.
    unsafe {
        let at = (*tuple).t_self;
        let block = u32::from(at.ip_blkid.bi_hi) << 16 | u32::from(at.ip_blkid.bi_lo);
        let inserted = (*(*tuple).t_data).t_choice.t_heap.t_xmin;
        (inserted, block, at.ip_posid)
    }
}

/// Remembers a copy of what was found.
///
/// # Safety
/// What was found is a tuple.
unsafe fn remember(index: pg_sys::Oid, mut known: Known, found: Option<pg_sys::HeapTuple>) {
    // SAFETY: by contract; what is forgotten was copied for all who use it.
    unsafe {
        known.found = found.map(|found| {
            PgMemoryContexts::CacheMemoryContext.switch_to(|_| pg_sys::heap_copytuple(found))
        });
        let forgotten = KNOWN.with_borrow_mut(|all| {
            let mut forgotten = Vec::new();
            all.bytes += bytes_of(&known);
            forgotten.extend(all.columns.insert(index, known));
            while all.bytes - forgotten.iter().map(bytes_of).sum::<usize>() > MOST_KNOWN
                && let Some(any) = all.columns.keys().find(|other| **other != index).copied()
            {
                forgotten.extend(all.columns.remove(&any));
            }
            all.bytes -= forgotten.iter().map(bytes_of).sum::<usize>();
            forgotten
        });
        free_all(forgotten);
    }
}

/// Bytes that are remembered of a column.
fn bytes_of(known: &Known) -> usize {
    // SAFETY: what was found is a tuple.
    let tuple = known.found.map_or(0, |found| unsafe { (*found).t_len as usize });
    size_of::<(pg_sys::Oid, Known)>() + size_of::<pg_sys::HeapTupleData>() + tuple
}

/// Finds out what is to be told of a column; `None` where the core's statistics are as good, or the
/// index is damaged.
///
/// # Safety
/// As [`known_of`].
unsafe fn find(index: OpenIndex, cached: pg_sys::HeapTuple) -> Option<pg_sys::HeapTuple> {
    // SAFETY: by contract; what is returned is in the memory context of the caller.
    unsafe {
        let caller = pg_sys::CurrentMemoryContext;
        let mut own = PgMemoryContexts::new("learned statistics");
        own.switch_to(|_| {
            let analysed = (!cached.is_null()).then(|| Statistics::of(cached));
            let found = statistics_of(index, analysed).ok().flatten();
            found.map(|found| {
                let own = pg_sys::CurrentMemoryContext;
                pg_sys::CurrentMemoryContext = caller;
                let copy = pg_sys::heap_copytuple(found);
                pg_sys::CurrentMemoryContext = own;
                copy
            })
        })
    }
}

/// The same, in the current memory context.
///
/// # Safety
/// As [`find`].
unsafe fn statistics_of(
    index: OpenIndex,
    analysed: Option<Statistics>,
) -> Result<Option<pg_sys::HeapTuple>> {
    // SAFETY: by contract; values are of the type of the index's first column.
    unsafe {
        let value_type = ValueType::of(index.key_types()[0]);
        let Some(analysed) = analysed else { return fresh_statistics(index, value_type) };
        let Some(bounds) = analysed.bounds().filter(|bounds| bounds.len() > 2) else {
            return Ok(None);
        };
        let Some(ends) = ends_of(index)? else { return Ok(None) };
        let order = Order::of(value_type.oid);
        let common = analysed.common();
        let sorted = common.as_ref().map(|common| order.sorted(common));
        let beyond = Beyond { index, order, ends, common: sorted };
        let Some(found) = beyond.added_to(bounds, analysed.null_share())? else { return Ok(None) };
        let scale = |before: &f32| (f64::from(*before) * found.share) as f32;
        let shares = common.map(|common| listed(common.shares.iter().map(scale)));
        Ok(Some(analysed.with(value_type, found.bounds, (found.nulls, shares))))
    }
}

/// Of a column that nobody analysed.
///
/// # Safety
/// As [`find`].
unsafe fn fresh_statistics(
    index: OpenIndex,
    value_type: ValueType,
) -> Result<Option<pg_sys::HeapTuple>> {
    if value_type.oid == pg_sys::BOOLOID {
        // Of these the core knows that there are two.
        return Ok(None);
    }
    // SAFETY: by contract; values are of the type of the index's first column.
    unsafe {
        let Some((least, _)) = ends_of(index)? else { return Ok(None) };
        let sample = sample_of(index, pg_sys::BTGreaterEqualStrategyNumber, least)?;
        let Some(bounds) = fresh(least, &sample) else { return Ok(None) };
        let sizes = sizes_of(index)?;
        let nulls = sizes.nulls / (sizes.nulls + sizes.values);
        Ok(Some(of_sample(value_type, bounds, nulls)))
    }
}

/// Whether the user may see the values, so that operators that might tell them are called with
/// them: as `all_rows_selectable` of selfuncs.c says, which not every minor release has (it came
/// with the fix of CVE-2025-8713). Without it, only owners of the right to read the whole table are
/// trusted, and no table with row security.
///
/// # Safety
/// As [`supply`].
unsafe fn is_readable(root: *mut pg_sys::PlannerInfo, subject: &Subject) -> bool {
    type Selectable = unsafe extern "C-unwind" fn(
        *mut pg_sys::PlannerInfo,
        pg_sys::Index,
        *mut pg_sys::Bitmapset,
    ) -> bool;
    thread_local! {
        /// Looked up once: the server does not change.
        static SELECTABLE: Cell<Option<*mut c_void>> = const { Cell::new(None) };
    }
    // SAFETY: by contract; a function of this name is this function.
    unsafe {
        let number = (*subject.rel).relid;
        let look_up = || {
            let name = c"all_rows_selectable".as_ptr();
            pg_sys::lookup_external_function(std::ptr::null_mut(), name)
        };
        let found: *mut c_void = SELECTABLE.get().unwrap_or_else(look_up);
        SELECTABLE.set(Some(found));
        if found.is_null() {
            let entry = *(*root).simple_rte_array.add(number as usize);
            let select = pg_sys::ACL_SELECT as pg_sys::AclMode;
            let granted = pg_sys::pg_class_aclcheck((*entry).relid, pg_sys::GetUserId(), select);
            return (*entry).securityQuals.is_null() && granted == pg_sys::AclResult::ACLCHECK_OK;
        }
        let selectable: Selectable = std::mem::transmute(found);
        pg_sys::ffi::pg_guard_ffi_boundary(
            #[expect(ffi_unwind_calls, reason = "the guard turns an error into a panic")]
            || selectable(root, number, subject.asked),
        )
    }
}
