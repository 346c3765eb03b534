//! What all sessions together do with an index, for those who watch it: `WITH (monitoring = on)`.
//!
//! A scan counts for itself, and adds to the counters of the server once, when it is dropped: at
//! its end, or where its transaction is aborted. Counting raises no error. Where there is no place
//! for an index, it is not counted.
//!
//! - `table`: the counters in shared memory

mod table;

use pgrx::prelude::*;

use crate::relation::OpenIndex;
use table::Table;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Counter {
    /// Searches of index scans.
    Scans,
    /// Counts, and groups that were counted, by nodes of ours.
    Counts,
    /// Reads of leaves by index scans.
    LeafReads,
    /// Those where the model had promised the leaf.
    Predicted,
    /// Those where the model had promised other leaves.
    Mispredicted,
    /// Entries of delta trees that scans have copied.
    UnmergedHits,
    /// Entries whose rows scans have found dead.
    DeadHits,
    /// Ranges that were merged.
    Merges,
    /// Entries of delta trees that were merged.
    MergedEntries,
    /// Microseconds that this took.
    MergeTime,
}

/// How many of them there are.
const COUNTERS: usize = Counter::MergeTime as usize + 1;

/// What was counted of an index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    counters: [u64; COUNTERS],
    /// When a range was merged last.
    pub(crate) last_merge: Option<pg_sys::TimestampTz>,
    /// Since when.
    pub(crate) since: pg_sys::TimestampTz,
}

impl Figures {
    /// A counter as SQL has it.
    pub(crate) fn get(&self, counter: Counter) -> i64 {
        self.counters[counter as usize] as i64
    }
}

/// Where an index is counted.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    table: &'static Table,
    at: usize,
    key: u64,
}

/// Where an index is counted; `None` if it is not. Call it within a transaction, with nothing
/// locked.
#[inline]
pub(crate) fn place_of(index: OpenIndex) -> Option<Place> {
    if index.is_monitored() { find_place(index) } else { None }
}

#[cold]
fn find_place(index: OpenIndex) -> Option<Place> {
    let (table, key) = (Table::get()?, key_of(index));
    // SAFETY: within a transaction.
    let at = unsafe { table.find_or_claim(key) }?;
    Some(Place { table, at, key })
}

fn key_of(index: OpenIndex) -> u64 {
    // SAFETY: a variable of this process.
    let database = unsafe { pg_sys::MyDatabaseId };
    u64::from(database.to_u32()) << 32 | u64::from(index.oid().to_u32())
}

impl Place {
    /// Adds to counters. Never fails.
    pub(crate) fn add(&self, counted: &[(Counter, u64)]) {
        if let Some(slot) = self.table.slot(self.at, self.key) {
            for &(counter, count) in counted {
                slot.add(counter, count);
            }
        }
    }

    /// Counts a count.
    pub(crate) fn add_count(&self) {
        self.add(&[(Counter::Counts, 1)]);
    }

    /// Counts a merge that took some microseconds.
    pub(crate) fn add_merge(&self, entries: u64, time: u64) {
        self.add(&[
            (Counter::Merges, 1),
            (Counter::MergedEntries, entries),
            (Counter::MergeTime, time),
        ]);
        if let Some(slot) = self.table.slot(self.at, self.key) {
            slot.merged_now();
        }
    }

    /// What was counted.
    pub(crate) fn figures(&self) -> Figures {
        self.table.figures(self.key)
    }

    /// Begins to count at 0.
    pub(crate) fn reset(&self) {
        self.table.reset(self.key);
    }
}
