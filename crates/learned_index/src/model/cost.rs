//! What a lookup costs, counted and not timed: the same fences must give the same index.
//!
//! A lookup's work is counted on sampled fences and on codes midway between them, and weighed with
//! constants fitted once to timed runs of every candidate (dependent random lookups, 15,000 and
//! 110,000 fences of each distribution in `examples/model_report.rs`, one core). What they leave
//! out, some 8 ns of cache misses and mispredicted branches on data that is not a line, is the same
//! for every model. With them the choice was within 3 ns of the fastest candidate everywhere.
//! Units are sixteenths of a nanosecond.

use super::{Model, search};

/// Sampled fences.
const SAMPLES: usize = 512;
/// Fences in a cache line of 64 bytes.
const FENCES_PER_LINE: usize = 8;

/// Prediction by a line alone.
const LINEAR: u64 = 4 * 16;
/// Prediction by root and leaf.
const RMI: u64 = 11 * 16;
/// Prediction by a segment, and a round of the search for it.
const SEGMENT: u64 = 10 * 16;
const SEGMENT_ROUND: u64 = 40;
/// A probe of the fences.
const PROBE: u64 = 2 * 16;
/// A cache line of fences read.
const CACHE_LINE: u64 = 2 * 16;
/// A byte of model for each fence: it takes cache from the fences, 8 bytes each, and is read in
/// full by every new connection.
const BYTE_PER_FENCE: u64 = 2 * 16;

/// The codes to look up.
pub(super) struct Sample<'a> {
    fences: &'a [u64],
    codes: Vec<u64>,
}

impl<'a> Sample<'a> {
    pub(super) fn new(fences: &'a [u64]) -> Sample<'a> {
        let stride = fences.len().div_ceil(SAMPLES).max(1);
        let mut codes = Vec::with_capacity(2 * SAMPLES);
        for i in (0..fences.len()).step_by(stride) {
            if let Some(&fence) = fences.get(i) {
                codes.push(fence);
                codes.push(fence.midpoint(fences.get(i + 1).copied().unwrap_or(fence)));
            }
        }
        Sample { fences, codes }
    }

    /// The mean cost of a lookup with `model`, its size included.
    pub(super) fn cost(&self, model: &Model) -> u64 {
        let mut total = 0;
        let mut lines = Vec::new();
        for &code in &self.codes {
            lines.clear();
            let mut probes = 0;
            search(model.predict(code), self.fences.len(), |i| {
                probes += 1;
                let line = i / FENCES_PER_LINE;
                if !lines.contains(&line) {
                    lines.push(line);
                }
                self.fences.get(i).is_some_and(|fence| *fence <= code)
            });
            total += routing(model, code) + probes * PROBE + lines.len() as u64 * CACHE_LINE;
        }
        let size = BYTE_PER_FENCE.saturating_mul(model.size_bytes() as u64);
        total / (self.codes.len() as u64).max(1) + size / (self.fences.len() as u64).max(1)
    }
}

/// The cost of a prediction.
fn routing(model: &Model, code: u64) -> u64 {
    match model {
        Model::Linear(_) => LINEAR,
        Model::Rmi(_) => RMI,
        Model::Pgm(pgm) => segment(pgm.segments().rounds(code)),
        Model::RadixSpline(spline) => segment(spline.segments().rounds(code)),
    }
}

fn segment(rounds: u32) -> u64 {
    SEGMENT + SEGMENT_ROUND * u64::from(rounds)
}
