//! The index tuples that index-only scans return.

use learned_index::key::{Key, NullClass};
use pgrx::pg_sys;

use super::Column;
use super::code::IndexCode;
use super::key_type::StoredValue;

/// An index tuple of one fixed-width column: the header of itup.h, then the value at its place,
/// which is aligned for any type.
#[repr(C, align(8))]
struct Tuple {
    header: pg_sys::IndexTupleData,
    content: StoredValue,
}

const _: () = assert!(size_of::<Tuple>() == 24);

impl Tuple {
    /// A tuple without a NULL has its value after the header; one with a NULL has the bit map
    /// there, in which a clear bit is a NULL.
    fn new(flags: u32) -> Tuple {
        let t_info = (size_of::<Tuple>() as u32 | flags) as u16;
        let header = pg_sys::IndexTupleData { t_info, ..Default::default() };
        Tuple { header, content: StoredValue::default() }
    }
}

/// What a scan has returned last: a value, or NULL.
pub(crate) struct ReturnedTuple {
    value: Tuple,
    null: Tuple,
}

impl ReturnedTuple {
    pub(crate) fn new() -> ReturnedTuple {
        ReturnedTuple { value: Tuple::new(0), null: Tuple::new(pg_sys::INDEX_NULL_MASK) }
    }

    /// The index tuple of a key, valid until the next one.
    #[inline]
    pub(crate) fn of_key<C: IndexCode>(
        &mut self,
        column: Column,
        key: Key<C>,
    ) -> pg_sys::IndexTuple {
        if key.class != NullClass::Value {
            return &raw mut self.null.header;
        }
        column.in_order(key.code).store(column.key_type, &mut self.value.content);
        &raw mut self.value.header
    }
}
