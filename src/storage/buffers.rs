//! Pages of a finished index.
//!
//! Guards do nothing in their destructor while a panic unwinds: that is how an ERROR passes
//! through Rust, and the core has reset its interrupt counts by then. The transaction's abort
//! releases locks and pins.

use std::marker::PhantomData;
use std::ops::Deref;

use learned_index::entry::Block;
use learned_index::page::PageBytes;
use learned_index::page::tombstone::Edit;
use learned_index::store::{Hint, Store, Update};
use pgrx::prelude::*;

use super::wal;

const MAIN: pg_sys::ForkNumber::Type = pg_sys::ForkNumber::MAIN_FORKNUM;

/// An index as a store. As valid as the relation: as long as a callback, or an open scan, has it.
#[derive(Clone, Copy)]
pub(crate) struct IndexStore {
    index: pg_sys::Relation,
    /// How VACUUM reads; null for everyone else.
    strategy: pg_sys::BufferAccessStrategy,
}

/// A page locked for reading, or exclusively.
pub(crate) struct LockedPage<'s> {
    buffer: pg_sys::Buffer,
    store: PhantomData<&'s IndexStore>,
}

/// A pinned buffer. Has no destructor: see [`Store::Pin`].
pub(crate) struct Pin(pg_sys::Buffer);

impl IndexStore {
    /// # Safety
    /// `index` stays open, and locked as the use asks for, as long as the store is used.
    pub(crate) unsafe fn new(index: pg_sys::Relation) -> IndexStore {
        IndexStore { index, strategy: std::ptr::null_mut() }
    }

    /// # Safety
    /// As [`IndexStore::new`]; `strategy` lives as long.
    pub(crate) unsafe fn for_vacuum(
        index: pg_sys::Relation,
        strategy: pg_sys::BufferAccessStrategy,
    ) -> IndexStore {
        IndexStore { index, strategy }
    }

    fn pin_page(&self, block: Block, hint: Hint) -> pg_sys::Buffer {
        check_for_interrupts!();
        let recent = hint as pg_sys::Buffer;
        // SAFETY: the relation is open. A recent buffer that has another page by now is refused.
        unsafe {
            #[cfg(feature = "pg15")]
            let file = (*self.index).rd_node;
            #[cfg(not(feature = "pg15"))]
            let file = (*self.index).rd_locator;
            // Temporary tables have buffers of their own, with negative numbers.
            if recent > 0 && pg_sys::ReadRecentBuffer(file, MAIN, block, recent) {
                return recent;
            }
            pg_sys::ReadBufferExtended(
                self.index,
                MAIN,
                block,
                pg_sys::ReadBufferMode::RBM_NORMAL,
                self.strategy,
            )
        }
    }

    fn locked<'s>(&self, buffer: pg_sys::Buffer, mode: u32) -> LockedPage<'s> {
        // SAFETY: the buffer is pinned.
        unsafe { pg_sys::LockBuffer(buffer, mode as i32) };
        LockedPage { buffer, store: PhantomData }
    }
}

impl Deref for LockedPage<'_> {
    type Target = PageBytes;

    #[inline]
    fn deref(&self) -> &PageBytes {
        // SAFETY: the buffer is pinned and locked as long as this guard lives.
        unsafe { &*wal::page_of(self.buffer) }
    }
}

impl Drop for LockedPage<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: the guard has the lock and the pin.
            unsafe { pg_sys::UnlockReleaseBuffer(self.buffer) };
        }
    }
}

impl Store for IndexStore {
    type Page<'s> = LockedPage<'s>;
    type Pin = Pin;

    fn read(&self, block: Block, hint: Hint) -> LockedPage<'_> {
        let buffer = self.pin_page(block, hint);
        self.locked(buffer, pg_sys::BUFFER_LOCK_SHARE)
    }

    fn hint(page: &LockedPage<'_>) -> Hint {
        page.buffer as Hint
    }

    fn pin(page: LockedPage<'_>) -> Pin {
        let buffer = page.buffer;
        std::mem::forget(page);
        // SAFETY: the guard had the lock; its pin goes on.
        unsafe { pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_UNLOCK as i32) };
        Pin(buffer)
    }

    fn unpin(&self, pin: Pin) {
        // SAFETY: the pin was taken by this session and is given back once.
        unsafe { pg_sys::ReleaseBuffer(pin.0) };
    }

    fn prefetch(&self, block: Block) -> Hint {
        // SAFETY: the relation is open.
        let ahead = unsafe { pg_sys::PrefetchBuffer(self.index, MAIN, block) };
        ahead.recent_buffer as Hint
    }

    fn blocks(&self) -> Block {
        // SAFETY: the relation is open.
        unsafe { pg_sys::RelationGetNumberOfBlocksInFork(self.index, MAIN) }
    }
}

impl Update for IndexStore {
    type Exclusive<'s> = LockedPage<'s>;

    fn lock_for_cleanup(&self, block: Block) -> LockedPage<'_> {
        let buffer = self.pin_page(block, 0);
        // SAFETY: the buffer is pinned once by this session. Only VACUUM takes cleanup locks.
        unsafe { pg_sys::LockBufferForCleanup(buffer) };
        LockedPage { buffer, store: PhantomData }
    }

    fn lock(&self, block: Block) -> LockedPage<'_> {
        let buffer = self.pin_page(block, 0);
        self.locked(buffer, pg_sys::BUFFER_LOCK_EXCLUSIVE)
    }

    fn create(&self, page: &PageBytes) -> Block {
        // SAFETY: the relation is open; the extension lock keeps others from taking the block.
        unsafe {
            let lock = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;
            pg_sys::LockRelationForExtension(self.index, lock);
            let buffer = pg_sys::ReadBufferExtended(
                self.index,
                MAIN,
                pg_sys::InvalidBlockNumber,
                pg_sys::ReadBufferMode::RBM_ZERO_AND_LOCK,
                self.strategy,
            );
            pg_sys::UnlockRelationForExtension(self.index, lock);
            let locked = LockedPage { buffer, store: PhantomData };
            wal::write_whole(buffer, page, wal::needs_wal(self.index));
            // While it is still pinned.
            let block = pg_sys::BufferGetBlockNumber(buffer);
            drop(locked);
            block
        }
    }

    fn change(&self, pages: &mut [(&mut LockedPage<'_>, &[Edit])]) {
        let changes: Vec<(pg_sys::Buffer, &[Edit])> =
            pages.iter().map(|(page, edits)| (page.buffer, *edits)).collect();
        // SAFETY: the guards hold exclusive locks on different pages. Edits come from the layouts
        // of learned_index, which keep them within the page and set pd_lower with the bytes.
        unsafe { wal::write_edits(&changes, wal::needs_wal(self.index)) };
    }
}
