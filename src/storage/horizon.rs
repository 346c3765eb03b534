//! Telling standbys which of their snapshots a removal would take rows from.
//!
//! An entry may go when no snapshot of this server sees its row any more. A standby may have older
//! ones: unless it sends feedback, nobody here knows of them. So the removal says up to which
//! transaction rows were removed, and replay cancels the queries of the standby that still need
//! these rows, before it removes the entries. Generic records cannot say that, but a record of
//! nbtree can, on its own: *reuse page* touches no page, and replay does nothing for it but to
//! cancel these queries (`btree_xlog_reuse_page` of nbtxlog.c). VACUUM needs none: what it removes
//! from the table itself has told the horizon before.

use std::mem::offset_of;

use pgrx::pg_sys;

use crate::relation::{OpenIndex, OpenTable};

/// `XLOG_BTREE_REUSE_PAGE` of nbtxlog.h: the same from version 15 on.
const REUSE_PAGE: u8 = 0xD0;
const RM_BTREE_ID: pg_sys::RmgrId = pg_sys::RmgrIds::RM_BTREE_ID as pg_sys::RmgrId;

/// `FirstNormalTransactionId` of transam.h: the ones below are never removed from a snapshot's
/// view.
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

/// Logs that entries of rows which this transaction, and those before it, removed are about to be
/// taken out of an index. Must come before the record that takes them out; that the entries stay
/// after all does no harm. Nothing is logged where no standby can have the index, or where what
/// removed the rows from the table has told the horizon.
///
/// # Safety
/// Not within a critical section.
pub(crate) unsafe fn log_conflict(
    index: OpenIndex,
    table: OpenTable,
    horizon: pg_sys::TransactionId,
) {
    // SAFETY: wal_level is a setting of this process.
    let replicates = unsafe { pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_REPLICA as i32 };
    let horizon = u32::from(horizon);
    if !replicates || !index.needs_wal() || horizon < FIRST_NORMAL {
        return;
    }
    let mut record = record_of(index, table, horizon);
    // SAFETY: nothing is being logged; the data lives until the insertion is over. An error leaves
    // nothing begun that the transaction's abort does not reset.
    unsafe {
        pg_sys::XLogBeginInsert();
        pg_sys::XLogRegisterData((&raw mut record).cast(), LOGGED as _);
        pg_sys::XLogInsert(RM_BTREE_ID, REUSE_PAGE);
    }
}

fn record_of(index: OpenIndex, table: OpenTable, horizon: u32) -> ReusePage {
    // SAFETY: the next transaction ID is read under its lock.
    let next = unsafe { pg_sys::ReadNextFullTransactionId().value };
    let file = index.file();
    #[cfg(feature = "pg15")]
    let _ = table;
    ReusePage {
        file: [file.tablespace, file.database, file.number],
        block: 0,
        horizon: widened(horizon, next),
        #[cfg(not(feature = "pg15"))]
        is_catalog: table.is_decoded_with().into(),
        #[cfg(not(feature = "pg15"))]
        padding: [0; 7],
    }
}

/// The full ID of a transaction that has begun, so before `next`: a horizon in the future would be
/// in conflict with nothing.
fn widened(xid: u32, next: u64) -> u64 {
    let this_epoch = next & !u64::from(u32::MAX);
    let full = this_epoch | u64::from(xid);
    if full < next { full } else { full.saturating_sub(1 << 32) }
}
