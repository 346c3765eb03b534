//! A store that ends what a server could not end: waiting for a lock that this session holds
//! itself, and reading for ever. Blocks beyond the end are an error of the store, as they are in
//! PostgreSQL.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::panic::resume_unwind;

use super::memory::{MemoryPage, MemoryStore};
use super::{Hint, Store, Update};
use crate::entry::Block;
use crate::key::{Code, Word};
use crate::page::{Edit, PageBytes};

/// The payload of the panic that stands for an error of the store.
pub(crate) struct NoSuchBlock;

/// Pages of a memory store, for one thread that locks them strictly.
pub(crate) struct StrictStore<C = Word> {
    pub(crate) pages: MemoryStore<C>,
    /// What is locked, and whether for changes.
    locked: RefCell<Vec<(Block, bool)>>,
    /// Pages that may still be read.
    patience: Cell<u64>,
    /// Added to hints: another number says that all pages are in other buffers.
    buffers: Cell<Hint>,
}

/// A locked page.
pub(crate) struct StrictPage<'s, C = Word> {
    store: &'s StrictStore<C>,
    block: Block,
    page: MemoryPage,
}

impl<C> Deref for StrictPage<'_, C> {
    type Target = PageBytes;

    fn deref(&self) -> &PageBytes {
        &self.page
    }
}

impl<C> Drop for StrictPage<'_, C> {
    fn drop(&mut self) {
        let mut locked = self.store.locked.borrow_mut();
        if let Some(at) = locked.iter().rposition(|&(block, _)| block == self.block) {
            locked.remove(at);
        }
    }
}

impl<C: Code> StrictStore<C> {
    pub(crate) fn new(pages: MemoryStore<C>) -> StrictStore<C> {
        StrictStore {
            pages,
            locked: RefCell::default(),
            patience: Cell::new(0),
            buffers: Cell::new(1),
        }
    }

    /// Lets so many pages be read from now on.
    pub(crate) fn be_patient(&self, reads: u64) {
        self.patience.set(reads);
    }

    /// Reads every page into another buffer, from now on.
    pub(crate) fn evict(&self) {
        self.buffers.set(self.buffers.get() + 100_000);
    }

    /// Whether nothing is locked.
    pub(crate) fn is_unlocked(&self) -> bool {
        self.locked.borrow().is_empty()
    }

    fn acquire(&self, block: Block, exclusive: bool) -> StrictPage<'_, C> {
        let patience = self.patience.get().checked_sub(1);
        self.patience.set(patience.unwrap_or_else(|| panic!("reading for ever")));
        if block >= self.pages.blocks() {
            // Without the hook, which would report it.
            resume_unwind(Box::new(NoSuchBlock));
        }
        let mut locked = self.locked.borrow_mut();
        let again = locked.iter().any(|&(held, _)| held == block);
        assert!(!again, "block {block} is locked twice: {locked:?}");
        locked.push((block, exclusive));
        StrictPage { store: self, block, page: self.pages.read(block, 0) }
    }

    fn hint_of(page: &StrictPage<'_, C>) -> Hint {
        page.block + page.store.buffers.get()
    }
}

/// Replay locks the pages of a change in the order in which they are named, and keeps them locked:
/// that has to be the order in which they were locked.
pub(super) fn assert_order(locked: &[(Block, bool)], changed: &[Block]) {
    let of_change = |&&(block, _): &&(Block, bool)| changed.contains(&block);
    let order: Vec<Block> = locked.iter().filter(of_change).map(|&(block, _)| block).collect();
    assert_eq!(changed, order, "pages of a change in another order than they were locked in");
}

impl<C: Code> Store for StrictStore<C> {
    type Code = C;
    type Page<'s> = StrictPage<'s, C>;
    type Pin = Block;

    fn word(&self) -> u64 {
        self.pages.word()
    }

    fn read(&self, block: Block, _: Hint) -> StrictPage<'_, C> {
        self.acquire(block, false)
    }

    fn hint(page: &StrictPage<'_, C>) -> Hint {
        StrictStore::hint_of(page)
    }

    fn pin(page: StrictPage<'_, C>) -> Block {
        page.block
    }

    fn lock_again(&self, block: Block) -> StrictPage<'_, C> {
        self.read(block, 0)
    }

    fn unpin(&self, _: Block) {}

    fn prefetch(&self, block: Block) -> Hint {
        block + self.buffers.get()
    }

    fn blocks(&self) -> Block {
        self.pages.blocks()
    }
}

impl<C: Code> Update for StrictStore<C> {
    type Exclusive<'s> = StrictPage<'s, C>;

    fn lock_for_cleanup(&self, block: Block) -> StrictPage<'_, C> {
        self.acquire(block, true)
    }

    fn lock(&self, block: Block, _: Hint) -> StrictPage<'_, C> {
        self.acquire(block, true)
    }

    fn exclusive_hint(page: &StrictPage<'_, C>) -> Hint {
        StrictStore::hint_of(page)
    }

    fn create(&self, page: &PageBytes) -> Block {
        assert!(self.is_unlocked(), "a page is made under a lock");
        self.pages.create(page)
    }

    fn reuse(&self, block: Block, page: &PageBytes) -> bool {
        block < self.pages.blocks() && self.pages.reuse(block, page)
    }

    fn free(&self, block: Block, is_unused: impl FnOnce(&PageBytes) -> bool) {
        drop(self.acquire(block, true));
        self.pages.free(block, is_unused);
    }

    fn offer(&self, block: Block) {
        self.pages.offer(block);
    }

    fn spread_offers(&self) {}

    fn change(&self, pages: &mut [(&mut StrictPage<'_, C>, &[Edit])]) {
        let changed: Vec<Block> = pages.iter().map(|(page, _)| page.block).collect();
        assert_order(&self.locked.borrow(), &changed);
        for (page, edits) in pages {
            self.pages.change(&mut [(&mut page.page, edits)]);
        }
    }
}
