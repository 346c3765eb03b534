//! The index tuples that index-only scans return.

use learned_index::key::Word;
use learned_index::page::meta::MOST_COLUMNS;
use pgrx::pg_sys;

use super::key_type::KeyType;
use super::packed;
use super::stored::StoredValue;

/// An index tuple: the header of itup.h, and what follows it.
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

/// How the bytes of a column's values are made of most codes.
#[derive(Clone, Copy)]
pub(super) enum Made {
    OfWord(Field),
    /// Packed in some words: its length, 0 if values have different ones, and alignment; the first
    /// of these words, and how many there are.
    Packed {
        layout: (usize, usize),
        at: usize,
        words: usize,
    },
}

/// The tuples of several columns.
pub(super) struct Several {
    tuple: Tuple<SEVERAL>,
    /// How most of them are made, and where the value of each column begins: of the columns before
    /// the first that is packed. None if that is not as simple for one of the columns.
    fields: Vec<(Field, usize)>,
    /// How the other columns are made.
    rest: Vec<Made>,
    /// Where the values of the first ones end.
    end: usize,
}

impl Several {
    /// `fields` are of all columns, or none.
    pub(super) fn new(fields: &[Made]) -> Several {
        let (mut end, mut front) = (0, Vec::new());
        for made in fields {
            let Made::OfWord(field) = made else { break };
            let (length, alignment) = field.layout;
            let start = end_of(end, alignment);
            end = start + length;
            front.push((*field, start));
        }
        let rest = fields[front.len()..].to_vec();
        Several { tuple: Tuple::new(0, 0), fields: front, rest, end }
    }

    /// The tuple of a code without NULLs. `None` if it has some, or is not as simple.
    #[inline]
    pub(super) fn of_code(&mut self, code: &[Word]) -> Option<pg_sys::IndexTuple> {
        if self.fields.is_empty() {
            return None;
        }
        let content = &mut self.tuple.content;
        for (field, start) in &self.fields {
            field.put(code, content, *start)?;
        }
        let mut end = self.end;
        for made in &self.rest {
            match made {
                Made::OfWord(field) => {
                    let (length, alignment) = field.layout;
                    let start = end_of(end, alignment);
                    field.put(code, content, start)?;
                    end = start + length;
                }
                &Made::Packed { layout: (length, alignment), at, words } => {
                    let words = code.get(at..at + words)?;
                    if packed::is_absent(words) {
                        return None;
                    }
                    let start = end_of(end, alignment);
                    let place = content.get_mut(start..)?.first_chunk_mut()?;
                    end = start + packed::store(length, words, place);
                }
            }
        }
        self.tuple.header.t_info = info(HEADER + end_of(end, 8), 0);
        Some(&raw mut self.tuple.header)
    }
}

impl Field {
    /// Puts the bytes of a value. `None` if that is not as simple.
    #[inline(always)]
    fn put(&self, code: &[Word], content: &mut [u8; SEVERAL], start: usize) -> Option<()> {
        let word = *code.get(self.at)?;
        let (low, high) = self.between;
        if word < low
            || word > high
            || word & self.without != 0
            || self.one_behind && *code.get(self.at + 1)? != 1
        {
            return None;
        }
        let number = (word ^ self.invert).wrapping_sub(self.minus);
        let below = self.below & !((number as i64 >> (Word::BITS - 1)) as Word);
        let number = number ^ (self.sign | below);
        let number = ((number << self.left) as i64 >> self.right) as Word;
        // Bytes behind a shorter value are of no value, or of the next, which is still to come.
        let put = |word: Word| match self.big_endian {
            true => word.to_be_bytes(),
            false => word.to_le_bytes(),
        };
        content.get_mut(start..start + 8)?.copy_from_slice(&put(number));
        if let Some(second) = self.second {
            let second = put(*code.get(second)? ^ self.invert);
            content.get_mut(start + 8..start + 16)?.copy_from_slice(&second);
        }
        Some(())
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
const SEVERAL: usize = BITMAP + MOST_COLUMNS * packed::ROOM;
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
    pub(super) fn several(&mut self, fields: impl FnOnce() -> Vec<Made>) -> &mut Several {
        self.several.get_or_insert_with(|| Box::new(Several::new(&fields())))
    }
}

/// A tuple that gets one value after the other, laid out as `index_form_tuple` of indextuple.c
/// does.
pub(super) struct Builder<'t> {
    tuple: &'t mut Tuple<SEVERAL>,
    has_nulls: bool,
    column: u32,
    end: usize,
}

impl Several {
    /// A tuple whose values follow. `has_nulls`: some of them are NULL.
    pub(super) fn begin(&mut self, has_nulls: bool) -> Builder<'_> {
        let (end, flags) = if has_nulls { (BITMAP, pg_sys::INDEX_NULL_MASK) } else { (0, 0) };
        self.tuple.content[0] = 0;
        self.tuple.header.t_info = flags as u16;
        Builder { tuple: &mut self.tuple, has_nulls, column: 0, end }
    }
}

impl Builder<'_> {
    /// Adds the value of the next column, of a type of this alignment.
    pub(super) fn value(&mut self, alignment: usize, bytes: &[u8]) {
        let start = end_of(self.end, alignment);
        self.end = start + bytes.len();
        self.tuple.content[start..self.end].copy_from_slice(bytes);
        if self.has_nulls {
            self.tuple.content[0] |= 1 << self.column;
        }
        self.column += 1;
    }

    /// Adds a NULL.
    pub(super) fn null(&mut self) {
        self.column += 1;
    }

    pub(super) fn finish(self) -> pg_sys::IndexTuple {
        let Tuple { header, .. } = self.tuple;
        header.t_info |= info(HEADER + end_of(self.end, 8), 0);
        &raw mut *header
    }
}
