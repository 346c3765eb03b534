//! Logging.
//!
//! Three ways, all of them replayed by the core alone: a build logs its finished pages
//! ([`super::bulk`]), a new page is logged as a whole, and small changes are logged as records
//! of the *generic* resource manager that this module writes itself: `generic_xlog.c` would copy
//! and compare whole pages to find the few bytes that we know already.

use std::cell::RefCell;

use learned_index::memory::Room;
use learned_index::page::{Edit, PageBytes, apply};
use pgrx::pg_sys;

/// At most so many blocks are in a record: what replay of generic records has room for.
pub(crate) const MAX_BLOCKS: usize = 4;
const _: () = assert!(pg_sys::XLR_NORMAL_MAX_BLOCK_ID as usize == MAX_BLOCKS);

/// The resource manager that replays plain byte ranges.
const RM_GENERIC_ID: pg_sys::RmgrId = pg_sys::RmgrIds::RM_GENERIC_ID as pg_sys::RmgrId;

/// Runs `change` in a critical section: an error in it would be a PANIC.
///
/// # Safety
/// `change` neither raises an error nor panics nor allocates.
pub(crate) unsafe fn critically(change: impl FnOnce()) {
    // SAFETY: a counter of this process, which only it changes.
    unsafe { pg_sys::CritSectionCount += 1 };
    change();
    // SAFETY: as above.
    unsafe { pg_sys::CritSectionCount -= 1 };
}

/// The bytes of a page in a buffer.
///
/// # Safety
/// `buffer` is pinned, and locked as the use of the bytes asks for.
pub(crate) unsafe fn page_of(buffer: pg_sys::Buffer) -> *mut PageBytes {
    // SAFETY: by contract the buffer is pinned; its page has BLCKSZ bytes.
    unsafe { pg_sys::BufferGetPage(buffer).cast() }
}

/// Overwrites a locked page with a new one, and logs it as a whole.
///
/// # Safety
/// `buffer` is pinned and locked exclusively.
pub(crate) unsafe fn write_whole(buffer: pg_sys::Buffer, page: &PageBytes, log: bool) {
    // SAFETY: the closure copies bytes and calls what the core itself calls in critical sections.
    unsafe {
        critically(|| {
            *page_of(buffer) = *page;
            pg_sys::MarkBufferDirty(buffer);
            if log {
                pg_sys::log_newpage_buffer(buffer, true);
            }
        });
    }
}

/// Appends the data of one block in a generic record: {offset, length, bytes} for each edit, as
/// `applyPageRedo` of generic_xlog.c reads them.
fn put_fragments(edits: &[Edit], data: &mut Vec<u8>) {
    data.make_room(edits.iter().map(|edit| 4 + edit.bytes.len()).sum());
    for edit in edits {
        data.extend_from_slice(&edit.offset.to_ne_bytes());
        data.extend_from_slice(&(edit.bytes.len() as u16).to_ne_bytes());
        data.extend_from_slice(&edit.bytes);
    }
}

thread_local! {
    /// The data of a record, in memory that is used again for the next one.
    static RECORD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is called in critical sections, where an ERROR is a PANIC and never returns: so these need
/// none of the guards that turn an ERROR into a panic.
mod in_critical_section {
    use pgrx::pg_sys;

    unsafe extern "C" {
        pub(super) fn MarkBufferDirty(buffer: pg_sys::Buffer);
        pub(super) fn XLogRegisterBuffer(block: u8, buffer: pg_sys::Buffer, flags: u8);
        // PostgreSQL 15 takes an int where later versions take a u32.
        pub(super) fn XLogRegisterBufData(block: u8, data: *const u8, len: u32);
        pub(super) fn XLogInsert(rmid: pg_sys::RmgrId, info: u8) -> pg_sys::XLogRecPtr;
    }
}

/// Changes locked pages as one, in the order given: replay locks them in this order too.
///
/// # Safety
/// The buffers are pinned, locked exclusively, different, and at most [`MAX_BLOCKS`]; the edits
/// lie within the pages and change neither the WAL position nor the bounds of the hole without
/// the bytes in it.
pub(crate) unsafe fn write_edits<'e>(
    changes: impl Iterator<Item = (pg_sys::Buffer, &'e [Edit])> + Clone,
    log: bool,
) {
    RECORD.with_borrow_mut(|record| {
        record.clear();
        let mut ends = [0; MAX_BLOCKS];
        assert!(changes.clone().count() <= MAX_BLOCKS);
        if log {
            for ((_, edits), end) in changes.clone().zip(&mut ends) {
                put_fragments(edits, record);
                *end = record.len();
            }
            // SAFETY: nothing is being logged; an error here leaves nothing begun.
            unsafe { pg_sys::XLogBeginInsert() };
        }
        // SAFETY: everything that allocates or could fail was done before; the rest is what every
        // access method of the core does in its critical sections.
        unsafe {
            critically(|| {
                for (buffer, edits) in changes.clone() {
                    apply(&mut *page_of(buffer), edits);
                    in_critical_section::MarkBufferDirty(buffer);
                }
                if log {
                    log_edits(changes, record, &ends);
                }
            });
        }
    });
}

/// # Safety
/// In a critical section of [`write_edits`].
unsafe fn log_edits<'e>(
    changes: impl Iterator<Item = (pg_sys::Buffer, &'e [Edit])> + Clone,
    record: &[u8],
    ends: &[usize; MAX_BLOCKS],
) {
    use in_critical_section::{XLogInsert, XLogRegisterBufData, XLogRegisterBuffer};
    let mut start = 0;
    // SAFETY: by contract; the data outlives the insertion.
    unsafe {
        for ((id, (buffer, _)), &end) in (0..).zip(changes.clone()).zip(ends) {
            XLogRegisterBuffer(id, buffer, pg_sys::REGBUF_STANDARD as u8);
            XLogRegisterBufData(id, record.as_ptr().add(start), (end - start) as u32);
            start = end;
        }
        let lsn = XLogInsert(RM_GENERIC_ID, 0);
        for (buffer, _) in changes {
            set_lsn(&mut *page_of(buffer), lsn);
        }
    }
}

/// `PageSetLSN` of bufpage.h: the upper half first.
fn set_lsn(page: &mut PageBytes, lsn: pg_sys::XLogRecPtr) {
    page[0..4].copy_from_slice(&((lsn >> 32) as u32).to_ne_bytes());
    page[4..8].copy_from_slice(&(lsn as u32).to_ne_bytes());
}
