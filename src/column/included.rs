//! The columns that an index stores beside its key: `INCLUDE`.
//!
//! Their values stand behind the key in its code, as words whose order means nothing: entries with
//! the same key are in any order. So they go wherever codes go. Values of nearly any type have such
//! words; [`KeyType`](super::key_type::KeyType) is about keys.
//!
//! - Up to 4 bytes by value, or 7 by reference: twice the value, and 1 for NULL.
//! - Up to 8 bytes: the value. Up to 16: the first 8 bytes, and the rest. Which of these columns
//!   are NULL is told by the bits of one more word, the last of all.
//! - Others, those of variable width above all: the bytes of the value, or a number ([`packed`]).
//!   Such columns share the words that all others leave. Of a value that has no room there the code
//!   says only that it is in the table, where scans read it.
//!
//! [`packed`]: super::packed

use learned_index::key::Word;
use learned_index::key::code::{from_i64, to_i64};
use learned_index::key::numeric::GREATEST_SCALE;
use learned_index::page::meta::{IncludedColumn, MOST_COLUMNS, NOT_INCLUDED};
use pgrx::prelude::*;

use super::key_type::{precision_and_scale, type_name};
use super::packed::{self, IN_TABLE, NOT_A_NUMBER, TAG, WIDEST_FIXED, tag_of};
use super::stored::StoredValue;
use super::tuple::{Builder, Field, Made};
use crate::relation::OpenIndex;
use crate::report::refuse;

/// The widest values that words hold as they are, in bytes.
const WIDEST: usize = size_of::<StoredValue>();
/// The words of the widest codes (`with_code`).
pub(super) const MOST_WORDS: usize = 8;
/// Bytes of a word.
const WORD: usize = size_of::<Word>();
/// What stands for NULL in a narrow column: the values are even.
const NULL: Word = 1;

/// Why a column cannot be included.
pub(super) enum Refused {
    /// Values of its type have a large fixed width, or cannot begin with a length of one byte.
    Type(pg_sys::Oid),
    /// There is no place for so many columns in the metapage.
    TooMany,
}

/// The included columns of an index, and which words of a code are theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Included {
    /// Behind the last, [`NOT_INCLUDED`].
    columns: [IncludedColumn; MOST_COLUMNS],
    /// The first of their words in a code.
    at: usize,
    words: usize,
    /// Whether the last of these words tells which columns are NULL.
    has_wide: bool,
    /// Whether there are columns whose values are packed.
    has_packed: bool,
    /// Of columns of `numeric` with few digits, the scale.
    scales: [Option<u8>; MOST_COLUMNS],
}

/// Where the values of a column are, to be read as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IncludedNumbers {
    /// Which word of a code.
    at: usize,
    /// By how many bits it is shifted to the right, as a number with a sign.
    right: u32,
    /// Which word tells that the value is NULL, by which of its bits, and what these are then.
    null: (usize, Word, Word),
}

impl IncludedNumbers {
    /// The number in a code; `None` for NULL. Of a type that is stored by reference, or packed, it
    /// only says that there is a value.
    #[inline(always)]
    pub(crate) fn of(&self, code: &[Word]) -> Option<i64> {
        let (value, null) = self.words();
        (!self.is_null(code[null])).then(|| self.number(code[value]))
    }

    /// Which words of a code have the number, and tell whether there is one.
    pub(crate) fn words(&self) -> (usize, usize) {
        (self.at, self.null.0)
    }

    /// Whether a word tells that the value is NULL.
    #[inline(always)]
    pub(crate) fn is_null(&self, word: Word) -> bool {
        let (_, bits, null) = self.null;
        word & bits == null
    }

    /// The number in a word.
    #[inline(always)]
    pub(crate) fn number(&self, word: Word) -> i64 {
        to_i64(word) >> self.right
    }

    /// The same of a column whose values are all packed as decimals.
    #[inline(always)]
    pub(super) fn decimal_of(&self, code: &[Word]) -> Option<i64> {
        let (at, bits, null) = self.null;
        (code[at] & bits != null).then(|| packed::units_of(code[self.at]).unwrap_or(NOT_A_NUMBER))
    }
}

/// Which column, from 0, what it is like, and the first of its words in a code.
type Place = (usize, IncludedColumn, usize);

/// A value, as its word or two.
type Words = [Word; 2];

fn is_narrow(column: IncludedColumn) -> bool {
    let most = if column.by_value { WORD / 2 } else { WORD - 1 };
    (1..=most).contains(&usize::from(column.length))
}

/// Whether its values are packed.
fn is_packed(column: IncludedColumn) -> bool {
    !(1..=WIDEST).contains(&usize::from(column.length))
}

fn words_of(column: IncludedColumn) -> usize {
    column.words.into()
}

/// The columns before the first that is none.
fn known(columns: &[IncludedColumn]) -> impl Iterator<Item = IncludedColumn> {
    columns.iter().copied().take_while(|column| *column != NOT_INCLUDED)
}

fn has_wide(columns: &[IncludedColumn]) -> bool {
    known(columns).any(|column| !is_narrow(column) && !is_packed(column))
}

/// How many words some included columns take.
pub(super) fn words_of_all(columns: &[IncludedColumn; MOST_COLUMNS]) -> usize {
    known(columns).map(words_of).sum::<usize>() + usize::from(has_wide(columns))
}

/// The included columns of an index whose key takes some words.
pub(super) fn included_in(
    index: OpenIndex,
    key_words: usize,
) -> Result<[IncludedColumn; MOST_COLUMNS], Refused> {
    let mut columns = [NOT_INCLUDED; MOST_COLUMNS];
    for (number, attribute) in index.included_columns().enumerate() {
        let place = columns.get_mut(number).ok_or(Refused::TooMany)?;
        let refused = Refused::Type(attribute.atttypid);
        let length = match usize::try_from(attribute.attlen) {
            Ok(length) if (1..=WIDEST_FIXED).contains(&length) => length,
            // SAFETY: looks a type up in the catalogs, which an index has.
            Err(_) if unsafe { may_be_short(attribute.atttypid) } => 0,
            _ => return Err(refused),
        };
        let alignment = match attribute.attalign as u8 {
            _ if length == 0 => 1,
            pg_sys::TYPALIGN_CHAR => 1,
            pg_sys::TYPALIGN_SHORT => 2,
            pg_sys::TYPALIGN_INT => 4,
            _ => 8,
        };
        let (by_value, length, words) = (attribute.attbyval, length as u8, 1);
        // A column may get a domain over its type without building its indexes anew.
        // SAFETY: the type is in the catalogs.
        let decimal =
            length == 0 && unsafe { pg_sys::getBaseType(attribute.atttypid) } == pg_sys::NUMERICOID;
        *place = IncludedColumn { length, alignment, by_value, words, decimal };
        if !is_packed(*place) {
            place.words = length.div_ceil(WORD as u8);
        }
    }
    share_out(&mut columns, key_words);
    Ok(columns)
}

/// Gives packed columns, which have a word each, the words that are left: of the widest code, or,
/// where all of them are of `numeric`, of the narrowest that has room for all columns. Values of
/// `numeric` get two at most.
fn share_out(columns: &mut [IncludedColumn; MOST_COLUMNS], key_words: usize) {
    let words = key_words + words_of_all(columns);
    let only_decimals = known(columns).all(|column| column.decimal || !is_packed(column));
    let room = if only_decimals { words.next_power_of_two() } else { MOST_WORDS };
    let mut left = room.saturating_sub(words);
    loop {
        let before = left;
        for column in columns.iter_mut().take_while(|column| **column != NOT_INCLUDED) {
            let takes_more = is_packed(*column) && (!column.decimal || column.words < 2);
            if takes_more && left > 0 {
                column.words += 1;
                left -= 1;
            }
        }
        if left == before {
            return;
        }
    }
}

/// Of each included column, of how many bytes with their length its values of variable width are
/// still in the index, about; `None` of one whose values all are, or nearly all.
pub(crate) fn rooms(columns: &[IncludedColumn]) -> impl Iterator<Item = Option<usize>> {
    known(columns).map(|column| {
        let is_limited = column.length == 0 && !column.decimal;
        is_limited.then(|| words_of(column) * WORD)
    })
}

/// The scale of an included column of `numeric` with this modifier, if all of its values are stored
/// as numbers.
pub(crate) fn scale_of_included(modifier: i32) -> Option<u8> {
    let (precision, scale) = precision_and_scale(modifier)?;
    let scale = u8::try_from(scale).ok().filter(|scale| *scale <= GREATEST_SCALE)?;
    (precision <= packed::MOST_DIGITS.into()).then_some(scale)
}

/// Whether values of a type may begin with a length of one byte: all of variable width but those of
/// types whose functions rely on four, such as `oidvector`.
///
/// # Safety
/// The type is in the catalogs.
unsafe fn may_be_short(type_oid: pg_sys::Oid) -> bool {
    // SAFETY: by contract.
    unsafe {
        pg_sys::get_typlen(type_oid) == -1
            && pg_sys::get_typstorage(type_oid) as u8 != pg_sys::TYPSTORAGE_PLAIN
    }
}

/// Refuses a type that cannot be included.
pub(super) fn refuse_included_type(type_oid: pg_sys::Oid) -> ! {
    let name = type_name(type_oid);
    refuse(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("access method \"learned\" does not support included columns of type {name}"),
        "Types of variable width whose values can be compressed, such as text and numeric, and \
         those of up to 64 bytes can be included. Use access method \"btree\" for others.",
    )
}

impl Included {
    /// The words of some columns, up to the `end`-th word of a code. `None` if there is no room.
    pub(super) fn of(columns: [IncludedColumn; MOST_COLUMNS], end: usize) -> Option<Included> {
        let (words, has_wide) = (words_of_all(&columns), has_wide(&columns));
        let has_packed = known(&columns).any(is_packed);
        let has_room = |column: IncludedColumn| match is_packed(column) {
            true => column.words > 0,
            false => words_of(column) == usize::from(column.length).div_ceil(WORD),
        };
        if !known(&columns).all(has_room) {
            return None;
        }
        let (at, scales) = (end.checked_sub(words)?, [None; MOST_COLUMNS]);
        Some(Included { columns, at, words, has_wide, has_packed, scales })
    }

    /// With the scales that the catalogs know.
    pub(super) fn with_scales(mut self, index: OpenIndex) -> Included {
        let attributes = index.included_columns().zip(&self.columns);
        for (scale, (attribute, column)) in self.scales.iter_mut().zip(attributes) {
            // A domain has its modifier elsewhere.
            let is_told = column.decimal && attribute.atttypid == pg_sys::NUMERICOID;
            *scale = scale_of_included(attribute.atttypmod).filter(|_| is_told);
        }
        self
    }

    /// Whether making a code may raise an error: of a value that is stored elsewhere.
    pub(super) fn may_raise(&self) -> bool {
        self.has_packed
    }

    /// Whether one of a row's values is only in the table.
    pub(super) fn is_in_table(&self, code: &[Word]) -> bool {
        let is_it = |(_, column, at): Place| is_packed(column) && tag_of(&code[at..]) == IN_TABLE;
        self.has_packed && self.places().any(is_it)
    }

    pub(super) fn columns(&self) -> [IncludedColumn; MOST_COLUMNS] {
        self.columns
    }

    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Where each column is.
    fn places(&self) -> impl Iterator<Item = Place> {
        let mut at = self.at;
        known(&self.columns).enumerate().map(move |(number, column)| {
            let place = (number, column, at);
            at += words_of(column);
            place
        })
    }

    /// Puts the values of a row into a code.
    ///
    /// # Safety
    /// The pointers are valid, to a value of each of these columns.
    pub(super) unsafe fn put(
        &self,
        values: *const pg_sys::Datum,
        is_null: *const bool,
        code: &mut [Word],
    ) {
        let mut nulls = 0;
        for (number, column, at) in self.places() {
            if is_packed(column) {
                let words = &mut code[at..at + words_of(column)];
                // SAFETY: by contract.
                match unsafe { *is_null.add(number) } {
                    true => words.fill(0),
                    // SAFETY: by contract.
                    false => unsafe { packed::put(column, *values.add(number), words) },
                }
                continue;
            }
            // SAFETY: by contract.
            let [first, second] = match unsafe { *is_null.add(number) } {
                true => {
                    nulls |= Word::from(!is_narrow(column)) << number;
                    null_of(column)
                }
                // SAFETY: by contract.
                false => unsafe { encode(column, *values.add(number)) },
            };
            code[at] = first;
            if words_of(column) == 2 {
                code[at + 1] = second;
            }
        }
        if self.has_wide {
            code[self.at + self.words - 1] = nulls;
        }
    }

    /// Whether some of the wide ones are NULL.
    #[inline]
    pub(super) fn has_wide_nulls(&self, code: &[Word]) -> bool {
        self.has_wide && code[self.at + self.words - 1] != 0
    }

    /// How the bytes of their values are made of most codes.
    pub(super) fn fields(&self) -> impl Iterator<Item = Made> {
        self.places().map(|(_, column, at)| {
            let (narrow, words) = (is_narrow(column), words_of(column));
            let layout = (usize::from(column.length), usize::from(column.alignment));
            if is_packed(column) {
                return Made::Packed { layout, at, words };
            }
            Made::OfWord(Field {
                layout,
                at,
                between: (Word::MIN, Word::MAX),
                // NULL is the only odd one.
                without: Word::from(narrow),
                sign: if column.by_value { from_i64(0) } else { 0 },
                right: u32::from(narrow),
                second: (words == 2).then_some(at + 1),
                ..Field::default()
            })
        })
    }

    /// Where the values of a column are, from 0, to be read as numbers, and the scale of one that
    /// has decimals. `None` if there is no such column.
    pub(super) fn numbers(&self, column: usize) -> Option<(IncludedNumbers, Option<u8>)> {
        let (number, column, at) = self.places().nth(column)?;
        let narrow = is_narrow(column);
        let bit = 1 << number;
        let null = match (narrow, is_packed(column)) {
            (true, _) => (at, Word::MAX, null_of(column)[0]),
            (false, true) => (at, TAG, 0),
            (false, false) => (self.at + self.words - 1, bit, bit),
        };
        Some((IncludedNumbers { at, right: u32::from(narrow), null }, self.scales[number]))
    }

    /// Whether a column's value is NULL, or only in the table.
    fn is_absent(&self, (number, column, at): Place, code: &[Word]) -> bool {
        match (is_narrow(column), is_packed(column)) {
            (true, _) => code[at] == null_of(column)[0],
            (_, true) => packed::is_absent(&code[at..]),
            _ => code[self.at + self.words - 1] >> number & 1 == 1,
        }
    }

    /// Whether that is so of any of them.
    pub(super) fn has_absent(&self, code: &[Word]) -> bool {
        self.places().any(|place| self.is_absent(place, code))
    }

    /// Adds the values in a code to a tuple: NULL for one that is only in the table.
    pub(super) fn build(&self, code: &[Word], builder: &mut Builder<'_>) {
        for place in self.places() {
            let (_, column, at) = place;
            let (length, alignment) = (usize::from(column.length), usize::from(column.alignment));
            let words = &code[at..at + words_of(column)];
            if self.is_absent(place, code) {
                builder.null();
            } else if is_packed(column) {
                let mut bytes = [0; _];
                let end = packed::store(length, words, &mut bytes);
                builder.value(alignment, &bytes[..end]);
            } else {
                let second = words.get(1).copied().unwrap_or(0);
                builder.value(alignment, &store(column, [code[at], second])[..length]);
            }
        }
    }
}

/// What stands for NULL.
fn null_of(column: IncludedColumn) -> Words {
    match (column.by_value, is_narrow(column)) {
        (true, true) => [from_i64(NULL as i64), 0],
        (true, false) => [from_i64(0), 0],
        (false, true) => [NULL, 0],
        (false, false) => [0, 0],
    }
}

/// # Safety
/// The Datum is of a type with such values.
unsafe fn encode(column: IncludedColumn, value: pg_sys::Datum) -> Words {
    let narrow = is_narrow(column);
    if column.by_value {
        let bits = value.value() as u64;
        let number = match column.length {
            1 => i64::from(bits as i8),
            2 => i64::from(bits as i16),
            4 => i64::from(bits as i32),
            _ => bits as i64,
        };
        return [from_i64(if narrow { number * 2 } else { number }), 0];
    }
    let mut stored = StoredValue::default();
    let length = usize::from(column.length);
    // SAFETY: by contract, it points to a value of this length.
    unsafe { std::ptr::copy_nonoverlapping(value.cast_mut_ptr(), stored.as_mut_ptr(), length) };
    let [first, second] = halves(stored).map(Word::from_le_bytes);
    [if narrow { first * 2 } else { first }, second]
}

/// The bytes of a value as a tuple stores them.
fn store(column: IncludedColumn, [first, second]: Words) -> StoredValue {
    let narrow = is_narrow(column);
    let mut stored = StoredValue::default();
    let (low, high) = stored.split_at_mut(WORD);
    if column.by_value {
        let number = if narrow { to_i64(first) >> 1 } else { to_i64(first) };
        match column.length {
            1 => low[..1].copy_from_slice(&(number as i8).to_ne_bytes()),
            2 => low[..2].copy_from_slice(&(number as i16).to_ne_bytes()),
            4 => low[..4].copy_from_slice(&(number as i32).to_ne_bytes()),
            _ => low.copy_from_slice(&number.to_ne_bytes()),
        }
        return stored;
    }
    low.copy_from_slice(&(if narrow { first >> 1 } else { first }).to_le_bytes());
    high.copy_from_slice(&second.to_le_bytes());
    stored
}

fn halves(stored: StoredValue) -> [[u8; WORD]; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = stored;
    [[a, b, c, d, e, f, g, h], rest]
}
