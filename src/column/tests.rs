//! Values to keys and back, inside a server. The oracle is what the core says of the values
//! themselves.

use learned_index::key::{Key, NullClass, Word};
use pgrx::prelude::*;

use super::Column;
use super::key_type::{KEY_TYPES, KeyType};
use super::tuple::ReturnedTuple;
use crate::relation::OpenIndex;
use crate::relation::tests::new_index;

/// Values of each type, as SQL writes them, in no order.
const VALUES: [(KeyType, &[&str]); 18] = [
    (KeyType::Int2, &["0", "-1", "1", "-32768", "32767", "4711"]),
    (KeyType::Int4, &["0", "-1", "1", "-2147483648", "2147483647"]),
    (KeyType::Int8, &["0", "-1", "1", "-9223372036854775808", "9223372036854775807"]),
    (KeyType::Oid, &["0", "1", "2147483648", "4294967295"]),
    (KeyType::Float4, &["0", "-1", "1e-45", "3.4e38", "-infinity", "infinity", "nan", "0.1"]),
    (KeyType::Float8, &["0", "-1", "5e-324", "1.7e308", "-infinity", "infinity", "nan", "0.1"]),
    (KeyType::Date, &["2000-01-01", "4713-01-01 BC", "5874897-12-31", "-infinity", "infinity"]),
    (KeyType::Time, &["00:00", "24:00", "12:34:56.789012"]),
    (KeyType::Timestamp, &["2000-01-01", "1999-12-31 23:59", "-infinity", "infinity"]),
    (KeyType::Bool, &["true", "false"]),
    (KeyType::TimestampTz, &["2000-01-01 UTC", "1969-07-20 20:17 UTC", "-infinity", "infinity"]),
    // Of a character the first byte: 0, 97, 127, 195 and 244.
    (KeyType::Char, &["", "a", "\u{7f}", "\u{e9}", "\u{10ffff}"]),
    (KeyType::Money, &["0", "-0.01", "0.01", "-92233720368547758.08", "92233720368547758.07"]),
    (KeyType::Macaddr, &MACADDRS),
    (KeyType::Macaddr8, &MACADDR8S),
    (
        KeyType::PgLsn,
        &["0/0", "0/FFFFFFFF", "1/0", "7FFFFFFF/FFFFFFFF", "80000000/0", "FFFFFFFF/FFFFFFFF"],
    ),
    (KeyType::Xid8, &["0", "1", "4294967296", "9223372036854775808", "18446744073709551615"]),
    (KeyType::TimeTz, &TIMETZS),
];

const MACADDRS: [&str; 6] = [
    "00:00:00:00:00:00",
    "00:00:00:00:00:ff",
    "00:00:00:01:00:00",
    "01:02:03:04:05:06",
    "80:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff",
];

const MACADDR8S: [&str; 6] = [
    "00:00:00:00:00:00:00:00",
    "00:00:00:00:00:00:00:ff",
    "00:00:00:01:00:00:00:00",
    "01:02:03:04:05:06:07:08",
    "80:00:00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff:ff:ff",
];

/// Some are the same instant in two zones.
const TIMETZS: [&str; 9] = [
    "00:00+15:59:59",
    "00:00+00",
    "12:00+00",
    "13:00+01",
    "11:00-01",
    "11:00:00.000001-01",
    "24:00+00",
    "23:59:59.999999-00:00:01",
    "24:00-15:59:59",
];

/// The Datums of some values.
pub(crate) fn datums(key_type: KeyType, values: &[&str]) -> Vec<pg_sys::Datum> {
    let input = |value: &&str| {
        let text = std::ffi::CString::new(*value).unwrap_or_default();
        let (mut function, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        // SAFETY: within a transaction; the type exists, and its input function takes a C string.
        unsafe {
            pg_sys::getTypeInputInfo(key_type.oid(), &mut function, &mut parameter);
            pg_sys::OidInputFunctionCall(function, text.as_ptr().cast_mut(), parameter, -1)
        }
    };
    values.iter().map(input).collect()
}

/// The code of a value of this type.
fn code(key_type: KeyType, value: pg_sys::Datum) -> Word {
    // SAFETY: the tests take values of the type.
    unsafe { key_type.encode(value) }
}

/// The key of a value of the column's type.
pub(crate) fn key(column: Column, value: pg_sys::Datum) -> Key {
    Key::value(column.in_order(code(column.key_type, value)))
}

/// Whether two values of a type have the same bytes.
fn same_bytes(key_type: KeyType, one: pg_sys::Datum, other: pg_sys::Datum) -> bool {
    let (mut length, mut by_value) = (0, false);
    // SAFETY: the type exists, and both are values of it.
    unsafe {
        pg_sys::get_typlenbyval(key_type.oid(), &mut length, &mut by_value);
        if by_value {
            return one.value() == other.value();
        }
        let [one, other] = [one, other].map(|value| {
            std::slice::from_raw_parts(value.cast_mut_ptr::<u8>(), usize::from(length as u16))
        });
        one == other
    }
}

/// All types, with some values of each.
pub(crate) fn samples() -> impl Iterator<Item = (KeyType, Vec<pg_sys::Datum>)> {
    VALUES.into_iter().map(|(key_type, values)| (key_type, datums(key_type, values)))
}

/// The index on a new column of this type.
fn index_on(key_type: KeyType, order: &str) -> OpenIndex {
    let name = super::key_type::type_name(key_type.oid());
    new_index(&format!("CREATE TABLE t (k {name}); CREATE INDEX i ON t USING learned (k {order})"))
}

#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn codes_have_the_order_of_the_comparison_function() {
        for (key_type, values) in samples() {
            let compare = KEY_TYPES.iter().find(|known| known.0 == key_type).map(|known| known.2);
            let compare = pg_sys::Oid::from(compare.unwrap_or_default());
            for (&one, &other) in values.iter().flat_map(|a| values.iter().map(move |b| (a, b))) {
                // SAFETY: it is the comparison function of the type.
                let expected = unsafe {
                    pg_sys::OidFunctionCall2Coll(compare, pg_sys::InvalidOid, one, other)
                };
                let expected = (expected.value() as i32).cmp(&0);
                let found = code(key_type, one).cmp(&code(key_type, other));
                assert_eq!(found, expected, "{key_type:?}: {one:?}, {other:?}");
            }
        }
    }

    #[pg_test]
    fn codes_give_their_values_back() {
        for (key_type, values) in samples() {
            for value in values {
                let found = key_type.decode(code(key_type, value));
                assert_eq!(code(key_type, found), code(key_type, value), "{key_type:?}");
                // The bits of a NaN may differ.
                if key_type.decodes_exactly() {
                    assert!(same_bytes(key_type, found, value), "{key_type:?}");
                }
            }
        }
    }

    #[pg_test]
    fn every_type_has_a_number_of_its_own() {
        for (key_type, ..) in KEY_TYPES {
            assert_eq!(KeyType::of_number(key_type.number()), Some(key_type));
            assert_eq!(KeyType::of_type(key_type.oid()), Some(key_type));
        }
        assert_eq!(KeyType::of_number(0), None);
        assert_eq!(KeyType::of_type(pg_sys::TEXTOID), None);
    }

    #[pg_test]
    fn a_descending_column_turns_keys_round_but_not_nulls() {
        let orders = [("ASC", false), ("DESC NULLS LAST", true)];
        for (order, descending) in orders {
            let column = Column::of_index(index_on(KeyType::Int4, order));
            let keys: Vec<Key> = datums(KeyType::Int4, &["1", "2"])
                .into_iter()
                .map(|value| key(column, value))
                .collect();
            assert_eq!(keys[0] > keys[1], descending, "{order}");
            let null: Key = column.null_key();
            assert_eq!(null.class, NullClass::NullsLast, "{order}");
            assert_eq!(column.value(null), None);
            assert_eq!(column.value(keys[0]).map(|value| value.value()), Some(1), "{order}");
        }
    }

    #[pg_test]
    fn a_metapage_of_another_column_is_refused() {
        let column = Column::of_index(index_on(KeyType::Date, ""));
        let identity = column.new_identity();
        assert_eq!(column.check_identity(&identity), Ok(()));
        assert_eq!(Column::of_identity(&identity), Ok(column));
        let others = [
            learned_index::page::meta::Identity { key_type: 1, ..identity },
            learned_index::page::meta::Identity { descending: true, ..identity },
            learned_index::page::meta::Identity { nulls_first: true, ..identity },
        ];
        for other in others {
            assert!(column.check_identity(&other).is_err(), "{other:?}");
        }
        let unknown = learned_index::page::meta::Identity { key_type: 99, ..identity };
        assert!(Column::of_identity(&unknown).is_err());
    }

    #[pg_test]
    fn an_index_tuple_holds_the_value_as_the_core_reads_it() {
        for (key_type, values) in samples() {
            let index = index_on(key_type, "");
            let column = Column::of_index(index);
            let mut tuple = ReturnedTuple::new();
            // The last one again, after NULL.
            let again = values.last().copied();
            for value in values.into_iter().map(Some).chain([None, again]) {
                let key = value.map_or_else(|| column.null_key(), |value| key(column, value));
                let tuple = tuple.of_key(column, key);
                let (mut found, mut found_null) = (pg_sys::Datum::null(), false);
                // SAFETY: the tuple is of this index, which has one column.
                unsafe {
                    let description = (*index.raw()).rd_att;
                    pg_sys::index_deform_tuple(tuple, description, &mut found, &mut found_null);
                }
                assert_eq!(found_null, value.is_none(), "{key_type:?}");
                if let Some(value) = value {
                    assert_eq!(code(key_type, found), code(key_type, value), "{key_type:?}");
                    // It extends the sign of an oid, unlike its input function.
                    let exact = key_type.decodes_exactly() && key_type != KeyType::Oid;
                    assert!(!exact || same_bytes(key_type, found, value), "{key_type:?}");
                }
            }
        }
    }
}
