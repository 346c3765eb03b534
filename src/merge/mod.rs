//! Merging the delta trees into the leaves: by a background worker, by VACUUM, by the session that
//! inserts, on demand.
//!
//! - [`exclusion`]: the lock that keeps merges and VACUUM apart
//! - [`range`]: one step of a merge
//! - [`need`]: how much an index needs to be merged
//! - [`growth`]: what an insert does when the delta tree has grown; [`start`]: asking for a worker
//! - [`seats`]: how many workers there may be; [`board`]: what sessions tell each other about them
//! - [`cleanup`]: what VACUUM does at its end
//! - [`wait`]: sleeping until there is something to do

pub(crate) mod board;
pub(crate) mod cleanup;
pub(crate) mod exclusion;
pub(crate) mod growth;
pub(crate) mod need;
pub(crate) mod range;
pub(crate) mod seats;
pub(crate) mod start;
pub(crate) mod wait;

pub(crate) use seats::register_settings;
