//! Learned index access method for PostgreSQL.
#![deny(ffi_unwind_calls)]
pgrx::pg_module_magic!();
