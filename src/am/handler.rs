//! The handler function: what the access method is able to do, and which callbacks do it.
//!
//! From PostgreSQL 18 on the planner calls the handler for queries on tables that have no
//! learned index (to ask every ordered access method about an operator). It therefore
//! reads no catalog, no setting and no page, and raises nothing.

use std::ffi::{c_int, c_void};

use pgrx::prelude::*;

use super::{build, cost, insert, scan, vacuum, validate};
use crate::relation::options;

/// The strategies of a B-tree: `<`, `<=`, `=`, `>=`, `>`, numbered as btree numbers them.
pub(super) const STRATEGIES: u16 = pg_sys::BTMaxStrategyNumber as u16;

/// Support functions, numbered as btree numbers them: 1 comparison, 2 sort support,
/// 3 in_range, 4 equal image. The last two and sort support are for the planner and for
/// symmetry with btree; the index itself uses codes.
pub(super) const SUPPORT_FUNCTIONS: u16 = 4;

extension_sql!(
    "CREATE FUNCTION learned_amhandler(internal) RETURNS index_am_handler
    LANGUAGE c PARALLEL SAFE STRICT AS 'MODULE_PATHNAME', 'learned_amhandler_wrapper';
COMMENT ON FUNCTION learned_amhandler(internal) IS 'handler of the index access method learned';",
    name = "learned_amhandler"
);

/// What the core asks of a C function before it calls it: `PG_FUNCTION_INFO_V1`.
#[unsafe(no_mangle)]
extern "C" fn pg_finfo_learned_amhandler_wrapper() -> &'static pg_sys::Pg_finfo_record {
    const VERSION_1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &VERSION_1
}

unsafe extern "C" {
    /// Of palloc.h. pgrx binds it with a guard for errors; there is none with the one flag that is
    /// used here.
    fn palloc_extended(size: usize, flags: c_int) -> *mut c_void;
}

/// The handler function. Its caller may free or change what it gets: a copy.
///
/// Without what `pg_extern` puts around functions, since the planner calls it up to a hundred times
/// for a query.
///
/// # Safety
/// Called by the core.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn learned_amhandler_wrapper(
    _: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    let no_error = pg_sys::MCXT_ALLOC_NO_OOM as c_int;
    // SAFETY: within a memory context; null says that there is no memory. There is room for one.
    unsafe {
        let copy = palloc_extended(size_of::<pg_sys::IndexAmRoutine>(), no_error);
        let copy = if copy.is_null() { place_or_error() } else { copy.cast() };
        (&raw const ROUTINE.0).copy_to_nonoverlapping(copy, 1);
        pg_sys::Datum::from(copy)
    }
}

/// Asks once more for memory where there was none; the error is the core's.
#[cold]
#[pg_guard]
extern "C-unwind" fn place_or_error() -> *mut pg_sys::IndexAmRoutine {
    // SAFETY: within a memory context.
    unsafe { pg_sys::palloc(size_of::<pg_sys::IndexAmRoutine>()).cast() }
}

/// What every copy is of.
struct Routine(pg_sys::IndexAmRoutine);

// SAFETY: flags and functions, which nobody changes.
unsafe impl Sync for Routine {}

static ROUTINE: Routine = Routine(routine());

#[expect(clippy::too_many_lines, reason = "a field in each line")]
const fn routine() -> pg_sys::IndexAmRoutine {
    // SAFETY: an all-zero IndexAmRoutine is valid: no flags, no callbacks.
    let mut am: pg_sys::IndexAmRoutine = unsafe { std::mem::zeroed() };
    am.type_ = pg_sys::NodeTag::T_IndexAmRoutine;
    am.amstrategies = STRATEGIES;
    am.amsupport = SUPPORT_FUNCTIONS;
    // No operator class parameters.
    am.amoptsprocnum = 0;
    am.amcanorder = true;
    am.amcanorderbyop = false;
    am.amcanbackward = true;
    am.amcanunique = true;
    am.amcanmulticol = true;
    // Scans without a qual on the column are possible, which obliges us to index NULLs.
    am.amoptionalkey = true;
    am.amsearcharray = true;
    am.amsearchnulls = true;
    // What is stored has the type of the column.
    am.amstorage = false;
    am.amclusterable = true;
    // Scans and insertions take care of predicate locks.
    am.ampredlocks = true;
    am.amcanparallel = false;
    am.amcaninclude = true;
    am.amusemaintenanceworkmem = false;
    // Neither ambulkdelete nor amvacuumcleanup assigns a transaction id or reads the heap,
    // so both may run in a parallel worker; cleanup alone only where bulk deletion did not run.
    am.amparallelvacuumoptions = (pg_sys::VACUUM_OPTION_PARALLEL_BULKDEL
        | pg_sys::VACUUM_OPTION_PARALLEL_COND_CLEANUP) as u8;
    // The stored type varies with the column.
    am.amkeytype = pg_sys::InvalidOid;

    am.ambuild = Some(build::ambuild);
    am.ambuildempty = Some(build::ambuildempty);
    am.aminsert = Some(insert::aminsert);
    am.ambulkdelete = Some(vacuum::ambulkdelete);
    am.amvacuumcleanup = Some(vacuum::amvacuumcleanup);
    am.amcanreturn = Some(scan::amcanreturn);
    am.amcostestimate = Some(cost::amcostestimate);
    am.amoptions = Some(options::amoptions);
    // The core answers every property from the flags above.
    am.amproperty = None;
    am.ambuildphasename = Some(build::ambuildphasename);
    am.amvalidate = Some(validate::amvalidate);
    // The default is right: members of a class depend on the class, others on the family.
    am.amadjustmembers = None;
    am.ambeginscan = Some(scan::ambeginscan);
    am.amrescan = Some(scan::amrescan);
    am.amgettuple = Some(scan::amgettuple);
    am.amgetbitmap = Some(scan::amgetbitmap);
    am.amendscan = Some(scan::amendscan);
    am.ammarkpos = Some(scan::ammarkpos);
    am.amrestrpos = Some(scan::amrestrpos);
    am.amestimateparallelscan = None;
    am.aminitparallelscan = None;
    am.amparallelrescan = None;

    #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))]
    {
        am.amsummarizing = false;
    }
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    {
        am.amcanbuildparallel = false;
        am.aminsertcleanup = None;
    }
    #[cfg(feature = "pg18")]
    {
        am.amcanhash = false;
        am.amconsistentequality = true;
        am.amconsistentordering = true;
        am.amgettreeheight = Some(cost::amgettreeheight);
        am.amtranslatestrategy = Some(translate::amtranslatestrategy);
        am.amtranslatecmptype = Some(translate::amtranslatecmptype);
    }

    am
}

/// PostgreSQL 18's translation between strategy numbers and comparisons.
///
/// By number alone: the estimator of merge joins and the endpoint statistics pass operator
/// families of btree too, and every family that this access method can have is numbered alike.
#[cfg(feature = "pg18")]
mod translate {
    use pgrx::pg_sys;
    use pgrx::prelude::*;

    /// The comparison that a strategy number stands for.
    #[pg_guard]
    pub(super) extern "C-unwind" fn amtranslatestrategy(
        strategy: pg_sys::StrategyNumber,
        _opfamily: pg_sys::Oid,
    ) -> pg_sys::CompareType::Type {
        match u32::from(strategy) {
            pg_sys::BTLessStrategyNumber => pg_sys::CompareType::COMPARE_LT,
            pg_sys::BTLessEqualStrategyNumber => pg_sys::CompareType::COMPARE_LE,
            pg_sys::BTEqualStrategyNumber => pg_sys::CompareType::COMPARE_EQ,
            pg_sys::BTGreaterEqualStrategyNumber => pg_sys::CompareType::COMPARE_GE,
            pg_sys::BTGreaterStrategyNumber => pg_sys::CompareType::COMPARE_GT,
            _ => pg_sys::CompareType::COMPARE_INVALID,
        }
    }

    /// The strategy number of a comparison, or 0.
    #[pg_guard]
    pub(super) extern "C-unwind" fn amtranslatecmptype(
        cmptype: pg_sys::CompareType::Type,
        _opfamily: pg_sys::Oid,
    ) -> pg_sys::StrategyNumber {
        (match cmptype {
            pg_sys::CompareType::COMPARE_LT => pg_sys::BTLessStrategyNumber,
            pg_sys::CompareType::COMPARE_LE => pg_sys::BTLessEqualStrategyNumber,
            pg_sys::CompareType::COMPARE_EQ => pg_sys::BTEqualStrategyNumber,
            pg_sys::CompareType::COMPARE_GE => pg_sys::BTGreaterEqualStrategyNumber,
            pg_sys::CompareType::COMPARE_GT => pg_sys::BTGreaterStrategyNumber,
            _ => 0,
        }) as pg_sys::StrategyNumber
    }
}

extension_sql_file!(
    "../../sql/access_method.sql",
    name = "access_method",
    requires = ["learned_amhandler"]
);
extension_sql_file!(
    "../../sql/operator_classes.sql",
    name = "operator_classes",
    requires = ["access_method"]
);
