//! Arrays of fixed-width unsigned integers in a byte slice, least significant bit first.

use std::ops::Range;

use crate::cpu;

/// Cache lines that are asked for at once: about as many as a processor of today can have on their
/// way to a core.
const LINES_AHEAD: usize = 12;

/// Number of bits that `value` needs; 0 for 0.
pub(crate) fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// A mask of the lowest `width` bits, `width` at most 64.
pub(crate) fn mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (64 - width) }
}

/// Bytes that `count` integers of `width` bits take.
pub(crate) fn packed_len(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Reads little-endian bytes from `at`; bytes past the end count as zero.
#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|tail| tail.first_chunk::<8>()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => last_word(bytes, at),
    }
}

#[cold]
fn last_word(bytes: &[u8], at: usize) -> u64 {
    let tail = bytes.get(at..).unwrap_or(&[]);
    tail.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// A view of packed integers. `bytes` may be longer than the array: reading on into the rest of
/// the page keeps the common path to one unaligned load.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a> {
    bytes: &'a [u8],
    width: u32,
}

impl<'a> Packed<'a> {
    /// Bits of each integer.
    pub(crate) fn width(self) -> u32 {
        self.width
    }

    /// `width` is at most 64.
    pub(crate) fn new(bytes: &'a [u8], width: u32) -> Packed<'a> {
        Packed { bytes, width: width.min(64) }
    }

    /// The `index`-th integer; 0 beyond the bytes.
    #[inline]
    pub(crate) fn get(self, index: usize) -> u64 {
        if self.width == 0 {
            return 0;
        }
        let bit = index * self.width as usize;
        let (at, shift) = (bit / 8, (bit % 8) as u32);
        let mut value = word(self.bytes, at) >> shift;
        if self.width + shift > 64 {
            let high = self.bytes.get(at + 8).copied().unwrap_or(0);
            value |= u64::from(high) << (64 - shift);
        }
        value & mask(self.width)
    }

    /// Writes the integers from the `start`-th on.
    #[inline]
    pub(crate) fn decode(self, start: usize, out: &mut [u64]) {
        // Wherever an integer of up to 57 bits begins, eight bytes have all of it.
        if self.width == 0 || self.width > 57 {
            out.iter_mut().zip(start..).for_each(|(value, index)| *value = self.get(index));
            return;
        }
        let (width, mask) = (self.width as usize, mask(self.width));
        let mut bit = start * width;
        for value in out {
            *value = word(self.bytes, bit / 8) >> (bit % 8) & mask;
            bit += width;
        }
    }
}

impl Packed<'_> {
    /// Asks the processor for some integers: for the first lines of them, if they are many.
    #[inline]
    pub(crate) fn prefetch(self, indexes: Range<usize>) {
        let byte_of = |index: usize| index * self.width as usize / 8;
        let (start, end) = (byte_of(indexes.start), byte_of(indexes.end));
        for at in (start..end.max(start + 1)).step_by(cpu::LINE).take(LINES_AHEAD) {
            cpu::prefetch(self.bytes.as_ptr().wrapping_add(at));
        }
    }
}

/// Appends packed integers to a byte vector.
pub(crate) struct Packer<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    filled: u32,
    width: u32,
}

impl<'a> Packer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, width: u32) -> Packer<'a> {
        Packer { out, pending: 0, filled: 0, width }
    }

    /// `value` must fit the width.
    #[inline]
    pub(crate) fn push(&mut self, value: u64) {
        debug_assert_eq!(value & !mask(self.width), 0);
        if self.width == 0 {
            return;
        }
        self.pending |= value << self.filled;
        let total = self.filled + self.width;
        if total < 64 {
            self.filled = total;
            return;
        }
        self.out.extend_from_slice(&self.pending.to_le_bytes());
        let taken = 64 - self.filled;
        self.pending = if taken == 64 { 0 } else { value >> taken };
        self.filled = total - 64;
    }

    /// Writes what is left, to a whole byte.
    pub(crate) fn finish(self) {
        let bytes = self.pending.to_le_bytes();
        self.out.extend_from_slice(&bytes[..self.filled.div_ceil(8) as usize]);
    }
}

/// A bit set in 64-bit little-endian words, for the upper halves of Elias-Fano.
#[derive(Clone, Copy)]
pub(crate) struct BitSet<'a> {
    bytes: &'a [u8],
}

impl<'a> BitSet<'a> {
    /// `bytes` holds whole words.
    pub(crate) fn new(bytes: &'a [u8]) -> BitSet<'a> {
        BitSet { bytes }
    }

    /// The words from the `first`-th on.
    pub(crate) fn words_from(self, first: usize) -> impl Iterator<Item = u64> + 'a {
        let tail = self.bytes.get(first * 8..).unwrap_or(&[]);
        tail.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk))
    }

    /// Whether a bit is set; beyond the end none is.
    #[inline]
    pub(crate) fn has(self, bit: usize) -> bool {
        self.bytes.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// The position of the `rank`-th (from 0) set bit, if that many are set.
    #[inline]
    pub(crate) fn select1(self, rank: usize) -> Option<usize> {
        cpu::select::<false>(self.bytes.as_chunks().0, rank)
    }

    /// The position of the `rank`-th (from 0) clear bit, if that many are clear.
    #[inline]
    pub(crate) fn select0(self, rank: usize) -> Option<usize> {
        cpu::select::<true>(self.bytes.as_chunks().0, rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_packed_is_read_back(
            width in 0u32..=64,
            values in prop::collection::vec(any::<u64>(), 0..200),
        ) {
            let values: Vec<u64> = values.iter().map(|value| value & mask(width)).collect();
            let mut out = Vec::new();
            let mut packer = Packer::new(&mut out, width);
            values.iter().for_each(|&value| packer.push(value));
            packer.finish();
            prop_assert_eq!(out.len(), packed_len(values.len(), width));
            let packed = Packed::new(&out, width);
            for (index, &value) in values.iter().enumerate() {
                prop_assert_eq!(packed.get(index), value);
            }
        }

        #[test]
        fn select_finds_the_same_bit_as_counting_does(
            words in prop::collection::vec(any::<u64>(), 0..8),
        ) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let set = BitSet::new(&bytes);
            let bit = |at: usize| words[at / 64] >> (at % 64) & 1 == 1;
            let ones: Vec<usize> = (0..words.len() * 64).filter(|&at| bit(at)).collect();
            let zeros: Vec<usize> = (0..words.len() * 64).filter(|&at| !bit(at)).collect();
            for (rank, &at) in ones.iter().enumerate() {
                prop_assert_eq!(set.select1(rank), Some(at));
            }
            for (rank, &at) in zeros.iter().enumerate() {
                prop_assert_eq!(set.select0(rank), Some(at));
            }
            prop_assert_eq!(set.select1(ones.len()), None);
            prop_assert_eq!(set.select0(zeros.len()), None);
        }
    }
}
