//! Damaged files: an error that names the index, or the right answer; REINDEX repairs.

mod damage;
mod every_page;
mod restarts;
