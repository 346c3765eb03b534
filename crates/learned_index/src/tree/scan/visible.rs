//! Checking a portion against the table: for scans that nobody waits for.
//!
//! An index-only scan returns what it copied without looking at the row, where the visibility map
//! says that all rows of the block are visible to everybody. By then VACUUM may have removed the
//! entry and its row: on a primary a pin makes it wait, on a standby replay waits for no pin. So
//! each entry of a portion is checked here, between the copy and the first entry that is returned:
//!
//! 1. The visibility map is read.
//! 2. The leaf is locked again. If the state word and the number of dead slots are as they were
//!    when the entries were copied, none of them had been removed when the map was read. VACUUM
//!    gives a heap TID away only after it has removed the entry, so each TID was still that of its
//!    row then; if its block was all-visible, the snapshot, which is older, sees the row.
//! 3. Every other entry, and every one from a delta tree, is asked of the heap under the snapshot.
//!
//! A row that the snapshot sees stays where it is as long as the snapshot does, so what was found
//! here is right whenever the entry is returned: whether the executor then finds the block
//! all-visible, or looks the row up itself.

use super::{Guard, Scan, Source};
use crate::corruption::Result;
use crate::entry::HeapTid;
use crate::fault::{Fault, injected};
use crate::key::Code;
use crate::memory::Room;
use crate::page::leaf;
use crate::stop::{StopPoint, stop_at};
use crate::store::Store;
use crate::tree::directory::Directory;

/// The rows of a table, under a snapshot.
pub trait Rows {
    /// Whether the snapshot sees a row at this heap TID, or one of its HOT chain.
    fn sees(&mut self, tid: HeapTid) -> bool;
}

/// What a table says of its rows, to a scan with a snapshot.
pub trait Visibility: Rows {
    /// Sets one answer for each heap TID: whether the visibility map says that all rows of its
    /// block are visible to everybody.
    fn all_visible(&mut self, tids: &[HeapTid], answers: &mut [bool]);
}

/// The table of a scan that checks nothing.
pub struct Unasked;

impl Rows for Unasked {
    fn sees(&mut self, _: HeapTid) -> bool {
        true
    }
}

impl Visibility for Unasked {
    fn all_visible(&mut self, _: &[HeapTid], answers: &mut [bool]) {
        answers.fill(true);
    }
}

impl<C: Code, P> Scan<P, C> {
    /// Takes the entries out of the portion that the snapshot does not see.
    pub(super) fn keep_visible<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &Directory<C>,
        table: &mut impl Visibility,
    ) -> Result<()> {
        debug_assert_eq!(self.guard, Guard::Checks);
        stop_at(StopPoint::ScanBeforeMap);
        self.all_visible.clear();
        self.all_visible.make_room(self.copied.len());
        self.all_visible.resize(self.copied.len(), false);
        table.all_visible(self.copied.tids(), &mut self.all_visible);
        stop_at(StopPoint::ScanBeforeSecondLook);
        let is_same = self.is_source_as_it_was(store, directory);
        if is_same && self.fresh.is_empty() && !self.all_visible.contains(&false) {
            return Ok(());
        }
        let mut fresh = self.fresh.iter().peekable();
        let mut all_visible = self.all_visible.iter();
        self.copied.keep_from(0, |entry| {
            let is_fresh = fresh.next_if(|&&fresh| fresh == entry).is_some();
            let believes_map = is_same && (!is_fresh || injected(Fault::MapForFresh));
            let is_all_visible = all_visible.next() == Some(&true);
            (believes_map && is_all_visible) || table.sees(entry.tid)
        });
        Ok(())
    }

    /// Whether the leaf that the portion was copied from has the entries still that it had, or
    /// there was none.
    fn is_source_as_it_was<S: Store<Pin = P, Code = C>>(
        &mut self,
        store: &S,
        directory: &Directory<C>,
    ) -> bool {
        let Some(Source { pin, dead }) = self.source.take() else { return true };
        if injected(Fault::NoSecondLook) || !self.all_visible.contains(&true) {
            store.unpin(pin);
            return true;
        }
        let page = store.lock_again(pin);
        if store.word() != directory.state().word {
            return false;
        }
        // It was checked when it was copied, and nothing else of it changes.
        leaf::tombstones(&page) == dead
    }
}
