//! Codes of several words, compared one after the other: keys of several columns, and values of
//! more than 64 bits.

use super::{Code, Word};
use crate::codec::{Lanes, LanesPlan};

impl<const L: usize> Code for [Word; L] {
    type Codes<'a> = Lanes<'a, L>;
    type Plan = LanesPlan<L>;

    const WORDS: usize = L;
    const MIN: [Word; L] = [Word::MIN; L];
    const MAX: [Word; L] = [Word::MAX; L];

    fn next(mut self) -> Option<[Word; L]> {
        // The last word that is not the greatest goes up, and those behind it begin again.
        let at = self.iter().rposition(|&word| word < Word::MAX)?;
        self[at] += 1;
        self[at + 1..].fill(Word::MIN);
        Some(self)
    }

    fn previous(mut self) -> Option<[Word; L]> {
        let at = self.iter().rposition(|&word| word > Word::MIN)?;
        self[at] -= 1;
        self[at + 1..].fill(Word::MAX);
        Some(self)
    }

    #[inline]
    fn word(self) -> Word {
        self[0]
    }

    #[inline]
    fn with_last(mut self, words: usize, with: Word) -> [Word; L] {
        self[L.saturating_sub(words)..].fill(with);
        self
    }

    #[inline]
    fn with_word(mut self, index: usize, word: Word) -> [Word; L] {
        self[index] = word;
        self
    }

    #[inline]
    fn word_at(self, index: usize) -> Word {
        self[index]
    }

    fn sort_few(pairs: &mut [([Word; L], u64)]) {
        pairs.sort_unstable();
    }

    #[inline]
    fn mixed(self) -> u64 {
        let add = |mixed: u64, word: Word| {
            (mixed.rotate_left(29) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        };
        self.into_iter().fold(0, add)
    }

    #[inline]
    fn part_of(self, low: [Word; L], high: [Word; L]) -> f32 {
        // The first word in which the two differ says most of it.
        let differs = |&at: &usize| low[at] != high[at];
        (0..L).find(differs).map_or(0.0, |at| match self[..at].cmp(&low[..at]) {
            std::cmp::Ordering::Less => 0.0,
            std::cmp::Ordering::Equal => self[at].part_of(low[at], high[at]),
            std::cmp::Ordering::Greater => 1.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codes() -> impl Strategy<Value = [Word; 3]> {
        let word = prop_oneof![Just(0), Just(1), Just(u64::MAX - 1), Just(u64::MAX), any::<u64>()];
        [word.clone(), word.clone(), word]
    }

    proptest! {
        #[test]
        fn neighbours_have_nothing_between_them(code in codes(), other in codes()) {
            match code.next() {
                Some(next) => {
                    prop_assert!(code < next && next.previous() == Some(code));
                    prop_assert!(other <= code || other >= next);
                }
                None => prop_assert_eq!(code, <[Word; 3]>::MAX),
            }
            prop_assert_eq!(code.previous().is_none(), code == <[Word; 3]>::MIN);
        }

        #[test]
        fn words_and_parts_never_fall(mut some in [codes(), codes(), codes(), codes()]) {
            some.sort_unstable();
            let [low, a, b, high] = some;
            prop_assert!(a.word() <= b.word());
            let part = |code: [Word; 3]| code.part_of(low, high);
            prop_assert!((0.0..=1.0).contains(&part(a)) && part(a) <= part(b));
        }

        #[test]
        fn one_word_is_as_the_word(code: u64, other: u64) {
            prop_assert_eq!([code].next(), code.next().map(|next| [next]));
            prop_assert_eq!([code].cmp(&[other]), code.cmp(&other));
        }
    }
}
