//! Which keys a session has seen in the leaves of a delta tree, so that most lookups of other keys
//! need not search these.
//!
//! A Bloom filter for each leaf, of which one key touches one cache line: after Putze, Sanders and
//! Singler ("Cache-, hash- and space-efficient Bloom filters", 2007). It is brought up to date
//! under the leaf's lock each time it is asked, which costs little because entries are only added,
//! until the leaf is written anew.

use crate::corruption::Result;
use crate::entry::Fence;
use crate::fault::{Fault, injected};
use crate::key::{Code, NullClass};
use crate::page::delta::Delta;

/// Cache lines of a filter. It takes 3% of the keys that a leaf of the usual size has not for ones
/// that it has, and 6% where the leaf is full.
const LINES: usize = 8;

#[derive(Clone)]
#[repr(align(64))]
struct Line([u64; 8]);

/// The keys of one leaf, as far as they are values.
#[derive(Clone)]
pub(super) struct Seen<C> {
    lines: [Line; LINES],
    /// How the leaf was when the first entry was seen: only adding entries leaves these two alone.
    high: Fence<C>,
    rewrites: u64,
    /// Entries that were seen.
    count: usize,
}

const _: () = assert!(size_of::<Seen<u64>>() == 576);

/// Where a code stands in a filter: its line, and two bits there, each as word and mask.
struct Bits {
    line: usize,
    bits: [(usize, u64); 2],
}

impl Bits {
    #[inline]
    fn of<C: Code>(code: C) -> Bits {
        let hash = code.mixed().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // A bit of the product depends on that bit of the code and those below it: the uppermost on
        // most of them.
        let bit = |shift: u32| ((hash >> (shift + 6)) as usize & 7, 1 << (hash >> shift & 63));
        Bits { line: (hash >> 61) as usize % LINES, bits: [bit(52), bit(43)] }
    }
}

impl<C: Code> Seen<C> {
    /// Nothing of a leaf.
    pub(super) fn nothing_of(leaf: &Delta<'_, C>) -> Seen<C> {
        let (high, rewrites) = (leaf.high(), leaf.rewrites());
        Seen { lines: [const { Line([0; 8]) }; LINES], high, rewrites, count: 0 }
    }

    /// Looks at what is new in a leaf.
    #[inline]
    pub(super) fn update(&mut self, leaf: &Delta<'_, C>) -> Result<()> {
        let same = self.high == leaf.high() && self.rewrites == leaf.rewrites();
        if !same && !injected(Fault::KeepSeen) {
            *self = Seen::nothing_of(leaf);
        }
        while let Some(entry) = leaf.entry(self.count)? {
            if entry.key.class == NullClass::Value {
                let Bits { line, bits } = Bits::of(entry.key.code);
                bits.iter().for_each(|&(word, mask)| self.lines[line].0[word] |= mask);
            }
            self.count += 1;
        }
        Ok(())
    }

    /// Whether an entry with this code may have been seen. Certain if not.
    #[inline]
    pub(super) fn may_have(&self, code: C) -> bool {
        let Bits { line, bits } = Bits::of(code);
        bits.iter().all(|&(word, mask)| self.lines[line].0[word] & mask != 0)
    }

    /// Entries that were seen.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// What is read of this for a code, for asking the processor for it.
    #[inline]
    pub(super) fn lines_for(&self, code: C) -> [*const u8; 2] {
        let line = std::ptr::from_ref(&self.lines[Bits::of(code).line]);
        [std::ptr::from_ref(&self.count).cast(), line.cast()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, HeapTid};
    use crate::key::Key;
    use crate::page::delta::{Head, Span, capacity, leaf};

    #[test]
    fn what_was_seen_is_always_told_and_the_rest_seldom() {
        for step in [1u64, 10, 1_000_003, 1 << 20, 1 << 40, 1 << 54] {
            let entry = |row: usize| Entry {
                key: Key::value(row as u64 * step),
                tid: HeapTid::new(row as u32, 1),
            };
            let page = leaf(9, Span::ALL, &(0..capacity::<u64>()).map(entry).collect::<Vec<_>>());
            let head = Head::parse(&page, 9, 1).unwrap();
            let leaf = head.of(&page);
            let mut seen = Seen::nothing_of(&leaf);
            seen.update(&leaf).unwrap();
            assert_eq!(seen.count(), capacity::<u64>());
            assert!((0..capacity::<u64>()).all(|row| seen.may_have(row as u64 * step)));
            let others =
                (0..10_000u64).map(|other| other.wrapping_mul(0xD6E8_FEB8_6659_FD93) | 1 << 63);
            let mistaken = others.filter(|&code| seen.may_have(code)).count();
            assert!(mistaken < 700, "{mistaken} of 10,000 with keys {step} apart");
        }
    }
}
