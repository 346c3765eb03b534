//! What a scan costs: the core's generic estimate with the entries and pages of this index, and
//! a descent of one page. In an index on several columns, a scan visits the entries of its
//! intervals (`scan/product.rs`), or fewer where it skips what its filter does not want.

use pgrx::PgList;
use pgrx::prelude::*;

use crate::column::KeyColumns;
use crate::column::code::{IndexCode, with_code};
use crate::column::included::rooms;
use crate::relation::OpenIndex;

/// CPU cost of visiting a page, in units of `cpu_operator_cost`: as `DEFAULT_PAGE_CPU_MULTIPLIER`
/// of selfuncs.c, which the estimates of btree use for each page of a descent.
const PAGE_CPU_MULTIPLIER: f64 = 50.0;
/// Entries of a group of values that are copied before the scan goes on elsewhere, about.
const PASSED_OVER: f64 = 2.0;
/// What `btcostestimate` makes of the correlation of the first of several columns.
const FIRST_OF_SEVERAL: f64 = 0.75;

/// Estimates one index path. Follows `btcostestimate` of selfuncs.c where the two indexes do the
/// same.
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
        let mut skips = 0.0;
        if index.unique && is_single_row(root, path) {
            costs.numIndexTuples = 1.0;
        } else if index.nkeycolumns > 1 {
            (costs.numIndexTuples, skips) = visited(root, path);
        }
        pg_sys::genericcostestimate(root, path, loop_count, &mut costs);
        // The directory and the model live in the session; what is left of a descent is a search
        // in one leaf, for each key of a list.
        let entries_per_page = (index.tuples / f64::from(index.pages.max(1))).max(1.0);
        let comparisons = (entries_per_page + 1.0).log2().ceil();
        let descent = (comparisons + PAGE_CPU_MULTIPLIER) * pg_sys::cpu_operator_cost;
        costs.indexStartupCost += descent;
        costs.indexTotalCost += descent * (costs.num_sa_scans.max(1.0) + skips);
        *startup_cost = costs.indexStartupCost;
        *total_cost = costs.indexTotalCost;
        *selectivity = costs.indexSelectivity;
        *correlation = heap_correlation(root, index).unwrap_or(costs.indexCorrelation);
        if index.nkeycolumns > 1 {
            *correlation *= FIRST_OF_SEVERAL;
        }
        *pages = costs.numIndexPages;
        if (*path).path.pathtype == pg_sys::NodeTag::T_IndexOnlyScan {
            let share = share_in_table(root, index);
            *total_cost +=
                cost_of_rows(root, index, *selectivity * share, loop_count, *correlation);
        }
    }
}

/// The share of the rows of which an index-only scan reads what is too long for the index in the
/// table: by the average widths that ANALYZE has found.
///
/// # Safety
/// The index is one of a relation of this query.
unsafe fn share_in_table(root: *mut pg_sys::PlannerInfo, info: &pg_sys::IndexOptInfo) -> f64 {
    if info.ncolumns == info.nkeycolumns || info.hypothetical {
        return 0.0;
    }
    // SAFETY: by contract: the planner has locked the index.
    unsafe {
        let no_lock = pg_sys::NoLock as pg_sys::LOCKMODE;
        let relation = pg_sys::index_open(info.indexoid, no_lock);
        let index = OpenIndex::new(relation);
        let (columns, _) =
            with_code!(index, C => <C as IndexCode>::Columns::of_index(index).included());
        pg_sys::index_close(relation, no_lock);
        let entry = *(*root).simple_rte_array.add((*info.rel).relid as usize);
        let attributes = (info.nkeycolumns..).map(|column| *info.indexkeys.add(column as usize));
        let shares = rooms(&columns).zip(attributes).map(|(room, attribute)| {
            let Some(room) = room else { return 0.0 };
            let width = pg_sys::get_attavgwidth((*entry).relid, attribute as pg_sys::AttrNumber);
            share_above(room as f64, f64::from(width))
        });
        shares.fold(0.0, f64::max)
    }
}

/// The share of values that are wider than there is room for, if all widths from half the average
/// to half as much again are as frequent.
fn share_above(room: f64, average: f64) -> f64 {
    if average <= 0.0 { 0.0 } else { (1.5 - room / average).clamp(0.0, 1.0) }
}

/// What it costs to read some share of the rows in the blocks of the table where `cost_index` of
/// costsize.c expects an index-only scan to read none. Follows what that does with others.
///
/// # Safety
/// The index is one of a relation of this query.
unsafe fn cost_of_rows(
    root: *mut pg_sys::PlannerInfo,
    index: &pg_sys::IndexOptInfo,
    share: f64,
    loop_count: f64,
    correlation: f64,
) -> f64 {
    // SAFETY: by contract; settings of this process.
    unsafe {
        let rel = &*index.rel;
        let rows = share * rel.tuples;
        if rows <= 0.0 || rel.pages == 0 {
            return 0.0;
        }
        let (mut random, mut sequential) = (0.0, 0.0);
        pg_sys::get_tablespace_page_costs(rel.reltablespace, &mut random, &mut sequential);
        let loops = loop_count.max(1.0);
        let fetched = |rows: f64| {
            pg_sys::index_pages_fetched(rows * loops, rel.pages, index.pages.into(), root) / loops
        };
        let most = fetched(rows) * random;
        let pages = (share * f64::from(rel.pages)).ceil();
        let least = match loops > 1.0 {
            true => fetched(pages) * random,
            false => random + (pages - 1.0).max(0.0) * sequential,
        };
        let reading = most + correlation.powi(2) * (least.min(most) - most);
        reading * rel.allvisfrac
    }
}

/// Entries that a scan visits, for each key of its lists, and how often it goes on elsewhere.
///
/// The conditions on the first columns bound the scan, up to the first column that is asked for
/// more than single values. Those on later columns are looked at entry by entry: the scan passes
/// over what they do not want, at least once for each group of values before them.
///
/// # Safety
/// As [`amcostestimate`].
unsafe fn visited(root: *mut pg_sys::PlannerInfo, path: *mut pg_sys::IndexPath) -> (f64, f64) {
    // SAFETY: by contract; the lists are of the planner's nodes.
    unsafe {
        let index = &*(*path).indexinfo;
        let mut bounds: *mut pg_sys::List = std::ptr::null_mut();
        let mut all: *mut pg_sys::List = std::ptr::null_mut();
        // The last column that bounds the scan, whether it is asked for single values, and how many
        // keys the lists make.
        let (mut column, mut single, mut arrays) = (0, false, 1.0f64);
        // Whether the clause is one of those that bound the scan, and its column.
        let (mut bounding, mut last) = (true, 0);
        for clause in PgList::<pg_sys::IndexClause>::from_pg((*path).indexclauses).iter_ptr() {
            let clause = &*clause;
            last = i32::from(clause.indexcol);
            if bounding && last != column {
                bounding = single && last == column + 1;
                if bounding {
                    (column, single) = (last, false);
                }
            }
            for info in PgList::<pg_sys::RestrictInfo>::from_pg(clause.indexquals).iter_ptr() {
                all = pg_sys::lappend(all, info.cast());
                if bounding {
                    let (is_single, elements) = single_values(root, index, column, (*info).clause);
                    single |= is_single;
                    arrays *= elements;
                    bounds = pg_sys::lappend(bounds, info.cast());
                }
            }
        }
        let walked = rows_with(root, index, bounds) / arrays;
        if last <= column {
            return (walked.round().max(1.0), 0.0);
        }
        let groups = groups_before(root, index, last, walked);
        let skipping = rows_with(root, index, all) / arrays + groups * PASSED_OVER;
        match skipping < walked {
            true => (skipping.round().max(1.0), 2.0 * groups),
            false => (walked.round().max(1.0), 0.0),
        }
    }
}

/// Whether each column of the key is asked for one value, and not for NULL: of a unique index, that
/// is one row at most.
///
/// # Safety
/// As [`amcostestimate`].
unsafe fn is_single_row(root: *mut pg_sys::PlannerInfo, path: *mut pg_sys::IndexPath) -> bool {
    // SAFETY: by contract; the list is of the planner's nodes.
    unsafe {
        let index = &*(*path).indexinfo;
        let mut asked = 0;
        for clause in PgList::<pg_sys::IndexClause>::from_pg((*path).indexclauses).iter_ptr() {
            let column = i32::from((*clause).indexcol);
            let quals = PgList::<pg_sys::RestrictInfo>::from_pg((*clause).indexquals);
            let single = |info: *mut pg_sys::RestrictInfo| {
                let clause = (*info).clause;
                (*clause).type_ == pg_sys::NodeTag::T_OpExpr
                    && single_values(root, index, column, clause).0
            };
            if column == asked && quals.iter_ptr().any(single) {
                asked += 1;
            }
        }
        asked == index.nkeycolumns
    }
}

/// The rows of the index's table that meet some conditions.
///
/// # Safety
/// The conditions are those of a path on this index.
unsafe fn rows_with(
    root: *mut pg_sys::PlannerInfo,
    index: &pg_sys::IndexOptInfo,
    conditions: *mut pg_sys::List,
) -> f64 {
    // SAFETY: by contract.
    unsafe {
        // With the predicate of a partial index, as the core counts its rows.
        let info = std::ptr::from_ref(index).cast_mut();
        let conditions = pg_sys::add_predicate_to_index_quals(info, conditions);
        let share = pg_sys::clauselist_selectivity(
            root,
            conditions,
            (*index.rel).relid as i32,
            pg_sys::JoinType::JOIN_INNER,
            std::ptr::null_mut(),
        );
        share * (*index.rel).tuples
    }
}

/// How many combinations of values the columns before one have, among some rows.
///
/// # Safety
/// The index is one of a relation of this query, with more columns than `column`.
unsafe fn groups_before(
    root: *mut pg_sys::PlannerInfo,
    index: &pg_sys::IndexOptInfo,
    column: i32,
    rows: f64,
) -> f64 {
    // SAFETY: by contract; there is a target for each column.
    unsafe {
        let mut columns: *mut pg_sys::List = std::ptr::null_mut();
        let targets = PgList::<pg_sys::TargetEntry>::from_pg(index.indextlist);
        for target in targets.iter_ptr().take(column as usize) {
            columns = pg_sys::lappend(columns, (*target).expr.cast());
        }
        let none = std::ptr::null_mut();
        pg_sys::estimate_num_groups(root, columns, rows.max(1.0), none, std::ptr::null_mut())
    }
}

/// Whether a condition on a column asks for single values, and for how many at once.
///
/// # Safety
/// The clause is one that the planner has matched to the column.
unsafe fn single_values(
    root: *mut pg_sys::PlannerInfo,
    index: &pg_sys::IndexOptInfo,
    column: i32,
    clause: *mut pg_sys::Expr,
) -> (bool, f64) {
    // SAFETY: by contract; a node is what its tag says.
    unsafe {
        let family = *index.opfamily.add(column as usize);
        let is_equality = |operator: pg_sys::Oid| {
            let strategy = pg_sys::get_op_opfamily_strategy(operator, family);
            strategy as u32 == pg_sys::BTEqualStrategyNumber
        };
        match (*clause).type_ {
            pg_sys::NodeTag::T_OpExpr => {
                (is_equality((*clause.cast::<pg_sys::OpExpr>()).opno), 1.0)
            }
            pg_sys::NodeTag::T_ScalarArrayOpExpr => {
                let array = &*clause.cast::<pg_sys::ScalarArrayOpExpr>();
                (is_equality(array.opno), array_length(root, array))
            }
            pg_sys::NodeTag::T_NullTest => {
                let test = &*clause.cast::<pg_sys::NullTest>();
                (test.nulltesttype == pg_sys::NullTestType::IS_NULL, 1.0)
            }
            // A range of its first column.
            pg_sys::NodeTag::T_RowCompareExpr => (false, 1.0),
            // A boolean column, or its negation.
            _ => (true, 1.0),
        }
    }
}

/// How many elements the core expects of an array.
///
/// # Safety
/// As [`single_values`].
unsafe fn array_length(root: *mut pg_sys::PlannerInfo, array: &pg_sys::ScalarArrayOpExpr) -> f64 {
    // SAFETY: by contract; the second argument is the array.
    unsafe { elements_of(root, pg_sys::list_nth(array.args, 1).cast()) }
}

/// How many elements the core expects of an expression for an array.
///
/// # Safety
/// The expression is one of a query that is planned.
pub(crate) unsafe fn elements_of(_root: *mut pg_sys::PlannerInfo, array: *mut pg_sys::Node) -> f64 {
    // SAFETY: by contract.
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        let length = f64::from(pg_sys::estimate_array_length(array));
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        let length = pg_sys::estimate_array_length(_root, array);
        length.max(1.0)
    }
}

/// How well the order of the index follows that of the heap, -1 to 1, as ANALYZE found it, by its
/// first column.
///
/// # Safety
/// The index is one of a relation of this query.
pub(crate) unsafe fn heap_correlation(
    root: *mut pg_sys::PlannerInfo,
    index: &pg_sys::IndexOptInfo,
) -> Option<f64> {
    // SAFETY: by contract; the catalog cache's entry is released.
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
