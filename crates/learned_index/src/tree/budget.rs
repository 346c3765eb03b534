//! Memory that everything shares which a session remembers of its indexes: a bound that is kept
//! when something grows.
//!
//! Everything that is kept has a *share* of the budget, which grows with it and is given back when
//! it is dropped. What does not fit is not remembered: a directory is then read page by page, a
//! delta tree from its root, and leaves without a filter. Only what no lookup can do without is
//! taken in any case: what a directory is, the list of its pages (61 bytes for up to 254 leaves),
//! and the root of each delta tree.

use std::cell::Cell;
use std::rc::Rc;

/// Tells a session to remember less, so that `bytes` more fit. Does what it can.
pub type Reclaim = fn(bytes: usize);

/// Bytes that may be kept, and those that are.
#[derive(Debug)]
pub struct Budget {
    limit: Cell<usize>,
    used: Cell<usize>,
    /// Bytes that could not be had where nobody could be told to give way.
    missed: Cell<usize>,
    reclaim: Reclaim,
}

impl Budget {
    /// Of `limit` bytes, for one directory alone.
    pub fn alone(limit: usize) -> Rc<Budget> {
        Budget::shared(limit, |_| {})
    }

    /// Of `limit` bytes, for some directories. `reclaim` is called for more, with no page locked,
    /// while the directory is in use that wants it.
    pub fn shared(limit: usize, reclaim: Reclaim) -> Rc<Budget> {
        let (used, missed) = (Cell::new(0), Cell::new(0));
        Rc::new(Budget { limit: Cell::new(limit), used, missed, reclaim })
    }

    /// Bytes that may be kept.
    #[inline]
    pub fn limit(&self) -> usize {
        self.limit.get()
    }

    /// Sets how much may be kept from now on. What is too much stays until it is reclaimed.
    pub fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    /// Bytes that are kept.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Bytes that were missed since the last call, by code that could not wait for them.
    #[inline]
    pub fn take_missed(&self) -> usize {
        self.missed.take()
    }

    /// Whether all that is kept fits, when others have given way.
    pub(super) fn is_kept(&self) -> bool {
        if !self.fits(0) {
            (self.reclaim)(0);
        }
        self.fits(0)
    }

    fn fits(&self, more: usize) -> bool {
        self.used().saturating_add(more) <= self.limit()
    }
}

/// What one part of a directory takes of a budget.
#[derive(Debug)]
pub(super) struct Share {
    budget: Rc<Budget>,
    bytes: usize,
}

impl Share {
    /// Nothing as yet.
    pub(super) fn of(budget: &Rc<Budget>) -> Share {
        Share { budget: Rc::clone(budget), bytes: 0 }
    }

    pub(super) fn budget(&self) -> &Rc<Budget> {
        &self.budget
    }

    /// Bytes that this takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes as many bytes as there are, whatever the limit.
    pub(super) fn set(&mut self, bytes: usize) {
        let used = self.budget.used() - self.bytes;
        self.budget.used.set(used.saturating_add(bytes));
        self.bytes = bytes;
    }

    /// Takes `bytes` in all if they fit, or others give way. Not to be called with a page locked.
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && !self.budget.fits(more) {
            // Nobody can make room for what is larger than all there is.
            if bytes > self.budget.limit() {
                return false;
            }
            (self.budget.reclaim)(more);
        }
        self.take(bytes, more)
    }

    /// Takes `bytes` in all if they fit. Remembers if not, for others to give way later.
    pub(super) fn try_grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let taken = self.take(bytes, more);
        if !taken {
            self.budget.missed.set(more);
        }
        taken
    }

    fn take(&mut self, bytes: usize, more: usize) -> bool {
        let fits = more == 0 || self.budget.fits(more);
        if fits {
            self.set(bytes.max(self.bytes));
        }
        fits
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}
