//! The columns that an index stores beside its key: `INCLUDE`.
//!
//! Their values stand behind the key in its code, as words whose order means nothing: entries with
//! the same key are in any order. So they go wherever codes go. Any type of a fixed width up to 16
//! bytes has such words; [`KeyType`](super::key_type::KeyType) is about keys.
//!
//! - Up to 4 bytes by value, or 7 by reference: twice the value, and 1 for NULL.
//! - Up to 8 bytes: the value. Up to 16: the first 8 bytes, and the rest. Which of these columns
//!   are NULL is told by the bits of one more word, the last of all.

use learned_index::key::Word;
use learned_index::key::code::{from_i64, to_i64};
use learned_index::page::meta::{IncludedColumn, MOST_COLUMNS, NOT_INCLUDED};
use pgrx::prelude::*;

use super::key_type::type_name;
use super::stored::StoredValue;
use super::tuple::Field;
use crate::relation::OpenIndex;
use crate::report::refuse;

/// The widest values, in bytes.
const WIDEST: usize = size_of::<StoredValue>();
/// Bytes of a word.
const WORD: usize = size_of::<Word>();
/// What stands for NULL in a narrow column: the values are even.
const NULL: Word = 1;

/// Why a column cannot be included.
pub(super) enum Refused {
    /// Values of its type have no fixed width, or a large one.
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
    /// The number in a code; `None` for NULL. Of a type that is stored by reference it only says
    /// that there is a value.
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
}

/// A value, as its word or two.
type Words = [Word; 2];

fn is_narrow(column: IncludedColumn) -> bool {
    usize::from(column.length) <= if column.by_value { WORD / 2 } else { WORD - 1 }
}

fn words_of(column: IncludedColumn) -> usize {
    usize::from(column.length).div_ceil(WORD)
}

/// The columns before the first that is none.
fn known(columns: &[IncludedColumn]) -> impl Iterator<Item = IncludedColumn> {
    columns.iter().copied().take_while(|column| *column != NOT_INCLUDED)
}

fn has_wide(columns: &[IncludedColumn]) -> bool {
    known(columns).any(|column| !is_narrow(column))
}

/// How many words some included columns take.
pub(super) fn words_of_all(columns: &[IncludedColumn; MOST_COLUMNS]) -> usize {
    known(columns).map(words_of).sum::<usize>() + usize::from(has_wide(columns))
}

/// The included columns of an index.
pub(super) fn included_in(index: OpenIndex) -> Result<[IncludedColumn; MOST_COLUMNS], Refused> {
    let mut columns = [NOT_INCLUDED; MOST_COLUMNS];
    for (number, attribute) in index.included_columns().enumerate() {
        let place = columns.get_mut(number).ok_or(Refused::TooMany)?;
        let width = usize::try_from(attribute.attlen).ok();
        let length = width.filter(|length| (1..=WIDEST).contains(length));
        let alignment = match attribute.attalign as u8 {
            pg_sys::TYPALIGN_CHAR => 1,
            pg_sys::TYPALIGN_SHORT => 2,
            pg_sys::TYPALIGN_INT => 4,
            _ => 8,
        };
        *place = IncludedColumn {
            length: length.ok_or(Refused::Type(attribute.atttypid))? as u8,
            alignment,
            by_value: attribute.attbyval,
        };
    }
    Ok(columns)
}

/// Refuses a type that cannot be included.
pub(super) fn refuse_included_type(type_oid: pg_sys::Oid) -> ! {
    let name = type_name(type_oid);
    refuse(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("access method \"learned\" does not support included columns of type {name}"),
        "Types of a fixed width of up to 16 bytes can be included, such as integers, \
         floats, dates, times, uuid and interval. Use access method \"btree\" for others.",
    )
}

impl Included {
    /// The words of some columns, up to the `end`-th word of a code. `None` if there is no room.
    pub(super) fn of(columns: [IncludedColumn; MOST_COLUMNS], end: usize) -> Option<Included> {
        let (words, has_wide) = (words_of_all(&columns), has_wide(&columns));
        Some(Included { columns, at: end.checked_sub(words)?, words, has_wide })
    }

    pub(super) fn columns(&self) -> [IncludedColumn; MOST_COLUMNS] {
        self.columns
    }

    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Each column, and the first of its words in a code.
    fn places(&self) -> impl Iterator<Item = (usize, IncludedColumn, usize)> {
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
    pub(super) fn has_nulls(&self, code: &[Word]) -> bool {
        self.has_wide && code[self.at + self.words - 1] != 0
    }

    /// How the bytes of their values are made of most codes.
    pub(super) fn fields(&self) -> impl Iterator<Item = Field> {
        self.places().map(|(_, column, at)| {
            let narrow = is_narrow(column);
            Field {
                layout: (usize::from(column.length), usize::from(column.alignment)),
                at,
                between: (Word::MIN, Word::MAX),
                // NULL is the only odd one.
                without: Word::from(narrow),
                sign: if column.by_value { from_i64(0) } else { 0 },
                right: u32::from(narrow),
                second: (words_of(column) == 2).then_some(at + 1),
                ..Field::default()
            }
        })
    }

    /// Where the values of a column are, from 0, to be read as numbers. `None` if there is no such
    /// column.
    pub(super) fn numbers(&self, column: usize) -> Option<IncludedNumbers> {
        let (number, column, at) = self.places().nth(column)?;
        let narrow = is_narrow(column);
        let bit = 1 << number;
        Some(IncludedNumbers {
            at,
            right: u32::from(narrow),
            null: match narrow {
                true => (at, Word::MAX, null_of(column)[0]),
                false => (self.at + self.words - 1, bit, bit),
            },
        })
    }

    /// The values in a code, `None` for NULL: length and alignment, and the bytes as a tuple stores
    /// them.
    pub(super) fn values(
        &self,
        code: &[Word],
    ) -> impl Iterator<Item = Option<((usize, usize), StoredValue)>> {
        let nulls = if self.words > 0 { code[self.at + self.words - 1] } else { 0 };
        self.places().map(move |(number, column, at)| {
            let second = if words_of(column) == 2 { code[at + 1] } else { 0 };
            let is_null = match is_narrow(column) {
                true => code[at] == null_of(column)[0],
                false => nulls >> number & 1 == 1,
            };
            let layout = (usize::from(column.length), usize::from(column.alignment));
            (!is_null).then(|| (layout, store(column, [code[at], second])))
        })
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
