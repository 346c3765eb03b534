//! What some processors do better when they are asked: the one place with unsafe code in this
//! crate.
#![allow(unsafe_code)]

/// Length of a cache line in bytes, as processors of today have it.
pub const LINE: usize = 64;

/// Asks for the cache line at an address that will be read soon. Any address will do: nothing is
/// read.
#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching has no effect that a program can see, and no address makes it fail.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The position of the `rank`-th (from 0) set bit of little-endian words, each of which is inverted
/// first if `FLIP`; `None` if fewer are set.
#[inline]
pub(crate) fn select<const FLIP: bool>(words: &[[u8; 8]], rank: usize) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has the instruction.
        return unsafe { select_by_popcnt::<FLIP>(words, rank) };
    }
    select_plainly::<FLIP>(words, rank)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn select_by_popcnt<const FLIP: bool>(words: &[[u8; 8]], rank: usize) -> Option<usize> {
    select_plainly::<FLIP>(words, rank)
}

#[inline(always)]
fn select_plainly<const FLIP: bool>(words: &[[u8; 8]], rank: usize) -> Option<usize> {
    let mut left = rank;
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let word = if FLIP { !word } else { word };
        let ones = word.count_ones() as usize;
        if left < ones {
            return Some(index * 64 + select_in_word(word, left));
        }
        left -= ones;
    }
    None
}

/// The position of the `rank`-th set bit of `word`, which has more than `rank` of them.
#[inline(always)]
fn select_in_word(mut word: u64, rank: usize) -> usize {
    // Halve the word until a byte is left.
    let mut left = rank as u32;
    let mut at = 0;
    for half in [32, 16, 8] {
        let low = word & (u64::MAX >> (64 - half));
        let ones = low.count_ones();
        if left >= ones {
            left -= ones;
            word >>= half;
            at += half;
        } else {
            word = low;
        }
    }
    for _ in 0..left {
        word &= word.wrapping_sub(1);
    }
    (at + word.trailing_zeros()) as usize
}
