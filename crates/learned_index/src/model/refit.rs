//! Training a part of a model anew: the segments over the fences that changed.

use std::ops::RangeInclusive;

use super::line::{Step, steps};
use super::segments::Segments;
use super::{Model, Pgm, RadixSpline};

/// The model with the segments trained anew that say something about codes in `stale`, and those
/// behind them moved by what was added or removed there. `fences` are all fences as they are now;
/// outside `stale` they are the ones that the model was trained on.
///
/// `None` where training everything is as cheap: the model is not made of segments, or half of the
/// fences are concerned.
pub(super) fn refit(model: &Model, fences: &[u64], stale: &RangeInclusive<u64>) -> Option<Model> {
    let steps = steps(fences);
    let epsilon = u32::try_from(model.max_error().saturating_sub(1)).ok()?.max(1);
    match model {
        Model::Pgm(pgm) => {
            let train = |steps: &[Step]| Pgm::train(steps, epsilon).into_segments();
            let segments = splice(pgm.segments(), &steps, stale, 0, train)?;
            Some(Model::Pgm(Pgm::of(segments)))
        }
        Model::RadixSpline(spline) => {
            let train = |steps: &[Step]| RadixSpline::train(steps, epsilon).into_segments();
            // A spline ends where the next begins: that knot is part of both.
            let segments = splice(spline.segments(), &steps, stale, 1, train)?;
            Some(Model::RadixSpline(RadixSpline::of(segments)))
        }
        Model::Linear(_) | Model::Rmi(_) => None,
    }
}

/// `overlap`: how many steps of what stays the part trained anew has to see, and then gives back.
fn splice(
    known: &Segments,
    steps: &[Step],
    stale: &RangeInclusive<u64>,
    overlap: usize,
    train: impl FnOnce(&[Step]) -> Segments,
) -> Option<Segments> {
    let keys = known.keys();
    let step_at = |code: u64| steps.binary_search_by_key(&code, |step| step.code).ok();
    let first = keys.partition_point(|key| key <= stale.start()).checked_sub(1)?;
    let start = step_at(keys[first])?;
    if known.lines()[first].ends().0 != steps[start].rank {
        return None;
    }
    let after = keys.partition_point(|key| key <= stale.end()).max(first + 1);
    let rest = (after..keys.len()).find_map(|segment| Some((segment, step_at(keys[segment])?)));
    let end = rest.map_or(steps.len(), |(_, step)| step);
    if end - start > steps.len() / 2 {
        return None;
    }
    let overlap = if rest.is_some() { overlap } else { 0 };
    let (new_keys, new_lines) = train(&steps[start..end + overlap]).into_parts();
    let kept = new_keys.len() - overlap.min(new_keys.len());
    let (mut new_keys, mut new_lines) = (new_keys, new_lines);
    new_keys.truncate(kept);
    new_lines.truncate(kept);
    let mut lines = known.lines()[..first].to_vec();
    lines.append(&mut new_lines);
    let mut all_keys = keys[..first].to_vec();
    all_keys.append(&mut new_keys);
    if let Some((segment, step)) = rest {
        let moved = i64::from(steps[step].rank) - i64::from(known.lines()[segment].ends().0);
        all_keys.extend_from_slice(&keys[segment..]);
        lines.extend(known.lines()[segment..].iter().map(|line| line.moved(moved)));
    }
    Some(Segments::new(all_keys, lines))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{ModelChoice, search};
    use super::*;

    fn fences() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(prop_oneof![0u64..100_000, 40_000u64..41_000], 50..800).prop_map(
            |mut fences| {
                fences.sort_unstable();
                fences
            },
        )
    }

    proptest! {
        #[test]
        fn a_model_refitted_to_changed_fences_is_as_exact_as_one_trained_on_them(
            old in fences(), added in prop::collection::vec(0u64..5_000, 0..100),
            at in 0u64..100_000, width in 0u64..8_000, spline in any::<bool>(),
        ) {
            let stale = at..=at + width;
            let mut new: Vec<u64> =
                old.iter().copied().filter(|code| !stale.contains(code) || code % 3 == 0).collect();
            new.extend(added.iter().map(|code| at + code).filter(|code| stale.contains(code)));
            new.sort_unstable();
            let choice = if spline { ModelChoice::RadixSpline } else { ModelChoice::Pgm };
            let model = Model::train(choice, &old);
            if let Some(refitted) = refit(&model, &new, &stale) {
                prop_assert_eq!(refitted.kind(), model.kind());
                let error = refitted.max_error();
                let most = model.max_error().max(2) + 2;
                prop_assert!(error <= most, "{error} {most}");
                for code in new.iter().flat_map(|&code| [code.saturating_sub(1), code, code + 1]) {
                    let expected = new.partition_point(|&fence| fence <= code);
                    let prediction = refitted.predict(code);
                    if code >= new[0] {
                        prop_assert!(prediction.position.abs_diff(expected) <= error);
                    }
                    let found = search(prediction, new.len(), |index| new[index] <= code);
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    fn appending_leaves_the_segments_before_as_they_are() {
        let old: Vec<u64> = (0..2_000u64).map(|row| row * row).collect();
        let model = Model::train(ModelChoice::Pgm, &old);
        let new: Vec<u64> = (0..2_400u64).map(|row| row * row).collect();
        let refitted = refit(&model, &new, &(old[1_999]..=u64::MAX)).unwrap();
        let kept = model.segments() - 1;
        let (Model::Pgm(before), Model::Pgm(after)) = (&model, &refitted) else { unreachable!() };
        assert_eq!(before.segments().keys()[..kept], after.segments().keys()[..kept]);
        assert!(refitted.max_error() <= model.max_error() + 2);
    }
}
