//! `learned_predict`, `learned_segments` and `learned_blocks`: what the model of an index says, and
//! what its pages are made of.
//!
//! They show keys, so they are for the index's owner alone, as `learned_check` is.

use std::ffi::{CStr, c_char};

use learned_index::corruption::Result;
use learned_index::key::{Key, NullClass};
use learned_index::memory::Add;
use learned_index::tree::inspect::{self, LeafFigures, PlacedSegment, Predicted};
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

use super::target::Target;
use crate::column::KeyColumns;
use crate::column::code::{IndexCode, with_code};
use crate::column::key_type::KeyType;
use crate::relation::OpenIndex;
use crate::report::refuse;
use crate::storage::buffers::IndexStore;
use crate::storage::session;

type Prediction = (Option<i64>, i64, Option<i64>, Option<i64>, Option<i64>, i64, &'static str);

#[pg_extern(sql = "
CREATE FUNCTION learned_predict(index regclass, VARIADIC key \"any\")
    RETURNS TABLE (predicted_page bigint, page bigint, error bigint, first_tried bigint,
                   last_tried bigint, block bigint, path text)
    LANGUAGE c ROWS 1 PARALLEL RESTRICTED AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_predict(regclass, \"any\") IS
    'on which page the model of a learned index expects a key, and on which it is';
REVOKE ALL ON FUNCTION learned_predict(regclass, \"any\") FROM PUBLIC;
")]
#[expect(clippy::type_complexity, reason = "a column of the result is a type")]
fn learned_predict(
    index: Option<pg_sys::Oid>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> TableIterator<
    'static,
    (
        name!(predicted_page, Option<i64>),
        name!(page, i64),
        name!(error, Option<i64>),
        name!(first_tried, Option<i64>),
        name!(last_tried, Option<i64>),
        name!(block, i64),
        name!(path, &'static str),
    ),
> {
    // SAFETY: the caller's transaction is open; what is opened here is closed here.
    let row = index.and_then(|index| unsafe {
        let target = Target::open(index, pg_sys::AccessShareLock);
        let found = with_code!(target.index, C => predict::<C>(target.index, fcinfo));
        let found = found.unwrap_or_else(|error| target.index.raise_corruption(error));
        target.close();
        found.as_ref().map(prediction)
    });
    TableIterator::new(row)
}

fn prediction(found: &Predicted) -> Prediction {
    let page = found.leaf as i64;
    let path = match found.model {
        None => "directory",
        Some(_) if found.is_outside() => "model, then search",
        Some(_) => "model",
    };
    let model = found.model;
    (
        model.map(|model| model.leaf as i64),
        page,
        model.map(|model| (model.leaf as i64 - page).abs()),
        model.map(|model| model.window.0 as i64),
        model.map(|model| model.window.1 as i64),
        found.block.into(),
        path,
    )
}

/// # Safety
/// Within a call of [`learned_predict`].
unsafe fn predict<C: IndexCode>(
    index: OpenIndex,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Option<Predicted>> {
    // SAFETY: by contract.
    let key = unsafe { key_of_arguments::<C>(index, fcinfo) };
    let store: IndexStore<C> = IndexStore::new(index);
    let directory = session::directory_of(&store)?;
    let (_, last) = directory.borrow().identity().equality::<C>().range_of(key);
    let found = inspect::predict(&store, &mut directory.borrow_mut(), last);
    store.release();
    found
}

/// The key that the arguments behind the first one are.
///
/// # Safety
/// Within a call of [`learned_predict`].
unsafe fn key_of_arguments<C: IndexCode>(
    index: OpenIndex,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Key<C> {
    // SAFETY: by contract.
    unsafe {
        let types = index.key_types();
        let given = usize::from((*fcinfo).nargs as u16) - 1;
        if pg_sys::get_fn_expr_variadic((*fcinfo).flinfo) || given != types.len() {
            refuse(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                format!(
                    "learned_predict() takes as many values as index \"{}\" has key columns: {}",
                    index.name(),
                    types.len()
                ),
                "Give one value, or NULL, for each column of the key.",
            );
        }
        // Included columns are as if they were NULL.
        let mut values = vec![pg_sys::Datum::null(); index.stored_columns().count()];
        let mut is_null = vec![true; values.len()];
        let columns = C::Columns::of_index(index);
        for (column, &type_oid) in types.iter().enumerate() {
            let known = KeyType::of_number(columns.columns()[column].key_type);
            let modifier = known.map_or(-1, KeyType::modifier);
            if let Some(value) = argument_as(fcinfo, column + 1, type_oid, modifier) {
                (values[column], is_null[column]) = (value, false);
            }
        }
        let key = columns.key(values.as_ptr(), is_null.as_ptr());
        columns.check_held(key);
        key
    }
}

/// An argument as a value of a type with a modifier: what is of another type, or may be, is read
/// from its text, as a literal would be.
///
/// # Safety
/// Within a call of a function that has this argument.
unsafe fn argument_as(
    fcinfo: pg_sys::FunctionCallInfo,
    argument: usize,
    type_oid: pg_sys::Oid,
    modifier: i32,
) -> Option<pg_sys::Datum> {
    // SAFETY: by contract. What output functions give is a C string, and so is an unknown literal.
    unsafe {
        let value = pgrx::fcinfo::pg_getarg_datum(fcinfo, argument)?;
        let given = pg_sys::get_fn_expr_argtype((*fcinfo).flinfo, argument as i32);
        if given == type_oid && modifier < 0 {
            return Some(value);
        }
        let text = match given {
            pg_sys::UNKNOWNOID => value.cast_mut_ptr::<c_char>(),
            _ => output(given, value),
        };
        let (mut function, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        pg_sys::getTypeInputInfo(type_oid, &mut function, &mut parameter);
        Some(pg_sys::OidInputFunctionCall(function, text, parameter, modifier))
    }
}

/// The text of a value.
///
/// # Safety
/// The value is one of the type.
unsafe fn output(type_oid: pg_sys::Oid, value: pg_sys::Datum) -> *mut c_char {
    let (mut function, mut is_varlena) = (pg_sys::InvalidOid, false);
    // SAFETY: by contract.
    unsafe {
        pg_sys::getTypeOutputInfo(type_oid, &mut function, &mut is_varlena);
        pg_sys::OidOutputFunctionCall(function, value)
    }
}

/// The values of a key as text.
fn key_text<C: IndexCode>(index: OpenIndex, columns: C::Columns, key: Key<C>) -> String {
    let texts: Vec<String> = columns
        .values(key)
        .into_iter()
        .zip(index.key_types())
        .map(|(value, &type_oid)| match value {
            None => "NULL".to_owned(),
            // SAFETY: the column has values of this type, and what its output function gives is a
            // C string.
            Some(value) => unsafe {
                CStr::from_ptr(output(type_oid, value)).to_string_lossy().into_owned()
            },
        })
        .collect();
    texts.join(", ")
}

#[pg_extern(sql = "
CREATE FUNCTION learned_segments(index regclass)
    RETURNS TABLE (segment bigint, first_page bigint, first_key text, pages bigint, slope float8,
                   max_error bigint)
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_segments(regclass) IS
    'the lines that the model of a learned index is made of';
REVOKE ALL ON FUNCTION learned_segments(regclass) FROM PUBLIC;
")]
#[expect(clippy::type_complexity, reason = "a column of the result is a type")]
fn learned_segments(
    index: pg_sys::Oid,
) -> TableIterator<
    'static,
    (
        name!(segment, i64),
        name!(first_page, Option<i64>),
        name!(first_key, Option<String>),
        name!(pages, i64),
        name!(slope, f64),
        name!(max_error, i64),
    ),
> {
    // SAFETY: the caller's transaction is open; what is opened here is closed here.
    let rows = unsafe {
        let target = Target::open(index, pg_sys::AccessShareLock);
        let rows = match with_code!(target.index, C => segment_rows::<C>(target.index)) {
            Ok(rows) => rows,
            Err(corruption) => target.index.raise_corruption(corruption),
        };
        target.close();
        rows
    };
    TableIterator::new(rows)
}

type SegmentRow = (i64, Option<i64>, Option<String>, i64, f64, i64);

fn segment_rows<C: IndexCode>(index: OpenIndex) -> Result<Vec<SegmentRow>> {
    let store: IndexStore<C> = IndexStore::new(index);
    // Also tells whether the file is that of an index like this one.
    session::directory_of(&store)?;
    let found = inspect::segments(&store)?;
    store.release();
    let columns = C::Columns::of_index(index);
    let mut rows = Vec::new();
    for (number, placed) in (0..).zip(found) {
        check_for_interrupts!();
        let PlacedSegment { segment, first, code } = placed;
        let (least, most) = segment.answers;
        rows.add((
            number,
            first.map(|first| first as i64),
            code.map(|code| key_text::<C>(index, columns, Key::value(code))),
            i64::from(most) - i64::from(least),
            segment.slope,
            segment.max_error as i64,
        ));
    }
    Ok(rows)
}

#[pg_extern(sql = "
CREATE FUNCTION learned_blocks(
    index regclass, first_page bigint DEFAULT 0, last_page bigint DEFAULT NULL)
    RETURNS TABLE (page bigint, block bigint, entries bigint, dead_entries bigint, first_key text,
                   bytes_used bigint, key_codecs text, tid_codecs text)
    LANGUAGE c PARALLEL RESTRICTED AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
COMMENT ON FUNCTION learned_blocks(regclass, bigint, bigint) IS
    'learned pages of a learned index: their entries, dead entries, first key, bytes and codecs';
REVOKE ALL ON FUNCTION learned_blocks(regclass, bigint, bigint) FROM PUBLIC;
")]
#[expect(clippy::type_complexity, reason = "a column of the result is a type")]
fn learned_blocks(
    index: Option<pg_sys::Oid>,
    first_page: Option<i64>,
    last_page: Option<i64>,
) -> TableIterator<
    'static,
    (
        name!(page, i64),
        name!(block, i64),
        name!(entries, i64),
        name!(dead_entries, i64),
        name!(first_key, Option<String>),
        name!(bytes_used, i64),
        name!(key_codecs, Option<String>),
        name!(tid_codecs, Option<String>),
    ),
> {
    let Some(index) = index else { return TableIterator::new(Vec::new()) };
    let pages = first_page.unwrap_or(0).max(0)..=last_page.unwrap_or(i64::MAX);
    // SAFETY: the caller's transaction is open; what is opened here is closed here.
    let rows = unsafe {
        let target = Target::open(index, pg_sys::AccessShareLock);
        let rows = match with_code!(target.index, C => leaf_rows::<C>(target.index, pages)) {
            Ok(rows) => rows,
            Err(corruption) => target.index.raise_corruption(corruption),
        };
        target.close();
        rows
    };
    TableIterator::new(rows)
}

type LeafRow = (i64, i64, i64, i64, Option<String>, i64, Option<String>, Option<String>);

fn leaf_rows<C: IndexCode>(
    index: OpenIndex,
    pages: std::ops::RangeInclusive<i64>,
) -> Result<Vec<LeafRow>> {
    let store: IndexStore<C> = IndexStore::new(index);
    let directory = session::directory_of(&store)?;
    let columns = C::Columns::of_index(index);
    let mut rows = Vec::new();
    for page in pages {
        check_for_interrupts!();
        let Some(leaf) = inspect::leaf(&store, &mut directory.borrow_mut(), page as usize)? else {
            break;
        };
        let LeafFigures { block, class, first, entries, dead, bytes, forms } = leaf;
        let key = match first {
            Some(code) => Some(Key::value(code)),
            None => (class != NullClass::Value && entries > 0).then(|| Key::null(class)),
        };
        rows.add((
            page,
            block.into(),
            entries as i64,
            dead as i64,
            key.map(|key| key_text::<C>(index, columns, key)),
            bytes as i64,
            counted(forms.iter().map(|(codes, _)| *codes)),
            counted(forms.iter().map(|(_, tids)| *tids)),
        ));
    }
    store.release();
    Ok(rows)
}

/// Names, each with how often it is there, the first one first.
fn counted(names: impl Iterator<Item = &'static str>) -> Option<String> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let texts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}
