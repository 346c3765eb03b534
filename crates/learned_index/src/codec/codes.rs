//! The codes of a block, whatever a code is. Those of one word are a [`Sequence`].

use std::ops::Range;

use super::{Sequence, SequencePlan};
use crate::corruption::Result;

/// One word of some codes.
#[derive(Clone, Copy, Debug)]
pub enum Words<'o> {
    /// That of each code, one after the other.
    Each(&'o [u64]),
    /// All of them have this one.
    Same(u64),
}

/// The codes of a block of entries, which ascend, readable in place.
pub trait Codes<'a, C>: Sized {
    /// Reads the front of `count` codes, of which `first` is the first. Returns how many bytes they
    /// take, too.
    fn parse(bytes: &'a [u8], count: usize, first: C) -> Result<(Self, usize)>;
    /// Where the packed bits of codes begin that these bytes begin with.
    fn packed_at(bytes: &[u8]) -> Result<usize>;
    /// The code at an index below their number.
    fn get(&self, index: usize) -> C;
    /// How many codes are less.
    fn lower_bound(&self, code: C) -> usize;
    /// From which index to which (exclusive) there is this code. `near` is told an index near that
    /// as soon as one is known.
    fn run_of(&self, code: C, near: impl FnMut(usize)) -> (usize, usize);
    /// The codes from an index on.
    fn decode(&self, start: usize, out: &mut [C]);
    /// One word of each code from an index on, from 0.
    fn words<'o>(&self, word: usize, start: usize, out: &'o mut [u64]) -> Words<'o>;
    /// Asks the processor for what decoding will read.
    fn prefetch(&self, indexes: Range<usize>);
    /// The name of the form that they have.
    fn form(&self) -> &'static str;
}

/// How the codes of a block will be stored.
pub trait CodesPlan<C> {
    /// The smallest way for these.
    fn of(codes: &[C]) -> Self;
    /// How many bytes they will take.
    fn byte_len(&self) -> usize;
    /// Whether finding one takes as long however many there are.
    fn is_constant_time(&self) -> bool;
    /// Appends the codes that the plan was made of.
    fn write(&self, codes: &[C], out: &mut Vec<u8>);
    /// How many codes from the first on are a run that is not to share a block with others. `None`
    /// if that is no run of at least `smallest`.
    fn run_len(codes: &[C], smallest: usize) -> Option<usize>;
    /// How many codes from the first on have the same gap from one to the next. Repeated codes do
    /// not count: there is a form for runs of them.
    fn even_prefix(codes: &[C]) -> usize;
}

/// [`CodesPlan::even_prefix`], by the gap between two codes.
pub(super) fn even_by<C>(codes: &[C], gap: impl Fn(&C, &C) -> Option<u64>) -> usize {
    let mut gaps = codes.windows(2).map(|pair| gap(&pair[0], &pair[1]));
    let Some(first) = gaps.next().filter(|gap| gap.is_some_and(|gap| gap > 0)) else {
        return codes.len().min(1);
    };
    2 + gaps.take_while(|gap| *gap == first).count()
}

impl<'a> Codes<'a, u64> for Sequence<'a> {
    #[inline(always)]
    fn parse(bytes: &'a [u8], count: usize, _: u64) -> Result<(Sequence<'a>, usize)> {
        Sequence::parse(bytes, count)
    }

    fn packed_at(bytes: &[u8]) -> Result<usize> {
        Sequence::packed_at(bytes)
    }

    #[inline(always)]
    fn get(&self, index: usize) -> u64 {
        self.get(index)
    }

    #[inline(always)]
    fn lower_bound(&self, code: u64) -> usize {
        self.lower_bound(code)
    }

    #[inline(always)]
    fn run_of(&self, code: u64, near: impl FnMut(usize)) -> (usize, usize) {
        self.run_of(code, near)
    }

    #[inline(always)]
    fn decode(&self, start: usize, out: &mut [u64]) {
        self.decode(start, out);
    }

    fn words<'o>(&self, _: usize, start: usize, out: &'o mut [u64]) -> Words<'o> {
        self.decode(start, out);
        Words::Each(out)
    }

    #[inline(always)]
    fn prefetch(&self, indexes: Range<usize>) {
        self.prefetch(indexes);
    }

    fn form(&self) -> &'static str {
        self.form()
    }
}

impl CodesPlan<u64> for SequencePlan {
    fn of(codes: &[u64]) -> SequencePlan {
        SequencePlan::of(codes)
    }

    fn byte_len(&self) -> usize {
        self.byte_len()
    }

    fn is_constant_time(&self) -> bool {
        self.is_constant_time()
    }

    fn write(&self, codes: &[u64], out: &mut Vec<u8>) {
        self.write(codes, out);
    }

    fn run_len(_: &[u64], _: usize) -> Option<usize> {
        None
    }

    fn even_prefix(codes: &[u64]) -> usize {
        even_by(codes, |left, right| right.checked_sub(*left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::LanesPlan;

    #[test]
    fn even_codes_are_counted_up_to_the_first_other_gap() {
        let even = <SequencePlan as CodesPlan<u64>>::even_prefix;
        assert_eq!(even(&[]), 0);
        assert_eq!(even(&[7]), 1);
        assert_eq!(even(&[7, 9]), 2);
        assert_eq!(even(&[7, 9, 11, 13, 14]), 4);
        assert_eq!(even(&[3, 3, 3]), 1);
    }

    #[test]
    fn so_are_those_of_lanes_in_the_first_that_varies() {
        let even = <LanesPlan<2> as CodesPlan<[u64; 2]>>::even_prefix;
        assert_eq!(even(&[[7, 1], [7, 3], [7, 5], [8, 7]]), 3);
        assert_eq!(even(&[[7, 5], [8, 1], [9, 0], [11, 0]]), 3);
        assert_eq!(even(&[[7, 5], [7, 5]]), 1);
    }

    #[test]
    fn a_run_ends_where_a_lane_changes_that_was_long_the_same() {
        let run = <LanesPlan<3> as CodesPlan<[u64; 3]>>::run_len;
        let mut codes: Vec<[u64; 3]> =
            (0..300).map(|i| [i / 100, i % 100 / 2, 7 * i % 10]).collect();
        codes.sort_unstable();
        assert_eq!(run(&codes, 64), Some(100));
        assert_eq!(run(&codes[90..], 64), None);
        assert_eq!(run(&codes, 2), Some(2));
        assert_eq!(run(&codes[..10], 64), None);
    }
}
