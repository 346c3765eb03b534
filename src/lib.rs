//! Learned index access method for PostgreSQL.
//!
//! This crate is the glue between PostgreSQL and the pure [`learned_index`] crate:
//! access-method callbacks, Datums, shared buffers and WAL. What the index *is* lives there.
#![deny(ffi_unwind_calls)]

use pgrx::prelude::*;

mod am;
mod key_type;
mod maintenance;
mod memory;
mod quals;
#[cfg(feature = "stop_points")]
mod stop_points;
mod storage;

pgrx::pg_module_magic!(name, version);

/// Registers what has to exist before the first index is opened.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    memory::register();
    am::options::register();
    storage::session::register_settings();
    maintenance::register_settings();
    #[cfg(feature = "stop_points")]
    stop_points::register();
    // A setting of this prefix that is not known is a mistake, and from now on said to be one.
    // SAFETY: all settings are registered; the core copies the name.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"omendb_learned".as_ptr()) };
}
