//! What a query asks of the columns of an index: from the planner's clauses to the keys of a scan.

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag};

use crate::am::count::is_told_by_codes;
use crate::am::elements_of;
use crate::node::hypothetical::is_unknown;
use crate::node::list_of;

/// The conditions of a query on the rows of a table, as far as an index can tell which rows meet
/// them: all of them, and exactly.
pub(super) struct Conditions {
    /// Each with what it compares the column with; null where it compares with nothing.
    pub(super) list: Vec<(Condition, *mut pg_sys::Expr)>,
    /// A path that the core has made of them; null where there are none.
    pub(super) path: *mut pg_sys::IndexPath,
}

/// One condition on a column: a key of a scan without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// The column of the index, from 1.
    pub(super) column: i32,
    /// `SK_` bits of skey.h.
    pub(super) flags: i32,
    /// The comparison, as the operator family numbers it; 0 for NULL tests.
    pub(super) strategy: i32,
    /// The type of the value.
    pub(super) value_type: pg_sys::Oid,
    /// The operator, for EXPLAIN.
    pub(super) operator: pg_sys::Oid,
}

/// Numbers that a condition is stored as.
pub(super) const STORED: usize = 5;

impl Condition {
    /// That a column is not NULL.
    pub(super) const fn not_null(column: i32) -> Condition {
        let flags = (pg_sys::SK_ISNULL | pg_sys::SK_SEARCHNOTNULL) as i32;
        let none = pg_sys::InvalidOid;
        Condition { column, flags, strategy: 0, value_type: none, operator: none }
    }

    /// Whether it compares the column with something.
    pub(super) fn has_value(&self) -> bool {
        self.strategy != 0
    }

    /// Whether rows whose column is NULL may meet it.
    pub(super) fn admits_null(&self) -> bool {
        self.flags & pg_sys::SK_SEARCHNULL as i32 != 0
    }

    /// As numbers that a plan can keep.
    pub(super) fn stored(&self) -> [i32; STORED] {
        let (value_type, operator) = (self.value_type.to_u32(), self.operator.to_u32());
        [self.column, self.flags, self.strategy, value_type as i32, operator as i32]
    }

    /// From these numbers.
    pub(super) fn of_stored(stored: [i32; STORED]) -> Condition {
        let [column, flags, strategy, value_type, operator] = stored;
        let oid = |number: i32| pg_sys::Oid::from_u32(number as u32);
        Condition { column, flags, strategy, value_type: oid(value_type), operator: oid(operator) }
    }

    /// The key of a scan. Our scans call no function of it, so it has none.
    pub(super) fn key(&self, value: pg_sys::Datum, is_null: bool) -> pg_sys::ScanKeyData {
        // SAFETY: plain numbers, and functions that are null.
        let mut key: pg_sys::ScanKeyData = unsafe { std::mem::zeroed() };
        key.sk_flags = self.flags | if is_null { pg_sys::SK_ISNULL as i32 } else { 0 };
        key.sk_attno = self.column as pg_sys::AttrNumber;
        key.sk_strategy = self.strategy as pg_sys::StrategyNumber;
        key.sk_subtype = self.value_type;
        key.sk_argument = value;
        key
    }
}

impl Conditions {
    /// The conditions of a query on a table, if an index of it tells exactly which rows meet them.
    ///
    /// # Safety
    /// The index is one of the relation, which is a table of this query whose paths were made.
    pub(super) unsafe fn of(
        root: *mut pg_sys::PlannerInfo,
        rel: *mut pg_sys::RelOptInfo,
        index: *mut pg_sys::IndexOptInfo,
    ) -> Option<Conditions> {
        // SAFETY: by contract.
        unsafe {
            if is_unknown(index) || !((*index).indpred.is_null() || (*index).predOK) {
                return None;
            }
            // Less those that the predicate of a partial index implies.
            let asked = PgList::<pg_sys::RestrictInfo>::from_pg((*index).indrestrictinfo);
            if asked.is_empty() {
                // Of a table that was proven to have no rows, the planner does not say.
                if (*index).indpred.is_null() && !(*rel).baserestrictinfo.is_null() {
                    return None;
                }
                return Some(Conditions { list: Vec::new(), path: std::ptr::null_mut() });
            }
            let path = core_path(root, rel, index, &asked)?;
            let clauses = PgList::<pg_sys::IndexClause>::from_pg((*path).indexclauses);
            let mut list = Vec::new();
            for clause in clauses.iter_ptr() {
                let quals = PgList::<pg_sys::RestrictInfo>::from_pg((*clause).indexquals);
                for qual in quals.iter_ptr() {
                    list.push(condition(index, (*clause).indexcol.into(), (*qual).clause)?);
                }
            }
            Some(Conditions { list, path })
        }
    }

    /// Whether anything is asked of the first column of an index, or that may be an expression.
    ///
    /// # Safety
    /// As [`Conditions::of`].
    pub(super) unsafe fn may_begin(
        rel: *mut pg_sys::RelOptInfo,
        index: *mut pg_sys::IndexOptInfo,
    ) -> bool {
        // SAFETY: by contract.
        unsafe {
            let leading = *(*index).indexkeys;
            let asked = PgList::<pg_sys::RestrictInfo>::from_pg((*index).indrestrictinfo);
            leading == 0
                || asked.iter_ptr().any(|info| {
                    let mut columns = std::ptr::null_mut();
                    let clause = (*info).clause.cast();
                    pg_sys::pull_varattnos(clause, (*rel).relid, &raw mut columns);
                    let column = leading - pg_sys::FirstLowInvalidHeapAttributeNumber;
                    pg_sys::bms_is_member(column, columns)
                })
        }
    }

    /// Whether a column, from 1, is asked for one value.
    pub(super) fn is_single(&self, column: i32) -> bool {
        self.list.iter().any(|(condition, _)| {
            condition.column == column
                && condition.strategy == pg_sys::BTEqualStrategyNumber as i32
                && condition.flags == 0
        })
    }

    /// How many columns from the first on are asked for one value each.
    pub(super) fn single_columns(&self) -> i32 {
        (1..).take_while(|&column| self.is_single(column)).count() as i32
    }

    /// How many values, or combinations of values, lists ask for.
    ///
    /// # Safety
    /// Called while the planner makes paths for this query.
    pub(super) unsafe fn searches(&self, root: *mut pg_sys::PlannerInfo) -> f64 {
        let is_list = |condition: &Condition| condition.flags & pg_sys::SK_SEARCHARRAY as i32 != 0;
        let lists = self.list.iter().filter(|(condition, _)| is_list(condition));
        // SAFETY: by contract.
        lists.map(|(_, value)| unsafe { elements_of(root, value.cast()) }).product()
    }

    /// The share of a table's rows that meets the conditions on one column, from 0.
    ///
    /// # Safety
    /// Called while the planner makes paths for this query; the table is one of it.
    pub(super) unsafe fn share_of(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rel: *mut pg_sys::RelOptInfo,
        column: i32,
    ) -> f64 {
        // SAFETY: by contract; the path is valid.
        unsafe {
            let Some(path) = self.path.as_ref() else { return 1.0 };
            let mut own: *mut pg_sys::List = std::ptr::null_mut();
            for clause in PgList::<pg_sys::IndexClause>::from_pg(path.indexclauses).iter_ptr() {
                if i32::from((*clause).indexcol) == column {
                    own = pg_sys::lappend(own, (*clause).rinfo.cast());
                }
            }
            let number = (*rel).relid as i32;
            let inner = pg_sys::JoinType::JOIN_INNER;
            pg_sys::clauselist_selectivity(root, own, number, inner, std::ptr::null_mut())
        }
    }

    /// Whether what they ask for is one interval, or a few: no column is asked for anything behind
    /// one that is not asked for one value.
    pub(super) fn are_intervals(&self) -> bool {
        let last = self.single_columns() + 1;
        self.list.iter().all(|(condition, _)| condition.column <= last)
    }
}

/// The path of the core by which an index gives exactly the rows that are asked for. The core
/// decides which clauses an index understands, and in what form.
///
/// # Safety
/// As [`Conditions::of`].
unsafe fn core_path(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    index: *mut pg_sys::IndexOptInfo,
    asked: &PgList<pg_sys::RestrictInfo>,
) -> Option<*mut pg_sys::IndexPath> {
    // SAFETY: by contract.
    unsafe {
        // Mostly it has made one already that is among those of the table.
        let paths = PgList::<pg_sys::Path>::from_pg((*rel).pathlist);
        let is_made = |path: &*mut pg_sys::IndexPath| {
            is_plain((*path).cast()) && (**path).indexinfo == index && tells_all(*path, asked)
        };
        if let Some(made) = paths.iter_ptr().map(|path| path.cast()).find(is_made) {
            return Some(made);
        }
        let path = core_paths(root, rel, index).into_iter().find(|&path| tells_all(path, asked))?;
        // It refers to a copy of the index.
        (*path).indexinfo = index;
        Some(path)
    }
}

/// The paths that the core makes of a relation if it has this index only, and nothing that the
/// index could be joined with. They refer to copies of the two.
///
/// # Safety
/// As [`Conditions::of`].
pub(super) unsafe fn core_paths(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    index: *mut pg_sys::IndexOptInfo,
) -> Vec<*mut pg_sys::IndexPath> {
    // SAFETY: by contract. The copies are used by this call alone; what they point to is not
    // changed.
    unsafe {
        let mut only_index = *index;
        only_index.amhasgetbitmap = false;
        let mut only_rel = *rel;
        only_rel.indexlist = list_of([&raw mut only_index]);
        only_rel.pathlist = std::ptr::null_mut();
        only_rel.partial_pathlist = std::ptr::null_mut();
        only_rel.joininfo = std::ptr::null_mut();
        only_rel.has_eclass_joins = false;
        only_rel.consider_parallel = false;
        pg_sys::create_index_paths(root, &mut only_rel);
        let paths = PgList::<pg_sys::Path>::from_pg(only_rel.pathlist);
        paths.iter_ptr().filter(|path| is_plain(*path)).map(|path| path.cast()).collect()
    }
}

/// Whether a path is one of an index, for no join.
///
/// # Safety
/// The path is valid.
unsafe fn is_plain(path: *mut pg_sys::Path) -> bool {
    // SAFETY: by contract.
    unsafe { (*path).type_ == NodeTag::T_IndexPath && (*path).param_info.is_null() }
}

/// Whether the clauses of a path are all that is asked for, and none of them asks for less.
///
/// # Safety
/// The path is valid.
unsafe fn tells_all(path: *mut pg_sys::IndexPath, asked: &PgList<pg_sys::RestrictInfo>) -> bool {
    // SAFETY: by contract.
    unsafe {
        let clauses = PgList::<pg_sys::IndexClause>::from_pg((*path).indexclauses);
        let exact: Vec<_> = clauses
            .iter_ptr()
            .filter(|clause| !(**clause).lossy)
            .map(|clause| (*clause).rinfo)
            .collect();
        exact.len() == clauses.len() && asked.iter_ptr().all(|info| exact.contains(&info))
    }
}

/// What a clause asks of a column, from 0, and what it compares it with. `None` where codes do not
/// tell.
///
/// # Safety
/// The planner has matched the clause to the column.
unsafe fn condition(
    index: *mut pg_sys::IndexOptInfo,
    column: i32,
    clause: *mut pg_sys::Expr,
) -> Option<(Condition, *mut pg_sys::Expr)> {
    // SAFETY: by contract; a node is what its tag says.
    unsafe {
        let number = column + 1;
        let compared = |operator, args: *mut pg_sys::List, flags: u32| {
            let (strategy, value_type) = comparison(index, column, operator);
            let told = is_told_by_codes(*(*index).opcintype.add(column as usize), value_type);
            let flags = flags as i32;
            let condition = Condition { column: number, flags, strategy, value_type, operator };
            told.then(|| (condition, pg_sys::list_nth(args, 1).cast()))
        };
        match (*clause).type_ {
            NodeTag::T_OpExpr => {
                let clause = &*clause.cast::<pg_sys::OpExpr>();
                compared(clause.opno, clause.args, 0)
            }
            NodeTag::T_ScalarArrayOpExpr => {
                let clause = &*clause.cast::<pg_sys::ScalarArrayOpExpr>();
                clause.useOr.then_some(())?;
                compared(clause.opno, clause.args, pg_sys::SK_SEARCHARRAY)
            }
            NodeTag::T_NullTest => {
                let test = &*clause.cast::<pg_sys::NullTest>();
                let is_null = test.nulltesttype == pg_sys::NullTestType::IS_NULL;
                let mut condition = Condition::not_null(number);
                if is_null {
                    condition.flags = (pg_sys::SK_ISNULL | pg_sys::SK_SEARCHNULL) as i32;
                }
                Some((condition, std::ptr::null_mut()))
            }
            // The comparison of rows.
            _ => None,
        }
    }
}

/// The number of an operator in the family of a column, and the type of its right argument.
///
/// # Safety
/// The operator is one of the family.
unsafe fn comparison(
    index: *mut pg_sys::IndexOptInfo,
    column: i32,
    operator: pg_sys::Oid,
) -> (i32, pg_sys::Oid) {
    let (mut strategy, mut left, mut right) = (0, pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: by contract.
    unsafe {
        let family = *(*index).opfamily.add(column as usize);
        pg_sys::get_op_opfamily_properties(
            operator,
            family,
            false,
            &mut strategy,
            &mut left,
            &mut right,
        );
    }
    (strategy, right)
}
