//! Values of the indexable SQL types: their literals, extremes, neighbours and conversions.

/// The types that the access method indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum SqlType {
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Bool,
    Char,
    Money,
    Macaddr,
    Macaddr8,
    PgLsn,
    Xid8,
    Timetz,
    Uuid,
    /// With three decimal places.
    Numeric,
    Inet,
    Interval,
    /// `interval` again, with its values in other months and days.
    Span,
    /// `numeric` with any number of decimal places, which no column of ours has.
    Decimal,
}

use SqlType::{
    Bool, Char, Date, Decimal, Float4, Float8, Inet, Int2, Int4, Int8, Interval, Macaddr, Macaddr8,
    Money, Numeric, Oid, PgLsn, Span, Time, Timestamp, Timestamptz, Timetz, Uuid, Xid8,
};

/// A value: integers as they are, dates as days and times as microseconds since 2000-01-01 (or
/// midnight), `i64::MIN` and `i64::MAX` for the infinities of dates and timestamps. Money is cents,
/// a numeric thousandths or millionths, with `i64::MAX` for NaN. Addresses are counted with their
/// masks. An unsigned number of 64 bits is less 2^63; each half of a uuid is half of such a number,
/// twice. Of a time with a zone, each microsecond in UTC has four numbers, for zones from east to
/// west.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Key {
    Int(i64),
    Float(f64),
}

const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;
const ZONES: i64 = 4;
/// Seconds of the zones that are furthest from UTC.
const FARTHEST: i64 = 57_599;

impl SqlType {
    /// Every indexable type.
    pub const ALL: [SqlType; 22] = [
        Int2,
        Int4,
        Int8,
        Oid,
        Float4,
        Float8,
        Date,
        Time,
        Timestamp,
        Timestamptz,
        Bool,
        Char,
        Money,
        Macaddr,
        Macaddr8,
        PgLsn,
        Xid8,
        Timetz,
        Uuid,
        Numeric,
        Inet,
        Interval,
    ];

    /// The type's name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Int2 => "int2",
            Int4 => "int4",
            Int8 => "int8",
            Oid => "oid",
            Float4 => "float4",
            Float8 => "float8",
            Date => "date",
            Time => "time",
            Timestamp => "timestamp",
            Timestamptz => "timestamptz",
            Bool => "bool",
            Char => "\"char\"",
            Money => "money",
            Macaddr => "macaddr",
            Macaddr8 => "macaddr8",
            PgLsn => "pg_lsn",
            Xid8 => "xid8",
            Timetz => "timetz",
            Uuid => "uuid",
            Numeric => "numeric(18,3)",
            Decimal => "numeric",
            Inet => "inet",
            Interval | Span => "interval",
        }
    }

    /// The name as a part of other names.
    pub fn label(self) -> &'static str {
        match self {
            Char => "char",
            Numeric => "numeric",
            _ => self.name(),
        }
    }

    /// The types that share the operator family, this one included.
    pub fn family(self) -> &'static [SqlType] {
        match self {
            Int2 | Int4 | Int8 => &[Int2, Int4, Int8],
            Float4 | Float8 => &[Float4, Float8],
            Date | Timestamp | Timestamptz => &[Date, Timestamp, Timestamptz],
            Oid => &[Oid],
            Time => &[Time],
            Bool => &[Bool],
            Char => &[Char],
            Money => &[Money],
            Macaddr => &[Macaddr],
            Macaddr8 => &[Macaddr8],
            PgLsn => &[PgLsn],
            Xid8 => &[Xid8],
            Timetz => &[Timetz],
            Uuid => &[Uuid],
            Numeric => &[Numeric, Decimal],
            Decimal => &[Decimal],
            Inet => &[Inet],
            Interval | Span => &[Interval, Span],
        }
    }

    /// Whether there are aggregates of the type that give the first and the last one.
    pub fn has_ends(self) -> bool {
        !matches!(self, Char | Macaddr | Macaddr8 | Uuid)
    }

    /// Whether values are [`Key::Float`].
    pub fn is_float(self) -> bool {
        matches!(self, Float4 | Float8)
    }

    /// Whether keys of one column tell all of a value, so that index-only scans return it.
    pub fn is_returned(self) -> bool {
        !matches!(self, Interval | Span)
    }

    /// The least and the greatest finite value of a type whose values are [`Key::Int`]. Of
    /// characters only some that every version reads and shows as they are.
    pub fn range(self) -> (i64, i64) {
        match self {
            Int2 => (i16::MIN.into(), i16::MAX.into()),
            Int4 => (i32::MIN.into(), i32::MAX.into()),
            Oid => (0, u32::MAX.into()),
            Bool => (0, 1),
            Date => (-2_451_545, 2_145_031_948),
            Time => (0, DAY),
            Timestamp | Timestamptz => (-211_813_488_000_000_000, 9_223_371_331_199_999_999),
            Char => (b'<'.into(), b'~'.into()),
            Macaddr => (0, (1 << 48) - 1),
            Timetz => {
                let farthest = FARTHEST * SECOND;
                (-farthest * ZONES, (DAY + farthest) * ZONES + ZONES - 1)
            }
            Numeric => (1 - 10i64.pow(18), 10i64.pow(18) - 1),
            Inet => (0, (33 << 32) - 1),
            Interval | Span => (i64::MIN + 3, i64::MAX - 3),
            Int8 | Money | Macaddr8 | PgLsn | Xid8 | Uuid | Float4 | Float8 | Decimal => {
                (i64::MIN, i64::MAX)
            }
        }
    }

    /// Extremes, zeros, infinities and whatever else is not like the other values.
    pub fn specials(self) -> Vec<Key> {
        if self.is_float() {
            let (least, greatest) = if self == Float4 {
                (f64::from(f32::from_bits(1)), f64::from(f32::MAX))
            } else {
                (f64::from_bits(1), f64::MAX)
            };
            let positive = [0.0, least, 1.0, greatest, f64::INFINITY];
            let negative = positive.map(|value| -value);
            return [&positive[..], &negative[..], &[f64::NAN]]
                .concat()
                .into_iter()
                .map(Key::Float)
                .collect();
        }
        let (least, greatest) = self.range();
        let mut keys = vec![least, least + 1, greatest - 1, greatest];
        keys.extend([0, 1, -1].into_iter().filter(|number| (least..=greatest).contains(number)));
        match self {
            Date | Timestamp | Timestamptz => keys.extend([i64::MIN, i64::MAX]),
            Numeric => keys.push(i64::MAX),
            _ => (),
        }
        keys.into_iter().map(Key::Int).collect()
    }

    /// Any integer made a value of this type, keeping order where the range allows.
    pub fn wrap(self, number: i64) -> Key {
        match self {
            Float8 => Key::Float(number as f64 / 8.0),
            Float4 => Key::Float(f64::from(number as f32 / 8.0)),
            Int8 => Key::Int(number),
            _ => {
                let (least, greatest) = self.range();
                if (least..=greatest).contains(&number) {
                    return Key::Int(number);
                }
                let width = i128::from(greatest) - i128::from(least) + 1;
                Key::Int((i128::from(number).rem_euclid(width) + i128::from(least)) as i64)
            }
        }
    }

    /// The value `steps` representable values away, or the last one on the way.
    pub fn neighbour(self, key: Key, steps: i64) -> Key {
        match key {
            Key::Int(i64::MIN | i64::MAX) => key,
            Key::Int(number) => {
                let (least, greatest) = self.range();
                Key::Int(number.saturating_add(steps).clamp(least, greatest))
            }
            Key::Float(mut number) => {
                for _ in 0..steps.unsigned_abs().min(64) {
                    number = match (self, steps > 0) {
                        (Float4, true) => f64::from((number as f32).next_up()),
                        (Float4, false) => f64::from((number as f32).next_down()),
                        (_, true) => number.next_up(),
                        (_, false) => number.next_down(),
                    };
                }
                Key::Float(number)
            }
        }
    }

    /// A value of `other` (of the same family) at or next to `key`.
    pub fn convert(self, key: Key, other: SqlType) -> Key {
        match (self, other, key) {
            (Date, Timestamp | Timestamptz, Key::Int(days))
                if days != i64::MIN && days != i64::MAX =>
            {
                let (least, greatest) = other.range();
                Key::Int(days.saturating_mul(DAY).clamp(least, greatest))
            }
            (Timestamp | Timestamptz, Date, Key::Int(micros))
                if micros != i64::MIN && micros != i64::MAX =>
            {
                Key::Int(micros.div_euclid(DAY))
            }
            (Date | Timestamp | Timestamptz, ..) => key,
            // Mostly with more decimal places than the column has.
            (Numeric, Decimal, Key::Int(number)) if number != i64::MAX => {
                Key::Int(number.saturating_mul(1000).saturating_add(number % 3 * 400))
            }
            (_, _, Key::Int(number)) => {
                let (least, greatest) = other.range();
                Key::Int(number.clamp(least, greatest))
            }
            (_, Float4, Key::Float(number)) => Key::Float(f64::from(number as f32)),
            (_, _, Key::Float(_)) => key,
        }
    }

    /// The value as PostgreSQL reads it, without quotes.
    pub fn text(self, key: Key) -> String {
        match key {
            Key::Float(number) if number.is_nan() => "NaN".to_owned(),
            Key::Float(number) if number.is_infinite() => {
                if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
            }
            Key::Float(number) if self == Float4 => format!("{:e}", number as f32),
            Key::Float(number) => format!("{number:e}"),
            Key::Int(number) => match self {
                Numeric if number == i64::MAX => "NaN".to_owned(),
                Numeric => decimal(number, 3),
                Inet => network(number),
                Interval => span(number, 0),
                Span => span(number, number % 5 + 1),
                Decimal if number == i64::MIN => "-Infinity".to_owned(),
                Decimal if number == i64::MAX => "NaN".to_owned(),
                Decimal => decimal(number, 6),
                Date | Timestamp | Timestamptz if number == i64::MAX => "infinity".to_owned(),
                Date | Timestamp | Timestamptz if number == i64::MIN => "-infinity".to_owned(),
                Date => calendar(number, ""),
                Time => clock(number),
                Timestamp => calendar(number.div_euclid(DAY), &clock(number.rem_euclid(DAY))),
                Timestamptz => calendar(
                    number.div_euclid(DAY),
                    &format!("{}+00", clock(number.rem_euclid(DAY))),
                ),
                Char => char::from(number as u8).to_string(),
                Money => decimal(number, 2),
                Macaddr => octets(&number.to_be_bytes()[2..]),
                Macaddr8 => octets(&unsigned(number).to_be_bytes()),
                PgLsn => format!("{:X}/{:X}", unsigned(number) >> 32, unsigned(number) as u32),
                Xid8 => unsigned(number).to_string(),
                Timetz => zoned_clock(number),
                Uuid => {
                    let (high, low) = (unsigned(number) >> 32, unsigned(number) as u32);
                    format!("{high:08x}{high:08x}{low:08x}{low:08x}")
                }
                _ => number.to_string(),
            },
        }
    }

    /// The value as a typed SQL literal.
    pub fn literal(self, key: Key) -> String {
        format!("'{}'::{}", self.text(key), self.name())
    }
}

fn unsigned(number: i64) -> u64 {
    number as u64 ^ 1 << 63
}

/// The networks and their addresses in order: those of a network, and then of its two halves, each
/// with all that they have.
fn network(mut number: i64) -> String {
    let (mut address, mut length) = (0, 0);
    loop {
        let hosts = 1 << (32 - length);
        if number < hosts {
            return format!(
                "{}/{length}",
                std::net::Ipv4Addr::from_bits((address + number) as u32)
            );
        }
        number -= hosts;
        let half = (32 - length) << (31 - length);
        address += (number / half) << (31 - length);
        number %= half;
        length += 1;
    }
}

/// Microseconds, with months that are taken off again as days of the same length together.
fn span(micros: i64, months: i64) -> String {
    format!("{months} months {} days {micros} microseconds", -30 * months)
}

fn decimal(number: i64, places: usize) -> String {
    let (sign, units) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
    let unit = 10u64.pow(places as u32);
    format!("{sign}{}.{:0places$}", units / unit, units % unit)
}

fn octets(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// A time in one of the zones in which the instant is a time of one day.
fn zoned_clock(number: i64) -> String {
    let (instant, choice) = (number.div_euclid(ZONES), number.rem_euclid(ZONES));
    let east = ((instant - DAY + SECOND - 1).div_euclid(SECOND)).max(-FARTHEST);
    let west = instant.div_euclid(SECOND).min(FARTHEST);
    let zone = east + (west - east) * choice / (ZONES - 1);
    let (sign, away) = (if zone > 0 { '-' } else { '+' }, zone.abs());
    let (hours, minutes, seconds) = (away / 3600, away / 60 % 60, away % 60);
    format!("{}{sign}{hours:02}:{minutes:02}:{seconds:02}", clock(instant - zone * SECOND))
}

fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:06}", seconds % 60, micros % 1_000_000)
}

/// Days since 2000-01-01 as a date of the proleptic Gregorian calendar, by Howard Hinnant's
/// `civil_from_days`.
fn calendar(days: i64, time: &str) -> String {
    let shifted = days + 10_957 + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (year, suffix) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let space = if time.is_empty() { "" } else { " " };
    format!("{year:04}-{month:02}-{day:02}{space}{time}{suffix}")
}
