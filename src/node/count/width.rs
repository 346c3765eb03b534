//! How wide the groups of a function are.

use std::ffi::CStr;

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag};

use crate::am::buckets::SAFE;

const SECOND: f64 = 1e6;
pub(super) const DAY: f64 = 86_400.0 * SECOND;
const DAYS_OF_MONTH: f64 = 30.0;
const DAYS_OF_YEAR: f64 = 365.25;

/// Groups of `date_bin` that are no wider than this begin at timestamps within their range.
const WIDEST: f64 = 1000.0 * DAYS_OF_YEAR * DAY;

/// The units of `date_trunc`, in microseconds (datetime.c): their names without abbreviations.
const UNITS: [(&[&str], f64); 13] = [
    (&["microsecond", "microseconds"], 1.0),
    (&["millisecond", "milliseconds"], 1e3),
    (&["second", "seconds"], SECOND),
    (&["minute", "minutes"], 60.0 * SECOND),
    (&["hour", "hours"], 3600.0 * SECOND),
    (&["day", "days"], DAY),
    (&["week", "weeks"], 7.0 * DAY),
    (&["month", "months"], DAYS_OF_MONTH * DAY),
    (&["quarter"], 3.0 * DAYS_OF_MONTH * DAY),
    (&["year", "years"], DAYS_OF_YEAR * DAY),
    (&["decade", "decades"], 10.0 * DAYS_OF_YEAR * DAY),
    (&["century", "centuries"], 100.0 * DAYS_OF_YEAR * DAY),
    (&["millennium", "millennia"], 1000.0 * DAYS_OF_YEAR * DAY),
];

/// How wide the groups of a function are, in units of its argument. `None` if it fails for all
/// arguments, or if that is not known.
///
/// # Safety
/// The function is one of those that `bucket` knows.
pub(super) unsafe fn width_of(function: *mut pg_sys::Expr) -> Option<f64> {
    // SAFETY: by contract; a node is what its tag says.
    unsafe {
        let is_division = (*function).type_ != NodeTag::T_FuncExpr;
        let constants = constants_of(function);
        // The function without constants is the one that makes dates of timestamps.
        let Some(&first) = constants.first() else { return Some(DAY) };
        let value = (*first).constvalue;
        match (*first).consttype {
            _ if is_division => Some((value.value() as i64 as f64).max(1.0)),
            pg_sys::INTERVALOID => {
                let origin = (**constants.get(1)?).constvalue.value() as i64;
                let stride = &*value.cast_mut_ptr::<pg_sys::Interval>();
                let width = stride.time as f64 + f64::from(stride.day) * DAY;
                let is_safe = width <= WIDEST && SAFE.contains(&origin);
                (stride.month == 0 && width >= 1.0 && is_safe).then_some(width)
            }
            pg_sys::TEXTOID => width_of_unit(value),
            _ => None,
        }
    }
}

/// The constants among the arguments of a function, or of an operator.
///
/// # Safety
/// The function is one of those that `bucket` knows.
pub(super) unsafe fn constants_of(function: *mut pg_sys::Expr) -> Vec<*mut pg_sys::Const> {
    // SAFETY: by contract; a node is what its tag says.
    unsafe {
        let args = match (*function).type_ {
            NodeTag::T_FuncExpr => (*function.cast::<pg_sys::FuncExpr>()).args,
            _ => (*function.cast::<pg_sys::OpExpr>()).args,
        };
        let nodes = PgList::<pg_sys::Const>::from_pg(args);
        let is_constant = |node: &*mut pg_sys::Const| (**node).xpr.type_ == NodeTag::T_Const;
        nodes.iter_ptr().filter(is_constant).collect()
    }
}

/// How wide a unit of `date_trunc` is, in microseconds, about: up to days exactly.
///
/// # Safety
/// The Datum is a text.
pub(super) unsafe fn width_of_unit(unit: pg_sys::Datum) -> Option<f64> {
    // SAFETY: by contract.
    unsafe {
        let text = pg_sys::text_to_cstring(unit.cast_mut_ptr());
        let unit = CStr::from_ptr(text).to_string_lossy().to_ascii_lowercase();
        let known = UNITS.iter().find(|(names, _)| names.contains(&unit.as_str()));
        known.map(|(_, width)| *width)
    }
}
