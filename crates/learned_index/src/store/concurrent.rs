//! A store for many threads at once, in the hands of shuttle: every lock taken or released and
//! every load of the state word is a point where another thread may go on.
//!
//! It has what shared buffers have and the protocol relies on: a lock and a count of pins for
//! each page, a state word that is read without a lock in two halves, blocks that are offered
//! though they are free no more. And it refuses what the protocol forbids: making or freeing pages
//! with a page locked, locking anything besides the metapage when that is locked for a change,
//! more than four pages in one change.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Unscheduled};

use shuttle::sync::atomic::AtomicU64;
use shuttle::sync::{Condvar, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use shuttle::thread::{self, ThreadId};

use super::{Hint, Store, Update};
use crate::entry::Block;
use crate::key::{Code, Word};
use crate::page::{Edit, PAGE_SIZE, PageBytes, apply, free_page, is_free, meta};
use crate::store::memory::MemoryStore;
use crate::store::strict::assert_order;

/// Pages that the store has room for.
const MOST_PAGES: usize = 256;

/// Pages, shared by threads.
pub(crate) struct ConcurrentStore<C = Word> {
    codes: PhantomData<C>,
    slots: Vec<Slot>,
    length: AtomicUsize,
    extension: Mutex<()>,
    word: AtomicU64,
    complement: AtomicU64,
    offered: Unscheduled<Vec<Block>>,
    /// Which thread has which pages locked, and whether for changes.
    locked: Unscheduled<Vec<(ThreadId, Block, bool)>>,
}

struct Slot {
    content: RwLock<Arc<PageBytes>>,
    pins: AtomicUsize,
    /// A session waits for the pins of others to go.
    awaited: AtomicBool,
    waiting: Mutex<()>,
    unpinned: Condvar,
}

/// A pin, which stays until it is given back.
pub(crate) struct Pin(Block);

/// Unpins when it is dropped.
struct Pinned<'s, C> {
    store: &'s ConcurrentStore<C>,
    block: Block,
}

/// A locked page. Its fields are dropped in this order: unlocked, then unpinned.
pub(crate) struct Locked<'s, G, C> {
    content: G,
    held: Held<'s, C>,
    pinned: Option<Pinned<'s, C>>,
}

pub(crate) type ReadLocked<'s, C> = Locked<'s, RwLockReadGuard<'s, Arc<PageBytes>>, C>;
pub(crate) type WriteLocked<'s, C> = Locked<'s, RwLockWriteGuard<'s, Arc<PageBytes>>, C>;

/// Notes who has what locked.
struct Held<'s, C> {
    store: &'s ConcurrentStore<C>,
    block: Block,
}

impl<'s, C> Held<'s, C> {
    fn note(store: &'s ConcurrentStore<C>, block: Block, exclusive: bool) -> Held<'s, C> {
        let mut locked = store.locked.lock().unwrap();
        locked.push((thread::current().id(), block, exclusive));
        Held { store, block }
    }
}

impl<C> Drop for Held<'_, C> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let me = thread::current().id();
        let mut locked = self.store.locked.lock().unwrap();
        let at = locked.iter().rposition(|held| held.0 == me && held.1 == self.block);
        locked.remove(at.unwrap());
    }
}

impl<C> Drop for Pinned<'_, C> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.store.release_pin(self.block);
        }
    }
}

impl<G: Deref<Target = Arc<PageBytes>>, C> Deref for Locked<'_, G, C> {
    type Target = PageBytes;

    fn deref(&self) -> &PageBytes {
        &self.content
    }
}

impl<C> ConcurrentStore<C> {
    /// A store with the pages of another one.
    pub(crate) fn of(pages: &[Arc<PageBytes>]) -> ConcurrentStore<C> {
        let never_written = Arc::new([0; PAGE_SIZE]);
        let slot = |block| Slot {
            content: RwLock::new(Arc::clone(pages.get(block).unwrap_or(&never_written))),
            pins: AtomicUsize::new(0),
            awaited: AtomicBool::new(false),
            waiting: Mutex::new(()),
            unpinned: Condvar::new(),
        };
        let word = meta::word(&pages[0]).unwrap();
        let free = (1..pages.len()).filter(|&block| is_free(&pages[block]));
        ConcurrentStore {
            codes: PhantomData,
            slots: (0..MOST_PAGES).map(slot).collect(),
            length: AtomicUsize::new(pages.len()),
            extension: Mutex::new(()),
            word: AtomicU64::new(word),
            complement: AtomicU64::new(!word),
            offered: Unscheduled::new(free.map(|block| block as Block).collect()),
            locked: Unscheduled::new(Vec::new()),
        }
    }

    /// The pages as they are now. Nobody may have one locked.
    pub(crate) fn copy(&self) -> MemoryStore<C>
    where
        C: Code,
    {
        let mut copy = MemoryStore::default();
        for slot in &self.slots[..self.length.load(Ordering::SeqCst)] {
            crate::store::BulkStore::append(&mut copy, &slot.content.read().unwrap());
        }
        copy
    }

    /// Number of pins that nobody has given back.
    pub(crate) fn pins(&self) -> usize {
        self.slots.iter().map(|slot| slot.pins.load(Ordering::SeqCst)).sum()
    }

    fn pin_page(&self, block: Block) -> Pinned<'_, C> {
        self.slots[block as usize].pins.fetch_add(1, Ordering::SeqCst);
        Pinned { store: self, block }
    }

    fn release_pin(&self, block: Block) {
        let slot = &self.slots[block as usize];
        slot.pins.fetch_sub(1, Ordering::SeqCst);
        if slot.awaited.load(Ordering::SeqCst) {
            let _waiting = slot.waiting.lock().unwrap();
            slot.unpinned.notify_all();
        }
    }

    /// The pages that this thread has locked, and whether for changes.
    fn mine(&self) -> Vec<(Block, bool)> {
        let me = thread::current().id();
        let locked = self.locked.lock().unwrap();
        locked.iter().filter(|held| held.0 == me).map(|held| (held.1, held.2)).collect()
    }

    fn assert_may_lock(&self, block: Block, exclusive: bool) {
        let mine = self.mine();
        assert!(mine.iter().all(|&(held, _)| held != block), "block {block} locked twice");
        assert!(!mine.contains(&(0, true)), "block {block} locked under the metapage's lock");
        assert!(block != 0 || !exclusive || mine.is_empty(), "the metapage locked under {mine:?}");
    }

    fn assert_no_lock(&self) {
        assert_eq!(self.mine(), [], "locks held while a page is made or freed");
    }
}

impl<C: Code> Store for ConcurrentStore<C> {
    type Code = C;
    type Page<'s> = ReadLocked<'s, C>;
    type Pin = Pin;

    fn word(&self) -> u64 {
        let word = self.word.load(Ordering::SeqCst);
        if self.complement.load(Ordering::SeqCst) == !word {
            return word;
        }
        meta::word(&self.read(0, 0)).unwrap()
    }

    fn read(&self, block: Block, _: Hint) -> ReadLocked<'_, C> {
        self.assert_may_lock(block, false);
        let pinned = self.pin_page(block);
        let content = self.slots[block as usize].content.read().unwrap();
        Locked { content, held: Held::note(self, block, false), pinned: Some(pinned) }
    }

    fn hint(page: &ReadLocked<'_, C>) -> Hint {
        page.held.block + 1
    }

    fn pin(mut page: ReadLocked<'_, C>) -> Pin {
        std::mem::forget(page.pinned.take());
        Pin(page.held.block)
    }

    fn lock_again(&self, pin: Pin) -> ReadLocked<'_, C> {
        self.assert_may_lock(pin.0, false);
        let pinned = Pinned { store: self, block: pin.0 };
        let content = self.slots[pin.0 as usize].content.read().unwrap();
        Locked { content, held: Held::note(self, pin.0, false), pinned: Some(pinned) }
    }

    fn unpin(&self, pin: Pin) {
        self.release_pin(pin.0);
    }

    fn prefetch(&self, block: Block) -> Hint {
        block + 1
    }

    fn blocks(&self) -> Block {
        self.length.load(Ordering::SeqCst) as Block
    }
}

/// The store as a scan on a standby has it: replay locks pages, and waits for nobody's pin.
pub(crate) struct Standby<'a, C>(pub(crate) &'a ConcurrentStore<C>);

impl<C: Code> Store for Standby<'_, C> {
    type Code = C;
    type Page<'s>
        = ReadLocked<'s, C>
    where
        Self: 's;
    type Pin = Pin;

    fn word(&self) -> u64 {
        self.0.word()
    }

    fn read(&self, block: Block, hint: Hint) -> ReadLocked<'_, C> {
        self.0.read(block, hint)
    }

    fn hint(page: &ReadLocked<'_, C>) -> Hint {
        ConcurrentStore::<C>::hint(page)
    }

    fn pin(page: ReadLocked<'_, C>) -> Pin {
        Pin(page.held.block)
    }

    fn lock_again(&self, pin: Pin) -> ReadLocked<'_, C> {
        self.0.read(pin.0, 0)
    }

    fn unpin(&self, _: Pin) {}

    fn prefetch(&self, block: Block) -> Hint {
        self.0.prefetch(block)
    }

    fn blocks(&self) -> Block {
        self.0.blocks()
    }
}

impl<C: Code> Update for ConcurrentStore<C> {
    type Exclusive<'s> = WriteLocked<'s, C>;

    fn lock_for_cleanup(&self, block: Block) -> WriteLocked<'_, C> {
        assert_eq!(self.mine(), [], "locks held while others' pins are waited for");
        let slot = &self.slots[block as usize];
        loop {
            let page = self.lock(block, 0);
            if slot.pins.load(Ordering::SeqCst) == 1 {
                slot.awaited.store(false, Ordering::SeqCst);
                return page;
            }
            slot.awaited.store(true, Ordering::SeqCst);
            drop(page);
            let mut waiting = slot.waiting.lock().unwrap();
            while slot.pins.load(Ordering::SeqCst) > 0 {
                waiting = slot.unpinned.wait(waiting).unwrap();
            }
        }
    }

    fn lock(&self, block: Block, _: Hint) -> WriteLocked<'_, C> {
        self.assert_may_lock(block, true);
        let pinned = self.pin_page(block);
        let content = self.slots[block as usize].content.write().unwrap();
        Locked { content, held: Held::note(self, block, true), pinned: Some(pinned) }
    }

    fn exclusive_hint(page: &WriteLocked<'_, C>) -> Hint {
        page.held.block + 1
    }

    fn create(&self, page: &PageBytes) -> Block {
        self.assert_no_lock();
        while let Some(block) = { self.offered.lock().unwrap().pop() } {
            if self.reuse(block, page) {
                return block;
            }
        }
        // A new page is locked before anybody can know of it.
        let extension = self.extension.lock().unwrap();
        let block = self.blocks();
        let mut locked = self.lock(block, 0);
        self.length.fetch_add(1, Ordering::SeqCst);
        drop(extension);
        *locked.content = Arc::new(*page);
        block
    }

    fn reuse(&self, block: Block, page: &PageBytes) -> bool {
        self.assert_no_lock();
        let mut locked = self.lock(block, 0);
        let free = is_free(&locked);
        if free {
            *locked.content = Arc::new(*page);
        }
        free
    }

    fn free(&self, block: Block, is_unused: impl FnOnce(&PageBytes) -> bool) {
        self.assert_no_lock();
        {
            let mut locked = self.lock(block, 0);
            if !is_unused(&locked) {
                return;
            }
            *locked.content = Arc::new(free_page());
        }
        self.offer(block);
    }

    fn offer(&self, block: Block) {
        self.offered.lock().unwrap().push(block);
    }

    fn spread_offers(&self) {}

    fn change(&self, pages: &mut [(&mut WriteLocked<'_, C>, &[Edit])]) {
        assert!(pages.len() <= 4, "{} pages in one change", pages.len());
        let changed: Vec<Block> = pages.iter().map(|(page, _)| page.held.block).collect();
        assert_order(&self.mine(), &changed);
        for (page, edits) in pages {
            if page.held.block == 0 {
                let mut changed = **page.content;
                apply(&mut changed, edits);
                // First the halves of the word, one by one: others may load it in between.
                let word = meta::word(&changed).unwrap();
                self.word.store(word, Ordering::SeqCst);
                self.complement.store(!word, Ordering::SeqCst);
            }
            apply(Arc::make_mut(&mut page.content), edits);
        }
    }
}
