//! Telling standbys which of their snapshots a removal would take rows from.
//!
//! An entry may go when no snapshot of this server sees its row any more. A standby may have older ones: unless it sends
//! feedback, nobody here knows of them. So the removal says up to which transaction rows were removed, and replay
//! cancels the queries of the standby that still need these rows, before it removes the entries. Generic records cannot
//! say that, but a record of nbtree can, on its own: *reuse page* touches no page, and replay does nothing for it but to
//! cancel these queries (`btree_xlog_reuse_page` of nbtxlog.c). VACUUM needs none: what it removes from the table itself
//! has told the horizon before.

use std::mem::offset_of;

use pgrx::pg_sys;

use super::wal;

/// `XLOG_BTREE_REUSE_PAGE` of nbtxlog.h: the same from version 15 on.
const REUSE_PAGE: u8 = 0xD0;
const RM_BTREE_ID: pg_sys::RmgrId = pg_sys::RmgrIds::RM_BTREE_ID as pg_sys::RmgrId;

/// `FirstNormalTransactionId` of transam.h: the ones below are never removed from a snapshot's view.
const FIRST_NORMAL: u32 = 3;

/// `xl_btree_reuse_page` of nbtxlog.h.
#[cfg(feature = "pg15")]
#[derive(Clone, Copy)]
#[repr(C)]
struct ReusePage {
    /// Tablespace, database, file. The database says whose queries are in danger.
    file: [u32; 3],
    block: u32,
    horizon: u64,
}

/// `xl_btree_reuse_page` of nbtxlog.h.
#[cfg(not(feature = "pg15"))]
#[derive(Clone, Copy)]
#[repr(C)]
struct ReusePage {
    /// Tablespace, database, file. The database says whose queries are in danger.
    file: [u32; 3],
    block: u32,
    horizon: u64,
    /// Whether logical decoding reads the table: its slots are in danger too.
    is_catalog: u8,
    padding: [u8; 7],
}

/// Bytes of the record: the padding at the end is not logged.
#[cfg(feature = "pg15")]
const LOGGED: usize = size_of::<ReusePage>();
#[cfg(not(feature = "pg15"))]
const LOGGED: usize = offset_of!(ReusePage, is_catalog) + 1;

const _: () = assert!(offset_of!(ReusePage, block) == 12 && offset_of!(ReusePage, horizon) == 16);
#[cfg(feature = "pg15")]
const _: () = assert!(LOGGED == 24);
#[cfg(not(feature = "pg15"))]
const _: () = assert!(LOGGED == 25 && size_of::<ReusePage>() == 32);

/// Logs that entries of rows which this transaction, and those before it, removed are about to be taken out of an
/// index. Must come before the record that takes them out; that the entries stay after all does no harm. Nothing is
/// logged where no standby can have the index, or where what removed the rows from the table has told the horizon.
///
/// # Safety
/// The relations are open. Not within a critical section.
pub(crate) unsafe fn log_conflict(
    index: pg_sys::Relation,
    heap: pg_sys::Relation,
    horizon: pg_sys::TransactionId,
) {
    // SAFETY: the index is open; wal_level is a setting of this process.
    let for_standbys = unsafe {
        wal::needs_wal(index) && pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_REPLICA as i32
    };
    let horizon = u32::from(horizon);
    if !for_standbys || horizon < FIRST_NORMAL {
        return;
    }
    // SAFETY: by contract.
    let mut record = unsafe { record_of(index, heap, horizon) };
    // SAFETY: nothing is being logged; the data lives until the insertion is over. An error leaves nothing begun
    // that the transaction's abort does not reset.
    unsafe {
        pg_sys::XLogBeginInsert();
        pg_sys::XLogRegisterData((&raw mut record).cast(), LOGGED as _);
        pg_sys::XLogInsert(RM_BTREE_ID, REUSE_PAGE);
    }
}

/// # Safety
/// The relations are open.
unsafe fn record_of(index: pg_sys::Relation, heap: pg_sys::Relation, horizon: u32) -> ReusePage {
    // SAFETY: by contract; the next transaction ID is read under its lock.
    let (relation, next) = unsafe { (&*index, pg_sys::ReadNextFullTransactionId().value) };
    #[cfg(feature = "pg15")]
    let file = relation.rd_node;
    #[cfg(not(feature = "pg15"))]
    let file = relation.rd_locator;
    #[cfg(feature = "pg15")]
    let _ = heap;
    ReusePage {
        #[cfg(feature = "pg15")]
        file: [file.spcNode.to_u32(), file.dbNode.to_u32(), u32::from(file.relNode)],
        #[cfg(not(feature = "pg15"))]
        file: [file.spcOid.to_u32(), file.dbOid.to_u32(), u32::from(file.relNumber)],
        block: 0,
        horizon: widened(horizon, next),
        #[cfg(not(feature = "pg15"))]
        // SAFETY: by contract.
        is_catalog: u8::from(unsafe { is_decoded_with(heap) }),
        #[cfg(not(feature = "pg15"))]
        padding: [0; 7],
    }
}

/// The full ID of a transaction that has begun, hence before `next`: a horizon in the future would be in conflict with
/// nothing.
fn widened(xid: u32, next: u64) -> u64 {
    let this_epoch = next & !u64::from(u32::MAX);
    let full = this_epoch | u64::from(xid);
    if full < next { full } else { full.saturating_sub(1 << 32) }
}

/// Whether logical decoding looks rows of a table up: `RelationIsAccessibleInLogicalDecoding` of rel.h.
///
/// # Safety
/// `table` is open.
#[cfg(not(feature = "pg15"))]
unsafe fn is_decoded_with(table: pg_sys::Relation) -> bool {
    // SAFETY: by contract; wal_level is a setting of this process. The options of a plain table are StdRdOptions.
    unsafe {
        let logical = pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_LOGICAL as i32;
        let kind = (*(*table).rd_rel).relkind as u8;
        let options = (*table).rd_options.cast::<pg_sys::StdRdOptions>();
        let user_catalog = matches!(kind, pg_sys::RELKIND_RELATION | pg_sys::RELKIND_MATVIEW)
            && options.as_ref().is_some_and(|options| options.user_catalog_table);
        logical && wal::needs_wal(table) && (pg_sys::IsCatalogRelation(table) || user_catalog)
    }
}
