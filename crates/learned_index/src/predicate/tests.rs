use proptest::prelude::*;

use super::{Lock, MOST_PARTS, Part, marker, parts_of};
use crate::key::{Key, NullClass};
use crate::predicate::Held;

/// Codes near every border there is, and anywhere.
fn codes() -> impl Strategy<Value = u64> {
    let near = (0..=64u32, -300i64..300).prop_map(|(bit, offset)| {
        let power = 1u64.checked_shl(bit).unwrap_or(0);
        power.wrapping_add_signed(offset)
    });
    let near_middle = (0..63u32, -300i64..300, any::<bool>()).prop_map(|(bit, offset, above)| {
        let power = 1u64 << bit;
        let middle = 1u64 << 63;
        let code = if above { middle.wrapping_add(power) } else { middle.wrapping_sub(power) };
        code.wrapping_add_signed(offset)
    });
    prop_oneof![near, near_middle, any::<u64>()]
}

fn numbers_of(key: Key) -> Vec<u32> {
    let mut numbers = Vec::new();
    parts_of(key, |part| {
        assert!(part.contains(key), "{part:?} has not {key:?}");
        numbers.push(part.number());
    });
    numbers
}

/// Locks a range as a scan does. Returns what was locked now.
fn lock(held: &mut Held, low: Key, high: Key, page: Option<u64>) -> Vec<Lock> {
    let Some((low, high)) = held.rest(low, high) else { return Vec::new() };
    let chosen = held.choose(low, high, page);
    chosen.iter().for_each(|&lock| held.remember(lock));
    chosen
}

fn meets(locked: &[Lock], key: Key) -> bool {
    let numbers: Vec<Option<u32>> = locked.iter().map(Lock::number).collect();
    let mut met = numbers.contains(&None);
    parts_of(key, |part| {
        let marked = numbers.contains(&Some(marker(part.group())));
        met |= marked && numbers.contains(&Some(part.number()));
    });
    met
}

#[test]
fn the_number_of_a_part_stays_what_it_was() {
    // Prepared transactions keep their locks over a restart, perhaps with another version of this
    // crate.
    let numbers = numbers_of(Key::value((1 << 63) + 1_000));
    assert_eq!(numbers.len(), 65 + 3 + 16);
    assert!(numbers.len() <= MOST_PARTS);
    assert!(numbers.iter().all(|number| *number <= i32::MAX as u32));
    assert_eq!(
        [numbers[0], numbers[10], numbers[64], numbers[65], numbers[83]],
        [1_677_629_721, 879_941_946, 1_710_110_362, 724_506_997, 976_850_779]
    );
}

proptest! {
    #[test]
    fn a_session_that_writes_a_key_that_was_read_meets_a_lock(
        ranges in proptest::collection::vec((codes(), codes(), 0u64..3, any::<u32>()), 1..40),
        picks in proptest::collection::vec(any::<u64>(), 20),
    ) {
        let (mut held, mut locked) = (Held::default(), Vec::new());
        for &(a, b, kind, page) in &ranges {
            let (low, high) = match kind {
                0 => (a, a),
                1 => (a.min(b), a.max(b)),
                _ => (a, a.saturating_add(u64::from(page) / 2)),
            };
            let page = (page % 3 != 0).then_some(u64::from(page) << (page % 32));
            locked.extend(lock(&mut held, Key::value(low), Key::value(high), page));
            prop_assert_eq!(held.rest(Key::value(low), Key::value(high)), None);
            let inside = picks.iter().map(|pick| match high - low {
                u64::MAX => *pick,
                span => low + pick % (span + 1),
            });
            for code in inside.chain([low, high]) {
                prop_assert!(meets(&locked, Key::value(code)), "{code} of {low}..={high}");
            }
        }
        prop_assert!(locked.iter().filter(|lock| lock.number().is_some()).count() <= 31);
    }

    #[test]
    fn a_key_beside_what_was_read_meets_no_lock(
        a in codes(), b in codes(), page in 1u64..1 << 40, side in any::<bool>(),
        far in 1u64..1 << 40,
    ) {
        let (low, high) = (a.min(b), a.max(b).min(a.min(b).saturating_add(20 * page)));
        let locked = lock(&mut Held::default(), Key::value(low), Key::value(high), Some(page));
        // The first range of a transaction is locked to within a quarter of a page, if eight parts
        // do for that.
        let away = page.max((high - low) / 8);
        let beside = match side {
            true => high.checked_add(away).and_then(|code| code.checked_add(far)),
            false => low.checked_sub(away).and_then(|code| code.checked_sub(far)),
        };
        if let Some(code) = beside {
            let met = meets(&locked, Key::value(code));
            prop_assert!(!met, "{code} beside {low}..={high}: {locked:?}");
        }
    }

    #[test]
    fn numbers_of_different_parts_differ(a in codes(), b in codes()) {
        // Of some millions of pairs a few might, of these hardly any.
        let mut parts = Vec::new();
        parts_of(Key::value(a), |part| parts.push(part));
        parts_of(Key::value(b), |part| parts.push(part));
        parts.sort_unstable_by_key(Part::number);
        parts.dedup();
        prop_assert!(parts.windows(2).all(|pair| pair[0].number() != pair[1].number()));
    }
}

#[test]
fn single_keys_are_locked_as_such_and_later_with_their_surroundings() {
    let (mut held, mut locked) = (Held::default(), Vec::new());
    let base = (1 << 63) + 100_000;
    for n in 0..1_000 {
        let key = Key::value(base + n);
        locked.extend(lock(&mut held, key, key, Some(366)));
    }
    // A B-tree would have locked three or four pages.
    assert!(!held.everything(), "{locked:?}");
    assert!(locked.len() <= 16, "{locked:?}");
    assert!(meets(&locked, Key::value(base + 999)));
    assert!(!meets(&locked, Key::value(base - 400)));
    assert!(!meets(&locked, Key::value(base + 1_400)));
}

#[test]
fn a_transaction_reads_as_far_as_over_a_b_tree_before_it_locks_everything() {
    let (mut held, mut portion) = (Held::default(), 64);
    let start = (1 << 63) + 12_345;
    let mut next = start;
    while !held.everything() {
        lock(&mut held, Key::value(next), Key::value(next + portion - 1), Some(366));
        next += portion;
        portion = (2 * portion).min(512);
    }
    assert!(next - start > 31 * 366, "{} rows", next - start);
    // Scattered single keys: one lock for each.
    let (mut held, mut keys) = (Held::default(), 0u64);
    while !held.everything() {
        let key = Key::value(start + keys * 100_000);
        lock(&mut held, key, key, Some(366));
        keys += 1;
    }
    // Two of the locks are markers.
    assert_eq!(keys, 30);
}

#[test]
fn the_ends_of_an_index_are_locked_from_where_they_are_read() {
    // Signed numbers from 1 to a million, descending ones, unsigned ones, and times.
    let middle = 1u64 << 63;
    let cases: [(u64, u64, u64); 5] = [
        (middle + 1, middle + 1_000_000, 366),
        (middle - 1_000_001, middle - 2, 366),
        (1, 1_000_000, 366),
        (u64::MAX - 1_000_000, u64::MAX - 1, 366),
        (middle + 700_000_000_000_000, middle + 800_000_000_000_000, 366_000_000),
    ];
    for (first, last, page) in cases {
        let rows = (last - first) / (page / 366);
        let end =
            lock(&mut Held::default(), Key::value(last - page), Key::value(u64::MAX), Some(page));
        let start = lock(&mut Held::default(), Key::value(0), Key::value(first + page), Some(page));
        assert!(meets(&end, Key::value(u64::MAX)) && meets(&start, Key::value(0)));
        assert!(meets(&end, Key::value(last + 1)) && meets(&start, Key::value(first - 1)));
        // All but the last or first few percent of rows may be written.
        let far = page * (rows / 366 / 16);
        assert!(!meets(&end, Key::value(last - page - far)), "{first}..={last}: {end:?}");
        assert!(!meets(&start, Key::value(first + page + far)), "{first}..={last}: {start:?}");
    }
}

#[test]
fn nulls_are_locked_apart_from_values() {
    for class in [NullClass::NullsFirst, NullClass::NullsLast] {
        let nulls = Key { class, code: 0 };
        let locked = lock(&mut Held::default(), nulls, nulls, None);
        assert!(meets(&locked, nulls));
        assert!(!meets(&locked, Key::value(0)));
        let values = lock(&mut Held::default(), Key::value(0), Key::value(u64::MAX), None);
        assert!(!meets(&values, nulls));
        assert!(meets(&values, Key::value(0)) && meets(&values, Key::value(u64::MAX)));
    }
}
