//! Lines sorted by the code that each starts at, with the way to the one for a code: what PGM and
//! RadixSpline share. They differ in how the segments are made.

use serde::{Deserialize, Serialize};

use super::line::Line;
use super::radix::Radix;
use super::{ModelError, Prediction, Segment};

/// `keys[i]` is the first code of `lines[i]`. Keys apart from lines, because the search for a
/// segment reads several keys and one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub(super) struct Segments {
    keys: Vec<u64>,
    lines: Vec<Line>,
    radix: Radix,
}

impl Segments {
    /// As many lines as keys, in order.
    pub(super) fn new(keys: Vec<u64>, lines: Vec<Line>) -> Segments {
        let radix = Radix::choose(&keys, &lines);
        Segments { keys, lines, radix }
    }

    #[inline]
    pub(super) fn predict(&self, code: u64) -> Prediction {
        let Some(segment) = self.radix.count(&self.keys, code).checked_sub(1) else {
            return Prediction::default();
        };
        match (self.keys.get(segment), self.lines.get(segment)) {
            (Some(key), Some(line)) => line.predict(code.saturating_sub(*key)),
            _ => Prediction::default(),
        }
    }

    /// Rounds of the search for the segment of `code`.
    pub(super) fn rounds(&self, code: u64) -> u32 {
        self.radix.rounds(code)
    }

    pub(super) fn segments(&self) -> Vec<Segment> {
        self.keys.iter().zip(&self.lines).map(|(key, line)| line.segment(*key)).collect()
    }

    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Keys and lines.
    pub(super) fn into_parts(self) -> (Vec<u64>, Vec<Line>) {
        (self.keys, self.lines)
    }

    pub(super) fn size_bytes(&self) -> usize {
        size_of_val(self.keys.as_slice())
            + size_of_val(self.lines.as_slice())
            + self.radix.size_bytes()
    }

    pub(super) fn max_error(&self) -> usize {
        self.lines.iter().map(Line::error).max().unwrap_or(0)
    }
}

/// The segments and what rebuilds the table, which is never stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    keys: Vec<u64>,
    lines: Vec<Line>,
    low: u64,
    high: u64,
}

impl From<Segments> for Stored {
    fn from(Segments { keys, lines, radix }: Segments) -> Stored {
        let (low, high) = radix.range();
        Stored { keys, lines, low, high }
    }
}

impl TryFrom<Stored> for Segments {
    type Error = ModelError;

    /// Checks what a trainer guarantees: one line a key, keys strictly increasing, ranks in order.
    fn try_from(Stored { keys, lines, low, high }: Stored) -> Result<Segments, ModelError> {
        if keys.len() != lines.len() {
            return Err(ModelError::Structure("segment keys and lines differ in number"));
        }
        if !keys.is_sorted_by(|a, b| a < b) {
            return Err(ModelError::Structure("segment keys are out of order"));
        }
        if low > high {
            return Err(ModelError::Structure("the radix table ends before it starts"));
        }
        ranks_in_order(lines.iter())?;
        let radix = match keys.is_empty() {
            true => Radix::default(),
            false => Radix::new(&keys, low, high),
        };
        Ok(Segments { keys, lines, radix })
    }
}

/// Checks that the ranks along a sequence of lines never fall.
pub(super) fn ranks_in_order<'a>(lines: impl Iterator<Item = &'a Line>) -> Result<(), ModelError> {
    let mut rank = 0;
    for line in lines {
        let (start, end) = line.ends();
        if start < rank || end < start {
            return Err(ModelError::Structure("ranks are out of order"));
        }
        rank = end;
    }
    Ok(())
}
