//! Parts of the key space that serializable transactions lock, and which of them a key is in.
//!
//! A predicate lock covers keys and not pages, so it holds wherever entries move to: no split,
//! merge or vacuum has to take care of it. A reader locks the parts that cover what it reads; a
//! writer looks whether one of the parts that its key is in is locked. Which parts there are
//! depends on nothing but the key, so that the two agree whatever happens to the index between
//! them. Of a code of several words, both look at the first word alone: keys that have the same one
//! are locked together.
//!
//! The parts of all values are of three kinds:
//! - a *cell*: the keys whose codes have the same bits above a level, from 0 (one code) to 64 (all
//!   values)
//! - all of a half of the codes but its start: the codes from `start + 16^n` on
//! - all of a half of the codes but its end: the codes up to `end - 16^n`
//!
//! Cells alone would do for two ends that lie close together. What reads to the end of all values
//! (`max(k)`, `k > 7`) would need a cell for each zero bit of a small number, and there are dozens
//! of them in front of most keys; the two other kinds stand for all of these at once. Codes of
//! numbers gather at the borders of the halves: signed ones on both sides of the middle, unsigned
//! ones at the start, and descending ones the other way round.
//!
//! Most of the parts of a key are in nobody's use. They are in four groups, and who locks the first
//! part of a group locks its *marker* before: a writer looks at the parts of marked groups only.

mod held;
#[cfg(test)]
mod tests;

pub use held::Held;

use crate::fault::{Fault, injected};
use crate::key::{Key, NullClass, Word};

/// The first code of the upper half.
const MIDDLE: Word = 1 << 63;
/// Distances from a half's border at which parts begin: powers of 16.
const DISTANCES: u32 = 16;
/// Of all values: as a level.
const WHOLE: u32 = 64;
/// Cells above this level are in a group of their own.
const SMALL_CELLS: u32 = 24;
/// Parts that a key can be in.
pub const MOST_PARTS: usize = (WHOLE + 1 + 2 * DISTANCES) as usize;
/// Groups of parts: single codes and NULLs, smaller and larger cells, and halves but for an end.
pub const GROUPS: usize = 4;

/// Keys of one null class that are locked together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    class: NullClass,
    low: Word,
    high: Word,
    number: u32,
    group: usize,
}

/// Something to lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Says that parts of a group are locked.
    Marker(usize),
    /// Some keys.
    Part(Part),
    /// The whole index.
    Everything,
}

impl Lock {
    /// By which the lock is known; `None` for the whole index.
    pub fn number(&self) -> Option<u32> {
        match self {
            Lock::Marker(group) => Some(marker(*group)),
            Lock::Part(part) => Some(part.number),
            Lock::Everything => None,
        }
    }
}

/// By which the marker of a group is known.
pub fn marker(group: usize) -> u32 {
    number(NullClass::Value, WHOLE + 3, group as u64)
}

impl Part {
    /// The keys that agree with a code above a level. Of NULLs there is only the cell of level 0.
    fn cell(class: NullClass, code: Word, level: u32) -> Part {
        let within = 1u64.checked_shl(level).map_or(u64::MAX, |size| size - 1);
        let low = code & !within;
        let group = match level {
            0 => 0,
            1..=SMALL_CELLS => 1,
            _ => 2,
        };
        Part { class, low, high: low | within, number: number(class, level, low), group }
    }

    /// The codes of a half from `16^n` behind its start on.
    fn behind_start(half: Half, n: u32) -> Part {
        let low = half.start + (1 << (4 * n));
        let number = number(NullClass::Value, WHOLE + 1, low);
        Part { class: NullClass::Value, low, high: half.end, number, group: 3 }
    }

    /// The codes of a half up to `16^n` before its end.
    fn before_end(half: Half, n: u32) -> Part {
        let high = half.end - (1 << (4 * n));
        let number = number(NullClass::Value, WHOLE + 2, high);
        Part { class: NullClass::Value, low: half.start, high, number, group: 3 }
    }

    /// By which a part is known: 31 bits. Different parts may have the same, with the effect that
    /// who locks one of them locks the other.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Which group the part is in.
    pub fn group(&self) -> usize {
        self.group
    }

    /// Whether the part has this key.
    pub fn contains(&self, key: Key) -> bool {
        self.class == key.class && self.low <= key.code && key.code <= self.high
    }
}

/// A half of all codes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Half {
    start: Word,
    end: Word,
}

impl Half {
    fn of(code: Word) -> Half {
        let start = code & MIDDLE;
        Half { start, end: start | (MIDDLE - 1) }
    }
}

/// A number for a part. It outlives the process: a prepared transaction keeps its locks over a
/// restart.
fn number(class: NullClass, kind: u32, code: u64) -> u32 {
    let seed = u64::from(kind) << 2 | class as u64;
    let mixed = code ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ (mixed >> 31)) >> 33) as u32
}

/// Calls `see` for every part that a key is in.
pub fn parts_of(key: Key, mut see: impl FnMut(Part)) {
    if key.class != NullClass::Value {
        return see(Part::cell(key.class, key.code, 0));
    }
    let left_out = |level| injected(Fault::LeavePartsOut) && level % 8 == 3;
    for level in (0..=WHOLE).filter(|&level| !left_out(level)) {
        see(Part::cell(key.class, key.code, level));
    }
    let half = Half::of(key.code);
    let reaches = |distance: u64| move |n: &u32| 1 << (4 * n) <= distance;
    for n in (0..DISTANCES).take_while(reaches(key.code - half.start)) {
        see(Part::behind_start(half, n));
    }
    for n in (0..DISTANCES).take_while(reaches(half.end - key.code)) {
        see(Part::before_end(half, n));
    }
}
