//! Key codes: unsigned integers whose order is the SQL order of the values.
//!
//! - [`code`]: codes of values
//! - [`cut`]: where a value of another type falls among the codes of a column
//! - `interval`: sets of keys

pub mod code;
pub mod cut;
mod interval;

pub use interval::{Interval, Intervals};

/// An unsigned number whose order is the SQL order of the values of one column.
pub type Code = u64;

/// Where NULLs stand in an index: before every value, or after every value.
///
/// Entries are ordered by (null class, code, heap TID). NULLs have code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NullClass {
    /// NULLs of an index with NULLS FIRST.
    NullsFirst = 0,
    /// Every value that is not NULL.
    Value = 1,
    /// NULLs of an index with NULLS LAST.
    NullsLast = 2,
}

impl NullClass {
    /// The class that is stored as this number, if there is one.
    #[inline(always)]
    pub(crate) const fn of(number: u8) -> Option<NullClass> {
        match number {
            0 => Some(NullClass::NullsFirst),
            1 => Some(NullClass::Value),
            2 => Some(NullClass::NullsLast),
            _ => None,
        }
    }
}

/// A key in index order: the null class, then the code of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whether this is a value, or NULLs that stand before or after all values.
    pub class: NullClass,
    /// Order-preserving code of the value; 0 for NULL.
    pub code: Code,
}

impl Key {
    /// The smallest key of any index.
    pub const MIN: Key = Key { class: NullClass::NullsFirst, code: 0 };
    /// The largest key of any index.
    pub const MAX: Key = Key { class: NullClass::NullsLast, code: Code::MAX };

    /// The key of a value that is not NULL.
    pub const fn value(code: Code) -> Key {
        Key { class: NullClass::Value, code }
    }
}
