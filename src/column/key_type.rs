//! The types of keys that have codes, and how Datums become codes.

use std::ffi::c_char;

use learned_index::key::code::{
    from_f64, from_i64, from_interval, from_zoned_time, is_span, is_zoned_time, to_f64, to_i64,
    to_interval, to_zoned_time,
};
use learned_index::key::cut::{Cut, after_finite_timestamps, before_finite_timestamps};
use learned_index::key::inet;
use learned_index::key::numeric::{self, GREATEST_SCALE, MOST_DIGITS};
use learned_index::key::{Word, float};
use learned_index::page::meta::{FLOAT4_BITS, FLOAT8_BITS};
use pgrx::prelude::*;

use super::stored::{
    BEFORE_ALL, FAMILY_IPV4, FOREVER, HAS_INFINITE_INTERVALS, StoredValue, bytes, content, ipv4,
    parts_of_interval, put, put_short, short_length,
};
use crate::report::refuse;

/// A type that a learned index can be built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    Int2,
    Int4,
    Int8,
    Oid,
    /// With one code for both zeros, and one for all NaNs.
    Float4,
    Float8,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Bool,
    Char,
    Money,
    Macaddr,
    Macaddr8,
    PgLsn,
    Xid8,
    TimeTz,
    Uuid,
    /// `numeric` with this scale, which is a type of its own for each.
    Numeric(u8),
    /// With IPv4 addresses, and `cidr`, which is stored like it.
    Inet,
    Interval,
    /// With codes that keep every bit.
    Float4Bits,
    Float8Bits,
}

/// All of them, with the number that stands for them in metapages, and the comparison function of
/// their btree operator class. `numeric` with other scales has the next numbers. Of a SQL type that
/// has two, the first is the one that any column can be of.
pub(super) const KEY_TYPES: [(KeyType, u8, pg_sys::Oid, u32); 24] = [
    (KeyType::Int2, 1, pg_sys::INT2OID, pg_sys::F_BTINT2CMP),
    (KeyType::Int4, 2, pg_sys::INT4OID, pg_sys::F_BTINT4CMP),
    (KeyType::Int8, 3, pg_sys::INT8OID, pg_sys::F_BTINT8CMP),
    (KeyType::Oid, 4, pg_sys::OIDOID, pg_sys::F_BTOIDCMP),
    (KeyType::Float4, 5, pg_sys::FLOAT4OID, pg_sys::F_BTFLOAT4CMP),
    (KeyType::Float8, 6, pg_sys::FLOAT8OID, pg_sys::F_BTFLOAT8CMP),
    (KeyType::Date, 7, pg_sys::DATEOID, pg_sys::F_DATE_CMP),
    (KeyType::Time, 8, pg_sys::TIMEOID, pg_sys::F_TIME_CMP),
    (KeyType::Timestamp, 9, pg_sys::TIMESTAMPOID, pg_sys::F_TIMESTAMP_CMP),
    (KeyType::TimestampTz, 10, pg_sys::TIMESTAMPTZOID, pg_sys::F_TIMESTAMPTZ_CMP),
    (KeyType::Bool, 11, pg_sys::BOOLOID, pg_sys::F_BTBOOLCMP),
    (KeyType::Char, 12, pg_sys::CHAROID, pg_sys::F_BTCHARCMP),
    (KeyType::Money, 13, pg_sys::MONEYOID, pg_sys::F_CASH_CMP),
    (KeyType::Macaddr, 14, pg_sys::MACADDROID, pg_sys::F_MACADDR_CMP),
    (KeyType::Macaddr8, 15, pg_sys::MACADDR8OID, pg_sys::F_MACADDR8_CMP),
    (KeyType::PgLsn, 16, pg_sys::PG_LSNOID, pg_sys::F_PG_LSN_CMP),
    (KeyType::Xid8, 17, pg_sys::XID8OID, pg_sys::F_XID8CMP),
    (KeyType::TimeTz, 18, pg_sys::TIMETZOID, pg_sys::F_TIMETZ_CMP),
    (KeyType::Uuid, 19, pg_sys::UUIDOID, pg_sys::F_UUID_CMP),
    (KeyType::Numeric(0), 20, pg_sys::NUMERICOID, pg_sys::F_NUMERIC_CMP),
    (KeyType::Inet, 39, pg_sys::INETOID, pg_sys::F_NETWORK_CMP),
    (KeyType::Interval, 40, pg_sys::INTERVALOID, pg_sys::F_INTERVAL_CMP),
    (KeyType::Float4Bits, FLOAT4_BITS, pg_sys::FLOAT4OID, pg_sys::F_BTFLOAT4CMP),
    (KeyType::Float8Bits, FLOAT8_BITS, pg_sys::FLOAT8OID, pg_sys::F_BTFLOAT8CMP),
];

/// The words that the ends of a type have whose NULLs are in their place.
const FIRST: Word = Word::MIN + 1;
const LAST: Word = Word::MAX - 1;

/// What a HINT says about types.
pub(crate) const SUPPORTED_TYPES: &str = "Supported types are boolean, \"char\", smallint, \
     integer, bigint, money, oid, real, double precision, date, time, time with time zone, \
     timestamp, timestamp with time zone, interval, numeric with a precision of at most 18, cidr \
     and inet with IPv4 addresses, macaddr, macaddr8, pg_lsn, uuid and xid8, with their default \
     operator classes.";

impl KeyType {
    /// The key type of a SQL type, if it has codes; of `numeric` that of integers; of floats that
    /// with one code for equal values.
    pub(crate) fn of_type(type_oid: pg_sys::Oid) -> Option<KeyType> {
        let known = KEY_TYPES.iter().find(|(_, _, oid, _)| *oid == type_oid);
        known.map(|(key_type, ..)| *key_type)
    }

    /// The key type of `numeric` with a type modifier, if its values have codes.
    pub(crate) fn of_numeric(modifier: i32) -> Option<KeyType> {
        let (precision, scale) = precision_and_scale(modifier)?;
        let scale = u8::try_from(scale).ok().filter(|scale| *scale <= GREATEST_SCALE)?;
        (precision <= MOST_DIGITS.into()).then_some(KeyType::Numeric(scale))
    }

    /// The key type of a last column with values of this one. Nothing is ordered by what is behind
    /// it, so its codes may tell equal values apart.
    pub(super) fn as_last(self) -> KeyType {
        match self {
            KeyType::Float4 => KeyType::Float4Bits,
            KeyType::Float8 => KeyType::Float8Bits,
            other => other,
        }
    }

    /// The type modifier of a column that can have all values with codes; -1 if it needs none.
    pub(crate) fn modifier(self) -> i32 {
        match self {
            KeyType::Numeric(scale) => {
                (i32::from(MOST_DIGITS) << 16 | i32::from(scale)) + pg_sys::VARHDRSZ as i32
            }
            _ => -1,
        }
    }

    /// The SQL type.
    pub(crate) fn oid(self) -> pg_sys::Oid {
        let known = KEY_TYPES.iter().find(|(key_type, ..)| *key_type == self.whatever_scale());
        known.map_or(pg_sys::InvalidOid, |(_, _, oid, _)| *oid)
    }

    /// What stands for it among [`KEY_TYPES`].
    fn whatever_scale(self) -> KeyType {
        if let KeyType::Numeric(_) = self { KeyType::Numeric(0) } else { self }
    }

    /// The type as which a value is to be read that is compared with keys of this type: one of the
    /// same operator family. `None` if its codes are no codes among those of this type.
    #[inline]
    pub(crate) fn of_value(self, type_oid: pg_sys::Oid) -> Option<KeyType> {
        let known = KeyType::of_type(type_oid).filter(|known| known.compares_with(self));
        known.or_else(|| self.of_coercible_value(type_oid))
    }

    /// Of a type that is stored as one of ours, as domains and regclass are.
    #[cold]
    fn of_coercible_value(self, type_oid: pg_sys::Oid) -> Option<KeyType> {
        let own = KEY_TYPES.iter().filter(|(known, ..)| *known == self.whatever_scale());
        let others = KEY_TYPES.iter().filter(|(known, ..)| known.compares_with(self));
        let mut candidates = own.chain(others);
        // SAFETY: looks in the catalogs, within a transaction.
        let found =
            candidates.find(|(_, _, oid, _)| unsafe { pg_sys::IsBinaryCoercible(type_oid, *oid) });
        found.map(|(key_type, ..)| *key_type)
    }

    /// Whether the codes of both are compared: they are of one operator family.
    fn compares_with(self, other: KeyType) -> bool {
        self.family() == other.family()
    }

    /// The first type of the operator family.
    fn family(self) -> KeyType {
        match self {
            KeyType::Int2 | KeyType::Int4 | KeyType::Int8 => KeyType::Int2,
            KeyType::Float4 | KeyType::Float8 | KeyType::Float4Bits | KeyType::Float8Bits => {
                KeyType::Float4
            }
            KeyType::Date | KeyType::Timestamp | KeyType::TimestampTz => KeyType::Date,
            KeyType::Oid
            | KeyType::Time
            | KeyType::Bool
            | KeyType::Char
            | KeyType::Money
            | KeyType::Macaddr
            | KeyType::Macaddr8
            | KeyType::PgLsn
            | KeyType::Xid8
            | KeyType::TimeTz
            | KeyType::Uuid
            | KeyType::Numeric(_)
            | KeyType::Inet
            | KeyType::Interval => self.whatever_scale(),
        }
    }

    /// The key type of a SQL type, if its codes have the order of this comparison function.
    pub(crate) fn with_order(type_oid: pg_sys::Oid, compare: pg_sys::Oid) -> Option<KeyType> {
        let known = KEY_TYPES.iter().find(|(_, _, oid, function)| {
            *oid == type_oid && pg_sys::Oid::from(*function) == compare
        });
        known.map(|(key_type, ..)| *key_type)
    }

    /// The key type with a stored number.
    pub(crate) fn of_number(number: u8) -> Option<KeyType> {
        let mut known = KEY_TYPES.iter().map(|(key_type, ..)| *key_type);
        known.find(|known| known.number() == number).or_else(|| {
            let scale = number.checked_sub(KeyType::Numeric(0).number())?;
            (scale <= GREATEST_SCALE).then_some(KeyType::Numeric(scale))
        })
    }

    /// The number that is stored.
    pub(crate) fn number(self) -> u8 {
        let known = KEY_TYPES.iter().find(|(key_type, ..)| *key_type == self.whatever_scale());
        let scale = if let KeyType::Numeric(scale) = self { scale } else { 0 };
        known.map_or(0, |(_, number, ..)| number + scale)
    }

    /// The code of a value of this type, if that is a word.
    ///
    /// # Safety
    /// The Datum is one of this type: of some, it points to the value.
    #[inline]
    pub(crate) unsafe fn encode(self, value: pg_sys::Datum) -> Word {
        let bits = value.value() as u64;
        match self {
            KeyType::Int2 => from_i64((bits as i16).into()),
            KeyType::Int4 | KeyType::Date => from_i64((bits as i32).into()),
            KeyType::Int8
            | KeyType::Time
            | KeyType::Timestamp
            | KeyType::TimestampTz
            | KeyType::Money => from_i64(bits as i64),
            KeyType::Oid => (bits as u32).into(),
            KeyType::Bool => (bits as u8 != 0).into(),
            KeyType::Char => (bits as u8).into(),
            KeyType::PgLsn | KeyType::Xid8 => bits,
            KeyType::Float4 => from_f64(f32::from_bits(bits as u32).into()),
            KeyType::Float8 => from_f64(f64::from_bits(bits)),
            KeyType::Float4Bits => float::from_bits4(bits as u32),
            KeyType::Float8Bits => float::from_bits(bits),
            KeyType::Macaddr
            | KeyType::Macaddr8
            | KeyType::TimeTz
            | KeyType::Numeric(_)
            | KeyType::Inet
            | KeyType::Interval => {
                // SAFETY: by contract.
                unsafe { self.encode_referenced(value) }
            }
            KeyType::Uuid => not_a_word(),
        }
    }

    /// The code of a value that is passed by reference. Apart, because the other types are read in
    /// loops that have no room for this.
    ///
    /// # Safety
    /// As [`KeyType::encode`].
    #[inline(never)]
    unsafe fn encode_referenced(self, value: pg_sys::Datum) -> Word {
        // SAFETY: by contract; values are as long as the arrays that are read. (The core's struct
        // for a time with a zone is four bytes longer. These are not stored.)
        unsafe {
            match self {
                KeyType::Macaddr => {
                    let [a, b, c, d, e, f] = bytes(value);
                    Word::from_be_bytes([0, 0, a, b, c, d, e, f])
                }
                KeyType::Macaddr8 => Word::from_be_bytes(bytes(value)),
                KeyType::Numeric(scale) => content(value, |stored| numeric::code_of(stored, scale)),
                KeyType::Inet => {
                    content(value, ipv4).map_or_else(|| refuse_address(), inet::from_ipv4)
                }
                KeyType::Interval => {
                    let (time, days, months) = parts_of_interval(value);
                    match (time, days, months) {
                        FOREVER if HAS_INFINITE_INTERVALS => Word::MAX,
                        BEFORE_ALL if HAS_INFINITE_INTERVALS => Word::MIN,
                        _ => from_interval(time, days, months),
                    }
                }
                _ => {
                    let [a, b, c, d, e, f, g, h, zone @ ..] = bytes::<12>(value);
                    let time = i64::from_ne_bytes([a, b, c, d, e, f, g, h]);
                    from_zoned_time(time, i32::from_ne_bytes(zone))
                }
            }
        }
    }

    /// Where a value of a type of the same family falls among the codes of a type that has not one
    /// code for each of these.
    ///
    /// # Safety
    /// The Datum is one of the value type, which is of the family.
    pub(crate) unsafe fn cut(self, value_type: KeyType, value: pg_sys::Datum) -> Cut {
        // SAFETY: by contract.
        unsafe {
            match self {
                KeyType::Float4Bits | KeyType::Float8Bits => {
                    Cut::equal_to(float::equal(value_type.as_last().encode(value)))
                }
                KeyType::Numeric(scale) => content(value, |stored| numeric::among(stored, scale)),
                // IPv6 addresses are behind all others.
                KeyType::Inet => content(value, ipv4)
                    .map_or(Cut::behind_all(), |value| Cut::at(inet::from_ipv4(value))),
                _ => match self.encode(value) {
                    code if self.holds(code) => Cut::at(code),
                    code if code > from_i64(0) => after_finite_timestamps(),
                    _ => before_finite_timestamps(),
                },
            }
        }
    }

    /// Writes the bytes of a code's value as a tuple stores them.
    #[inline]
    pub(crate) fn store(self, code: Word, place: &mut StoredValue) {
        let number = to_i64(code);
        match self {
            KeyType::Int2 => put(place, (number as i16).to_ne_bytes()),
            KeyType::Int4 | KeyType::Date => put(place, (number as i32).to_ne_bytes()),
            KeyType::Int8
            | KeyType::Time
            | KeyType::Timestamp
            | KeyType::TimestampTz
            | KeyType::Money => put(place, number.to_ne_bytes()),
            KeyType::Oid => put(place, (code as u32).to_ne_bytes()),
            KeyType::Bool | KeyType::Char => put(place, [code as u8]),
            KeyType::PgLsn | KeyType::Xid8 => put(place, code.to_ne_bytes()),
            KeyType::Float4 => put(place, (to_f64(code) as f32).to_ne_bytes()),
            KeyType::Float8 => put(place, to_f64(code).to_ne_bytes()),
            KeyType::Float4Bits => put(place, float::to_bits4(code).to_ne_bytes()),
            KeyType::Float8Bits => put(place, float::to_bits(code).to_ne_bytes()),
            KeyType::Macaddr
            | KeyType::Macaddr8
            | KeyType::TimeTz
            | KeyType::Numeric(_)
            | KeyType::Inet
            | KeyType::Interval => {
                self.store_referenced(code, place);
            }
            KeyType::Uuid => not_a_word(),
        }
    }

    /// [`KeyType::store`] of types that are passed by reference; apart, as their reading is.
    #[inline(never)]
    fn store_referenced(self, code: Word, place: &mut StoredValue) {
        match self {
            // Without the two highest bytes.
            KeyType::Macaddr => put(place, (code << 16).to_be_bytes()),
            KeyType::Macaddr8 => put(place, code.to_be_bytes()),
            KeyType::Numeric(scale) => {
                let (bytes, length) = numeric::to_bytes(code, scale);
                put_short(place, &bytes[..length]);
            }
            KeyType::Inet => {
                let inet::Ipv4 { address, length } = inet::to_ipv4(code);
                let [a, b, c, d] = address.to_be_bytes();
                put_short(place, &[FAMILY_IPV4, length, a, b, c, d]);
            }
            KeyType::Interval => {
                let (time, days) = to_interval(code);
                let (time, days, months) = match code {
                    Word::MAX if HAS_INFINITE_INTERVALS => FOREVER,
                    Word::MIN if HAS_INFINITE_INTERVALS => BEFORE_ALL,
                    _ => (time, days, 0),
                };
                put(place, time.to_ne_bytes());
                place[8..12].copy_from_slice(&days.to_ne_bytes());
                place[12..].copy_from_slice(&months.to_ne_bytes());
            }
            _ => {
                let (time, zone) = to_zoned_time(code);
                put(place, time.to_ne_bytes());
                place[8..12].copy_from_slice(&zone.to_ne_bytes());
            }
        }
    }

    /// A code's value; in the current memory context, if the type is passed by reference.
    pub(crate) fn decode(self, code: Word) -> pg_sys::Datum {
        let number = to_i64(code);
        match self {
            KeyType::Float4 => pg_sys::Datum::from((to_f64(code) as f32).to_bits()),
            KeyType::Float8 => pg_sys::Datum::from(to_f64(code).to_bits()),
            // A Datum of four bytes has its sign extended.
            KeyType::Float4Bits => pg_sys::Datum::from(float::to_bits4(code) as i32),
            KeyType::Float8Bits => pg_sys::Datum::from(float::to_bits(code)),
            KeyType::Oid | KeyType::Bool | KeyType::PgLsn | KeyType::Xid8 => {
                pg_sys::Datum::from(code)
            }
            KeyType::Char => pg_sys::Datum::from(code as c_char),
            // Shorter integers lie in a Datum with their sign extended.
            KeyType::Int2
            | KeyType::Int4
            | KeyType::Int8
            | KeyType::Date
            | KeyType::Time
            | KeyType::Timestamp
            | KeyType::TimestampTz
            | KeyType::Money => pg_sys::Datum::from(number),
            KeyType::Macaddr
            | KeyType::Macaddr8
            | KeyType::TimeTz
            | KeyType::Numeric(_)
            | KeyType::Inet
            | KeyType::Interval => {
                let mut stored = StoredValue::default();
                self.store_referenced(code, &mut stored);
                KeyType::in_memory(stored)
            }
            KeyType::Uuid => not_a_word(),
        }
    }

    /// The Datum of a value that is passed by reference, in the current memory context.
    pub(super) fn in_memory(stored: StoredValue) -> pg_sys::Datum {
        // SAFETY: it was allocated for this, and is aligned for any type.
        unsafe {
            let place = pg_sys::palloc(size_of::<StoredValue>()).cast::<StoredValue>();
            *place = stored;
            pg_sys::Datum::from(place)
        }
    }

    /// How many words the codes of its values have.
    #[inline]
    pub(crate) fn words(self) -> usize {
        if self == KeyType::Uuid { 2 } else { 1 }
    }

    /// Whether its codes, moved by [`KeyType::into_middle`], leave the least and the greatest word
    /// to others.
    pub(super) fn leaves_words(self) -> bool {
        !matches!(
            self,
            KeyType::Int8
                | KeyType::Money
                | KeyType::Macaddr8
                | KeyType::PgLsn
                | KeyType::Xid8
                | KeyType::Uuid
                | KeyType::Inet
        )
    }

    /// Moves a code away from the least and the greatest word.
    pub(super) fn into_middle(self, code: Word) -> Word {
        match (self.begins_at_least(), code) {
            // Far from the greatest, but for what no index holds.
            (true, _) => code.saturating_add(1).min(LAST),
            // Infinity. No other value has these words' neighbours, but the ends of ranges have.
            (false, Word::MIN) => FIRST,
            (false, Word::MAX) => LAST,
            (false, _) => code.clamp(FIRST + 1, LAST - 1),
        }
    }

    /// The inverse of [`KeyType::into_middle`].
    pub(super) fn back_from_middle(self, moved: Word) -> Word {
        match (self.begins_at_least(), moved) {
            (true, _) => moved.wrapping_sub(1),
            (false, FIRST) => Word::MIN,
            (false, LAST) => Word::MAX,
            (false, _) => moved,
        }
    }

    /// What [`KeyType::into_middle`] adds to codes that are not at the ends.
    pub(super) fn moved_by(self) -> Word {
        Word::from(self.begins_at_least())
    }

    /// Whether its codes begin with the least word, or near it.
    fn begins_at_least(self) -> bool {
        matches!(
            self,
            KeyType::Oid
                | KeyType::Bool
                | KeyType::Char
                | KeyType::Macaddr
                | KeyType::TimeTz
                | KeyType::Float4Bits
                | KeyType::Float8Bits
        )
    }

    /// Whether its values have different lengths, and may be stored elsewhere or compressed.
    #[inline]
    pub(super) fn has_variable_width(self) -> bool {
        matches!(self, KeyType::Numeric(_) | KeyType::Inet)
    }

    /// Length and alignment of its values in a tuple, in bytes; `None` if they vary.
    pub(super) fn layout(self) -> Option<(usize, usize)> {
        Some(match self {
            KeyType::Bool | KeyType::Char => (1, 1),
            KeyType::Int2 => (2, 2),
            KeyType::Int4
            | KeyType::Oid
            | KeyType::Float4
            | KeyType::Float4Bits
            | KeyType::Date => (4, 4),
            KeyType::Int8
            | KeyType::Float8
            | KeyType::Float8Bits
            | KeyType::Time
            | KeyType::Timestamp
            | KeyType::TimestampTz
            | KeyType::Money
            | KeyType::PgLsn
            | KeyType::Xid8 => (8, 8),
            KeyType::Macaddr => (6, 4),
            KeyType::Macaddr8 => (8, 4),
            KeyType::TimeTz => (12, 8),
            KeyType::Uuid => (16, 1),
            KeyType::Interval => (16, 8),
            KeyType::Numeric(_) | KeyType::Inet => return None,
        })
    }

    /// Length and alignment of a value, by the bytes that [`KeyType::store`] writes.
    pub(super) fn layout_of(self, stored: &StoredValue) -> (usize, usize) {
        self.layout().unwrap_or((short_length(stored), 1))
    }

    /// Refuses a value that an index cannot hold, by its code: see [`KeyType::holds`].
    #[inline]
    pub(super) fn check_held(self, code: Word) {
        if !self.holds(code) {
            self.refuse_value();
        }
    }

    /// Whether the value of a code can be in an index: the code tells it from all others.
    #[inline]
    pub(crate) fn holds(self, code: Word) -> bool {
        match self {
            KeyType::TimeTz => is_zoned_time(code),
            KeyType::Numeric(_) => numeric::has_value(code),
            KeyType::Interval => is_span(code),
            _ => true,
        }
    }

    /// Whether those of all codes can, in any index.
    #[inline]
    pub(super) fn holds_all(self) -> bool {
        !matches!(
            self,
            KeyType::TimeTz | KeyType::Numeric(_) | KeyType::Interval | KeyType::Float8Bits
        )
    }

    /// Refuses a value that [`KeyType::into_middle`] makes one with others: all codes of `float8`
    /// have a value, and two of its words are taken. These are three NaNs.
    #[inline]
    pub(super) fn check_held_in_middle(self, moved: Word) {
        if self == KeyType::Float8Bits && moved == LAST {
            self.refuse_value();
        }
    }

    /// Whether a code tells all of its value. Some codes of floats do not tell 0 from -0, and those
    /// of intervals not a month from 30 days.
    pub(crate) fn decodes_exactly(self) -> bool {
        !matches!(self, KeyType::Float4 | KeyType::Float8 | KeyType::Interval)
    }

    /// Refuses a value that no index can hold: see [`KeyType::holds`].
    #[cold]
    fn refuse_value(self) -> ! {
        match self {
            KeyType::Numeric(scale) => refuse(
                PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
                "numeric out of range for access method \"learned\"".to_owned(),
                &format!(
                    "The index was built for numbers of at most {MOST_DIGITS} digits, exactly \
                     {scale} of them behind the decimal point. Drop it, or use an index of access \
                     method \"btree\" for such values."
                ),
            ),
            KeyType::Float8Bits => refuse(
                PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
                "NaN out of range for access method \"learned\"".to_owned(),
                "Its bits are fff0000000000001, fff0000000000002 or fff0000000000003, which no \
                 index holds beside other columns. 'NaN'::float8 has other bits.",
            ),
            KeyType::Interval => refuse(
                PgSqlErrorCode::ERRCODE_INTERVAL_FIELD_OVERFLOW,
                "interval out of range for access method \"learned\"".to_owned(),
                "It is longer than 106,751,990 days. Use an index of access method \"btree\" for \
                 such values.",
            ),
            _ => refuse(
                PgSqlErrorCode::ERRCODE_DATETIME_FIELD_OVERFLOW,
                "time with time zone out of range for access method \"learned\"".to_owned(),
                "Its time zone is more than 813 days from UTC. Use an index of access method \
                 \"btree\" for such values.",
            ),
        }
    }
}

/// Values of a type that has codes of two words are encoded as those: see [`super::columns`].
#[cold]
fn not_a_word() -> ! {
    error!("the codes of this type are not words")
}

/// The precision and the scale of `numeric` with a type modifier, as numeric.c has them there.
pub(crate) fn precision_and_scale(modifier: i32) -> Option<(i32, i32)> {
    let modifier =
        modifier.checked_sub(pg_sys::VARHDRSZ as i32).filter(|modifier| *modifier >= 0)?;
    // The scale has 11 bits with a sign.
    Some((modifier >> 16 & 0xFFFF, ((modifier & 0x7FF) ^ 0x400) - 0x400))
}

/// The name of a SQL type, for messages.
pub(crate) fn type_name(type_oid: pg_sys::Oid) -> String {
    // SAFETY: format_type_be works for any OID, and returns a C string.
    let name = unsafe { std::ffi::CStr::from_ptr(pg_sys::format_type_be(type_oid)) };
    name.to_string_lossy().into_owned()
}

/// Refuses an address that no index can hold.
#[cold]
fn refuse_address() -> ! {
    refuse(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        "access method \"learned\" does not support IPv6 addresses".to_owned(),
        "Use an index of access method \"btree\" for such values.",
    )
}

/// Refuses an operator class.
pub(super) fn refuse_type(type_oid: pg_sys::Oid) -> ! {
    let name = type_name(type_oid);
    refuse(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("access method \"learned\" does not support type {name} with this operator class"),
        SUPPORTED_TYPES,
    )
}

/// Refuses a column of `numeric` whose values have no codes.
#[cold]
pub(super) fn refuse_numeric(modifier: i32) -> ! {
    let what = match precision_and_scale(modifier) {
        Some((precision, scale)) => format!("numeric({precision},{scale})"),
        None => "numeric without a precision".to_owned(),
    };
    refuse(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("access method \"learned\" does not support type {what}"),
        &format!(
            "Declare the column as numeric(p, s) with a precision of at most {MOST_DIGITS} and a \
             scale of 0 to {GREATEST_SCALE}, or use an index of access method \"btree\"."
        ),
    )
}
