//! `learned_advise(regclass)`: which B-trees of a table a learned index could replace.

use std::panic::AssertUnwindSafe;

use pgrx::iter::TableIterator;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;

use super::definition::statements;
use super::estimate::{Estimate, estimate};
use super::target::{Users, is_for};
use crate::column::KeyColumns;
use crate::column::code::{IndexCode, with_code};
use crate::relation::{OpenIndex, OpenTable};
use crate::report::refuse;

/// The B-trees of a table, and why one cannot be replaced whatever its columns are.
const BTREES: &str = "
    SELECT i.indexrelid, CASE
        WHEN c.relkind OPERATOR(pg_catalog.=) 'I' THEN 'it is partitioned: ask for each partition'
        WHEN i.indisprimary THEN 'it enforces the primary key'
        WHEN EXISTS (SELECT FROM pg_catalog.pg_constraint k
                     WHERE k.conindid OPERATOR(pg_catalog.=) i.indexrelid
                         AND k.contype OPERATOR(pg_catalog.<>) 'f') THEN 'it enforces a constraint'
        WHEN EXISTS (SELECT FROM pg_catalog.pg_constraint k
                     WHERE k.conindid OPERATOR(pg_catalog.=) i.indexrelid)
            THEN 'a foreign key depends on it'
        WHEN i.indisreplident THEN 'it is the replica identity of the table'
        WHEN c.relispartition THEN 'it is part of the index of a partitioned table'
        WHEN NOT i.indisvalid THEN 'it is not valid'
        WHEN EXISTS (SELECT FROM pg_catalog.pg_opclass o
                     WHERE o.oid OPERATOR(pg_catalog.=) ANY (i.indclass) AND NOT o.opcdefault)
            THEN 'it has an operator class that is not the default one'
    END
    FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
        JOIN pg_catalog.pg_am a ON a.oid OPERATOR(pg_catalog.=) c.relam
    WHERE i.indrelid OPERATOR(pg_catalog.=) $1 AND a.amname OPERATOR(pg_catalog.=) 'btree'
    ORDER BY i.indexrelid";

/// What is said of a B-tree.
type Advice = (
    pg_sys::Oid,
    bool,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<Vec<String>>,
);

#[pg_extern(sql = "
CREATE FUNCTION learned_advise(\"table\" regclass)
    RETURNS TABLE (index regclass, replaceable bool, remark text, size bigint, learned_size bigint,
                   entries bigint, key_codec text, statements text[])
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_advise(regclass) IS
    'B-trees of a table that a learned index could replace, its size, and the statements for that';
")]
#[expect(clippy::type_complexity, reason = "a column of the result is a type")]
fn learned_advise(
    table: pg_sys::Oid,
) -> TableIterator<
    'static,
    (
        name!(index, pg_sys::Oid),
        name!(replaceable, bool),
        name!(remark, Option<String>),
        name!(size, Option<i64>),
        name!(learned_size, Option<i64>),
        name!(entries, Option<i64>),
        name!(key_codec, Option<String>),
        name!(statements, Option<Vec<String>>),
    ),
> {
    // SAFETY: the caller's transaction is open; what is opened here is closed here.
    let rows = unsafe {
        let table = open_table(table);
        let name = table.qualified_name();
        let rows: Vec<Advice> = btrees_of(table.oid())
            .into_iter()
            .filter_map(|(index, kept)| advise(index, kept, &name))
            .collect();
        pg_sys::relation_close(table.raw(), 0);
        rows
    };
    TableIterator::new(rows)
}

/// Opens a table whose indexes the caller may look at.
///
/// # Safety
/// Within a transaction.
unsafe fn open_table(oid: pg_sys::Oid) -> OpenTable {
    let hint = "Name a table or a materialized view.";
    // SAFETY: by contract.
    unsafe {
        let relation = pg_sys::try_relation_open(oid, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
        if relation.is_null() {
            refuse(
                PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
                format!("relation with OID {} does not exist", oid.to_u32()),
                hint,
            );
        }
        let table = OpenTable::new(relation);
        let name = table.name();
        if !can_have_indexes(table.class().relkind as u8) {
            refuse(
                PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
                format!("\"{name}\" is not a table"),
                hint,
            );
        }
        if !is_for(&table, Users::Monitors) {
            refuse(
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("permission denied for table {name}"),
                "The owner of the table may ask for advice, and so may roles with the privileges \
                 of pg_stat_scan_tables.",
            );
        }
        if table.is_temporary_elsewhere() {
            refuse(
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("cannot access temporary table \"{name}\" of another session"),
                "Call the function in the session that created it.",
            );
        }
        if table.is_unlogged() && pg_sys::RecoveryInProgress() {
            refuse(
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("cannot access unlogged table \"{name}\" during recovery"),
                "It is empty until the standby is promoted.",
            );
        }
        table
    }
}

/// Whether a relation of a kind can have indexes.
fn can_have_indexes(kind: u8) -> bool {
    matches!(
        kind,
        pg_sys::RELKIND_RELATION
            | pg_sys::RELKIND_MATVIEW
            | pg_sys::RELKIND_PARTITIONED_TABLE
            | pg_sys::RELKIND_TOASTVALUE
    )
}

/// The B-trees of a table, each with the reason why it must stay.
fn btrees_of(table: pg_sys::Oid) -> Vec<(pg_sys::Oid, Option<String>)> {
    let found = Spi::connect(|client| {
        let rows = client.select(BTREES, None, &[table.into()])?;
        rows.map(|row| Ok((row.get(1)?.unwrap_or(pg_sys::InvalidOid), row.get(2)?)))
            .collect::<Result<Vec<_>, pgrx::spi::Error>>()
    });
    found.unwrap_or_else(|error| error!("{error}"))
}

/// Advice on one B-tree. `None` if it is gone.
///
/// # Safety
/// Within a transaction; its table is open.
unsafe fn advise(oid: pg_sys::Oid, kept: Option<String>, table: &str) -> Option<Advice> {
    // SAFETY: by contract; what is opened here is closed here.
    unsafe {
        let relation = pg_sys::try_relation_open(oid, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
        let index = (!relation.is_null()).then(|| OpenIndex::of_other_method(relation))?;
        let has_pages = index.class().relkind as u8 == pg_sys::RELKIND_INDEX;
        let size = has_pages.then(|| {
            let main = pg_sys::ForkNumber::MAIN_FORKNUM;
            let blocks = pg_sys::RelationGetNumberOfBlocksInFork(relation, main);
            i64::from(blocks) * i64::from(pg_sys::BLCKSZ)
        });
        let of_system = pg_sys::IsSystemRelation(relation);
        let kept = of_system.then(|| "it belongs to a system table".to_owned()).or(kept);
        let advice = match kept.or_else(|| refusal(index)) {
            Some(reason) => (oid, false, Some(reason), size, None, None, None, None),
            None => {
                let found = has_fixed_width(index)
                    .then(|| with_code!(index, C => estimate::<C>(index)))
                    .transpose()
                    .unwrap_or_else(|error| index.raise_corruption(error));
                let (bytes, entries, codecs) = match found {
                    Some(Estimate { entries, bytes, codecs }) => {
                        (Some(bytes as i64), Some(entries as i64), codecs)
                    }
                    None => (None, None, None),
                };
                let statements = statements(index, table);
                let mut caveats = caveats(index);
                if statements.is_none() {
                    caveats.push("its definition is one of which no other can be made here");
                }
                let remark = (!caveats.is_empty()).then(|| caveats.join("; "));
                (oid, true, remark, size, bytes, entries, codecs, statements)
            }
        };
        pg_sys::relation_close(relation, 0);
        Some(advice)
    }
}

/// Whether all values in the index are of a fixed width. Others are not read from its pages: how
/// long they are would be told by bytes that may be damaged.
fn has_fixed_width(index: OpenIndex) -> bool {
    index.stored_columns().all(|column| column.attlen > 0)
}

/// Why a learned index cannot have the columns of an index: what CREATE INDEX would say.
fn refusal(index: OpenIndex) -> Option<String> {
    PgTryBuilder::new(AssertUnwindSafe(|| {
        with_code!(index, C => {
            let _ = <C as IndexCode>::Columns::of_index(index);
        });
        None
    }))
    .catch_others(|error| match error {
        // Raised by this library: nothing of the server has to be cleaned up.
        CaughtError::ErrorReport(report) => Some(report.message().to_owned()),
        other => other.rethrow(),
    })
    .execute()
}

/// What a learned index would not do that the B-tree does.
fn caveats(index: OpenIndex) -> Vec<&'static str> {
    let mut caveats = Vec::new();
    if cfg!(not(feature = "pg18")) && index.definition().indisunique {
        caveats.push("INSERT ... ON CONFLICT would fail on the table before PostgreSQL 18");
    }
    if index.definition().indisclustered {
        caveats.push("the table is marked to be clustered on it");
    }
    let has = |types: &[pg_sys::Oid]| index.key_types().iter().any(|one| types.contains(one));
    let floats = [pg_sys::FLOAT4OID, pg_sys::FLOAT8OID];
    if index.key_types().iter().rev().skip(1).any(|one| floats.contains(one)) {
        caveats.push("index-only scans would return float4 and float8 only of the last key column");
    }
    if has(&[pg_sys::INTERVALOID]) {
        caveats.push("index-only scans would not return its interval keys");
    }
    if has(&[pg_sys::INETOID, pg_sys::CIDROID]) {
        caveats.push("IPv6 addresses would be refused");
    }
    if has(&[pg_sys::INTERVALOID]) {
        caveats.push("intervals of more than 106,751,990 days would be refused");
    }
    if !has_fixed_width(index) {
        caveats.push("its size is not estimated");
    }
    caveats
}
