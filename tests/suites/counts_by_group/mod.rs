//! Counts by group that `LearnedCount` takes from an index, against a sequential scan of the same
//! snapshot.
//!
//! - `values`: what columns hold; `zones`: time zones and when their clocks change; `table`: tables
//!   of every kind, and what is done to them
//! - `groups`: what rows are grouped by; `statements`: what is asked; `both_ways`: asking it both
//!   ways
//! - `differential`: thousands of statements; `aggregates`: sums and averages that depend on the
//!   order of the rows; `partitions`: of several tables; `errors`: what fails, and what must not;
//!   `sessions`: cursors and prepared statements whose session changes its time zone

mod aggregates;
mod both_ways;
mod differential;
mod errors;
mod groups;
mod partitions;
mod sessions;
mod statements;
mod table;
mod values;
mod zones;
