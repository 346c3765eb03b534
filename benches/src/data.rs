//! The data sets: keys in the order of the table's rows. The same seed gives the same keys.

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::Result;
use crate::options::{Options, resampled};

const SEED: u64 = 20_260_101;

/// 2024-01-01 in microseconds since 1970.
const START: i64 = 1_704_067_200_000_000;

/// The generated data sets, from the easiest to the hardest, with what they are.
pub const SETS: [(&str, &str); 13] = [
    ("serial", "1, 2, 3 and so on"),
    ("sequential", "every tenth number"),
    ("bursty", "runs of 1,000 neighbours, up to a million apart"),
    ("interleaved", "ten ascending series, a row of each in turn"),
    ("timestamps", "one a second in microseconds, up to 100 ms late, in order"),
    ("poisson", "arrivals a millisecond apart on average, in microseconds, in order"),
    ("wiki-like", "seconds, ten rows in each on average, in order"),
    ("zipfian", "density falling with the square of the key, in random order"),
    ("lognormal", "exp(2 x normal) x 10^9, in random order"),
    ("osm-like", "200 clusters of many scales, in random order"),
    ("fb-like", "near-uniform with 50 regimes and 21 outliers, in random order"),
    ("random", "uniform over 10 times the rows, in random order"),
    ("uniform", "uniform over 62 bits, in random order"),
];

/// The data sets of the geometric means.
pub const MEAN_OF: [&str; 5] = ["serial", "timestamps", "lognormal", "uniform", "osm-like"];

/// Keys with their name.
pub struct DataSet {
    /// As the report names it.
    pub name: String,
    /// In the order of the table.
    pub keys: Vec<i64>,
}

impl DataSet {
    /// The set of this name, which is one of [`Options::sets`].
    pub fn of(name: &str, options: &Options) -> Result<Self> {
        let is_like = |(real, _): &&(String, _)| name == real || name == resampled(real);
        match options.keys.iter().find(is_like) {
            Some((real, path)) if name == real => Self::of_file(real, path),
            Some((real, path)) => Ok(Self::of_file(real, path)?.resampled(options.rows)),
            None => Self::generated(name, options.rows),
        }
    }

    /// The generated set of this name.
    pub fn generated(name: &str, rows: u64) -> Result<Self> {
        let mut rng = StdRng::seed_from_u64(SEED);
        let keys = generate(name, rows, &mut rng).ok_or_else(|| format!("no data set {name}"))?;
        Ok(Self { name: name.to_owned(), keys })
    }

    /// The keys of a file, one integer a line.
    fn of_file(name: &str, path: &Path) -> Result<Self> {
        let lines = fs::read_to_string(path)?;
        let keys = lines.lines().map(str::parse).collect::<std::result::Result<Vec<i64>, _>>()?;
        if keys.len() < 2 {
            return Err(format!("{} has no keys", path.display()).into());
        }
        Ok(Self { name: name.to_owned(), keys })
    }

    /// More keys with the gaps of these: runs of 1,000 gaps, drawn at random, in order.
    fn resampled(&self, rows: u64) -> Self {
        const RUN: usize = 1_000;
        let mut rng = StdRng::seed_from_u64(SEED);
        let mut sorted = self.keys.clone();
        sorted.sort_unstable();
        let gaps: Vec<i64> =
            sorted.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        let mut keys = Vec::with_capacity(rows as usize);
        let mut key = sorted[0];
        while keys.len() < rows as usize {
            let first = rng.random_range(0..gaps.len().saturating_sub(RUN).max(1));
            for gap in gaps.iter().skip(first).take(RUN.min(rows as usize - keys.len())) {
                key = key.saturating_add(*gap);
                keys.push(key);
            }
        }
        Self { name: resampled(&self.name), keys }
    }
}

/// The fewest bits a row of an index with an entry for each row, on average: the entropy of the
/// keys in the order of the table. `None` where they follow a rule.
///
/// An index knows the sorted keys and the row of each: from both follow the keys in the order of
/// the table.
pub fn entropy(name: &str, rows: u64) -> Option<f64> {
    use std::f64::consts::{E, LOG2_E, PI};
    let rows = rows as f64;
    // Of a row's place among all, by Stirling's formula.
    let order = (rows / E).log2();
    Some(match name {
        "timestamps" => 100_000f64.log2(),
        // Of an exponential distribution.
        "poisson" => (E * 1_000.0).log2(),
        // A step or none.
        "wiki-like" => -(0.1 * 0.1f64.log2() + 0.9 * 0.9f64.log2()),
        // Of a Pareto distribution with exponent 1.
        "zipfian" => 1e9f64.log2() + 2.0 * LOG2_E,
        "lognormal" => 1e9f64.log2() + (2.0 * (2.0 * PI * E).sqrt()).log2(),
        // The cluster, its mean width, and half a normal distribution.
        "osm-like" => 200f64.log2() + 37.5 + (PI * E / 2.0).sqrt().log2(),
        // Gaps up to a widest one, which is itself uniform.
        "fb-like" => 100_000f64.log2() - LOG2_E + order,
        "random" => (10.0 * rows).log2(),
        "uniform" => 62.0,
        _ => return None,
    })
}

fn generate(name: &str, rows: u64, rng: &mut StdRng) -> Option<Vec<i64>> {
    let n = rows as i64;
    let in_order = match name {
        "serial" => (1..=n).collect(),
        "sequential" => (1..=n).map(|i| i * 10).collect(),
        "bursty" => ascending(n, |i| match i % 1_000 {
            0 => rng.random_range(1..1_000_000),
            _ => 1,
        }),
        "interleaved" => (0..n).map(|i| ((i % 10) << 40) + i / 10).collect(),
        "timestamps" => {
            (0..n).map(|i| START + i * 1_000_000 + rng.random_range(0..100_000)).collect()
        }
        "poisson" => ascending(n, |_| (-(1.0 - rng.random::<f64>()).ln() * 1_000.0) as i64),
        "wiki-like" => ascending(n, |_| i64::from(rng.random_ratio(1, 10))),
        _ => return in_random_order(name, n, rng),
    };
    Some(in_order)
}

fn in_random_order(name: &str, n: i64, rng: &mut StdRng) -> Option<Vec<i64>> {
    let keys = match name {
        "zipfian" => (0..n).map(|_| (1e9 / (1.0 - rng.random::<f64>())) as i64).collect(),
        "lognormal" => (0..n).map(|_| ((2.0 * normal(rng)).exp() * 1e9) as i64).collect(),
        "osm-like" => {
            let centres: Vec<(i64, f64)> = (0..200)
                .map(|_| (rng.random_range(0..1 << 62), rng.random_range(20.0..55.0)))
                .collect();
            (0..n)
                .map(|_| {
                    let (centre, bits) = centres[rng.random_range(0..centres.len())];
                    centre.saturating_add((normal(rng).abs() * bits.exp2()) as i64)
                })
                .collect()
        }
        "fb-like" => {
            let regime = (n / 50).max(1);
            let mut widest = 1;
            let mut keys = ascending(n, |i| {
                if i % regime == 0 {
                    widest = rng.random_range(10..100_000);
                }
                rng.random_range(1..=widest)
            });
            for (i, key) in keys.iter_mut().rev().take(21).enumerate() {
                *key = i64::MAX - 1 - 3 * i as i64;
            }
            keys.shuffle(rng);
            keys
        }
        "random" => (0..n).map(|_| rng.random_range(0..10 * n)).collect(),
        "uniform" => (0..n).map(|_| rng.random_range(0..1 << 62)).collect(),
        _ => return None,
    };
    Some(keys)
}

fn ascending(n: i64, mut gap: impl FnMut(i64) -> i64) -> Vec<i64> {
    let mut key = START;
    (0..n)
        .map(|i| {
            key += gap(i);
            key
        })
        .collect()
}

/// Box and Muller's.
fn normal(rng: &mut StdRng) -> f64 {
    let u = 1.0 - rng.random::<f64>();
    let angle = std::f64::consts::TAU * rng.random::<f64>();
    (-2.0 * u.ln()).sqrt() * angle.cos()
}
