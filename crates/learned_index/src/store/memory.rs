//! A store in memory: for tests, benchmarks and fuzzing.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::ops::Deref;

use super::{BulkStore, Hint, Store, Update};
use crate::entry::Block;
use crate::key::{Code, Word};
use crate::page::history::Time;
use crate::page::{Edit, PAGE_SIZE, PageBytes, apply, free_page, is_free, meta};

/// Pages in a vector, for one thread.
#[derive(Clone, Debug)]
pub struct MemoryStore<C = Word> {
    codes: PhantomData<C>,
    pages: RefCell<Vec<Box<PageBytes>>>,
    next: Block,
    reads: Cell<u64>,
    offered: RefCell<Vec<Block>>,
    clock: Cell<Time>,
}

impl<C> Default for MemoryStore<C> {
    fn default() -> MemoryStore<C> {
        MemoryStore {
            codes: PhantomData,
            pages: RefCell::default(),
            next: 0,
            reads: Cell::default(),
            offered: RefCell::default(),
            clock: Cell::default(),
        }
    }
}

impl MemoryStore {
    /// A store without pages, for an index of words.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }
}

impl<C> MemoryStore<C> {
    /// How many pages were read so far.
    pub fn reads(&self) -> u64 {
        self.reads.get()
    }

    /// Changes a page's bytes behind the index's back: an injected fault.
    pub fn damage(&self, block: Block, fault: impl FnOnce(&mut PageBytes)) {
        if let Some(page) = self.pages.borrow_mut().get_mut(block as usize) {
            fault(page);
        }
    }

    /// Removes pages from the end: another one.
    pub fn truncate(&self, blocks: Block) {
        self.pages.borrow_mut().truncate(blocks as usize);
    }

    /// Sets the clock, which stands still at 0 before that. Each look at it takes a microsecond.
    pub fn set_clock(&self, time: Time) {
        self.clock.set(time);
    }

    fn look_at_clock(&self) -> Time {
        let time = self.clock.get();
        self.clock.set(if time == 0 { 0 } else { time + 1 });
        time
    }

    fn copy(&self, block: Block) -> Box<PageBytes> {
        let pages = self.pages.borrow();
        pages.get(block as usize).cloned().unwrap_or_else(|| Box::new([0; PAGE_SIZE]))
    }

    fn put(&self, block: Block, page: &PageBytes) {
        let mut pages = self.pages.borrow_mut();
        match pages.get_mut(block as usize) {
            Some(old) => **old = *page,
            None => pages.push(Box::new(*page)),
        }
    }
}

/// A page read or locked: a copy of its bytes at that moment.
pub struct MemoryPage {
    block: Block,
    bytes: Box<PageBytes>,
}

#[cfg(test)]
impl MemoryPage {
    pub(super) fn block(&self) -> Block {
        self.block
    }
}

impl Deref for MemoryPage {
    type Target = PageBytes;

    fn deref(&self) -> &PageBytes {
        &self.bytes
    }
}

impl<C: Code> Store for MemoryStore<C> {
    type Code = C;
    type Page<'s> = MemoryPage;
    type Pin = Block;

    fn word(&self) -> u64 {
        self.pages.borrow().first().and_then(|page| meta::word(page)).unwrap_or(0)
    }

    fn read(&self, block: Block, _: Hint) -> MemoryPage {
        self.reads.set(self.reads.get() + 1);
        MemoryPage { block, bytes: self.copy(block) }
    }

    fn hint(page: &MemoryPage) -> Hint {
        page.block + 1
    }

    fn pin(page: MemoryPage) -> Block {
        page.block
    }

    fn lock_again(&self, block: Block) -> MemoryPage {
        self.read(block, 0)
    }

    fn unpin(&self, _: Block) {}

    fn prefetch(&self, block: Block) -> Hint {
        block + 1
    }

    fn blocks(&self) -> Block {
        self.pages.borrow().len() as Block
    }
}

impl<C: Code> Update for MemoryStore<C> {
    type Exclusive<'s> = MemoryPage;

    fn lock_for_cleanup(&self, block: Block) -> MemoryPage {
        self.read(block, 0)
    }

    fn lock(&self, block: Block, _: Hint) -> MemoryPage {
        self.read(block, 0)
    }

    fn exclusive_hint(page: &MemoryPage) -> Hint {
        page.block + 1
    }

    fn create(&self, page: &PageBytes) -> Block {
        while let Some(block) = { self.offered.borrow_mut().pop() } {
            if self.reuse(block, page) {
                return block;
            }
        }
        let block = self.blocks();
        self.put(block, page);
        block
    }

    fn reuse(&self, block: Block, page: &PageBytes) -> bool {
        let free = is_free(&self.copy(block));
        if free {
            self.put(block, page);
        }
        free
    }

    fn free(&self, block: Block, is_unused: impl FnOnce(&PageBytes) -> bool) {
        if is_unused(&self.copy(block)) {
            self.put(block, &free_page());
            self.offer(block);
        }
    }

    fn offer(&self, block: Block) {
        self.offered.borrow_mut().push(block);
    }

    fn spread_offers(&self) {}

    fn change(&self, pages: &mut [(&mut MemoryPage, &[Edit])]) {
        for (page, edits) in pages {
            apply(&mut page.bytes, edits);
            self.put(page.block, &page.bytes);
        }
    }

    fn now(&self) -> Time {
        self.look_at_clock()
    }
}

impl<C: Code> BulkStore for MemoryStore<C> {
    type Code = C;

    fn append(&mut self, page: &PageBytes) -> Block {
        let block = self.next;
        self.put(block, page);
        self.next += 1;
        block
    }

    fn overwrite(&mut self, block: Block, page: &PageBytes) {
        self.put(block, page);
    }

    fn read_back(&mut self, block: Block) -> Box<PageBytes> {
        self.copy(block)
    }

    fn rewind(&mut self) {
        self.next = 0;
    }

    fn replace_rest(&mut self, page: &PageBytes) {
        for rest in self.pages.borrow_mut().iter_mut().skip(self.next as usize) {
            **rest = *page;
        }
    }

    fn now(&self) -> Time {
        self.look_at_clock()
    }
}
