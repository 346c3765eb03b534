//! `learned_explain(query, index)`: the plan of a query, if there were another learned index.
//!
//! The index is created on a temporary copy of the table's columns, with a sample of its rows, and
//! everything is rolled back at the end. So the definition is checked by CREATE INDEX itself, the
//! size is measured, the catalogs know the index's name for as long as EXPLAIN needs it, and the
//! table is locked like a table that is read. [`crate::node::hypothetical`] tells the planner.

use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;

use pgrx::datum::DatumWithOid;
use pgrx::iter::SetOfIterator;
use pgrx::pg_sys::NodeTag;
use pgrx::prelude::*;

use super::stats::entries_and_leaves;
use crate::node::hypothetical::{Hypothetical, is_told, told};
use crate::relation::OpenTable;
use crate::report::refuse;

/// Blocks of the table that are read: all, or this many runs of neighbouring ones.
const RUNS: u32 = 20;
const BLOCKS_OF_RUN: u32 = 64;
/// Rows of a learned page, where too few are in the sample to tell.
const ROWS_OF_PAGE: f64 = 500.0;

#[pg_extern(sql = "
CREATE FUNCTION learned_explain(query text, index text, verbose bool DEFAULT false,
                                costs bool DEFAULT true)
    RETURNS SETOF text
    LANGUAGE c STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_explain(text, text, bool, bool) IS
    'the plan of a query if there were a learned index, given by its CREATE INDEX statement';
")]
fn learned_explain(
    query: &str,
    index: &str,
    verbose: bool,
    costs: bool,
) -> SetOfIterator<'static, String> {
    if is_told() {
        refuse(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            "cannot call learned_explain() within a query that it explains".to_owned(),
            "Call it for one query at a time.",
        );
    }
    let explain = format!("EXPLAIN (VERBOSE {verbose}, COSTS {costs}) {query}");
    // SAFETY: within a transaction.
    let lines = unsafe {
        pg_sys::PreventCommandDuringRecovery(c"learned_explain()".as_ptr());
        require_query(query);
        let (statement, table) = index_statement(index);
        rolled_back(|| {
            let table = OpenTable::new(pg_sys::table_open(table, NO_LOCK));
            let hypothetical = create(statement, index, table);
            let lines = told(hypothetical, || all::<String>(&explain, &[]));
            pg_sys::table_close(table.raw(), NO_LOCK);
            lines
        })
    };
    SetOfIterator::new(lines)
}

const NO_LOCK: pg_sys::LOCKMODE = pg_sys::NoLock as pg_sys::LOCKMODE;

/// The one statement of a text; `None` if there is another number of them.
///
/// # Safety
/// Within a transaction.
unsafe fn only_statement(text: &str) -> Option<*mut pg_sys::Node> {
    let text = c_string(text);
    // SAFETY: by contract; the parser makes a list of such nodes.
    unsafe {
        let statements = pg_sys::pg_parse_query(text.as_ptr());
        let statements = pgrx::PgList::<pg_sys::RawStmt>::from_pg(statements);
        let statement = statements.get_ptr(0).filter(|_| statements.len() == 1)?;
        Some((*statement).stmt)
    }
}

fn c_string(text: &str) -> CString {
    // Values of the type text have no zero bytes.
    CString::new(text).unwrap_or_default()
}

/// Refuses what EXPLAIN would not merely explain.
///
/// # Safety
/// Within a transaction.
unsafe fn require_query(query: &str) {
    let queries = [
        NodeTag::T_SelectStmt,
        NodeTag::T_InsertStmt,
        NodeTag::T_UpdateStmt,
        NodeTag::T_DeleteStmt,
        NodeTag::T_MergeStmt,
    ];
    // SAFETY: by contract.
    let statement = unsafe { only_statement(query) };
    // SAFETY: the parser made the node.
    if !statement.is_some_and(|node| queries.contains(unsafe { &(*node).type_ })) {
        refuse(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "the query is not one SELECT, INSERT, UPDATE, DELETE or MERGE statement".to_owned(),
            "Leave EXPLAIN out, and give one statement.",
        );
    }
}

/// The parsed statement that would create the index, and its table, locked for reading.
///
/// # Safety
/// Within a transaction.
unsafe fn index_statement(text: &str) -> (*mut pg_sys::IndexStmt, pg_sys::Oid) {
    // SAFETY: by contract; a node is what its tag says.
    unsafe {
        let statement = only_statement(text)
            .filter(|&node| (*node).type_ == NodeTag::T_IndexStmt)
            .map(|node| node.cast::<pg_sys::IndexStmt>())
            .filter(|&statement| CStr::from_ptr((*statement).accessMethod) == c"learned");
        let Some(statement) = statement else {
            refuse(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                "the index is not one CREATE INDEX ... USING learned statement".to_owned(),
                "Give a statement such as CREATE INDEX ON readings USING learned (ts).",
            );
        };
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let none = std::ptr::null_mut();
        let table = pg_sys::RangeVarGetRelidExtended((*statement).relation, lock, 0, None, none);
        let name = CStr::from_ptr((*(*statement).relation).relname).to_string_lossy();
        let (what, hint) = match pg_sys::get_rel_relkind(table) as u8 {
            pg_sys::RELKIND_RELATION | pg_sys::RELKIND_MATVIEW => return (statement, table),
            pg_sys::RELKIND_PARTITIONED_TABLE => {
                ("is a partitioned table", "Name one of its partitions.")
            }
            _ => ("is not a table", "Name a table or a materialized view."),
        };
        refuse(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, format!("\"{name}\" {what}"), hint)
    }
}

/// Does something in a subtransaction, and takes it back.
///
/// # Safety
/// Within a transaction.
unsafe fn rolled_back<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: by contract.
    let (context, owner) = unsafe {
        let before = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(before.0);
        before
    };
    let result = PgTryBuilder::new(AssertUnwindSafe(|| Ok(work())))
        .catch_others(|error| Err(Box::new(error)))
        .catch_rust_panic(|error| Err(Box::new(error)))
        .execute();
    // SAFETY: the subtransaction is the current one, whatever has happened in it.
    unsafe {
        pg_sys::RollbackAndReleaseCurrentSubTransaction();
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
    }
    result.unwrap_or_else(|error| error.rethrow())
}

/// Creates the index on a copy of the table with a sample of its rows.
///
/// # Safety
/// Within a transaction; the table is open.
unsafe fn create(statement: *mut pg_sys::IndexStmt, text: &str, table: OpenTable) -> Hypothetical {
    let (name, source) = (name_of_copy(table), table.qualified_name());
    let copy_name = format!("pg_temp.{}", pgrx::spi::quote_identifier(&name));
    run(&format!(
        "CREATE TEMPORARY TABLE {copy_name} USING heap AS SELECT * FROM {source} WITH NO DATA"
    ));
    let copy = only(&all::<pg_sys::Oid>(
        "SELECT oid FROM pg_catalog.pg_class
         WHERE relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()
             AND relname OPERATOR(pg_catalog.=) $1",
        &[name.as_str().into()],
    ));
    // SAFETY: by contract; the statement is this function's to change.
    unsafe { create_index(statement, text, &name) };
    let index = only(&all::<pg_sys::Oid>(
        "SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid OPERATOR(pg_catalog.=) $1",
        &[copy.into()],
    ));
    let rows = fill(table, &source, &copy_name, (copy, index));
    // SAFETY: by contract.
    let (entries, leaves) = unsafe { entries_and_leaves(index) };
    let columns = all::<i16>(
        "SELECT attnum FROM pg_catalog.pg_attribute
         WHERE attrelid OPERATOR(pg_catalog.=) $1 AND attnum OPERATOR(pg_catalog.>) 0
             AND NOT attisdropped
         ORDER BY attnum",
        &[table.oid().into()],
    );
    let share = if rows > 0 { entries as f64 / rows as f64 } else { 1.0 };
    let least = if leaves > 1 { 1.0 } else { ROWS_OF_PAGE };
    let pages_per_row = f64::from(leaves.max(1)) / (entries as f64).max(least);
    Hypothetical { table: table.oid(), copy, index, columns, share, pages_per_row }
}

/// The core names an index after its table: so EXPLAIN shows what it is.
fn name_of_copy(table: OpenTable) -> String {
    let mut name = format!("hypothetical_{}", table.name());
    while name.len() >= pg_sys::NAMEDATALEN as usize {
        name.pop();
    }
    name
}

/// Creates the index on the copy instead of the table.
///
/// # Safety
/// Within a transaction. The statement is what the parser made of the text.
unsafe fn create_index(statement: *mut pg_sys::IndexStmt, text: &str, copy: &str) {
    let (text, copy) = (c_string(text), c_string(copy));
    // SAFETY: by contract; what the nodes refer to is copied, or outlives the call.
    unsafe {
        let (schema, copy) = (pg_sys::pstrdup(c"pg_temp".as_ptr()), pg_sys::pstrdup(copy.as_ptr()));
        (*statement).relation = pg_sys::makeRangeVar(schema, copy, -1);
        (*statement).concurrent = false;
        (*statement).if_not_exists = false;
        (*statement).tableSpace = std::ptr::null_mut();
        let size = size_of::<pg_sys::PlannedStmt>();
        let planned = pg_sys::palloc0(size).cast::<pg_sys::PlannedStmt>();
        (*planned).type_ = NodeTag::T_PlannedStmt;
        (*planned).commandType = pg_sys::CmdType::CMD_UTILITY;
        (*planned).utilityStmt = statement.cast();
        (*planned).stmt_location = -1;
        pg_sys::ProcessUtility(
            planned,
            text.as_ptr(),
            false,
            pg_sys::ProcessUtilityContext::PROCESS_UTILITY_SUBCOMMAND,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            pg_sys::None_Receiver,
            std::ptr::null_mut(),
        );
        pg_sys::CommandCounterIncrement();
    }
}

/// Copies the columns that the index refers to, of a sample of the table's rows, and builds the
/// index of them. Returns how many rows there are.
fn fill(
    table: OpenTable,
    source: &str,
    copy_name: &str,
    (copy, index): (pg_sys::Oid, pg_sys::Oid),
) -> usize {
    let columns = all::<String>(
        "SELECT pg_catalog.quote_ident(attname) FROM pg_catalog.pg_attribute
         WHERE attrelid OPERATOR(pg_catalog.=) $1
             AND attnum OPERATOR(pg_catalog.=) ANY (
                 SELECT refobjsubid FROM pg_catalog.pg_depend
                 WHERE classid OPERATOR(pg_catalog.=) $3 AND objid OPERATOR(pg_catalog.=) $2
                     AND refclassid OPERATOR(pg_catalog.=) $3 AND refobjid OPERATOR(pg_catalog.=) $1
                     AND refobjsubid OPERATOR(pg_catalog.>) 0)",
        &[copy.into(), index.into(), pg_sys::RelationRelationId.into()],
    );
    if columns.is_empty() {
        return 0;
    }
    let columns = columns.join(", ");
    let insert = format!("INSERT INTO {copy_name} ({columns}) SELECT {columns} FROM ONLY {source}");
    let main = pg_sys::ForkNumber::MAIN_FORKNUM;
    // SAFETY: the table is open.
    let blocks = unsafe { pg_sys::RelationGetNumberOfBlocksInFork(table.raw(), main) };
    let rows = if blocks <= RUNS * BLOCKS_OF_RUN {
        run(&insert)
    } else {
        let run_from = |number: u32| {
            let first = (u64::from(number) * u64::from(blocks) / u64::from(RUNS)) as u32;
            let end = first + BLOCKS_OF_RUN;
            run(&format!(
                "{insert} WHERE ctid OPERATOR(pg_catalog.>=) '({first},0)'::pg_catalog.tid
                     AND ctid OPERATOR(pg_catalog.<) '({end},0)'::pg_catalog.tid"
            ))
        };
        (0..RUNS).map(run_from).sum()
    };
    let rebuild = all::<String>(
        "SELECT pg_catalog.format('REINDEX INDEX pg_temp.%I', relname) FROM pg_catalog.pg_class
         WHERE oid OPERATOR(pg_catalog.=) $1",
        &[index.into()],
    );
    run(&only(&rebuild));
    rows
}

/// Runs a statement. Returns how many rows it was about.
fn run(statement: &str) -> usize {
    let done =
        Spi::connect_mut(|client| client.update(statement, None, &[]).map(|done| done.len()));
    done.unwrap_or_else(|error| error!("{error}"))
}

/// The first column of all rows.
fn all<T: FromDatum + IntoDatum>(statement: &str, arguments: &[DatumWithOid<'_>]) -> Vec<T> {
    let found = Spi::connect_mut(|client| {
        let rows = client.update(statement, None, arguments)?;
        rows.filter_map(|row| row.get(1).transpose()).collect::<Result<_, _>>()
    });
    found.unwrap_or_else(|error: pgrx::spi::Error| error!("{error}"))
}

fn only<T: Clone>(found: &[T]) -> T {
    match found {
        [one] => one.clone(),
        _ => error!("the hypothetical index is not where it was created"),
    }
}
