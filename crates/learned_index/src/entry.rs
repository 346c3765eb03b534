//! What an index holds: entries, the heap tuples they point to, and the fences between leaves.

use crate::corruption::{Corruption, Result};
use crate::key::{Code, Key, NullClass, Word};

/// Number of a page inside a relation.
pub type Block = u32;

/// Position of a heap tuple: block number in the upper 32 of 48 bits, line pointer (1-based) in
/// the lower 16. Its order is the order of PostgreSQL's `ItemPointerCompare`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeapTid(u64);

impl HeapTid {
    /// Smaller than every real heap TID: line pointer 0 does not exist.
    pub const MIN: HeapTid = HeapTid(0);
    /// Greater than every real heap TID. No page can have it.
    pub(crate) const AFTER_ALL: HeapTid = HeapTid(1 << 48);

    /// The TID of line pointer `offset` in heap block `block`.
    pub const fn new(block: u32, offset: u16) -> HeapTid {
        HeapTid((block as u64) << 16 | offset as u64)
    }

    /// The heap block.
    pub const fn block(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// The line pointer inside the block, from 1.
    pub const fn offset(self) -> u16 {
        self.0 as u16
    }

    /// The TID as one number below 2^48.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The inverse of [`HeapTid::to_u64`]; bits above 48 are dropped.
    pub const fn from_u64(bits: u64) -> HeapTid {
        HeapTid(bits & 0xFFFF_FFFF_FFFF)
    }
}

/// One index entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry<C = Word> {
    /// The key.
    pub key: Key<C>,
    /// The heap tuple.
    pub tid: HeapTid,
}

/// Which of two neighbouring pages to look in, for a position at which one ends and the other
/// begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The page that the position belongs to.
    At,
    /// The page with the last positions before it.
    Before,
}

impl Side {
    /// Whether a page that begins at `low` begins early enough.
    #[inline]
    pub(crate) fn begins_early_enough<C: Code>(self, low: Fence<C>, position: Fence<C>) -> bool {
        if self == Side::At { low <= position } else { low < position }
    }

    /// Whether a page that ends at `high` goes far enough.
    #[inline]
    pub(crate) fn goes_far_enough<C: Code>(self, high: Fence<C>, position: Fence<C>) -> bool {
        if self == Side::At { position < high } else { position <= high }
    }

    /// Whether it is the page between two fences.
    #[inline]
    pub(crate) fn holds<C: Code>(self, low: Fence<C>, high: Fence<C>, position: Fence<C>) -> bool {
        self.begins_early_enough(low, position) && self.goes_far_enough(high, position)
    }
}

/// A boundary between leaves: an entry's position in index order, or infinity above all of them.
///
/// A leaf's low fence is inclusive, its high fence exclusive. The low fence of a leaf is the high
/// fence of its left neighbour, the first one is [`Fence::MIN`], the last one [`Fence::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence<C = Word> {
    /// Null class as stored, or 3 for plus infinity.
    pub class: u8,
    /// Key code.
    pub code: C,
    /// Heap TID.
    pub tid: HeapTid,
}

impl<C: Code> Fence<C> {
    /// At or before every entry.
    pub const MIN: Fence<C> = Fence { class: 0, code: C::MIN, tid: HeapTid::MIN };
    /// After every entry.
    pub const MAX: Fence<C> = Fence { class: 3, code: C::MIN, tid: HeapTid::MIN };

    /// At or before every entry of this key, after every entry of smaller keys.
    pub const fn before(key: Key<C>) -> Fence<C> {
        Fence { class: key.class as u8, code: key.code, tid: HeapTid::MIN }
    }

    /// After every entry of this key, at or before every entry of larger keys.
    /// Not to be stored.
    pub const fn after(key: Key<C>) -> Fence<C> {
        Fence { class: key.class as u8, code: key.code, tid: HeapTid::AFTER_ALL }
    }

    /// At this entry.
    pub const fn at(entry: Entry<C>) -> Fence<C> {
        Fence { class: entry.key.class as u8, code: entry.key.code, tid: entry.tid }
    }

    /// Just after this entry.
    pub const fn past(entry: Entry<C>) -> Fence<C> {
        let tid = HeapTid(entry.tid.0 + 1);
        Fence { class: entry.key.class as u8, code: entry.key.code, tid }
    }

    /// The first position of a null class.
    pub const fn start_of(class: NullClass) -> Fence<C> {
        Fence { class: class as u8, ..Fence::MIN }
    }

    /// The first position of the next class.
    pub(crate) const fn end_of_class(self) -> Fence<C> {
        Fence { class: self.class.saturating_add(1), ..Fence::MIN }
    }

    /// The first position of the class that the last position before this one is of.
    pub(crate) fn start_of_class_before(self) -> Fence<C> {
        let is_first = self == Fence { class: self.class, ..Fence::MIN };
        Fence { class: self.class.saturating_sub(u8::from(is_first)), ..Fence::MIN }
    }

    /// The null class of a position that is not behind all of them.
    pub(crate) fn null_class(self) -> Result<NullClass> {
        NullClass::of(self.class).ok_or(Corruption::new("a null class", self.class.into()))
    }

    /// The key of the last entries that may be before this position, of those of its class.
    pub(crate) fn last_code_before(self) -> Option<C> {
        if self.tid == HeapTid::MIN { self.code.previous() } else { Some(self.code) }
    }
}
