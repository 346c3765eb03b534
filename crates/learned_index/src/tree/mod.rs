//! The index over a store: building, routing, scanning, marking dead entries, checking.

pub mod build;
pub mod check;
pub mod directory;
pub mod load;
pub mod scan;
pub mod vacuum;

#[cfg(test)]
mod tests;
