//! Counts that `LearnedCount` takes from an index, against a sequential scan of the same snapshot.
//!
//! - `table`: tables of every kind, and what is done to them; `statements`: what is asked of them;
//!   `snapshot`: asking it both ways
//! - `differential`: a session alone; `beside`: while others write; `standby`: under replay
//! - `isolation`: serializable transactions, and who may see what

mod beside;
mod differential;
mod isolation;
pub(crate) mod snapshot;
mod standby;
pub(crate) mod statements;
mod table;
