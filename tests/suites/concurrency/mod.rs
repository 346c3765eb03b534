//! Several sessions at once: what readers see while others write, merge and vacuum, and what two
//! writers of one key may do. `OMENDB_LEARNED_TEST_SECONDS` sets how long.

mod cursors;
mod histories;
mod hot;
mod readers;
mod serializable;
mod unique;
pub(crate) mod writers;
