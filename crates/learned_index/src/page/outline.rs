//! Where the parts of a leaf lie, so coarsely that a session can remember it of every leaf: for
//! asking the processor for the cache lines that a lookup will read, all at once and before the
//! page is pinned. Being wrong costs time only.

use super::{CONTENT_END, CONTENT_START};
use crate::cpu::LINE;

/// Entries of a leaf whose keys an outline has, from equal parts of the leaf.
const KNOTS: usize = 6;
/// What the length of a leaf in blocks is given in parts of.
const BLOCK_PARTS: f32 = 256.0;
/// The most lines of a block's unary part that are asked for.
const MOST_UPPER_LINES: usize = 5;

/// The first block of a leaf, like which the others are shaped, and how the keys are spread over
/// the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// How far from the first position of the leaf to the last the key of an entry is, in
    /// 65,536ths: of the entries that are a seventh, two sevenths and so on of the leaf away from
    /// its first.
    knots: [u16; KNOTS],
    /// Entries of the leaf for each of the first block, in 256ths; 0: nothing is known.
    blocks: u16,
    /// Where the codes of the first block begin, in bytes: their header, and the unary part of
    /// Elias-Fano.
    start: u16,
    /// Where the packed bits of its codes begin.
    packed: u16,
    /// Where its TIDs begin.
    tids: u16,
    /// Where it ends.
    end: u16,
}

impl Outline {
    /// Of a leaf that was not read yet.
    pub(crate) const UNKNOWN: Outline =
        Outline { knots: [0; KNOTS], blocks: 0, start: 0, packed: 0, tids: 0, end: 0 };

    /// From offsets in the page, in bytes: of the first block's codes, of their packed bits, of its
    /// TIDs, and of its end. `blocks` is the length of the leaf in such blocks. `key_at` gives how
    /// far the key of an entry is from the first position of the leaf to the last, from how far the
    /// entry is from the first entry to the last.
    pub(crate) fn new(
        [start, packed, tids, end]: [usize; 4],
        blocks: f32,
        key_at: impl Fn(f32) -> f32,
    ) -> Outline {
        let part = |knot: usize| (knot + 1) as f32 / (KNOTS + 1) as f32;
        Outline {
            knots: std::array::from_fn(|knot| (key_at(part(knot)) * 65_536.0) as u16),
            blocks: (blocks * BLOCK_PARTS) as u16,
            start: start as u16,
            packed: packed as u16,
            tids: tids as u16,
            end: end as u16,
        }
    }

    /// How far into the leaf the entry of a key is, between two knots as if keys were evenly spread
    /// there.
    #[inline]
    fn place_of(self, key: f32) -> f32 {
        let key = (key * 65_536.0) as u16;
        let passed = self.knots.iter().map(|&knot| usize::from(knot <= key)).sum::<usize>();
        let low = passed.checked_sub(1).map_or(0, |knot| self.knots[knot]);
        let high = self.knots.get(passed).copied().unwrap_or(u16::MAX);
        let within =
            f32::from(key.saturating_sub(low)) / f32::from(high.saturating_sub(low).max(1));
        (passed as f32 + within.min(1.0)) / (KNOTS + 1) as f32
    }

    /// Calls `ask` with the offsets in the page of what looking up a key reads, which is so far
    /// from the first position of the leaf to the last: 0 to below 1.
    #[inline]
    pub(crate) fn lines(self, key: f32, mut ask: impl FnMut(usize)) {
        ask(CONTENT_START);
        ask(CONTENT_START + LINE);
        // The trailer.
        ask(CONTENT_END);
        if self.blocks == 0 {
            return;
        }
        let blocks = f32::from(self.blocks) / BLOCK_PARTS;
        let passed = self.place_of(key) * blocks;
        // The last block is shorter, and so are its parts.
        let block = passed as usize;
        let len = (blocks - block as f32).clamp(0.01, 1.0);
        let within = passed - block as f32;
        let [start, packed, tids, end] =
            [self.start, self.packed, self.tids, self.end].map(usize::from);
        let base = start + block * end.saturating_sub(start);
        let length = |from: usize, to: usize| to.saturating_sub(from) as f32;
        let upper = (length(start, packed) * within) as usize;
        for line in 0..MOST_UPPER_LINES {
            if line * LINE > upper {
                break;
            }
            ask(base + line * LINE);
        }
        let key = base + (length(start, packed) * len + length(packed, tids) * within) as usize;
        ask(key.saturating_sub(LINE));
        ask(key);
        ask(key + LINE);
        let tids_at = base + (length(start, tids) * len) as usize;
        ask(tids_at);
        ask(tids_at + (length(tids, end) * within) as usize);
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::entry::Fence;
    use crate::key::{Key, NullClass};
    use crate::page::leaf::Head;
    use crate::page::leaf_builder::LeafBuilder;

    /// The share of the keys of a full leaf whose packed bits are in a line that was asked for.
    fn share_foreseen(mut key: impl FnMut(&mut StdRng) -> u64) -> f32 {
        let mut rng = StdRng::seed_from_u64(1);
        let mut codes: Vec<u64> = (0..8_000).map(|_| key(&mut rng)).collect();
        codes.sort_unstable();
        let tids: Vec<u64> = codes.iter().map(|_| rng.random_range(0..1 << 26)).collect();
        let filled = LeafBuilder::new(100).fill(&codes, &tids);
        let high = codes[filled.entries];
        codes.truncate(filled.entries);
        let fence = |code| Fence::before(Key { class: NullClass::Value, code });
        let page = filled.into_page(NullClass::Value, fence(codes[0]), fence(high), 200, 1);
        let head = Head::<u64>::parse(&page, 1).unwrap();
        let leaf = head.of(&page);
        let outline = leaf.outline();
        let foreseen = (0..codes.len()).filter(|&slot| {
            let read = leaf.packed_byte_of(slot).unwrap() / LINE;
            let fraction = (codes[slot] - codes[0]) as f32 / (high - codes[0]) as f32;
            let mut found = false;
            outline.lines(fraction.min(0.999), |offset| found |= offset / LINE == read);
            found
        });
        foreseen.count() as f32 / codes.len() as f32
    }

    #[test]
    fn most_of_what_a_lookup_reads_is_foreseen() {
        let uniform = share_foreseen(|rng| rng.random_range(0..1 << 50));
        let dense = share_foreseen(|rng| rng.random_range(0..1 << 20));
        let exponential = share_foreseen(|rng| (-(1.0 - rng.random::<f64>()).ln() * 1e12) as u64);
        let clustered = share_foreseen(|rng| match rng.random() {
            true => rng.random_range(0..1 << 40),
            false => rng.random_range(1 << 50..(1 << 50) + (1 << 46)),
        });
        let found = [uniform, dense, exponential, clustered];
        assert!(found.iter().all(|&share| share > 0.9), "{found:?}");
    }
}
