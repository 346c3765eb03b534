//! Values to keys and back, inside a server. The oracle is what the core says of the values
//! themselves.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use learned_index::key::{Key, Word};
use learned_index::page::PageBytes;
use learned_index::page::meta::{self, Identity, KeyColumn};
use pgrx::prelude::*;
use pgrx::varlena::varlena_to_byte_slice;

use super::code::{IndexCode, with_code};
use super::columns::{Columns, encode};
use super::key_type::{KEY_TYPES, KeyType, type_name};
use super::tuple::ReturnedTuple;
use super::{Column, KeyColumns};
use crate::relation::OpenIndex;
use crate::relation::tests::new_index;

/// Values of each type, as SQL writes them, in no order.
const VALUES: [(KeyType, &[&str]); 24] = [
    (KeyType::Int2, &["0", "-1", "1", "-32768", "32767", "4711"]),
    (KeyType::Int4, &["0", "-1", "1", "-2147483648", "2147483647"]),
    (KeyType::Int8, &["0", "-1", "1", "-9223372036854775808", "9223372036854775807"]),
    (KeyType::Oid, &["0", "1", "2147483648", "4294967295"]),
    (KeyType::Float4, &FLOAT4S),
    (KeyType::Float8, &FLOAT8S),
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
    (KeyType::Uuid, &UUIDS),
    (KeyType::Numeric(2), &NUMERICS),
    (KeyType::Inet, &INETS),
    (KeyType::Interval, &INTERVALS),
    (KeyType::Float4Bits, &FLOAT4S),
    (KeyType::Float8Bits, &FLOAT8S),
];

/// Both zeros, and NaNs by their bits: no text has the others.
const FLOAT4S: [&str; 16] = [
    "0",
    "-0",
    "-1",
    "1",
    "1e-45",
    "-1e-45",
    "3.4e38",
    "-infinity",
    "infinity",
    "0.1",
    "nan",
    "bits ffc00000",
    "bits 7f800001",
    "bits 7fffffff",
    "bits ff800001",
    "bits ffffffff",
];

/// In an index on several columns the last one is the greatest.
const FLOAT8S: [&str; 18] = [
    "0",
    "-0",
    "-1",
    "1",
    "5e-324",
    "-5e-324",
    "1.7e308",
    "-infinity",
    "infinity",
    "0.1",
    "0.100000001490116119384765625",
    "0.10000000149011613",
    "nan",
    "bits fff8000000000000",
    "bits 7ff0000000000001",
    "bits 7fffffffffffffff",
    "bits ffffffffffffffff",
    "bits fff0000000000004",
];

/// Values that columns of some types cannot have, or that no index holds.
const OTHERS: [(KeyType, &[&str]); 3] = [
    (KeyType::Inet, &["::/0", "::1.2.3.4", "ffff::/7"]),
    (
        KeyType::Interval,
        &[
            "178000000 years",
            "-178000000 years",
            "106751991 days 04:00:54.775805",
            "-106751991 days -04:00:54.775806",
            "106751991 days 04:00:54.775804",
        ],
    ),
    (
        KeyType::Numeric(2),
        &[
            "0",
            "0.005",
            "-0.005",
            "0.9951",
            "1e16",
            "-1e16",
            "1e300",
            "-1e-300",
            "infinity",
            "-infinity",
        ],
    ),
];

const INETS: [&str; 13] = [
    "0.0.0.0/0",
    "255.255.255.255/0",
    "128.0.0.0/1",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "10.1.2.3/8",
    "10.0.0.0/16",
    "10.0.0.0",
    "10.1.2.3",
    "10.1.2.3/31",
    "127.255.255.255",
    "255.255.255.254/31",
    "255.255.255.255",
];

/// Some are equal, and not the same.
const INTERVALS: [&str; 10] = [
    "0",
    "1 month",
    "30 days",
    "720 hours",
    "-1 microsecond",
    "1 year -360 days",
    "-1 month 30 days 1 microsecond",
    "106751991 days 04:00:54.775804",
    "-106751991 days -04:00:54.775805",
    "292000 years",
];

const NUMERICS: [&str; 10] = [
    "0.00",
    "0.01",
    "-0.01",
    "-1.00",
    "99.99",
    "100.00",
    "10000.10",
    "9999999999999999.99",
    "-9999999999999999.99",
    "nan",
];

const UUIDS: [&str; 6] = [
    "00000000-0000-0000-0000-000000000000",
    "00000000-0000-0000-0000-0000000000ff",
    "00000000-0000-0001-0000-000000000000",
    "01234567-89ab-cdef-0123-456789abcdef",
    "80000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
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
        if let Some(bits) = value.strip_prefix("bits ") {
            let bits = u64::from_str_radix(bits, 16).unwrap_or_default();
            return match key_type.oid() {
                pg_sys::FLOAT4OID => pg_sys::Datum::from(bits as u32 as i32),
                _ => pg_sys::Datum::from(bits),
            };
        }
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

/// The words of a value of this type.
fn code(key_type: KeyType, value: pg_sys::Datum) -> [Word; 2] {
    // SAFETY: the tests take values of the type.
    unsafe { encode(key_type, value) }
}

/// The key of a row, `None` for NULL.
pub(crate) fn key<C: IndexCode>(columns: &C::Columns, row: &[Option<pg_sys::Datum>]) -> Key<C> {
    let is_null: Vec<bool> = row.iter().map(Option::is_none).collect();
    let values: Vec<pg_sys::Datum> =
        row.iter().map(|value| value.unwrap_or(pg_sys::Datum::null())).collect();
    // SAFETY: the tests give a value of each column's type.
    unsafe { columns.key(values.as_ptr(), is_null.as_ptr()) }
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
        let [one, other] = [one, other].map(|value| match length {
            -1 => varlena_to_byte_slice(value.cast_mut_ptr()),
            _ => std::slice::from_raw_parts(value.cast_mut_ptr(), usize::from(length as u16)),
        });
        one == other
    }
}

/// All types, with some values of each.
pub(crate) fn samples() -> impl Iterator<Item = (KeyType, Vec<pg_sys::Datum>)> {
    VALUES.into_iter().map(|(key_type, values)| (key_type, datums(key_type, values)))
}

/// The same, with values that its columns cannot have.
pub(crate) fn arguments() -> impl Iterator<Item = (KeyType, Vec<pg_sys::Datum>)> {
    let others = OTHERS.into_iter().map(|(key_type, values)| (key_type, datums(key_type, values)));
    samples().chain(others)
}

/// The type of a column as SQL writes it.
pub(crate) fn column_type(key_type: KeyType) -> String {
    match key_type {
        KeyType::Numeric(scale) => format!("numeric(18,{scale})"),
        _ => type_name(key_type.oid()),
    }
}

/// The index on a new column of this type.
pub(crate) fn index_on(key_type: KeyType, order: &str) -> OpenIndex {
    let name = column_type(key_type);
    new_index(&format!("CREATE TABLE t (k {name}); CREATE INDEX i ON t USING learned (k {order})"))
}

/// What the comparison function of a type says.
fn compare(key_type: KeyType, one: pg_sys::Datum, other: pg_sys::Datum) -> Ordering {
    let compare = KEY_TYPES.iter().find(|known| known.2 == key_type.oid()).map(|known| known.3);
    let compare = pg_sys::Oid::from(compare.unwrap_or_default());
    // SAFETY: it is the comparison function of the type.
    let found = unsafe { pg_sys::OidFunctionCall2Coll(compare, pg_sys::InvalidOid, one, other) };
    (found.value() as i32).cmp(&0)
}

/// Whether two values have the same code.
fn have_one_code(key_type: KeyType, one: pg_sys::Datum, other: pg_sys::Datum) -> bool {
    match key_type {
        KeyType::Float4Bits | KeyType::Float8Bits => same_bytes(key_type, one, other),
        _ => compare(key_type, one, other).is_eq(),
    }
}

/// Values of a type and NULL, in the order that an index has them in.
fn in_order(key_type: KeyType, descending: bool, nulls_first: bool) -> Vec<Option<pg_sys::Datum>> {
    let values = samples().find(|(other, _)| *other == key_type).map(|(_, values)| values);
    let mut values = values.unwrap_or_default();
    let ordered = |one, other| {
        let order = compare(key_type, one, other);
        order.then_with(|| code(key_type.as_last(), one).cmp(&code(key_type.as_last(), other)))
    };
    values.sort_by(|&one, &other| match descending {
        true => ordered(other, one),
        false => ordered(one, other),
    });
    let mut values: Vec<_> = values.into_iter().map(Some).collect();
    let null_at = if nulls_first { 0 } else { values.len() };
    values.insert(null_at, None);
    values
}

/// Checks that the keys of rows that ascend do, and that index tuples have their values.
fn check_rows<C: IndexCode>(index: OpenIndex, rows: &[Vec<Option<pg_sys::Datum>>]) {
    let columns = C::Columns::of_index(index);
    let known = columns.columns().into_iter().take(index.key_columns());
    let types: Vec<KeyType> =
        known.filter_map(|column| KeyType::of_number(column.key_type)).collect();
    let mut tuple = ReturnedTuple::new();
    let mut last: Option<(Key<C>, &Vec<Option<pg_sys::Datum>>)> = None;
    for row in rows {
        let key: Key<C> = key(&columns, row);
        if let Some((last, before)) = last {
            let same = before.iter().zip(row).zip(&types).all(|((one, other), key_type)| {
                match (one, other) {
                    (Some(one), Some(other)) => have_one_code(*key_type, *one, *other),
                    (one, other) => one.is_none() == other.is_none(),
                }
            });
            assert_eq!(last.cmp(&key).is_eq(), same, "{types:?}: {before:?}, {row:?}");
            assert!(last <= key, "{types:?}: {before:?}, {row:?}");
        }
        last = Some((key, row));
        let held: Vec<bool> = columns.values(key).iter().map(Option::is_some).collect();
        let (mut found, mut found_null) = ([pg_sys::Datum::null(); 8], [false; 8]);
        // SAFETY: the tuple is of this index, which has no more columns.
        unsafe {
            let (tuple, description) =
                (columns.tuple_of(key.class, &key.code, &mut tuple), (*index.raw()).rd_att);
            let (values, nulls) = (found.as_mut_ptr(), found_null.as_mut_ptr());
            let tuple = tuple.unwrap_or(std::ptr::null_mut());
            pg_sys::index_deform_tuple(tuple, description, values, nulls);
        }
        for (at, (value, key_type)) in row.iter().zip(&types).enumerate() {
            assert_eq!(found_null[at], value.is_none(), "{types:?}: {row:?}");
            assert_eq!(held[at], value.is_some(), "{types:?}: {row:?}");
            if let Some(value) = *value {
                assert_eq!(code(*key_type, found[at]), code(*key_type, value), "{types:?}");
                // It extends the sign of an oid, unlike its input function.
                let exact = key_type.decodes_exactly() && *key_type != KeyType::Oid;
                assert!(!exact || same_bytes(*key_type, found[at], value), "{types:?}");
            }
        }
    }
}

#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn codes_have_the_order_of_the_comparison_function() {
        for (key_type, values) in samples() {
            for (&one, &other) in values.iter().flat_map(|a| values.iter().map(move |b| (a, b))) {
                let found = code(key_type, one).cmp(&code(key_type, other));
                let expected = compare(key_type, one, other);
                let equal = expected.is_eq() && !have_one_code(key_type, one, other);
                let right = if equal { found.is_ne() } else { found == expected };
                assert!(right, "{key_type:?}: {one:?}, {other:?}");
            }
        }
    }

    #[pg_test]
    fn every_type_has_a_number_of_its_own() {
        let scales = (0..=18).map(KeyType::Numeric);
        let types = KEY_TYPES.into_iter().map(|(key_type, ..)| key_type).chain(scales);
        let numbers: BTreeSet<u8> = types.clone().map(KeyType::number).collect();
        assert_eq!(numbers.len(), KEY_TYPES.len() + 18);
        for key_type in types {
            assert_eq!(KeyType::of_number(key_type.number()), Some(key_type));
            let of_type = KeyType::of_type(key_type.oid());
            assert_eq!(of_type.map(KeyType::oid), Some(key_type.oid()));
        }
        assert_eq!(KeyType::of_number(0), None);
        assert_eq!(KeyType::of_type(pg_sys::TEXTOID), None);
    }

    #[pg_test]
    fn keys_of_one_column_have_its_order_and_give_its_values_back() {
        for (key_type, _) in VALUES {
            for (descending, nulls_first) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let order = order_of(descending, nulls_first);
                let rows: Vec<_> = in_order(key_type, descending, nulls_first)
                    .into_iter()
                    .map(|value| vec![value])
                    .collect();
                let index = index_on(key_type, &order);
                with_code!(index, C => check_rows::<C>(index, &rows));
            }
        }
    }

    /// Each type first, in the middle and last, each of them in all orders.
    #[pg_test]
    fn keys_of_several_columns_have_their_order_and_give_their_values_back() {
        let orders = [(false, false), (false, true), (true, false), (true, true)];
        for (number, (key_type, _)) in VALUES.iter().enumerate() {
            let other = |step: usize| VALUES[(number + step) % VALUES.len()].0;
            let types = [*key_type, other(5), other(11)];
            let places: Vec<_> = (0..3).map(|column| orders[(number + column) % 4]).collect();
            let list =
                |text: &dyn Fn(usize) -> String| (0..3).map(text).collect::<Vec<_>>().join(", ");
            let columns = list(&|at| format!("c{at} {}", column_type(types[at])));
            let keys = list(&|at| format!("c{at} {}", order_of(places[at].0, places[at].1)));
            let index = new_index(&format!(
                "CREATE TABLE t ({columns}); CREATE INDEX i ON t USING learned ({keys})"
            ));
            let equal = |key_type: KeyType, one: Option<pg_sys::Datum>, other| match (one, other) {
                (Some(one), Some(other)) => compare(key_type, one, other).is_eq(),
                _ => false,
            };
            // Of equal values one, so that the rows ascend.
            let values: Vec<_> = types
                .iter()
                .zip(&places)
                .map(|(key_type, place)| {
                    let mut values = in_order(*key_type, place.0, place.1);
                    values.dedup_by(|one, other| equal(*key_type, *one, *other));
                    values
                })
                .collect();
            let mut rows = Vec::new();
            for first in &values[0] {
                for second in &values[1] {
                    rows.extend(values[2].iter().map(|third| vec![*first, *second, *third]));
                }
            }
            with_code!(index, C => check_rows::<C>(index, &rows));
        }
    }

    /// Types of included columns, and values of them: extremes, and what stands for NULL elsewhere.
    const INCLUDED: [(&str, &[&str]); 31] = [
        ("bool", &["true", "false"]),
        ("\"char\"", &["''", "'a'", "'\\377'"]),
        ("int2", &["0", "1", "-1", "-32768", "32767"]),
        ("int4", &["0", "1", "-1", "-2147483648", "2147483647"]),
        ("int8", &["0", "1", "-1", "-9223372036854775808", "9223372036854775807"]),
        ("oid", &["0", "1", "4294967295"]),
        ("float4", &["0", "'-0'", "1e-45", "-3.4e38", "'-infinity'", "'nan'"]),
        ("float8", &["0", "'-0'", "5e-324", "-1.7e308", "'infinity'", "'nan'"]),
        ("money", &["0", "'-92233720368547758.08'", "'92233720368547758.07'"]),
        ("date", &["'2000-01-01'", "'-infinity'", "'infinity'"]),
        ("time", &["'00:00'", "'24:00'"]),
        ("timestamptz", &["'2000-01-01 UTC'", "'-infinity'", "'infinity'"]),
        ("timetz", &["'00:00+15:59'", "'24:00-15:59'"]),
        ("interval", &["'0'", "'-1 month 2 days -3 seconds'", "'178000000 years'"]),
        (
            "uuid",
            &["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
        ),
        ("macaddr", &["'00:00:00:00:00:00'", "'ff:ff:ff:ff:ff:ff'", "'00:00:00:00:00:01'"]),
        ("macaddr8", &["'00:00:00:00:00:00:00:00'", "'ff:ff:ff:ff:ff:ff:ff:ff'"]),
        ("pg_lsn", &["'0/0'", "'FFFFFFFF/FFFFFFFF'"]),
        ("tid", &["'(0,0)'", "'(4294967295,65535)'"]),
        ("point", &["'(0,0)'", "'(-1e300,5e-324)'"]),
        ("text", &["''", "'a'", "repeat('b', 15)", "repeat('c', 55)", "repeat('d', 300)"]),
        ("varchar(9)", &["''", "'123456789'", "'äöüßñéàôî'"]),
        ("char(5)", &["''", "'a'", "'abcde'"]),
        ("name", &["''", "'name'", "repeat('n', 63)"]),
        ("bytea", &["''", "'\\x00'", "'\\x000100'", "'\\xffffffffffffffff'"]),
        ("numeric(9,2)", &["0", "0.01", "-1.10", "9999999.99", "'nan'"]),
        ("numeric", &["0", "0.000", "1e30", "-1e-30", "'infinity'", "'nan'", "12345678901234567"]),
        ("jsonb", &["'{}'", "'{\"a\": [1, 2.50, null]}'", "'\"text\"'"]),
        ("inet", &["'::1'", "'10.0.0.1/8'"]),
        ("int4[]", &["'{}'", "'{1,NULL,3}'", "'[0:1]={1,2}'"]),
        ("box", &["'(0,0),(0,0)'", "'(1,2),(-3,1e300)'"]),
    ];

    /// Each type before and behind others: the bytes are those of the table.
    #[pg_test]
    fn included_values_come_back_byte_by_byte() {
        let run = |sql: &str| Spi::run(sql).unwrap_or_else(|error| error!("{sql}: {error}"));
        run("SET enable_seqscan = off; SET enable_bitmapscan = off");
        let mut seen = 0;
        for number in 0..INCLUDED.len() {
            let columns = [number, (number + 7) % INCLUDED.len()].map(|number| INCLUDED[number]);
            let [(one, values), (other, others)] = columns;
            run(&format!("CREATE TABLE t (k int4, a {one}, b {other})"));
            for (row, value) in values.iter().chain(&["NULL"]).enumerate() {
                for beside in others.iter().chain(&["NULL"]) {
                    run(&format!("INSERT INTO t VALUES ({row}, {value}, {beside})"));
                }
            }
            // Some rows are in leaves, and some in the delta tree.
            run("CREATE INDEX i ON t USING learned (k) INCLUDE (a, b)");
            run("INSERT INTO t SELECT * FROM t");
            let images = |from: &str| {
                let sql = format!(
                    "SELECT array_agg(r ORDER BY r) FROM (SELECT encode(record_send((k, a, b)), \
                     'hex') r FROM {from}) s"
                );
                Spi::get_one::<Vec<String>>(&sql).ok().flatten().unwrap_or_default()
            };
            let plan = "EXPLAIN SELECT k, a, b FROM t WHERE k >= 0";
            let plan = Spi::get_one::<String>(plan).ok().flatten().unwrap_or_default();
            assert!(plan.contains("Index Only Scan"), "{plan}");
            let found = images("(SELECT k, a, b FROM t WHERE k >= 0 OFFSET 0) t");
            run("SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_indexscan = off");
            let expected = images("t");
            run("SET LOCAL enable_indexonlyscan = on; SET LOCAL enable_indexscan = on");
            assert_eq!(found, expected, "{one}, {other}");
            seen += found.len();
            run("DROP TABLE t");
        }
        assert!(seen > 700, "{seen} rows");
    }

    #[pg_test]
    fn a_metapage_of_other_included_columns_is_refused() {
        let index = new_index(
            "CREATE TABLE t (k int4, a int2, b uuid); \
             CREATE INDEX i ON t USING learned (k) INCLUDE (a, b)",
        );
        with_code!(index, C => check_included::<C>(index));
    }

    fn check_included<C: IndexCode>(index: OpenIndex) {
        let columns = C::Columns::of_index(index);
        let identity = columns.new_identity();
        assert_eq!((C::WORDS, identity.included_words), (8, 4));
        assert_eq!(columns.check_identity(&identity), Ok(()));
        let mut other = identity;
        other.included[1].length = 8;
        assert!(columns.check_identity(&other).is_err());
        assert!(C::Columns::of_identity(&other).is_err());
        let mut other = identity;
        other.included[0].by_value = false;
        assert!(columns.check_identity(&other).is_err());
        let other = Identity { included_words: 0, ..identity };
        assert!(columns.check_identity(&other).is_err());
        assert!(C::Columns::of_identity(&other).is_err());
    }

    #[pg_test(error = "NaN out of range for access method \"learned\"")]
    fn of_several_columns_the_last_word_of_a_nan_is_left_for_nulls() {
        let index = new_index(
            "CREATE TABLE t (a int4, k float8); CREATE INDEX i ON t USING learned (a, k DESC)",
        );
        let columns = Columns::<2>::of_index(index);
        let [held, refused] = ["bits fff0000000000004", "bits fff0000000000003"]
            .map(|text| [Some(pg_sys::Datum::from(1)), Some(datums(KeyType::Float8, &[text])[0])]);
        columns.check_held(key(&columns, &held));
        columns.check_held(key(&columns, &refused));
    }

    /// Its metapage has another number for the type, and its scans return nothing of the column.
    #[pg_test]
    fn an_index_with_the_codes_of_an_earlier_version_goes_on_with_them() {
        let run = |sql: &str| Spi::run(sql).unwrap_or_else(|error| error!("{sql}: {error}"));
        let text = |sql: &str| Spi::get_one::<String>(sql).ok().flatten().unwrap_or_default();
        for (name, earlier, now) in [
            ("float8", KeyType::Float8, KeyType::Float8Bits),
            ("float4", KeyType::Float4, KeyType::Float4Bits),
        ] {
            let index = new_index(&format!(
                "CREATE TABLE t (k {name}); CREATE INDEX i ON t USING learned (k)"
            ));
            assert_eq!(Column::of_index(index).key_type, now);
            make_earlier(index, earlier);
            assert_eq!(Column::of_index(index).key_type, earlier);
            run("INSERT INTO t VALUES ('0'), ('-0'), ('nan'), (1), (NULL)");
            run("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off");
            let query = "SELECT string_agg(k::text, ' ' ORDER BY k::text) FROM t WHERE k <= 0";
            assert_eq!(text(query), "-0 0");
            let plan = text("EXPLAIN (COSTS OFF) SELECT k FROM t WHERE k = 0");
            assert!(plan.starts_with("Index Scan"), "{plan}");
            // SAFETY: it was opened for this test.
            unsafe { pg_sys::index_close(index.raw(), pg_sys::AccessShareLock as i32) };
            run("REINDEX INDEX i");
            let plan = text("EXPLAIN (COSTS OFF) SELECT k FROM t WHERE k = 0");
            assert!(plan.starts_with("Index Only Scan"), "{plan}");
            assert_eq!(text(query), "-0 0");
        }
    }

    /// Makes an index without entries one that has other codes.
    fn make_earlier(index: OpenIndex, key_type: KeyType) {
        let page = index.metapage().unwrap_or_else(|| error!("an index without pages"));
        let (mut identity, state) = meta::decode::<Word>(&page).unwrap_or_else(|_| error!("pages"));
        identity.columns[0].key_type = key_type.number();
        // SAFETY: the index is open; the page is changed under its lock. What the core keeps of the
        // index is forgotten.
        unsafe {
            let buffer = pg_sys::ReadBuffer(index.raw(), 0);
            pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_EXCLUSIVE as i32);
            *pg_sys::BufferGetBlock(buffer).cast::<PageBytes>() = meta::encode(&identity, &state);
            pg_sys::MarkBufferDirty(buffer);
            pg_sys::UnlockReleaseBuffer(buffer);
            pg_sys::CacheInvalidateRelcache(index.raw());
            pg_sys::CommandCounterIncrement();
        }
    }

    #[pg_test]
    fn a_metapage_of_other_columns_is_refused() {
        let index = index_on(KeyType::Date, "");
        let column = Column::of_index(index);
        let identity = column.new_identity();
        assert_eq!(column.check_identity(&identity), Ok(()));
        assert_eq!(Column::of_identity(&identity), Ok(column));
        let own = identity.columns[0];
        let with = |at: usize, column: KeyColumn| {
            let mut other = identity;
            other.columns[at] = column;
            other
        };
        let others = [
            with(0, KeyColumn { key_type: 1, ..own }),
            with(0, KeyColumn { descending: true, ..own }),
            with(0, KeyColumn { nulls_first: true, ..own }),
            with(1, own),
        ];
        for other in others {
            assert!(column.check_identity(&other).is_err(), "{other:?}");
        }
        let unknown: Identity = with(0, KeyColumn { key_type: 99, ..own });
        assert!(Column::of_identity(&unknown).is_err());
        assert!(Columns::<2>::of_identity(&unknown).is_err());
    }
}

/// An order as SQL writes it.
fn order_of(descending: bool, nulls_first: bool) -> String {
    let direction = if descending { "DESC" } else { "ASC" };
    format!("{direction} NULLS {}", if nulls_first { "FIRST" } else { "LAST" })
}
