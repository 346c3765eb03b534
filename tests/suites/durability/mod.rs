//! What stays after crashes, on standbys and subscribers, over months of retention, and when the
//! merging worker or its disk fails.

mod crash;
mod disk;
mod logical;
mod retention;
mod standby;
mod worker;
