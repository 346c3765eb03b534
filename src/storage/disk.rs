//! Whether the disk of an index has room.

use std::ffi::CString;

use pgrx::pg_sys;

use crate::relation::OpenIndex;

/// Bytes that must be free for what nobody has asked for.
const ROOM: u64 = 64 << 20;

/// Whether there is room for pages that are good to have and no more. A statement that only reads
/// must not fail for want of them.
pub(crate) fn has_room(index: OpenIndex) -> bool {
    let tablespace = pg_sys::Oid::from(index.file().tablespace);
    // A server process works in its data directory (relpath.h).
    let directory = match tablespace {
        pg_sys::DEFAULTTABLESPACE_OID => "base".to_owned(),
        oid => format!("pg_tblspc/{}", oid.to_u32()),
    };
    free_bytes(&directory).is_some_and(|free| free >= ROOM)
}

fn free_bytes(directory: &str) -> Option<u64> {
    let path = CString::new(directory).ok()?;
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends with a zero byte; the call fills the struct, of which any bytes are a
    // value.
    let found = unsafe {
        if libc::statvfs(path.as_ptr(), found.as_mut_ptr()) != 0 {
            return None;
        }
        found.assume_init()
    };
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
