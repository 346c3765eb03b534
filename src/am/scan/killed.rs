//! Marking the dead rows that the scans of a session have found, so that no other session looks
//! them up.
//!
//! nbtree sets hints for that, which are not logged. Here dead entries are marked as VACUUM marks
//! them, or taken out of the active delta tree, in a record of the log; a standby is told first
//! which of its queries need the rows.

use learned_index::corruption::Result;
use learned_index::tree::delta::remove_killed;
use learned_index::tree::directory::Directory;
use learned_index::tree::mark::mark_killed;
use learned_index::tree::scan::ManyDead;
use pgrx::prelude::*;

use crate::am::dead_rows::DeadRows;
use crate::column::code::IndexCode;
use crate::merge::exclusion::Exclusion;
use crate::relation::OpenTable;
use crate::storage::buffers::IndexStore;
use crate::storage::disk::has_room;

/// Marks the entries of dead rows where many were found, unless another session merges or vacuums
/// the index meanwhile.
///
/// # Safety
/// `scan` is valid, and its transaction did not begin in recovery; `store` is its index.
pub(super) unsafe fn mark_for_all_sessions<C: IndexCode>(
    scan: pg_sys::IndexScanDesc,
    store: &IndexStore<C>,
    directory: &mut Directory<C>,
    many: ManyDead<C>,
) -> Result<()> {
    // SAFETY: by contract.
    unsafe {
        let (index, heap) = (store.index(), (*scan).heapRelation);
        // Workers and their leader share heavyweight locks: the exclusion would not keep one of
        // them from another.
        if heap.is_null() || pg_sys::IsInParallelMode() {
            return Ok(());
        }
        let mut rows = DeadRows::new(index, OpenTable::new(heap));
        if let Some(position) = many.in_active {
            remove_killed(store, directory, position, &mut rows)?;
        }
        if let Some(position) = many.in_leaf
            && let Some(exclusion) = Exclusion::try_take(index)
        {
            let marked = mark_killed(store, directory, position, has_room(index), &mut rows);
            exclusion.release();
            marked?;
        }
        Ok(())
    }
}
