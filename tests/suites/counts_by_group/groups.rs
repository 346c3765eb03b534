//! What rows are grouped by.

use rand::Rng;
use rand::rngs::StdRng;
use server_tests::SqlType;

use super::table::{Column, Table};

/// Groups that an index may tell apart.
#[derive(Clone, Debug)]
pub(super) struct Grouping {
    /// What is grouped by.
    pub(super) exprs: Vec<String>,
    /// The columns, from 0, that are asked for one value each.
    pub(super) fixed: Vec<usize>,
    /// How many columns all rows of a group have in common.
    pub(super) alike: usize,
    /// Whether the node could answer.
    pub(super) applies: bool,
}

const UNITS: [&str; 13] = [
    "microsecond",
    "milliseconds",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "decade",
    "century",
    "millennium",
];
const STRIDES: [&str; 14] = [
    "1 microsecond",
    "1 second",
    "7 seconds",
    "1 minute",
    "15 minutes",
    "1 hour",
    "5 hours 7 minutes",
    "1 day",
    "1 day 1 second",
    "7 days",
    "100 days",
    "10000 days",
    "365000 days",
    "800 days -1 microsecond",
];
const ORIGINS: [&str; 6] = [
    "2000-01-01",
    "1970-01-01 00:00:00.000001",
    "2001-02-03 04:05:06.789",
    "0001-01-02",
    "1867-10-18 12:00",
    "150000-12-31 23:59:59.999999",
];
const DIVISORS: [&str; 11] = [
    "1",
    "2",
    "7",
    "1000",
    "1::int2",
    "7::int2",
    "32767::int2",
    "2::int8",
    "1000000007",
    "4611686018427387904",
    "9223372036854775807",
];

impl Grouping {
    pub(super) fn random(table: &Table, rng: &mut StdRng) -> Grouping {
        let columns = &table.columns;
        let functions: Vec<_> = (0..columns.len())
            .filter(|&n| columns[n].is_time() || columns[n].is_integer())
            .collect();
        let by_function = rng.random_bool(0.75);
        let alike = match by_function {
            // Of the last column mostly.
            true if rng.random_bool(0.8) => functions[functions.len() - 1],
            true => functions[rng.random_range(0..functions.len())],
            false => rng.random_range(1..=columns.len()),
        };
        let (mut exprs, mut fixed) = (Vec::new(), Vec::new());
        for (number, column) in columns[..alike].iter().enumerate() {
            let is_fixed = rng.random_bool(0.3);
            let is_last = !by_function && number + 1 == alike && exprs.is_empty();
            if is_fixed {
                fixed.push(number);
            }
            if !is_fixed || is_last || rng.random_bool(0.2) {
                exprs.push(column.name.clone());
            }
        }
        let mut applies = true;
        if by_function {
            exprs.push(function_of(&columns[alike], rng));
            applies &= !columns[alike].is_descending();
        }
        if exprs.len() > 1 {
            let first = rng.random_range(0..exprs.len());
            exprs.rotate_left(first);
            if rng.random_bool(0.5) {
                exprs.reverse();
            }
        }
        Grouping { exprs, fixed, alike, applies }
    }
}

/// A function of a column by which an index tells groups apart.
pub(super) fn function_of(column: &Column, rng: &mut StdRng) -> String {
    let name = &column.name;
    if column.is_integer() {
        return format!("{name} / {}", DIVISORS[rng.random_range(0..DIVISORS.len())]);
    }
    match rng.random_range(0..10) {
        0..3 => {
            let stride = STRIDES[rng.random_range(0..STRIDES.len())];
            let origin = ORIGINS[rng.random_range(0..ORIGINS.len())];
            let (zone, sql_type) = match column.sql_type {
                SqlType::Timestamptz => ("+00", "timestamptz"),
                _ => ("", "timestamp"),
            };
            let time = if origin.contains(':') { "" } else { " 00:00" };
            format!("date_bin('{stride}', {name}, '{origin}{time}{zone}'::{sql_type})")
        }
        3..8 => {
            let unit = UNITS[rng.random_range(0..UNITS.len())];
            let unit = if rng.random_bool(0.1) { unit.to_uppercase() } else { unit.to_owned() };
            format!("date_trunc('{unit}', {name})")
        }
        _ => format!("{name}::date"),
    }
}

/// Groups by something else, of which the node must keep its hands.
pub(super) fn beyond(table: &Table, rng: &mut StdRng) -> Vec<String> {
    let column = &table.columns[rng.random_range(0..table.columns.len())];
    let name = &column.name;
    let last = &table.columns[table.columns.len() - 1];
    let other = match rng.random_range(0..8) {
        0 => "note".to_owned(),
        1 => format!("{name}::text"),
        2 => format!("coalesce({name}, {})", column.near(rng)),
        3 => format!("{name} IS NULL"),
        4 if last.is_time() => format!("date_trunc('day', {} + '1 day'::interval)", last.name),
        5 if column.sql_type == SqlType::Timestamptz => {
            format!("date_trunc('day', {name}, 'Asia/Tokyo')")
        }
        4 | 5 if last.is_integer() => format!("{}::int8 / -7", last.name),
        6 if last.is_integer() => format!("{} % 7", last.name),
        6 if last.is_time() => format!("date_trunc('hour', date_trunc('day', {}))", last.name),
        6 => format!("{name} > {}", column.any(rng)),
        _ if last.is_time() => {
            let also = function_of(last, rng);
            return vec![format!("date_trunc('day', {})", last.name), also];
        }
        _ => format!("({name}, note)"),
    };
    match rng.random_bool(0.3) {
        true => vec![other, table.columns[0].name.clone()],
        false => vec![other],
    }
}
