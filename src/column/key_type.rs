//! The types of keys that have codes, and how Datums become codes.

use learned_index::key::Word;
use learned_index::key::code::{from_f64, from_i64, to_f64, to_i64};
use pgrx::prelude::*;

use crate::report::refuse;

/// A type that a learned index can be built on. The numbers are stored in the metapage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum KeyType {
    Int2 = 1,
    Int4 = 2,
    Int8 = 3,
    Oid = 4,
    Float4 = 5,
    Float8 = 6,
    Date = 7,
    Time = 8,
    Timestamp = 9,
    TimestampTz = 10,
    Bool = 11,
}

/// All of them, with the comparison function of their btree operator class.
pub(super) const KEY_TYPES: [(KeyType, pg_sys::Oid, u32); 11] = [
    (KeyType::Int2, pg_sys::INT2OID, pg_sys::F_BTINT2CMP),
    (KeyType::Int4, pg_sys::INT4OID, pg_sys::F_BTINT4CMP),
    (KeyType::Int8, pg_sys::INT8OID, pg_sys::F_BTINT8CMP),
    (KeyType::Oid, pg_sys::OIDOID, pg_sys::F_BTOIDCMP),
    (KeyType::Float4, pg_sys::FLOAT4OID, pg_sys::F_BTFLOAT4CMP),
    (KeyType::Float8, pg_sys::FLOAT8OID, pg_sys::F_BTFLOAT8CMP),
    (KeyType::Date, pg_sys::DATEOID, pg_sys::F_DATE_CMP),
    (KeyType::Time, pg_sys::TIMEOID, pg_sys::F_TIME_CMP),
    (KeyType::Timestamp, pg_sys::TIMESTAMPOID, pg_sys::F_TIMESTAMP_CMP),
    (KeyType::TimestampTz, pg_sys::TIMESTAMPTZOID, pg_sys::F_TIMESTAMPTZ_CMP),
    (KeyType::Bool, pg_sys::BOOLOID, pg_sys::F_BTBOOLCMP),
];

/// What a HINT says about types.
pub(crate) const SUPPORTED_TYPES: &str = "Supported types are boolean, smallint, integer, \
     bigint, oid, real, double precision, date, time, timestamp and timestamp with time zone, \
     with their default operator classes.";

impl KeyType {
    /// The key type of a SQL type, if it has codes.
    pub(crate) fn of_type(type_oid: pg_sys::Oid) -> Option<KeyType> {
        KEY_TYPES.iter().find(|(_, oid, _)| *oid == type_oid).map(|(key_type, ..)| *key_type)
    }

    /// The SQL type.
    pub(crate) fn oid(self) -> pg_sys::Oid {
        let known = KEY_TYPES.iter().find(|(key_type, ..)| *key_type == self);
        known.map_or(pg_sys::InvalidOid, |(_, oid, _)| *oid)
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
        let own = KEY_TYPES.iter().filter(|(known, ..)| *known == self);
        let others = KEY_TYPES.iter().filter(|(known, ..)| known.compares_with(self));
        let mut candidates = own.chain(others);
        // SAFETY: looks in the catalogs, within a transaction.
        let found =
            candidates.find(|(_, oid, _)| unsafe { pg_sys::IsBinaryCoercible(type_oid, *oid) });
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
            KeyType::Float4 | KeyType::Float8 => KeyType::Float4,
            KeyType::Date | KeyType::Timestamp | KeyType::TimestampTz => KeyType::Date,
            KeyType::Oid | KeyType::Time | KeyType::Bool => self,
        }
    }

    /// The key type of a SQL type, if its codes have the order of this comparison function.
    pub(crate) fn with_order(type_oid: pg_sys::Oid, compare: pg_sys::Oid) -> Option<KeyType> {
        let known = KEY_TYPES
            .iter()
            .find(|(_, oid, function)| *oid == type_oid && pg_sys::Oid::from(*function) == compare);
        known.map(|(key_type, ..)| *key_type)
    }

    /// The key type with a stored number.
    pub(crate) fn of_number(number: u8) -> Option<KeyType> {
        KEY_TYPES.iter().map(|(key_type, ..)| *key_type).find(|known| known.number() == number)
    }

    /// The number that is stored.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    /// The code of a value of this type.
    #[inline]
    pub(crate) fn encode(self, value: pg_sys::Datum) -> Word {
        let bits = value.value() as u64;
        match self {
            KeyType::Int2 => from_i64((bits as i16).into()),
            KeyType::Int4 | KeyType::Date => from_i64((bits as i32).into()),
            KeyType::Int8 | KeyType::Time | KeyType::Timestamp | KeyType::TimestampTz => {
                from_i64(bits as i64)
            }
            KeyType::Oid => (bits as u32).into(),
            KeyType::Bool => (bits as u8 != 0).into(),
            KeyType::Float4 => from_f64(f32::from_bits(bits as u32).into()),
            KeyType::Float8 => from_f64(f64::from_bits(bits)),
        }
    }

    /// The bytes of a code's value as a tuple stores them, from the first byte on.
    #[inline]
    pub(crate) fn stored_value(self, code: Word) -> [u8; 8] {
        let number = to_i64(code);
        match self {
            KeyType::Int2 => padded((number as i16).to_ne_bytes()),
            KeyType::Int4 | KeyType::Date => padded((number as i32).to_ne_bytes()),
            KeyType::Int8 | KeyType::Time | KeyType::Timestamp | KeyType::TimestampTz => {
                number.to_ne_bytes()
            }
            KeyType::Oid => padded((code as u32).to_ne_bytes()),
            KeyType::Bool => padded([code as u8]),
            KeyType::Float4 => padded((to_f64(code) as f32).to_ne_bytes()),
            KeyType::Float8 => to_f64(code).to_ne_bytes(),
        }
    }

    /// A code's value.
    pub(crate) fn decode(self, code: Word) -> pg_sys::Datum {
        let number = to_i64(code);
        match self {
            KeyType::Float4 => pg_sys::Datum::from((to_f64(code) as f32).to_bits()),
            KeyType::Float8 => pg_sys::Datum::from(to_f64(code).to_bits()),
            KeyType::Oid | KeyType::Bool => pg_sys::Datum::from(code),
            // Shorter integers lie in a Datum with their sign extended.
            KeyType::Int2
            | KeyType::Int4
            | KeyType::Int8
            | KeyType::Date
            | KeyType::Time
            | KeyType::Timestamp
            | KeyType::TimestampTz => pg_sys::Datum::from(number),
        }
    }

    /// Whether a code tells all of its value. The codes of floats do not tell 0 from -0.
    pub(crate) fn decodes_exactly(self) -> bool {
        !matches!(self, KeyType::Float4 | KeyType::Float8)
    }
}

fn padded<const N: usize>(bytes: [u8; N]) -> [u8; 8] {
    let mut stored = [0; 8];
    stored[..N].copy_from_slice(&bytes);
    stored
}

/// The name of a SQL type, for messages.
pub(crate) fn type_name(type_oid: pg_sys::Oid) -> String {
    // SAFETY: format_type_be works for any OID, and returns a C string.
    let name = unsafe { std::ffi::CStr::from_ptr(pg_sys::format_type_be(type_oid)) };
    name.to_string_lossy().into_owned()
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
