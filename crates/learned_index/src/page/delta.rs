//! Pages of a delta tree: a B-link tree of plain entries that takes inserts.
//!
//! ```text
//! header | entries in order | entries as they came | zeros | hole        (level 0)
//! header | children in order                               | hole        (above)
//! ```
//! Every page states its own range, low fence inclusive, high fence exclusive, and the page to its
//! right. A page never moves its low fence: splits move the upper part to a new right neighbour.
//!
//! An insert writes one entry at the end and nothing else: there is no count. Entries end at the
//! first one without a line pointer, and the content ends at a multiple of 32 entries.
//! What was in order when the page was written is sealed with the header; later entries have a
//! check of their own.

use std::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::edit::Edit;
use super::{
    CONTENT_END, CONTENT_START, PageBytes, PageKind, birth, check_kind, fence_len, lower_edit,
    new_page, read, read_fence, seal, set_lower, verify_seal, write, write_fence,
};
use crate::corruption::{Result, ensure, ensure_at_most, ensure_that};
use crate::cpu::LINE;
use crate::entry::{Block, Entry, Fence, HeapTid};
use crate::fault;
use crate::key::{Code, Key, NullClass, Word};
use crate::partition::partition_point;

/// The header behind the two fences.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    /// The page that begins where this one ends; 0: this is the last one of its level.
    right: u32,
    level: u16,
    /// Level 0: entries in order at the front. Above: children.
    sorted: u16,
    /// Level 0: times that entries were taken out while the fences stayed.
    rewrites: u64,
}

/// An entry as stored, behind its code.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StoredRow {
    tid_block: u32,
    /// 0: no entry here.
    tid_offset: u16,
    /// Null class in the low two bits, a check of everything else above.
    class_and_check: u16,
}

/// A child as stored, behind its low fence.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StoredChild {
    block: u32,
    padding: u32,
}

const LOW_AT: usize = CONTENT_START;

const fn high_at<C>() -> usize {
    LOW_AT + fence_len::<C>()
}

const fn header_at<C>() -> usize {
    high_at::<C>() + fence_len::<C>()
}

/// Where the entries begin, or the children.
const fn entries_at<C>() -> usize {
    header_at::<C>() + size_of::<Header>()
}

/// Bytes of a stored entry.
const fn entry_len<C>() -> usize {
    size_of::<C>() + size_of::<StoredRow>()
}

/// Bytes of a stored child.
const fn child_len<C>() -> usize {
    fence_len::<C>() + size_of::<StoredChild>()
}

/// Entries that fit a page.
pub const fn capacity<C>() -> usize {
    (CONTENT_END - entries_at::<C>()) / entry_len::<C>()
}

/// Children that fit a page.
pub const fn most_children<C>() -> usize {
    (CONTENT_END - entries_at::<C>()) / child_len::<C>()
}

/// Bytes of the longest entry there can be, of eight words.
const LONGEST_ENTRY: usize = entry_len::<[u64; 8]>();
/// Entries by which the content of a page grows.
const CHUNK: usize = 32;

const _: () = assert!(entries_at::<u64>() == 72 && size_of::<Header>() == 16);
const _: () = assert!(entry_len::<u64>() == 16 && child_len::<u64>() == 24);
const _: () = assert!(capacity::<u64>() == 506 && most_children::<u64>() == 337);

/// Which delta tree: its root, and the name that each of its pages carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The root's block; it never changes.
    pub root: Block,
    /// The state word that the tree was opened with: no other tree of the index has the same.
    pub name: u64,
}

/// A child of an inner page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child<C = Word> {
    /// The first position that belongs to the child.
    pub low: Fence<C>,
    /// Where it is.
    pub block: Block,
}

/// Where a page stands in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<C = Word> {
    /// The first position that belongs to the page.
    pub low: Fence<C>,
    /// The first position that belongs to a page further right.
    pub high: Fence<C>,
    /// The next page to the right on the same level; 0: none.
    pub right: Block,
}

impl<C: Code> Span<C> {
    /// That of a root.
    pub const ALL: Span<C> = Span { low: Fence::MIN, high: Fence::MAX, right: 0 };
}

/// An entry in its place in a page.
struct StoredEntry<C> {
    code: C,
    row: StoredRow,
}

impl<C: Code> StoredEntry<C> {
    fn new(entry: Entry<C>) -> StoredEntry<C> {
        let row = StoredRow {
            tid_block: entry.tid.block(),
            tid_offset: entry.tid.offset(),
            class_and_check: entry.key.class as u16,
        };
        let mut stored = StoredEntry { code: entry.key.code, row };
        stored.row.class_and_check |= stored.check() << 2;
        stored
    }

    #[inline]
    fn write_to(&self, bytes: &mut [u8]) {
        let (code, row) = bytes.split_at_mut(size_of::<C>());
        code.copy_from_slice(self.code.as_bytes());
        row.copy_from_slice(self.row.as_bytes());
    }

    /// 14 bits that tell a damaged entry.
    fn check(&self) -> u16 {
        let tid = u64::from(self.row.tid_block) << 18
            | u64::from(self.row.tid_offset) << 2
            | u64::from(self.row.class_and_check & 3);
        // Sums, so that one flipped bit changes the result whatever the other bits are.
        let mixed = (self.code.mixed().rotate_left(29))
            .wrapping_add(tid.wrapping_mul(0x9E37_79B9_7F4A_7C15))
            .wrapping_mul(0xD6E8_FEB8_6659_FD93);
        (mixed >> 50) as u16
    }

    fn entry(&self) -> Result<Entry<C>> {
        let StoredRow { tid_block, tid_offset, class_and_check } = self.row;
        let whole = class_and_check >> 2 == self.check();
        ensure_that(whole && tid_offset != 0, "whole delta entries")?;
        let class = NullClass::of(class_and_check as u8 & 3).unwrap_or(NullClass::NullsLast);
        let tid = HeapTid::new(tid_block, tid_offset);
        Ok(Entry { key: Key { class, code: self.code }, tid })
    }

    /// The position, unchecked.
    #[inline]
    fn fence(&self) -> Fence<C> {
        let StoredRow { tid_block, tid_offset, class_and_check } = self.row;
        let tid = HeapTid::new(tid_block, tid_offset);
        Fence { class: (class_and_check & 3) as u8, code: self.code, tid }
    }
}

/// A page of level 0. `entries` ascend and fit.
pub fn leaf<C: Code>(tree: u64, span: Span<C>, entries: &[Entry<C>]) -> PageBytes {
    leaf_of(tree, span, 0, entries.len(), entries.iter().copied())
}

/// A page of level 0. The first `sorted` entries are in order.
fn leaf_of<C: Code>(
    tree: u64,
    span: Span<C>,
    rewrites: u64,
    sorted: usize,
    entries: impl Iterator<Item = Entry<C>>,
) -> PageBytes {
    let mut page = new_page(PageKind::Delta, tree);
    write_header(&mut page, span, 0, sorted, rewrites);
    let mut count = 0;
    for entry in entries {
        let at = entries_at::<C>() + count * entry_len::<C>();
        StoredEntry::new(entry).write_to(&mut page[at..at + entry_len::<C>()]);
        count += 1;
    }
    set_lower(&mut page, lower_for::<C>(count));
    seal(&mut page, LOW_AT..entries_at::<C>() + sorted * entry_len::<C>());
    page
}

/// A page above level 0. `children` ascend and fit.
pub fn inner<C: Code>(tree: u64, span: Span<C>, level: u16, children: &[Child<C>]) -> PageBytes {
    let mut page = new_page(PageKind::Delta, tree);
    write_header(&mut page, span, level, children.len(), 0);
    for (slot, child) in children.iter().enumerate() {
        let at = entries_at::<C>() + slot * child_len::<C>();
        write_fence(&mut page, at, child.low);
        let stored = StoredChild { block: child.block, padding: 0 };
        write(&mut page, at + fence_len::<C>(), &stored);
    }
    let end = entries_at::<C>() + children.len() * child_len::<C>();
    set_lower(&mut page, end);
    seal(&mut page, LOW_AT..end);
    page
}

fn write_header<C: Code>(
    page: &mut PageBytes,
    span: Span<C>,
    level: u16,
    sorted: usize,
    rewrites: u64,
) {
    write_fence(page, LOW_AT, span.low);
    write_fence(page, high_at::<C>(), span.high);
    let header = Header { right: span.right, level, sorted: sorted as u16, rewrites };
    write(page, header_at::<C>(), &header);
}

/// Where the content ends with this many entries.
fn lower_for<C>(entries: usize) -> usize {
    (entries_at::<C>() + entries.next_multiple_of(CHUNK) * entry_len::<C>()).min(CONTENT_END)
}

/// What a view of a page needs besides the page, whose front was checked.
#[derive(Clone, Copy)]
pub struct Head<C = Word> {
    block: Block,
    tree: u64,
    codes: PhantomData<C>,
}

/// A view of a page. Its errors name the block.
#[derive(Clone, Copy)]
pub struct Delta<'a, C = Word> {
    page: &'a PageBytes,
    head: Head<C>,
}

impl<C: Code> Head<C> {
    /// Checks kind, version, tree and header of the page in a block.
    #[inline]
    pub fn parse(page: &PageBytes, tree: u64, block: Block) -> Result<Head<C>> {
        Head::parse_unnamed(page, tree, block).map_err(|corruption| corruption.at(block))
    }

    /// The page whose front this is. It must be the one that was parsed: its bounds are not checked
    /// again.
    #[inline]
    pub fn of(self, page: &PageBytes) -> Delta<'_, C> {
        Delta { page, head: self }
    }

    #[inline]
    fn parse_unnamed(page: &PageBytes, tree: u64, block: Block) -> Result<Head<C>> {
        check_kind(page, PageKind::Delta, "a page of a delta tree")?;
        ensure(birth(page) == tree, "a page of this delta tree", birth(page))?;
        let header: Header = read(page, header_at::<C>());
        match header.level {
            0 => ensure_at_most!(header.sorted.into(), capacity::<C>(), "entries in a delta page")?,
            _ => ensure_at_most!(
                header.sorted.into(),
                most_children::<C>(),
                "children of a delta page"
            )?,
        }
        let head = Head { block, tree, codes: PhantomData };
        let ascends = head.of(page).low() < head.of(page).high();
        ensure_that(ascends, "fences that ascend")?;
        let has_children = header.level == 0 || header.sorted > 0;
        ensure_that(has_children, "a delta page with children")?;
        Ok(head)
    }
}

impl<C: Code> Delta<'_, C> {
    /// Read anew each time, which costs no more than reading a copy.
    #[inline(always)]
    fn header(self) -> Header {
        read(self.page, header_at::<C>())
    }

    /// Where the page is.
    #[inline]
    pub fn at(self) -> Block {
        self.head.block
    }

    /// The name of its tree.
    #[inline]
    pub fn tree(self) -> u64 {
        self.head.tree
    }

    /// Fails with a corruption of this page unless `condition` holds.
    #[inline]
    pub(crate) fn ensure(self, condition: bool, expected: &'static str, found: u64) -> Result<()> {
        ensure(condition, expected, found).map_err(|corruption| corruption.at(self.at()))
    }

    /// The same, where no number tells what was found.
    #[inline]
    pub(crate) fn ensure_that(self, condition: bool, expected: &'static str) -> Result<()> {
        ensure_that(condition, expected).map_err(|corruption| corruption.at(self.at()))
    }

    /// Checks that the page is of this level.
    pub(crate) fn check_level(self, level: u16) -> Result<()> {
        self.ensure(self.level() == level, "a delta page of this level", self.level().into())
    }

    /// Checks the seal and every entry: for the first look at a page.
    pub fn verify(self) -> Result<()> {
        verify_seal(self.page).map_err(|corruption| corruption.at(self.at()))?;
        if self.level() > 0 {
            return Ok(());
        }
        let count = self.len();
        for slot in 0..count {
            let entry = self.checked(&self.stored(slot))?;
            let inside = self.low() <= Fence::at(entry) && Fence::at(entry) < self.high();
            self.ensure_that(inside, "delta entries within the fences")?;
        }
        let rest =
            self.page.get(entries_at::<C>() + count * entry_len::<C>()..CONTENT_END).unwrap_or(&[]);
        self.ensure_that(rest.iter().all(|&byte| byte == 0), "no entries behind the last")
    }

    /// An entry of this page, if it is whole.
    #[inline]
    fn checked(self, stored: &StoredEntry<C>) -> Result<Entry<C>> {
        stored.entry().map_err(|corruption| corruption.at(self.at()))
    }

    /// The first position that belongs to the page.
    #[inline]
    pub fn low(self) -> Fence<C> {
        read_fence(self.page, LOW_AT)
    }

    /// The first position that belongs to a page further right.
    #[inline]
    pub fn high(self) -> Fence<C> {
        read_fence(self.page, high_at::<C>())
    }

    /// The next page to the right; 0: none.
    pub fn right(self) -> Block {
        self.header().right
    }

    /// Where the page stands.
    pub fn span(self) -> Span<C> {
        Span { low: self.low(), high: self.high(), right: self.right() }
    }

    /// 0: entries. Above: children.
    #[inline]
    pub fn level(self) -> u16 {
        self.header().level
    }

    /// Times that entries were taken out of a page of level 0 while its fences stayed. As long as
    /// this and [`Delta::high`] are the same, in the page of one tree with one low fence, entries
    /// are only added, behind those there are.
    #[inline]
    pub fn rewrites(self) -> u64 {
        self.header().rewrites
    }

    /// Whether nothing can be added.
    pub fn is_full(self) -> bool {
        if self.level() == 0 {
            self.len() >= fault::full_at(capacity::<C>())
        } else {
            self.child_count() >= fault::full_at(most_children::<C>())
        }
    }

    /// Number of entries of a page of level 0.
    #[inline]
    pub fn len(self) -> usize {
        let lower: u16 = read(self.page, super::PD_LOWER);
        let end = usize::from(lower).clamp(entries_at::<C>(), CONTENT_END) - entries_at::<C>();
        let end = end / entry_len::<C>();
        // Only the last chunk can have room: the content grows when the one before is full.
        let start = end.saturating_sub(CHUNK).max(self.sorted().min(end));
        partition_point(start..end, |slot| self.stored(slot).row.tid_offset != 0)
    }

    /// Whether there is no entry.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn sorted(self) -> usize {
        usize::from(self.header().sorted)
    }

    #[inline]
    fn stored(self, slot: usize) -> StoredEntry<C> {
        let at = entries_at::<C>() + slot * entry_len::<C>();
        StoredEntry { code: read(self.page, at), row: read(self.page, at + size_of::<C>()) }
    }

    /// The entry in a slot of a page of level 0; `None` behind the last.
    #[inline]
    pub fn entry(self, slot: usize) -> Result<Option<Entry<C>>> {
        let lower: u16 = read(self.page, super::PD_LOWER);
        let end = usize::from(lower).min(CONTENT_END);
        let entry_end = entries_at::<C>() + (slot + 1) * entry_len::<C>();
        if entry_end > end || self.stored(slot).row.tid_offset == 0 {
            return Ok(None);
        }
        self.checked(&self.stored(slot)).map(Some)
    }

    /// Appends the entries from `low` to `high` (exclusive), in no order.
    pub fn collect(self, low: Fence<C>, high: Fence<C>, found: &mut Vec<Entry<C>>) -> Result<()> {
        self.visit(low, high, |_, entry| found.push(entry))
    }

    /// Calls `found` for the entries from `low` to `high` (exclusive), in no order, with the slot
    /// of each.
    #[inline]
    pub fn visit(
        self,
        low: Fence<C>,
        high: Fence<C>,
        mut found: impl FnMut(usize, Entry<C>),
    ) -> Result<()> {
        let (count, sorted) = (self.len(), self.sorted());
        let start = partition_point(0..sorted.min(count), |slot| self.stored(slot).fence() < low);
        for slot in start..sorted.min(count) {
            let stored = self.stored(slot);
            if stored.fence() >= high {
                break;
            }
            found(slot, self.checked(&stored)?);
        }
        // Most are told apart by their codes alone, where the range is within one null class.
        let (first, last) = match () {
            () if low.class == high.class => (low.code.word(), high.code.word()),
            () if high == low.end_of_class() => (low.code.word(), Word::MAX),
            () => (0, Word::MAX),
        };
        let width = last.wrapping_sub(first);
        for slot in sorted..count {
            let stored = self.stored(slot);
            // One comparison for both ends: two would each be a guess that the processor loses.
            if stored.code.word().wrapping_sub(first) <= width {
                let fence = stored.fence();
                if low <= fence && fence < high {
                    found(slot, self.checked(&stored)?);
                }
            }
        }
        Ok(())
    }

    /// All entries, in order.
    pub fn entries(self) -> Result<Vec<Entry<C>>> {
        let mut entries = Vec::with_capacity(self.len());
        self.collect(Fence::MIN, Fence::MAX, &mut entries)?;
        let all = entries.len() == self.len();
        self.ensure(all, "as many entries as counted", entries.len() as u64)?;
        entries.sort_unstable();
        Ok(entries)
    }

    /// The page without its entries from `span.high` on, the others in the order that they have:
    /// what is in order at its front stays where it is, and need not be logged again.
    pub fn left_half(self, span: Span<C>) -> Result<PageBytes> {
        let stays = |slot: &usize| self.stored(*slot).fence() < span.high;
        let sorted = (0..self.sorted().min(self.len())).filter(stays).count();
        let left: Result<Vec<Entry<C>>> =
            (0..self.len()).filter(stays).map(|slot| self.checked(&self.stored(slot))).collect();
        Ok(leaf_of(self.tree(), span, self.rewrites(), sorted, left?.into_iter()))
    }

    /// The page with its entries as they are, and another right end.
    pub fn with_right_end(self, high: Fence<C>, right: Block) -> PageBytes {
        let mut page = *self.page;
        write_fence(&mut page, high_at::<C>(), high);
        write(&mut page, header_at::<C>(), &Header { right, ..self.header() });
        seal(&mut page, LOW_AT..entries_at::<C>() + self.sorted() * entry_len::<C>());
        page
    }

    /// The page with some of its entries, which ascend.
    pub fn reduced_to(self, entries: &[Entry<C>]) -> PageBytes {
        let raise = u64::from(!fault::injected(fault::Fault::KeepRewrites));
        let rewrites = self.rewrites().wrapping_add(raise);
        let (count, entries) = (entries.len(), entries.iter().copied());
        leaf_of(self.tree(), self.span(), rewrites, count, entries)
    }

    /// Whether an entry would stand behind all others.
    pub fn is_behind_all(self, position: Fence<C>) -> bool {
        (0..self.len()).all(|slot| self.stored(slot).fence() < position)
    }

    /// The edits that add an entry, which belongs here, to a page of level 0. `None` if it is full.
    #[inline]
    pub fn append(self, entry: Entry<C>) -> Option<(Option<Edit>, Edit)> {
        let count = self.len();
        if count >= fault::full_at(capacity::<C>()) {
            return None;
        }
        let at = entries_at::<C>() + count * entry_len::<C>();
        let mut bytes = [0; LONGEST_ENTRY];
        let bytes = &mut bytes[..entry_len::<C>()];
        StoredEntry::new(entry).write_to(bytes);
        let edit = Edit { offset: at as u16, bytes: (&*bytes).into() };
        let lower: u16 = read(self.page, super::PD_LOWER);
        if lower_for::<C>(count + 1) == usize::from(lower) {
            return Some((None, edit));
        }
        let (offset, bytes) = lower_edit(lower_for::<C>(count + 1));
        // First, for it clears what is behind the end.
        Some((Some(Edit { offset, bytes: bytes[..].into() }), edit))
    }

    /// Number of children of a page above level 0.
    pub fn child_count(self) -> usize {
        usize::from(self.header().sorted)
    }

    /// A child; `slot` is below the number of children.
    pub fn child(self, slot: usize) -> Child<C> {
        let at = entries_at::<C>() + slot * child_len::<C>();
        let stored: StoredChild = read(self.page, at + fence_len::<C>());
        Child { low: read_fence(self.page, at), block: stored.block }
    }

    /// All children, in order.
    pub fn children(self) -> Vec<Child<C>> {
        (0..self.child_count()).map(|slot| self.child(slot)).collect()
    }

    /// The last child that begins at or before a position.
    pub fn child_for(self, position: Fence<C>) -> Child<C> {
        self.last_child(|low| low <= position)
    }

    /// The last child that begins before a position.
    pub fn child_before(self, position: Fence<C>) -> Child<C> {
        self.last_child(|low| low < position)
    }

    /// The last child whose low fence satisfies a condition; the first if none does.
    fn last_child(self, condition: impl Fn(Fence<C>) -> bool) -> Child<C> {
        let after = partition_point(1..self.child_count(), |slot| condition(self.child(slot).low));
        self.child(after - 1)
    }
}

/// Where the cache lines are that a look into a page of level 0 with this many entries reads: those
/// of the header, of the trailer, and the line where the next entry would be.
pub fn lines<C>(entries: usize) -> [usize; 4] {
    let next = (entries_at::<C>() + entries * entry_len::<C>()).min(CONTENT_END);
    [LOW_AT, LOW_AT + LINE, CONTENT_END, next]
}

/// Where the content of a page ends.
pub(crate) fn content_end<C: Code>(page: &PageBytes, block: Block) -> Result<usize> {
    let head = Head::<C>::parse(page, birth(page), block)?;
    let delta = head.of(page);
    Ok(match delta.level() {
        0 => lower_for::<C>(delta.len()),
        _ => entries_at::<C>() + delta.child_count() * child_len::<C>(),
    })
}

/// Whether a page is one of a delta tree with this name.
pub fn belongs_to(page: &PageBytes, tree: u64) -> bool {
    super::is_kind(page, PageKind::Delta) && birth(page) == tree
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::apply;
    use super::*;

    fn add(page: &mut PageBytes, entry: Entry) {
        let (end, edit) = Head::parse(page, 9, 1).unwrap().of(page).append(entry).unwrap();
        end.into_iter().chain([edit]).for_each(|edit| apply(page, &[edit]));
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let entry = (0u64..300, 0u32..5, 1u16..4).prop_map(|(code, block, offset)| Entry {
            key: Key::value(code),
            tid: HeapTid::new(block, offset),
        });
        prop::collection::btree_set(entry, 0..capacity::<u64>()).prop_map(|set| {
            let mut entries: Vec<Entry> = set.into_iter().collect();
            let middle = entries.len() / 3;
            entries.rotate_left(middle);
            entries
        })
    }

    proptest! {
        #[test]
        fn a_leaf_gives_back_what_was_put_in(
            entries in entries(), prefix in 0usize..100, range in (0u64..320, 0u64..320),
        ) {
            let (first, rest) = entries.split_at(prefix.min(entries.len()));
            let mut first = first.to_vec();
            first.sort();
            let mut page = leaf(9, Span::ALL, &first);
            for &entry in rest {
                add(&mut page, entry);
            }
            let head = Head::<u64>::parse(&page, 9, 1).unwrap();
            let view = head.of(&page);
            view.verify().unwrap();
            prop_assert_eq!(view.len(), entries.len());
            let mut sorted = entries.clone();
            sorted.sort();
            prop_assert_eq!(view.entries().unwrap(), sorted.clone());
            let before = |code| Fence::before(Key::value(code));
            let (low, high) = (before(range.0), before(range.1));
            let mut found = Vec::new();
            view.collect(low, high, &mut found).unwrap();
            found.sort();
            sorted.retain(|&entry| low <= Fence::at(entry) && Fence::at(entry) < high);
            prop_assert_eq!(found, sorted);
        }

        #[test]
        fn a_damaged_leaf_is_noticed(entries in entries(), at in 24usize..8192, bit in 0u8..8) {
            let mut page = leaf::<u64>(9, Span::ALL, &[]);
            for &entry in &entries {
                add(&mut page, entry);
            }
            page[at] ^= 1 << bit;
            let verified = Head::<u64>::parse(&page, 9, 1).and_then(|head| head.of(&page).verify());
            let noticed = verified.is_err();
            prop_assert!(noticed, "byte {} of {} entries", at, entries.len());
        }
    }

    #[test]
    fn a_page_that_was_never_damaged_passes_when_it_is_full() {
        let mut page = leaf::<u64>(9, Span::ALL, &[]);
        for row in 0..capacity::<u64>() {
            let head = Head::<u64>::parse(&page, 9, 1).unwrap();
            let view = head.of(&page);
            assert!(!view.is_full());
            let tid = HeapTid::new(row as u32, 1);
            add(&mut page, Entry { key: Key::value(1), tid });
        }
        let head = Head::<u64>::parse(&page, 9, 1).unwrap();
        let view = head.of(&page);
        assert!(view.is_full());
        view.verify().unwrap();
    }
}
