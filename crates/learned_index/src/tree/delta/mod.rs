//! The delta tree: a B-link tree beside the learned leaves, which takes inserts.
//!
//! After Lehman and Yao ("Efficient locking for concurrent operations on B-trees", 1981): readers
//! hold one lock at a time and go right when a split has moved what they look for. Unlike theirs, a
//! split changes parent, left and right in one step, from the top down: a full page on the way to a
//! full leaf is split first, so that every parent has room. Pages of a tree are never given back
//! one by one; a tree that was merged is dropped as a whole.
//!
//! The way to a leaf is in `routes`, beside this folder.
//!
//! - `insert`: adding an entry
//! - `removal`: taking out those of dead rows
//! - `split`: making room for one
//! - `unique`: adding an entry to a unique index, and `look`: what stands in its way

mod insert;
mod look;
mod removal;
mod split;
mod unique;

#[cfg(test)]
pub(in crate::tree) use insert::open_tree;
pub use insert::{insert, insert_removing};
pub use look::Row;
pub use removal::{Candidate, KeepAll, Table, remove_killed};
pub use unique::{Unique, insert_unique, insert_unique_removing};
