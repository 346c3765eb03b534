//! Learned index access method for PostgreSQL.
//!
//! This crate is the glue between PostgreSQL and the pure [`learned_index`] crate:
//! access-method callbacks, Datums, shared buffers and WAL. What the index *is* lives there.
//!
//! The modules are listed from the lowest layer up. Each uses only modules listed before it;
//! `scripts/lint` checks that.
#![deny(ffi_unwind_calls)]

mod report;

mod relation;

mod counters;

mod column;

mod storage;

mod merge;

mod am;

mod worker;

mod node;

mod sql;

#[cfg(feature = "stop_points")]
mod stop_points;

// The guards around foreign functions are looked for here.
use pgrx::pg_sys::ffi;
use pgrx::prelude::*;

pgrx::pg_module_magic!(name, version);

/// Registers what has to exist before the first index is opened.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    report::backtraces::turn_off();
    report::memory::register();
    relation::options::register();
    storage::session::register_settings();
    merge::register_settings();
    node::register();
    #[cfg(feature = "stop_points")]
    stop_points::register();
    // A setting of this prefix that is not known is a mistake, and from now on said to be one.
    // SAFETY: all settings are registered; the core copies the name.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"omendb_learned".as_ptr()) };
}

/// What `cargo pgrx test` asks for: how to start the server.
#[cfg(test)]
#[expect(unreachable_pub, reason = "the macros of pgrx-tests name it")]
pub mod pg_test {
    /// Nothing has to be set up.
    pub fn setup(_options: Vec<&str>) {}

    /// Settings of the server.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["fsync = off"]
    }
}
