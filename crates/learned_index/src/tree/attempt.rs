//! Reading under one state of the index.
//!
//! Everything that one answer uses is read under one value of the state word. A page read after
//! the word has changed may hold anything by now, so it is not even looked at: the attempt ends
//! with [`Interruption::Changed`], and its caller begins again under the new state.

use crate::corruption::{Corruption, Result};
use crate::entry::Block;
use crate::fault::{Fault, injected};
use crate::store::{Hint, Store, Update};

/// Why an attempt gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The index has another state by now: look again.
    Changed,
    /// A page is damaged.
    Corrupted(Corruption),
}

/// The result of something done under one state.
pub type Attempt<T> = std::result::Result<T, Interruption>;

impl From<Corruption> for Interruption {
    fn from(corruption: Corruption) -> Interruption {
        Interruption::Corrupted(corruption)
    }
}

impl Interruption {
    /// Names the damaged page, unless an inner layer has done so.
    pub fn at(self, block: Block) -> Interruption {
        match self {
            Interruption::Changed => Interruption::Changed,
            Interruption::Corrupted(corruption) => Interruption::Corrupted(corruption.at(block)),
        }
    }
}

/// Locks a page for reading, as long as the state is the one with this word.
///
/// The word is loaded under the lock: a session that makes a page useless for this state changes
/// the word first, and writes over the page, which this lock delays, after that.
#[inline(always)]
pub fn read_current<S: Store>(
    store: &S,
    word: u64,
    block: Block,
    hint: Hint,
) -> Attempt<S::Page<'_>> {
    let page = store.read(block, hint);
    let same = store.word() == word || injected(Fault::ReadUnderAnyWord);
    if same { Ok(page) } else { Err(Interruption::Changed) }
}

/// Locks a page for changes, as long as the state is the one with this word.
#[inline]
pub fn lock_current<S: Update>(
    store: &S,
    word: u64,
    block: Block,
    hint: Hint,
) -> Attempt<S::Exclusive<'_>> {
    let page = store.lock(block, hint);
    let same = store.word() == word || injected(Fault::LockUnderAnyWord);
    if same { Ok(page) } else { Err(Interruption::Changed) }
}

/// The answer of an attempt that nothing can have interrupted but damage: `None` if the state has
/// changed all the same.
pub fn settled<T>(attempt: Attempt<T>) -> Result<Option<T>> {
    match attempt {
        Ok(answer) => Ok(Some(answer)),
        Err(Interruption::Changed) => Ok(None),
        Err(Interruption::Corrupted(corruption)) => Err(corruption),
    }
}
