//! Faults that tests inject into the protocol, to see that they are noticed.
//!
//! In every other build no fault is ever injected, and the questions vanish.

/// A step of the protocol that is left out, or done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The word is not loaded again after a page was locked for reading.
    ReadUnderAnyWord,
    /// The word is not loaded again after a page was locked for changes.
    LockUnderAnyWord,
    /// The directory is kept when another one was published.
    KeepDirectory,
    /// What was copied from the delta trees is kept when the state changes before the leaf is read.
    KeepCopies,
    /// Replaced blocks are freed before what replaces them is current.
    FreeBeforePublish,
    /// A tombstone is looked up for the slot next to the right one.
    TombstoneOfNeighbour,
    /// A tombstone also hides an equal entry of a delta tree.
    TombstoneByEntry,
    /// An insert of a unique index locks the leaf of its own entry, not the first one of its key.
    UniqueLocksOwnLeaf,
    /// Vacuum takes no cleanup locks on pages in which it has nothing to do.
    SkipOtherPages,
    /// What is known of a tree's leaves while it takes inserts is kept when it is frozen.
    KeepRoutesOfFrozen,
    /// A scan that checks what it copied believes the visibility map without a second look at the
    /// leaf.
    NoSecondLook,
    /// The dead slots of a delta leaf are kept when it is written anew.
    KeepKilled,
    /// A scan remembers a dead row by its entry wherever that is by now.
    KillByTid,
    /// A scan that checks what it copied believes the visibility map for entries of delta trees.
    MapForFresh,
    /// A count keeps what it read of the visibility map under another state.
    KeepMap,
    /// A count reads a leaf before the visibility map, and not again after it.
    MapAfterLeaf,
    /// VACUUM does not change the word when it has removed entries.
    KeepWord,
    /// A count believes what it remembers of leaves under a word that may have changed since.
    KeepLiving,
    /// A leaf of which everybody sees all rows is copied before the visibility map is read.
    SeeBeforeMap,
    /// The same is believed to have all rows, whatever the delta trees have.
    SeeNoDelta,
    /// The keys that were seen in a delta leaf are kept when it is written anew.
    KeepSeen,
    /// A writer does not look at some of the parts that its key is in.
    LeavePartsOut,
    /// A reader locks what it has read, and does not read it again.
    LockAfterReading,
    /// A reader locks from the first to the last key that it found, and not the gaps around them.
    LockOnlyWhatWasFound,
    /// A writer looks for locks before its entry is in.
    #[cfg(test)]
    CheckBeforeInserting,
    /// A delta leaf's number of rewrites stays when entries are taken out.
    KeepRewrites,
    /// An insert asks for the dead rows of a leaf, and then takes their entries out, without a pin.
    RemoveWithoutPin,
    /// An insert takes out entries of rows that some snapshot still sees.
    #[cfg(test)]
    RemoveWhatSnapshotsSee,
    /// Vacuum takes dead entries out of a delta leaf under a plain exclusive lock.
    PlainLockOnDelta,
    /// What nobody refers to is freed without looking at it again under its lock.
    SweepWithoutLook,
    /// The map of a leaf's dead slots is read under any word.
    MapUnderAnyWord,
    /// The record that marks dead slots in a map names the map before the leaf.
    LogMapFirst,
    /// A unique check that begins again knows nothing of the rows that it has looked at.
    ForgetRows,
}

/// Whether a test injects this fault.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn injected(_: Fault) -> bool {
    false
}

/// Whether a test ends what is being done here, as an error of the store would.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn cut_off() -> bool {
    false
}

/// Entries or children with which a page of a delta tree counts as full.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn full_at(capacity: usize) -> usize {
    capacity
}

#[cfg(test)]
pub(crate) use testing::{cut_off, full_at, injected};

#[cfg(test)]
pub(crate) mod testing {
    use std::cell::Cell;

    use super::Fault;

    // Of the operating system's thread: one test, with all the threads that it simulates.
    thread_local! {
        static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
        static FULL_AT: Cell<usize> = const { Cell::new(usize::MAX) };
        static CUT_OFF: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }

    pub(crate) fn injected(fault: Fault) -> bool {
        FAULT.get() == Some(fault)
    }

    pub(crate) fn full_at(capacity: usize) -> usize {
        capacity.min(FULL_AT.get())
    }

    /// Injects a fault into what this thread does from here on, or none.
    pub(crate) fn inject(fault: Option<Fault>) {
        FAULT.set(fault);
    }

    pub(crate) fn cut_off() -> bool {
        let (every, asked) = CUT_OFF.get();
        CUT_OFF.set((every, asked + 1));
        every > 0 && asked % every == 0
    }

    /// Cuts a merge off each `every`-th time that it comes to this place; 0: never.
    pub(crate) fn set_cut_off(every: u64) {
        CUT_OFF.set((every, 0));
    }

    /// Makes pages of delta trees count as full early, so that few entries make deep trees.
    pub(crate) fn set_full_at(capacity: usize) {
        FULL_AT.set(capacity);
    }
}
