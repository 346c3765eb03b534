//! Promises that only a whole server can keep or break. One module a subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod advice;
mod backtraces;
mod buffers;
mod concurrency;
mod corruption;
mod counters;
mod counts;
mod counts_by_group;
mod cursors;
mod derived;
mod distinct;
mod durability;
mod errors;
mod estimates;
mod exactness;
mod floats;
mod footprint;
mod hypothetical;
mod included;
mod interrupts;
mod maintenance;
mod memory;
mod monitoring;
mod neighbours;
mod out_of_memory;
mod pages;
mod parallel;
mod prometheus;
mod refusals;
mod removal;
mod security;
mod statistics;
mod stop_points;
mod updates;
