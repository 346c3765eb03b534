//! Key codes: unsigned integers, one or several, whose order is the SQL order of the values.
//!
//! - [`code`]: codes of values
//! - [`cut`]: where a value of another type falls among the codes of a column
//! - [`float`]: codes of floats that keep every bit
//! - [`inet`]: codes of `inet` and `cidr`
//! - `interval`: sets of keys
//! - `lanes`: codes of several words
//! - [`numeric`]: codes of `numeric`

pub mod code;
pub mod cut;
pub mod float;
pub mod inet;
mod interval;
mod lanes;
pub mod numeric;

use std::fmt::Debug;
use std::hash::Hash;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::codec::{Codes, CodesPlan, Sequence, SequencePlan};

pub use interval::{Interval, Intervals};

/// The code of a column of at most 64 bits.
pub type Word = u64;

/// What stands for the values of a key: its order is their order in SQL, and its bytes are what is
/// stored.
///
/// It is a [`Word`], or several of them. Everything but the codecs and the models, which are about
/// words, is written for any.
pub trait Code:
    Copy + Ord + Hash + Debug + FromBytes + IntoBytes + Immutable + KnownLayout + 'static
{
    /// The codes of a block, in a leaf.
    type Codes<'a>: Codes<'a, Self>;
    /// How they will be stored.
    type Plan: CodesPlan<Self>;

    /// Number of words.
    const WORDS: usize;
    /// The least code.
    const MIN: Self;
    /// The greatest code.
    const MAX: Self;

    /// The least of the codes that are greater; `None` of the greatest.
    fn next(self) -> Option<Self>;
    /// The greatest of the codes that are less; `None` of the least.
    fn previous(self) -> Option<Self>;
    /// A word that never falls where codes rise: models predict from it, and predicate locks are
    /// chosen by it. Different codes may have the same.
    fn word(self) -> Word;
    /// The code with other words in place of its last ones.
    fn with_last(self, words: usize, with: Word) -> Self;
    /// The code with another word in one place, from 0.
    fn with_word(self, index: usize, word: Word) -> Self;
    /// One of its words, the first of which decides the order unless it is the same.
    fn word_at(self, index: usize) -> Word;
    /// Sorts a few codes, each with a number that decides where the code is the same.
    fn sort_few(pairs: &mut [(Self, u64)]);
    /// Bits that depend on all of the code.
    fn mixed(self) -> u64;
    /// How far the code is from one to another, of 1; from 0 to 1 whatever the three are.
    fn part_of(self, low: Self, high: Self) -> f32;
}

impl Code for Word {
    type Codes<'a> = Sequence<'a>;
    type Plan = SequencePlan;

    const WORDS: usize = 1;
    const MIN: Word = Word::MIN;
    const MAX: Word = Word::MAX;

    #[inline]
    fn next(self) -> Option<Word> {
        self.checked_add(1)
    }

    #[inline]
    fn previous(self) -> Option<Word> {
        self.checked_sub(1)
    }

    #[inline]
    fn word(self) -> Word {
        self
    }

    #[inline]
    fn with_last(self, words: usize, with: Word) -> Word {
        if words == 0 { self } else { with }
    }

    #[inline]
    fn with_word(self, _: usize, word: Word) -> Word {
        word
    }

    #[inline]
    fn word_at(self, _: usize) -> Word {
        self
    }

    #[inline]
    fn sort_few(pairs: &mut [(Word, u64)]) {
        // One number is compared without a branch.
        pairs.sort_unstable_by_key(|&(code, tid)| u128::from(code) << 64 | u128::from(tid));
    }

    #[inline]
    fn mixed(self) -> u64 {
        self
    }

    #[inline]
    fn part_of(self, low: Word, high: Word) -> f32 {
        let width = high.saturating_sub(low) as f32;
        (self.saturating_sub(low) as f32 / width.max(1.0)).min(1.0)
    }
}

/// Where NULLs stand in an index: before every value, or after every value.
///
/// Entries are ordered by (null class, code, heap TID). NULLs have code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NullClass {
    /// NULLs of an index with NULLS FIRST.
    NullsFirst = 0,
    /// Every value that is not NULL.
    Value = 1,
    /// NULLs of an index with NULLS LAST.
    NullsLast = 2,
}

impl NullClass {
    /// The class that is stored as this number, if there is one.
    #[inline(always)]
    pub(crate) const fn of(number: u8) -> Option<NullClass> {
        match number {
            0 => Some(NullClass::NullsFirst),
            1 => Some(NullClass::Value),
            2 => Some(NullClass::NullsLast),
            _ => None,
        }
    }
}

/// A key in index order: the null class, then the code of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<C = Word> {
    /// Whether this is a value, or NULLs that stand before or after all values.
    pub class: NullClass,
    /// Order-preserving code of the value; the least one for NULL.
    pub code: C,
}

impl<C: Code> Key<C> {
    /// The smallest key of any index.
    pub const MIN: Key<C> = Key { class: NullClass::NullsFirst, code: C::MIN };
    /// The largest key of any index.
    pub const MAX: Key<C> = Key { class: NullClass::NullsLast, code: C::MAX };

    /// The key of a value that is not NULL.
    pub const fn value(code: C) -> Key<C> {
        Key { class: NullClass::Value, code }
    }

    /// The key of its word.
    pub fn word(self) -> Key {
        Key { class: self.class, code: self.code.word() }
    }

    /// The key of NULLs of a class.
    pub const fn null(class: NullClass) -> Key<C> {
        Key { class, code: C::MIN }
    }
}

/// Codes for tests.
#[cfg(test)]
pub(crate) trait Sample: Code + Send + Sync {
    /// The code of a number, in the order of numbers as far as some millions.
    fn of(number: u64) -> Self;

    /// The code of any number, in the order of numbers. Of thousands of random ones, many have the
    /// same first words.
    fn of_any(number: u64) -> Self {
        Self::of(number)
    }

    /// The code of any number, in the order of numbers, and of no other.
    fn of_each(number: u64) -> Self {
        Self::of(number)
    }
}

#[cfg(test)]
impl Sample for Word {
    fn of(number: u64) -> Word {
        number
    }
}

#[cfg(test)]
impl Sample for [Word; 2] {
    fn of(number: u64) -> [Word; 2] {
        [number >> 13 << 50, (number % (1 << 13)) * 8]
    }

    fn of_any(number: u64) -> [Word; 2] {
        Self::of(number >> 39)
    }

    fn of_each(number: u64) -> [Word; 2] {
        [number >> 56, number & ((1 << 56) - 1)]
    }
}

/// Nearly all of them are the only one with their first two words.
#[cfg(test)]
impl Sample for [Word; 3] {
    fn of(number: u64) -> [Word; 3] {
        [7, number >> 1, (number & 1) << 63 | number]
    }
}
