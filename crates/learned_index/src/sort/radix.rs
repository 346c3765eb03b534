//! Most-significant-digit radix sort of (code, heap TID), in place: American flag sort (McIlroy,
//! Bostic and McIlroy, "Engineering radix sort", Computing Systems 6, 1993).

use crate::cpu;
use crate::key::Code;

/// A key code and a heap TID.
pub(crate) type Pair<C> = (C, u64);

/// Bits of a digit.
const DIGIT: u32 = 8;
/// Pairs that are asked for ahead in each bucket, of which there are too many for the processor to
/// foresee.
const AHEAD: usize = 8;
/// Below this a comparison sort is faster than distributing by digits.
const SMALL: usize = 512;

/// Sorts pairs. Each step distributes them by the first eight bits in which any two of their codes
/// differ, so that what they share costs nothing and eight steps are the most; then those of one
/// code by their heap TIDs. `poll` is called often, and may unwind: some pairs are lost then.
pub(crate) fn sort<C: Code>(pairs: &mut [Pair<C>], mut poll: impl FnMut()) {
    if !pairs.is_sorted() {
        distribute::<C, false>(pairs, 0, &mut poll);
    }
}

/// Sorts pairs that differ in their heap TIDs only, or in their codes too, from a word of these on.
fn distribute<C: Code, const BY_TID: bool>(
    pairs: &mut [Pair<C>],
    word: usize,
    poll: &mut impl FnMut(),
) {
    if pairs.len() < SMALL {
        C::sort_few(pairs);
        return;
    }
    let number = |&(code, tid): &Pair<C>| if BY_TID { tid } else { code.word_at(word) };
    let (all, any) = pairs
        .iter()
        .map(number)
        .fold((u64::MAX, 0), |(all, any), number| (all & number, any | number));
    let differing = all ^ any;
    if differing == 0 {
        match () {
            () if BY_TID => {}
            () if word + 1 < C::WORDS => distribute::<C, false>(pairs, word + 1, poll),
            () => distribute::<C, true>(pairs, word, poll),
        }
        return;
    }
    let shift = differing.ilog2().saturating_sub(DIGIT - 1);
    let digit = |pair: &Pair<C>| (number(pair) >> shift) as usize % (1 << DIGIT);
    let mut ends = [0usize; 1 << DIGIT];
    pairs.iter().for_each(|pair| ends[digit(pair)] += 1);
    let mut nexts = [0usize; 1 << DIGIT];
    let mut before = 0;
    for (next, end) in nexts.iter_mut().zip(&mut ends) {
        *next = before;
        before += *end;
        *end = before;
    }
    for (bucket, &end) in ends.iter().enumerate() {
        while nexts[bucket] < end {
            poll();
            // The pair in the hand goes to its bucket, and what was there into the hand.
            let mut hand = pairs[nexts[bucket]];
            let mut at = digit(&hand);
            while at != bucket {
                let next = nexts[at];
                std::mem::swap(&mut hand, &mut pairs[next]);
                cpu::prefetch(pairs.as_ptr().wrapping_add(next + AHEAD).cast());
                nexts[at] = next + 1;
                at = digit(&hand);
            }
            pairs[nexts[bucket]] = hand;
            nexts[bucket] += 1;
        }
    }
    let mut rest = pairs;
    let mut before = 0;
    for end in ends {
        let (bucket, others) = rest.split_at_mut(end - before);
        if bucket.len() > 1 {
            distribute::<C, BY_TID>(bucket, word, poll);
        }
        (rest, before) = (others, end);
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
                (
                    prop_oneof![any::<u64>(), 0u64..20, (0u64..9).prop_map(|high| high << 40)],
                    0u64..1000,
                ),
                0..5000,
            ),
        ) {
            let mut expected = pairs.clone();
            expected.sort_unstable();
            sort(&mut pairs, || ());
            prop_assert_eq!(pairs, expected);
        }
    }

    #[test]
    fn equal_codes_are_sorted_by_heap_tid() {
        let mut pairs: Vec<Pair<u64>> = (0..3_000u64).map(|i| (7, i * 1_009 % 3_001)).collect();
        sort(&mut pairs, || ());
        assert!(pairs.is_sorted());
        let same = vec![(7, 7); 3_000];
        pairs.clone_from(&same);
        sort(&mut pairs, || ());
        assert_eq!(pairs, same);
    }

    #[test]
    fn a_long_sort_can_be_left_at_any_time() {
        let pair = |i: u64| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15), i);
        for codes in [u64::MAX, 7] {
            let mut pairs: Vec<Pair<u64>> =
                (0..100_000).map(pair).map(|(random, i)| (random & codes, random ^ i)).collect();
            let (mut polls, mut moved) = (0u32, pairs.clone());
            sort(&mut pairs, || polls += 1);
            assert!(polls > 300, "{polls} polls");
            let mut left = polls / 2;
            let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                sort(&mut moved, || {
                    left -= 1;
                    assert!(left > 0, "enough");
                });
            }));
            assert!(stopped.is_err() && left == 0);
        }
    }
}
