//! What reading a damaged page gives.

use std::fmt;

use crate::entry::Block;

/// A page whose bytes cannot be what this crate wrote.
///
/// Bytes from disk are hostile input: every decoder returns this instead of panicking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The page, once the caller that knows it has said so.
    block: Option<Block>,
    /// What should have been there.
    expected: &'static str,
    /// What was found instead, or [`NO_NUMBER`]: never a key nor a fence, since the user who gets
    /// the message may not be allowed to read the row.
    found: u64,
}

// Every result of a decoder has room for it.
const _: () = assert!(size_of::<Corruption>() == 32);

/// No number tells what was found.
const NO_NUMBER: u64 = u64::MAX;

/// Result of everything that decodes pages.
pub type Result<T> = std::result::Result<T, Corruption>;

const THIS_VERSION: &str = "the format that this version reads";

impl Corruption {
    /// A corruption of a page that the caller has yet to name: what was expected, and the number of
    /// the same kind that was found.
    pub const fn new(expected: &'static str, found: u64) -> Corruption {
        Corruption { block: None, expected, found }
    }

    /// The same, where no number tells what was found.
    pub const fn not(expected: &'static str) -> Corruption {
        Corruption::new(expected, NO_NUMBER)
    }

    /// A page of another version than [`FORMAT_VERSION`](crate::page::FORMAT_VERSION).
    pub(crate) const fn other_version(found: u32) -> Corruption {
        Corruption::new(THIS_VERSION, found as u64)
    }

    /// The version that was found, if that is what is wrong with the page.
    pub fn version(&self) -> Option<u64> {
        self.number().filter(|_| self.expected == THIS_VERSION)
    }

    /// The number that was found.
    pub fn number(&self) -> Option<u64> {
        (self.found != NO_NUMBER).then_some(self.found)
    }

    /// The page, if a caller has named it.
    pub fn block(&self) -> Option<Block> {
        self.block
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
        write!(f, "expected {}", self.expected)?;
        self.number().map_or(Ok(()), |number| write!(f, ", found {number}"))
    }
}

impl std::error::Error for Corruption {}

/// Fails with a [`Corruption`] unless `condition` holds.
pub(crate) fn ensure(condition: bool, expected: &'static str, found: u64) -> Result<()> {
    if condition { Ok(()) } else { Err(Corruption::new(expected, found)) }
}

/// The same, where no number tells what was found.
pub(crate) fn ensure_that(condition: bool, expected: &'static str) -> Result<()> {
    ensure(condition, expected, NO_NUMBER)
}

/// Fails if there are more than the limit. The limit is a constant; the message names it.
macro_rules! ensure_at_most {
    ($count:expr, $most:expr, $what:literal) => {{
        let count: usize = $count;
        let (text, len): &([u8; 100], usize) = const { &$crate::corruption::at_most($most, $what) };
        let expected = || std::str::from_utf8(&text[..*len]).unwrap_or($what);
        match count <= $most {
            true => Ok(()),
            false => Err($crate::corruption::Corruption::new(expected(), count as u64)),
        }
    }};
}
pub(crate) use ensure_at_most;

/// "at most 254 children", as far as it fits, and its length.
pub(crate) const fn at_most(most: usize, what: &str) -> ([u8; 100], usize) {
    const BEGIN: &[u8] = b"at most ";
    let mut text = [b' '; 100];
    let digits = match most.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    };
    let (what, number_at) = (what.as_bytes(), BEGIN.len());
    let what_at = number_at + digits + 1;
    let mut at = 0;
    while at < text.len() && at < what_at + what.len() {
        text[at] = if at < number_at {
            BEGIN[at]
        } else if at < number_at + digits {
            b'0' + (most / 10_usize.pow((number_at + digits - 1 - at) as u32) % 10) as u8
        } else if at < what_at {
            b' '
        } else {
            what[at - what_at]
        };
        at += 1;
    }
    (text, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_in_the_message() {
        let error = |result: Result<()>| result.unwrap_err().to_string();
        let many = ensure_at_most!(300, 254, "children");
        assert_eq!(error(many), "expected at most 254 children, found 300");
        assert_eq!(error(ensure_at_most!(1, 0, "of them")), "expected at most 0 of them, found 1");
        assert_eq!(ensure_at_most!(65_536, 65_536, "values"), Ok(()));
        assert_eq!(error(ensure_that(false, "a whole page")), "expected a whole page");
        assert_eq!(error(ensure(false, "level 3", 4)), "expected level 3, found 4");
    }
}
