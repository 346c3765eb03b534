//! Some of what the planner does with B-trees, it does with whatever says that it is one. So that
//! is what it is told of indexes of ours, where they can do the same. What is told is read by the
//! planner only; the executor looks at the index itself.
//!
//! - From PostgreSQL 18 on: that the index is a B-tree. Then comparisons of rows become conditions
//!   of the index. All else that the planner asks of a B-tree, it asks of ours as well.
//! - Before: the operator families of B-trees, where ours have the same operators. Then unique
//!   indexes prove that joins find at most one row. Of indexes on one column that return its values
//!   also that they are B-trees: the planner reads the ends of these for its estimates. Not of
//!   others, and not in queries that compare rows, since the executor refuses such conditions; with
//!   one column they come from `(a, a) > (1, 2)`.

use pgrx::prelude::*;

use crate::am::indexes_of_ours;

/// Tells the planner so of the indexes of a table.
///
/// # Safety
/// The relation is one of this query that the planner has looked up.
pub(super) unsafe fn present_indexes(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo) {
    // SAFETY: by contract.
    unsafe {
        for index in indexes_of_ours(rel) {
            present(root, &mut *index);
        }
    }
}

#[cfg(feature = "pg18")]
unsafe fn present(_root: *mut pg_sys::PlannerInfo, index: &mut pg_sys::IndexOptInfo) {
    index.relam = pg_sys::BTREE_AM_OID;
}

#[cfg(not(feature = "pg18"))]
unsafe fn present(root: *mut pg_sys::PlannerInfo, index: &mut pg_sys::IndexOptInfo) {
    // The planner has found no B-tree family that sorts so.
    if index.sortopfamily.is_null() {
        return;
    }
    let columns = index.nkeycolumns as usize;
    // SAFETY: there is one of each for each column of the key.
    unsafe {
        let own = std::slice::from_raw_parts_mut(index.opfamily, columns);
        let of_btree = std::slice::from_raw_parts(index.sortopfamily, columns);
        let mut all = true;
        for (own, &of_btree) in own.iter_mut().zip(of_btree) {
            match families::have_same_operators(*own, of_btree) {
                true => *own = of_btree,
                false => all = false,
            }
        }
        if all && columns == 1 && *index.canreturn && !rows::are_compared(root) {
            index.relam = pg_sys::BTREE_AM_OID;
        }
    }
}

/// Whether a query compares rows.
#[cfg(not(feature = "pg18"))]
mod rows {
    use std::ffi::c_void;

    use pgrx::PgList;
    use pgrx::prelude::*;

    /// Whether that is asked for anywhere in a query, or by the policies of its tables.
    ///
    /// # Safety
    /// The query is being planned.
    pub(super) unsafe fn are_compared(root: *mut pg_sys::PlannerInfo) -> bool {
        // SAFETY: by contract.
        unsafe {
            let parse = &*(*root).parse;
            let entries = PgList::<pg_sys::RangeTblEntry>::from_pg(parse.rtable);
            find(parse.jointree.cast(), std::ptr::null_mut())
                || entries
                    .iter_ptr()
                    .any(|entry| find((*entry).securityQuals.cast(), std::ptr::null_mut()))
                // What a UNION ALL selects becomes a condition of its tables.
                || find((*root).append_rel_list.cast(), std::ptr::null_mut())
        }
    }

    /// # Safety
    /// `node` is null, or valid.
    #[pg_guard]
    unsafe extern "C-unwind" fn find(node: *mut pg_sys::Node, nothing: *mut c_void) -> bool {
        // SAFETY: by contract.
        unsafe {
            !node.is_null()
                && ((*node).type_ == pg_sys::NodeTag::T_RowCompareExpr
                    || pg_sys::expression_tree_walker(node, Some(find), nothing))
        }
    }
}

/// Comparing operator families, to which superusers may add operators.
#[cfg(not(feature = "pg18"))]
pub(super) mod families {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use pgrx::prelude::*;

    thread_local! {
        /// Families that were compared, and whether they have the same operators.
        static COMPARED: RefCell<HashMap<(pg_sys::Oid, pg_sys::Oid), bool>> =
            RefCell::new(HashMap::new());
    }

    /// Has what is remembered forgotten when a family changes.
    pub(in crate::node) fn register() {
        let cache = pg_sys::SysCacheIdentifier::AMOPSTRATEGY as i32;
        let nothing = pg_sys::Datum::from(0);
        // SAFETY: the function is there as long as the process is.
        unsafe { pg_sys::CacheRegisterSyscacheCallback(cache, Some(forget), nothing) };
    }

    /// # Safety
    /// Called by the core.
    #[pg_guard]
    unsafe extern "C-unwind" fn forget(_argument: pg_sys::Datum, _cache: i32, _hash: u32) {
        COMPARED.with_borrow_mut(HashMap::clear);
    }

    /// Whether two families have the same operators with the same numbers.
    ///
    /// # Safety
    /// Within a transaction.
    pub(super) unsafe fn have_same_operators(one: pg_sys::Oid, other: pg_sys::Oid) -> bool {
        if let Some(known) = COMPARED.with_borrow(|all| all.get(&(one, other)).copied()) {
            return known;
        }
        // SAFETY: by contract. What is read may have the memory forgotten.
        let same = unsafe {
            let (mut first, mut second) = (operators_of(one), operators_of(other));
            first.sort_unstable();
            second.sort_unstable();
            first == second
        };
        COMPARED.with_borrow_mut(|all| all.insert((one, other), same));
        same
    }

    /// The operators of a family: number, purpose and OID.
    ///
    /// # Safety
    /// Within a transaction.
    unsafe fn operators_of(family: pg_sys::Oid) -> Vec<(i16, i8, u32)> {
        let cache = pg_sys::SysCacheIdentifier::AMOPSTRATEGY as i32;
        let none = pg_sys::Datum::from(0);
        // SAFETY: by contract; the list is released, and its tuples are rows of pg_amop.
        unsafe {
            let list = pg_sys::SearchSysCacheList(cache, 1, family.into(), none, none);
            let members = (*list).members.as_slice((*list).n_members as usize);
            let operators = members.iter().map(|&member| {
                let tuple = &raw mut (*member).tuple;
                let row = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_amop>();
                (row.amopstrategy, row.amoppurpose, row.amopopr.to_u32())
            });
            let operators = operators.collect();
            pg_sys::ReleaseCatCacheList(list);
            operators
        }
    }
}
