//! Elias-Fano: an ascending sequence in about 2 bits an element plus the log of its mean gap.
//!
//! Each value is split. Its low bits are packed; its high bits are a bucket number, written in
//! unary into a bit set: element `i` of bucket `h` is the set bit at `h + i`, so that every clear
//! bit ends a bucket. (Elias 1974, Fano 1971; the choice of the split follows Vigna,
//! "Quasi-succinct indices", WSDM 2013.)

use std::ops::Range;

use super::bits::{BitSet, Packed, Packer, mask, packed_len};

/// The parameters of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Number of low bits of each value.
    pub(crate) low_width: u32,
    /// Length of the upper bit set, in 64-bit words.
    pub(crate) upper_words: usize,
}

impl Shape {
    /// The smallest shape for `count` values from 0 to `universe`.
    pub(crate) fn smallest(count: usize, universe: u64) -> Shape {
        let mean_gap = universe / (count.max(1) as u64);
        let guess = mean_gap.max(1).ilog2();
        let of = |low_width: u32| {
            // The last value's bit must be followed by a clear one: select0 ends there.
            let buckets = (universe >> low_width) as usize + 1;
            Shape { low_width, upper_words: (count + buckets).div_ceil(64) }
        };
        let candidates = [guess, (guess + 1).min(63)].map(of);
        if candidates[1].len(count) < candidates[0].len(count) {
            candidates[1]
        } else {
            candidates[0]
        }
    }

    /// Bytes of the two bit arrays.
    pub(crate) fn len(self, count: usize) -> usize {
        packed_len(count, self.low_width) + self.upper_words * 8
    }

    /// Appends the ascending `values`: the upper words, then the low bits.
    pub(crate) fn write(self, values: impl Iterator<Item = u64> + Clone, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.upper_words * 8, 0);
        for (index, value) in values.clone().enumerate() {
            let bit = (value >> self.low_width) as usize + index;
            out[start + bit / 8] |= 1 << (bit % 8);
        }
        let mut packer = Packer::new(out, self.low_width);
        values.for_each(|value| packer.push(value & mask(self.low_width)));
        packer.finish();
    }
}

/// A view of one sequence inside a page.
#[derive(Clone, Copy)]
pub(crate) struct EliasFano<'a> {
    low: Packed<'a>,
    low_width: u32,
    upper: BitSet<'a>,
}

impl<'a> EliasFano<'a> {
    /// A view of `bytes`, which begin with the upper words. `low_width` is below 64.
    pub(crate) fn new(bytes: &'a [u8], shape: Shape) -> Option<EliasFano<'a>> {
        let (upper, low) = bytes.split_at_checked(shape.upper_words * 8)?;
        let low_width = shape.low_width.min(63);
        Some(EliasFano { low: Packed::new(low, low_width), low_width, upper: BitSet::new(upper) })
    }

    /// The `index`-th value.
    #[inline]
    pub(crate) fn get(self, index: usize) -> u64 {
        let high = self.upper.select1(index).map_or(0, |bit| bit - index);
        (high as u64) << self.low_width | self.low.get(index)
    }

    /// Asks the processor for the lower halves of some values.
    #[inline]
    pub(crate) fn prefetch(self, indexes: Range<usize>) {
        self.low.prefetch(indexes);
    }

    /// The first index whose value is at least `target`; `count` if there is none.
    #[inline]
    pub(crate) fn lower_bound(self, target: u64, count: usize) -> usize {
        self.lower_bound_near(target, count, |_| ())
    }

    #[inline]
    fn lower_bound_near(self, target: u64, count: usize, mut near: impl FnMut(usize)) -> usize {
        let bucket = target >> self.low_width;
        let Ok(bucket) = usize::try_from(bucket) else { return count };
        // Everything before the end of the bucket before is smaller.
        let mut bit = match bucket.checked_sub(1) {
            None => 0,
            Some(before) => match self.upper.select0(before) {
                Some(bit) => bit + 1,
                None => return count,
            },
        };
        let mut index = bit.saturating_sub(bucket);
        near(index);
        let low = target & mask(self.low_width);
        let mut words = self.upper.words_from(bit / 64);
        let mut word = words.next().unwrap_or(0) >> (bit % 64);
        while index < count {
            if word & 1 == 0 || self.low.get(index) >= low {
                return index;
            }
            index += 1;
            bit += 1;
            word = if bit % 64 == 0 { words.next().unwrap_or(0) } else { word >> 1 };
        }
        count
    }

    /// The indexes from the first whose value is at least `target` to the first whose value is
    /// larger. Calls `near` with the first index that may be it.
    #[inline]
    pub(crate) fn run_of(
        self,
        target: u64,
        count: usize,
        near: impl FnMut(usize),
    ) -> (usize, usize) {
        let start = self.lower_bound_near(target, count, near);
        if start == count {
            return (count, count);
        }
        let mut end = start;
        // Equal values have the same bucket: their bits follow each other.
        let bucket = (target >> self.low_width) as usize;
        let low = target & mask(self.low_width);
        let bit = start + bucket;
        while end < count && self.upper.has(bit + end - start) && self.low.get(end) == low {
            end += 1;
        }
        (start, end)
    }

    /// Writes the values from the `start`-th on.
    pub(crate) fn decode(self, start: usize, out: &mut [u64]) {
        let Some(first) = self.upper.select1(start) else {
            out.fill(0);
            return;
        };
        self.low.decode(start, out);
        let mut values = out.iter_mut();
        let mut index = start;
        let mut base = first / 64 * 64;
        for (ordinal, word) in self.upper.words_from(first / 64).enumerate() {
            let mut word = if ordinal == 0 { word & (u64::MAX << (first % 64)) } else { word };
            while word != 0 {
                let Some(value) = values.next() else { return };
                let high = (base + word.trailing_zeros() as usize - index) as u64;
                *value |= high << self.low_width;
                index += 1;
                word &= word - 1;
            }
            base += 64;
        }
        values.for_each(|value| *value = 0);
    }
}
