//! What a scan has done, for those who watch it.

use crate::tree::leaf::Routed;

/// Counted from the scan's creation on, over all its restarts. What is read again because the index
/// has changed meanwhile counts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Leaves that were read after the directory had led to them.
    pub by_directory: u64,
    /// Leaves that were read where the model had promised them.
    pub by_model: u64,
    /// Leaves that were read elsewhere than where the model had promised them.
    pub by_search: u64,
    /// Entries of delta trees that were copied.
    pub unmerged: u64,
    /// Entries whose rows the caller has found dead.
    pub dead: u64,
}

impl Work {
    /// Leaves that were read.
    pub fn leaves(&self) -> u64 {
        self.by_directory + self.by_model + self.by_search
    }

    /// Counts a leaf that is read.
    #[inline(always)]
    pub(super) fn read(&mut self, routed: Routed) {
        match routed {
            Routed::ByDirectory => self.by_directory += 1,
            Routed::ByModel => self.by_model += 1,
            Routed::BySearch => self.by_search += 1,
        }
    }
}
