//! What reading a damaged page gives.

use std::fmt;

use crate::entry::Block;

/// A page whose bytes cannot be what this crate wrote.
///
/// Bytes from disk are hostile input: every decoder returns this instead of panicking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The page, once the caller that knows it has said so.
    pub block: Option<Block>,
    /// What should have been there.
    pub expected: &'static str,
    /// What was there instead.
    pub found: Found,
}

/// What was found in the place of something: never a key nor a fence, since the user who gets the message may not be
/// allowed to read the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Something that no number tells.
    Otherwise,
    /// Another number of the same kind.
    Number(u64),
    /// More of them than there can be.
    TooMany {
        /// How many there can be.
        most: u32,
        /// How many there are.
        count: u32,
    },
}

impl From<u64> for Found {
    fn from(number: u64) -> Found {
        Found::Number(number)
    }
}

/// Result of everything that decodes pages.
pub type Result<T> = std::result::Result<T, Corruption>;

const THIS_VERSION: &str = "the format that this version reads";

impl Corruption {
    /// A corruption of a page that the caller has yet to name.
    pub const fn new(expected: &'static str, found: u64) -> Corruption {
        Corruption { block: None, expected, found: Found::Number(found) }
    }

    /// The same, where no number tells what was found.
    pub const fn not(expected: &'static str) -> Corruption {
        Corruption { block: None, expected, found: Found::Otherwise }
    }

    /// A page of another version than [`FORMAT_VERSION`](crate::page::FORMAT_VERSION).
    pub(crate) const fn other_version(found: u32) -> Corruption {
        Corruption::new(THIS_VERSION, found as u64)
    }

    /// The version that was found, if that is what is wrong with the page.
    pub fn version(&self) -> Option<u64> {
        match self.found {
            Found::Number(version) if self.expected == THIS_VERSION => Some(version),
            _ => None,
        }
    }

    /// Names the page, unless an inner layer has done so.
    pub fn at(mut self, block: Block) -> Corruption {
        self.block.get_or_insert(block);
        self
    }
}

/// What was expected and what was found, without the page.
impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = self.expected;
        match self.found {
            Found::Otherwise => write!(f, "expected {expected}"),
            Found::Number(number) => write!(f, "expected {expected}, found {number}"),
            Found::TooMany { most, count } => {
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
pub(crate) fn ensure_at_most(count: usize, most: usize, what: &'static str) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    let (most, count) = (most as u32, count.min(u32::MAX as usize) as u32);
    Err(Corruption { found: Found::TooMany { most, count }, ..Corruption::not(what) })
}
