//! How much a B-tree would take: what nbtree's build makes of rows that are all different.
//!
//! nbtree keeps each key once where many rows have it, which makes such a B-tree up to three times
//! smaller. How often keys repeat cannot be told without reading the index, so it is left out here.

use learned_index::key::numeric::MOST_DIGITS;

use crate::column::key_type::precision_and_scale;
use crate::relation::OpenIndex;

const PAGE: u64 = pgrx::pg_sys::BLCKSZ as u64;
/// Bytes of a page that are not for tuples: header, special space, and two line pointers, of the
/// high key and of the tuple that comes next (`_bt_buildadd` of nbtsort.c).
const OVERHEAD: u64 = 24 + 16 + LINE_POINTER + LINE_POINTER;
const LINE_POINTER: u64 = 4;
/// Header of an index tuple.
const TUPLE_HEADER: u64 = 8;
/// `MAXIMUM_ALIGNOF`.
const MAX_ALIGNMENT: u64 = 8;
/// Percent of a page that a build fills: leaves by default, inner pages always.
const LEAF_FILLFACTOR: u64 = 90;
const INNER_FILLFACTOR: u64 = 70;

/// Bytes of a B-tree with the columns of an index, as its build leaves it with the default
/// fillfactor, if all its keys are different and none is NULL.
pub(super) fn btree_size(index: OpenIndex, rows: u64) -> u64 {
    let columns = index.stored_columns().enumerate().map(|(number, column)| {
        match u64::try_from(column.attlen) {
            Ok(length) => (length, column.attalign as u8),
            // Short values are not aligned.
            Err(_) => (variable_bytes(index, number), b'c'),
        }
    });
    size(tuple_bytes(columns), rows)
}

/// Bytes of a value of a key column of variable width: of an IPv4 address, or of a `numeric` that
/// has as many digits as it may.
fn variable_bytes(index: OpenIndex, column: usize) -> u64 {
    const ADDRESS: u64 = 7;
    // Its length and its header, and two bytes for four digits (numeric.c).
    const HEADER: u64 = 3;
    if index.key_types()[column] != pgrx::pg_sys::NUMERICOID {
        return ADDRESS;
    }
    let known = precision_and_scale(index.type_modifier(column));
    let (precision, scale) = known.unwrap_or((MOST_DIGITS.into(), 0));
    let words = |digits: i32| u64::from(digits.max(0).unsigned_abs().div_ceil(4));
    HEADER + 2 * (words(precision - scale) + words(scale))
}

/// Bytes of an index tuple with columns of some widths, each with its alignment as pg_type names
/// it.
fn tuple_bytes(columns: impl Iterator<Item = (u64, u8)>) -> u64 {
    let values = columns.fold(0u64, |bytes, (length, alignment)| {
        let alignment = match alignment {
            b'd' => 8,
            b'i' => 4,
            b's' => 2,
            _ => 1,
        };
        bytes.next_multiple_of(alignment) + length
    });
    (TUPLE_HEADER + values).next_multiple_of(MAX_ALIGNMENT)
}

fn size(tuple: u64, rows: u64) -> u64 {
    let per_page = |fillfactor: u64| {
        let free = PAGE * (100 - fillfactor) / 100;
        ((PAGE - OVERHEAD - free) / (tuple + LINE_POINTER)).max(2)
    };
    let (mut level, mut pages) = (rows.div_ceil(per_page(LEAF_FILLFACTOR)), 1);
    while level > 0 {
        pages += level;
        level = if level == 1 { 0 } else { level.div_ceil(per_page(INNER_FILLFACTOR)) };
    }
    pages * PAGE
}
