//! Which functions of a column tell groups apart that an index can find one after the other.

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag};
use pgrx::prelude::*;

use super::width::width_of;

/// A function of a column of the index.
pub(super) struct Bucket {
    /// The column of the table.
    pub(super) column: pg_sys::AttrNumber,
    /// The function, with a `CaseTestExpr` in the column's place.
    pub(super) function: *mut pg_sys::Expr,
    /// Whether it is one of the session's time zone.
    pub(super) of_time_zone: bool,
}

/// The functions that ascend with their argument, which argument that is, and whether they are
/// functions of the session's time zone: those ascend between two changes of its offset.
const FUNCTIONS: [(u32, i32, bool); 6] = [
    (pg_sys::F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP, 1, false),
    (pg_sys::F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ, 1, false),
    (pg_sys::F_DATE_TRUNC_TEXT_TIMESTAMP, 1, false),
    (pg_sys::F_DATE_TRUNC_TEXT_TIMESTAMPTZ, 1, true),
    (pg_sys::F_DATE_TIMESTAMP, 0, false),
    (pg_sys::F_DATE_TIMESTAMPTZ, 0, true),
];

/// Divisions of integers, which ascend if the divisor is positive.
const DIVISIONS: [u32; 8] = [
    pg_sys::F_INT2DIV,
    pg_sys::F_INT4DIV,
    pg_sys::F_INT8DIV,
    pg_sys::F_INT24DIV,
    pg_sys::F_INT42DIV,
    pg_sys::F_INT28DIV,
    pg_sys::F_INT82DIV,
    pg_sys::F_INT48DIV,
];

impl Bucket {
    /// An expression, if it is such a function. `column` says which column of the table a node is.
    ///
    /// # Safety
    /// The expression is one of a query that is planned.
    pub(super) unsafe fn of(
        expr: *mut pg_sys::Expr,
        column: impl Fn(*mut pg_sys::Expr) -> Option<pg_sys::AttrNumber>,
    ) -> Option<Bucket> {
        // SAFETY: by contract; a node is what its tag says.
        unsafe {
            let (function, args) = match (*expr).type_ {
                NodeTag::T_FuncExpr => {
                    let function = &*expr.cast::<pg_sys::FuncExpr>();
                    (function.funcid.to_u32(), function.args)
                }
                NodeTag::T_OpExpr => {
                    let operator = &*expr.cast::<pg_sys::OpExpr>();
                    (operator.opfuncid.to_u32(), operator.args)
                }
                _ => return None,
            };
            let (argument, of_time_zone) = match FUNCTIONS.iter().find(|known| known.0 == function)
            {
                Some(&(_, argument, of_time_zone)) => (argument, of_time_zone),
                None if is_division(function) && divides_by_positive(args) => (0, false),
                None => return None,
            };
            let args = PgList::<pg_sys::Expr>::from_pg(args);
            let own = args.get_ptr(argument as usize)?;
            let column = column(own)?;
            let mut others = args.iter_ptr().filter(|other| *other != own);
            if !others.all(|other| is_constant(other)) {
                return None;
            }
            // One that fails for all arguments does so for rows only: the core sees to that.
            width_of(expr)?;
            let function = with_place(expr, argument);
            Some(Bucket { column, function, of_time_zone })
        }
    }
}

fn is_division(function: u32) -> bool {
    function == pg_sys::F_INT84DIV || DIVISIONS.contains(&function)
}

/// Whether a node is a constant that is not NULL.
///
/// # Safety
/// It is a valid node.
unsafe fn is_constant(node: *mut pg_sys::Expr) -> bool {
    // SAFETY: by contract; a node is what its tag says.
    unsafe { (*node).type_ == NodeTag::T_Const && !(*node.cast::<pg_sys::Const>()).constisnull }
}

/// Whether the second argument of a division is a constant above 0.
///
/// # Safety
/// They are the arguments of a division of integers.
unsafe fn divides_by_positive(args: *mut pg_sys::List) -> bool {
    // SAFETY: by contract. A Datum has the sign of shorter integers extended.
    unsafe {
        let divisor = pg_sys::list_nth(args, 1).cast::<pg_sys::Expr>();
        is_constant(divisor) && {
            let value = (*divisor.cast::<pg_sys::Const>()).constvalue.value() as i64;
            value > 0
        }
    }
}

/// A copy of a function in which a place for values stands for one argument.
///
/// # Safety
/// The expression is a function or an operator with that argument.
unsafe fn with_place(expr: *mut pg_sys::Expr, argument: i32) -> *mut pg_sys::Expr {
    // SAFETY: by contract; a node without fields that are set is valid.
    unsafe {
        let copy = pg_sys::copyObjectImpl(expr.cast()).cast::<pg_sys::Expr>();
        let args = match (*copy).type_ {
            NodeTag::T_FuncExpr => &raw mut (*copy.cast::<pg_sys::FuncExpr>()).args,
            _ => &raw mut (*copy.cast::<pg_sys::OpExpr>()).args,
        };
        let own = pg_sys::list_nth(*args, argument).cast::<pg_sys::Node>();
        let mut place = PgBox::<pg_sys::CaseTestExpr>::alloc_node(NodeTag::T_CaseTestExpr);
        place.typeId = pg_sys::exprType(own);
        place.typeMod = -1;
        let place = place.into_pg();
        let all = PgList::<pg_sys::Node>::from_pg(*args);
        let mut changed: *mut pg_sys::List = std::ptr::null_mut();
        for node in all.iter_ptr() {
            let node = if node == own { place.cast() } else { node };
            changed = pg_sys::lappend(changed, node.cast());
        }
        *args = changed;
        copy
    }
}
