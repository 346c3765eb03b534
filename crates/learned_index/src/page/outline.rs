//! Where the parts of a leaf lie, so coarsely that a session can remember it of every leaf: for asking
//! the processor for the cache lines that a lookup will read, all at once and before the page is pinned.
//! Being wrong costs time only.

use super::{CONTENT_END, CONTENT_START};
use crate::cpu::LINE;

/// Bytes that all numbers of an outline are divided by.
const UNIT: usize = 32;
/// Lines of a block's unary part that are asked for at the most.
const MOST_UPPER_LINES: usize = 5;

/// The first block of a leaf, after which the others are shaped, in units of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// Where its codes begin: their header, and the unary part of Elias-Fano.
    start: u8,
    /// Where the packed bits of its codes begin.
    packed: u8,
    /// Where its TIDs begin.
    tids: u8,
    /// Where it ends.
    end: u8,
    /// Blocks of the leaf; 0: unknown.
    blocks: u8,
}

impl Outline {
    /// Of a leaf that was not read yet.
    pub(crate) const UNKNOWN: Outline = Outline { start: 0, packed: 0, tids: 0, end: 0, blocks: 0 };

    /// From offsets in the page, in bytes.
    pub(crate) fn new(
        start: usize,
        packed: usize,
        tids: usize,
        end: usize,
        blocks: usize,
    ) -> Outline {
        let unit = |offset: usize| (offset / UNIT) as u8;
        let blocks = u8::try_from(blocks).unwrap_or(u8::MAX);
        Outline {
            start: unit(start),
            packed: unit(packed),
            tids: unit(tids),
            end: unit(end),
            blocks,
        }
    }

    /// Calls `ask` with the offsets in the page of what looking up a key reads, which is `fraction` of the
    /// way from the first key of the leaf to the last.
    #[inline]
    pub(crate) fn lines(self, fraction: f32, mut ask: impl FnMut(usize)) {
        ask(CONTENT_START);
        ask(CONTENT_START + LINE);
        // The trailer.
        ask(CONTENT_END);
        if self.blocks == 0 {
            return;
        }
        let at = |unit: u8| usize::from(unit) * UNIT;
        let part = |from: usize, to: usize, fraction: f32| {
            from + (to.saturating_sub(from) as f32 * fraction) as usize
        };
        let passed = fraction * f32::from(self.blocks);
        let block = (passed as usize).min(usize::from(self.blocks) - 1);
        let within = passed - block as f32;
        let base = block * at(self.end).saturating_sub(at(self.start));
        let upper = part(at(self.start), at(self.packed), within);
        for line in 0..MOST_UPPER_LINES {
            let offset = at(self.start) + line * LINE;
            if offset > upper {
                break;
            }
            ask(base + offset);
        }
        let key = base + part(at(self.packed), at(self.tids), within);
        ask(key.saturating_sub(LINE));
        ask(key);
        ask(key + LINE);
        ask(base + at(self.tids));
        ask(base + part(at(self.tids), at(self.end), within));
    }
}
