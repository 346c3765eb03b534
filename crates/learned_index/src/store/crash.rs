//! A store that crashes: it keeps a log of every change, and any prefix of that log can be
//! replayed, as recovery does.

use std::cell::RefCell;

use super::memory::{MemoryPage, MemoryStore};
use super::{BulkStore, Hint, Store, Update};
use crate::entry::Block;
use crate::key::Code;
use crate::page::history::Time;
use crate::page::{Edit, PAGE_SIZE, PageBytes, apply, free_page};

/// What is logged as one: it is there after a crash with all of its pages, or with none.
pub(crate) type Record = Vec<(Block, Change)>;

/// What a record does to a page.
pub(crate) enum Change {
    Whole(Box<PageBytes>),
    Edits(Vec<Edit>),
}

/// A store in memory, and its log.
pub(crate) struct LoggedStore<C> {
    pages: MemoryStore<C>,
    log: RefCell<Vec<Record>>,
}

impl<C: Code> LoggedStore<C> {
    /// `pages` are on disk already.
    pub(crate) fn new(pages: MemoryStore<C>) -> LoggedStore<C> {
        LoggedStore { pages, log: RefCell::new(Vec::new()) }
    }

    /// Number of records so far.
    pub(crate) fn logged(&self) -> usize {
        self.log.borrow().len()
    }

    pub(crate) fn into_log(self) -> Vec<Record> {
        self.log.into_inner()
    }

    fn log_whole(&self, block: Block) {
        let page = Box::new(*self.pages.read(block, 0));
        self.log.borrow_mut().push(vec![(block, Change::Whole(page))]);
    }
}

/// Replays one record.
pub(crate) fn replay<C: Code>(pages: &mut MemoryStore<C>, record: &Record) {
    for (block, change) in record {
        while pages.blocks() <= *block {
            let end = pages.blocks();
            pages.overwrite(end, &[0; PAGE_SIZE]);
        }
        match change {
            Change::Whole(page) => pages.overwrite(*block, page),
            Change::Edits(edits) => {
                let mut page = *pages.read(*block, 0);
                apply(&mut page, edits);
                pages.overwrite(*block, &page);
            }
        }
    }
}

impl<C: Code> Store for LoggedStore<C> {
    type Code = C;
    type Page<'s> = MemoryPage;
    type Pin = Block;

    fn word(&self) -> u64 {
        self.pages.word()
    }

    fn read(&self, block: Block, hint: Hint) -> MemoryPage {
        self.pages.read(block, hint)
    }

    fn hint(page: &MemoryPage) -> Hint {
        <MemoryStore<C> as Store>::hint(page)
    }

    fn pin(page: MemoryPage) -> Block {
        <MemoryStore<C> as Store>::pin(page)
    }

    fn lock_again(&self, block: Block) -> MemoryPage {
        self.pages.lock_again(block)
    }

    fn unpin(&self, _: Block) {}

    fn prefetch(&self, block: Block) -> Hint {
        self.pages.prefetch(block)
    }

    fn blocks(&self) -> Block {
        self.pages.blocks()
    }
}

impl<C: Code> Update for LoggedStore<C> {
    type Exclusive<'s> = MemoryPage;

    fn lock_for_cleanup(&self, block: Block) -> MemoryPage {
        self.pages.lock_for_cleanup(block)
    }

    fn lock(&self, block: Block, hint: Hint) -> MemoryPage {
        self.pages.lock(block, hint)
    }

    fn exclusive_hint(page: &MemoryPage) -> Hint {
        <MemoryStore<C> as Update>::exclusive_hint(page)
    }

    fn create(&self, page: &PageBytes) -> Block {
        let block = self.pages.create(page);
        self.log_whole(block);
        block
    }

    fn reuse(&self, block: Block, page: &PageBytes) -> bool {
        let free = self.pages.reuse(block, page);
        if free {
            self.log_whole(block);
        }
        free
    }

    fn free(&self, block: Block, is_unused: impl FnOnce(&PageBytes) -> bool) {
        if is_unused(&self.pages.read(block, 0)) {
            self.pages.free(block, |_| true);
            self.log.borrow_mut().push(vec![(block, Change::Whole(Box::new(free_page())))]);
        }
    }

    fn offer(&self, block: Block) {
        self.pages.offer(block);
    }

    fn spread_offers(&self) {}

    fn change(&self, pages: &mut [(&mut MemoryPage, &[Edit])]) {
        assert!(pages.len() <= 4, "{} pages in one record", pages.len());
        let record =
            pages.iter().map(|(page, edits)| (page.block(), Change::Edits(edits.to_vec())));
        self.log.borrow_mut().push(record.collect());
        self.pages.change(pages);
    }

    fn now(&self) -> Time {
        Update::now(&self.pages)
    }
}
