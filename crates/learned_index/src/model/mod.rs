//! Models over the sorted low fences of an index's pages: from a code to the expected position. Of
//! a code of several words, they know the first.
//!
//! A model is a hint. [`search`] turns any prediction into the exact answer, so nothing here can
//! lose a row; a model that is wrong costs probes.
//!
//! - `line`: the quantised line that all of them are made of, fitted to the least maximum error
//! - [`Linear`], [`Rmi`], [`Pgm`], [`RadixSpline`]: the four models
//! - `segments`, `radix`: sorted lines, and how the one for a code is found
//! - `refit`: training the part of a model anew whose fences changed
//! - `cost`, `auto`: what a lookup costs, counted; the cheapest model by it
//! - `search`: the exact search around a prediction
//! - `blob`: a model as bytes

mod auto;
mod blob;
mod cost;
mod line;
mod linear;
mod pgm;
mod radix;
mod radix_spline;
mod refit;
mod rmi;
mod search;
mod segments;

use serde::{Deserialize, Serialize};

use crate::memory::{listed, require_available};

pub use blob::{MAX_BLOB_BYTES, ModelError};
pub use linear::Linear;
pub use pgm::Pgm;
pub use radix_spline::RadixSpline;
pub use rmi::Rmi;
pub use search::{search, search_from};

/// The most bytes that training takes for each fence, all kinds of models tried.
const TRAINING_BYTES: usize = 128;

/// What a model is; the number is the one stored on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ModelKind {
    /// One line.
    Linear = 1,
    /// A root line and a line for each leaf.
    Rmi = 2,
    /// Epsilon-bounded optimal segments.
    Pgm = 3,
    /// A spline under a radix table.
    RadixSpline = 4,
}

impl ModelKind {
    /// The name in options and statistics.
    pub fn name(self) -> &'static str {
        match self {
            ModelKind::Linear => "linear",
            ModelKind::Rmi => "rmi",
            ModelKind::Pgm => "pgm",
            ModelKind::RadixSpline => "radix_spline",
        }
    }
}

impl TryFrom<u8> for ModelKind {
    type Error = ModelError;

    fn try_from(number: u8) -> Result<ModelKind, ModelError> {
        [ModelKind::Linear, ModelKind::Rmi, ModelKind::Pgm, ModelKind::RadixSpline]
            .into_iter()
            .find(|kind| *kind as u8 == number)
            .ok_or(ModelError::Structure("unknown kind of model"))
    }
}

/// What the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ModelChoice {
    /// The one with the cheapest lookup for its size.
    #[default]
    Auto,
    /// Always [`ModelKind::Linear`].
    Linear,
    /// Always [`ModelKind::Rmi`].
    Rmi,
    /// Always [`ModelKind::Pgm`].
    Pgm,
    /// Always [`ModelKind::RadixSpline`].
    RadixSpline,
}

impl From<ModelKind> for ModelChoice {
    fn from(kind: ModelKind) -> ModelChoice {
        match kind {
            ModelKind::Linear => ModelChoice::Linear,
            ModelKind::Rmi => ModelChoice::Rmi,
            ModelKind::Pgm => ModelChoice::Pgm,
            ModelKind::RadixSpline => ModelChoice::RadixSpline,
        }
    }
}

/// Where the answer is expected: `low <= position <= high <= len` of the trained fences.
///
/// The window, both ends inclusive, is what the training error promises for the fences that the
/// model was trained on. For any others it is a hint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prediction {
    /// The expected answer.
    pub position: usize,
    /// The least answer that the training error allows.
    pub low: usize,
    /// The greatest answer that the training error allows.
    pub high: usize,
}

/// One line of a model, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// The first code that it is for.
    pub first: u64,
    /// The least and the greatest answer that it gives.
    pub answers: (u32, u32),
    /// Positions for each code.
    pub slope: f64,
    /// The largest error over the trained fences here and every code between them, in positions.
    pub max_error: usize,
}

/// A trained model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// See [`Linear`].
    Linear(Linear),
    /// See [`Rmi`].
    Rmi(Rmi),
    /// See [`Pgm`].
    Pgm(Pgm),
    /// See [`RadixSpline`].
    RadixSpline(RadixSpline),
}

impl Model {
    /// Trains on sorted fences, of any number and with any duplicates. The same fences give the
    /// same model on every machine. A model too large to be stored ([`MAX_BLOB_BYTES`]) gives way
    /// to a line.
    pub fn train(choice: ModelChoice, fences: &[u64]) -> Model {
        require_available(fences.len().saturating_mul(TRAINING_BYTES));
        auto::train(choice, fences)
    }

    /// The model for fences of which those in `stale` changed since this one was trained: only the
    /// segments there are trained anew, where that is cheaper than training everything. Of the same
    /// kind.
    pub fn retrain(&self, fences: &[u64], stale: &std::ops::RangeInclusive<u64>) -> Model {
        require_available(fences.len().saturating_mul(TRAINING_BYTES) + 4 * self.size_bytes());
        refit::refit(self, fences, stale)
            .filter(Model::fits_blob)
            .unwrap_or_else(|| Model::train(self.kind().into(), fences))
    }

    /// Which model it is.
    pub fn kind(&self) -> ModelKind {
        match self {
            Model::Linear(_) => ModelKind::Linear,
            Model::Rmi(_) => ModelKind::Rmi,
            Model::Pgm(_) => ModelKind::Pgm,
            Model::RadixSpline(_) => ModelKind::RadixSpline,
        }
    }

    /// The expected `partition_point(|fence| fence <= code)`.
    #[inline]
    pub fn predict(&self, code: u64) -> Prediction {
        match self {
            Model::Linear(model) => model.predict(code),
            Model::Rmi(model) => model.predict(code),
            Model::Pgm(model) => model.predict(code),
            Model::RadixSpline(model) => model.predict(code),
        }
    }

    /// Lines in the model, without the root of an RMI.
    pub fn segments(&self) -> usize {
        match self {
            Model::Linear(_) => 1,
            Model::Rmi(model) => model.segments(),
            Model::Pgm(model) => model.segments().keys().len(),
            Model::RadixSpline(model) => model.segments().keys().len(),
        }
    }

    /// Its lines in the order of their codes, without those of an RMI that no fence belongs to.
    pub fn lines(&self) -> Vec<Segment> {
        match self {
            Model::Linear(model) => listed(std::iter::once(model.segment())),
            Model::Rmi(model) => model.lines(),
            Model::Pgm(model) => model.segments().segments(),
            Model::RadixSpline(model) => model.segments().segments(),
        }
    }

    /// Bytes in memory.
    pub fn size_bytes(&self) -> usize {
        match self {
            Model::Linear(_) => size_of::<Linear>(),
            Model::Rmi(model) => model.size_bytes(),
            Model::Pgm(model) => model.segments().size_bytes(),
            Model::RadixSpline(model) => model.segments().size_bytes(),
        }
    }

    /// The largest error over the trained fences and every code between them, in positions.
    pub fn max_error(&self) -> usize {
        match self {
            Model::Linear(model) => model.max_error(),
            Model::Rmi(model) => model.max_error(),
            Model::Pgm(model) => model.segments().max_error(),
            Model::RadixSpline(model) => model.segments().max_error(),
        }
    }
}
