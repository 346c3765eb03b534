//! The seam between the tree and where its pages live.
//!
//! The extension implements these traits over PostgreSQL's shared buffers and WAL, [`memory`]
//! over a vector: the same tree runs on both.

pub mod memory;

use std::ops::Deref;

use crate::entry::Block;
use crate::page::PageBytes;
use crate::page::tombstone::Edit;

/// What a store suggests for reading the same page again (PostgreSQL: its buffer); 0: nothing.
pub type Hint = u32;

/// Reading pages.
pub trait Store {
    /// A page locked for reading. Dropping it unlocks it.
    type Page<'s>: Deref<Target = PageBytes>
    where
        Self: 's;
    /// A page that is not locked but that vacuum will wait for. Given back with
    /// [`Store::unpin`]; it has no destructor, because a transaction's abort releases pins itself.
    type Pin;

    /// Locks a page for reading. `hint` is what [`Store::hint`] said of the same page before, or
    /// 0; a stale one costs time only. A page that does not exist is an error or reads as zeros.
    fn read(&self, block: Block, hint: Hint) -> Self::Page<'_>;
    /// What to pass to [`Store::read`] the next time.
    fn hint(page: &Self::Page<'_>) -> Hint;
    /// Unlocks a page and keeps it pinned.
    fn pin(page: Self::Page<'_>) -> Self::Pin;
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

    /// Locks a page for changes when nobody else has it pinned; waits for that.
    fn lock_for_cleanup(&self, block: Block) -> Self::Exclusive<'_>;
    /// Locks a page for changes.
    fn lock(&self, block: Block) -> Self::Exclusive<'_>;
    /// Adds a page, logged as a whole. Must not be called with a page locked.
    fn create(&self, page: &PageBytes) -> Block;
    /// Changes up to 4 locked pages as one: after a crash all of the edits are there, or none.
    fn change(&self, pages: &mut [(&mut Self::Exclusive<'_>, &[Edit])]);
}

/// Writing the pages of a new index, which nobody reads yet.
pub trait BulkStore {
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
}
