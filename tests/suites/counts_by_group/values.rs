//! What a column holds.

use rand::Rng;
use rand::rngs::StdRng;
use server_tests::{Key, SqlType};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// The years 1 and 200,000, about: what lies between is asked for without a look at the rows.
const YEAR_1: i64 = -63_082_281_600 * SECOND;
const YEAR_200_000: i64 = 6_248_000_000_000 * SECOND;
/// How many values are made at random.
const VALUES: usize = 300;

/// How the values of a column lie.
#[derive(Clone, Debug)]
pub(super) enum Spread {
    /// A few.
    Few,
    /// One after the other.
    Dense,
    /// Over three thousand years; or all numbers of the type.
    Sparse,
    /// In a few heaps.
    Clustered,
    /// At the ends of the type and of what is safe, and anywhere between.
    Far,
    /// Around some times.
    Around(Vec<i64>),
}

/// Values of a type. Infinities are among them.
pub(super) fn pool(sql_type: SqlType, spread: &Spread, rng: &mut StdRng) -> Vec<Key> {
    let is_time = matches!(sql_type, SqlType::Timestamp | SqlType::Timestamptz);
    let numbers = match (spread, is_time) {
        (Spread::Few, _) => (0..7).collect(),
        (_, true) => with_borders(times(spread, rng), rng),
        (_, false) => integers(sql_type, spread, rng),
    };
    let (least, greatest) = sql_type.range();
    let clamp = |number: i64| match number {
        i64::MIN | i64::MAX => number,
        _ => number.clamp(least, greatest),
    };
    let not_a_number = (sql_type == SqlType::Numeric).then_some(i64::MAX);
    numbers.into_iter().chain(not_a_number).map(|number| Key::Int(clamp(number))).collect()
}

fn times(spread: &Spread, rng: &mut StdRng) -> Vec<i64> {
    let mut all = match spread {
        Spread::Dense | Spread::Few => {
            let step = [SECOND, 60 * SECOND, HOUR, 6 * HOUR, DAY, 20 * DAY][rng.random_range(0..6)];
            let first = rng.random_range(-200 * YEAR..40 * YEAR) / step * step;
            (0..VALUES as i64).map(|number| first + number * step).collect()
        }
        Spread::Sparse => {
            (0..VALUES).map(|_| rng.random_range(-1990 * YEAR..1000 * YEAR)).collect::<Vec<_>>()
        }
        Spread::Clustered => {
            let heaps: Vec<_> = (0..6).map(|_| rng.random_range(-100 * YEAR..60 * YEAR)).collect();
            (0..VALUES).map(|_| near(heaps[rng.random_range(0..6)], rng)).collect()
        }
        Spread::Far => {
            let (least, greatest) = SqlType::Timestamp.range();
            let ends = [least, greatest, YEAR_1, YEAR_200_000];
            let around = ends.into_iter().flat_map(|end| [end - 1, end, end + 1]);
            let mut all: Vec<_> = around.collect();
            all.extend((0..VALUES / 6).map(|_| near(ends[rng.random_range(0..4)], rng)));
            all.extend((0..VALUES / 6).map(|_| rng.random_range(least..greatest)));
            all.extend((0..VALUES / 6).map(|_| rng.random_range(least..YEAR)));
            all
        }
        Spread::Around(changes) => {
            let exact = changes.iter().flat_map(|change| [change - 1, *change, change + 1]);
            let mut all: Vec<_> = exact.collect();
            for change in changes {
                all.extend((0..24).map(|_| near(*change, rng)));
            }
            if changes.len() < 5 {
                all.extend(times(&Spread::Clustered, rng));
            }
            all
        }
    };
    all.extend([i64::MIN, i64::MAX]);
    all
}

/// A time not far from one, mostly at a full second or minute.
fn near(time: i64, rng: &mut StdRng) -> i64 {
    let (most, step) = [
        (90, SECOND),
        (7200, SECOND),
        (200, 60 * SECOND),
        (3000, 60 * SECOND),
        (100, 30 * 60 * SECOND),
        (340, HOUR),
        (40, DAY),
        (DAY, 1),
    ][rng.random_range(0..8)];
    time + rng.random_range(-most..=most) * step
}

/// Times, and borders of hours, days and years near some of them, in UTC.
fn with_borders(mut times: Vec<i64>, rng: &mut StdRng) -> Vec<i64> {
    let (least, greatest) = SqlType::Timestamp.range();
    let finite: Vec<_> =
        times.iter().copied().filter(|time| (least..=greatest).contains(time)).collect();
    for _ in 0..60 {
        let width = [SECOND, HOUR, DAY, 7 * DAY][rng.random_range(0..4)];
        let time = finite[rng.random_range(0..finite.len())];
        let border = time.div_euclid(width).saturating_mul(width);
        times.extend([border - 1, border]);
    }
    times
}

fn integers(sql_type: SqlType, spread: &Spread, rng: &mut StdRng) -> Vec<i64> {
    let (least, greatest) = sql_type.range();
    match spread {
        Spread::Far => {
            let ends = [least, greatest, 0, least / 2, greatest / 2 + 1];
            let around = ends
                .into_iter()
                .flat_map(|end| (-8..=8).filter_map(move |step: i64| end.checked_add(step)));
            let mut all: Vec<_> = around.filter(|n| (least..=greatest).contains(n)).collect();
            all.extend((0..VALUES / 6).map(|_| rng.random_range(least..=greatest)));
            all
        }
        Spread::Sparse => (0..VALUES).map(|_| rng.random_range(least..=greatest)).collect(),
        Spread::Clustered => {
            let heaps: Vec<_> = (0..6).map(|_| rng.random_range(-30_000..30_000)).collect();
            (0..VALUES).map(|_| heaps[rng.random_range(0..6)] + rng.random_range(-40..40)).collect()
        }
        _ => (-150..150).collect(),
    }
}
