//! The columns of an index: how their values become keys, and keys values again.
//!
//! - this file: one column whose codes are words
//! - [`columns`]: several columns, and one of more than 64 bits
//! - [`code`]: what the codes are, as Rust types
//! - [`key_type`]: the types, and the codes of their values
//! - `stored`: how the core stores values
//! - `included`: columns that are stored beside the key; `packed`: values of them that are wide
//! - `tuple`: the index tuples that index-only scans return
//! - [`tid`]: heap TIDs, as the core has them and as the pure crate has them

pub(crate) mod code;
pub(crate) mod columns;
pub(crate) mod included;
pub(crate) mod key_type;
mod packed;
mod stored;
pub(crate) mod tid;
pub(crate) mod tuple;

#[cfg(any(test, feature = "pg_test"))]
pub(crate) mod tests;

use learned_index::corruption::{Corruption, Result};
use learned_index::entry::Entry;
use learned_index::key::float::FloatWord;
use learned_index::key::{Code, Key, NullClass, Word};
use learned_index::page::meta::{
    self, Identity, IncludedColumn, KeyColumn, MOST_COLUMNS, NO_COLUMN, NOT_INCLUDED,
};
use pgrx::prelude::*;

use crate::relation::OpenIndex;
use columns::Numbers;
pub(crate) use included::IncludedNumbers;
use key_type::{KeyType, refuse_numeric, refuse_type};
use tid::heap_tid;
use tuple::ReturnedTuple;

/// How the values of an index's columns become codes, and codes values again.
pub(crate) trait KeyColumns<C: Code>: Copy {
    /// The columns of an index. An error where an operator class is not one of ours, so that an
    /// order which the codes do not have is refused and never answered wrongly.
    fn of_index(index: OpenIndex) -> Self;

    /// The columns that a metapage tells of.
    fn of_identity(identity: &Identity) -> Result<Self>;

    /// How many columns the key has.
    fn count(&self) -> usize {
        self.columns().iter().take_while(|column| **column != NO_COLUMN).count()
    }

    /// What a metapage tells of the columns of the key.
    fn columns(&self) -> [KeyColumn; MOST_COLUMNS];

    /// What a metapage tells of the columns beside it, and how many words of a code they take.
    fn included(&self) -> ([IncludedColumn; MOST_COLUMNS], usize) {
        ([NOT_INCLUDED; MOST_COLUMNS], 0)
    }

    /// Whether NULLs have a class of their own: those of an only column do.
    fn has_null_class(&self) -> bool;

    /// The key of a row.
    ///
    /// # Safety
    /// The pointers are valid, to a value of each column, as the core passes them to callbacks.
    unsafe fn key(&self, values: *const pg_sys::Datum, is_null: *const bool) -> Key<C>;

    /// Whether making a key may raise an error: it calls the core for some values, or refuses them.
    fn may_raise(&self) -> bool;

    /// Refuses a value that the index cannot hold.
    fn check_held(&self, key: Key<C>);

    /// The values of the key's columns, `None` for NULL; as [`KeyType::decode`] has them.
    fn values(&self, key: Key<C>) -> Vec<Option<pg_sys::Datum>>;

    /// Whether codes tell all of the values of a column.
    fn decodes_exactly(&self, column: usize) -> bool;

    /// Where the numbers of a column are, from 0: of the key's, or behind these of an included one.
    fn numbers(&self, column: usize) -> Numbers;

    /// The index tuple of a key, valid until the next one. `None` if a value is only in the table.
    fn tuple_of(
        &self,
        class: NullClass,
        code: &C,
        tuple: &mut ReturnedTuple,
    ) -> Option<pg_sys::IndexTuple>;

    /// The same, with NULL for such a value.
    fn tuple_without_long(
        &self,
        class: NullClass,
        code: &C,
        tuple: &mut ReturnedTuple,
    ) -> Option<pg_sys::IndexTuple> {
        self.tuple_of(class, code, tuple)
    }

    /// The entry of a row. An error if the index cannot hold its values.
    ///
    /// # Safety
    /// As [`KeyColumns::key`]; the TID is valid too.
    #[inline]
    unsafe fn entry(
        &self,
        values: *const pg_sys::Datum,
        is_null: *const bool,
        tid: pg_sys::ItemPointer,
    ) -> Entry<C> {
        // SAFETY: by contract.
        let (key, tid) = unsafe { (self.key(values, is_null), heap_tid(&*tid)) };
        self.check_held(key);
        Entry { key, tid }
    }

    /// What the metapage of a new index tells of it.
    fn new_identity(&self) -> Identity {
        let (included, words) = self.included();
        Identity {
            incarnation: rand::random(),
            columns: self.columns(),
            included,
            included_words: words as u8,
        }
    }

    /// Checks that a metapage is that of an index like this one: a file of another learned index
    /// would give wrong answers.
    fn check_identity(&self, identity: &Identity) -> Result<()> {
        let foreign = |expected, found| Err(Corruption::new(expected, found).at(0));
        for (own, found) in self.columns().iter().zip(&identity.columns) {
            if found.key_type != own.key_type {
                return foreign("a metapage of this index's key type", found.key_type.into());
            }
            if found.descending != own.descending {
                return foreign("a metapage of this index's order", found.descending.into());
            }
            if found.nulls_first != own.nulls_first {
                let expected = "a metapage of this index's order of NULLs";
                return foreign(expected, found.nulls_first.into());
            }
        }
        let (included, words) = self.included();
        if included != identity.included || words != usize::from(identity.included_words) {
            let expected = "a metapage of this index's included columns";
            return foreign(expected, identity.included_words.into());
        }
        Ok(())
    }
}

/// The type and the order of an index's only column, whose codes are words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) key_type: KeyType,
    pub(crate) descending: bool,
    nulls_first: bool,
}

/// How many words the codes of an index have.
#[inline]
pub(crate) fn words_of(index: OpenIndex) -> usize {
    let types = index.key_types();
    match types {
        _ if index.has_included_columns() => columns::words_with_included(index),
        [pg_sys::UUIDOID] => 2,
        [_] => 1,
        several => columns::words_of_types(several.iter().map(|oid| KeyType::of_type(*oid))),
    }
}

/// The type of a column of the key. An error where its operator class is not one of ours, or the
/// column is one of `numeric` that has no codes.
fn key_type_of<C: Code>(index: OpenIndex, column: usize) -> KeyType {
    let (type_oid, compare) = index.column_order(column);
    match KeyType::with_order(type_oid, compare) {
        Some(KeyType::Numeric(_)) => {
            let modifier = index.type_modifier(column);
            let known = KeyType::of_numeric(modifier);
            let built = || built_type::<C>(index, column);
            known.or_else(built).unwrap_or_else(|| refuse_numeric(modifier))
        }
        Some(float) if float != float.as_last() && column + 1 == index.key_columns() => {
            type_of_last::<C>(index, column, float)
        }
        known => known.unwrap_or_else(|| refuse_type(type_oid)),
    }
}

/// The type of a last column of floats: with codes that keep every bit, unless a version built the
/// index that had no such codes. The planner asks for it: what is wrong with a metapage, those who
/// use the index are told.
fn type_of_last<C: Code>(index: OpenIndex, column: usize, float: KeyType) -> KeyType {
    let find = |index: OpenIndex| {
        let page = if index.is_temporary_elsewhere() { None } else { index.metapage() }?;
        let (identity, _) = meta::decode::<C>(&page).ok()?;
        Some(identity.columns[column].key_type)
    };
    // SAFETY: the index is open.
    let own = unsafe { OpenIndex::of_relation(index.raw()) };
    match own.and_then(|index| index.kept(|| find(index))) {
        Some(number) if number == float.number() => float,
        _ => float.as_last(),
    }
}

/// The type of a column when the index was built. ALTER TABLE gives columns of `numeric` a greater
/// precision, or none, without building their indexes anew. What then does not fit is refused.
#[cold]
fn built_type<C: Code>(index: OpenIndex, column: usize) -> Option<KeyType> {
    // Of another method's index it is asked whether one of this method could have its columns.
    // SAFETY: the index is open.
    let index = unsafe { OpenIndex::of_relation(index.raw()) }?;
    match meta::decode::<C>(&index.metapage()?) {
        Ok((identity, _)) => KeyType::of_number(identity.columns[column].key_type),
        Err(corruption) => index.raise_corruption(corruption.at(0)),
    }
}

/// A column of an index as the metapage tells of it.
fn key_column(index: OpenIndex, column: usize, key_type: KeyType) -> KeyColumn {
    let options = index.column_options(column);
    KeyColumn {
        key_type: key_type.number(),
        descending: options & pg_sys::INDOPTION_DESC != 0,
        nulls_first: options & pg_sys::INDOPTION_NULLS_FIRST != 0,
    }
}

impl Column {
    fn of(key_type: KeyType, column: KeyColumn) -> Column {
        let KeyColumn { descending, nulls_first, .. } = column;
        Column { key_type, descending, nulls_first }
    }

    /// From a value's code to the code in the index's order, and back.
    #[inline]
    pub(crate) fn in_order(self, code: Word) -> Word {
        if self.descending { !code } else { code }
    }

    /// The code of a value, in the index's order.
    ///
    /// # Safety
    /// The Datum is one of the column's type.
    #[inline]
    pub(crate) unsafe fn code(self, value: pg_sys::Datum) -> Word {
        // SAFETY: by contract.
        self.in_order(unsafe { self.key_type.encode(value) })
    }

    /// The first and the last of the codes of values that are equal to that of one.
    pub(crate) fn equal(self, code: Word) -> (Word, Word) {
        match self.key_type {
            KeyType::Float4Bits | KeyType::Float8Bits => {
                FloatWord { moved: false, descending: self.descending }.equal(code)
            }
            _ => (code, code),
        }
    }

    /// The key of NULL.
    pub(crate) fn null_key(self) -> Key {
        Key::null(if self.nulls_first { NullClass::NullsFirst } else { NullClass::NullsLast })
    }
}

impl KeyColumns<Word> for Column {
    fn of_index(index: OpenIndex) -> Column {
        let key_type = key_type_of::<Word>(index, 0);
        Column::of(key_type, key_column(index, 0, key_type))
    }

    fn of_identity(identity: &Identity) -> Result<Column> {
        let column = identity.columns[0];
        let unknown = Corruption::new("the number of a key type", column.key_type.into()).at(0);
        Ok(Column::of(KeyType::of_number(column.key_type).ok_or(unknown)?, column))
    }

    fn columns(&self) -> [KeyColumn; MOST_COLUMNS] {
        let Column { key_type, descending, nulls_first } = *self;
        let mut columns = [NO_COLUMN; MOST_COLUMNS];
        columns[0] = KeyColumn { key_type: key_type.number(), descending, nulls_first };
        columns
    }

    fn has_null_class(&self) -> bool {
        true
    }

    #[inline]
    unsafe fn key(&self, values: *const pg_sys::Datum, is_null: *const bool) -> Key {
        // SAFETY: by contract.
        unsafe { if *is_null { self.null_key() } else { Key::value(self.code(*values)) } }
    }

    #[inline]
    fn may_raise(&self) -> bool {
        self.key_type.has_variable_width()
    }

    #[inline]
    fn check_held(&self, key: Key) {
        if key.class == NullClass::Value {
            self.key_type.check_held(self.in_order(key.code));
        }
    }

    fn values(&self, key: Key) -> Vec<Option<pg_sys::Datum>> {
        let is_value = key.class == NullClass::Value;
        vec![is_value.then(|| self.key_type.decode(self.in_order(key.code)))]
    }

    fn decodes_exactly(&self, _: usize) -> bool {
        self.key_type.decodes_exactly()
    }

    fn numbers(&self, _: usize) -> Numbers {
        Numbers::Word(*self)
    }

    #[inline]
    fn tuple_of(
        &self,
        class: NullClass,
        code: &Word,
        tuple: &mut ReturnedTuple,
    ) -> Option<pg_sys::IndexTuple> {
        Some(match class {
            NullClass::Value => tuple.of_word(self.key_type, self.in_order(*code)),
            _ => tuple.null(),
        })
    }
}
