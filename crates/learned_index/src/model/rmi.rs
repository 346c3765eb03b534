//! A recursive model index of two stages: one line picks a leaf, the leaf's line the position.
//!
//! After Kraska et al., "The case for learned index structures" (SIGMOD 2018), with two changes:
//! every leaf has its own error bound, and the root is fitted to the bulk of the fences, since a
//! few outliers near 2^64 would otherwise leave one leaf with everything.

use serde::{Deserialize, Serialize};

use super::line::{Hulls, Line, Step};
use super::segments::ranks_in_order;
use super::{ModelError, Prediction, Segment};

/// Shares of the distinct fences, as a right shift of their number, that the root may ignore at
/// each end. 63 ignores none.
const TRIMS: [u32; 4] = [63, 9, 6, 4];

/// A linear root and linear leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Rmi {
    root: Root,
    /// Leaves a position, in units of 2^-32.
    scale: u64,
    leaves: Vec<Leaf>,
}

/// Codes that the root sends to one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Leaf {
    /// The first fence here, or the next one if there is none: before it the answer is
    /// `line.start`, the rank of the last fence of the leaves before.
    key: u64,
    line: Line,
}

impl Rmi {
    /// At least one leaf. `root` was trained on the same steps.
    pub(super) fn train(steps: &[Step], root: Root, leaves: usize) -> Rmi {
        let mut rmi = Rmi { root, scale: root.scale(leaves), leaves: Vec::with_capacity(leaves) };
        let mut hulls = Hulls::default();
        let mut rest = steps;
        let mut before = 0;
        while let Some(first) = rest.first() {
            let leaf = rmi.leaf(first.code);
            rmi.leaves.resize(leaf.max(rmi.leaves.len()), Leaf::empty(first.code, before));
            // The root never falls, so the fences of a leaf are neighbours.
            let count = rest.iter().take_while(|step| rmi.leaf(step.code) == leaf).count();
            let (run, next) = rest.split_at(count);
            let mut line = Line::fit(run, first.code, before, &mut hulls);
            line.measure(run, first.code);
            rmi.leaves.push(Leaf { key: first.code, line });
            before = line.ends().1;
            rest = next;
        }
        rmi.leaves.resize(leaves.max(rmi.leaves.len()), Leaf::empty(u64::MAX, before));
        rmi
    }

    #[inline]
    fn leaf(&self, code: u64) -> usize {
        ((u64::from(self.root.position(code)).saturating_mul(self.scale)) >> 32) as usize
    }

    #[inline]
    pub(super) fn predict(&self, code: u64) -> Prediction {
        let Some(leaf) = self.leaves.get(self.leaf(code)) else { return Prediction::default() };
        if code < leaf.key {
            let before = leaf.line.ends().0 as usize;
            return Prediction { position: before, low: before, high: before };
        }
        leaf.line.predict(code - leaf.key)
    }

    pub(super) fn segments(&self) -> usize {
        self.leaves.len()
    }

    pub(super) fn lines(&self) -> Vec<Segment> {
        let filled = |leaf: &&Leaf| leaf.line.ends().0 < leaf.line.ends().1;
        self.leaves.iter().filter(filled).map(|leaf| leaf.line.segment(leaf.key)).collect()
    }

    pub(super) fn size_bytes(&self) -> usize {
        size_of::<Rmi>() + size_of_val(self.leaves.as_slice())
    }

    pub(super) fn max_error(&self) -> usize {
        self.leaves.iter().map(|leaf| leaf.line.error()).max().unwrap_or(0)
    }
}

impl Leaf {
    fn empty(key: u64, before: u32) -> Leaf {
        Leaf { key, line: Line::constant(before) }
    }
}

/// The first stage: the best line through most of the fences, in positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Root {
    key: u64,
    line: Line,
}

impl Root {
    /// The root that spreads the fences most evenly over `leaves`, judged by the rounds of a
    /// binary search within each.
    pub(super) fn train(steps: &[Step], leaves: usize) -> Root {
        let mut best: Option<(u64, Root)> = None;
        let mut hulls = Hulls::default();
        let mut tried = None;
        for trim in TRIMS {
            let outside = steps.len().checked_shr(trim).unwrap_or(0);
            if tried == Some(outside) {
                continue;
            }
            tried = Some(outside);
            let bulk = steps.get(outside..steps.len() - outside).unwrap_or(steps);
            let key = bulk.first().map_or(0, |first| first.code);
            let root = Root { key, line: Line::fit(bulk, key, 0, &mut hulls) };
            let cost = root.cost(steps, leaves);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, root));
            }
        }
        best.map(|(_, root)| root).unwrap_or_default()
    }

    fn cost(&self, steps: &[Step], leaves: usize) -> u64 {
        let scale = self.scale(leaves);
        let mut cost = 0;
        let mut close = |count: u64| cost += count * u64::from(64 - count.leading_zeros());
        let (mut current, mut count) = (0, 0u64);
        for step in steps {
            let leaf = u64::from(self.position(step.code)).saturating_mul(scale) >> 32;
            if leaf != current {
                close(count);
                (current, count) = (leaf, 0);
            }
            count += 1;
        }
        close(count);
        cost
    }

    #[inline]
    fn position(&self, code: u64) -> u32 {
        self.line.position(code.saturating_sub(self.key))
    }

    /// Maps positions up to and including the last one to `0..leaves`.
    fn scale(&self, leaves: usize) -> u64 {
        let positions = u64::from(self.line.ends().1) + 1;
        ((leaves as u64) << 32) / positions
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    root: Root,
    leaves: Vec<Leaf>,
}

impl From<Rmi> for Stored {
    fn from(Rmi { root, leaves, .. }: Rmi) -> Stored {
        Stored { root, leaves }
    }
}

impl TryFrom<Stored> for Rmi {
    type Error = ModelError;

    fn try_from(Stored { root, leaves }: Stored) -> Result<Rmi, ModelError> {
        if leaves.is_empty() || u32::try_from(leaves.len()).is_err() {
            return Err(ModelError::Structure("the number of leaves is out of range"));
        }
        if !leaves.is_sorted_by_key(|leaf| leaf.key) {
            return Err(ModelError::Structure("leaf keys are out of order"));
        }
        ranks_in_order(leaves.iter().map(|leaf| &leaf.line))?;
        Ok(Rmi { root, scale: root.scale(leaves.len()), leaves })
    }
}
