//! What a measurement gives.

use serde::{Deserialize, Serialize};

/// The groups of figures, with their headings in the report.
pub const GROUPS: [(&str, &str); 14] = [
    ("build", "Building"),
    ("space", "Space"),
    ("point probes", "Point probes"),
    ("ranges", "Ranges"),
    ("composite", "Keys of several columns, and columns beside them"),
    ("counts", "Counts"),
    ("routing", "What the model and dense pages contribute"),
    ("neighbours", "Hash and BRIN"),
    ("model", "The model alone"),
    ("writes", "Writes"),
    ("deletes", "Tables that live by deleting"),
    ("memory", "When memory is short"),
    ("scale", "Growing tables"),
    ("standard", "Standard workloads"),
];

/// One figure: this index against another one, on the same rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The table of the report, one of [`GROUPS`].
    pub group: String,
    /// The data set.
    pub data: String,
    /// Rows of the table.
    pub rows: u64,
    /// What is measured: "index-only", "row fetched".
    pub what: String,
    /// The unit of both medians. More is better if it ends in "/s" or is "passed"; otherwise less
    /// is better.
    pub unit: String,
    /// The other index: "btree", "hash", "brin".
    pub against: String,
    /// The other index's median.
    pub theirs: f64,
    /// The learned index's median.
    pub ours: f64,
    /// The median of the paired ratios, above 1 where learned is better.
    pub ratio: f64,
    /// The least paired ratio.
    pub low: f64,
    /// The greatest paired ratio.
    pub high: f64,
    /// The ratio of the floor: the same plan without an index.
    pub ceiling: Option<f64>,
    /// The ratio to reach, or the value of `ours` to reach.
    pub target: Option<f64>,
    /// Paired rounds that count.
    pub rounds: usize,
}

impl Figure {
    /// The same with the ratio to reach.
    pub fn with_target(self, target: f64) -> Figure {
        Figure { target: Some(target), ..self }
    }

    /// Whether the target is of `ours` and not of the ratio: bytes a row as built, and waits.
    pub fn target_is_of_ours(&self) -> bool {
        self.group == "space"
            || self.what.starts_with("training")
            || self.unit == "ms" && self.what.contains(" wait ")
    }

    /// Whether there is no target, or it is reached.
    pub fn is_reached(&self) -> bool {
        match self.target {
            Some(target) if self.target_is_of_ours() => self.ours <= target,
            Some(target) => self.ratio >= target,
            None => true,
        }
    }
}

/// The middle value, or the mean of the two in the middle; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}
