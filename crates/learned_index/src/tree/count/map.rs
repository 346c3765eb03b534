//! What a table's visibility map said when it was read: which blocks had nothing but rows that
//! everybody sees.

use std::ops::RangeInclusive;

use super::CountedTable;
use crate::entry::Block;
use crate::memory::Add;
use crate::page::PAGE_SIZE;

/// Bytes of a page of the map, without its header (visibilitymap.c).
pub const MAP_BYTES: usize = PAGE_SIZE - 24;
/// Blocks whose bits are on a page of the map, two bits for each.
pub const BLOCKS_OF_PAGE: u32 = MAP_BYTES as u32 * 4;
/// Of two bits, the one that says that everybody sees all rows of the block.
const ALL_VISIBLE: u64 = 0x5555_5555_5555_5555;
/// Blocks whose bits are in one word.
const BLOCKS_OF_WORD: u32 = 32;
/// Words that a page of the map has bits for.
const WORDS: usize = MAP_BYTES / 8;
/// Pages of which the bits are kept. Of further ones all blocks count as having hidden rows.
const MOST_KEPT: usize = 1024;

const _: () = assert!(MAP_BYTES == WORDS * 8);

/// The bits of a page of the map, as they are stored.
pub type MapBytes = [u8; MAP_BYTES];

/// A page of the map.
enum MapPage {
    Unread,
    /// Everybody sees all rows of all its blocks.
    Clean,
    /// Two bits for each block, of which the lower one is set if everybody sees all its rows.
    Kept(Box<[u64; WORDS]>),
    /// Nothing is known of its blocks.
    Dropped,
}

/// See the file.
#[derive(Default)]
pub(super) struct Map {
    /// Blocks of the table.
    blocks: u32,
    pages: Vec<MapPage>,
    unread: usize,
    kept: usize,
}

impl Map {
    /// Forgets what was read, and asks for the size of the table.
    pub(super) fn begin(&mut self, table: &mut impl CountedTable) {
        self.blocks = table.blocks();
        self.unread = self.blocks.div_ceil(BLOCKS_OF_PAGE) as usize;
        self.kept = 0;
        self.pages.clear();
        self.pages.add_all((0..self.unread).map(|_| MapPage::Unread));
    }

    /// Pages of the map that were not read.
    pub(super) fn unread(&self) -> usize {
        self.unread
    }

    /// Whether everybody sees all rows of the table.
    #[inline]
    pub(super) fn is_clean(&self) -> bool {
        self.unread == 0 && self.kept == 0
    }

    /// The pages of some blocks, as far as there are any.
    fn pages_of(&self, blocks: &RangeInclusive<Block>) -> std::ops::Range<usize> {
        let first = (blocks.start() / BLOCKS_OF_PAGE) as usize;
        let last = (blocks.end() / BLOCKS_OF_PAGE) as usize;
        first.min(self.pages.len())..(last + 1).min(self.pages.len())
    }

    /// Whether what the map says of these blocks was read.
    pub(super) fn has_read(&self, blocks: &RangeInclusive<Block>) -> bool {
        let pages = &self.pages[self.pages_of(blocks)];
        self.unread == 0 || !pages.iter().any(|page| matches!(page, MapPage::Unread))
    }

    /// Reads what the map says of these blocks, as far as it was not read.
    pub(super) fn read(&mut self, blocks: &RangeInclusive<Block>, table: &mut impl CountedTable) {
        for number in self.pages_of(blocks) {
            if matches!(self.pages[number], MapPage::Unread) {
                self.unread -= 1;
                self.pages[number] = self.read_page(number as u32, table);
                self.kept += usize::from(!matches!(self.pages[number], MapPage::Clean));
            }
        }
    }

    /// Reads all of the map that was not read.
    pub(super) fn read_all(&mut self, table: &mut impl CountedTable) {
        if self.unread > 0 {
            self.read(&(0..=Block::MAX), table);
        }
    }

    fn read_page(&self, number: u32, table: &mut impl CountedTable) -> MapPage {
        let mut bytes: MapBytes = [0; MAP_BYTES];
        table.read_map(number, &mut bytes);
        let (chunks, _) = bytes.as_chunks::<8>();
        // The last page has bits for blocks that the table does not have.
        let blocks = (self.blocks - number * BLOCKS_OF_PAGE).min(BLOCKS_OF_PAGE);
        let full = (blocks / BLOCKS_OF_WORD) as usize;
        let rest = (1u64 << (2 * (blocks % BLOCKS_OF_WORD))) - 1;
        // Without a way out, so that several words are looked at together.
        let common = chunks[..full]
            .iter()
            .fold(u64::MAX, |common, chunk| common & u64::from_le_bytes(*chunk));
        let last = chunks.get(full).map_or(u64::MAX, |last| u64::from_le_bytes(*last) | !rest);
        if common & last & ALL_VISIBLE == ALL_VISIBLE {
            return MapPage::Clean;
        }
        if self.kept >= MOST_KEPT {
            return MapPage::Dropped;
        }
        let mut kept = Box::new([0; WORDS]);
        for (kept, chunk) in Iterator::zip(kept.iter_mut(), chunks) {
            *kept = u64::from_le_bytes(*chunk) & ALL_VISIBLE;
        }
        MapPage::Kept(kept)
    }

    /// Whether everybody sees all rows of these blocks, as far as that was read.
    pub(super) fn are_clean(&self, blocks: &RangeInclusive<Block>) -> bool {
        if *blocks.end() >= self.blocks {
            return false;
        }
        self.pages_of(blocks).all(|number| match &self.pages[number] {
            MapPage::Clean => true,
            MapPage::Unread | MapPage::Dropped => false,
            MapPage::Kept(words) => {
                let start = number as u32 * BLOCKS_OF_PAGE;
                let first = blocks.start().saturating_sub(start);
                let last = (blocks.end() - start).min(BLOCKS_OF_PAGE - 1);
                are_set(words, first, last)
            }
        })
    }
}

/// Whether the bits of the blocks from `first` to `last` are set.
fn are_set(words: &[u64; WORDS], first: u32, last: u32) -> bool {
    let (from, to) = ((first / BLOCKS_OF_WORD) as usize, (last / BLOCKS_OF_WORD) as usize);
    let from_first = ALL_VISIBLE << (2 * (first % BLOCKS_OF_WORD));
    let to_last = ALL_VISIBLE >> (2 * (BLOCKS_OF_WORD - 1 - last % BLOCKS_OF_WORD));
    (from..=to).all(|index| {
        let wanted = match () {
            () if from == to => from_first & to_last,
            () if index == from => from_first,
            () if index == to => to_last,
            () => ALL_VISIBLE,
        };
        words[index] & wanted == wanted
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::entry::HeapTid;
    use crate::tree::scan::Rows;

    /// A table of which some blocks have hidden rows.
    struct Blocks {
        blocks: u32,
        dirty: BTreeSet<u32>,
    }

    impl CountedTable for Blocks {
        fn blocks(&mut self) -> u32 {
            self.blocks
        }

        fn read_map(&mut self, page: u32, bytes: &mut MapBytes) {
            let start = page * BLOCKS_OF_PAGE;
            // The other bit says that rows are frozen, and means nothing here.
            bytes.fill(0b1010_1010);
            for block in start..self.blocks.min(start + BLOCKS_OF_PAGE) {
                if !self.dirty.contains(&block) {
                    let place = block - start;
                    bytes[(place / 4) as usize] |= 1 << (2 * (place % 4));
                }
            }
        }
    }

    impl Rows for Blocks {
        fn sees(&mut self, _: HeapTid) -> bool {
            true
        }
    }

    proptest! {
        #[test]
        fn a_range_is_clean_if_each_of_its_blocks_is(
            blocks in 1..3 * BLOCKS_OF_PAGE,
            dirty in proptest::collection::btree_set(0..3 * BLOCKS_OF_PAGE, 0..4),
            ranges in proptest::collection::vec((0..3 * BLOCKS_OF_PAGE, 0..100u32), 20),
        ) {
            let mut table = Blocks { blocks, dirty };
            let mut map = Map::default();
            map.begin(&mut table);
            let near = |&block: &u32| [(block, 0), (block.saturating_sub(1), 1), (block + 1, 9)];
            let near: Vec<_> = table.dirty.iter().flat_map(near).collect();
            let ends = [(0, blocks - 1), (0, blocks), (blocks - 1, 0), (blocks, 0)];
            for (first, more) in ranges.into_iter().chain(near).chain(ends) {
                let range = first..=first + more;
                map.read(&range, &mut table);
                prop_assert!(map.has_read(&range));
                let clean = range.clone().all(|b| b < blocks && !table.dirty.contains(&b));
                prop_assert_eq!(map.are_clean(&range), clean, "{:?} of {}", range, blocks);
            }
            map.read_all(&mut table);
            prop_assert_eq!(map.unread(), 0);
            prop_assert_eq!(map.is_clean(), table.dirty.range(..blocks).next().is_none());
        }
    }

    #[test]
    fn nothing_is_known_of_what_was_not_read() {
        let mut table = Blocks { blocks: 2 * BLOCKS_OF_PAGE, dirty: BTreeSet::new() };
        let mut map = Map::default();
        map.begin(&mut table);
        map.read(&(0..=0), &mut table);
        assert!(map.are_clean(&(0..=BLOCKS_OF_PAGE - 1)));
        assert!(!map.are_clean(&(0..=BLOCKS_OF_PAGE)) && !map.is_clean());
        assert!(!map.has_read(&(5..=BLOCKS_OF_PAGE)) && map.unread() == 1);
    }
}
