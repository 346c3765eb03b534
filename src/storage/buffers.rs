//! Pages of a finished index.
//!
//! Guards do nothing in their destructor while a panic unwinds: that is how an ERROR passes
//! through Rust, and the core has reset its interrupt counts by then. The transaction's abort
//! releases locks and pins.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use learned_index::cpu::prefetch;
use learned_index::entry::Block;
use learned_index::key::Code;
#[cfg(any(feature = "pg15", feature = "pg16"))]
use learned_index::page::has_entries;
use learned_index::page::history::Time;
use learned_index::page::{Edit, PAGE_SIZE, PageBytes, free_page, is_free, meta};
use learned_index::store::{Hint, Store, Update};
use pgrx::prelude::*;

use super::{pins, wal};
use crate::relation::OpenIndex;
use crate::report::memory::require_reserve;

/// Functions of bufmgr.c that raise no error for a pinned buffer, so that calling them needs none
/// of the guards that pgrx puts around every function of the server, which cost more than they do.
mod unguarded {
    use std::ffi::c_int;

    use pgrx::pg_sys::Buffer;

    unsafe extern "C" {
        pub(super) fn LockBuffer(buffer: Buffer, mode: c_int);
        pub(super) fn UnlockReleaseBuffer(buffer: Buffer);
        pub(super) fn ReleaseBuffer(buffer: Buffer);
    }
}

const MAIN: pg_sys::ForkNumber::Type = pg_sys::ForkNumber::MAIN_FORKNUM;

/// An index as a store.
///
/// The metapage stays pinned from the first look at the state word until [`IndexStore::release`],
/// or until [`IndexStore::rest`] where too many are. There is no destructor for that: an open scan
/// is dropped after the transaction's abort has released its pins.
pub(crate) struct IndexStore<C> {
    codes: PhantomData<C>,
    index: OpenIndex,
    /// The metapage's buffer, pinned; 0: not yet.
    metapage: Cell<pg_sys::Buffer>,
    metapage_hint: Cell<Hint>,
    /// Whether the pin counts as one of a resting scan ([`pins`]).
    rests: Cell<bool>,
    /// The snapshot whose age is tested at each page that is read; null: none.
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    aging: Cell<pg_sys::Snapshot>,
    /// How VACUUM reads; null for everyone else.
    strategy: pg_sys::BufferAccessStrategy,
}

/// A page locked for reading, or exclusively.
pub(crate) struct LockedPage<'s> {
    buffer: pg_sys::Buffer,
    store: PhantomData<&'s ()>,
}

/// A pinned buffer. Has no destructor: see [`Store::Pin`].
pub(crate) struct Pin(pg_sys::Buffer);

impl<C: Code> IndexStore<C> {
    pub(crate) fn new(index: OpenIndex) -> IndexStore<C> {
        // SAFETY: a null strategy is valid for ever.
        unsafe { IndexStore::for_vacuum(index, std::ptr::null_mut()) }
    }

    /// # Safety
    /// `strategy` is null, or lives as long as the store.
    pub(crate) unsafe fn for_vacuum(
        index: OpenIndex,
        strategy: pg_sys::BufferAccessStrategy,
    ) -> IndexStore<C> {
        IndexStore {
            codes: PhantomData,
            index,
            strategy,
            metapage: Cell::new(0),
            metapage_hint: Cell::new(0),
            rests: Cell::new(false),
            #[cfg(any(feature = "pg15", feature = "pg16"))]
            aging: Cell::new(std::ptr::null_mut()),
        }
    }

    /// The index.
    #[inline]
    pub(crate) fn index(&self) -> OpenIndex {
        self.index
    }

    /// Releases the metapage.
    pub(crate) fn release(&self) {
        let buffer = self.metapage.replace(0);
        if buffer != 0 {
            self.metapage_hint.set(buffer.max(0) as Hint);
            // SAFETY: it was pinned by this store, and is given back once.
            unsafe { unguarded::ReleaseBuffer(buffer) };
        }
        if self.rests.replace(false) {
            pins::give_back();
        }
    }

    /// Says that the scan returns to its caller, who may not come back for long. Releases the
    /// metapage unless this is one of the few scans that may keep it; whether it is.
    #[inline]
    pub(crate) fn rest(&self) -> bool {
        if self.rests.get() {
            return true;
        }
        let keeps = self.metapage.get() != 0 && pins::keep_one(self.index.is_temporary());
        if keeps {
            self.rests.set(true)
        } else {
            self.release()
        }
        keeps
    }

    /// From here on every leaf that is read raises "snapshot too old" if it was changed after a
    /// snapshot that is older than `old_snapshot_threshold` allows: VACUUM may have removed what
    /// such a snapshot sees. (An entry that is removed changes the leaf that had it, and a merge
    /// that moves the entries of a leaf writes another one.)
    ///
    /// # Safety
    /// `snapshot` is null, or valid as long as the store is read.
    pub(crate) unsafe fn read_under(&self, snapshot: pg_sys::Snapshot) {
        // `TestForOldSnapshot` of bufmgr.h: such snapshots know how much had been written when they
        // were taken.
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        // SAFETY: by contract.
        unsafe {
            let ages = pg_sys::old_snapshot_threshold >= 0
                && snapshot.as_ref().is_some_and(|snapshot| {
                    snapshot.snapshot_type == pg_sys::SnapshotType::SNAPSHOT_MVCC
                        && snapshot.lsn != 0
                });
            self.aging.set(if ages { snapshot } else { std::ptr::null_mut() });
        }
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        let _ = snapshot;
    }

    /// Tests the age of the snapshot against a page that was locked just now.
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    #[inline]
    fn test_age(&self, page: &LockedPage<'_>) {
        let snapshot = self.aging.get();
        if !snapshot.is_null() && has_entries(page) {
            self.test_age_of(page);
        }
    }

    #[cfg(any(feature = "pg15", feature = "pg16"))]
    fn test_age_of(&self, page: &LockedPage<'_>) {
        let snapshot = self.aging.get();
        // SAFETY: `read_under` was promised that it is valid, the relation is open.
        unsafe {
            if lsn_of(page) > (*snapshot).lsn {
                pg_sys::TestForOldSnapshot_impl(snapshot, self.index.raw());
            }
        }
    }

    /// What a scan does that has no leaf to read: where everything was removed, the metapage alone
    /// tells when.
    pub(crate) fn test_age_of_metapage(&self) {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        if !self.aging.get().is_null() {
            let page = self.read(0, 0);
            self.test_age_of(&page);
        }
    }

    /// Tells where the metapage was the last time.
    pub(crate) fn set_metapage_hint(&self, hint: Hint) {
        self.metapage_hint.set(hint);
    }

    /// Where the metapage is.
    pub(crate) fn metapage_hint(&self) -> Hint {
        self.metapage.get().max(0) as Hint
    }

    /// The build that the metapage says it is of, unchecked. No session rebuilds an
    /// index that another one has open.
    pub(crate) fn incarnation(&self) -> u64 {
        // SAFETY: the page is pinned, and these bytes do not change.
        meta::incarnation::<C>(unsafe { &*wal::page_of(self.pinned_metapage()) })
    }

    #[inline]
    fn pinned_metapage(&self) -> pg_sys::Buffer {
        if self.metapage.get() == 0 {
            self.metapage.set(self.pin_page(0, self.metapage_hint.get()));
        }
        self.metapage.get()
    }

    /// The number of pages that the free space map offers: one page of it is read for 4,000 of the
    /// index. After a crash it may offer some that are in use, until an insert has asked for them.
    /// Nothing may be locked.
    pub(crate) fn offered(&self) -> Block {
        // What `GetFreeIndexPage` of indexfsm.c asks for.
        const FREE: usize = pg_sys::BLCKSZ as usize / 2;
        let is_offered = |&block: &Block| {
            if block % 4096 == 0 {
                check_for_interrupts!();
            }
            // SAFETY: the relation is open.
            unsafe { pg_sys::GetRecordedFreeSpace(self.index.raw(), block) >= FREE }
        };
        (1..self.blocks()).filter(is_offered).count() as Block
    }

    /// One more pin of the metapage, for a guard to release.
    fn pin_metapage_again(&self) -> pg_sys::Buffer {
        let buffer = self.pinned_metapage();
        // SAFETY: the buffer is pinned.
        unsafe { pg_sys::IncrBufferRefCount(buffer) };
        buffer
    }

    /// Pins a block that may be free, and locks it if no other session has it locked.
    fn try_lock(&self, block: Block) -> Option<LockedPage<'_>> {
        let buffer = self.pin_page(block, 0);
        // SAFETY: the buffer is pinned.
        unsafe {
            if pg_sys::ConditionalLockBuffer(buffer) {
                return Some(LockedPage { buffer, store: PhantomData });
            }
            unguarded::ReleaseBuffer(buffer);
        }
        None
    }

    /// Writes over a locked page.
    fn overwrite(&self, page: &LockedPage<'_>, new: &PageBytes) {
        // SAFETY: the page is locked exclusively.
        unsafe { wal::write_whole(page.buffer, new, self.index.needs_wal()) };
    }

    fn pin_page(&self, block: Block, hint: Hint) -> pg_sys::Buffer {
        check_for_interrupts!();
        require_reserve();
        let recent = hint as pg_sys::Buffer;
        // SAFETY: the relation is open. A recent buffer that has another page by now is refused.
        unsafe {
            #[cfg(feature = "pg15")]
            let file = (*self.index.raw()).rd_node;
            #[cfg(not(feature = "pg15"))]
            let file = (*self.index.raw()).rd_locator;
            // Temporary tables have buffers of their own, with negative numbers.
            if recent > 0 && pg_sys::ReadRecentBuffer(file, MAIN, block, recent) {
                return recent;
            }
            pg_sys::ReadBufferExtended(
                self.index.raw(),
                MAIN,
                block,
                pg_sys::ReadBufferMode::RBM_NORMAL,
                self.strategy,
            )
        }
    }

    fn locked<'s>(&self, buffer: pg_sys::Buffer, mode: u32) -> LockedPage<'s> {
        // SAFETY: the buffer is pinned.
        unsafe { unguarded::LockBuffer(buffer, mode as i32) };
        LockedPage { buffer, store: PhantomData }
    }
}

/// Where the log stood when a page was changed last: `PageGetLSN` of bufpage.h.
#[cfg(any(feature = "pg15", feature = "pg16"))]
fn lsn_of(page: &PageBytes) -> pg_sys::XLogRecPtr {
    // SAFETY: every page begins with this header, in any alignment.
    let header =
        unsafe { std::ptr::from_ref(page).cast::<pg_sys::PageXLogRecPtr>().read_unaligned() };
    u64::from(header.xlogid) << 32 | u64::from(header.xrecoff)
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
            unsafe { unguarded::UnlockReleaseBuffer(self.buffer) };
        }
    }
}

impl<C: Code> Store for IndexStore<C> {
    type Code = C;
    type Page<'s> = LockedPage<'s>;
    type Pin = Pin;

    #[inline]
    fn word(&self) -> u64 {
        // SAFETY: the page is pinned, and the two words in it are aligned. Others change them under
        // the page's lock, and replay may copy a whole page over them: that the second is the
        // complement of the first tells that both are of one change.
        let (word, complement) = unsafe {
            let page = wal::page_of(self.pinned_metapage()).cast::<u8>();
            let words = page.add(meta::WORD_AT).cast::<AtomicU64>();
            ((*words).load(Ordering::Acquire), (*words.add(1)).load(Ordering::Acquire))
        };
        if word == !complement { word } else { self.word_under_lock() }
    }

    fn read(&self, block: Block, hint: Hint) -> LockedPage<'_> {
        let buffer =
            if block == 0 { self.pin_metapage_again() } else { self.pin_page(block, hint) };
        let page = self.locked(buffer, pg_sys::BUFFER_LOCK_SHARE);
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        self.test_age(&page);
        page
    }

    /// Asks for the buffer's header too.
    #[inline]
    fn expected_at(&self, hint: Hint) -> *const u8 {
        // SAFETY: nothing is read but these variables of the server, which are set when it starts
        // and never again; hints come from buffers.
        unsafe {
            if hint == 0 || i64::from(hint) > i64::from(pg_sys::NBuffers) {
                return std::ptr::null();
            }
            let buffer = hint as usize - 1;
            prefetch(pg_sys::BufferDescriptors.wrapping_add(buffer).cast());
            pg_sys::BufferBlocks.wrapping_add(buffer * PAGE_SIZE).cast::<u8>()
        }
    }

    fn hint(page: &LockedPage<'_>) -> Hint {
        page.buffer as Hint
    }

    fn pin(page: LockedPage<'_>) -> Pin {
        let buffer = page.buffer;
        std::mem::forget(page);
        // SAFETY: the guard had the lock; its pin goes on.
        unsafe { unguarded::LockBuffer(buffer, pg_sys::BUFFER_LOCK_UNLOCK as i32) };
        Pin(buffer)
    }

    fn lock_again(&self, pin: Pin) -> LockedPage<'_> {
        self.locked(pin.0, pg_sys::BUFFER_LOCK_SHARE)
    }

    fn unpin(&self, pin: Pin) {
        // SAFETY: the pin was taken by this session and is given back once.
        unsafe { unguarded::ReleaseBuffer(pin.0) };
    }

    fn prefetch(&self, block: Block) -> Hint {
        // SAFETY: the relation is open.
        let ahead = unsafe { pg_sys::PrefetchBuffer(self.index.raw(), MAIN, block) };
        ahead.recent_buffer as Hint
    }

    fn blocks(&self) -> Block {
        // SAFETY: the relation is open.
        unsafe { pg_sys::RelationGetNumberOfBlocksInFork(self.index.raw(), MAIN) }
    }
}

impl<C: Code> IndexStore<C> {
    /// The state word as the metapage's lock shows it; 0 if the metapage is damaged.
    #[cold]
    fn word_under_lock(&self) -> u64 {
        meta::word(&self.read(0, self.metapage_hint())).unwrap_or(0)
    }
}

impl<C: Code> Update for IndexStore<C> {
    type Exclusive<'s> = LockedPage<'s>;

    fn now(&self) -> Time {
        // SAFETY: it only reads the clock.
        unsafe { pg_sys::GetCurrentTimestamp() }
    }

    fn lock_for_cleanup(&self, block: Block) -> LockedPage<'_> {
        let buffer = self.pin_page(block, 0);
        // SAFETY: the buffer is pinned once by this session. Only VACUUM takes cleanup locks.
        unsafe { pg_sys::LockBufferForCleanup(buffer) };
        LockedPage { buffer, store: PhantomData }
    }

    fn lock(&self, block: Block, hint: Hint) -> LockedPage<'_> {
        let buffer = self.pin_page(block, hint);
        self.locked(buffer, pg_sys::BUFFER_LOCK_EXCLUSIVE)
    }

    fn exclusive_hint(page: &LockedPage<'_>) -> Hint {
        page.buffer as Hint
    }

    fn reuse(&self, block: Block, page: &PageBytes) -> bool {
        // A session may remember free blocks beyond a TRUNCATE, which begins a new file.
        if block >= self.blocks() {
            return false;
        }
        let locked = self.lock(block, 0);
        if !is_free(&locked) {
            return false;
        }
        self.overwrite(&locked, page);
        drop(locked);
        // SAFETY: the relation is open.
        unsafe { pg_sys::RecordUsedIndexPage(self.index.raw(), block) };
        true
    }

    fn free(&self, block: Block, is_unused: impl FnOnce(&PageBytes) -> bool) {
        let locked = self.lock(block, 0);
        if is_unused(&locked) {
            self.overwrite(&locked, &free_page());
            drop(locked);
            self.offer(block);
        }
    }

    fn offer(&self, block: Block) {
        // SAFETY: the relation is open.
        unsafe { pg_sys::RecordFreeIndexPage(self.index.raw(), block) };
    }

    fn spread_offers(&self) {
        // SAFETY: the relation is open.
        unsafe { pg_sys::IndexFreeSpaceMapVacuum(self.index.raw()) };
    }

    fn create(&self, page: &PageBytes) -> Block {
        // The free space map may be wrong in any way: what counts is what the page says of itself
        // under its lock. A session that has it locked was quicker, or vacuums.
        loop {
            // SAFETY: the relation is open.
            let block = unsafe { pg_sys::GetFreeIndexPage(self.index.raw()) };
            if block == pg_sys::InvalidBlockNumber {
                break;
            }
            if block < self.blocks()
                && let Some(locked) = self.try_lock(block)
                && is_free(&locked)
            {
                self.overwrite(&locked, page);
                return block;
            }
        }
        // SAFETY: the relation is open; the extension lock keeps others from taking the block.
        unsafe {
            let lock = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;
            pg_sys::LockRelationForExtension(self.index.raw(), lock);
            let buffer = pg_sys::ReadBufferExtended(
                self.index.raw(),
                MAIN,
                pg_sys::InvalidBlockNumber,
                pg_sys::ReadBufferMode::RBM_ZERO_AND_LOCK,
                self.strategy,
            );
            pg_sys::UnlockRelationForExtension(self.index.raw(), lock);
            let locked = LockedPage { buffer, store: PhantomData };
            wal::write_whole(buffer, page, self.index.needs_wal());
            // While it is still pinned.
            let block = pg_sys::BufferGetBlockNumber(buffer);
            drop(locked);
            block
        }
    }

    fn change(&self, pages: &mut [(&mut LockedPage<'_>, &[Edit])]) {
        let changes = pages.iter().map(|(page, edits)| (page.buffer, *edits));
        // SAFETY: the guards hold exclusive locks on different pages. Edits come from the layouts
        // of learned_index, which keep them within the page and set pd_lower with the bytes.
        unsafe { wal::write_edits(changes, self.index.needs_wal()) };
    }
}
