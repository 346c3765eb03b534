//! What a scan has done, for those who watch: the counters of all sessions, and EXPLAIN.

use learned_index::key::Word;
use learned_index::tree::scan::Work;
use pgrx::prelude::*;

use super::quals::QualCode;
use super::{OpenScan, open_scan, with_scan};
use crate::counters::Counter;

/// At the scan's end, or where its transaction is aborted.
impl<C: QualCode> Drop for OpenScan<C> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let work = self.scan.work();
        place.add(&[
            (Counter::Scans, self.searches),
            (Counter::LeafReads, work.leaves()),
            (Counter::Predicted, work.by_model),
            (Counter::Mispredicted, work.by_search),
            (Counter::UnmergedHits, work.unmerged),
            (Counter::DeadHits, work.dead),
        ]);
    }
}

/// What a scan has done, from its beginning on.
///
/// # Safety
/// `scan` is one of ours, and is open.
#[cfg_attr(not(feature = "pg18"), expect(dead_code, reason = "EXPLAIN asks from 18 on"))]
pub(crate) unsafe fn work_of(scan: pg_sys::IndexScanDesc) -> Work {
    // SAFETY: by contract.
    unsafe { with_scan!(scan, open => open.scan.work()) }
}
