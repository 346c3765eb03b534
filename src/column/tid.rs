//! Heap TIDs.

use learned_index::entry::HeapTid;
use pgrx::pg_sys;

/// A heap TID of the core.
#[inline]
pub(crate) fn heap_tid(tid: &pg_sys::ItemPointerData) -> HeapTid {
    let block = u32::from(tid.ip_blkid.bi_hi) << 16 | u32::from(tid.ip_blkid.bi_lo);
    HeapTid::new(block, tid.ip_posid)
}

/// A heap TID as the core has it.
#[inline]
pub(crate) fn item_pointer(tid: HeapTid) -> pg_sys::ItemPointerData {
    let block = tid.block();
    pg_sys::ItemPointerData {
        ip_blkid: pg_sys::BlockIdData { bi_hi: (block >> 16) as u16, bi_lo: block as u16 },
        ip_posid: tid.offset(),
    }
}
