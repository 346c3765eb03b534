//! Finding the segment of a code: a static B+-tree over the segment keys, searched by counting.
//!
//! Each level holds every sixteenth key of the one below. In a node all keys are compared and the
//! hits counted, which is straight-line code without a branch to mispredict (Khuong & Morin 2017).

/// Keys a node: two cache lines.
const NODE: usize = 16;

/// The levels above the keys, topmost first; empty while one node holds all keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ladder {
    levels: Vec<Vec<u64>>,
}

impl Ladder {
    pub(super) fn new(keys: &[u64]) -> Ladder {
        let mut levels: Vec<Vec<u64>> = Vec::new();
        let mut below = keys;
        while below.len() > NODE {
            levels.push(below.iter().copied().step_by(NODE).collect());
            below = levels.last().map_or(&[], Vec::as_slice);
        }
        levels.reverse();
        Ladder { levels }
    }

    /// The number of `keys`, those the ladder was made of, that are not after `code`.
    #[inline]
    pub(super) fn count(&self, keys: &[u64], code: u64) -> usize {
        let mut found = match self.levels.first() {
            Some(top) => count(top, code),
            None => return count(keys, code),
        };
        for level in self.levels.iter().skip(1) {
            found = descend(level, found, code);
        }
        descend(keys, found, code)
    }

    /// Nodes read by a search.
    pub(super) fn nodes(&self) -> usize {
        self.levels.len() + 1
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(level.as_slice())).sum()
    }
}

/// One level down: `above` keys of the level above are not after `code`, so the last of them
/// starts the node to count in.
#[inline]
fn descend(level: &[u64], above: usize, code: u64) -> usize {
    let Some(node) = above.checked_sub(1) else { return 0 };
    let start = node * NODE;
    let rest = level.get(start..).unwrap_or(&[]);
    match rest.first_chunk::<NODE>() {
        Some(full) => start + count(full, code),
        None => start + count(rest, code),
    }
}

#[inline]
fn count(keys: &[u64], code: u64) -> usize {
    keys.iter().map(|&key| usize::from(key <= code)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counting_down_the_ladder_equals_partition_point(
            mut keys in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..600], 0..700),
            codes in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..600], 1..50),
        ) {
            keys.sort_unstable();
            keys.dedup();
            let ladder = Ladder::new(&keys);
            for code in codes.into_iter().chain(keys.clone()).chain([0, u64::MAX]) {
                prop_assert_eq!(ladder.count(&keys, code), keys.partition_point(|k| *k <= code));
            }
        }
    }
}
