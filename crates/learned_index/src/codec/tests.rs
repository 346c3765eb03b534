use proptest::prelude::*;

use super::{Sequence, SequencePlan};

/// Writes the values into the middle of other bytes, as a page does, and hands out the view.
fn with_sequence(values: &[u64], check: impl FnOnce(Sequence<'_>, usize)) {
    let plan = SequencePlan::of(values);
    let mut bytes = Vec::new();
    plan.write(values, &mut bytes);
    assert_eq!(bytes.len(), plan.byte_len());
    let written = bytes.len();
    bytes.extend_from_slice(&[0xA5; 64]);
    let (sequence, len) = Sequence::parse(&bytes, values.len()).unwrap();
    assert_eq!(len, written);
    check(sequence, written);
}

fn assert_round_trip(values: &[u64]) {
    with_sequence(values, |sequence, _| {
        for (index, &value) in values.iter().enumerate() {
            assert_eq!(sequence.get(index), value, "value {index}");
        }
        let (least, greatest) = sequence.bounds();
        let are_small = values.iter().all(|value| value >> 63 == 0);
        let are_within = values.iter().all(|value| (least..=greatest).contains(value));
        assert!(are_within || !are_small, "beyond {least} and {greatest}");
        for (start, end) in [(0, values.len()), (values.len() / 3, values.len() - values.len() / 4)]
        {
            let mut decoded = vec![0; end - start];
            sequence.decode(start, &mut decoded);
            assert_eq!(decoded, &values[start..end]);
        }
    });
}

fn assert_lower_bounds(values: &[u64]) {
    with_sequence(values, |sequence, _| {
        let around = |&value: &u64| [value.wrapping_sub(1), value, value.wrapping_add(1)];
        let gaps = values.windows(2).map(|pair| pair[0] + (pair[1] - pair[0]) / 2);
        for target in values.iter().flat_map(around).chain(gaps).chain([0, u64::MAX]) {
            let expected = values.partition_point(|&value| value < target);
            assert_eq!(sequence.lower_bound(target), expected, "target {target}");
            let end = values.partition_point(|&value| value <= target);
            assert_eq!(sequence.run_of(target, |_| ()), (expected, end), "target {target}");
        }
    });
}

/// Ascending values of many shapes: gaps of one size class, with repeats and steps between.
fn ascending() -> impl Strategy<Value = Vec<u64>> {
    let gap = (0u32..58, any::<u64>()).prop_map(|(bits, noise)| noise & ((1 << bits) - 1));
    let shape = prop_oneof![
        prop::collection::vec(gap, 1..600),
        (1u64..1 << 40, 0u64..1 << 20, 1usize..700, any::<u64>()).prop_map(
            |(step, jitter, count, seed)| {
                (0..count as u64)
                    .map(|i| step + seed.rotate_left(i as u32).wrapping_mul(i) % (jitter + 1))
                    .collect()
            }
        ),
        (prop::collection::vec(1usize..40, 1..60), 1u64..1 << 30).prop_map(|(runs, gap)| {
            runs.iter()
                .flat_map(|&run| (0..run).map(move |i| if i == 0 { gap } else { 0 }))
                .collect()
        }),
    ];
    (any::<u64>(), 1u64..2_000_000, shape).prop_map(|(start, scale, gaps)| {
        let mut value = start;
        gaps.iter()
            .map(|gap| {
                value = value.saturating_add(gap.saturating_mul(scale));
                value
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn ascending_values_come_back(values in ascending()) {
        assert_round_trip(&values);
    }

    #[test]
    fn lower_bounds_are_those_of_a_sorted_slice(values in ascending()) {
        assert_lower_bounds(&values);
    }

    #[test]
    fn any_values_come_back(values in prop::collection::vec(any::<u64>(), 1..300)) {
        assert_round_trip(&values);
    }

    #[test]
    fn any_sorted_values_have_exact_lower_bounds(
        mut values in
            prop::collection::vec(prop_oneof![any::<u64>(), 0u64..50, u64::MAX - 50..], 1..200),
    ) {
        values.sort_unstable();
        assert_round_trip(&values);
        assert_lower_bounds(&values);
    }

    #[test]
    fn heap_tids_in_any_direction_come_back(
        start in 0u64..1 << 47, step in -500i64..500, noise in 0u64..300, count in 1u64..600,
    ) {
        let value = |i: u64| {
            (start as i64 + (1 << 20) + step * i as i64) as u64
                + i.wrapping_mul(0x9E37_79B9) % (noise + 1)
        };
        assert_round_trip(&(0..count).map(value).collect::<Vec<_>>());
    }

    #[test]
    fn arbitrary_bytes_give_a_value_or_an_error(
        mut bytes in prop::collection::vec(any::<u8>(), 0..600),
        form in 0u8..6, count in 1usize..2000, width in 0u8..70,
    ) {
        if let Some(first) = bytes.first_mut() { *first = form; }
        if let Some(second) = bytes.get_mut(1) { *second = width; }
        if let Ok((sequence, len)) = Sequence::parse(&bytes, count) {
            prop_assert!(len <= bytes.len());
            for target in [0, 1, u64::MAX / 3, u64::MAX] {
                prop_assert!(sequence.lower_bound(target) <= count);
                let ahead = |index| sequence.prefetch(index..index + 1);
                let (start, end) = sequence.run_of(target, ahead);
                prop_assert!(start <= end && end <= count);
            }
            (0..count).for_each(|index| { sequence.get(index); });
            sequence.decode(count / 3, &mut vec![0; count - count / 3]);
        }
    }
}

fn bits_per_value(values: &[u64]) -> f64 {
    SequencePlan::of(values).byte_len() as f64 * 8.0 / values.len() as f64
}

#[test]
fn a_line_costs_nothing_but_its_header() {
    assert!(bits_per_value(&(0..60_000).collect::<Vec<_>>()) < 0.01);
    let seconds: Vec<u64> = (0..4096).map(|i| (1 << 63) + i * 1_000_000).collect();
    assert!(bits_per_value(&seconds) < 0.1);
    let descending: Vec<u64> = (0..4096).rev().collect();
    assert!(bits_per_value(&descending) < 0.1);
}

#[test]
fn a_common_divisor_is_not_paid_for() {
    let noise = |i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
    let fine: Vec<u64> = (0..512).map(|i| i * 4096 + noise(i)).collect();
    let coarse: Vec<u64> = fine.iter().map(|value| value * 1_000_000).collect();
    assert!(bits_per_value(&coarse) < bits_per_value(&fine) + 0.2);
}

#[test]
fn runs_of_ten_cost_a_fraction_of_a_bit_when_their_values_are_dense() {
    let values: Vec<u64> = (0..2000).map(|i| i / 10).collect();
    assert!(bits_per_value(&values) < 0.5);
}
