//! Least-significant-digit radix sort of (code, heap TID).

use crate::memory::Room;

/// A key code and a heap TID.
pub(crate) type Pair = (u64, u64);

/// Below this a comparison sort is faster than counting digits.
const SMALL: usize = 256;

/// Sorts pairs. `scratch` is memory that the sort may use; it keeps its allocation.
///
/// One pass a byte of the code, without those that all codes share. The passes keep the order of
/// equal codes, and pairs mostly come in heap order: only runs of equal codes in which that was
/// not so are sorted by TID at the end.
pub(crate) fn sort(pairs: &mut Vec<Pair>, scratch: &mut Vec<Pair>) {
    if pairs.len() < SMALL {
        pairs.sort_unstable();
        return;
    }
    let (all, any) =
        pairs.iter().fold((u64::MAX, 0), |(all, any), &(code, _)| (all & code, any | code));
    let differing = all ^ any;
    scratch.make_room(pairs.len().saturating_sub(scratch.len()));
    scratch.resize(pairs.len(), (0, 0));
    for shift in (0..64).step_by(8).filter(|shift| differing >> shift & 0xFF != 0) {
        let digit = |code: u64| (code >> shift) as usize & 0xFF;
        let mut starts = [0usize; 256];
        pairs.iter().for_each(|&(code, _)| starts[digit(code)] += 1);
        let mut next = 0;
        for start in &mut starts {
            next += std::mem::replace(start, next);
        }
        for &pair in pairs.iter() {
            let slot = &mut starts[digit(pair.0)];
            scratch[*slot] = pair;
            *slot += 1;
        }
        std::mem::swap(pairs, scratch);
    }
    for run in pairs.chunk_by_mut(|left, right| left.0 == right.0) {
        if !run.is_sorted() {
            run.sort_unstable();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_a_comparison_sort(
            mut pairs in prop::collection::vec(
                (prop_oneof![any::<u64>(), 0u64..20, (0u64..9).prop_map(|high| high << 40)], 0u64..1000),
                0..2000,
            ),
        ) {
            let mut expected = pairs.clone();
            expected.sort_unstable();
            sort(&mut pairs, &mut Vec::new());
            prop_assert_eq!(pairs, expected);
        }
    }
}
