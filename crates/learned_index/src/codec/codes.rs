//! The codes of a block, whatever a code is. Those of one word are a [`Sequence`].

use std::ops::Range;

use super::{Sequence, SequencePlan};
use crate::corruption::Result;

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
    /// Asks the processor for what decoding will read.
    fn prefetch(&self, indexes: Range<usize>);
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

    #[inline(always)]
    fn prefetch(&self, indexes: Range<usize>) {
        self.prefetch(indexes);
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
}
