//! The seam between the tree and where its pages live.
//!
//! The extension implements these traits over PostgreSQL's shared buffers and WAL, [`memory`]
//! over a vector: the same tree runs on both.

#[cfg(test)]
pub(crate) mod concurrent;
#[cfg(test)]
pub(crate) mod crash;
pub mod memory;
#[cfg(test)]
pub(crate) mod strict;

use std::ops::Deref;

use crate::entry::Block;
use crate::key::Code;
use crate::page::history::Time;
use crate::page::{Edit, PageBytes};

/// What a store suggests for reading the same page again (PostgreSQL: its buffer); 0: nothing.
pub type Hint = u32;

/// Reading pages.
pub trait Store {
    /// The codes of the index whose pages these are.
    type Code: Code;
    /// A page locked for reading. Dropping it unlocks it.
    type Page<'s>: Deref<Target = PageBytes>
    where
        Self: 's;
    /// A page that is not locked but that vacuum will wait for. Given back with
    /// [`Store::unpin`]; it has no destructor, because a transaction's abort releases pins itself.
    type Pin;

    /// The state word of the metapage as it is now, without a lock where that is possible.
    ///
    /// Loaded after a page was locked, it tells whether that page still is what the state known
    /// to the caller says: a session that replaces pages changes the word first.
    fn word(&self) -> u64;
    /// Locks a page for reading. `hint` is what [`Store::hint`] said of the same page before, or
    /// 0; a stale one costs time only. A page that does not exist is an error or reads as zeros.
    fn read(&self, block: Block, hint: Hint) -> Self::Page<'_>;
    /// Says that a page will be read at once. Returns the address of its bytes, if the store has
    /// them where `hint` says, for asking the processor for some of them; else, or if there is no
    /// telling, null.
    fn expected_at(&self, hint: Hint) -> *const u8 {
        let _ = hint;
        std::ptr::null()
    }
    /// What to pass to [`Store::read`] the next time.
    fn hint(page: &Self::Page<'_>) -> Hint;
    /// Unlocks a page and keeps it pinned.
    fn pin(page: Self::Page<'_>) -> Self::Pin;
    /// Locks a pinned page for reading, and takes the pin over.
    fn lock_again(&self, pin: Self::Pin) -> Self::Page<'_>;
    /// Releases a pin.
    fn unpin(&self, pin: Self::Pin);
    /// Says that a page will be read soon. Returns a hint for that.
    fn prefetch(&self, block: Block) -> Hint;
    /// Number of pages.
    fn blocks(&self) -> Block;
}

/// Changing pages of a finished index.
pub trait Update: Store {
    /// A page locked for changes. Dropping it unlocks it; nothing was changed then unless
    /// [`Update::change`] said so.
    type Exclusive<'s>: Deref<Target = PageBytes>
    where
        Self: 's;

    /// Locks a page for changes when no other session has it pinned; waits for that.
    fn lock_for_cleanup(&self, block: Block) -> Self::Exclusive<'_>;
    /// Locks a page for changes. `hint` as in [`Store::read`].
    fn lock(&self, block: Block, hint: Hint) -> Self::Exclusive<'_>;
    /// What to pass as a hint the next time.
    fn exclusive_hint(page: &Self::Exclusive<'_>) -> Hint;
    /// Writes a page to a free block, or adds a block; logged as a whole. Must not be called with
    /// a page locked.
    fn create(&self, page: &PageBytes) -> Block;
    /// Writes a page to `block`, logged as a whole, if that block is free. Must not be called
    /// with a page locked.
    fn reuse(&self, block: Block, page: &PageBytes) -> bool;
    /// Makes a block free if `is_unused` says of its page that nobody reads or links it: logged,
    /// and offered to [`Update::create`] sooner or later. Must not be called with a page locked.
    fn free(&self, block: Block, is_unused: impl FnOnce(&PageBytes) -> bool);
    /// Offers a block that is free already.
    fn offer(&self, block: Block);
    /// Makes every offered block known to everybody.
    fn spread_offers(&self);
    /// Changes up to 4 locked pages as one: after a crash all of the edits are there, or none.
    /// The edits are as [`crate::page::apply`] carries them out.
    fn change(&self, pages: &mut [(&mut Self::Exclusive<'_>, &[Edit])]);
    /// What time it is, for those who look after the index; 0 where there is no clock.
    fn now(&self) -> Time {
        0
    }
}

/// Writing the pages of a new index, which nobody reads yet.
pub trait BulkStore {
    /// The codes of the index.
    type Code: Code;

    /// Writes the next page: block 0 first, then 1, and so on. Pages there already are replaced.
    fn append(&mut self, page: &PageBytes) -> Block;
    /// Replaces a page.
    fn overwrite(&mut self, block: Block, page: &PageBytes);
    /// Reads a page back.
    fn read_back(&mut self, block: Block) -> Box<PageBytes>;
    /// Makes the next page block 0 again.
    fn rewind(&mut self);
    /// Replaces every page from the next one on.
    fn replace_rest(&mut self, page: &PageBytes);
    /// As [`Update::now`].
    fn now(&self) -> Time {
        0
    }
}
