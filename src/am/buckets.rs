//! Groups of the values of a function that ascends with its argument, as `date_trunc` does: where
//! one ends and the next begins, of any such function, by asking it.
//!
//! The function is asked for values of the index, and for values between two of them: where it can
//! be computed for both, it can be computed for these. It may fail for values far from our time
//! only (`SAFE`), and of these it is asked for none whose row nobody sees. So it fails for no value
//! that is not there.
//!
//! Groups are mostly as wide as the one before. So the end is guessed, and two values say whether
//! the guess is right; otherwise it is found by bisection.
//!
//! A function of the time zone ascends between two changes of the zone's offset only. Where clocks
//! are put back a group may end, and go on later: it comes in pieces.

use learned_index::corruption::Result;

use super::time_zone::{EPOCH_DIFFERENCE, Offsets, USECS_PER_SECOND};

/// No clock is put back by more: POSIX zones have offsets of up to 167 hours.
const LARGEST_CHANGE: i64 = 14 * 86_400 * USECS_PER_SECOND;
/// Timestamps for which the functions that groups are made with do not fail: of the years 1 to
/// 200,000, about. (There are some up to the year 294,276, and down to 4713 BC, where the beginning
/// of a year or a century is out of range.)
pub(crate) const SAFE: std::ops::RangeInclusive<i64> =
    -63_082_281_600 * USECS_PER_SECOND..=6_248_000_000_000 * USECS_PER_SECOND;

/// A function, and what is known of its groups.
pub(crate) struct Buckets<'f> {
    /// Its value for an argument.
    function: &'f mut dyn FnMut(i64) -> i64,
    memory: &'f mut BucketMemory,
}

/// What a function gives, in numbers: exactly what the core's function gives, as far as this says.
/// Each step is as wide as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steps {
    /// The argument, rounded down to steps from an origin on: as `date_bin`. (For arguments before
    /// the origin it depends on the minor version of the core.)
    From {
        /// How wide they are.
        width: i64,
        /// Where one of them begins.
        origin: i64,
    },
    /// The argument, rounded down to multiples of this: as `date_trunc` of a timestamp.
    Multiples(i64),
    /// The same of the local time, and from that back by the offset that the argument has: as
    /// `date_trunc` of an instant, to an hour or less.
    OfLocalTime(i64),
    /// The argument, divided by this number above 0.
    Quotients(i64),
}

impl Steps {
    /// The value for an argument, whose local time is ahead of UTC by these microseconds, if
    /// that is known; `None` where the function has to be asked.
    fn value(self, argument: i64, offset: impl FnOnce() -> Option<i64>) -> Option<i64> {
        let down = |number: i64, width: i64| number.checked_sub(number.rem_euclid(width));
        match self {
            Steps::Quotients(divisor) => Some(argument / divisor),
            _ if !SAFE.contains(&argument) => None,
            Steps::From { width, origin } if argument >= origin => {
                down(argument.checked_sub(origin)?, width)?.checked_add(origin)
            }
            Steps::From { .. } => None,
            Steps::Multiples(width) => down(argument, width),
            Steps::OfLocalTime(width) => {
                let offset = offset()?;
                down(argument.checked_add(offset)?, width)?.checked_sub(offset)
            }
        }
    }
}

/// What is remembered of the groups before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BucketMemory {
    /// Whether the function is one of the session's time zone, and its arguments are timestamps.
    of_time_zone: bool,
    /// What the function gives, if it is known.
    steps: Option<Steps>,
    /// How wide the last group was whose width is known.
    width: Option<i64>,
    /// An argument of the group before, and where that ended.
    before: Option<(i64, i64)>,
    /// The function's value for an argument behind the group before.
    next: Option<(i64, i64)>,
    /// What is known of the time zone's offset around a timestamp.
    around: Option<Around>,
}

/// Finds the first argument in the index at or after one; or the last one of all. Of those that
/// have the same columns before them.
pub(crate) type Look<'l> = &'l mut dyn FnMut(Option<i64>) -> Result<Option<i64>>;

impl BucketMemory {
    /// Nothing yet.
    pub(crate) fn new(of_time_zone: bool, steps: Option<Steps>) -> BucketMemory {
        BucketMemory { of_time_zone, steps, ..BucketMemory::default() }
    }

    /// The time zone's offset around a timestamp.
    fn around(&mut self, timestamp: i64) -> Around {
        if let Some(around) = self.around
            && around.from <= timestamp
            && around.change.is_none_or(|change| timestamp < change.at)
        {
            return around;
        }
        *self.around.insert(Around::of(timestamp))
    }

    /// The first change of the time zone's offset after a timestamp.
    fn change_after(&mut self, timestamp: i64) -> Option<Change> {
        self.around(timestamp).change
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
        let memory = &mut *self.memory;
        let steps =
            memory.steps.and_then(|steps| steps.value(argument, || memory.around(argument).offset));
        steps.unwrap_or_else(|| (self.function)(argument))
    }

    /// Whether a group may end and go on later.
    pub(crate) fn come_in_pieces(&self) -> bool {
        self.memory.of_time_zone
    }

    /// Whether groups before one that begins here are complete, in a time zone: no later argument
    /// has an earlier local time.
    pub(crate) fn are_settled_at(&mut self, argument: i64) -> bool {
        let mut next = self.memory.change_after(argument);
        let Some(first) = next else { return true };
        let local = argument.saturating_add(first.before);
        while let Some(change) = next {
            if change.at.saturating_sub(argument) > LARGEST_CHANGE {
                break;
            }
            if change.at.saturating_add(change.after) < local {
                return false;
            }
            next = Change::after(change.at);
        }
        true
    }

    /// Of the group, or a piece of it, that begins with an argument in the index: the function's
    /// value, and the first argument behind it; `None` if all that follow are in it.
    pub(crate) fn group_of(&mut self, argument: i64, look: Look<'_>) -> Result<(i64, Option<i64>)> {
        let bucket = match self.memory.next {
            Some((next, bucket)) if next == argument => bucket,
            _ => self.value(argument),
        };
        let border = match self.memory.of_time_zone {
            true => self.memory.change_after(argument).map(|change| change.at),
            false => None,
        };
        let guess = self.guess(argument);
        let end = self.end_of((argument, bucket), guess, border, look)?;
        if let Some(end) = end {
            if end != guess && Some(end) != border {
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
        border: Option<i64>,
        look: Look<'_>,
    ) -> Result<Option<i64>> {
        let is_beyond = |value: i64| border.is_some_and(|border| value >= border);
        let (mut low, mut next) = (argument, Some(guess).filter(|guess| *guess > argument));
        // An argument in the index that is not in the group, or the last one of all.
        let high = loop {
            let found = match next.filter(|next| !is_beyond(*next)) {
                Some(next) => look(Some(next))?,
                None => None,
            };
            match found {
                Some(found) if is_beyond(found) => break found,
                Some(found) => {
                    let other = self.value(found);
                    if other != bucket {
                        self.memory.next = Some((found, other));
                        break found;
                    }
                    low = found;
                    next = found.checked_add(found.saturating_sub(argument).max(1));
                }
                None => match look(None)? {
                    Some(last) if last > low => break last,
                    _ => return Ok(None),
                },
            }
        };
        let high = match border {
            Some(border) if high >= border => {
                let last = border - 1;
                if last <= low || self.value(last) == bucket {
                    return Ok(Some(border));
                }
                last
            }
            _ if self.memory.next.is_some_and(|(next, other)| next == high && other != bucket) => {
                high
            }
            _ if self.value(high) == bucket => return Ok(None),
            _ => high,
        };
        let (mut low, mut high) = (low, high);
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
        let is_one_way = !self.memory.of_time_zone
            || Change::after(before).is_none_or(|change| change.at > argument);
        if before < argument && is_one_way {
            let start = self.bisect(before, argument, |value| value != bucket);
            self.memory.width = end.checked_sub(start).filter(|width| *width > 0);
        }
    }
}

/// A change of the offset of the session's time zone from UTC, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// When it takes effect.
    at: i64,
    /// Local time less UTC, before and after.
    before: i64,
    after: i64,
}

/// The offset of the session's time zone from a timestamp on.
#[derive(Clone, Copy, Debug)]
struct Around {
    from: i64,
    /// Local time less UTC, up to the first change, in microseconds; if the zone's rules tell.
    offset: Option<i64>,
    /// The first change after the timestamp.
    change: Option<Change>,
}

impl Around {
    fn of(timestamp: i64) -> Around {
        let from = timestamp.div_euclid(USECS_PER_SECOND) + EPOCH_DIFFERENCE;
        let Offsets { before, is_known, change } = Offsets::around(from);
        let offset = is_known.then_some(before * USECS_PER_SECOND);
        let change = change.and_then(|(at, after)| {
            // Beyond all timestamps there is none of interest.
            let at = at.checked_sub(EPOCH_DIFFERENCE)?.checked_mul(USECS_PER_SECOND)?;
            let (before, after) = (before * USECS_PER_SECOND, after * USECS_PER_SECOND);
            (at > timestamp).then_some(Change { at, before, after })
        });
        Around { from: timestamp, offset, change }
    }
}

impl Change {
    /// The first change after a timestamp.
    fn after(timestamp: i64) -> Option<Change> {
        Around::of(timestamp).change
    }
}
