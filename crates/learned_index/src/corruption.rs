//! What reading a damaged page gives.

use std::fmt;

use crate::entry::Block;

/// A page whose bytes cannot be what this crate wrote.
///
/// Bytes from disk are hostile input: every decoder returns this instead of panicking. It is small, because every result
/// of a decoder has room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// What should have been there.
    expected: &'static str,
    /// What the number says.
    found: Found,
    /// The page, once the caller that knows it has said so; [`NO_BLOCK`] until then.
    block: Block,
    number: u64,
}

const _: () = assert!(size_of::<Corruption>() == 32);

/// `InvalidBlockNumber` of block.h.
const NO_BLOCK: Block = Block::MAX;

/// What was found in the place of something: never a key nor a fence, since the user who gets the message may not be
/// allowed to read the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Something that no number tells.
    Otherwise,
    /// Another number of the same kind.
    Number,
    /// More than there can be: how many there can be, and in the upper half how many there are.
    TooMany,
}

/// Result of everything that decodes pages.
pub type Result<T> = std::result::Result<T, Corruption>;

const THIS_VERSION: &str = "the format that this version reads";

impl Corruption {
    /// A corruption of a page that the caller has yet to name.
    pub const fn new(expected: &'static str, found: u64) -> Corruption {
        Corruption { expected, found: Found::Number, block: NO_BLOCK, number: found }
    }

    /// The same, where no number tells what was found.
    pub const fn not(expected: &'static str) -> Corruption {
        Corruption { expected, found: Found::Otherwise, block: NO_BLOCK, number: 0 }
    }

    /// More of them than there can be.
    #[cold]
    fn too_many(count: usize, most: usize, what: &'static str) -> Corruption {
        let number = (count.min(u32::MAX as usize) as u64) << 32 | most as u64;
        Corruption { found: Found::TooMany, number, ..Corruption::not(what) }
    }

    /// A page of another version than [`FORMAT_VERSION`](crate::page::FORMAT_VERSION).
    pub(crate) const fn other_version(found: u32) -> Corruption {
        Corruption::new(THIS_VERSION, found as u64)
    }

    /// The version that was found, if that is what is wrong with the page.
    pub fn version(&self) -> Option<u64> {
        self.number().filter(|_| self.expected == THIS_VERSION)
    }

    /// The number that was found in the place of another one of the same kind.
    pub fn number(&self) -> Option<u64> {
        (self.found == Found::Number).then_some(self.number)
    }

    /// The page, if a caller has named it.
    pub fn block(&self) -> Option<Block> {
        (self.block != NO_BLOCK).then_some(self.block)
    }

    /// Names the page, unless an inner layer has done so.
    pub fn at(mut self, block: Block) -> Corruption {
        if self.block == NO_BLOCK {
            self.block = block;
        }
        self
    }
}

/// What was expected and what was found, without the page.
impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Corruption { expected, number, .. } = self;
        match self.found {
            Found::Otherwise => write!(f, "expected {expected}"),
            Found::Number => write!(f, "expected {expected}, found {number}"),
            Found::TooMany => {
                let (most, count) = (number & u64::from(u32::MAX), number >> 32);
                write!(f, "expected at most {most} {expected}, found {count}")
            }
        }
    }
}

impl std::error::Error for Corruption {}

/// Fails with a [`Corruption`] unless `condition` holds.
pub(crate) fn ensure(condition: bool, expected: &'static str, found: u64) -> Result<()> {
    if condition { Ok(()) } else { Err(Corruption::new(expected, found)) }
}

/// The same, where no number tells what was found.
pub(crate) fn ensure_that(condition: bool, expected: &'static str) -> Result<()> {
    if condition { Ok(()) } else { Err(Corruption::not(expected)) }
}

/// Fails unless there are at most so many.
#[inline]
pub(crate) fn ensure_at_most(count: usize, most: usize, what: &'static str) -> Result<()> {
    if count <= most { Ok(()) } else { Err(Corruption::too_many(count, most, what)) }
}
