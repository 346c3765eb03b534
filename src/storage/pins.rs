//! How many metapages a session keeps pinned in scans that rest.
//!
//! A scan looks at the state word of its index again and again, which is in the metapage. Keeping
//! it pinned makes a lookup faster. But a statement may have thousands of scans open, and between
//! two calls each of them would hold a buffer. So some do, and the others pin it anew at the next
//! call.

use std::cell::Cell;

use pgrx::prelude::*;

/// Scans that may keep their metapage, whatever there is of buffers.
const MOST: i32 = 32;

thread_local! {
    /// How many scans do, of the transaction with this local number: an aborted one releases its
    /// pins without a word, and no scan outlives its transaction.
    static RESTING: Cell<(u32, i32)> = const { Cell::new((0, 0)) };
}

/// Scans of this session, and of this transaction, that keep their metapage.
fn resting() -> i32 {
    let (transaction, count) = RESTING.get();
    if transaction == local_transaction() { count } else { 0 }
}

fn local_transaction() -> u32 {
    // SAFETY: this process's own entry, which it has as long as it has transactions.
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        return (*pg_sys::MyProc).lxid;
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        return (*pg_sys::MyProc).vxid.lxid;
    }
}

/// How many may, where all sessions share the buffers, or of this session's own. With few buffers,
/// few.
fn most(temporary: bool) -> i32 {
    // SAFETY: settings, which are read only.
    let share = unsafe {
        match temporary {
            true => pg_sys::num_temp_buffers / 8,
            false => pg_sys::NBuffers / (4 * pg_sys::MaxConnections.max(1)),
        }
    };
    share.clamp(1, MOST)
}

/// Whether one more scan may keep its metapage; then it counts until [`give_back`].
pub(super) fn keep_one(temporary: bool) -> bool {
    let count = resting();
    let may = count < most(temporary);
    if may {
        RESTING.set((local_transaction(), count + 1));
    }
    may
}

/// One scan keeps it no longer.
pub(super) fn give_back() {
    RESTING.set((local_transaction(), (resting() - 1).max(0)));
}
