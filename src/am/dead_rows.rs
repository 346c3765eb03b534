//! Which rows of index entries are dead to all, as the table's access method says, for taking out
//! their entries.

use learned_index::entry::{Block, Entry};
use learned_index::key::{Code, Word};
use learned_index::page::delta::capacity;
use learned_index::tree::delta::{Candidate, Table};
use pgrx::prelude::*;

use crate::column::tid::item_pointer;
use crate::relation::{OpenIndex, OpenTable};
use crate::storage::horizon::log_conflict;

/// What one entry gives back: more than nothing is asked for.
const ENTRY_BYTES: i16 = 16;
/// What is wanted at once where it is not known which rows are dead: half a page of entries. The
/// table's method looks at a few of its pages for that, and gives up at the first one without any.
const WANTED_BYTES: i32 = capacity::<Word>() as i32 / 2 * ENTRY_BYTES as i32;

/// The table of an index.
pub(crate) struct DeadRows {
    index: OpenIndex,
    table: OpenTable,
}

impl DeadRows {
    /// # Safety
    /// This is no standby.
    pub(crate) unsafe fn new(index: OpenIndex, table: OpenTable) -> DeadRows {
        DeadRows { index, table }
    }
}

impl<C: Code> Table<C> for DeadRows {
    /// The last transaction that removed one of the rows.
    type Horizon = pg_sys::TransactionId;

    /// As `_bt_delitems_delete_check` of nbtpage.c asks, but that nothing is claimed to be dead:
    /// that would be believed.
    fn find_dead(
        &mut self,
        leaf: Block,
        candidates: &mut [Candidate],
        all: bool,
    ) -> pg_sys::TransactionId {
        if candidates.is_empty() {
            return pg_sys::TransactionId::INVALID;
        }
        // A leaf has few enough of them for the numbers, and for how the core sorts them.
        let rows = 0..candidates.len() as i16;
        let mut tids: Vec<pg_sys::TM_IndexDelete> = rows
            .zip(candidates.iter())
            .map(|(id, candidate)| pg_sys::TM_IndexDelete { tid: item_pointer(candidate.tid), id })
            .collect();
        let mut status: Vec<pg_sys::TM_IndexStatus> = candidates
            .iter()
            .zip(1..)
            .map(|(candidate, slot)| pg_sys::TM_IndexStatus {
                // From 1 on; for error messages only.
                idxoffnum: slot,
                knowndeletable: false,
                promising: candidate.promising && !all,
                freespace: ENTRY_BYTES,
            })
            .collect();
        let mut asked = pg_sys::TM_IndexDeleteOp {
            irel: self.index.raw(),
            iblknum: leaf,
            bottomup: !all,
            bottomupfreespace: WANTED_BYTES,
            ndeltids: candidates.len() as i32,
            deltids: tids.as_mut_ptr(),
            status: status.as_mut_ptr(),
        };
        // SAFETY: the relations are open; the arrays have as many elements as it says, and the core
        // permutes the first and sets bits in the second. An error becomes a panic, which frees
        // both.
        let horizon = unsafe { pg_sys::table_index_delete_tuples(self.table.raw(), &mut asked) };
        // What is behind the last one that is dead was cut off, and what is before it is in another
        // order.
        for answer in tids.iter().take(asked.ndeltids.max(0) as usize) {
            let row = answer.id as usize;
            if let (Some(candidate), Some(status)) = (candidates.get_mut(row), status.get(row)) {
                candidate.dead = status.knowndeletable;
            }
        }
        horizon
    }

    fn before_removal(&mut self, horizon: pg_sys::TransactionId, _: &[Entry<C>]) {
        // SAFETY: nothing is being logged.
        unsafe { log_conflict(self.index, self.table, horizon) };
    }
}
