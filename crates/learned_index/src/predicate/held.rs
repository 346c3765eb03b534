//! Which parts a transaction has locked, and which ones it locks next.

use super::{DISTANCES, GROUPS, Half, Lock, Part, WHOLE};
use crate::key::{Key, NullClass, Word};

/// Locks that one transaction takes before it locks the whole index: as many as the core lets it
/// have by default.
const MOST_HELD: usize = 31;
/// Parts that one range is covered with at most.
const MOST_FOR_RANGE: usize = 8;
/// Single keys that are locked as such, before whole surroundings of keys are.
const SINGLE_KEYS: usize = 8;
/// What the ends of a range may be away from what was read, by how much is locked already: in 64ths
/// of what a page of a B-tree would have there. A transaction that goes on reading locks more at a
/// time, so that it comes further than over a B-tree before it has locked everything.
const LEEWAY: [(usize, u64); 7] =
    [(4, 16), (8, 32), (16, 64), (20, 128), (24, 256), (28, 1_024), (MOST_HELD, 4_096)];

/// What a transaction has locked of an index.
#[derive(Clone, Debug, Default)]
pub struct Held {
    parts: Vec<Part>,
    marked: [bool; GROUPS],
    everything: bool,
}

impl Held {
    /// Whether the whole index is locked.
    pub fn everything(&self) -> bool {
        self.everything
    }

    /// What of a range is not locked yet: from its first to its last key that is not. `low` and
    /// `high` are of one null class, and included.
    pub fn rest(&self, low: Key, high: Key) -> Option<(Key, Key)> {
        if self.everything {
            return None;
        }
        let (mut low, mut high) = (low, high);
        while let Some(part) = self.parts.iter().find(|part| part.contains(low)) {
            if part.high >= high.code {
                return None;
            }
            low.code = part.high + 1;
        }
        while let Some(part) = self.parts.iter().find(|part| part.contains(high)) {
            // Some key from `low` on is in no part, so this does not go below it.
            high.code = part.low.saturating_sub(1);
        }
        Some((low, high))
    }

    /// Whether choosing parts for a range needs to know how dense keys are there.
    pub fn needs_density(&self, low: Key, high: Key) -> bool {
        low.class == NullClass::Value && !self.takes_single_key(low, high)
    }

    fn takes_single_key(&self, low: Key, high: Key) -> bool {
        low == high && self.parts.len() < SINGLE_KEYS
    }

    /// Chooses what to lock of a range, in this order. `page` is the difference between the codes
    /// that a page of a B-tree would begin and end with there, if that is known.
    pub fn choose(&self, low: Key, high: Key, page: Option<u64>) -> Vec<Lock> {
        let room = MOST_HELD.saturating_sub(self.count());
        let mut chosen = Vec::new();
        if low.class != NullClass::Value || self.takes_single_key(low, high) {
            chosen.push(Part::cell(low.class, low.code, 0));
        } else {
            let leeway = self.leeway(low, high, page);
            let most = room.min(MOST_FOR_RANGE);
            cover(low.code, high.code, leeway.checked_ilog2().unwrap_or(0), most, &mut chosen);
        }
        let is_new = |group: &usize| {
            !self.marked[*group] && chosen.iter().any(|part| part.group() == *group)
        };
        let markers: Vec<usize> = (0..GROUPS).filter(is_new).collect();
        if chosen.is_empty() || markers.len() + chosen.len() > room {
            return vec![Lock::Everything];
        }
        let markers = markers.into_iter().map(Lock::Marker);
        markers.chain(chosen.into_iter().map(Lock::Part)).collect()
    }

    /// Says that something is locked.
    pub fn remember(&mut self, lock: Lock) {
        match lock {
            Lock::Marker(group) => self.marked[group] = true,
            Lock::Part(part) => self.parts.push(part),
            Lock::Everything => {
                self.everything = true;
                self.parts.clear();
            }
        }
    }

    /// Locks taken so far.
    fn count(&self) -> usize {
        self.parts.len() + self.marked.iter().filter(|marked| **marked).count()
    }

    /// By how much the ends of a range may be moved.
    fn leeway(&self, low: Key, high: Key, page: Option<u64>) -> u64 {
        let Some(page) = page else { return (high.code - low.code) / 4 };
        let of_page = LEEWAY.iter().find(|(held, _)| self.count() < *held).map_or(64, |l| l.1);
        (u128::from(page) * u128::from(of_page) / 64).try_into().unwrap_or(u64::MAX)
    }
}

/// Finds at most `most` parts that cover the values with codes from `low` to `high`: those whose
/// ends are nearest to these, but not nearer than the size of a cell of `level`. Nothing if `most`
/// is 0.
fn cover(low: Word, high: Word, level: u32, most: usize, parts: &mut Vec<Part>) {
    for level in level..=WHOLE {
        parts.clear();
        if cover_at(low, high, level, most, parts) {
            return;
        }
    }
    parts.clear();
}

/// [`cover`] with the ends moved to those of cells of one level. False if there are not enough
/// parts.
fn cover_at(low: Word, high: Word, level: u32, most: usize, parts: &mut Vec<Part>) -> bool {
    let (lower, upper) = (Half::of(low), Half::of(high));
    if level == WHOLE || (lower != upper && low == lower.start && high == upper.end) {
        parts.push(Part::cell(NullClass::Value, low, WHOLE));
        return most > 0;
    }
    if lower == upper {
        return cover_in_half(low, high, level, most, parts);
    }
    cover_in_half(low, lower.end, level, most, parts)
        && cover_in_half(upper.start, high, level, most, parts)
}

fn cover_in_half(low: Word, high: Word, level: u32, most: usize, parts: &mut Vec<Part>) -> bool {
    let half = Half::of(low);
    let low = Part::cell(NullClass::Value, low, level).low;
    let high = Part::cell(NullClass::Value, high, level).high;
    let before = parts.len();
    let mut best = cells(low, high, most, parts).then(|| parts.split_off(before));
    parts.truncate(before);
    // The first of these parts that leaves something for cells.
    let behind = (0..DISTANCES).map(|n| Part::behind_start(half, n)).find(|p| p.low >= low);
    let ahead = (0..DISTANCES).map(|n| Part::before_end(half, n)).find(|p| p.high <= high);
    let sides = [
        behind.filter(|_| high == half.end).map(|part| (part, (low, part.low - 1))),
        ahead.filter(|_| low == half.start).map(|part| (part, (part.high + 1, high))),
    ];
    for (part, (low, high)) in sides.into_iter().flatten() {
        parts.push(part);
        let fits = parts.len() <= most && (low > high || cells(low, high, most, parts));
        let found = parts.split_off(before);
        if fits && best.as_ref().is_none_or(|best| found.len() < best.len()) {
            best = Some(found);
        }
    }
    best.map(|best| parts.extend(best)).is_some()
}

/// Adds the largest cells that make up a range exactly. False if there would be more than `most`
/// parts.
fn cells(low: Word, high: Word, most: usize, parts: &mut Vec<Part>) -> bool {
    let mut low = low;
    loop {
        if parts.len() >= most {
            return false;
        }
        // Both ends are in one half, so that there are fewer than 2^64 codes.
        let level = low.trailing_zeros().min((high - low + 1).ilog2());
        let cell = Part::cell(NullClass::Value, low, level);
        parts.push(cell);
        if cell.high >= high {
            return true;
        }
        low = cell.high + 1;
    }
}
