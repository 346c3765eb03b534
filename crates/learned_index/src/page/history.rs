//! What was done last to an index, for those who look after it. Nothing depends on it.
//!
//! Times are microseconds as the store's clock has them. If that was set back meanwhile, a duration
//! is 0.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A moment, in microseconds of the store's clock; 0: none.
pub type Time = i64;

/// The last merge, the one that has begun, and the last training of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The last merge that has ended.
    pub merge: Merge,
    /// The merge that has begun and not ended: what is published of it.
    pub begun: Merge,
    /// The last training of the model.
    pub training: Training,
}

/// A merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merge {
    /// When its last range was published.
    pub ended: Time,
    /// Microseconds that its ranges took, from the freeze on, each until it was published. What
    /// passed between two of them is left out, and so is a range that was not published.
    pub duration: u64,
    /// Entries of the delta tree that it merged.
    pub entries: u64,
    /// Why it began, by the number that the caller gave; 0: unknown.
    pub cause: u8,
}

/// A training of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Training {
    /// When it ended.
    pub ended: Time,
    /// Microseconds that it took, reading the fences and writing the model included.
    pub duration: u64,
}

/// Microseconds from one moment to another.
fn between(begun: Time, ended: Time) -> u64 {
    u64::try_from(ended.saturating_sub(begun)).unwrap_or(0)
}

impl History {
    /// A merge begins.
    pub(crate) fn begin(&mut self, cause: u8) {
        self.begun = Merge { cause, ..Merge::default() };
    }

    /// A range of the merge is published, the last one or not.
    pub(crate) fn publish(&mut self, begun: Time, now: Time, entries: u64, last: bool) {
        let merge = &mut self.begun;
        merge.duration = merge.duration.saturating_add(between(begun, now));
        merge.entries = merge.entries.saturating_add(entries);
        if last {
            self.merge = Merge { ended: now, ..self.begun };
            self.begun = Merge::default();
        }
    }
}

impl Training {
    /// A training that began and ended at these moments.
    pub(crate) fn between(begun: Time, ended: Time) -> Training {
        Training { ended, duration: between(begun, ended) }
    }
}

/// A history as stored.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct StoredHistory {
    merge_ended: i64,
    merge_duration: u64,
    merge_entries: u64,
    begun_duration: u64,
    begun_entries: u64,
    trained: i64,
    training_duration: u64,
    merge_cause: u8,
    begun_cause: u8,
    padding: [u8; 6],
}

const _: () = assert!(size_of::<StoredHistory>() == 64);

impl From<History> for StoredHistory {
    fn from(history: History) -> StoredHistory {
        let History { merge, begun, training } = history;
        StoredHistory {
            merge_ended: merge.ended,
            merge_duration: merge.duration,
            merge_entries: merge.entries,
            begun_duration: begun.duration,
            begun_entries: begun.entries,
            trained: training.ended,
            training_duration: training.duration,
            merge_cause: merge.cause,
            begun_cause: begun.cause,
            padding: [0; 6],
        }
    }
}

impl From<StoredHistory> for History {
    fn from(stored: StoredHistory) -> History {
        History {
            merge: Merge {
                ended: stored.merge_ended,
                duration: stored.merge_duration,
                entries: stored.merge_entries,
                cause: stored.merge_cause,
            },
            begun: Merge {
                ended: 0,
                duration: stored.begun_duration,
                entries: stored.begun_entries,
                cause: stored.begun_cause,
            },
            training: Training { ended: stored.trained, duration: stored.training_duration },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_gives_no_duration() {
        let mut history = History::default();
        history.begin(3);
        history.publish(1_000, 400, 7, false);
        history.publish(Time::MAX, Time::MIN, 1, false);
        history.publish(500, 540, 2, true);
        assert_eq!(history.merge, Merge { ended: 540, duration: 40, entries: 10, cause: 3 });
        assert_eq!(history.begun, Merge::default());
        assert_eq!(Training::between(9, 4), Training { ended: 4, duration: 0 });
    }
}
