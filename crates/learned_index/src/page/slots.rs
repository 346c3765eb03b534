//! What slots of a leaf have that are in one of its blocks: codes, and heap TIDs.

use std::ops::{Range, RangeInclusive};

use crate::codec::{Codes, Sequence, Words};
use crate::entry::{Block, HeapTid};
use crate::key::{Code, Word};
use crate::memory::Room;

/// Heap TIDs that are decoded at once.
const TIDS_AT_ONCE: usize = 128;

/// Heap TIDs as numbers that are dense in a full heap: `block * stride + offset - 1`, so that
/// the TIDs of a heap in index order are a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TidStride {
    stride: u64,
    /// ceil(2^64 / stride): dividing by multiplying, exact for dividends below 2^48.
    reciprocal: u64,
}

impl TidStride {
    /// `stride` is at least the largest line pointer of the TIDs, and not 0.
    #[inline]
    pub(crate) fn new(stride: u16) -> TidStride {
        let stride = u64::from(stride.max(1));
        TidStride { stride, reciprocal: (u64::MAX / stride).wrapping_add(1) }
    }

    #[inline]
    pub(crate) fn encode(self, tid: HeapTid) -> u64 {
        u64::from(tid.block()) * self.stride + u64::from(tid.offset()) - 1
    }

    /// The block of the TID with the greatest number up to this one.
    fn block_of(self, code: u64) -> Block {
        Block::try_from(code / self.stride).unwrap_or(Block::MAX)
    }

    #[inline]
    pub(crate) fn decode(self, code: u64) -> HeapTid {
        if self.stride == 1 {
            return HeapTid::new(code as u32, 1);
        }
        let block = ((u128::from(code) * u128::from(self.reciprocal)) >> 64) as u64;
        let offset = code.wrapping_sub(block.wrapping_mul(self.stride)) as u16;
        HeapTid::new(block as u32, offset.wrapping_add(1))
    }
}

/// The codes of slots next to each other that are in one block of a leaf.
pub struct CodesOfSlots<'a, C: Code> {
    /// The place of the first of them in the block.
    start: usize,
    count: usize,
    codes: C::Codes<'a>,
}

impl<'a, C: Code> CodesOfSlots<'a, C> {
    pub(super) fn new(start: usize, count: usize, codes: C::Codes<'a>) -> CodesOfSlots<'a, C> {
        CodesOfSlots { start, count, codes }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The codes from one on.
    pub fn decode(&self, from: usize, out: &mut [C]) {
        self.codes.decode(self.start + from, out);
    }

    /// One word of each code from one on.
    pub fn words<'o>(&self, word: usize, from: usize, out: &'o mut [Word]) -> Words<'o> {
        self.codes.words(word, self.start + from, out)
    }
}

/// The heap TIDs of slots next to each other that are in one block of a leaf.
pub(crate) struct TidsOfSlots<'a> {
    /// Which slots.
    pub(crate) slots: Range<usize>,
    /// The place of the first of them in the block.
    start: usize,
    tids: Sequence<'a>,
    stride: TidStride,
}

impl<'a> TidsOfSlots<'a> {
    pub(super) fn new(
        slots: Range<usize>,
        start: usize,
        tids: Sequence<'a>,
        stride: TidStride,
    ) -> TidsOfSlots<'a> {
        TidsOfSlots { slots, start, tids, stride }
    }

    /// Two heap blocks between which those of the whole block's TIDs lie.
    pub(crate) fn heap_blocks(&self) -> RangeInclusive<Block> {
        let (least, greatest) = self.tids.bounds();
        self.stride.block_of(least)..=self.stride.block_of(greatest)
    }

    /// Appends the TIDs.
    pub(crate) fn decode(&self, tids: &mut Vec<HeapTid>) {
        tids.make_room(self.slots.len());
        decode_tids(&self.tids, self.stride, self.start..self.start + self.slots.len(), tids);
    }
}

/// Appends the heap TIDs of a range of places in a block; there is room for them.
pub(super) fn decode_tids(
    of: &Sequence<'_>,
    stride: TidStride,
    range: Range<usize>,
    tids: &mut Vec<HeapTid>,
) {
    let mut codes = [0; TIDS_AT_ONCE];
    for first in range.clone().step_by(TIDS_AT_ONCE) {
        let codes = &mut codes[..(range.end - first).min(TIDS_AT_ONCE)];
        of.decode(first, codes);
        tids.extend(codes.iter().map(|&code| stride.decode(code)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heap_tids_are_dense_numbers_and_back_for_every_stride() {
        for stride in [1u16, 2, 3, 7, 185, 226, 291, 2048, 65_535] {
            let codec = TidStride::new(stride);
            for block in [0u32, 1, 2, 1000, 1 << 20, u32::MAX - 1] {
                for offset in [1, stride / 2 + 1, stride] {
                    let tid = HeapTid::new(block, offset.min(stride));
                    assert_eq!(codec.decode(codec.encode(tid)), tid);
                }
            }
            assert_eq!(codec.encode(HeapTid::new(1, 1)), u64::from(stride));
        }
    }
}
