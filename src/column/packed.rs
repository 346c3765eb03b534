//! Included values of any width in some words of a code: a *tag* in the highest byte of the first
//! word, and behind it what the tag says.
//!
//! | tag | what follows |
//! |---|---|
//! | 0 | nothing: NULL |
//! | 1 to 56 | the bytes of a value, one less than this; the first is the highest |
//! | 64 to 82 | a value of `numeric`, in units of its last place, in the rest of the first word |
//! | 255 | nothing: the value is too long, and only in the table |
//!
//! Of values of a fixed width the zeros at the end are left out. Tag 64 is of numbers without
//! decimal places, 65 of those with one, and so on.
//!
//! What has no meaning is 0, so that columns whose values are short cost nothing but their bytes.

use learned_index::key::Word;
use learned_index::key::code::{from_i64, to_i64};
use learned_index::key::numeric;
use learned_index::page::meta::IncludedColumn;
use pgrx::pg_sys;

use super::stored::{content, content_length, is_elsewhere, short_header};

/// The widest values of a fixed width, in bytes: those of `name`.
pub(super) const WIDEST_FIXED: usize = 64;
/// Bytes of a word.
const WORD: usize = size_of::<Word>();
/// Bytes of a value with the one that says how long it is, or more.
pub(super) const ROOM: usize = WIDEST_FIXED + WORD;
pub(super) type Bytes = [u8; ROOM];
/// No words have room for values of more bytes behind their length, or of `numeric` for the number.
const MOST_BYTES: usize = WIDEST_FIXED;

pub(super) const NULL_TAG: u8 = 0;
pub(super) const IN_TABLE: u8 = u8::MAX;
/// Of a value without decimal places.
const DECIMAL_TAG: u8 = 64;
const LAST_DECIMAL_TAG: u8 = DECIMAL_TAG + numeric::GREATEST_SCALE;

/// The bits of the first word that are the tag.
pub(super) const TAG: Word = (u8::MAX as Word) << TAG_SHIFT;
const TAG_SHIFT: u32 = Word::BITS - u8::BITS;

/// The digits of decimals of which there is room for all.
pub(super) const MOST_DIGITS: u8 = 16;
/// Decimals are less than this, and more than the negative of it.
const LIMIT: u64 = 10u64.pow(MOST_DIGITS as u32);
/// The number that stands for NaN, greater than those of all values.
pub(crate) const NOT_A_NUMBER: i64 = i64::MAX;
/// Stands for it in a word.
const NAN: i64 = (1 << (TAG_SHIFT - 1)) - 1;
const _: () = assert!((LIMIT as i64) < NAN);

/// The tag.
#[inline]
pub(super) fn tag_of(words: &[Word]) -> u8 {
    words.first().map_or(NULL_TAG, |word| (word >> TAG_SHIFT) as u8)
}

/// What a decimal is in units of its last place; `None` for NaN.
#[inline(always)]
pub(super) fn units_of(first: Word) -> Option<i64> {
    let units = to_i64(first << u8::BITS) >> u8::BITS;
    (units != NAN).then_some(units)
}

/// The first word of a decimal. `None` if it is too long.
fn decimal(code: Word, scale: u8) -> Option<Word> {
    let units = match to_i64(code) {
        NOT_A_NUMBER => NAN,
        units if units.unsigned_abs() < LIMIT => units,
        _ => return None,
    };
    let behind = from_i64(units << u8::BITS) >> u8::BITS;
    Some(Word::from(DECIMAL_TAG + scale) << TAG_SHIFT | behind)
}

/// Puts a value into its words.
///
/// # Safety
/// The Datum is of the column's type.
pub(super) unsafe fn put(column: IncludedColumn, value: pg_sys::Datum, words: &mut [Word]) {
    // SAFETY: by contract; a value of a fixed width is that long.
    unsafe {
        match usize::from(column.length) {
            // It need not be fetched for that.
            0 if is_elsewhere(value) && content_length(value) > MOST_BYTES => put_in_table(words),
            0 if column.decimal => content(value, |bytes| put_decimal(bytes, words)),
            0 => content(value, |bytes| put_bytes(bytes, words)),
            length => {
                let whole = std::slice::from_raw_parts(value.cast_mut_ptr::<u8>(), length);
                let end = whole.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                put_bytes(&whole[..end], words);
            }
        }
    }
}

fn put_decimal(stored: &[u8], words: &mut [Word]) {
    let known = numeric::code_and_scale(stored);
    match known.and_then(|(code, scale)| decimal(code, scale)) {
        Some(first) => {
            words.fill(0);
            words[0] = first;
        }
        None => put_bytes(stored, words),
    }
}

fn put_in_table(words: &mut [Word]) {
    words.fill(0);
    words[0] = Word::from(IN_TABLE) << TAG_SHIFT;
}

fn put_bytes(value: &[u8], words: &mut [Word]) {
    let mut bytes: Bytes = [0; _];
    match bytes.get_mut(1..=value.len()) {
        Some(place) if value.len() < words.len() * WORD => {
            place.copy_from_slice(value);
            bytes[0] = value.len() as u8 + 1;
        }
        _ => return put_in_table(words),
    }
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = Word::from_be_bytes(*bytes);
    }
}

/// Whether there is no value here: NULL, or one that is in the table.
#[inline]
pub(super) fn is_absent(words: &[Word]) -> bool {
    matches!(tag_of(words), NULL_TAG | IN_TABLE)
}

/// Writes a value that words have as a tuple stores it: of this many bytes, or, with 0, behind its
/// length. Returns how many bytes it has; what is behind them has no meaning.
#[inline]
pub(super) fn store(length: usize, words: &[Word], place: &mut Bytes) -> usize {
    let tag = tag_of(words);
    if (DECIMAL_TAG..=LAST_DECIMAL_TAG).contains(&tag) {
        let code = units_of(words[0]).map_or(from_i64(NOT_A_NUMBER), from_i64);
        let (value, length) = numeric::to_bytes(code, tag - DECIMAL_TAG);
        place[0] = short_header(length as u8 + 1);
        place[1..=value.len()].copy_from_slice(&value);
        return length + 1;
    }
    for (bytes, word) in place.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    match length {
        0 => {
            let end = usize::from(tag).clamp(1, words.len() * WORD);
            place[0] = short_header(end as u8);
            end
        }
        length => {
            // The zeros at the end may go on behind the words.
            place.copy_within(1.., 0);
            place[(words.len() * WORD).saturating_sub(1)..].fill(0);
            length.min(WIDEST_FIXED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_unless_they_are_too_long() {
        for words in 1..8 {
            for length in 0..70 {
                let value: Vec<u8> = (0..length).map(|at| (at * 37 + length) as u8).collect();
                let mut packed = vec![7; words];
                put_bytes(&value, &mut packed);
                if value.len() >= 8 * words {
                    assert_eq!(tag_of(&packed), IN_TABLE);
                    continue;
                }
                let mut bytes = [9; _];
                let end = store(0, &packed, &mut bytes);
                assert_eq!(bytes[0], short_header(value.len() as u8 + 1));
                assert_eq!(&bytes[1..end], &value[..]);
                // Of a fixed width, with zeros behind.
                let mut bytes = [9; _];
                assert_eq!(store(60, &packed, &mut bytes), 60);
                assert_eq!(&bytes[..value.len()], &value[..]);
                assert_eq!(bytes[value.len()..60], vec![0; 60 - value.len()]);
            }
        }
    }

    #[test]
    fn decimals_come_back_and_keep_their_order() {
        let most = LIMIT as i64 - 1;
        for scale in [0, 2, 18] {
            let mut last = None;
            for units in [-most, -10_001, -1, 0, 1, 100, 12_345_678, most] {
                let (value, length) = numeric::to_bytes(from_i64(units), scale);
                let mut packed = [7, 7];
                put_decimal(&value[..length], &mut packed);
                assert_eq!((tag_of(&packed), packed[1]), (DECIMAL_TAG + scale, 0));
                assert_eq!(units_of(packed[0]), Some(units));
                assert!(Some(packed[0]) > last);
                last = Some(packed[0]);
                let mut bytes = [9; _];
                let end = store(0, &packed, &mut bytes);
                assert_eq!(&bytes[1..end], &value[..length]);
            }
            // One more digit: as bytes, if there is room.
            let (value, length) = numeric::to_bytes(from_i64(most + 1), scale);
            let mut packed = [7, 7];
            put_decimal(&value[..length], &mut packed);
            assert_eq!(tag_of(&packed), length as u8 + 1);
        }
        let (nan, length) = numeric::to_bytes(Word::MAX, 0);
        let mut packed = [7];
        put_decimal(&nan[..length], &mut packed);
        assert_eq!(units_of(packed[0]), None);
        let mut bytes = [9; _];
        let end = store(0, &packed, &mut bytes);
        assert_eq!(&bytes[1..end], &nan[..length]);
    }
}
