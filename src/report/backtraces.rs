//! Keeping Rust's backtraces out of the DETAIL of errors.

use std::backtrace::Backtrace;
use std::env;

/// Turns them off, whatever the server's environment says: pgrx adds one to each error of the core
/// that passes through this library.
///
/// The standard library looks at the environment once, when it is asked for the first backtrace,
/// and remembers the answer. So it is asked here. Its answer is this library's alone: other
/// extensions have a copy of their own, and the environment is afterwards what it was before.
pub(crate) fn turn_off() {
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
