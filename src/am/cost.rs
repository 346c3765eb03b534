//! What a scan costs: the core's generic estimate with the entries and pages of this index, and
//! a descent of one page.

use pgrx::prelude::*;

/// CPU cost of visiting a page, in units of `cpu_operator_cost`: as `DEFAULT_PAGE_CPU_MULTIPLIER`
/// of selfuncs.c, which the estimates of btree use for each page of a descent.
const PAGE_CPU_MULTIPLIER: f64 = 50.0;

/// Estimates one index path. Follows `btcostestimate` of selfuncs.c where the two indexes do the
/// same; every qual on the one column bounds the scan.
///
/// # Safety
/// Called by the planner with a valid path and places for the results.
#[expect(clippy::too_many_arguments, reason = "the core's signature")]
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amcostestimate(
    root: *mut pg_sys::PlannerInfo,
    path: *mut pg_sys::IndexPath,
    loop_count: f64,
    startup_cost: *mut pg_sys::Cost,
    total_cost: *mut pg_sys::Cost,
    selectivity: *mut pg_sys::Selectivity,
    correlation: *mut f64,
    pages: *mut f64,
) {
    // SAFETY: by contract; GenericCosts is plain numbers, all zero to begin with.
    unsafe {
        let index = &*(*path).indexinfo;
        let mut costs: pg_sys::GenericCosts = std::mem::zeroed();
        pg_sys::genericcostestimate(root, path, loop_count, &mut costs);
        // The directory and the model live in the session; what is left of a descent is a search
        // in one leaf, for each key of a list.
        let entries_per_page = (index.tuples / f64::from(index.pages.max(1))).max(1.0);
        let comparisons = (entries_per_page + 1.0).log2().ceil();
        let descent = (comparisons + PAGE_CPU_MULTIPLIER) * pg_sys::cpu_operator_cost;
        costs.indexStartupCost += descent;
        costs.indexTotalCost += descent * costs.num_sa_scans.max(1.0);
        *startup_cost = costs.indexStartupCost;
        *total_cost = costs.indexTotalCost;
        *selectivity = costs.indexSelectivity;
        *correlation = heap_correlation(root, index).unwrap_or(costs.indexCorrelation);
        *pages = costs.numIndexPages;
    }
}

/// How well the order of the index follows that of the heap, -1 to 1, as ANALYZE found it.
///
/// # Safety
/// The index is one of a relation of this query.
unsafe fn heap_correlation(
    root: *mut pg_sys::PlannerInfo,
    index: &pg_sys::IndexOptInfo,
) -> Option<f64> {
    // SAFETY: by contract the index has one column, and the catalog cache's entry is released.
    unsafe {
        let column = *index.indexkeys;
        let (relation, attribute, inherited) = if column != 0 {
            let entry = *(*root).simple_rte_array.add((*index.rel).relid as usize);
            ((*entry).relid, column as pg_sys::AttrNumber, (*entry).inh)
        } else {
            // Statistics of an expression are kept for the index itself.
            (index.indexoid, 1, false)
        };
        let tuple = pg_sys::SearchSysCache3(
            pg_sys::SysCacheIdentifier::STATRELATTINH as i32,
            relation.into(),
            attribute.into(),
            inherited.into(),
        );
        if tuple.is_null() {
            return None;
        }
        let found = correlation_of(tuple, index);
        pg_sys::ReleaseSysCache(tuple);
        found
    }
}

/// # Safety
/// `tuple` is a row of pg_statistic.
unsafe fn correlation_of(tuple: pg_sys::HeapTuple, index: &pg_sys::IndexOptInfo) -> Option<f64> {
    // SAFETY: by contract; the slot is freed after its number was copied.
    unsafe {
        let input_type = *index.opcintype;
        let less = pg_sys::get_opfamily_member(
            *index.opfamily,
            input_type,
            input_type,
            pg_sys::BTLessStrategyNumber as i16,
        );
        if less == pg_sys::InvalidOid {
            return None;
        }
        let mut slot: pg_sys::AttStatsSlot = std::mem::zeroed();
        let found = pg_sys::get_attstatsslot(
            &mut slot,
            tuple,
            pg_sys::STATISTIC_KIND_CORRELATION as i32,
            less,
            pg_sys::ATTSTATSSLOT_NUMBERS as i32,
        );
        if !found || slot.nnumbers < 1 {
            return None;
        }
        let stored = f64::from(*slot.numbers);
        pg_sys::free_attstatsslot(&mut slot);
        Some(if *index.reverse_sort { -stored } else { stored })
    }
}

/// The levels above the leaves that a lookup reads: none.
#[cfg(feature = "pg18")]
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn amgettreeheight(_index: pg_sys::Relation) -> i32 {
    0
}
