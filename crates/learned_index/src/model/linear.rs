//! One line over all fences: nothing to route, hard to beat on serial keys and steady timestamps.

use serde::{Deserialize, Serialize};

use super::line::{Hulls, Line, Step};
use super::{ModelError, Prediction, Segment};

/// The line with the least maximum error over all fences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Linear {
    key: u64,
    line: Line,
}

impl Linear {
    pub(super) fn train(steps: &[Step]) -> Linear {
        let key = steps.first().map_or(u64::MAX, |first| first.code);
        // The line starts at 0, the answer before the first fence.
        let mut line = Line::fit(steps, key, 0, &mut Hulls::default());
        line.measure(steps, key);
        Linear { key, line }
    }

    #[inline]
    pub(super) fn predict(&self, code: u64) -> Prediction {
        if code < self.key {
            return Prediction::default();
        }
        self.line.predict(code - self.key)
    }

    pub(super) fn segment(&self) -> Segment {
        self.line.segment(self.key)
    }

    pub(super) fn max_error(&self) -> usize {
        self.line.error()
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    key: u64,
    line: Line,
}

impl From<Linear> for Stored {
    fn from(Linear { key, line }: Linear) -> Stored {
        Stored { key, line }
    }
}

impl TryFrom<Stored> for Linear {
    type Error = ModelError;

    fn try_from(Stored { key, line }: Stored) -> Result<Linear, ModelError> {
        let (start, end) = line.ends();
        if start > end {
            return Err(ModelError::Structure("the line ends before it starts"));
        }
        Ok(Linear { key, line })
    }
}
