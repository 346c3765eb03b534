//! Sets of keys as sorted, disjoint intervals: what a scan has to visit, in index order.

use super::{Code, Key, NullClass, Word};
use crate::memory::Add;

/// All keys from `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval<C = Word> {
    /// The smallest key.
    pub low: Key<C>,
    /// The largest key; never less than `low`.
    pub high: Key<C>,
}

impl<C: Code> Interval<C> {
    /// Every key there can be, NULLs included.
    pub const ALL: Interval<C> = Interval { low: Key::MIN, high: Key::MAX };

    /// Every key that is not NULL.
    pub const VALUES: Interval<C> = Interval { low: Key::value(C::MIN), high: Key::value(C::MAX) };

    /// One key.
    #[inline]
    pub const fn point(key: Key<C>) -> Interval<C> {
        Interval { low: key, high: key }
    }

    /// The values with codes from `low` to `high`, both included.
    #[inline]
    pub const fn values(low: C, high: C) -> Interval<C> {
        Interval { low: Key::value(low), high: Key::value(high) }
    }

    /// Whether the interval has this key.
    #[inline]
    pub fn contains(&self, key: Key<C>) -> bool {
        self.low <= key && key <= self.high
    }

    /// What both intervals have; `None` if that is nothing.
    #[inline]
    pub fn intersection(&self, other: &Interval<C>) -> Option<Interval<C>> {
        let low = self.low.max(other.low);
        let high = self.high.min(other.high);
        (low <= high).then_some(Interval { low, high })
    }
}

/// Whether no key stands between the two, so that intervals that end and begin there are one.
fn touches<C: Code>(high: Key<C>, low: Key<C>) -> bool {
    high >= low
        || (high.class == low.class && high.code.next() == Some(low.code))
        || (high.code == C::MAX
            && low.code == C::MIN
            && matches!(
                (high.class, low.class),
                (NullClass::NullsFirst, NullClass::Value)
                    | (NullClass::Value, NullClass::NullsLast)
            ))
}

/// Sorted intervals that neither overlap nor touch. Keeps its memory when it is refilled.
#[derive(Clone, Debug)]
pub struct Intervals<C = Word> {
    list: Vec<Interval<C>>,
    /// The other half of an intersection, swapped with `list`.
    spare: Vec<Interval<C>>,
}

impl<C: Code> Default for Intervals<C> {
    fn default() -> Intervals<C> {
        Intervals::new()
    }
}

impl<C: Code> Intervals<C> {
    /// No key at all.
    pub const fn new() -> Intervals<C> {
        Intervals { list: Vec::new(), spare: Vec::new() }
    }

    /// Makes this the empty set.
    #[inline]
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// Makes this the keys from `low` to `high`, both included: none if `low` is greater.
    #[inline]
    pub fn set(&mut self, low: Key<C>, high: Key<C>) {
        self.list.clear();
        if low <= high {
            self.list.push(Interval { low, high });
        }
    }

    /// Shortens intervals of values: each one then begins at the code that `first` gives for its
    /// least code, and ends at the code that `last` gives for its greatest. Drops an interval if
    /// one of the two gives none, or if nothing is left.
    pub fn narrow(&mut self, first: impl Fn(C) -> Option<C>, last: impl Fn(C) -> Option<C>) {
        self.list.retain_mut(|interval| {
            let (Some(low), Some(high)) = (first(interval.low.code), last(interval.high.code))
            else {
                return false;
            };
            (interval.low.code, interval.high.code) = (low, high);
            low <= high
        });
    }

    /// Makes this a set of single keys, given in any order and any number of times.
    pub fn set_points(&mut self, keys: impl IntoIterator<Item = Key<C>>) {
        self.set_union(keys.into_iter().map(Interval::point));
    }

    /// Makes this the union of any intervals, in any order, overlapping or not.
    pub fn set_union(&mut self, intervals: impl IntoIterator<Item = Interval<C>>) {
        self.list.clear();
        self.list.add_all(intervals.into_iter().filter(|interval| interval.low <= interval.high));
        if !self.list.is_sorted_by_key(|interval| interval.low) {
            self.list.sort_unstable_by_key(|interval| interval.low);
        }
        self.list.dedup_by(|next, merged| {
            let one = touches(merged.high, next.low);
            if one {
                merged.high = merged.high.max(next.high);
            }
            one
        });
    }

    /// Makes this the keys that both an interval and another set have. Looks at no more of that set
    /// than it has to.
    pub fn set_intersection(&mut self, interval: &Interval<C>, other: &Intervals<C>) {
        self.list.clear();
        let from = other.list.partition_point(|other| other.high < interval.low);
        let both = other.list[from..].iter().map_while(|other| other.intersection(interval));
        self.list.add_all(both);
    }

    /// Keeps only the keys that the interval has too.
    pub fn intersect(&mut self, interval: &Interval<C>) {
        self.list.retain_mut(|own| match own.intersection(interval) {
            Some(both) => {
                *own = both;
                true
            }
            None => false,
        });
    }

    /// Keeps only the keys that the other set has too.
    pub fn intersect_all(&mut self, other: &Intervals<C>) {
        self.spare.clear();
        let (mut own, mut others) = (self.list.iter().peekable(), other.list.iter().peekable());
        while let (Some(a), Some(b)) = (own.peek(), others.peek()) {
            if let Some(both) = a.intersection(b) {
                self.spare.add(both);
            }
            if a.high < b.high {
                own.next();
            } else {
                others.next();
            }
        }
        std::mem::swap(&mut self.list, &mut self.spare);
    }

    /// Whether there is no key.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The intervals, in index order.
    #[inline]
    pub fn as_slice(&self) -> &[Interval<C>] {
        &self.list
    }

    /// Whether the set has this key.
    pub fn contains(&self, key: Key<C>) -> bool {
        let after = self.list.partition_point(|interval| interval.high < key);
        self.list.get(after).is_some_and(|interval| interval.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const CODES: [u64; 10] = [0, 1, 2, 3, 4, 5, u64::MAX - 3, u64::MAX - 2, u64::MAX - 1, u64::MAX];

    /// A small universe that has every boundary: both null classes and both ends of the codes.
    fn universe() -> impl Iterator<Item = Key> {
        [NullClass::NullsFirst, NullClass::Value, NullClass::NullsLast]
            .into_iter()
            .flat_map(|class| CODES.map(|code| Key { class, code }))
    }

    fn keys() -> impl Strategy<Value = Key> {
        proptest::sample::select(universe().collect::<Vec<_>>())
    }

    fn intervals() -> impl Strategy<Value = Vec<Interval>> {
        let interval =
            (keys(), keys()).prop_map(|(a, b)| Interval { low: a.min(b), high: a.max(b) });
        proptest::collection::vec(interval, 0..6)
    }

    fn oracle(intervals: &[Interval]) -> BTreeSet<Key> {
        universe().filter(|key| intervals.iter().any(|i| i.contains(*key))).collect()
    }

    fn union(intervals: &[Interval]) -> Intervals {
        let mut set = Intervals::new();
        set.set_union(intervals.iter().copied());
        set
    }

    fn assert_is(set: &Intervals, expected: &BTreeSet<Key>) {
        for key in universe() {
            assert_eq!(set.contains(key), expected.contains(&key), "{key:?} in {set:?}");
        }
        assert_eq!(set.is_empty(), set.as_slice().is_empty());
        for interval in set.as_slice() {
            assert!(interval.low <= interval.high);
        }
        for pair in set.as_slice().windows(2) {
            assert!(pair[0].high < pair[1].low, "out of order: {set:?}");
        }
    }

    proptest! {
        #[test]
        fn a_union_has_the_keys_of_every_part(parts in intervals()) {
            let set = union(&parts);
            assert_is(&set, &oracle(&parts));
            for pair in set.as_slice().windows(2) {
                prop_assert!(!touches(pair[0].high, pair[1].low));
            }
        }

        #[test]
        fn an_intersection_has_the_keys_of_both(
            a in intervals(), b in intervals(), c in intervals(),
        ) {
            let mut set = union(&a);
            let both: BTreeSet<Key> = oracle(&a).intersection(&oracle(&b)).copied().collect();
            set.intersect_all(&union(&b));
            assert_is(&set, &both);
            // Memory that was used before does not shine through.
            set.intersect_all(&union(&c));
            assert_is(&set, &both.intersection(&oracle(&c)).copied().collect());
        }

        /// As if only every third code were wanted.
        #[test]
        fn narrowing_leaves_out_what_is_unwanted_at_the_ends(a in intervals()) {
            let values = |key: &Key| key.class == NullClass::Value;
            let a: Vec<Interval> =
                a.into_iter().filter(|i| values(&i.low) && values(&i.high)).collect();
            let mut set = union(&a);
            let up = |code: u64| code.checked_next_multiple_of(3);
            set.narrow(up, |code| Some(code / 3 * 3));
            let third = |key: &Key| key.code.is_multiple_of(3);
            let wanted: BTreeSet<Key> = oracle(&a).into_iter().filter(third).collect();
            let found: BTreeSet<Key> =
                universe().filter(|key| third(key) && set.contains(*key)).collect();
            prop_assert_eq!(found, wanted);
            let ends = |interval: &Interval| third(&interval.low) && third(&interval.high);
            prop_assert!(set.as_slice().iter().all(ends));
        }

        #[test]
        fn clipping_is_intersection_with_one(a in intervals(), x in keys(), y in keys()) {
            let clip = Interval { low: x.min(y), high: x.max(y) };
            let mut part = union(&[clip]);
            part.set_intersection(&clip, &union(&a));
            assert_is(&part, &oracle(&a).intersection(&oracle(&[clip])).copied().collect());
            let mut set = union(&a);
            set.intersect(&clip);
            assert_is(&set, &oracle(&a).intersection(&oracle(&[clip])).copied().collect());
        }
    }

    #[test]
    fn consecutive_points_become_one_interval() {
        let mut set = Intervals::new();
        set.set_points([7, 5, 6, 6, 9].map(Key::value));
        assert_eq!(set.as_slice(), [Interval::values(5, 7), Interval::values(9, 9)]);
    }
}
