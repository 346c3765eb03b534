//! The index tuples that index-only scans return.

use learned_index::key::Word;
use learned_index::page::meta::MOST_COLUMNS;
use pgrx::pg_sys;

use super::key_type::{KeyType, StoredValue};

/// A value: length and alignment in bytes, and the bytes.
pub(super) type LaidOut = ((usize, usize), StoredValue);

/// An index tuple of fixed-width columns: the header of itup.h, and what follows it.
#[repr(C, align(8))]
struct Tuple<const CONTENT: usize> {
    header: pg_sys::IndexTupleData,
    content: [u8; CONTENT],
}

const HEADER: usize = size_of::<pg_sys::IndexTupleData>();
/// Bytes from the header to the values where there is a bit map of NULLs.
const BITMAP: usize = 8;
const ONE: usize = size_of::<StoredValue>();
const SEVERAL: usize = BITMAP + MOST_COLUMNS * ONE;
const _: () = assert!(HEADER == 8 && size_of::<Tuple<ONE>>() == 24);

/// What a scan has returned last.
pub(crate) struct ReturnedTuple {
    value: Tuple<ONE>,
    /// Of one column.
    null: Tuple<BITMAP>,
    /// Of several columns, once there was one.
    several: Option<Box<Tuple<SEVERAL>>>,
}

impl<const CONTENT: usize> Tuple<CONTENT> {
    fn new(length: usize, flags: u32) -> Tuple<CONTENT> {
        let header = pg_sys::IndexTupleData { t_info: info(length, flags), ..Default::default() };
        Tuple { header, content: [0; CONTENT] }
    }
}

fn info(length: usize, flags: u32) -> u16 {
    (length as u32 | flags) as u16
}

impl ReturnedTuple {
    pub(crate) fn new() -> ReturnedTuple {
        ReturnedTuple {
            value: Tuple::new(HEADER + ONE, 0),
            // A clear bit is a NULL.
            null: Tuple::new(HEADER + BITMAP, pg_sys::INDEX_NULL_MASK),
            several: None,
        }
    }

    /// The tuple of one value, whose code is a word.
    #[inline]
    pub(super) fn of_word(&mut self, key_type: KeyType, code: Word) -> pg_sys::IndexTuple {
        key_type.store(code, &mut self.value.content);
        &raw mut self.value.header
    }

    /// The tuple of one NULL.
    #[inline]
    pub(super) fn null(&mut self) -> pg_sys::IndexTuple {
        &raw mut self.null.header
    }

    /// The tuple of some values and NULLs, laid out as `index_form_tuple` of indextuple.c does.
    pub(super) fn of_values(&mut self, values: &[Option<LaidOut>]) -> pg_sys::IndexTuple {
        let several = self.several.get_or_insert_with(|| Box::new(Tuple::new(0, 0)));
        let Tuple { header, content } = several.as_mut();
        let has_nulls = values.contains(&None);
        let (mut at, flags) = if has_nulls { (BITMAP, pg_sys::INDEX_NULL_MASK) } else { (0, 0) };
        let mut bits = 0u8;
        for (column, value) in values.iter().enumerate() {
            let &Some(((length, alignment), ref stored)) = value else { continue };
            bits |= 1 << column;
            at = at.next_multiple_of(alignment);
            content[at..at + length].copy_from_slice(&stored[..length]);
            at += length;
        }
        if has_nulls {
            content[0] = bits;
        }
        header.t_info = info(HEADER + at.next_multiple_of(8), flags);
        &raw mut *header
    }
}
