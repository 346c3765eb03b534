//! Conditions that follow from those of a query, and that an index understands where the core finds
//! none: of `ts::date = d`, between which times `ts` is.
//!
//! - `ts::date` and `date_trunc` compared with a value that is the same for all rows: the column
//!   lies between two ends. Both functions ascend, but for hours that a clock is put back, for
//!   which the ends leave room (`sql/truncation.rs`).
//! - `(a, b) > (x, y)`, where the executor does not take it from an index: `a >= x`.
//!
//! The core makes its paths once more, as if the derived conditions had been asked for too. What
//! was asked for stays a filter of each row, so that a derived condition may be wide; and the
//! number of rows that the planner expects is not changed by it. Like the core, which always uses
//! all conditions that an index understands, this drops the scans of the same index without them:
//! with a small LIMIT they seem as cheap, however many rows they read before the first that
//! matches.

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

use super::hypothetical::is_unknown;
use super::{execution_of, list_of};
use crate::am::indexes_of_ours;

static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);

/// Makes the setting known.
pub(super) fn register() {
    GucRegistry::define_bool_guc(
        c"omendb_learned.enable_derived_conditions",
        c"Enables conditions of learned indexes that the planner derives from others.",
        c"",
        &ENABLED,
        GucContext::Userset,
        GucFlags::EXPLAIN,
    );
}

const USECS_PER_SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * USECS_PER_SECOND;

/// The longest that the units of `date_trunc` are, in microseconds (datetime.c): their names
/// without abbreviations.
const UNITS: [(&[&str], i64); 13] = [
    (&["microsecond", "microseconds"], 1),
    (&["millisecond", "milliseconds"], 1000),
    (&["second", "seconds"], USECS_PER_SECOND),
    (&["minute", "minutes"], 60 * USECS_PER_SECOND),
    (&["hour", "hours"], 3600 * USECS_PER_SECOND),
    (&["day", "days"], DAY),
    (&["week", "weeks"], 7 * DAY),
    (&["month", "months"], 31 * DAY),
    (&["quarter"], 92 * DAY),
    (&["year", "years"], 366 * DAY),
    (&["decade", "decades"], 3653 * DAY),
    (&["century", "centuries"], 36_525 * DAY),
    (&["millennium", "millennia"], 365_250 * DAY),
];

/// The longest that a unit of `date_trunc` is, in microseconds.
pub(crate) fn longest(unit: &str) -> Option<i64> {
    let unit = unit.to_ascii_lowercase();
    UNITS.iter().find(|(names, _)| names.contains(&unit.as_str())).map(|(_, longest)| *longest)
}

/// Adds the paths of a table that indexes of ours offer by derived conditions.
///
/// # Safety
/// Called while the planner makes paths for the relation of this entry.
pub(super) unsafe fn add_paths(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    entry: *mut pg_sys::RangeTblEntry,
) {
    // SAFETY: by contract. The copies are as valid as what they are copied from, and live as long.
    unsafe {
        let is_scanned = (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION
            && !(*entry).inh
            && (*entry).tablesample.is_null()
            && indexes_of_ours(rel).next().is_some();
        if !ENABLED.get() || !is_scanned || pg_sys::is_dummy_rel(rel) {
            return;
        }
        // As if there were only these indexes, each with more to ask for.
        let copy = copy_of(rel);
        let mut indexes = Vec::new();
        for index in indexes_of_ours(rel).filter(|&index| !is_unknown(index)) {
            let derived = derive(root, index);
            if derived.is_empty() {
                continue;
            }
            let own = copy_of(index);
            (*own).rel = copy;
            (*own).indrestrictinfo = derived
                .into_iter()
                .fold(pg_sys::list_copy((*index).indrestrictinfo), |list, condition| {
                    pg_sys::lappend(list, condition.cast())
                });
            indexes.push((own, index));
        }
        if indexes.is_empty() {
            return;
        }
        (*copy).indexlist = list_of(indexes.iter().map(|(own, _)| *own));
        (*copy).pathlist = std::ptr::null_mut();
        (*copy).partial_pathlist = std::ptr::null_mut();
        pg_sys::create_index_paths(root, copy);
        (*rel).ppilist = (*copy).ppilist;
        let paths = PgList::<pg_sys::Path>::from_pg((*rel).pathlist);
        let others = paths.iter_ptr().filter(|path| {
            let index = (**path).type_ == NodeTag::T_IndexPath;
            let is_of = |index| (*path.cast::<pg_sys::IndexPath>()).indexinfo == index;
            !(index && indexes.iter().any(|(_, index)| is_of(*index)))
        });
        (*rel).pathlist = list_of(others);
        let ours = |path: *mut pg_sys::Path| {
            (*path).parent = rel;
            // What is left to check is what was asked for.
            if (*path).type_ == NodeTag::T_IndexPath {
                let path = &mut *path.cast::<pg_sys::IndexPath>();
                let of = indexes.iter().find(|(own, _)| *own == path.indexinfo);
                path.indexinfo = of.map_or(path.indexinfo, |(_, index)| *index);
            }
            path
        };
        for path in PgList::<pg_sys::Path>::from_pg((*copy).pathlist).iter_ptr() {
            pg_sys::add_path(rel, ours(path));
        }
        for path in PgList::<pg_sys::Path>::from_pg((*copy).partial_pathlist).iter_ptr() {
            pg_sys::add_partial_path(rel, ours(path));
        }
    }
}

/// A copy of a node, without copies of what it points to.
///
/// # Safety
/// The node is valid.
unsafe fn copy_of<T>(node: *mut T) -> *mut T {
    // SAFETY: by contract; there is room for one.
    unsafe {
        let copy = pg_sys::palloc(size_of::<T>()).cast::<T>();
        std::ptr::copy_nonoverlapping(node, copy, 1);
        copy
    }
}

/// The conditions on an index's columns that follow from what is asked of its table.
///
/// # Safety
/// The index is one of a relation whose paths the planner makes.
unsafe fn derive(
    root: *mut pg_sys::PlannerInfo,
    index: *mut pg_sys::IndexOptInfo,
) -> Vec<*mut pg_sys::RestrictInfo> {
    let mut derived = Vec::new();
    // SAFETY: by contract; a node is what its tag says.
    unsafe {
        if !(*index).indpred.is_null() && !(*index).predOK {
            return derived;
        }
        let asked = PgList::<pg_sys::RestrictInfo>::from_pg((*index).indrestrictinfo);
        for asked in asked.iter_ptr() {
            let clause = (*asked).clause;
            let clauses = match (*clause).type_ {
                NodeTag::T_OpExpr => of_function(root, index, &*clause.cast()),
                // The core does that.
                NodeTag::T_RowCompareExpr if (*index).relam == pg_sys::BTREE_AM_OID => None,
                NodeTag::T_RowCompareExpr => of_row(root, index, &*clause.cast()),
                _ => None,
            };
            for clause in clauses.into_iter().flatten() {
                derived.push(asked_too(root, clause, (*asked).security_level));
            }
        }
    }
    derived
}

/// What a clause is to the planner that must hold as well, as secret as another one.
///
/// # Safety
/// Called while the planner makes paths for this query.
unsafe fn asked_too(
    root: *mut pg_sys::PlannerInfo,
    clause: *mut pg_sys::Expr,
    security_level: pg_sys::Index,
) -> *mut pg_sys::RestrictInfo {
    let none = std::ptr::null_mut();
    // SAFETY: by contract.
    unsafe {
        #[cfg(feature = "pg15")]
        return pg_sys::make_restrictinfo(
            root,
            clause,
            true,
            false,
            false,
            security_level,
            none,
            none,
            none,
        );
        #[cfg(not(feature = "pg15"))]
        pg_sys::make_restrictinfo(
            root,
            clause,
            true,
            false,
            false,
            false,
            security_level,
            none,
            none,
            none,
        )
    }
}

/// Whether an expression has the same value for all rows of a query, and may be computed more than
/// once.
///
/// # Safety
/// It is one of a query that is planned.
unsafe fn is_fixed(root: *mut pg_sys::PlannerInfo, expr: *mut pg_sys::Node) -> bool {
    // SAFETY: by contract.
    unsafe {
        pg_sys::pull_varnos(root, expr).is_null()
            && !pg_sys::contain_volatile_functions(expr)
            && !pg_sys::contain_subplans(expr)
    }
}

/// The column of the key, from 0, that an expression is.
///
/// # Safety
/// As [`derive()`].
unsafe fn column_of(index: *mut pg_sys::IndexOptInfo, expr: *mut pg_sys::Node) -> Option<i32> {
    // SAFETY: by contract.
    unsafe {
        (0..(*index).nkeycolumns)
            .find(|&column| pg_sys::match_index_to_operand(expr, column, index))
    }
}

/// A function that cuts the column to a unit.
struct Cut {
    column: i32,
    /// The column, as the function's argument.
    argument: *mut pg_sys::Node,
    argument_type: pg_sys::Oid,
    /// The name of the unit, as a constant.
    unit: *mut pg_sys::Node,
}

impl Cut {
    /// # Safety
    /// As [`derive()`]; the expression is one of the query.
    unsafe fn of(index: *mut pg_sys::IndexOptInfo, expr: *mut pg_sys::Node) -> Option<Cut> {
        // SAFETY: by contract; a node is what its tag says.
        unsafe {
            if (*expr).type_ != NodeTag::T_FuncExpr {
                return None;
            }
            let function = &*expr.cast::<pg_sys::FuncExpr>();
            let args = PgList::<pg_sys::Node>::from_pg(function.args);
            let (argument_type, of_date) = match function.funcid.to_u32() {
                pg_sys::F_DATE_TIMESTAMP => (pg_sys::TIMESTAMPOID, true),
                pg_sys::F_DATE_TIMESTAMPTZ => (pg_sys::TIMESTAMPTZOID, true),
                pg_sys::F_DATE_TRUNC_TEXT_TIMESTAMP => (pg_sys::TIMESTAMPOID, false),
                pg_sys::F_DATE_TRUNC_TEXT_TIMESTAMPTZ => (pg_sys::TIMESTAMPTZOID, false),
                _ => return None,
            };
            let argument = args.get_ptr(usize::from(!of_date))?;
            let column = column_of(index, argument)?;
            let unit = match of_date {
                true => text_of(c"day"),
                false => args.get_ptr(0)?,
            };
            let is_known = (*unit).type_ == NodeTag::T_Const && {
                let unit = &*unit.cast::<pg_sys::Const>();
                !unit.constisnull && {
                    let text = pg_sys::text_to_cstring(unit.constvalue.cast_mut_ptr());
                    longest(&std::ffi::CStr::from_ptr(text).to_string_lossy()).is_some()
                }
            };
            is_known.then_some(Cut { column, argument, argument_type, unit })
        }
    }
}

/// A constant text.
///
/// # Safety
/// Within a memory context.
unsafe fn text_of(text: &std::ffi::CStr) -> *mut pg_sys::Node {
    // SAFETY: by contract.
    unsafe {
        let text = pg_sys::cstring_to_text(text.as_ptr());
        let (oid, collation) = (pg_sys::TEXTOID, pg_sys::DEFAULT_COLLATION_OID);
        pg_sys::makeConst(oid, -1, collation, -1, text.into(), false, false).cast()
    }
}

/// Between which times a column is whose date, or what it is cut to, compares so with a value.
///
/// # Safety
/// As [`derive()`]; the clause is one of the query.
unsafe fn of_function(
    root: *mut pg_sys::PlannerInfo,
    index: *mut pg_sys::IndexOptInfo,
    clause: &pg_sys::OpExpr,
) -> Option<Vec<*mut pg_sys::Expr>> {
    // SAFETY: by contract.
    unsafe {
        let args = PgList::<pg_sys::Node>::from_pg(clause.args);
        let (left, right) = (args.get_ptr(0)?, args.get_ptr(1)?);
        let (cut, value, operator) = match Cut::of(index, left) {
            Some(cut) => (cut, right, clause.opno),
            None => (Cut::of(index, right)?, left, pg_sys::get_commutator(clause.opno)),
        };
        let value_type = pg_sys::exprType(value);
        let is_known = value_type == pg_sys::DATEOID || value_type == cut.argument_type;
        if !is_known || !is_fixed(root, value) {
            return None;
        }
        let family = *(*index).opfamily.add(cut.column as usize);
        let (lower, upper) = match pg_sys::get_op_opfamily_strategy(operator, family) as u32 {
            pg_sys::BTEqualStrategyNumber => (true, true),
            pg_sys::BTLessStrategyNumber | pg_sys::BTLessEqualStrategyNumber => (false, true),
            pg_sys::BTGreaterStrategyNumber | pg_sys::BTGreaterEqualStrategyNumber => (true, false),
            _ => return None,
        };
        let mut found = Vec::new();
        if lower {
            let end = match (cut.argument_type, value_type) {
                // What is cut is not less than what it is cut to.
                (pg_sys::TIMESTAMPOID, pg_sys::TIMESTAMPOID) => {
                    pg_sys::copyObjectImpl(value.cast()).cast()
                }
                // Not by the comparison with a date, which is not leakproof.
                (pg_sys::TIMESTAMPOID, _) => {
                    end(root, c"learned_first_timestamp", &cut, None, (value, value_type))?
                }
                _ => end(root, c"learned_first_timestamptz", &cut, None, (value, value_type))?,
            };
            let at_least = pg_sys::BTGreaterEqualStrategyNumber;
            found.push(comparison(index, &cut, at_least, end)?);
        }
        if upper {
            let name = match cut.argument_type {
                pg_sys::TIMESTAMPOID => c"learned_last_timestamp",
                _ => c"learned_last_timestamptz",
            };
            let end = end(root, name, &cut, Some(cut.unit), (value, value_type))?;
            let at_most = pg_sys::BTLessEqualStrategyNumber;
            found.push(comparison(index, &cut, at_most, end)?);
        }
        Some(found)
    }
}

/// A call of a function of this extension, by now computed if it can be.
///
/// # Safety
/// Called while the planner makes paths for this query.
unsafe fn end(
    root: *mut pg_sys::PlannerInfo,
    name: &std::ffi::CStr,
    cut: &Cut,
    unit: Option<*mut pg_sys::Node>,
    (value, value_type): (*mut pg_sys::Node, pg_sys::Oid),
) -> Option<*mut pg_sys::Node> {
    // SAFETY: by contract.
    unsafe {
        let types: Vec<pg_sys::Oid> =
            unit.iter().map(|_| pg_sys::TEXTOID).chain([value_type]).collect();
        let function = own_function(name, &types)?;
        let args = list_of(unit.into_iter().chain([value]));
        let args = pg_sys::copyObjectImpl(args.cast()).cast();
        let none = pg_sys::InvalidOid;
        let form = pg_sys::CoercionForm::COERCE_EXPLICIT_CALL;
        let call = pg_sys::makeFuncExpr(function, cut.argument_type, args, none, none, form);
        Some(pg_sys::eval_const_expressions(root, call.cast()))
    }
}

/// A function of this extension, which is where the handler of the access method is. `None` if the
/// user may not call it: a query must not fail because there is an index.
///
/// # Safety
/// Within a transaction.
unsafe fn own_function(name: &std::ffi::CStr, types: &[pg_sys::Oid]) -> Option<pg_sys::Oid> {
    // SAFETY: by contract.
    unsafe {
        let oid = |cache, column: u32, keys: [pg_sys::Datum; 3]| {
            let [one, two, three] = keys;
            let none = pg_sys::Datum::from(0);
            pg_sys::GetSysCacheOid(cache, column as pg_sys::AttrNumber, one, two, three, none)
        };
        let (by_name, none) = (pg_sys::SysCacheIdentifier::AMNAME as i32, pg_sys::Datum::from(0));
        let method = pg_sys::Datum::from(c"learned".as_ptr());
        let handler = oid(by_name, pg_sys::Anum_pg_am_amhandler, [method, none, none]);
        let schema = pg_sys::get_func_namespace(handler);
        let arguments = pg_sys::buildoidvector(types.as_ptr(), types.len() as i32);
        let keys = [name.as_ptr().into(), arguments.into(), schema.into()];
        let cache = pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP as i32;
        let found = oid(cache, pg_sys::Anum_pg_proc_oid, keys);
        let may_call = || execution_of(found) == pg_sys::AclResult::ACLCHECK_OK;
        (found != pg_sys::InvalidOid && may_call()).then_some(found)
    }
}

/// A comparison of the column with an end, which is of its type.
///
/// # Safety
/// As [`derive()`].
unsafe fn comparison(
    index: *mut pg_sys::IndexOptInfo,
    cut: &Cut,
    strategy: u32,
    end: *mut pg_sys::Node,
) -> Option<*mut pg_sys::Expr> {
    // SAFETY: by contract.
    unsafe {
        let family = *(*index).opfamily.add(cut.column as usize);
        let of = cut.argument_type;
        let operator = pg_sys::get_opfamily_member(family, of, of, strategy as i16);
        let column = pg_sys::copyObjectImpl(cut.argument.cast()).cast();
        (operator != pg_sys::InvalidOid).then(|| clause_of(operator, column, end.cast()))
    }
}

/// # Safety
/// The operator compares such expressions, which are not in use elsewhere.
unsafe fn clause_of(
    operator: pg_sys::Oid,
    left: *mut pg_sys::Expr,
    right: *mut pg_sys::Expr,
) -> *mut pg_sys::Expr {
    let none = pg_sys::InvalidOid;
    // SAFETY: by contract. No type of ours has collations.
    unsafe {
        let clause =
            pg_sys::make_opclause(operator, pg_sys::BOOLOID, false, left, right, none, none);
        pg_sys::set_opfuncid(clause.cast());
        clause
    }
}

/// Of the comparison of rows, what it says of the first column.
///
/// # Safety
/// As [`derive()`]; the clause is one of the query.
unsafe fn of_row(
    root: *mut pg_sys::PlannerInfo,
    index: *mut pg_sys::IndexOptInfo,
    clause: &pg_sys::RowCompareExpr,
) -> Option<Vec<*mut pg_sys::Expr>> {
    // SAFETY: by contract.
    unsafe {
        let left = pg_sys::list_nth(clause.largs, 0).cast::<pg_sys::Node>();
        let right = pg_sys::list_nth(clause.rargs, 0).cast::<pg_sys::Node>();
        let operator = pg_sys::list_nth_oid(clause.opnos, 0);
        let (column, own, other, operator) = match column_of(index, left) {
            Some(column) => (column, left, right, operator),
            None => (column_of(index, right)?, right, left, pg_sys::get_commutator(operator)),
        };
        if !is_fixed(root, other) {
            return None;
        }
        let family = *(*index).opfamily.add(column as usize);
        let (mut strategy, mut of, mut with) = (0, pg_sys::InvalidOid, pg_sys::InvalidOid);
        if !pg_sys::op_in_opfamily(operator, family) {
            return None;
        }
        pg_sys::get_op_opfamily_properties(
            operator,
            family,
            false,
            &mut strategy,
            &mut of,
            &mut with,
        );
        let strategy = match strategy as u32 {
            pg_sys::BTLessStrategyNumber | pg_sys::BTLessEqualStrategyNumber => {
                pg_sys::BTLessEqualStrategyNumber
            }
            pg_sys::BTGreaterStrategyNumber | pg_sys::BTGreaterEqualStrategyNumber => {
                pg_sys::BTGreaterEqualStrategyNumber
            }
            _ => return None,
        };
        let operator = pg_sys::get_opfamily_member(family, of, with, strategy as i16);
        let [own, other] = [own, other].map(|expr| pg_sys::copyObjectImpl(expr.cast()).cast());
        (operator != pg_sys::InvalidOid).then(|| vec![clause_of(operator, own, other)])
    }
}
