//! A learned, ordered index of fixed-width keys over pages of 8 KiB: no database in sight.
#![deny(unsafe_code)]

pub mod codec;
pub mod corruption;
pub mod cpu;
pub mod entries;
pub mod entry;
mod fault;
pub mod key;
pub mod memory;
pub mod model;
pub mod page;
mod partition;
pub mod predicate;
pub mod sort;
pub mod stop;
pub mod store;
pub mod tree;
