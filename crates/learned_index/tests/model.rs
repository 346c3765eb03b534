//! Promises of the models: exact answers whatever the model, honest error bounds, safe bytes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod distributions;

use learned_index::model::{MAX_BLOB_BYTES, Model, ModelChoice, ModelError, ModelKind, search};
use proptest::prelude::*;

const CHOICES: [ModelChoice; 5] = [
    ModelChoice::Auto,
    ModelChoice::Linear,
    ModelChoice::Rmi,
    ModelChoice::Pgm,
    ModelChoice::RadixSpline,
];

fn oracle(fences: &[u64], code: u64) -> usize {
    fences.partition_point(|fence| *fence <= code)
}

fn lookup(model: &Model, fences: &[u64], code: u64) -> usize {
    search(model.predict(code), fences.len(), |i| fences[i] <= code)
}

/// Every fence, its neighbours, the middle of every gap, and the ends of the domain.
fn codes(fences: &[u64]) -> Vec<u64> {
    let mut codes = vec![0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    for (i, &fence) in fences.iter().enumerate() {
        let next = fences.get(i + 1).copied().unwrap_or(u64::MAX);
        codes.extend([fence.saturating_sub(1), fence, fence.saturating_add(1)]);
        codes.push(fence.midpoint(next));
    }
    codes
}

/// The answer is exact and within the window that the model promises for its own fences.
fn check_own_fences(model: &Model, fences: &[u64], codes: &[u64]) {
    for &code in codes {
        let expected = oracle(fences, code);
        let p = model.predict(code);
        assert!(p.low <= p.position && p.position <= p.high && p.high <= fences.len(), "{p:?}");
        assert!(
            (p.low..=p.high).contains(&expected),
            "{} promised {p:?} for {code}, the answer is {expected}",
            model.kind().name(),
        );
        assert!(p.position.abs_diff(expected) <= model.max_error());
        assert_eq!(lookup(model, fences, code), expected);
    }
}

fn fences() -> impl Strategy<Value = Vec<u64>> {
    let code = || {
        prop_oneof![
            any::<u64>(),
            0u64..50,
            0u64..5_000,
            (u64::MAX - 200)..=u64::MAX,
            (0u32..64).prop_map(|bit| 1 << bit),
        ]
    };
    let run = (code(), 1usize..40).prop_map(|(code, times)| vec![code; times]);
    let line = (code(), 0u64..1_000, 1usize..60)
        .prop_map(|(code, gap, n)| (0..n as u64).map(|i| code.saturating_add(i * gap)).collect());
    let part = prop_oneof![6 => code().prop_map(|code| vec![code]), 1 => run, 2 => line];
    prop::collection::vec(part, 0..80).prop_map(|parts: Vec<Vec<u64>>| {
        let mut fences = parts.concat();
        fences.sort_unstable();
        fences
    })
}

#[test]
fn every_model_is_exact_and_keeps_its_bound_on_every_distribution() {
    for name in distributions::NAMES {
        for count in [0, 1, 2, 3, 5, 17, 100, 1_000, 4_000] {
            let fences = distributions::fences(name, count, 3);
            let codes = codes(&fences);
            for choice in CHOICES {
                check_own_fences(&Model::train(choice, &fences), &fences, &codes);
            }
        }
    }
}

#[test]
fn fences_too_many_to_try_every_model_on_keep_the_promises_too() {
    for name in ["clusters", "outliers"] {
        let fences = distributions::fences(name, 300_000, 4);
        let codes: Vec<u64> = fences.iter().step_by(37).map(|fence| fence ^ 1).collect();
        check_own_fences(&Model::train(ModelChoice::Auto, &fences), &fences, &codes);
    }
}

#[test]
fn a_model_trained_on_another_distribution_still_gives_exact_answers() {
    for trained in distributions::NAMES {
        let other = distributions::fences(trained, 900, 5);
        for choice in CHOICES {
            let model = Model::train(choice, &other);
            for name in distributions::NAMES {
                let fences = distributions::fences(name, 300, 6);
                for code in codes(&fences) {
                    assert_eq!(lookup(&model, &fences, code), oracle(&fences, code));
                }
            }
        }
    }
}

#[test]
fn the_same_fences_give_the_same_bytes() {
    for name in distributions::NAMES {
        let fences = distributions::fences(name, 5_000, 8);
        for choice in CHOICES {
            let bytes = Model::train(choice, &fences).to_bytes();
            assert_eq!(bytes, Model::train(choice, &fences).to_bytes());
        }
    }
}

#[test]
fn a_choice_other_than_auto_is_obeyed() {
    let kinds = [ModelKind::Linear, ModelKind::Rmi, ModelKind::Pgm, ModelKind::RadixSpline];
    for fences in [vec![], vec![7], distributions::fences("clusters", 3_000, 9)] {
        for (choice, kind) in CHOICES.into_iter().skip(1).zip(kinds) {
            assert_eq!(Model::train(choice, &fences).kind(), kind);
            assert_eq!(ModelKind::try_from(kind as u8).unwrap(), kind);
        }
    }
}

#[test]
fn auto_needs_less_than_half_the_probes_of_binary_search_on_any_distribution() {
    for name in distributions::NAMES {
        let fences = distributions::fences(name, 20_000, 10);
        let model = Model::train(ModelChoice::Auto, &fences);
        let (mut probes, mut binary) = (0, 0);
        for &code in fences.iter().step_by(11) {
            search(model.predict(code), fences.len(), |i| {
                probes += 1;
                fences[i] <= code
            });
            let _ = fences.partition_point(|fence| {
                binary += 1;
                *fence <= code
            });
        }
        assert!(2 * probes < binary, "{name}: {} {probes} probes, {binary}", model.kind().name());
    }
}

#[test]
fn auto_takes_one_line_where_one_line_is_enough() {
    for name in ["serial", "timestamps", "equal"] {
        let fences = distributions::fences(name, 20_000, 13);
        assert_eq!(Model::train(ModelChoice::Auto, &fences).kind(), ModelKind::Linear, "{name}");
    }
}

#[test]
fn a_few_outliers_do_not_put_the_others_into_one_slot() {
    let count = 20_000;
    let near_uniform = distributions::fences("outliers", count, 11);
    for choice in [ModelChoice::Rmi, ModelChoice::Pgm, ModelChoice::RadixSpline] {
        let model = Model::train(choice, &near_uniform);
        let wide = near_uniform[..count - 21]
            .iter()
            .map(|code| model.predict(*code))
            .filter(|p| p.high - p.low > 64)
            .count();
        // One leaf of an RMI may hold the outliers and the last of the others.
        assert!(wide < count / 64, "{}: {wide} wide windows", model.kind().name());
    }
}

#[test]
fn unsorted_fences_give_a_model_and_no_panic() {
    let fences = [5, 3, u64::MAX, 0, 9, 9, 1];
    for choice in CHOICES {
        let model = Model::train(choice, &fences);
        for code in codes(&fences) {
            let p = model.predict(code);
            assert!(p.low <= p.position && p.position <= p.high && p.high <= fences.len());
        }
    }
}

#[test]
fn every_single_damaged_byte_is_noticed() {
    let fences = distributions::fences("clusters", 200, 12);
    for choice in CHOICES {
        let bytes = Model::train(choice, &fences).to_bytes();
        for i in 0..bytes.len() {
            for bit in [1, 0x80] {
                let mut damaged = bytes.clone();
                damaged[i] ^= bit;
                assert!(Model::from_bytes(&damaged).is_err(), "byte {i}");
            }
            assert!(Model::from_bytes(&bytes[..i]).is_err(), "cut at {i}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(Model::from_bytes(&longer), Err(ModelError::Checksum));
    }
}

#[test]
fn a_blob_beyond_the_limit_is_refused_unread() {
    let bytes = vec![0; MAX_BLOB_BYTES + 1];
    assert_eq!(Model::from_bytes(&bytes), Err(ModelError::Size(bytes.len())));
}

/// Puts a valid header before `payload`.
fn sealed(payload: &[u8]) -> Vec<u8> {
    let hash = payload.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mut bytes = b"LMDL".to_vec();
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(hash.to_le_bytes());
    bytes.extend(payload);
    bytes
}

#[test]
fn a_claimed_length_of_exabytes_is_never_allocated() {
    for kind in 0..4u32 {
        for length in [u64::MAX, u64::MAX / 8, 1 << 40, 1 << 24] {
            for position in 0..6 {
                let mut payload = kind.to_le_bytes().to_vec();
                payload.extend(vec![0; position * 8]);
                payload.extend(length.to_le_bytes());
                // At some positions it is no length but a legal key.
                let model = Model::from_bytes(&sealed(&payload));
                assert!(model.is_err() || model.is_ok_and(|model| model.segments() <= 1));
            }
        }
    }
}

proptest! {
    #[test]
    fn any_fences_are_searched_exactly_within_the_promised_window(
        fences in fences(),
        more in prop::collection::vec(any::<u64>(), 20),
    ) {
        let codes = [codes(&fences), more].concat();
        for choice in CHOICES {
            check_own_fences(&Model::train(choice, &fences), &fences, &codes);
        }
    }

    #[test]
    fn a_stale_model_gives_exact_answers(old in fences(), new in fences()) {
        for choice in CHOICES {
            let model = Model::train(choice, &old);
            for code in codes(&new) {
                prop_assert_eq!(lookup(&model, &new, code), oracle(&new, code));
            }
        }
    }

    #[test]
    fn bytes_bring_back_the_same_model(fences in fences()) {
        for choice in CHOICES {
            let model = Model::train(choice, &fences);
            prop_assert_eq!(Model::from_bytes(&model.to_bytes()).unwrap(), model);
        }
    }

    #[test]
    fn any_bytes_give_a_model_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Model::from_bytes(&bytes);
        let _ = Model::from_bytes(&sealed(&bytes));
    }

    #[test]
    fn a_forged_model_with_a_valid_checksum_still_gives_exact_answers(
        trained in fences(),
        fences in fences(),
        forgeries in prop::collection::vec(
            (any::<prop::sample::Index>(), prop_oneof![Just(0u8), Just(255), any::<u8>()]), 1..8),
    ) {
        for choice in CHOICES {
            let bytes = Model::train(choice, &trained).to_bytes();
            let mut payload = bytes[16..].to_vec();
            for (at, byte) in &forgeries {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
            let Ok(model) = Model::from_bytes(&sealed(&payload)) else { continue };
            for code in codes(&fences) {
                let p = model.predict(code);
                prop_assert!(p.low <= p.position && p.position <= p.high);
                prop_assert_eq!(lookup(&model, &fences, code), oracle(&fences, code));
            }
        }
    }
}
