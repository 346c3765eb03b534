//! Sorting entries within a memory limit: radix-sorted runs, spilled and merged when there is
//! more than one.

mod radix;
mod runs;

pub use runs::{MemorySpill, Sorter, Spill};
