//! The index tuples that index-only scans return.

use learned_index::key::Word;
use learned_index::page::meta::MOST_COLUMNS;
use pgrx::pg_sys;

use super::key_type::KeyType;
use super::stored::StoredValue;

/// A value: length and alignment in bytes, and the bytes.
pub(super) type LaidOut = ((usize, usize), StoredValue);

/// An index tuple of fixed-width columns: the header of itup.h, and what follows it.
#[repr(C, align(8))]
struct Tuple<const CONTENT: usize> {
    header: pg_sys::IndexTupleData,
    content: [u8; CONTENT],
}

/// How the bytes of a value are made of a word of a code, or of two, unless it is NULL or one of
/// the few values of its type that are stored in another way.
#[derive(Clone, Copy, Default)]
pub(super) struct Field {
    /// Length and alignment of the value in bytes.
    pub(super) layout: (usize, usize),
    /// Which word of the code.
    pub(super) at: usize,
    /// What the word must be like: between these two, without these bits, and with 1 behind it.
    pub(super) between: (Word, Word),
    pub(super) without: Word,
    pub(super) one_behind: bool,
    /// What is done to it: these bits are inverted, this is taken off, these bits are inverted, and
    /// it is shifted to the left and then, as a number with a sign, to the right.
    pub(super) invert: Word,
    pub(super) minus: Word,
    pub(super) sign: Word,
    /// Bits that are inverted too where the highest bit is 0: all of floats, none of others.
    pub(super) below: Word,
    pub(super) left: u32,
    pub(super) right: u32,
    /// Whether its highest byte comes first.
    pub(super) big_endian: bool,
    /// Which word of the code has the other half, if one has.
    pub(super) second: Option<usize>,
}

/// The tuples of several columns.
pub(super) struct Several {
    tuple: Tuple<SEVERAL>,
    /// How most of them are made, and where the value of each column begins. None if that is not as
    /// simple for one of the columns.
    fields: Vec<(Field, usize)>,
    /// The length of one without a NULL.
    length: usize,
}

impl Several {
    /// `fields` are of all columns, or none.
    pub(super) fn new(fields: &[Field]) -> Several {
        let mut end = 0;
        let place = |field: &Field| {
            let (length, alignment) = field.layout;
            let start = end_of(end, alignment);
            end = start + length;
            (*field, start)
        };
        let fields = fields.iter().map(place).collect();
        Several { tuple: Tuple::new(0, 0), fields, length: HEADER + end_of(end, 8) }
    }

    /// The tuple of a code without NULLs. `None` if it has some, or is not as simple.
    #[inline]
    pub(super) fn of_code(&mut self, code: &[Word]) -> Option<pg_sys::IndexTuple> {
        if self.fields.is_empty() {
            return None;
        }
        let content = &mut self.tuple.content;
        for (field, start) in &self.fields {
            let word = *code.get(field.at)?;
            let (low, high) = field.between;
            if word < low
                || word > high
                || word & field.without != 0
                || field.one_behind && *code.get(field.at + 1)? != 1
            {
                return None;
            }
            let number = (word ^ field.invert).wrapping_sub(field.minus);
            let below = field.below & !((number as i64 >> (Word::BITS - 1)) as Word);
            let number = number ^ (field.sign | below);
            let number = ((number << field.left) as i64 >> field.right) as Word;
            // Bytes behind a shorter value are of no value, or of the next, which is still to come.
            let put = |word: Word| match field.big_endian {
                true => word.to_be_bytes(),
                false => word.to_le_bytes(),
            };
            content.get_mut(*start..*start + 8)?.copy_from_slice(&put(number));
            if let Some(second) = field.second {
                let second = put(*code.get(second)? ^ field.invert);
                content.get_mut(*start + 8..*start + 16)?.copy_from_slice(&second);
            }
        }
        self.tuple.header.t_info = info(self.length, 0);
        Some(&raw mut self.tuple.header)
    }
}

/// Where a value may begin behind others.
fn end_of(end: usize, alignment: usize) -> usize {
    end.next_multiple_of(alignment)
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
    several: Option<Box<Several>>,
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

    /// Those of several columns, made with these fields the first time.
    #[inline]
    pub(super) fn several(&mut self, fields: impl FnOnce() -> Vec<Field>) -> &mut Several {
        self.several.get_or_insert_with(|| Box::new(Several::new(&fields())))
    }
}

impl Several {
    /// The tuple of some values and NULLs, laid out as `index_form_tuple` of indextuple.c does.
    pub(super) fn of_values(&mut self, values: &[Option<LaidOut>]) -> pg_sys::IndexTuple {
        let Tuple { header, content } = &mut self.tuple;
        let has_nulls = values.contains(&None);
        let (mut at, flags) = if has_nulls { (BITMAP, pg_sys::INDEX_NULL_MASK) } else { (0, 0) };
        let mut bits = 0u8;
        for (column, value) in values.iter().enumerate() {
            let &Some(((length, alignment), ref stored)) = value else { continue };
            bits |= 1 << column;
            at = end_of(at, alignment);
            content[at..at + length].copy_from_slice(&stored[..length]);
            at += length;
        }
        if has_nulls {
            content[0] = bits;
        }
        header.t_info = info(HEADER + end_of(at, 8), flags);
        &raw mut *header
    }
}
