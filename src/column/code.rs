//! The codes of an index's keys as Rust types: a word where the values of the column have codes of
//! 64 bits, and two of them for `uuid`.

use learned_index::key::cut::Comparison;
use learned_index::key::{Code, Word};
use pgrx::pg_sys;

use super::key_type::{KeyType, StoredValue, bytes};

/// A code that an index can have.
pub(crate) trait IndexCode: Code {
    /// The code of a value of a type that has such codes.
    ///
    /// # Safety
    /// The Datum is one of this type.
    unsafe fn encode(key_type: KeyType, value: pg_sys::Datum) -> Self;
    /// Its value; in the current memory context, if the type is passed by reference.
    fn decode(self, key_type: KeyType) -> pg_sys::Datum;
    /// Writes the bytes of its value as a tuple stores them.
    fn store(self, key_type: KeyType, place: &mut StoredValue);
    /// The code that is as far from the greatest as this one is from the least.
    fn turned_round(self) -> Self;
    /// Whether its value can be in an index: see [`KeyType::holds`].
    fn is_held(self, key_type: KeyType) -> bool;

    /// The first and the last of the codes that compare so with this one.
    fn select(self, comparison: Comparison) -> Option<(Self, Self)> {
        Some(match comparison {
            Comparison::Less => (Self::MIN, self.previous()?),
            Comparison::LessEqual => (Self::MIN, self),
            Comparison::Equal => (self, self),
            Comparison::GreaterEqual => (self, Self::MAX),
            Comparison::Greater => (self.next()?, Self::MAX),
        })
    }
}

impl IndexCode for Word {
    #[inline]
    unsafe fn encode(key_type: KeyType, value: pg_sys::Datum) -> Word {
        // SAFETY: by contract.
        unsafe { key_type.encode(value) }
    }

    fn decode(self, key_type: KeyType) -> pg_sys::Datum {
        key_type.decode(self)
    }

    #[inline]
    fn store(self, key_type: KeyType, place: &mut StoredValue) {
        key_type.store(self, place);
    }

    #[inline]
    fn turned_round(self) -> Word {
        !self
    }

    #[inline]
    fn is_held(self, key_type: KeyType) -> bool {
        key_type.holds(self)
    }
}

/// The bytes of a `uuid`, the first of which decides the order (`uuid_internal_cmp` of uuid.c).
impl IndexCode for [Word; 2] {
    #[inline]
    unsafe fn encode(_: KeyType, value: pg_sys::Datum) -> [Word; 2] {
        // SAFETY: by contract, it points to a uuid.
        let number = u128::from_be_bytes(unsafe { bytes(value) });
        [(number >> Word::BITS) as Word, number as Word]
    }

    fn decode(self, key_type: KeyType) -> pg_sys::Datum {
        let mut stored = StoredValue::default();
        self.store(key_type, &mut stored);
        KeyType::in_memory(stored)
    }

    #[inline]
    fn store(self, _: KeyType, place: &mut StoredValue) {
        let [high, low] = self;
        *place = (u128::from(high) << Word::BITS | u128::from(low)).to_be_bytes();
    }

    #[inline]
    fn turned_round(self) -> [Word; 2] {
        self.map(|word| !word)
    }

    fn is_held(self, _: KeyType) -> bool {
        true
    }
}

/// Runs code in which a name stands for the type of an index's codes.
macro_rules! with_code {
    ($index:expr, $code:ident => $body:expr) => {
        if $crate::column::has_words($index) {
            type $code = learned_index::key::Word;
            $body
        } else {
            type $code = [learned_index::key::Word; 2];
            $body
        }
    };
}
pub(crate) use with_code;
