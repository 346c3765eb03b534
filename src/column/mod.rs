//! The column of an index: how its values become keys, and keys values again.
//!
//! - [`code`]: what the codes are, as Rust types
//! - [`key_type`]: the types, and the codes of their values
//! - `tuple`: the index tuples that index-only scans return
//! - [`tid`]: heap TIDs, as the core has them and as the pure crate has them

pub(crate) mod code;
pub(crate) mod key_type;
pub(crate) mod tid;
pub(crate) mod tuple;

#[cfg(any(test, feature = "pg_test"))]
pub(crate) mod tests;

use learned_index::corruption::{Corruption, Result};
use learned_index::entry::Entry;
use learned_index::key::{Key, NullClass};
use learned_index::page::meta::Identity;
use pgrx::prelude::*;

use crate::relation::OpenIndex;
use code::IndexCode;
use key_type::{KeyType, refuse_type, refuse_value};
use tid::heap_tid;

/// The type and the order of an index's column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) key_type: KeyType,
    pub(crate) descending: bool,
    nulls_first: bool,
}

/// Whether the codes of an index's keys are words; otherwise they are two.
#[inline]
pub(crate) fn has_words(index: OpenIndex) -> bool {
    index.key_type_oid() != pg_sys::UUIDOID
}

impl Column {
    /// The column of an index. An error where its operator class is not one of ours, so that an
    /// order which the codes do not have is refused and never answered wrongly.
    pub(crate) fn of_index(index: OpenIndex) -> Column {
        let (type_oid, compare) = index.column_order();
        let options = index.column_options();
        Column {
            key_type: KeyType::with_order(type_oid, compare)
                .unwrap_or_else(|| refuse_type(type_oid)),
            descending: options & pg_sys::INDOPTION_DESC != 0,
            nulls_first: options & pg_sys::INDOPTION_NULLS_FIRST != 0,
        }
    }

    /// The column that a metapage tells of.
    pub(crate) fn of_identity(identity: &Identity) -> Result<Column> {
        let Identity { key_type, descending, nulls_first, .. } = *identity;
        let unknown = Corruption::new("the number of a key type", key_type.into()).at(0);
        let key_type = KeyType::of_number(key_type).ok_or(unknown)?;
        Ok(Column { key_type, descending, nulls_first })
    }

    /// What the metapage of a new index tells of it.
    pub(crate) fn new_identity(self) -> Identity {
        Identity {
            incarnation: rand::random(),
            key_type: self.key_type.number(),
            descending: self.descending,
            nulls_first: self.nulls_first,
        }
    }

    /// Checks that a metapage is that of an index like this one: a file of another learned index
    /// would give wrong answers.
    pub(crate) fn check_identity(self, identity: &Identity) -> Result<()> {
        let foreign = |expected, found| Err(Corruption::new(expected, found).at(0));
        if identity.key_type != self.key_type.number() {
            return foreign("a metapage of this index's key type", identity.key_type.into());
        }
        if identity.descending != self.descending {
            return foreign("a metapage of this index's order", identity.descending.into());
        }
        if identity.nulls_first != self.nulls_first {
            return foreign(
                "a metapage of this index's order of NULLs",
                identity.nulls_first.into(),
            );
        }
        Ok(())
    }

    /// From a value's code to the code in the index's order, and back.
    #[inline]
    pub(crate) fn in_order<C: IndexCode>(self, code: C) -> C {
        if self.descending { code.turned_round() } else { code }
    }

    /// The code of a value, in the index's order.
    ///
    /// # Safety
    /// The Datum is one of the column's type.
    #[inline]
    pub(crate) unsafe fn code<C: IndexCode>(self, value: pg_sys::Datum) -> C {
        // SAFETY: by contract.
        self.in_order(unsafe { C::encode(self.key_type, value) })
    }

    /// The key of a value, or of NULL.
    ///
    /// # Safety
    /// The Datum is one of the column's type, or `is_null`.
    #[inline]
    pub(crate) unsafe fn key<C: IndexCode>(self, value: pg_sys::Datum, is_null: bool) -> Key<C> {
        // SAFETY: by contract.
        if is_null { self.null_key() } else { Key::value(unsafe { self.code(value) }) }
    }

    /// Refuses a value that the index cannot hold, by its code in the index's order.
    #[inline]
    pub(crate) fn check_held<C: IndexCode>(self, code: C) {
        if !self.in_order(code).is_held(self.key_type) {
            refuse_value();
        }
    }

    /// The key of NULL.
    pub(crate) fn null_key<C: IndexCode>(self) -> Key<C> {
        Key::null(if self.nulls_first { NullClass::NullsFirst } else { NullClass::NullsLast })
    }

    /// The value of a key, or `None` of NULL; as [`KeyType::decode`] has it.
    pub(crate) fn value<C: IndexCode>(self, key: Key<C>) -> Option<pg_sys::Datum> {
        let is_value = key.class == NullClass::Value;
        is_value.then(|| self.in_order(key.code).decode(self.key_type))
    }

    /// The entry of a row. An error if the index cannot hold its value.
    ///
    /// # Safety
    /// The pointers are valid, to the value of one column and to the TID, as the core passes them
    /// to callbacks.
    #[inline]
    pub(crate) unsafe fn entry<C: IndexCode>(
        self,
        values: *const pg_sys::Datum,
        is_null: *const bool,
        tid: pg_sys::ItemPointer,
    ) -> Entry<C> {
        // SAFETY: by contract.
        let (key, tid) = unsafe { (self.key(*values, *is_null), heap_tid(&*tid)) };
        if key.class == NullClass::Value {
            self.check_held(key.code);
        }
        Entry { key, tid }
    }
}
