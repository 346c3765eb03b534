//! What keys of a scan select, where codes tell all of it.

use learned_index::key::Intervals;
use pgrx::prelude::*;

use super::scan::quals::QualCode;
use crate::relation::OpenIndex;
use crate::report::refuse;

/// Entries that keys select.
pub(super) struct Selected<C: QualCode> {
    pub(super) intervals: Intervals<C>,
    pub(super) filter: C::Filter,
}

impl<C: QualCode> Default for Selected<C> {
    fn default() -> Selected<C> {
        Selected { intervals: Intervals::new(), filter: C::Filter::default() }
    }
}

impl<C: QualCode> Selected<C> {
    /// # Safety
    /// The keys are those of a scan on an index of these columns, whose codes tell all of them.
    pub(super) unsafe fn by(
        index: OpenIndex,
        keys: &[pg_sys::ScanKeyData],
        columns: &C::Columns,
    ) -> Selected<C> {
        let mut selected = Selected::default();
        // SAFETY: by contract.
        unsafe { selected.set(index, keys, columns) };
        selected
    }

    /// Selects others. The memory is kept.
    ///
    /// # Safety
    /// As [`Selected::by`].
    pub(super) unsafe fn set(
        &mut self,
        index: OpenIndex,
        keys: &[pg_sys::ScanKeyData],
        columns: &C::Columns,
    ) {
        self.filter = C::Filter::default();
        // SAFETY: by contract.
        if unsafe { C::set_intervals(keys, columns, &mut self.intervals, &mut self.filter) } {
            refuse_inexact(index);
        }
    }
}

/// Raises the error that conditions are not told by codes, which the planner has seen to.
#[cold]
fn refuse_inexact(index: OpenIndex) -> ! {
    refuse(
        PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        format!("cannot count by index \"{}\" alone", index.name()),
        "Please report this. SET omendb_learned.enable_count = off avoids it.",
    )
}
