//! Values to keys and back, inside a server. The oracle is what the core says of the values
//! themselves.

use learned_index::key::{Key, NullClass};
use pgrx::prelude::*;

use super::Column;
use super::key_type::{KEY_TYPES, KeyType};
use super::tuple::ReturnedTuple;
use crate::relation::OpenIndex;
use crate::relation::tests::new_index;

/// Values of each type, as SQL writes them, in no order.
const VALUES: [(KeyType, &[&str]); 11] = [
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
];

/// The Datums of some values. All types are passed by value.
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
                let found = key_type.encode(one).cmp(&key_type.encode(other));
                assert_eq!(found, expected, "{key_type:?}: {one:?}, {other:?}");
            }
        }
    }

    #[pg_test]
    fn codes_give_their_values_back() {
        for (key_type, values) in samples() {
            for value in values {
                let found = key_type.decode(key_type.encode(value));
                assert_eq!(key_type.encode(found), key_type.encode(value), "{key_type:?}");
                // The bits of a NaN may differ.
                if key_type.decodes_exactly() {
                    assert_eq!(found.value(), value.value(), "{key_type:?}");
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
                .map(|value| column.key(value, false))
                .collect();
            assert_eq!(keys[0] > keys[1], descending, "{order}");
            let null = column.key(pg_sys::Datum::null(), true);
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
            let nulls = [(pg_sys::Datum::null(), true)];
            for (value, is_null) in values.into_iter().map(|value| (value, false)).chain(nulls) {
                let tuple = tuple.of_key(column, column.key(value, is_null));
                let (mut found, mut found_null) = (pg_sys::Datum::null(), false);
                // SAFETY: the tuple is of this index, which has one column.
                unsafe {
                    let description = (*index.raw()).rd_att;
                    pg_sys::index_deform_tuple(tuple, description, &mut found, &mut found_null);
                }
                assert_eq!(found_null, is_null, "{key_type:?}");
                if !is_null {
                    assert_eq!(key_type.encode(found), key_type.encode(value), "{key_type:?}");
                }
            }
        }
    }
}
