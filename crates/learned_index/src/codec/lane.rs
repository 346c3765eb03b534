//! One lane of a block: a sequence, or one of two forms for words that are in no order, as those of
//! included columns are.
//!
//! - dictionary: the distinct words, and of each row which of them it has;
//! - bytes: of each row the bytes of its word, the highest first, without zeros at the end. Values
//!   of variable width fill a word up with zeros.
//!
//! ```text
//! dictionary: tag | 0 | number of words (2) | words | places
//! bytes:      tag | 0 | 0 (2)               | ends  | the bytes of all rows
//! ```
//! Words, places and ends are sequences without runs; words and places are frames of reference.

use std::ops::Range;

use super::line::MAX_POSITIONS;
use super::sequence::Plain;
use super::{Sequence, SequencePlan};
use crate::corruption::{Corruption, Result, ensure, ensure_at_most, ensure_that};
use crate::memory::with_room;
use crate::partition::partition_point;

/// The first bytes of the two forms; those of sequences are less.
const DICTIONARY: u8 = 5;
const BYTES: u8 = 6;
const HEADER_LEN: usize = 4;

/// Rows from which on other forms than a sequence are tried.
const FEWEST_ROWS: usize = 16;
/// Rows that are looked at before all words are sorted for a dictionary, and how many of them may
/// be distinct.
const SAMPLED: usize = 64;
const MOST_SAMPLED: usize = 48;

/// The words of a lane inside a page's bytes.
#[derive(Clone, Copy)]
pub(super) enum Lane<'a> {
    Sequence(Sequence<'a>),
    Dictionary { words: Plain<'a>, distinct: usize, places: Plain<'a> },
    Bytes { ends: Plain<'a>, bytes: &'a [u8] },
}

// All lanes of a block are parsed at each lookup.
const _: () = assert!(size_of::<Lane<'_>>() <= size_of::<Sequence<'_>>() + 8);

impl<'a> Lane<'a> {
    /// Reads the front of a lane of `count` words. Returns how many bytes they take, too.
    pub(super) fn parse(bytes: &'a [u8], count: usize) -> Result<(Lane<'a>, usize)> {
        let within = || Corruption::not("a lane within the page");
        let tag = *bytes.first().ok_or_else(within)?;
        if tag < DICTIONARY {
            let (sequence, len) = Sequence::parse(bytes, count)?;
            return Ok((Lane::Sequence(sequence), len));
        }
        let &[_, _, low, high] = bytes.first_chunk::<HEADER_LEN>().ok_or_else(within)?;
        let part = |at: usize, count| {
            ensure_at_most!(count, MAX_POSITIONS, "values in a lane")?;
            Plain::parse(bytes.get(at..).unwrap_or(&[]), count)
        };
        match tag {
            DICTIONARY => {
                let distinct = usize::from(u16::from_le_bytes([low, high]));
                let few = (1..=count).contains(&distinct);
                ensure(few, "as many words of a dictionary as rows, or fewer", distinct as u64)?;
                let (words, words_len) = part(HEADER_LEN, distinct)?;
                let places_at = HEADER_LEN + words_len;
                let (places, places_len) = part(places_at, count)?;
                Ok((Lane::Dictionary { words, distinct, places }, places_at + places_len))
            }
            BYTES => {
                let (ends, ends_len) = part(HEADER_LEN, count)?;
                let at = HEADER_LEN + ends_len;
                let len = if count > 0 { ends.get(count - 1) } else { 0 };
                let end = usize::try_from(len).ok().and_then(|len| at.checked_add(len));
                let bytes = end.and_then(|end| bytes.get(at..end));
                ensure_that(bytes.is_some(), "the bytes of a lane within the page")?;
                let bytes = bytes.unwrap_or(&[]);
                Ok((Lane::Bytes { ends, bytes }, at + bytes.len()))
            }
            other => Err(Corruption::new("a known form of a lane", other.into())),
        }
    }

    /// The word of a row.
    #[inline]
    pub(super) fn get(&self, index: usize) -> u64 {
        match self {
            Lane::Sequence(sequence) => sequence.get(index),
            Lane::Dictionary { words, distinct, places } => {
                words.get((places.get(index) as usize).min(distinct - 1))
            }
            Lane::Bytes { ends, bytes } => {
                let start = index.checked_sub(1).map_or(0, |before| ends.get(before));
                word_of(bytes, start, ends.get(index))
            }
        }
    }

    /// In an ascending lane of `count` rows, the first row whose word is at least `target`.
    #[inline]
    pub(super) fn lower_bound(&self, target: u64, count: usize) -> usize {
        match self {
            Lane::Sequence(sequence) => sequence.lower_bound(target),
            _ => partition_point(0..count, |row| self.get(row) < target),
        }
    }

    /// In an ascending lane of `count` rows, those that have a word. Calls `near` as soon as a row
    /// close to them is known.
    #[inline]
    pub(super) fn run_of(
        &self,
        target: u64,
        count: usize,
        near: impl FnMut(usize),
    ) -> (usize, usize) {
        match self {
            Lane::Sequence(sequence) => sequence.run_of(target, near),
            _ => {
                let start = self.lower_bound(target, count);
                (start, partition_point(start..count, |row| self.get(row) <= target))
            }
        }
    }

    /// Writes the words of the rows from `start` on.
    pub(super) fn decode(&self, start: usize, out: &mut [u64]) {
        match self {
            Lane::Sequence(sequence) => sequence.decode(start, out),
            Lane::Dictionary { words, distinct, places } => {
                places.decode(start, out);
                for word in out {
                    *word = words.get((*word as usize).min(distinct - 1));
                }
            }
            Lane::Bytes { ends, bytes } => {
                let mut from = start.checked_sub(1).map_or(0, |before| ends.get(before));
                ends.decode(start, out);
                for word in out {
                    let end = *word;
                    *word = word_of(bytes, from, end);
                    from = end;
                }
            }
        }
    }

    /// Asks the processor for what decoding these rows will read first.
    pub(super) fn prefetch(&self, indexes: Range<usize>) {
        match self {
            Lane::Sequence(sequence) => sequence.prefetch(indexes),
            Lane::Dictionary { places, .. } => places.prefetch(indexes),
            Lane::Bytes { ends, .. } => ends.prefetch(indexes),
        }
    }
}

/// The word whose first bytes are these; any word if nobody wrote what says where they are.
#[inline]
fn word_of(bytes: &[u8], start: u64, end: u64) -> u64 {
    let len = end.wrapping_sub(start);
    if len == 0 || len > 8 {
        return 0;
    }
    let rest = usize::try_from(start).ok().and_then(|start| bytes.get(start..)).unwrap_or(&[]);
    let word = match rest.first_chunk() {
        Some(whole) => u64::from_be_bytes(*whole),
        // The last rows.
        None => {
            let mut whole = [0; 8];
            whole[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(whole)
        }
    };
    word & u64::MAX << (64 - 8 * len)
}

/// How a lane will be stored, and its words.
pub(super) struct LanePlan {
    form: FormPlan,
    len: usize,
}

enum FormPlan {
    Sequence { values: Vec<u64>, plan: SequencePlan },
    Dictionary { words: Part, places: Part },
    Bytes { ends: Part, bytes: Vec<u8> },
}

/// A sequence within another form.
struct Part {
    values: Vec<u64>,
    plan: SequencePlan,
}

impl Part {
    fn of(values: Vec<u64>, plan: impl Fn(&[u64]) -> SequencePlan) -> Part {
        let plan = plan(&values);
        Part { values, plan }
    }
}

impl LanePlan {
    /// The smallest form of a lane.
    pub(super) fn of(values: Vec<u64>) -> LanePlan {
        let plan = SequencePlan::of(&values);
        let mut len = plan.byte_len();
        let mut other = None;
        // What ascends has forms of its own, which are searched without reading all of it.
        if values.len() >= FEWEST_ROWS && !values.is_sorted() {
            for form in [dictionary, bytes] {
                if let Some((form, form_len)) = form(&values, len) {
                    (other, len) = (Some(form), form_len);
                }
            }
        }
        LanePlan { form: other.unwrap_or(FormPlan::Sequence { values, plan }), len }
    }

    pub(super) fn byte_len(&self) -> usize {
        self.len
    }

    /// Whether a row is found in constant time.
    pub(super) fn is_constant_time(&self) -> bool {
        match &self.form {
            FormPlan::Sequence { plan, .. } => plan.is_constant_time(),
            FormPlan::Dictionary { words, places } => {
                words.plan.is_constant_time() && places.plan.is_constant_time()
            }
            FormPlan::Bytes { ends, .. } => ends.plan.is_constant_time(),
        }
    }

    /// Appends the lane.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        match &self.form {
            FormPlan::Sequence { values, plan } => plan.write(values, out),
            FormPlan::Dictionary { words, places } => {
                let [low, high] = (words.values.len() as u16).to_le_bytes();
                out.extend_from_slice(&[DICTIONARY, 0, low, high]);
                words.plan.write(&words.values, out);
                places.plan.write(&places.values, out);
            }
            FormPlan::Bytes { ends, bytes } => {
                out.extend_from_slice(&[BYTES, 0, 0, 0]);
                ends.plan.write(&ends.values, out);
                out.extend_from_slice(bytes);
            }
        }
        debug_assert_eq!(out.len() - start, self.len);
    }
}

/// A dictionary and its length, if that is less than `below`.
fn dictionary(values: &[u64], below: usize) -> Option<(FormPlan, usize)> {
    let mut sample: Vec<u64> =
        values.iter().copied().step_by(values.len().div_ceil(SAMPLED)).collect();
    sample.sort_unstable();
    let sampled = sample.len();
    sample.dedup();
    if sample.len() * SAMPLED > sampled * MOST_SAMPLED {
        return None;
    }
    let mut words = with_room(values.len());
    words.extend_from_slice(values);
    words.sort_unstable();
    words.dedup();
    if words.len() > usize::from(u16::MAX) {
        return None;
    }
    let place = |value: &u64| words.partition_point(|word| word < value) as u64;
    let places = Part::of(values.iter().map(place).collect(), SequencePlan::packed);
    let words = Part::of(words, SequencePlan::packed);
    let len = HEADER_LEN + words.plan.byte_len() + places.plan.byte_len();
    (len < below).then_some((FormPlan::Dictionary { words, places }, len))
}

/// The bytes of words and their length, if that is less than `below`.
fn bytes(values: &[u64], below: usize) -> Option<(FormPlan, usize)> {
    let len_of = |value: u64| 8 - value.trailing_zeros().min(64) as usize / 8;
    let total: usize = values.iter().map(|value| len_of(*value)).sum();
    if HEADER_LEN + total >= below {
        return None;
    }
    let (mut ends, mut bytes) = (with_room(values.len()), with_room(total));
    for value in values {
        bytes.extend_from_slice(&value.to_be_bytes()[..len_of(*value)]);
        ends.push(bytes.len() as u64);
    }
    let ends = Part::of(ends, SequencePlan::without_runs);
    let len = HEADER_LEN + ends.plan.byte_len() + total;
    (len < below).then_some((FormPlan::Bytes { ends, bytes }, len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lowest bytes are zeros in many; few distinct ones; any.
    fn words() -> impl Strategy<Value = Vec<u64>> {
        let short = (0usize..9, any::<u64>())
            .prop_map(|(len, word)| if len == 0 { 0 } else { word & u64::MAX << (64 - 8 * len) });
        let few = (0u64..5).prop_map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        prop_oneof![
            prop::collection::vec(short, 1..400),
            prop::collection::vec(few, 1..400),
            prop::collection::vec(any::<u64>(), 1..100),
            prop::collection::vec(0u64..70, 1..400),
        ]
    }

    fn written(words: &[u64]) -> Vec<u8> {
        let plan = LanePlan::of(words.to_vec());
        let mut out = vec![];
        plan.write(&mut out);
        assert_eq!(out.len(), plan.byte_len());
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn words_come_back(words in words(), start in 0usize..400, len in 0usize..400) {
            let mut out = written(&words);
            let len_written = out.len();
            out.extend([0xA5; 20]);
            let (lane, len_read) = Lane::parse(&out, words.len()).unwrap();
            prop_assert_eq!(len_read, len_written);
            for (index, word) in words.iter().enumerate() {
                prop_assert_eq!(lane.get(index), *word);
            }
            let start = start.min(words.len());
            let end = (start + len).min(words.len());
            let mut decoded = vec![7; end - start];
            lane.decode(start, &mut decoded);
            prop_assert_eq!(&decoded[..], &words[start..end]);
        }

        #[test]
        fn a_lane_in_order_is_searched(mut words in words(), others in words()) {
            words.sort_unstable();
            // As a sequence, and as what a damaged page might say it is.
            let as_others = [dictionary, bytes].map(|form| form(&words, usize::MAX));
            let plans = as_others.into_iter().flatten().map(|(form, len)| LanePlan { form, len });
            for plan in plans.chain([LanePlan::of(words.clone())]) {
                let mut out = vec![];
                plan.write(&mut out);
                let (lane, _) = Lane::parse(&out, words.len()).unwrap();
                for other in words.iter().chain(&others) {
                    let start = words.partition_point(|word| word < other);
                    let end = words.partition_point(|word| word <= other);
                    prop_assert_eq!(lane.lower_bound(*other, words.len()), start);
                    prop_assert_eq!(lane.run_of(*other, words.len(), |_| ()), (start, end));
                }
            }
        }

        #[test]
        fn bytes_that_nobody_wrote_do_no_harm(
            words in words(), damages in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        ) {
            let mut out = written(&words);
            for (at, byte) in damages {
                // Mostly in the headers.
                let at = if at % 3 == 0 { at % out.len() } else { at % out.len().min(40) };
                out[at] = byte;
            }
            if let Ok((lane, _)) = Lane::parse(&out, words.len()) {
                let mut decoded = vec![0; words.len()];
                lane.decode(0, &mut decoded);
                for (index, word) in words.iter().enumerate() {
                    lane.get(index);
                    prop_assert!(lane.lower_bound(*word, words.len()) <= words.len());
                }
            }
        }
    }

    #[test]
    fn each_form_is_chosen_where_it_is_the_smallest() {
        let form = |words: Vec<u64>| match LanePlan::of(words).form {
            FormPlan::Sequence { .. } => "sequence",
            FormPlan::Dictionary { .. } => "dictionary",
            FormPlan::Bytes { .. } => "bytes",
        };
        let mixed = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        assert_eq!(form((0..500).collect()), "sequence");
        assert_eq!(form((0..500).map(|i| mixed(i) >> 40).collect()), "sequence");
        assert_eq!(form((0..500).map(|i| mixed(i * i % 7)).collect()), "dictionary");
        let short = |i: u64| mixed(i) & u64::MAX << (8 * (i % 8));
        assert_eq!(form((0..500).map(short).collect()), "bytes");
        // Nothing but the first rows is looked at where there are few.
        assert_eq!(form(vec![mixed(1), mixed(2), mixed(1)]), "sequence");
    }
}
