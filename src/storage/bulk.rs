//! Pages of an index that is being built: written without WAL, logged at the end in one pass.

use learned_index::entry::Block;
use learned_index::page::PageBytes;
use learned_index::store::BulkStore;
use pgrx::prelude::*;

use super::wal;
use crate::memory::expect_reserve;

/// The main fork of a new index, which nobody else reads or extends.
pub(crate) struct BulkPages {
    index: pg_sys::Relation,
    fork: pg_sys::ForkNumber::Type,
    next: Block,
    /// Pages that exist.
    len: Block,
}

impl BulkPages {
    /// # Safety
    /// `index` is open, new and empty in this fork, and stays open as long as this lives.
    pub(crate) unsafe fn new(index: pg_sys::Relation, fork: pg_sys::ForkNumber::Type) -> BulkPages {
        BulkPages { index, fork, next: 0, len: 0 }
    }

    /// Logs all pages. Call when they are complete.
    pub(crate) fn log(&self) {
        // SAFETY: the relation is open and the pages exist. An init fork is always logged: it is
        // what an unlogged index becomes after a crash.
        unsafe {
            if self.fork == pg_sys::ForkNumber::INIT_FORKNUM || wal::needs_wal(self.index) {
                pg_sys::log_newpage_range(self.index, self.fork, 0, self.len, true);
            }
        }
    }

    fn with_buffer<T>(
        &self,
        block: Block,
        mode: pg_sys::ReadBufferMode::Type,
        use_page: impl FnOnce(*mut PageBytes) -> T,
    ) -> (Block, T) {
        // SAFETY: the relation is open; with RBM_ZERO_AND_LOCK the buffer comes locked, and an
        // unlocked one is only read, by the one process that knows the relation.
        unsafe {
            let buffer = pg_sys::ReadBufferExtended(
                self.index,
                self.fork,
                block,
                mode,
                std::ptr::null_mut(),
            );
            let block = pg_sys::BufferGetBlockNumber(buffer);
            let used = use_page(wal::page_of(buffer));
            if mode == pg_sys::ReadBufferMode::RBM_ZERO_AND_LOCK {
                pg_sys::MarkBufferDirty(buffer);
                pg_sys::UnlockReleaseBuffer(buffer);
            } else {
                pg_sys::ReleaseBuffer(buffer);
            }
            (block, used)
        }
    }

    fn put(&self, block: Block, page: &PageBytes) -> Block {
        let mode = pg_sys::ReadBufferMode::RBM_ZERO_AND_LOCK;
        // SAFETY: the buffer is pinned and locked exclusively.
        self.with_buffer(block, mode, |bytes| unsafe { *bytes = *page }).0
    }
}

impl BulkStore for BulkPages {
    fn append(&mut self, page: &PageBytes) -> Block {
        check_for_interrupts!();
        expect_reserve();
        let there = self.next < self.len;
        let block = self.put(if there { self.next } else { pg_sys::InvalidBlockNumber }, page);
        self.len = self.len.max(block + 1);
        self.next = block + 1;
        block
    }

    fn overwrite(&mut self, block: Block, page: &PageBytes) {
        self.put(block, page);
    }

    fn read_back(&mut self, block: Block) -> Box<PageBytes> {
        let mode = pg_sys::ReadBufferMode::RBM_NORMAL;
        // SAFETY: the buffer is pinned, and nobody else writes to it.
        self.with_buffer(block, mode, |bytes| unsafe { Box::new(*bytes) }).1
    }

    fn rewind(&mut self) {
        self.next = 0;
    }

    fn replace_rest(&mut self, page: &PageBytes) {
        while self.next < self.len {
            self.append(page);
        }
    }
}
