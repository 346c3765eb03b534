//! What serializable transactions need of the index beyond what the core does for it: a scan locks the whole index
//! (`ampredlocks` is false), and every insertion asks whether somebody has it locked.

use pgrx::prelude::*;

unsafe extern "C-unwind" {
    /// Of storage/predicate.h, which pgrx does not bind. Raises errors: call it with a guard.
    fn CheckForSerializableConflictIn(
        relation: pg_sys::Relation,
        tid: pg_sys::ItemPointer,
        block: pg_sys::BlockNumber,
    );
}

/// Fails if this transaction cannot be serialized with one that has read the index.
///
/// The core asks that before it calls `aminsert`: too early for a scan that begins after it asked and ends before the
/// entry is in, which neither finds the row nor is found. Asked again when the entry is in, a scan that began before
/// has locked the index, and one that begins later finds the entry.
///
/// # Safety
/// `index` is open, and none of its pages is locked by this session.
pub(crate) unsafe fn check_readers(index: pg_sys::Relation) {
    // SAFETY: by contract; the level is this session's own.
    unsafe {
        if pg_sys::XactIsoLevel != pg_sys::XACT_SERIALIZABLE as i32 {
            return;
        }
        let no_row = std::ptr::null_mut();
        pg_sys::ffi::pg_guard_ffi_boundary(
            #[allow(ffi_unwind_calls)]
            || CheckForSerializableConflictIn(index, no_row, pg_sys::InvalidBlockNumber),
        );
    }
}
