//! Pages of an index that is being built: written without WAL, logged at the end in one pass.

use std::marker::PhantomData;

use learned_index::entry::Block;
use learned_index::key::Code;
use learned_index::memory::Add;
use learned_index::page::PageBytes;
use learned_index::page::history::Time;
use learned_index::page::leaf::Head;
use learned_index::store::BulkStore;
use pgrx::prelude::*;

use super::progress::report_progress;
use super::wal;
use crate::relation::OpenIndex;
use crate::report::memory::require_reserve;

/// Pages by which the file grows at once: for more than 8 of them PostgreSQL 16 and later reserve
/// the space, where they would write zeros otherwise (`mdzeroextend` of md.c).
const PAGES_AT_ONCE: usize = 16;
/// Pages that are logged between two reports of progress.
const PAGES_LOGGED: Block = 256;

/// A fork of a new index, which no other session reads or extends.
pub(crate) struct BulkPages<C> {
    codes: PhantomData<C>,
    index: OpenIndex,
    fork: pg_sys::ForkNumber::Type,
    next: Block,
    /// Pages in the file.
    len: Block,
    /// The pages behind them, until there are enough to extend the file.
    waiting: Vec<PageBytes>,
    /// Entries in the leaves up to the next page.
    entries: u64,
}

impl<C: Code> BulkPages<C> {
    /// # Safety
    /// `index` is new, and empty in this fork.
    pub(crate) unsafe fn new(index: OpenIndex, fork: pg_sys::ForkNumber::Type) -> BulkPages<C> {
        BulkPages {
            codes: PhantomData,
            index,
            fork,
            next: 0,
            len: 0,
            waiting: Vec::new(),
            entries: 0,
        }
    }

    /// Logs all pages. Call when they are complete.
    pub(crate) fn log(mut self) {
        self.extend();
        // An init fork is always logged: it is what an unlogged index becomes after a crash.
        if self.fork != pg_sys::ForkNumber::INIT_FORKNUM && !self.index.needs_wal() {
            return;
        }
        self.report(pg_sys::PROGRESS_SCAN_BLOCKS_TOTAL, self.len.into());
        for from in (0..self.len).step_by(PAGES_LOGGED as usize) {
            self.report(pg_sys::PROGRESS_SCAN_BLOCKS_DONE, from.into());
            let to = self.len.min(from + PAGES_LOGGED);
            // SAFETY: the relation is open and the pages exist.
            unsafe { pg_sys::log_newpage_range(self.index.raw(), self.fork, from, to, true) };
        }
        self.report(pg_sys::PROGRESS_SCAN_BLOCKS_DONE, self.len.into());
    }

    /// Reports progress. That of an init fork is not worth it.
    fn report(&self, what: u32, number: u64) {
        if self.fork != pg_sys::ForkNumber::INIT_FORKNUM {
            report_progress(what, number);
        }
    }

    /// Counts the entries of a page that is written.
    fn count(&mut self, block: Block, page: &PageBytes) {
        if let Ok(leaf) = Head::<C>::parse(page, block) {
            self.entries += leaf.of(page).entries() as u64;
            self.report(pg_sys::PROGRESS_CREATEIDX_TUPLES_DONE, self.entries);
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
                self.index.raw(),
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

    /// Writes the pages that wait.
    fn extend(&mut self) {
        let mut rest = self.waiting.as_slice();
        while !rest.is_empty() {
            let (first, written) = self.extend_by(rest);
            assert_eq!(first, self.len, "another session extends a new index");
            self.len += written as Block;
            rest = &rest[written..];
        }
        self.waiting.clear();
    }

    /// Extends the file by some of the pages. Returns the block of the first, and how many they
    /// are.
    #[cfg(feature = "pg15")]
    fn extend_by(&self, pages: &[PageBytes]) -> (Block, usize) {
        (self.put(pg_sys::InvalidBlockNumber, &pages[0]), 1)
    }

    /// Extends the file by some of the pages. Returns the block of the first, and how many they
    /// are.
    #[cfg(not(feature = "pg15"))]
    fn extend_by(&self, pages: &[PageBytes]) -> (Block, usize) {
        let mut buffers = [pg_sys::InvalidBuffer as pg_sys::Buffer; PAGES_AT_ONCE];
        let mut extended = 0;
        let relation =
            pg_sys::BufferManagerRelation { rel: self.index.raw(), ..Default::default() };
        // SAFETY: the relation is open, and there is room for as many buffers as are asked for.
        // They come pinned.
        unsafe {
            let first = pg_sys::ExtendBufferedRelBy(
                relation,
                self.fork,
                std::ptr::null_mut(),
                0,
                pages.len().min(PAGES_AT_ONCE) as u32,
                buffers.as_mut_ptr(),
                &raw mut extended,
            );
            if extended == 0 {
                // So it is with local buffers that are all pinned: the way for a single page says
                // so.
                return (self.put(pg_sys::InvalidBlockNumber, &pages[0]), 1);
            }
            let extended = extended as usize;
            for (&buffer, page) in buffers[..extended].iter().zip(pages) {
                pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_EXCLUSIVE as i32);
                *wal::page_of(buffer) = *page;
                pg_sys::MarkBufferDirty(buffer);
                pg_sys::UnlockReleaseBuffer(buffer);
            }
            (first, extended)
        }
    }
}

impl<C: Code> BulkStore for BulkPages<C> {
    type Code = C;

    fn now(&self) -> Time {
        // SAFETY: it only reads the clock.
        unsafe { pg_sys::GetCurrentTimestamp() }
    }

    fn append(&mut self, page: &PageBytes) -> Block {
        check_for_interrupts!();
        require_reserve();
        let block = self.next;
        self.next += 1;
        self.count(block, page);
        if block < self.len {
            self.put(block, page);
            return block;
        }
        self.waiting.add(*page);
        if self.waiting.len() == PAGES_AT_ONCE {
            self.extend();
        }
        block
    }

    fn overwrite(&mut self, block: Block, page: &PageBytes) {
        self.extend();
        self.put(block, page);
    }

    fn read_back(&mut self, block: Block) -> Box<PageBytes> {
        self.extend();
        let mode = pg_sys::ReadBufferMode::RBM_NORMAL;
        // SAFETY: the buffer is pinned, and no other session writes to it.
        self.with_buffer(block, mode, |bytes| unsafe { Box::new(*bytes) }).1
    }

    fn rewind(&mut self) {
        self.extend();
        (self.next, self.entries) = (0, 0);
    }

    fn replace_rest(&mut self, page: &PageBytes) {
        self.extend();
        while self.next < self.len {
            self.append(page);
        }
    }
}
