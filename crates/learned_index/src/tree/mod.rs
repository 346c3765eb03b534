//! The index over a store: building, routing, scanning, inserting, merging, vacuuming, checking.
//!
//! The protocol between them, and why nothing is lost, is in `PROTOCOL.md` beside this file.

pub mod attempt;
pub mod budget;
pub mod build;
pub mod check;
pub mod delta;
pub mod directory;
mod killed;
mod leaf;
mod leaf_cutter;
pub mod load;
pub mod mark;
pub mod merge;
mod rewrite;
mod routes;
pub mod scan;
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
mod mark_tests;
#[cfg(test)]
mod misplaced_tests;
#[cfg(test)]
mod removal_tests;
#[cfg(test)]
mod schedule_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod update_tests;
