//! The values of a column as numbers: what Datums of types passed by value are.

use learned_index::key::Word;

use super::Column;
use super::columns::Part;
use super::included::IncludedNumbers;

/// Where the values of a column of an index are in its codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// The code is that of the only column.
    Word(Column),
    /// In some words of the key.
    Part(Part),
    /// Beside the key.
    Included(IncludedNumbers),
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
                Some(column.key_type.decode(word).value() as i64)
            }
            Numbers::Part(part) => part.value(part.take(code)).map(|value| value.value() as i64),
            Numbers::Included(included) => included.of(code),
            Numbers::Nowhere => None,
        }
    }
}
