//! A learned, ordered index of fixed-width keys: no database in sight.
#![forbid(unsafe_code)]
pub mod key;
