//! Small changes of a page: what is written in place, and logged.

use super::{CONTENT_END, PAGE_SIZE, PD_LOWER, PD_UPPER, PageBytes, read};

/// Bytes to be written over a page at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Offset in the page.
    pub offset: u16,
    /// The new bytes.
    pub bytes: Bytes,
}

/// Bytes of an edit; a few need no memory of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// So many of these.
    Few(u8, [u8; FEW]),
    /// More.
    Many(Vec<u8>),
}

/// An entry of a delta tree.
const FEW: usize = 16;

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        if bytes.len() > FEW {
            return Bytes::Many(bytes.to_vec());
        }
        let mut few = [0; FEW];
        few[..bytes.len()].copy_from_slice(bytes);
        Bytes::Few(bytes.len() as u8, few)
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Few(len, few) => &few[..usize::from(*len).min(FEW)],
            Bytes::Many(many) => many,
        }
    }
}

/// End of the part of PostgreSQL's page header that PostgreSQL itself changes: the WAL position,
/// the checksum and the flags.
const FOREIGN_END: usize = PD_LOWER;
/// Equal bytes between two edits that cost no more than beginning another one.
const GAP: usize = 8;

/// Carries edits out, as replay of a generic WAL record does: where they move the end of the
/// content, everything from there to the trailer becomes zero.
pub fn apply(page: &mut PageBytes, edits: &[Edit]) {
    let mut moved = false;
    for edit in edits {
        let start = usize::from(edit.offset);
        page[start..start + edit.bytes.len()].copy_from_slice(&edit.bytes);
        moved |= start < PD_LOWER + 2 && start + edit.bytes.len() > PD_LOWER;
    }
    if moved {
        let (lower, upper) = hole(page);
        page[lower..upper].fill(0);
    }
}

fn hole(page: &PageBytes) -> (usize, usize) {
    let upper = usize::from(read::<u16>(page, PD_UPPER)).min(CONTENT_END);
    let lower = usize::from(read::<u16>(page, PD_LOWER)).min(upper);
    (lower, upper)
}

/// The edits that turn one page into another. What lies in the new page's hole is left out.
pub fn difference(old: &PageBytes, new: &PageBytes) -> Vec<Edit> {
    let (lower, upper) = hole(new);
    let mut edits: Vec<Edit> = Vec::new();
    for (start, end) in [(FOREIGN_END, lower), (upper, PAGE_SIZE)] {
        let mut at = start;
        while at < end {
            if old[at] == new[at] {
                at += 1;
                continue;
            }
            let first = at;
            let mut last = at;
            while at < end && at - last <= GAP {
                if old[at] != new[at] {
                    last = at;
                }
                at += 1;
            }
            edits.push(Edit { offset: first as u16, bytes: new[first..=last].into() });
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{PageKind, new_page, set_lower};
    use super::*;

    fn page(bytes: &[(u16, u8)], lower: u16) -> PageBytes {
        let mut page = new_page(PageKind::Leaf, 7);
        for &(at, byte) in bytes {
            let at = 24 + usize::from(at) % (usize::from(lower) - 24).max(1);
            if at < usize::from(lower) {
                page[at] = byte;
            }
        }
        set_lower(&mut page, usize::from(lower));
        page
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_the_new_page(
            old in prop::collection::vec(any::<(u16, u8)>(), 0..200),
            new in prop::collection::vec(any::<(u16, u8)>(), 0..200),
            lowers in (24u16..8168, 24u16..8168),
        ) {
            let (old, new) = (page(&old, lowers.0), page(&new, lowers.1));
            let mut changed = old;
            apply(&mut changed, &difference(&old, &new));
            prop_assert!(changed == new);
        }
    }
}
