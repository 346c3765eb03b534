//! The columns of a key that takes several words: several columns, or one of more than 64 bits, or
//! with columns beside it ([`super::included`]).
//!
//! Each column takes the next words of the code. Words that no column takes are 0, and stand behind
//! the first column. Included columns take the last words.
//!
//! Where NULLs are:
//! - of the only column: in a class of their own, as everywhere
//! - of one of several columns, included ones among them: at the least or the greatest word
//!
//! Where values of the type have these two words, they move to the neighbours, and a second word
//! tells them apart. So the first word of a code says most of where it is.

use learned_index::corruption::{Corruption, Result};
use learned_index::key::code::{from_i64, to_i64};
use learned_index::key::float::{FloatWord, SIGNED_NANS};
use learned_index::key::{Key, NullClass, Word};
use learned_index::page::meta::{
    Identity, IncludedColumn, KeyColumn, MOST_COLUMNS, NO_COLUMN, NOT_INCLUDED,
};
use pgrx::prelude::*;

use super::included::{
    Included, IncludedNumbers, MOST_WORDS, Refused, included_in, refuse_included_type, words_of_all,
};
use super::key_type::KeyType;
pub(crate) use super::packed::NOT_A_NUMBER;
use super::stored::{StoredValue, bytes};
use super::tuple::{Field, Made, ReturnedTuple, Several};
use super::{Column, KeyColumns};
use crate::relation::OpenIndex;
use crate::report::refuse;

/// What stands for a value or NULL of one column: the value's first word, what tells it from its
/// neighbours, and the second word. What is not stored is 0.
pub(crate) type PartCode = [Word; 3];

/// Where the NULLs of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nulls {
    /// In a class of their own.
    Class,
    /// Before or behind all values, in the word of these: they leave one free.
    Spare,
    /// The same, where the values that moved away for that are told by another word.
    Word,
}

/// What tells a value with the least word, any other, and one with the greatest.
const OF_LEAST: Word = 0;
const OF_OTHERS: Word = 1;
const OF_GREATEST: Word = 2;

/// One column of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) key_type: KeyType,
    descending: bool,
    nulls_first: bool,
    nulls: Nulls,
    /// Which of the code's words is its first.
    at: usize,
}

/// Where the values of a column of an index are in its codes, to be read as numbers: what Datums of
/// types passed by value are, and those of `numeric` without their decimal point, with
/// [`NOT_A_NUMBER`] for NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// The code is that of the only column.
    Word(Column),
    /// In some words of the key.
    Part(Part),
    /// Beside the key.
    Included(IncludedNumbers),
    /// The same, of a column of `numeric` with this scale.
    Decimals(IncludedNumbers, u8),
    /// There is no such column.
    Nowhere,
}

impl Numbers {
    /// The number in a code of a key that is not NULL; `None` for NULL.
    #[inline]
    pub(crate) fn of(&self, code: &[Word]) -> Option<i64> {
        match self {
            Numbers::Word(column) => {
                let word = column.in_order(*code.first()?);
                Some(number_of(column.key_type, [word, 0]))
            }
            Numbers::Part(part) => {
                part.words_of(part.take(code)).map(|words| number_of(part.key_type, words))
            }
            Numbers::Included(included) => included.of(code),
            Numbers::Decimals(included, _) => included.decimal_of(code),
            Numbers::Nowhere => None,
        }
    }

    /// How many decimal places the numbers have.
    pub(crate) fn scale(&self) -> u8 {
        match self {
            Numbers::Word(Column { key_type: KeyType::Numeric(scale), .. })
            | Numbers::Part(Part { key_type: KeyType::Numeric(scale), .. })
            | Numbers::Decimals(_, scale) => *scale,
            _ => 0,
        }
    }
}

#[inline(always)]
fn number_of(key_type: KeyType, words: [Word; 2]) -> i64 {
    match key_type {
        KeyType::Numeric(_) => to_i64(words[0]),
        _ => decode(key_type, words).value() as i64,
    }
}

/// The columns of a key with a code of `L` words, or fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns<const L: usize> {
    count: usize,
    /// As many as are counted, and others without a meaning.
    parts: [Part; MOST_COLUMNS],
    included: Included,
    /// Whether there are values that the index cannot hold.
    refuses: bool,
    /// See [`KeyColumns::may_raise`].
    may_raise: bool,
}

/// How many words the columns of a key take.
pub(super) fn words_of_types(types: impl ExactSizeIterator<Item = Option<KeyType>>) -> usize {
    let single = types.len() == 1;
    types.map(|key_type| key_type.map_or(1, |known| words_of(known, single))).sum()
}

fn words_of(key_type: KeyType, single: bool) -> usize {
    key_type.words() + usize::from(nulls_among(key_type, single) == Nulls::Word)
}

/// How many words the columns of an index take that has included ones.
pub(super) fn words_with_included(index: OpenIndex) -> usize {
    let types = index.key_types().iter().map(|oid| KeyType::of_type(*oid));
    let of_key = types.map(|key_type| key_type.map_or(1, |known| words_of(known, false))).sum();
    // What cannot be included is refused where the columns are looked at.
    of_key + included_in(index, of_key).map_or(1, |columns| words_of_all(&columns))
}

fn nulls_among(key_type: KeyType, single: bool) -> Nulls {
    match single {
        true => Nulls::Class,
        false if key_type.leaves_words() => Nulls::Spare,
        false => Nulls::Word,
    }
}

impl Part {
    fn new(key_type: KeyType, column: KeyColumn, single: bool, at: usize) -> Part {
        let KeyColumn { descending, nulls_first, .. } = column;
        Part { key_type, descending, nulls_first, nulls: nulls_among(key_type, single), at }
    }

    /// Which of the code's words is its first.
    pub(crate) fn start(&self) -> usize {
        self.at
    }

    /// Behind which of the code's words those of the next column begin.
    pub(crate) fn end(&self) -> usize {
        self.at + self.words()
    }

    fn words(&self) -> usize {
        self.key_type.words() + usize::from(self.nulls == Nulls::Word)
    }

    fn column(&self) -> KeyColumn {
        let Part { key_type, descending, nulls_first, .. } = *self;
        KeyColumn { key_type: key_type.number(), descending, nulls_first }
    }

    /// From a value's words to those in the index's order, and back.
    fn in_order(&self, mut words: [Word; 2]) -> [Word; 2] {
        if self.descending {
            words[..self.key_type.words()].iter_mut().for_each(|word| *word = !*word);
        }
        words
    }

    /// What stands for a value, by its words.
    fn of_words(&self, [mut first, second]: [Word; 2]) -> PartCode {
        if self.nulls == Nulls::Spare {
            first = self.key_type.into_middle(first);
        }
        let [first, second] = self.in_order([first, second]);
        match (self.nulls, first) {
            (Nulls::Class | Nulls::Spare, _) => [first, 0, second],
            (Nulls::Word, Word::MIN) => [Word::MIN + 1, OF_LEAST, second],
            (Nulls::Word, Word::MAX) => [Word::MAX - 1, OF_GREATEST, second],
            (Nulls::Word, _) => [first, OF_OTHERS, second],
        }
    }

    /// The words of the value that this stands for; `None` of NULL.
    fn words_of(&self, code: PartCode) -> Option<[Word; 2]> {
        if code == self.null() {
            return None;
        }
        let [moved, tells, second] = code;
        let first = match (self.nulls, tells) {
            (Nulls::Word, OF_LEAST) => Word::MIN,
            (Nulls::Word, OF_GREATEST) => Word::MAX,
            _ => moved,
        };
        let [first, second] = self.in_order([first, second]);
        Some(match self.nulls {
            Nulls::Spare => [self.key_type.back_from_middle(first), second],
            _ => [first, second],
        })
    }

    /// The value that this stands for, `None` of NULL; as [`KeyType::decode`] has it.
    pub(crate) fn value(&self, code: PartCode) -> Option<pg_sys::Datum> {
        self.words_of(code).map(|words| decode(self.key_type, words))
    }

    /// Refuses a value that the index cannot hold.
    fn check_held(&self, code: PartCode) {
        if let Some([first, _]) = self.words_of(code) {
            self.key_type.check_held(first);
            if self.nulls == Nulls::Spare {
                self.key_type.check_held_in_middle(self.in_order([code[0], 0])[0]);
            }
        }
    }

    /// The first and the last that stand for a value which is equal to that of one, or for NULL.
    pub(crate) fn equal(&self, code: PartCode) -> (PartCode, PartCode) {
        let word = FloatWord { moved: self.nulls != Nulls::Class, descending: self.descending };
        match self.key_type {
            KeyType::Float4Bits | KeyType::Float8Bits => {
                let (first, last) = word.equal(code[0]);
                ([first, code[1], code[2]], [last, code[1], code[2]])
            }
            _ => (code, code),
        }
    }

    /// What stands for a value.
    ///
    /// # Safety
    /// The Datum is one of the column's type.
    pub(crate) unsafe fn of_value(&self, value: pg_sys::Datum) -> PartCode {
        // SAFETY: by contract.
        self.of_words(unsafe { encode(self.key_type, value) })
    }

    /// What stands for the values between two words of a type of one, in the index's order.
    pub(crate) fn between(&self, first: Word, last: Word) -> (PartCode, PartCode) {
        self.between_words([first, 0], [last, 0])
    }

    /// The same, of any type.
    pub(crate) fn between_words(&self, first: [Word; 2], last: [Word; 2]) -> (PartCode, PartCode) {
        let (first, last) = (self.of_words(first), self.of_words(last));
        if self.descending { (last, first) } else { (first, last) }
    }

    /// What stands for NULL.
    pub(crate) fn null(&self) -> PartCode {
        match (self.nulls, self.nulls_first) {
            // No value has this: they have 0 in the middle.
            (Nulls::Class, _) => [Word::MAX, 1, 0],
            (_, true) => [Word::MIN, 0, 0],
            (_, false) => [Word::MAX, 0, 0],
        }
    }

    /// The first and the last that stands for a value.
    pub(crate) fn values(&self) -> (PartCode, PartCode) {
        self.between_words([Word::MIN; 2], self.greatest_words())
    }

    fn greatest_words(&self) -> [Word; 2] {
        [Word::MAX, if self.key_type.words() == 2 { Word::MAX } else { 0 }]
    }

    /// The first and the last of all.
    pub(crate) fn all(&self) -> (PartCode, PartCode) {
        let (first, last) = self.values();
        (first.min(self.null()), last.max(self.null()))
    }

    /// How the bytes of its values are made of most codes, where that is simple.
    fn field(&self) -> Option<Field> {
        use KeyType as T;
        let key_type = self.key_type;
        let (sign, left, big_endian) = match key_type {
            T::Float4
            | T::Float8
            | T::Float4Bits
            | T::TimeTz
            | T::Numeric(_)
            | T::Inet
            | T::Interval => {
                return None;
            }
            T::Oid | T::Bool | T::Char | T::PgLsn | T::Xid8 => (0, 0, false),
            T::Macaddr => (0, 16, true),
            T::Macaddr8 | T::Uuid => (0, 0, true),
            T::Int2
            | T::Int4
            | T::Int8
            | T::Date
            | T::Time
            | T::Timestamp
            | T::TimestampTz
            | T::Money
            | T::Float8Bits => (from_i64(0), 0, false),
        };
        let spare = self.nulls == Nulls::Spare;
        let moved_by = if spare { key_type.moved_by() } else { 0 };
        let (minus, below) = match key_type {
            T::Float8Bits => (moved_by.wrapping_sub(SIGNED_NANS), Word::MAX),
            _ => (moved_by, 0),
        };
        Some(Field {
            layout: key_type.layout()?,
            at: self.at,
            // Without NULL, and without infinities, which are moved in another way.
            between: match (spare, key_type.moved_by()) {
                (false, _) => (Word::MIN, Word::MAX),
                (true, 0) => (Word::MIN + 2, Word::MAX - 2),
                (true, _) => (Word::MIN + 1, Word::MAX - 1),
            },
            one_behind: self.nulls == Nulls::Word,
            invert: if self.descending { Word::MAX } else { 0 },
            minus,
            sign,
            below,
            left,
            big_endian,
            second: (key_type.words() == 2).then(|| self.end() - 1),
            ..Field::default()
        })
    }

    /// Puts it into its words of a code.
    #[inline]
    pub(crate) fn put(&self, part: PartCode, code: &mut [Word]) {
        code[self.at] = part[0];
        if self.nulls == Nulls::Word {
            code[self.at + 1] = part[1];
        }
        if self.key_type.words() == 2 {
            code[self.end() - 1] = part[2];
        }
    }

    /// What a code has in these words.
    #[inline]
    pub(crate) fn take(&self, code: &[Word]) -> PartCode {
        let tells = if self.nulls == Nulls::Word { code[self.at + 1] } else { 0 };
        let second = if self.key_type.words() == 2 { code[self.end() - 1] } else { 0 };
        [code[self.at], tells, second]
    }
}

/// The words of a value; 0 for those that its type has not.
///
/// # Safety
/// The Datum is one of this type.
pub(crate) unsafe fn encode(key_type: KeyType, value: pg_sys::Datum) -> [Word; 2] {
    // SAFETY: by contract.
    unsafe {
        match key_type {
            // The first byte decides the order (`uuid_internal_cmp` of uuid.c).
            KeyType::Uuid => {
                let number = u128::from_be_bytes(bytes(value));
                [(number >> Word::BITS) as Word, number as Word]
            }
            one_word => [one_word.encode(value), 0],
        }
    }
}

/// Writes the bytes of a value as a tuple stores them.
fn store(key_type: KeyType, words: [Word; 2], place: &mut StoredValue) {
    match key_type {
        KeyType::Uuid => {
            let number = u128::from(words[0]) << Word::BITS | u128::from(words[1]);
            *place = number.to_be_bytes();
        }
        one_word => one_word.store(words[0], place),
    }
}

fn decode(key_type: KeyType, words: [Word; 2]) -> pg_sys::Datum {
    match key_type {
        KeyType::Uuid => {
            let mut stored = StoredValue::default();
            store(key_type, words, &mut stored);
            KeyType::in_memory(stored)
        }
        one_word => one_word.decode(words[0]),
    }
}

impl<const L: usize> Columns<L> {
    /// The columns of a key, and those beside it. `None` if they take more words.
    fn of_types(
        columns: &[(KeyType, KeyColumn)],
        included: [IncludedColumn; MOST_COLUMNS],
    ) -> Option<Columns<L>> {
        let &(first, column) = columns.first()?;
        let single = columns.len() == 1 && included[0] == NOT_INCLUDED;
        let mut parts = [Part::new(first, column, single, 0); MOST_COLUMNS];
        let included = Included::of(included, L)?;
        let words: usize = columns.iter().map(|(key_type, _)| words_of(*key_type, single)).sum();
        let left_over = L.checked_sub(words + included.words())?;
        let mut at = 0;
        for (part, &(key_type, column)) in parts.iter_mut().zip(columns) {
            *part = Part::new(key_type, column, single, at);
            at = part.end() + if at == 0 { left_over } else { 0 };
        }
        let refuses = columns.iter().any(|(key_type, _)| !key_type.holds_all());
        let differs = |(key_type, _): &(KeyType, _)| key_type.has_variable_width();
        let may_raise = columns.iter().any(differs) || included.may_raise();
        Some(Columns { count: columns.len(), parts, included, refuses, may_raise })
    }

    /// How the tuples of most codes are made: of all columns, or none.
    fn fields(&self) -> Vec<Made> {
        let keys = self.parts().iter().map(|part| part.field().map(Made::OfWord));
        // A word begins with the first byte of a number of fewer bytes.
        let simple = if cfg!(target_endian = "little") { Some(()) } else { None };
        let fields = keys.chain(self.included.fields().map(Some)).map(|field| simple.and(field));
        fields.collect::<Option<Vec<Made>>>().unwrap_or_default()
    }

    /// How many words at the end of a code are of columns beside the key.
    pub(crate) fn included_words(&self) -> usize {
        self.included.words()
    }

    /// The columns of the key, in order.
    #[inline]
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts[..self.count]
    }

    /// The tuple of any code.
    fn build(&self, several: &mut Several, code: &[Word; L]) -> pg_sys::IndexTuple {
        let words = |part: &Part| part.words_of(part.take(code));
        let has_nulls = self.parts().iter().any(|part| words(part).is_none());
        let mut builder = several.begin(has_nulls || self.included.has_absent(code));
        for part in self.parts() {
            let Some(words) = words(part) else {
                builder.null();
                continue;
            };
            let mut stored = StoredValue::default();
            store(part.key_type, words, &mut stored);
            let (length, alignment) = part.key_type.layout_of(&stored);
            builder.value(alignment, &stored[..length]);
        }
        self.included.build(code, &mut builder);
        builder.finish()
    }

    /// The class of the NULLs of the only column.
    pub(crate) fn null_class(&self) -> NullClass {
        if self.parts[0].nulls_first { NullClass::NullsFirst } else { NullClass::NullsLast }
    }
}

impl<const L: usize> KeyColumns<[Word; L]> for Columns<L> {
    fn of_index(index: OpenIndex) -> Columns<L> {
        let count = index.key_columns();
        if count > MOST_COLUMNS {
            refuse_width(format_args!("{count} key columns"));
        }
        let mut columns = [(KeyType::Int2, NO_COLUMN); MOST_COLUMNS];
        let columns = &mut columns[..count];
        for (number, column) in columns.iter_mut().enumerate() {
            let key_type = super::key_type_of::<[Word; L]>(index, number);
            *column = (key_type, super::key_column(index, number, key_type));
        }
        let of_key = columns.iter().map(|(key_type, _)| words_of(*key_type, false)).sum();
        let included = included_in(index, of_key).unwrap_or_else(|refused| match refused {
            Refused::Type(type_oid) => refuse_included_type(type_oid),
            Refused::TooMany => {
                refuse_width(format_args!("more than {MOST_COLUMNS} included columns"))
            }
        });
        let mut columns: Columns<L> = Columns::of_types(columns, included).unwrap_or_else(|| {
            let words = super::words_of(index);
            match included[0] == NOT_INCLUDED {
                true => refuse_width(format_args!("a key of {words} words of 64 bits")),
                false => refuse_width(format_args!(
                    "a key and included columns of {words} words of 64 bits"
                )),
            }
        });
        columns.included = columns.included.with_scales(index);
        columns
    }

    fn of_identity(identity: &Identity) -> Result<Columns<L>> {
        let known = identity.columns.iter().take_while(|column| **column != NO_COLUMN);
        let mut columns = [(KeyType::Int2, NO_COLUMN); MOST_COLUMNS];
        let mut count = 0;
        for (place, &column) in columns.iter_mut().zip(known) {
            let unknown = Corruption::new("the number of a key type", column.key_type.into()).at(0);
            *place = (KeyType::of_number(column.key_type).ok_or(unknown)?, column);
            count += 1;
        }
        let columns: Option<Columns<L>> = Columns::of_types(&columns[..count], identity.included);
        let same =
            |columns: &Columns<L>| columns.included_words() == usize::from(identity.included_words);
        let too_wide = Corruption::not("columns that fit the codes of this index").at(0);
        columns.filter(same).ok_or(too_wide)
    }

    fn columns(&self) -> [KeyColumn; MOST_COLUMNS] {
        let mut columns = [NO_COLUMN; MOST_COLUMNS];
        columns.iter_mut().zip(self.parts()).for_each(|(column, part)| *column = part.column());
        columns
    }

    fn included(&self) -> ([IncludedColumn; MOST_COLUMNS], usize) {
        (self.included.columns(), self.included.words())
    }

    fn has_null_class(&self) -> bool {
        self.parts[0].nulls == Nulls::Class
    }

    #[inline]
    unsafe fn key(&self, values: *const pg_sys::Datum, is_null: *const bool) -> Key<[Word; L]> {
        let mut code = [Word::MIN; L];
        for (column, part) in self.parts().iter().enumerate() {
            // SAFETY: by contract, there is a value for each column.
            let (value, is_null) = unsafe { (*values.add(column), *is_null.add(column)) };
            let part_code = match is_null {
                true if part.nulls == Nulls::Class => return Key::null(self.null_class()),
                true => part.null(),
                // SAFETY: by contract.
                false => unsafe { part.of_value(value) },
            };
            part.put(part_code, &mut code);
        }
        if self.included_words() > 0 {
            // SAFETY: by contract.
            unsafe {
                self.included.put(values.add(self.count), is_null.add(self.count), &mut code)
            };
        }
        Key::value(code)
    }

    #[inline]
    fn may_raise(&self) -> bool {
        self.may_raise
    }

    #[inline]
    fn check_held(&self, key: Key<[Word; L]>) {
        if !self.refuses || key.class != NullClass::Value {
            return;
        }
        for part in self.parts() {
            part.check_held(part.take(&key.code));
        }
    }

    fn values(&self, key: Key<[Word; L]>) -> Vec<Option<pg_sys::Datum>> {
        let is_value = key.class == NullClass::Value;
        let value = |part: &Part| part.value(part.take(&key.code)).filter(|_| is_value);
        self.parts().iter().map(value).collect()
    }

    fn decodes_exactly(&self, column: usize) -> bool {
        self.parts().get(column).is_none_or(|part| part.key_type.decodes_exactly())
    }

    fn numbers(&self, column: usize) -> Numbers {
        match self.parts().get(column) {
            Some(part) => Numbers::Part(*part),
            None => match self.included.numbers(column - self.count) {
                Some((numbers, Some(scale))) => Numbers::Decimals(numbers, scale),
                Some((numbers, None)) => Numbers::Included(numbers),
                None => Numbers::Nowhere,
            },
        }
    }

    #[inline]
    fn tuple_of(
        &self,
        class: NullClass,
        code: &[Word; L],
        tuple: &mut ReturnedTuple,
    ) -> Option<pg_sys::IndexTuple> {
        if class != NullClass::Value {
            return Some(tuple.null());
        }
        let several = tuple.several(|| self.fields());
        if !self.included.has_wide_nulls(code)
            && let Some(tuple) = several.of_code(code)
        {
            return Some(tuple);
        }
        (!self.included.is_in_table(code)).then(|| self.build(several, code))
    }

    fn tuple_without_long(
        &self,
        class: NullClass,
        code: &[Word; L],
        tuple: &mut ReturnedTuple,
    ) -> Option<pg_sys::IndexTuple> {
        Some(match class {
            NullClass::Value => self.build(tuple.several(|| self.fields()), code),
            _ => tuple.null(),
        })
    }
}

/// Refuses an index whose key takes more room than codes have.
fn refuse_width(what: std::fmt::Arguments<'_>) -> ! {
    refuse(
        PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        format!("access method \"learned\" does not support {what}"),
        &format!(
            "At most {MOST_WORDS} words are supported. A uuid takes two, other types one; bigint, \
             money, cidr, inet, macaddr8, pg_lsn, xid8 and uuid take one more unless they are the \
             index's only column. Included columns take one, or two beyond 8 bytes, and those of 8 \
             bytes or more take another one together. Index fewer columns, or use access method \
             \"btree\"."
        ),
    )
}
