//! Filling leaves: cutting entries into blocks so that as many as possible fit a page. Evenly
//! spaced codes, and long runs of codes that begin with the same words, are blocks of their own.

use super::leaf::{
    Header, LOW_AT, MARKS_AT, MAX_ENTRIES, Marks, block_start_len, header_at, high_at, table_at,
};
use super::{CONTENT_END, PageBytes, PageKind, new_page, seal, set_lower, write, write_fence};
use crate::codec::{CodesPlan, SequencePlan};
use crate::entry::Fence;
use crate::key::{Code, NullClass};

/// Bytes that a leaf keeps free for the list of its dead slots: 16 of them.
const TOMBSTONE_SPACE: usize = 32;
/// Entries of a block whose form needs time that grows with its length.
const BLOCK_ENTRIES: usize = 1024;
/// Evenly spaced entries that are worth a block of their own.
const SMALLEST_BURST: usize = 128;
/// Codes that begin with the same words which are worth a block of their own.
const SMALLEST_RUN: usize = 64;
/// A rest of the page that holds fewer entries than this is left free.
const SMALLEST_BLOCK: usize = 12;

/// Fills leaves one after the other; it remembers how many entries fitted the last block.
pub(crate) struct LeafBuilder {
    /// Bytes of a page that may be used.
    limit: usize,
    expected: usize,
}

/// Entries that fit one leaf, in the form that they will have there.
pub(crate) struct FilledLeaf<C> {
    /// Number of entries taken from the front.
    pub(crate) entries: usize,
    blocks: Vec<(C, u16)>,
    lens: Vec<usize>,
    payload: Vec<u8>,
}

struct BlockPlan<C: Code> {
    entries: usize,
    codes: C::Plan,
    tids: SequencePlan,
}

impl<C: Code> BlockPlan<C> {
    fn of(codes: &[C], tids: &[u64], entries: usize) -> BlockPlan<C> {
        BlockPlan {
            entries,
            codes: C::Plan::of(&codes[..entries]),
            tids: SequencePlan::of(&tids[..entries]),
        }
    }

    /// The longest block that fits `space`, as far as that pays. Tried are first as many entries as
    /// are `expected`; none is worth a block that has not the smallest number of them.
    fn longest(
        codes: &[C],
        tids: &[u64],
        space: usize,
        smallest: usize,
        expected: usize,
    ) -> Option<BlockPlan<C>> {
        // From one device to the next the TIDs begin again: a long run is a block of its own.
        let len = C::Plan::run_len(codes, SMALLEST_RUN.max(smallest)).unwrap_or(codes.len());
        let (codes, tids) = (&codes[..len], &tids[..len]);
        let first = expected.clamp(smallest, BLOCK_ENTRIES).min(codes.len());
        // Bursts of evenly spaced keys are blocks of their own: a line, without the jump behind it.
        let first = match C::Plan::even_prefix(&codes[..codes.len().min(BLOCK_ENTRIES)]) {
            even if even >= SMALLEST_BURST => even,
            _ => first,
        };
        let mut plan = BlockPlan::of(codes, tids, first);
        while plan.len() > space {
            // One in 256 less than would fit if all entries took the same space.
            let fitting = plan.entries * space / plan.len();
            let entries = (fitting - fitting / 256).min(plan.entries - 1);
            if entries < smallest {
                return None;
            }
            plan = BlockPlan::of(codes, tids, entries);
        }
        loop {
            let longest = if plan.is_constant_time() { 2 * plan.entries } else { BLOCK_ENTRIES };
            let fitting = (plan.entries * space / plan.len()).max(plan.entries);
            let entries = longest.min(fitting).min(codes.len());
            // Growing by less than a fiftieth is not worth another look at all entries.
            if entries <= plan.entries + plan.entries / 50 {
                break;
            }
            let longer = BlockPlan::of(codes, tids, entries);
            if longer.len() > space || !longer.is_as_dense_as(&plan) {
                break;
            }
            plan = longer;
        }
        Some(plan)
    }

    fn len(&self) -> usize {
        block_start_len::<C>() + self.codes.byte_len() + self.tids.byte_len()
    }

    fn is_constant_time(&self) -> bool {
        self.codes.is_constant_time() && self.tids.is_constant_time()
    }

    /// Whether its entries are at least as small as those of another block, one by one.
    fn is_as_dense_as(&self, other: &BlockPlan<C>) -> bool {
        self.len() * other.entries <= other.len() * self.entries
    }
}

impl LeafBuilder {
    /// `fillfactor` in percent of a page, 10 to 100.
    pub(crate) fn new(fillfactor: u32) -> LeafBuilder {
        let usable = CONTENT_END - TOMBSTONE_SPACE;
        LeafBuilder { limit: usable * fillfactor.clamp(10, 100) as usize / 100, expected: 512 }
    }

    /// Takes as many entries from the front as fit. `codes` ascend; `tids` are numbers as the
    /// leaf's stride makes them.
    pub(crate) fn fill<C: Code>(&mut self, codes: &[C], tids: &[u64]) -> FilledLeaf<C> {
        let mut leaf =
            FilledLeaf { entries: 0, blocks: Vec::new(), lens: Vec::new(), payload: Vec::new() };
        let mut space = self.limit - table_at::<C>();
        let available = codes.len().min(MAX_ENTRIES);
        while leaf.entries < available {
            let (codes, tids) = (&codes[leaf.entries..available], &tids[leaf.entries..available]);
            let (smallest, expected) = match self.limit - table_at::<C>() - space {
                0 => (1, self.expected),
                // Twice what would fit if all entries took the same space: further blocks are
                // mostly small ones.
                used => (SMALLEST_BLOCK, 2 * leaf.entries * space / used),
            };
            let Some(plan) = BlockPlan::longest(codes, tids, space, smallest, expected) else {
                break;
            };
            if leaf.entries == 0 {
                self.expected = plan.entries.max(64);
            }
            let start = leaf.payload.len();
            plan.codes.write(&codes[..plan.entries], &mut leaf.payload);
            plan.tids.write(&tids[..plan.entries], &mut leaf.payload);
            leaf.blocks.push((codes[0], leaf.entries as u16));
            leaf.lens.push(leaf.payload.len() - start);
            leaf.entries += plan.entries;
            space -= plan.len();
        }
        leaf
    }
}

impl<C: Code> FilledLeaf<C> {
    /// The page. `stride` is the one that made the TIDs' numbers.
    pub(crate) fn into_page(
        self,
        class: NullClass,
        low: Fence<C>,
        high: Fence<C>,
        stride: u16,
        birth: u64,
    ) -> PageBytes {
        let mut page = new_page(PageKind::Leaf, birth);
        let table_len = self.blocks.len() * block_start_len::<C>();
        let payload_at = table_at::<C>() + table_len;
        let end = payload_at + self.payload.len();
        let mut offset = payload_at;
        for (index, (&(first_code, first_slot), len)) in
            self.blocks.iter().zip(&self.lens).enumerate()
        {
            let at = table_at::<C>() + index * block_start_len::<C>();
            write(&mut page, at, &first_code);
            write(&mut page, at + size_of::<C>(), &first_slot);
            write(&mut page, at + size_of::<C>() + 2, &(offset as u16));
            offset += len;
        }
        page[payload_at..end].copy_from_slice(&self.payload);
        let header = Header {
            entries: self.entries as u32,
            blocks: self.blocks.len() as u16,
            tid_stride: stride,
            tombstones_at: end as u16,
            class: class as u8,
            padding: [0; 5],
        };
        write(&mut page, MARKS_AT, &Marks { tombstones: 0, check: 0, tombstone_page: 0 });
        write_fence(&mut page, LOW_AT, low);
        write_fence(&mut page, high_at::<C>(), high);
        write(&mut page, header_at::<C>(), &header);
        set_lower(&mut page, end);
        seal(&mut page, LOW_AT..end);
        page
    }
}

/// Changes the low fence of a leaf that nobody reads yet.
pub(crate) fn set_low<C: Code>(page: &mut PageBytes, low: Fence<C>) {
    let header: Header = super::read(page, header_at::<C>());
    write_fence(page, LOW_AT, low);
    seal(page, LOW_AT..usize::from(header.tombstones_at));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_lines_whatever_lies_between_them() {
        let code = |i: u64| (i / 1_000).pow(2) * 1_000_003 + i;
        let codes: Vec<u64> = (0..80_000).map(code).collect();
        let tids: Vec<u64> = (0..80_000).collect();
        let filled = LeafBuilder::new(100).fill(&codes, &tids);
        assert_eq!(filled.entries, MAX_ENTRIES);
        assert!(filled.payload.len() < MAX_ENTRIES / 10, "{} bytes", filled.payload.len());
    }
}
