//! What reading a damaged page gives.

use std::fmt;

use crate::entry::Block;

const THIS_VERSION: &str = "the format that this version reads";

/// A page whose bytes cannot be what this crate wrote.
///
/// Bytes from disk are hostile input: every decoder returns this instead of panicking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The page, once the caller that knows it has said so.
    pub block: Option<Block>,
    /// What should have been there.
    pub expected: &'static str,
    /// What was found instead: never a key nor a fence, since whoever gets the message may not be
    /// allowed to read the row.
    pub found: u64,
}

/// Result of everything that decodes pages.
pub type Result<T> = std::result::Result<T, Corruption>;

impl Corruption {
    /// A corruption of a page that the caller has yet to name.
    pub const fn new(expected: &'static str, found: u64) -> Corruption {
        Corruption { block: None, expected, found }
    }

    /// A page of another version than [`FORMAT_VERSION`](crate::page::FORMAT_VERSION).
    pub(crate) const fn other_version(found: u32) -> Corruption {
        Corruption::new(THIS_VERSION, found as u64)
    }

    /// The version that was found, if that is what is wrong with the page.
    pub fn version(&self) -> Option<u64> {
        (self.expected == THIS_VERSION).then_some(self.found)
    }

    /// Names the page, unless an inner layer has done so.
    pub fn at(mut self, block: Block) -> Corruption {
        self.block.get_or_insert(block);
        self
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(block) = self.block {
            write!(f, "block {block}: ")?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl std::error::Error for Corruption {}

/// Fails with a [`Corruption`] unless `condition` holds.
pub(crate) fn ensure(condition: bool, expected: &'static str, found: u64) -> Result<()> {
    if condition { Ok(()) } else { Err(Corruption::new(expected, found)) }
}
