//! Groups of functions that ascend, against grouping by the function itself.

use pgrx::prelude::*;

#[pg_schema]
mod tests {
    use std::collections::BTreeMap;

    use pgrx::prelude::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use crate::am::buckets::{BucketMemory, Buckets};

    /// How many keys each value of a function has, as groups that are found one after the other.
    fn groups_of(keys: &[i64], mut function: impl FnMut(i64) -> i64) -> Vec<(i64, usize)> {
        let mut memory = BucketMemory::new(false, None);
        let mut buckets = Buckets::new(&mut function, &mut memory);
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(&first) = keys.get(from) {
            let mut look = |value: Option<i64>| {
                Ok(match value {
                    Some(value) => keys.get(keys.partition_point(|&key| key < value)).copied(),
                    None => keys.last().copied(),
                })
            };
            let group = buckets.group_of(first, &mut look);
            let Ok((bucket, end)) = group else { error!("looking fails") };
            let to = end.map_or(keys.len(), |end| keys.partition_point(|&key| key < end));
            found.push((bucket, to - from));
            assert!(to > from, "a group without keys from {first} on");
            from = to;
        }
        found
    }

    fn assert_groups(keys: &[i64], function: impl Fn(i64) -> i64) {
        let mut expected = BTreeMap::new();
        for &key in keys {
            *expected.entry(function(key)).or_insert(0usize) += 1;
        }
        let expected: Vec<(i64, usize)> = expected.into_iter().collect();
        assert_eq!(groups_of(keys, &function), expected);
    }

    #[pg_test]
    fn groups_end_where_the_function_has_another_value() {
        let mut rng = StdRng::seed_from_u64(7);
        for round in 0..300 {
            let reach = 1i64 << rng.random_range(1..62);
            let mut keys: Vec<i64> =
                (0..rng.random_range(0..200)).map(|_| rng.random_range(-reach..reach)).collect();
            if round % 5 == 0 {
                keys.extend([i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX]);
            }
            keys.sort_unstable();
            keys.dedup();
            let width = (reach >> rng.random_range(0..8)).max(1);
            assert_groups(&keys, |key| key / width);
            assert_groups(&keys, |key| key.div_euclid(width));
            // Widths that vary, as those of months do.
            let mut borders: Vec<i64> =
                (0..rng.random_range(1..50)).map(|_| rng.random_range(-reach..reach)).collect();
            borders.sort_unstable();
            assert_groups(&keys, |key| borders.partition_point(|&border| border <= key) as i64);
            assert_groups(&keys, |_| 5);
            assert_groups(&keys, |key| key);
        }
    }
}
