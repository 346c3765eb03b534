//! Which indexes of a database have enough to merge.

use pgrx::prelude::*;

use super::attempt::{Attempt, attempt, in_transaction};
use super::opened::{Opened, open};
use crate::column::code::{IndexCode, with_code};
use crate::merge::board::{Board, Subject};
use crate::merge::need::{is_due, need_of};
use crate::merge::seats::is_undisturbed;
use crate::relation::OpenIndex;
use crate::storage::buffers::IndexStore;

/// How much an index needs to be merged: entries that wait, as a multiple of those at which it is
/// merged.
type Need = f64;

/// The indexes of this database that have enough to merge, the neediest first.
///
/// # Safety
/// No transaction is open.
pub(super) unsafe fn due() -> Vec<pg_sys::Oid> {
    // SAFETY: by contract.
    unsafe {
        let indexes = in_transaction(|| all_learned());
        let mut found: Vec<(Need, pg_sys::Oid)> = Vec::new();
        for index in indexes {
            check_for_interrupts!();
            if let Some(Some(need)) = attempt(|attempt| look_at(index, attempt)) {
                found.push((need, index));
            }
        }
        found.sort_by(|one, other| other.0.total_cmp(&one.0));
        found.into_iter().map(|(_, index)| index).collect()
    }
}

/// All learned indexes of this database that other sessions see.
///
/// # Safety
/// Within a transaction.
unsafe fn all_learned() -> Vec<pg_sys::Oid> {
    let mut found = Vec::new();
    // SAFETY: by contract; rows of pg_class begin with what FormData_pg_class describes.
    unsafe {
        let method = pg_sys::get_am_oid(c"learned".as_ptr(), true);
        if method == pg_sys::InvalidOid {
            return found;
        }
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let classes = pg_sys::table_open(pg_sys::RelationRelationId, lock);
        let mut key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &mut key,
            pg_sys::Anum_pg_class_relam as pg_sys::AttrNumber,
            pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber,
            pg_sys::F_OIDEQ.into(),
            method.into(),
        );
        let no_snapshot = std::ptr::null_mut();
        let scan = pg_sys::systable_beginscan(
            classes,
            pg_sys::InvalidOid,
            false,
            no_snapshot,
            1,
            &mut key,
        );
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let class = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>();
            if class.relkind as u8 == pg_sys::RELKIND_INDEX
                && class.relpersistence as u8 != pg_sys::RELPERSISTENCE_TEMP
            {
                found.push(class.oid);
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(classes, lock);
    }
    found
}

/// How much an index needs to be merged; `None` if it does not.
///
/// # Safety
/// Within a transaction.
unsafe fn look_at(index: pg_sys::Oid, attempt: &Attempt) -> Option<Need> {
    // SAFETY: by contract.
    unsafe {
        // The worker will leave before it merges anything.
        if !is_undisturbed(pg_sys::MyDatabaseId) {
            return Some(0.0);
        }
        let opened = match open(index) {
            Opened::Gone => return None,
            // It cannot be seen now: it is the last to be tried.
            Opened::Busy => return Some(0.0),
            Opened::Index(opened) => opened,
        };
        attempt.is_about(&opened, "looking at index");
        let relation = opened.index;
        let mut need = None;
        if relation.options().auto_retrain && !Board::get().rests(Subject::file_of(relation)) {
            need = with_code!(relation, C => need_if_due::<C>(relation));
        }
        opened.close();
        need
    }
}

/// How much an index needs to be merged, if it is due.
fn need_if_due<C: IndexCode>(index: OpenIndex) -> Option<Need> {
    let store: IndexStore<C> = IndexStore::new(index);
    let due = is_due(&store, false);
    let need = due.and_then(|due| due.then(|| need_of(&store, false)).transpose());
    store.release();
    need.unwrap_or_else(|corruption| index.raise_corruption(corruption))
}
