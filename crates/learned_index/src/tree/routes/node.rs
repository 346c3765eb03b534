//! Opening a page of a delta tree. Everything that reads or changes such a page opens it here,
//! which locks the page, checks that it is one of the tree, and checks its header once.

use std::ops::Deref;

use crate::corruption::Result;
use crate::entry::Block;
use crate::key::Code;
use crate::page::PageBytes;
use crate::page::delta::{Delta, Head};
use crate::store::{Hint, Store, Update};
use crate::tree::attempt::{Attempt, lock_current, read_current};

/// A page of a delta tree that is locked.
pub(in crate::tree) struct OpenNode<P, C> {
    page: P,
    head: Head<C>,
}

/// Locks a page of the tree with this name for reading, as long as the state is the one with this
/// word.
#[inline]
pub(in crate::tree) fn read_node<'s, S: Store>(
    store: &'s S,
    word: u64,
    tree: u64,
    block: Block,
    hint: Hint,
) -> Attempt<OpenNode<S::Page<'s>, S::Code>> {
    Ok(OpenNode::check(read_current(store, word, block, hint)?, tree, block)?)
}

/// Locks a page of the tree with this name for changes, as long as the state is the one with this
/// word.
#[inline]
pub(in crate::tree) fn lock_node<'s, S: Update>(
    store: &'s S,
    word: u64,
    tree: u64,
    block: Block,
    hint: Hint,
) -> Attempt<OpenNode<S::Exclusive<'s>, S::Code>> {
    Ok(OpenNode::check(lock_current(store, word, block, hint)?, tree, block)?)
}

impl<C: Code, P: Deref<Target = PageBytes>> OpenNode<P, C> {
    /// Checks that a locked page is one of the tree with this name.
    #[inline]
    pub(in crate::tree) fn check(page: P, tree: u64, block: Block) -> Result<OpenNode<P, C>> {
        let head = Head::parse(&page, tree, block)?;
        Ok(OpenNode { page, head })
    }

    /// The page.
    #[inline]
    pub(in crate::tree) fn view(&self) -> Delta<'_, C> {
        self.head.of(&self.page)
    }

    /// A copy that is not locked.
    pub(in crate::tree) fn copied(&self) -> OpenNode<Box<PageBytes>, C> {
        OpenNode { page: Box::new(*self.page), head: self.head }
    }

    /// The locked page.
    #[inline]
    pub(in crate::tree) fn page(&self) -> &P {
        &self.page
    }

    /// Gives up the view, and returns the locked page, to be changed.
    #[inline]
    pub(in crate::tree) fn into_page(self) -> P {
        self.page
    }
}
