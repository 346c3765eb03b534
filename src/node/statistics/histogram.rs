//! A histogram of a column: what ANALYZE found, and what an index has beyond its ends.
//!
//! The core's histograms have the same number of rows between any two neighbouring bounds. So the
//! bounds that ANALYZE found stay, those beyond which there are no rows any more go, and as many
//! come as the new rows need at the same number of rows each.

use learned_index::memory::Add;

/// Where nothing is known before, there are this many bins of the same number of rows.
const FRESH_BINS: usize = 100;
/// The most bounds, where ANALYZE did not find half as many: beyond, every second one goes.
const MOST_BOUNDS: usize = 400;

/// What is beyond an end: values in ascending order, each with how many rows it stands for.
pub(super) type Beyond<T> = [(T, f64)];

/// The histogram of a column of which nothing is known but a sample of all its values. `None` if
/// that is too little.
pub(super) fn fresh<T: Copy>(least: T, sample: &Beyond<T>) -> Option<Vec<T>> {
    // No value is known between two of the sample.
    let bins = (rows_of(sample) / widest(sample).max(1.0)) as usize;
    let mut bounds = vec![least];
    bounds.extend(parts_of(sample, bins.clamp(2, FRESH_BINS).min(sample.len())));
    (bounds.len() > 2).then_some(bounds)
}

/// A histogram with what is beyond its ends. `each` is how many rows there are between two of its
/// bounds; `least` is the least value below it and `greatest` the greatest above, if there are any.
pub(super) fn extended<T: Copy>(
    mut bounds: Vec<T>,
    mut each: f64,
    (least, below): (Option<T>, &Beyond<T>),
    (greatest, above): (Option<T>, &Beyond<T>),
) -> Vec<T> {
    let (rows_below, rows_above) = (rows_of(below), rows_of(above));
    let widest = widest(below).max(widest(above));
    let bins = |each: f64| ((rows_below + rows_above) / each).round() as usize;
    let most = MOST_BOUNDS.max(2 * bounds.len());
    while bounds.len() > 3 && (bounds.len() + bins(each) > most || each < widest / 2.0) {
        thin(&mut bounds);
        each *= 2.0;
    }
    let parts = |rows: f64| ((rows / each).round() as usize).min(most);
    if let Some(least) = least {
        let mut all = vec![least];
        let parts = parts(rows_below);
        // The last of them ends where the histogram began.
        all.add_all(parts_of(below, parts).take(parts.saturating_sub(1)));
        all.add_all(bounds[usize::from(parts == 0)..].iter().copied());
        bounds = all;
    }
    if let Some(greatest) = greatest {
        let parts = parts(rows_above);
        if parts == 0 {
            bounds.pop();
        }
        bounds.add_all(parts_of(above, parts.max(1)).take(parts.max(1) - 1));
        bounds.add(greatest);
    }
    bounds
}

/// How many rows a sample stands for.
pub(super) fn rows_of<T>(sample: &Beyond<T>) -> f64 {
    sample.iter().map(|(_, rows)| rows).sum()
}

/// The most rows that one value stands for.
fn widest<T>(sample: &Beyond<T>) -> f64 {
    sample.iter().map(|(_, rows)| *rows).fold(0.0, f64::max)
}

/// Leaves every second bound out, but the ends.
fn thin<T>(bounds: &mut Vec<T>) {
    let last = bounds.pop();
    let mut at = 0;
    bounds.retain(|_| {
        at += 1;
        at % 2 == 1
    });
    bounds.extend(last);
}

/// The values at which parts of the same number of rows end.
fn parts_of<T: Copy>(values: &Beyond<T>, parts: usize) -> impl Iterator<Item = T> {
    let all = rows_of(values);
    let (mut at, mut passed) = (0, 0.0);
    (1..=parts).filter_map(move |part| {
        let rank = all * part as f64 / parts as f64;
        // Numbers that were added up are not exact.
        while at + 1 < values.len() && passed + values[at].1 < rank * (1.0 - 1e-9) {
            passed += values[at].1;
            at += 1;
        }
        values.get(at).map(|(value, _)| *value)
    })
}

#[cfg(any(test, feature = "pg_test"))]
#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use super::*;

    fn one_each(values: std::ops::Range<i64>) -> Vec<(i64, f64)> {
        values.map(|value| (value, 1.0)).collect()
    }

    /// The share of rows below a value, as the core reads a histogram.
    fn share_below(bounds: &[i64], value: f64) -> f64 {
        let bins = (bounds.len() - 1) as f64;
        let bin = bounds.partition_point(|bound| (*bound as f64) < value).max(1) - 1;
        let Some((low, high)) = bounds.get(bin).zip(bounds.get(bin + 1)) else { return 1.0 };
        let (low, high) = (*low as f64, *high as f64);
        let within = ((value - low) / (high - low).max(1.0)).clamp(0.0, 1.0);
        (bin as f64 + within) / bins
    }

    #[pg_test]
    fn rows_beyond_the_ends_have_their_share_whatever_their_number() {
        for above in [1, 3, 30, 49, 51, 100, 149, 500, 5_000, 50_000, 1_000_000] {
            for below in [0, 40, 2_000] {
                let bounds: Vec<i64> = (0..=100).map(|bound| bound * 100).collect();
                let (below, above) = (one_each(-below..0), one_each(10_001..10_001 + above));
                let all = (10_000 + below.len() + above.len()) as f64;
                let least = below.first().map(|(value, _)| *value);
                let greatest = above.last().map(|(value, _)| *value);
                let found = extended(bounds, 100.0, (least, &below), (greatest, &above));
                assert!(found.is_sorted() && found.len() <= MOST_BOUNDS + 2, "{}", found.len());
                assert_eq!(found.first(), Some(&least.unwrap_or(0)));
                assert_eq!(found.last().copied(), greatest);
                let rows = above.len() as f64;
                for (value, exact) in [(10_000.0, rows), (10_000.0 + rows / 2.0, rows / 2.0)] {
                    let exact = exact / all;
                    let told = 1.0 - share_below(&found, value);
                    let near = (0.5..2.0).contains(&(told / exact));
                    assert!(near, "{told} for {exact}, {} above", above.len());
                }
            }
        }
    }

    #[pg_test]
    fn of_a_column_that_nobody_analysed_the_sample_tells_everything() {
        let sample = one_each(1..5_001);
        let bounds = fresh(0, &sample).unwrap_or_default();
        assert_eq!((bounds.len(), bounds.first(), bounds.last()), (101, Some(&0), Some(&5_000)));
        assert!((share_below(&bounds, 1_250.0) - 0.25).abs() < 0.01);
        assert_eq!(fresh(0, &one_each(0..1)), None);
    }
}
