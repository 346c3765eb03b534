//! The sets of keys that the queries run over.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use server_tests::{Key, SqlType};

/// How the keys of a table are spread, and in which order they lie in the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    Serial,
    SerialBackwards,
    Jittered,
    Poisson,
    Lognormal,
    Uniform,
    Clustered,
    Outliers,
    TenOfAKey,
    Zipfian,
    OneValue,
    Specials,
    DaylightSaving,
    SomeNulls,
    AllNull,
    OneRow,
    Empty,
}

use Distribution::{
    AllNull, Clustered, DaylightSaving, Empty, Jittered, Lognormal, OneRow, OneValue, Outliers,
    Poisson, Serial, SerialBackwards, SomeNulls, Specials, TenOfAKey, Uniform, Zipfian,
};

impl Distribution {
    pub(crate) const ALL: [Distribution; 17] = [
        Serial,
        SerialBackwards,
        Jittered,
        Poisson,
        Lognormal,
        Uniform,
        Clustered,
        Outliers,
        TenOfAKey,
        Zipfian,
        OneValue,
        Specials,
        DaylightSaving,
        SomeNulls,
        AllNull,
        OneRow,
        Empty,
    ];

    /// A table's keys in heap order: mostly one to two thousand, sometimes twenty thousand.
    pub(crate) fn generate(self, sql_type: SqlType, rng: &mut StdRng) -> Vec<Option<Key>> {
        let rows = match (self, rng.random_range(0..12)) {
            (Empty, _) => 0,
            (OneRow, _) => 1,
            (AllNull, _) => 1_000,
            (_, 0) => 20_000,
            (_, 1..3) => 5_000,
            _ => rng.random_range(1_000..2_000),
        };
        let mut keys: Vec<Option<Key>> = match self {
            AllNull => vec![None; rows],
            Specials => {
                let specials = sql_type.specials();
                (0..rows)
                    .map(|_| {
                        let special = specials[rng.random_range(0..specials.len())];
                        let steps =
                            if rng.random_bool(0.7) { 0 } else { rng.random_range(-50..=50) };
                        Some(sql_type.neighbour(special, steps))
                    })
                    .collect()
            }
            Uniform if sql_type.is_float() => {
                (0..rows).map(|_| Some(any_float(sql_type, rng))).collect()
            }
            Outliers => self.outliers(sql_type, rows, rng),
            DaylightSaving if sql_type == SqlType::Date => {
                (0..rows as i64).map(|i| Some(Key::Int(8800 + i % 300))).collect()
            }
            _ => self
                .numbers(rows, rng)
                .into_iter()
                .map(|number| Some(sql_type.wrap(number)))
                .collect(),
        };
        if self == SomeNulls {
            for key in keys.iter_mut().filter(|_| rng.random_bool(0.2)) {
                *key = None;
            }
        }
        if matches!(self, Lognormal | Uniform | Clustered | Outliers | Zipfian | Specials) {
            keys.shuffle(rng);
        }
        keys
    }

    fn outliers(self, sql_type: SqlType, rows: usize, rng: &mut StdRng) -> Vec<Option<Key>> {
        let (least, greatest) = sql_type.range();
        let mut keys: Vec<_> =
            (0..rows).map(|i| Some(sql_type.wrap(i as i64 * 3 + rng.random_range(0..3)))).collect();
        for _ in 0..21.min(rows) {
            let outlier = if rng.random_bool(0.7) {
                greatest - rng.random_range(0..1000)
            } else {
                least + rng.random_range(0..1000)
            };
            let place = rng.random_range(0..rows);
            keys[place] = Some(sql_type.wrap(outlier));
        }
        keys
    }

    fn numbers(self, rows: usize, rng: &mut StdRng) -> Vec<i64> {
        let start = rng.random_range(-1000..1_000_000i64);
        let step = *[1, 1, 2, 60, 1_000_000].get(rng.random_range(0..5)).unwrap();
        let centres: Vec<i64> =
            (0..20).map(|_| rng.random_range(0..1i64 << 62) & !0xfff_ffff).collect();
        let mut last = start;
        (0..rows as i64)
            .map(|i| match self {
                SerialBackwards => start + (rows as i64 - i) * step,
                Jittered | SomeNulls => start + i * 1_000_000 + rng.random_range(0..100_000),
                Poisson => {
                    last += (-rng.random_range(f64::EPSILON..1.0f64).ln() * 1000.0) as i64;
                    last
                }
                Lognormal => ((normal(rng) * 2.0).exp() * 1e6) as i64,
                Uniform => rng.random_range(0..1i64 << 62),
                Clustered => {
                    centres[rng.random_range(0..20)] | rng.random_range(0..1i64 << 24) & !0x3f
                }
                TenOfAKey => start + i / 10 * step,
                Zipfian => (1.0 / rng.random_range(0.0005..1.0f64)).powi(2) as i64,
                OneValue => start,
                // Every five minutes over the days on which some zone's clocks change.
                DaylightSaving => {
                    const DAYS: [i64; 6] = [8835, 9073, 8856, 9066, 8863, 9045];
                    let day = DAYS[(i % 6) as usize];
                    let minute = i / 6 * 5 % (3 * 1440) - 1440;
                    (day * 1440 + minute) * 60_000_000
                }
                _ => start + i * step,
            })
            .collect()
    }
}

fn any_float(sql_type: SqlType, rng: &mut StdRng) -> Key {
    let number = match sql_type {
        SqlType::Float4 => f64::from(f32::from_bits(rng.random())),
        _ => f64::from_bits(rng.random()),
    };
    Key::Float(number)
}

fn normal(rng: &mut StdRng) -> f64 {
    let (a, b) =
        (rng.random_range(f64::EPSILON..1.0), rng.random_range(0.0..std::f64::consts::TAU));
    (-2.0 * f64::ln(a)).sqrt() * f64::cos(b)
}
