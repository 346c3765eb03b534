//! Functions of which it is known what they give, without calling them: they round numbers down to
//! steps that all have the same width.

use pgrx::pg_sys::{self, NodeTag};

use super::width::{DAY, constants_of, width_of, width_of_unit};
use crate::am::buckets::Steps;

/// The longest unit to which instants are cut by the offset of the time zone that they have
/// themselves (`timestamptz_trunc_internal` of timestamp.c: longer ones have that of the result).
const HOUR: f64 = DAY / 24.0;

/// What a function gives; `None` if it has to be called.
///
/// # Safety
/// It is null, or one of those that `bucket` knows.
pub(super) unsafe fn steps_of(function: *mut pg_sys::Expr) -> Option<Steps> {
    if function.is_null() {
        return None;
    }
    // SAFETY: by contract; a node is what its tag says, and a Datum of such a type is a number.
    unsafe {
        let constants = constants_of(function);
        let first = (**constants.first()?).constvalue;
        if (*function).type_ != NodeTag::T_FuncExpr {
            let divisor = first.value() as i64;
            return (divisor > 0).then_some(Steps::Quotients(divisor));
        }
        match (*function.cast::<pg_sys::FuncExpr>()).funcid.to_u32() {
            pg_sys::F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP
            | pg_sys::F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ => {
                width_of(function)?;
                let origin = (**constants.get(1)?).constvalue.value() as i64;
                let stride = &*first.cast_mut_ptr::<pg_sys::Interval>();
                let days = i64::from(stride.day).checked_mul(DAY as i64)?;
                let width = days.checked_add(stride.time)?;
                (width > 0).then_some(Steps::From { width, origin })
            }
            pg_sys::F_DATE_TRUNC_TEXT_TIMESTAMP => {
                let width = width_of_unit(first).filter(|width| *width <= DAY)?;
                Some(Steps::Multiples(width as i64))
            }
            pg_sys::F_DATE_TRUNC_TEXT_TIMESTAMPTZ => {
                let width = width_of_unit(first).filter(|width| *width <= HOUR)?;
                Some(Steps::OfLocalTime(width as i64))
            }
            _ => None,
        }
    }
}
