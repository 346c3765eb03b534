//! The index over a store: building, routing, scanning, inserting, merging, vacuuming, checking.
//!
//! The protocol between them, and why nothing is lost, is in `PROTOCOL.md` beside this file.
//!
//! Reading:
//! - `attempt`: reading under one state of the index
//! - `directory`: what a session knows of the index; routing from a position to a leaf. (The pages
//!   of the directory are in `page/directory`.)
//! - `routes`: the way to the leaves of a delta tree
//! - `leaf`: opening a leaf; `tombstones`: which of its slots are dead
//! - `scan`: the entries of some intervals; `count`: how many a snapshot sees
//! - `killed`: dead rows that a session has met; `budget`: memory for all that it remembers
//!
//! Writing:
//! - `load`, `build`: a new index; `leaf_cutter`: entries into leaves
//! - `delta`: inserting, and looking for a key that must be unique
//! - `merge`: delta trees into leaves; `vacuum`: dead entries out of both; both by `rewrite`
//! - `mark`: marking dead entries for all sessions
//! - `transition`: one state to the next
//!
//! Checking: `check`, and `used`: which blocks a state refers to.
//!
//! Looking at it: `stats`, `inspect`, `sample`.

pub mod attempt;
pub mod budget;
pub mod build;
pub mod check;
pub mod count;
pub mod delta;
pub mod directory;
pub mod inspect;
mod killed;
mod leaf;
mod leaf_cutter;
pub mod load;
pub mod mark;
pub mod merge;
mod rewrite;
mod routes;
pub mod sample;
pub mod scan;
pub mod stats;
mod tombstones;
mod transition;
mod used;
pub mod vacuum;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod directory_tests;
#[cfg(test)]
mod inspect_tests;
#[cfg(test)]
mod mark_tests;
#[cfg(test)]
mod misplaced_tests;
#[cfg(test)]
mod removal_tests;
#[cfg(test)]
mod sample_tests;
#[cfg(test)]
mod schedule_tests;
#[cfg(test)]
mod stats_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod update_tests;
#[cfg(test)]
mod work_tests;
