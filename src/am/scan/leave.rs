//! Leaving a group behind: a caller that has what it wants of the entries whose first columns are
//! alike goes on with the next ones.
//!
//! The scan stays an ordinary one. It stands where it would stand had the last entry of the group
//! been returned: guards, predicate locks and everything else follow from there.

use learned_index::key::{Key, NullClass, Word};
use learned_index::tree::scan::Direction;
use pgrx::prelude::*;

use super::{OpenScan, direction_of, open_scan, with_scan};
use crate::am::groups::GroupCode;

/// Passes over the entries that come in this direction and have the same values in the first
/// columns, `alike` of them, as the one that was returned last. Whether the index has to be
/// searched for what comes behind them. `None` if no entry was returned last.
///
/// # Safety
/// `scan` is one of ours, which is read in this direction.
pub(crate) unsafe fn leave_group(
    scan: pg_sys::IndexScanDesc,
    alike: usize,
    direction: pg_sys::ScanDirection::Type,
) -> Option<bool> {
    // SAFETY: by contract.
    unsafe {
        // For safety, as `index_restrpos` has it: what was returned last is not what the scan
        // stands on now.
        (*scan).kill_prior_tuple = false;
        (*scan).xs_heap_continue = false;
        with_scan!(scan, open => open.leave_group(alike, direction_of(direction)))
    }
}

impl<C: GroupCode> OpenScan<C> {
    /// [`leave_group`].
    fn leave_group(&mut self, alike: usize, direction: Direction) -> Option<bool> {
        let (class, code, _) = self.scan.here()?;
        let last = match (class, direction) {
            (NullClass::Value, Direction::Forward) => code.last_alike(&self.columns, alike),
            (NullClass::Value, Direction::Backward) => code.first_alike(&self.columns, alike),
            // Of the only column: all NULLs have one code.
            _ => *code,
        };
        // Of most rows that were copied none is read.
        self.heap_ahead.stop();
        let is_copied = self.scan.skip_past(direction, Key { class, code: last });
        if !is_copied {
            self.counted = false;
        }
        Some(!is_copied)
    }
}
