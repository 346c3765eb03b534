//! Lines sorted by the code that each starts at: what PGM and RadixSpline share.

use serde::{Deserialize, Serialize};

use super::ModelError;
use super::line::Line;

/// `keys[i]` is the first code of `lines[i]`. Keys apart from lines, because a search for the
/// segment reads many keys and one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segments {
    pub(super) keys: Vec<u64>,
    pub(super) lines: Vec<Line>,
}

impl Segments {
    pub(super) fn push(&mut self, key: u64, line: Line) {
        self.keys.push(key);
        self.lines.push(line);
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn size_bytes(&self) -> usize {
        size_of_val(self.keys.as_slice()) + size_of_val(self.lines.as_slice())
    }

    pub(super) fn max_error(&self) -> usize {
        self.lines.iter().map(Line::error).max().unwrap_or(0)
    }

    /// Checks what a trainer guarantees: one line a key, keys strictly increasing, ranks in order.
    pub(super) fn validate(&self) -> Result<(), ModelError> {
        if self.keys.len() != self.lines.len() {
            return Err(ModelError::Structure("segment keys and lines differ in number"));
        }
        if !self.keys.is_sorted_by(|a, b| a < b) {
            return Err(ModelError::Structure("segment keys are out of order"));
        }
        ranks_in_order(self.lines.iter())
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
