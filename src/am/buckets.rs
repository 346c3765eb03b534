//! Groups of the values of a function that ascends with its argument, as `date_trunc` does: where
//! one ends and the next begins, of any such function, by asking it.
//!
//! The function is asked for values of the index, and for values between two of them: where it can
//! be computed for both, it can be computed for these. So it fails for no value that is not there.
//!
//! Groups are mostly as wide as the one before. So the end is guessed, and two values say whether
//! the guess is right; otherwise it is found by bisection.
//!
//! A function of the time zone ascends between two changes of the zone's offset only. There a group
//! may end, and go on later: it comes in pieces.

use learned_index::corruption::Result;
use pgrx::pg_sys;

/// Seconds from 1970 to 2000, the epochs of `pg_time_t` and of timestamps.
const EPOCH_DIFFERENCE: i64 = 10_957 * 86_400;
const USECS_PER_SECOND: i64 = 1_000_000;
/// Local times of one offset are less than this apart from those of another.
const LARGEST_CHANGE: i64 = 2 * 86_400 * USECS_PER_SECOND;

/// A function, and what is known of its groups.
pub(crate) struct Buckets<'f> {
    /// Its value for an argument.
    function: &'f mut dyn FnMut(i64) -> i64,
    memory: &'f mut BucketMemory,
}

/// What is remembered of the groups before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BucketMemory {
    /// Whether the function is one of the session's time zone, and its arguments are timestamps.
    of_time_zone: bool,
    /// How wide the last group was whose width is known.
    width: Option<i64>,
    /// An argument of the group before, and where that ended.
    before: Option<(i64, i64)>,
}

/// Finds the first argument in the index at or after one; or the last one of all. Of those that
/// have the same columns before them.
pub(crate) type Look<'l> = &'l mut dyn FnMut(Option<i64>) -> Result<Option<i64>>;

impl BucketMemory {
    /// Nothing yet.
    pub(crate) fn new(of_time_zone: bool) -> BucketMemory {
        BucketMemory { of_time_zone, ..BucketMemory::default() }
    }
}

impl<'f> Buckets<'f> {
    pub(crate) fn new(
        function: &'f mut dyn FnMut(i64) -> i64,
        memory: &'f mut BucketMemory,
    ) -> Buckets<'f> {
        Buckets { function, memory }
    }

    /// Forgets where the group before was: what comes now has other columns before it.
    pub(crate) fn begin(&mut self) {
        self.memory.before = None;
    }

    /// The function's value for an argument.
    pub(crate) fn value(&mut self, argument: i64) -> i64 {
        (self.function)(argument)
    }

    /// Whether a group may end and go on later.
    pub(crate) fn come_in_pieces(&self) -> bool {
        self.memory.of_time_zone
    }

    /// Whether groups before one that begins here are complete: no later argument is in them.
    pub(crate) fn are_settled_at(&self, argument: i64) -> bool {
        let long_before = argument.saturating_sub(LARGEST_CHANGE);
        next_change_of_offset(long_before) > argument
    }

    /// Of the group, or a piece of it, that begins with an argument in the index: the function's
    /// value, and the first argument behind it; `None` if all that follow are in it.
    pub(crate) fn group_of(&mut self, argument: i64, look: Look<'_>) -> Result<(i64, Option<i64>)> {
        let bucket = self.value(argument);
        let border = match self.memory.of_time_zone {
            true => next_change_of_offset(argument),
            false => i64::MAX,
        };
        let guess = self.guess(argument);
        let end = self.end_of((argument, bucket), guess, border, look)?;
        if let Some(end) = end {
            if end != guess && end != border {
                self.learn_width(argument, bucket, end);
            }
            self.memory.before = Some((argument, end));
        }
        Ok((bucket, end))
    }

    /// Where a group ends, if it is as wide as others.
    fn guess(&self, argument: i64) -> i64 {
        let width = i128::from(self.memory.width.unwrap_or(1));
        let start = match self.memory.before {
            Some((_, end)) if end <= argument => {
                let (end, argument) = (i128::from(end), i128::from(argument));
                end + (argument - end) / width * width
            }
            _ => argument.into(),
        };
        i64::try_from(start + width).unwrap_or(i64::MAX)
    }

    /// See [`Buckets::group_of`].
    fn end_of(
        &mut self,
        (argument, bucket): (i64, i64),
        guess: i64,
        border: i64,
        look: Look<'_>,
    ) -> Result<Option<i64>> {
        let (mut low, mut next) = (argument, guess);
        // An argument in the index that is not in the group, or the last one of all.
        let mut high = loop {
            let found = if next < border { look(Some(next))? } else { None };
            match found {
                Some(found) if found < border && self.value(found) == bucket => {
                    low = found;
                    next = found.saturating_add((found - argument).max(1));
                }
                Some(found) => break found,
                None => match look(None)? {
                    Some(last) if last > low => break last,
                    _ => return Ok(None),
                },
            }
        };
        if high >= border {
            high = border - 1;
            if high <= low || self.value(high) == bucket {
                return Ok(Some(border));
            }
        } else if self.value(high) == bucket {
            return Ok(None);
        }
        for probe in [guess, guess.saturating_sub(1)] {
            if low < probe && probe < high {
                match self.value(probe) == bucket {
                    true => low = probe,
                    false => high = probe,
                }
            }
        }
        Ok(Some(self.bisect(low, high, |value| value == bucket)))
    }

    /// The first argument whose value is not as that of the lower one, which the upper one's is
    /// not.
    fn bisect(&mut self, mut low: i64, mut high: i64, is_low: impl Fn(i64) -> bool) -> i64 {
        while low.checked_add(1).is_some_and(|next| next < high) {
            let middle = ((i128::from(low) + i128::from(high)) / 2) as i64;
            match is_low(self.value(middle)) {
                true => low = middle,
                false => high = middle,
            }
        }
        high
    }

    /// Learns the width of a group that did not end where it was guessed to, if its beginning can
    /// be found: behind an argument of the group before.
    fn learn_width(&mut self, argument: i64, bucket: i64, end: i64) {
        let Some((before, _)) = self.memory.before else { return };
        let is_one_way = !self.memory.of_time_zone || next_change_of_offset(before) > argument;
        if before < argument && is_one_way {
            let start = self.bisect(before, argument, |value| value != bucket);
            self.memory.width = end.checked_sub(start).filter(|width| *width > 0);
        }
    }
}

/// When the session's time zone changes its offset from UTC, after a timestamp; `i64::MAX` if it
/// does not.
fn next_change_of_offset(timestamp: i64) -> i64 {
    let from = timestamp.div_euclid(USECS_PER_SECOND) + EPOCH_DIFFERENCE;
    let (mut before, mut after, mut boundary) = (0, 0, 0);
    let (mut before_is_dst, mut after_is_dst) = (0, 0);
    // SAFETY: the session's time zone is valid; the function only reads it.
    let found = unsafe {
        pg_sys::pg_next_dst_boundary(
            &from,
            &mut before,
            &mut before_is_dst,
            &mut boundary,
            &mut after,
            &mut after_is_dst,
            pg_sys::session_timezone,
        )
    };
    match found {
        1 => (boundary - EPOCH_DIFFERENCE).saturating_mul(USECS_PER_SECOND),
        _ => i64::MAX,
    }
}
