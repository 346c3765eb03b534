//! Codecs of integer sequences, readable in place from the bytes of a page.
//!
//! A block of entries is two sequences: its key codes (ascending) and its heap TIDs. Each is
//! stored by the smallest of these forms, after the common divisor was taken out:
//!
//! - frame of reference: offsets from the smallest value, bit-packed;
//! - line: a linear model and bit-packed residuals;
//! - Elias-Fano: low bits packed, high bits in unary (ascending sequences only);
//! - runs: the distinct values and the ends of their runs, each again one of the above.
//!
//! `codes` is what a leaf asks of the codes of a block. Where these are words, they are one
//! sequence; where they have several words, they are several (`lanes`). Words in no order have two
//! more forms (`lane`).
//!
//! Everything is integer arithmetic; the residuals are measured after the model was quantised.

mod bits;
mod codes;
mod elias_fano;
mod lane;
mod lanes;
mod line;
mod plan;
mod sequence;

#[cfg(test)]
mod tests;

use codes::even_by;
pub use codes::{Codes, CodesPlan, Words};
pub use lanes::{Lanes, LanesPlan};
pub use plan::SequencePlan;
pub use sequence::Sequence;
