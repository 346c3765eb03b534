//! The store over shared buffers and WAL.
//!
//! - [`buffers`]: pages of a finished index, locked, pinned, changed
//! - [`pins`]: how many resting scans may keep the metapage pinned
//! - [`bulk`]: pages of an index that is being built; [`progress`]: how far a build is
//! - [`wal`]: what is logged, and how
//! - [`horizon`]: what standbys are told before entries are taken out
//! - [`spill`]: temporary files; [`disk`]: whether there is room for more
//! - [`session`]: what this session remembers of each index

pub(crate) mod buffers;
pub(crate) mod bulk;
pub(crate) mod disk;
pub(crate) mod horizon;
mod pins;
pub(crate) mod progress;
pub(crate) mod session;
pub(crate) mod spill;
#[cfg(any(test, feature = "pg_test"))]
mod tests;
pub(crate) mod wal;

use learned_index::page::PAGE_SIZE;
use pgrx::pg_sys;

const _: () = assert!(pg_sys::BLCKSZ as usize == PAGE_SIZE, "only the default BLCKSZ is supported");
