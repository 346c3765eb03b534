//! Learned leaves: blocks of entries between two fences, readable in place.
//!
//! ```text
//! header | marks | fences, counts | block table | block 0: codes, TIDs | ... | tombstones | hole
//!          ^ changes in place       \____________ sealed _________________/     ^ changes
//! ```
//! All entries of a leaf are of one null class. Slots number them from 0 in index order.

use std::marker::PhantomData;
use std::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    CONTENT_END, CONTENT_START, PageBytes, PageKind, check_kind, checksum, fence_len, read,
    read_fence, tombstone,
};
use crate::codec::{Codes, Sequence};
use crate::corruption::{Corruption, Result, ensure, ensure_at_most, ensure_that};
use crate::entries::Entries;
use crate::entry::{Block, Entry, Fence, HeapTid};
use crate::key::{Code, Key, NullClass, Word};
use crate::page::outline::Outline;
use crate::page::slots::{CodesOfSlots, TidStride, TidsOfSlots, decode_tids};
use crate::partition::partition_point;

/// The most entries of one leaf: their tombstones must fit one bit map page.
pub const MAX_ENTRIES: usize = tombstone::MAP_SLOTS;

/// The part that vacuum changes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Marks {
    /// Dead entries of the leaf.
    pub(crate) tombstones: u16,
    /// [`tombstone::marks_check`] of the other fields and of the list.
    pub(crate) check: u16,
    /// Page with a bit for each slot; 0: the dead slots are listed in the leaf.
    pub(crate) tombstone_page: u32,
}

/// The header behind the two fences.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) entries: u32,
    pub(crate) blocks: u16,
    /// Line pointers per heap block in the codes of heap TIDs.
    pub(crate) tid_stride: u16,
    /// Where the list of dead slots begins; the end of the seal.
    pub(crate) tombstones_at: u16,
    pub(crate) class: u8,
    pub(crate) padding: [u8; 5],
}

/// An entry of the block table.
struct BlockStart<C> {
    first_code: C,
    first_slot: u16,
    offset: u16,
}

pub(crate) const MARKS_AT: usize = CONTENT_START;
pub(crate) const LOW_AT: usize = MARKS_AT + size_of::<Marks>();

pub(crate) const fn high_at<C>() -> usize {
    LOW_AT + fence_len::<C>()
}

pub(crate) const fn header_at<C>() -> usize {
    high_at::<C>() + fence_len::<C>()
}

/// Where the block table begins.
pub(crate) const fn table_at<C>() -> usize {
    header_at::<C>() + size_of::<Header>()
}

/// Bytes of a block table entry: the three fields without padding.
pub(crate) const fn block_start_len<C>() -> usize {
    size_of::<C>() + 2 * size_of::<u16>()
}

const _: () = assert!(size_of::<Marks>() == 8 && size_of::<Header>() == 16);
const _: () = assert!(table_at::<u64>() == 80 && block_start_len::<u64>() == 12);

/// What a view of a leaf needs besides the page, whose front was checked.
#[derive(Clone, Copy)]
pub struct Head<C = Word> {
    block: Block,
    class: NullClass,
    codes: PhantomData<C>,
}

/// A view of a leaf. Its errors name the block.
#[derive(Clone, Copy)]
pub struct Leaf<'a, C = Word> {
    page: &'a PageBytes,
    head: Head<C>,
}

/// How many of the entries that were found are copied where there is room for `room`: all if they
/// are not more than twice as many, since coming back for a small rest takes longer.
#[inline]
pub(crate) fn taken(found: usize, room: usize) -> usize {
    if found <= 2 * room { found } else { room }
}

/// The number of dead entries of a page that is known to be a leaf.
#[inline]
pub(crate) fn tombstones(page: &PageBytes) -> usize {
    usize::from(read::<Marks>(page, MARKS_AT).tombstones)
}

/// One block of a leaf.
struct BlockView<'a, C: Code> {
    first_slot: usize,
    codes: C::Codes<'a>,
    tids: Sequence<'a>,
}

impl<C: Code> Head<C> {
    /// Checks kind, version and header of the page in a block. The blocks of entries are checked as
    /// they are used.
    #[inline(always)]
    pub fn parse(page: &PageBytes, block: Block) -> Result<Head<C>> {
        Head::parse_unnamed(page, block).map_err(|corruption| corruption.at(block))
    }

    /// The leaf whose front this is. It must be the one that was parsed: its bounds are not checked
    /// again.
    #[inline]
    pub fn of(self, page: &PageBytes) -> Leaf<'_, C> {
        Leaf { page, head: self }
    }

    #[inline(always)]
    fn parse_unnamed(page: &PageBytes, block: Block) -> Result<Head<C>> {
        check_kind(page, PageKind::Leaf, "a leaf")?;
        let marks: Marks = read(page, MARKS_AT);
        let header: Header = read(page, header_at::<C>());
        let entries = header.entries as usize;
        ensure_at_most!(entries, MAX_ENTRIES, "entries in a leaf")?;
        let blocks = usize::from(header.blocks);
        let table_end = table_at::<C>() + blocks * block_start_len::<C>();
        let tombstones_at = usize::from(header.tombstones_at);
        ensure_that(table_end <= tombstones_at, "a block table within the leaf")?;
        ensure_that(tombstones_at <= CONTENT_END, "blocks within the page")?;
        ensure_that((blocks == 0) == (entries == 0), "blocks for the entries")?;
        let Some(class) = NullClass::of(header.class) else {
            return Err(Corruption::new("a null class", header.class.into()));
        };
        let head = Head { block, class, codes: PhantomData };
        let check = tombstone::marks_check(&marks, head.of(page).tombstone_list());
        ensure(marks.check == check, "the check of the tombstone marks", marks.check.into())?;
        Ok(head)
    }
}

impl<'a, C: Code> Leaf<'a, C> {
    /// Read anew each time, which costs no more than reading a copy.
    #[inline(always)]
    fn header(self) -> Header {
        read(self.page, header_at::<C>())
    }

    #[inline(always)]
    fn marks(self) -> Marks {
        read(self.page, MARKS_AT)
    }

    /// Where the leaf is.
    pub fn at(self) -> Block {
        self.head.block
    }

    /// Fails with a corruption of this leaf unless `condition` holds.
    #[inline]
    pub(crate) fn ensure(self, condition: bool, expected: &'static str, found: u64) -> Result<()> {
        ensure(condition, expected, found).map_err(|corruption| corruption.at(self.head.block))
    }

    /// The same, where no number tells what was found.
    #[inline]
    pub(crate) fn ensure_that(self, condition: bool, expected: &'static str) -> Result<()> {
        ensure_that(condition, expected).map_err(|corruption| corruption.at(self.head.block))
    }

    /// The first position that belongs to the leaf.
    #[inline(always)]
    pub fn low(self) -> Fence<C> {
        read_fence(self.page, LOW_AT)
    }

    /// The first position that belongs to a later leaf.
    #[inline(always)]
    pub fn high(self) -> Fence<C> {
        read_fence(self.page, high_at::<C>())
    }

    /// The null class of all entries.
    pub fn class(self) -> NullClass {
        self.head.class
    }

    /// Number of entries, dead ones included.
    pub fn entries(self) -> usize {
        self.header().entries as usize
    }

    /// The code of the first entry, if there is one.
    pub fn first_code(self) -> Option<C> {
        (self.blocks() > 0).then(|| self.start(0).first_code)
    }

    /// The checksum in the leaf's seal, which no other content has.
    pub(crate) fn checksum(self) -> u32 {
        checksum(self.page)
    }

    /// Number of dead entries.
    pub fn tombstones(self) -> usize {
        usize::from(self.marks().tombstones)
    }

    /// The page that tells which slots are dead, once the leaf has no room for the list.
    pub fn tombstone_page(self) -> Option<Block> {
        (self.marks().tombstone_page != 0).then_some(self.marks().tombstone_page)
    }

    /// Slots that the leaf itself lists as dead, ascending.
    pub fn listed_tombstones(self) -> impl Iterator<Item = u16> + 'a {
        self.listed().iter().map(|slot| u16::from_le_bytes(*slot))
    }

    /// The same, as they are stored.
    #[inline]
    pub(crate) fn listed(self) -> &'a [[u8; 2]] {
        self.tombstone_list().as_chunks().0
    }

    #[inline]
    fn tombstone_list(self) -> &'a [u8] {
        let listed = if self.marks().tombstone_page == 0 { self.tombstones() } else { 0 };
        let start = usize::from(self.header().tombstones_at);
        let end = (start + 2 * listed).min(CONTENT_END);
        self.page.get(start..end).unwrap_or(&[])
    }

    /// Dead slots that the leaf could list.
    pub(crate) fn tombstone_capacity(self) -> usize {
        (CONTENT_END - usize::from(self.header().tombstones_at)) / 2
    }

    /// Where the content ends. A list that a page for the dead slots has replaced may still be
    /// there.
    pub(crate) fn content_end(self) -> usize {
        if self.marks().tombstone_page == 0 {
            self.tombstones_at() + 2 * self.tombstones()
        } else {
            super::lower(self.page).max(self.tombstones_at())
        }
    }

    /// Where the list of dead slots begins in the page.
    pub(crate) fn tombstones_at(self) -> usize {
        usize::from(self.header().tombstones_at)
    }

    fn blocks(self) -> usize {
        usize::from(self.header().blocks)
    }

    /// The names of the forms that the codes and the heap TIDs of each block have.
    pub fn forms(self) -> Result<Vec<(&'static str, &'static str)>> {
        let form_of = |block| self.block(block).map(|view| (view.codes.form(), view.tids.form()));
        (0..self.blocks()).map(form_of).collect()
    }

    /// The table entry of a block; `block` is below the number of blocks.
    #[inline]
    fn start(self, block: usize) -> BlockStart<C> {
        let at = table_at::<C>() + block * block_start_len::<C>();
        BlockStart {
            first_code: read(self.page, at),
            first_slot: read(self.page, at + size_of::<C>()),
            offset: read(self.page, at + size_of::<C>() + 2),
        }
    }

    #[inline(always)]
    fn block(self, block: usize) -> Result<BlockView<'a, C>> {
        let start = self.start(block);
        let first_slot = usize::from(start.first_slot);
        let end = self.slots_before(block + 1);
        let ascends = first_slot < end && end <= self.entries();
        self.ensure_that(ascends, "blocks that ascend")?;
        // Up to the end of the page: reading a few bytes beyond a sequence is its fast path.
        let bytes = self.page.get(usize::from(start.offset)..).unwrap_or(&[]);
        let named = |corruption: Corruption| corruption.at(self.head.block);
        let (codes, len) =
            C::Codes::parse(bytes, end - first_slot, start.first_code).map_err(named)?;
        let tids = bytes.get(len..).unwrap_or(&[]);
        let (tids, _) = Sequence::parse(tids, end - first_slot).map_err(named)?;
        Ok(BlockView { first_slot, codes, tids })
    }

    /// Number of blocks at the front whose first entry satisfies a condition. Once one block does
    /// not, none after it may.
    #[inline]
    fn blocks_while(self, mut condition: impl FnMut(BlockStart<C>) -> bool) -> usize {
        partition_point(0..self.blocks(), |block| condition(self.start(block)))
    }

    /// The first slot whose code is at least `code`.
    #[inline]
    fn lower_bound(self, code: C) -> Result<usize> {
        // The run of this code may begin in the block before the first one that begins with it.
        match self.blocks_while(|start| start.first_code < code) {
            0 => Ok(0),
            later => {
                let view = self.block(later - 1)?;
                Ok(view.first_slot + view.codes.lower_bound(code))
            }
        }
    }

    /// The first slot whose code is greater.
    fn upper_bound(self, code: C) -> Result<usize> {
        match code.next() {
            Some(next) => self.lower_bound(next),
            None => Ok(self.entries()),
        }
    }

    /// The first slot whose entry lies at or after a position; the number of entries if there is
    /// none.
    pub fn slot_of(self, position: Fence<C>) -> Result<usize> {
        if position.class != self.head.class as u8 {
            let before = position.class < self.head.class as u8;
            return Ok(if before { 0 } else { self.entries() });
        }
        if position.tid == HeapTid::AFTER_ALL {
            return self.upper_bound(position.code);
        }
        let mut low = self.lower_bound(position.code)?;
        if position.tid == HeapTid::MIN || low == self.entries() {
            return Ok(low);
        }
        let mut high = self.upper_bound(position.code)?;
        while low < high {
            let middle = low + (high - low) / 2;
            if self.tid(middle)? < position.tid {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Appends the entries of one code, of the leaf's null class, dead ones included: `room` of
    /// them, or all if they are not more than twice as many. Returns their slots, and whether there
    /// are more.
    #[inline]
    pub fn copy_run(
        self,
        code: C,
        room: usize,
        into: &mut Entries<C>,
    ) -> Result<(Range<usize>, bool)> {
        if self.blocks() == 0 {
            return Ok((0..0, false));
        }
        // The run may begin in the block before the first one that begins with it.
        let block = self.blocks_while(|start| start.first_code < code).saturating_sub(1);
        let view = self.block(block)?;
        let (start, end) = view.codes.run_of(code, |index| view.tids.prefetch(index..index + 1));
        if view.first_slot + end == self.slots_before(block + 1) && block + 1 < self.blocks() {
            // It may go on in the next block.
            let key = Key { class: self.head.class, code };
            return self.copy_between(Fence::before(key), Fence::after(key), room, into);
        }
        let taken = taken(end - start, room);
        into.make_room(taken);
        if taken == 1 {
            let stride = TidStride::new(self.header().tid_stride);
            into.push(code, stride.decode(view.tids.get(start)));
        } else {
            let (codes, tids) = into.columns();
            codes.extend(std::iter::repeat_n(code, taken));
            self.decode_tids(&view.tids, start, start + taken, tids);
        }
        let first = view.first_slot + start;
        Ok((first..first + taken, start + taken < end))
    }

    /// Appends the entries from one position up to another, dead ones included: `room` of them, or
    /// all if they are not more than twice as many. Returns their slots, and whether there are
    /// more.
    pub fn copy_between(
        self,
        from: Fence<C>,
        to: Fence<C>,
        room: usize,
        into: &mut Entries<C>,
    ) -> Result<(Range<usize>, bool)> {
        if C::WORDS > 1
            && let Some(copied) = self.copy_within_block(from, to, room, into)?
        {
            return Ok(copied);
        }
        let (start, end) = (self.slot_of(from)?, self.slot_of(to)?);
        let taken = taken(end.saturating_sub(start), room);
        self.decode(start, start + taken, into)?;
        Ok((start..start + taken, start + taken < end))
    }

    /// [`Leaf::copy_between`] where one block has all of them, which is read once then. `None` if
    /// several may have some.
    fn copy_within_block(
        self,
        from: Fence<C>,
        to: Fence<C>,
        room: usize,
        into: &mut Entries<C>,
    ) -> Result<Option<(Range<usize>, bool)>> {
        let class = self.head.class as u8;
        if (from.class, to.class, from.tid) != (class, class, HeapTid::MIN) || self.blocks() == 0 {
            return Ok(None);
        }
        // The first code that is too large, if there is one.
        let end = match to.tid {
            HeapTid::MIN => Some(to.code),
            HeapTid::AFTER_ALL => to.code.next(),
            _ => return Ok(None),
        };
        let block = self.blocks_while(|start| start.first_code < from.code).saturating_sub(1);
        let has_next = block + 1 < self.blocks();
        if has_next && end.is_none_or(|end| self.start(block + 1).first_code < end) {
            return Ok(None);
        }
        let view = self.block(block)?;
        let count = self.slots_before(block + 1).saturating_sub(view.first_slot);
        let start = view.codes.lower_bound(from.code);
        let end = end.map_or(count, |end| view.codes.lower_bound(end));
        let taken = taken(end.saturating_sub(start), room);
        into.make_room(taken);
        self.decode_block(&view, start, start + taken, into);
        let first = view.first_slot + start;
        Ok(Some((first..first + taken, start + taken < end)))
    }

    /// Appends the entries from one place up to another of a block; there is room for them.
    fn decode_block(self, view: &BlockView<'a, C>, from: usize, to: usize, into: &mut Entries<C>) {
        view.codes.prefetch(from..to);
        view.tids.prefetch(from..to);
        let (codes, tids) = into.columns();
        let before = codes.len();
        codes.resize(before + to - from, C::MIN);
        view.codes.decode(from, &mut codes[before..]);
        self.decode_tids(&view.tids, from, to, tids);
    }

    /// Entries in the blocks before this one.
    #[inline]
    fn slots_before(self, block: usize) -> usize {
        match block < self.blocks() {
            true => usize::from(self.start(block).first_slot),
            false => self.entries(),
        }
    }

    /// Where the parts of the leaf lie.
    pub(crate) fn outline(self) -> Outline {
        let parts = || {
            let start = self.start(0);
            let at = usize::from(start.offset);
            let bytes = self.page.get(at..).unwrap_or(&[]);
            let (_, codes_len) =
                C::Codes::parse(bytes, self.slots_before(1), start.first_code).ok()?;
            let tids_at = at + codes_len;
            let end = match self.blocks() {
                1 => self.tombstones_at(),
                _ => usize::from(self.start(1).offset),
            };
            let packed_at = at + C::Codes::packed_at(bytes).ok()?;
            let (low, high) = (self.low().code, self.high().code);
            let key_at = |part: f32| {
                let code = self.code((self.entries() as f32 * part) as usize).unwrap_or(low);
                code.part_of(low, high)
            };
            let blocks = self.entries() as f32 / self.slots_before(1) as f32;
            Some(Outline::new([at, packed_at, tids_at, end], blocks, key_at))
        };
        if self.blocks() == 0 { Outline::UNKNOWN } else { parts().unwrap_or(Outline::UNKNOWN) }
    }

    /// The block of a slot below the number of entries, and its place there.
    fn block_of(self, slot: usize) -> Result<(BlockView<'a, C>, usize)> {
        let block = self.blocks_while(|start| usize::from(start.first_slot) <= slot);
        let view = self.block(block.saturating_sub(1))?;
        let within = slot.saturating_sub(view.first_slot);
        Ok((view, within))
    }

    /// The code of a slot below the number of entries.
    pub(crate) fn code(self, slot: usize) -> Result<C> {
        let (view, within) = self.block_of(slot)?;
        Ok(view.codes.get(within))
    }

    /// Where in the page the packed bits of a slot's code begin.
    #[cfg(test)]
    pub(crate) fn packed_byte_of(self, slot: usize) -> Result<usize> {
        let block = self.blocks_while(|start| usize::from(start.first_slot) <= slot) - 1;
        let start = self.start(block);
        let at = usize::from(start.offset);
        let width = usize::from(self.page[at + 1]);
        let within = slot - usize::from(start.first_slot);
        Ok(at + C::Codes::packed_at(&self.page[at..])? + within * width / 8)
    }

    /// The entry of a slot below the number of entries.
    pub(crate) fn entry(self, slot: usize) -> Result<Entry<C>> {
        let key = Key { class: self.head.class, code: self.code(slot)? };
        Ok(Entry { key, tid: self.tid(slot)? })
    }

    /// The heap TID of a slot below the number of entries.
    fn tid(self, slot: usize) -> Result<HeapTid> {
        let (view, within) = self.block_of(slot)?;
        Ok(TidStride::new(self.header().tid_stride).decode(view.tids.get(within)))
    }

    /// The entries of the slots from `start` to `end` (exclusive, at most the number of entries),
    /// dead ones included.
    pub fn entries_between(self, start: usize, end: usize) -> Result<Entries<C>> {
        let mut entries = Entries::of(self.class());
        self.decode(start, end, &mut entries)?;
        Ok(entries)
    }

    /// Appends the same to entries that are of the leaf's null class.
    pub fn decode(self, start: usize, end: usize, into: &mut Entries<C>) -> Result<()> {
        into.make_room(end.saturating_sub(start));
        let mut slot = start;
        let first = self.blocks_while(|entry| usize::from(entry.first_slot) <= start);
        for block in first.saturating_sub(1)..self.blocks() {
            if slot >= end {
                break;
            }
            let view = self.block(block)?;
            let block_end = self.slots_before(block + 1);
            let ascends = view.first_slot <= slot && slot < block_end;
            self.ensure_that(ascends, "slots that ascend")?;
            let (from, to) = (slot - view.first_slot, block_end.min(end) - view.first_slot);
            self.decode_block(&view, from, to, into);
            slot = block_end.min(end);
        }
        Ok(())
    }

    /// Appends the heap TIDs from `start` to `end` (exclusive) of a block's; there is room for
    /// them.
    fn decode_tids(self, of: &Sequence<'_>, start: usize, end: usize, tids: &mut Vec<HeapTid>) {
        decode_tids(of, TidStride::new(self.header().tid_stride), start..end, tids);
    }

    /// Calls `visit` with the codes of the slots of a range, block by block.
    pub(crate) fn visit_codes(
        self,
        slots: Range<usize>,
        mut visit: impl FnMut(CodesOfSlots<'a, C>),
    ) -> Result<()> {
        let first = self.blocks_while(|entry| usize::from(entry.first_slot) <= slots.start);
        for block in first.saturating_sub(1)..self.blocks() {
            let BlockView { first_slot, codes, .. } = self.block(block)?;
            if first_slot >= slots.end {
                break;
            }
            let within = slots.start.max(first_slot)..slots.end.min(self.slots_before(block + 1));
            let start = within.start - first_slot;
            visit(CodesOfSlots::new(start, within.len(), codes));
        }
        Ok(())
    }

    /// Calls `visit` with the heap TIDs of the slots of a range, block by block.
    pub(crate) fn visit_tids(
        self,
        slots: Range<usize>,
        mut visit: impl FnMut(TidsOfSlots<'a>),
    ) -> Result<()> {
        let stride = TidStride::new(self.header().tid_stride);
        let first = self.blocks_while(|entry| usize::from(entry.first_slot) <= slots.start);
        for block in first.saturating_sub(1)..self.blocks() {
            let BlockView { first_slot, tids, .. } = self.block(block)?;
            if first_slot >= slots.end {
                break;
            }
            let within = slots.start.max(first_slot)..slots.end.min(self.slots_before(block + 1));
            let start = within.start - first_slot;
            visit(TidsOfSlots::new(within, start, tids, stride));
        }
        Ok(())
    }
}
