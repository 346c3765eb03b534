//! The store over shared buffers and WAL.
//!
//! - [`buffers`]: pages of a finished index, locked, pinned, changed
//! - [`pins`]: how many of them scans keep pinned
//! - [`bulk`]: pages of an index that is being built
//! - [`wal`]: what is logged, and how
//! - [`horizon`]: what standbys are told before entries are taken out
//! - [`spill`]: temporary files
//! - [`session`]: what this session remembers of each index

pub(crate) mod buffers;
pub(crate) mod bulk;
pub(crate) mod disk;
pub(crate) mod horizon;
mod pins;
pub(crate) mod session;
pub(crate) mod spill;
pub(crate) mod wal;

use learned_index::corruption::Corruption;
use learned_index::entry::HeapTid;
use learned_index::page::PAGE_SIZE;
use pgrx::prelude::*;

use crate::am::refuse;

const _: () = assert!(pg_sys::BLCKSZ as usize == PAGE_SIZE, "only the default BLCKSZ is supported");

/// Raises the error of a page that cannot be what this extension wrote.
///
/// # Safety
/// `index` is an open relation. Nothing that has to be released by its destructor is held.
pub(crate) unsafe fn raise_corruption(index: pg_sys::Relation, corruption: Corruption) -> ! {
    // SAFETY: by contract the relation is open, and its name is a C string.
    let name = unsafe { index_name(index) };
    let place = corruption.block.map_or(String::new(), |block| format!(" at block {block}"));
    refuse(
        PgSqlErrorCode::ERRCODE_INDEX_CORRUPTED,
        format!(
            "index \"{name}\" is corrupted{place}: expected {}, found {}",
            corruption.expected, corruption.found
        ),
        "Please REINDEX it.",
    )
}

/// Raises the error that a row of the table is not in the index.
///
/// # Safety
/// The relations are open.
pub(crate) unsafe fn raise_missing_row(
    index: pg_sys::Relation,
    table: pg_sys::Relation,
    tid: HeapTid,
) -> ! {
    // SAFETY: by contract.
    let (index, table) = unsafe { (index_name(index), index_name(table)) };
    let place = format!("({},{})", tid.block(), tid.offset());
    refuse(
        PgSqlErrorCode::ERRCODE_INDEX_CORRUPTED,
        format!(
            "index \"{index}\" is corrupted: expected an entry for row {place} of table \"{table}\", found none"
        ),
        "Please REINDEX it.",
    )
}

/// The name of an open index.
///
/// # Safety
/// `index` is an open relation.
pub(crate) unsafe fn index_name(index: pg_sys::Relation) -> String {
    // SAFETY: rd_rel of an open relation is valid, and relname is a NUL-terminated NameData.
    unsafe { std::ffi::CStr::from_ptr((*(*index).rd_rel).relname.data.as_ptr()) }
        .to_string_lossy()
        .into_owned()
}
