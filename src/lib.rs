//! Learned index access method for PostgreSQL.
//!
//! This crate is the glue between PostgreSQL and the pure [`learned_index`] crate:
//! access-method callbacks, Datums, shared buffers and WAL. What the index *is* lives there.
#![deny(ffi_unwind_calls)]

use std::backtrace::Backtrace;
use std::env;

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
    turn_backtraces_off();
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

/// Keeps Rust's backtraces out of the DETAIL of errors, whatever the server's environment says: pgrx adds one to each
/// error of the core that passes through this library.
///
/// The standard library looks at the environment once, when it is asked for the first backtrace, and remembers the
/// answer. So it is asked here. Its answer is this library's alone: other extensions have a copy of their own, and the
/// environment is afterwards what it was before.
fn turn_backtraces_off() {
    // It comes before RUST_BACKTRACE.
    const VARIABLE: &str = "RUST_LIB_BACKTRACE";
    let before = env::var_os(VARIABLE);
    let are_on = before.is_some() || env::var_os("RUST_BACKTRACE").is_some();
    if are_on {
        // SAFETY: a process of the server has one thread when it loads a library.
        unsafe { env::set_var(VARIABLE, "0") };
    }
    let _ = Backtrace::capture();
    if are_on {
        // SAFETY: as above.
        unsafe {
            match before {
                Some(before) => env::set_var(VARIABLE, before),
                None => env::remove_var(VARIABLE),
            }
        }
    }
}
