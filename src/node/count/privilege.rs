//! Whether the user may call the aggregates that a plan answers: `ExecInitAgg` of nodeAgg.c asks
//! that when a query begins, so it is asked here.

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag};

use crate::node::execution_of;

/// Raises an error if the user may not call one of the aggregates in a list of targets.
///
/// # Safety
/// The targets are those of a plan that begins.
pub(super) unsafe fn check(targets: *mut pg_sys::List) {
    // SAFETY: by contract; a node is what its tag says.
    unsafe {
        for target in PgList::<pg_sys::TargetEntry>::from_pg(targets).iter_ptr() {
            let aggregate = (*target).expr.cast::<pg_sys::Aggref>();
            if (*(*target).expr).type_ == NodeTag::T_Aggref {
                check_function((*aggregate).aggfnoid);
            }
        }
    }
}

/// # Safety
/// Within a transaction.
unsafe fn check_function(function: pg_sys::Oid) {
    // SAFETY: by contract.
    unsafe {
        let result = execution_of(function);
        if result != pg_sys::AclResult::ACLCHECK_OK {
            let kind = pg_sys::ObjectType::OBJECT_AGGREGATE;
            pg_sys::aclcheck_error(result, kind, pg_sys::get_func_name(function));
        }
        if (&raw const pg_sys::object_access_hook).read().is_some() {
            pg_sys::RunFunctionExecuteHook(function);
        }
    }
}
