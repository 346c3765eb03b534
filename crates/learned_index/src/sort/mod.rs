//! Sorting entries within a memory limit: radix-sorted runs, spilled and merged when there is
//! more than one.
//!
//! - `radix`: sorting in memory
//! - `runs`: what is spilled, and merging it

mod radix;
mod runs;

pub use runs::{MemorySpill, Sorter, Spill};
pub(crate) use runs::{pair_len, read_pair};
