//! The first row of each group, which `LearnedDistinct` takes from an index, against a sequential
//! scan, a sort and a Unique under the same snapshot.
//!
//! - `table`: tables of every kind, and what is done to them; `statements`: what is asked of them
//! - `both_ways`: asking it both ways
//! - `differential`: thousands of statements by a session alone; `beside`: while others write,
//!   merge and vacuum, on a standby too; `plans`: what the planner must leave to others

mod beside;
mod both_ways;
mod differential;
mod plans;
mod statements;
mod table;
