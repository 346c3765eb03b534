//! Stop points: named places where a test holds one session while others go on.
//!
//! Only a build with the feature `stop_points` has them, and it is for tests; in every other build
//! the calls vanish. What a session does at a place is up to the hook that was set.

/// A place where a session can be held. Whether pages are locked there is part of what a test
/// needs to know: a session that wants them waits too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopPoint {
    /// A scan has copied what the delta trees have, and goes to the leaf. Nothing is locked.
    ScanBeforeLeaf,
    /// A scan has copied a portion, and checked it if it does. Nothing is locked.
    ScanCopied,
    /// A scan that checks what it copied is about to read the visibility map. Nothing is locked.
    ScanBeforeMap,
    /// It has read the visibility map, and is about to look at the leaf again. Nothing is locked.
    ScanBeforeSecondLook,
    /// A count is about to read the visibility map. Nothing is locked.
    CountBeforeMap,
    /// A count has read the visibility map, and is about to read the leaf. Nothing is locked.
    CountBeforeLeaf,
    /// The table was asked for the dead rows of a leaf, which is not locked yet.
    MarkBeforeLock,
    /// A scan or a check has a leaf locked, and goes to the page that marks its dead slots.
    BeforeMap,
    /// A reader knows which page of a delta tree to read. Nothing is locked.
    DeltaBeforeRead,
    /// An insert knows its leaf of the delta tree. Nothing is locked.
    InsertBeforeLock,
    /// An insert has its leaf locked and has found the state unchanged.
    InsertUnderLock,
    /// A new tree's root is written, and the tree not yet opened. Nothing is locked.
    OpenBeforeTransition,
    /// The new pages of a split are written. Nothing is locked.
    SplitBeforeLock,
    /// A split has everything locked: parent, child, new page.
    SplitUnderLock,
    /// An insert has found out which rows of a full leaf are dead. The leaf is pinned, nothing is
    /// locked.
    RemovalBeforeLock,
    /// An insert is about to take the entries of dead rows out, and has told standbys. The leaf is
    /// locked.
    RemovalUnderLock,
    /// A unique check has looked below the active tree. Nothing is locked.
    UniqueBeforeLock,
    /// A unique check is about to look a row up. Nothing is locked; or the first leaf of the key
    /// is, for few rows.
    UniqueLook,
    /// A unique check has found no duplicate. The first leaf of the key is locked.
    UniqueUnderLock,
    /// A tree was frozen just now, with the exclusion. Nothing is locked.
    Frozen,
    /// New leaves are written, with the exclusion, and nothing refers to them. Nothing is locked.
    RewriteBeforeDirectory,
    /// Everything new is written, with the exclusion. Nothing is locked.
    PublishBeforeTransition,
    /// Something was published, and what it replaced is not free yet; with the exclusion. Nothing
    /// is locked.
    PublishedBeforeFree,
    /// The first of the replaced blocks is free, with the exclusion. Nothing is locked.
    FreedOne,
    /// A range was published, and the pages of the frozen tree that it emptied are not free yet;
    /// with the exclusion. Nothing is locked.
    MergedBeforeFree,
    /// VACUUM has looked at a block that nothing refers to, and is about to free it or to offer it;
    /// with the exclusion. Nothing is locked.
    SweepBeforeFree,
    /// VACUUM has freed what nobody referred to, with the exclusion. Nothing is locked.
    VacuumSwept,
    /// VACUUM comes to the next block, with the exclusion. Nothing is locked.
    VacuumBeforePage,
    /// VACUUM has written a leaf's new tombstone page, to which the leaf does not point yet; with
    /// the exclusion. Nothing is locked.
    VacuumBeforeMap,
    /// VACUUM has marked what it was told of, and has not changed the word since; with the
    /// exclusion. Nothing is locked.
    VacuumBeforeWord,
    /// The rows of the table are read, and not all pages of the new index are written.
    BuildScanned,
    /// All pages of a new index are written, and none is logged.
    BuildWritten,
    /// All pages of a new index are logged.
    BuildLogged,
}

#[cfg(feature = "stop_points")]
static HOOK: std::sync::OnceLock<fn(StopPoint)> = std::sync::OnceLock::new();

/// Sets what is called at each stop point, once in a process.
#[cfg(feature = "stop_points")]
pub fn set_hook(hook: fn(StopPoint)) {
    let _ = HOOK.set(hook);
}

/// Passes a stop point.
#[cfg(feature = "stop_points")]
pub fn stop_at(point: StopPoint) {
    if let Some(hook) = HOOK.get() {
        hook(point);
    }
}

/// Passes a stop point: does nothing in this build.
#[cfg(not(any(test, feature = "stop_points")))]
#[inline(always)]
pub const fn stop_at(_: StopPoint) {}

#[cfg(all(test, not(feature = "stop_points")))]
pub(crate) use testing::stop_at;

#[cfg(all(test, not(feature = "stop_points")))]
pub(crate) mod testing {
    use std::cell::Cell;

    use super::StopPoint;

    // Of the operating system's thread: one test, with all the threads that it simulates.
    thread_local! {
        static HOOK: Cell<Option<fn()>> = const { Cell::new(None) };
    }

    pub(crate) fn stop_at(_: StopPoint) {
        if let Some(hook) = HOOK.get() {
            hook();
        }
    }

    /// Sets what this thread calls at each stop point from here on.
    pub(crate) fn set_hook(hook: Option<fn()>) {
        HOOK.set(hook);
    }
}
