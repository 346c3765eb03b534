//! The intervals of a scan's keys, inside a server. The oracle is the operator itself.

use learned_index::key::{Interval, Intervals, Key, Word};
use pgrx::prelude::*;

use super::quals::{Filter, QualCode};
use crate::column::code::with_code;
use crate::column::key_type::KeyType;
use crate::column::tests::{arguments, column_type, datums, index_on, key as key_in, samples};
use crate::column::{Column, KeyColumns};
use crate::relation::OpenIndex;
use crate::relation::tests::new_index;

const STRATEGIES: [u32; 5] = [
    pg_sys::BTLessStrategyNumber,
    pg_sys::BTLessEqualStrategyNumber,
    pg_sys::BTEqualStrategyNumber,
    pg_sys::BTGreaterEqualStrategyNumber,
    pg_sys::BTGreaterStrategyNumber,
];

/// A condition on the column: a strategy, and a value of a type.
type Condition = (u32, KeyType, pg_sys::Datum);

fn key_of(&(strategy, value_type, value): &Condition) -> pg_sys::ScanKeyData {
    pg_sys::ScanKeyData {
        sk_attno: 1,
        sk_strategy: strategy as pg_sys::StrategyNumber,
        sk_subtype: value_type.oid(),
        sk_argument: value,
        ..Default::default()
    }
}

/// What a scan visits.
struct Visited<C: QualCode> {
    intervals: Vec<Interval<C>>,
    filter: C::Filter,
    recheck: bool,
}

impl<C: QualCode> Visited<C> {
    fn of(columns: &C::Columns, keys: &[pg_sys::ScanKeyData]) -> Visited<C> {
        let (mut found, mut filter) = (Intervals::new(), C::Filter::default());
        // SAFETY: the keys are those of a scan of an index on these columns.
        let recheck = unsafe { C::set_intervals(keys, columns, &mut found, &mut filter) };
        Visited { intervals: found.as_slice().to_vec(), filter, recheck }
    }

    fn has(&self, key: Key<C>) -> bool {
        self.intervals.iter().any(|interval| interval.contains(key))
            && self.filter.passes(&key.code)
    }
}

fn intervals(column: Column, keys: &[pg_sys::ScanKeyData]) -> (Vec<Interval>, bool) {
    let Visited { intervals, recheck, .. } = Visited::<Word>::of(&column, keys);
    (intervals, recheck)
}

/// What the operator of the operator family says, if there is one for these types.
fn holds(
    family: pg_sys::Oid,
    key_type: KeyType,
    value: pg_sys::Datum,
    condition: &Condition,
) -> Option<bool> {
    let &(strategy, argument_type, argument) = condition;
    // SAFETY: the operator takes these types.
    unsafe {
        let (left, right) = (key_type.oid(), argument_type.oid());
        let operator = pg_sys::get_opfamily_member(family, left, right, strategy as i16);
        (operator != pg_sys::InvalidOid).then(|| {
            let function = pg_sys::get_opcode(operator);
            let collation = pg_sys::InvalidOid;
            pg_sys::OidFunctionCall2Coll(function, collation, value, argument).value() & 0xFF != 0
        })
    }
}

#[pg_schema]
mod tests {
    use super::*;

    /// Every value is in the intervals for which the operator is true; without a recheck, no other
    /// is.
    #[pg_test]
    fn intervals_have_what_the_operators_select() {
        Spi::run("SET LOCAL timezone = 'Europe/Berlin'").unwrap_or_else(|error| error!("{error}"));
        let mut compared = 0;
        for (key_type, values) in samples() {
            for order in ["ASC", "DESC"] {
                let index = index_on(key_type, order);
                compared += with_code!(index, C => compare::<C>(index, key_type, &values));
            }
        }
        assert!(compared > 5_000, "{compared}");
    }

    /// Compares all conditions on a column with the operators. How many.
    fn compare<C: QualCode>(index: OpenIndex, key_type: KeyType, values: &[pg_sys::Datum]) -> u32 {
        let columns = C::Columns::of_index(index);
        // SAFETY: an open index has an operator family for its column.
        let family = unsafe { *(*index.raw()).rd_opfamily };
        let arguments = arguments().filter(|(other, _)| key_type.of_value(other.oid()).is_some());
        let conditions = arguments
            .flat_map(|(other, values)| values.into_iter().map(move |value| (other, value)))
            .flat_map(|(other, value)| STRATEGIES.map(|strategy| (strategy, other, value)));
        let mut compared = 0;
        for condition in conditions {
            let visited: Visited<C> = Visited::of(&columns, &[key_of(&condition)]);
            for &value in values {
                let Some(expected) = holds(family, key_type, value, &condition) else { continue };
                let has = visited.has(key_in(&columns, &[Some(value)]));
                let right = has == expected || has && visited.recheck;
                assert!(right, "{key_type:?}: {value:?}, {condition:?}: {:?}", visited.intervals);
                compared += 1;
            }
            assert!(!visited.has(key_in(&columns, &[None])), "{condition:?}");
        }
        compared
    }

    /// What is asked of a column, and which of its values and NULL have it.
    struct Asked {
        key: pg_sys::ScanKeyData,
        holds: Vec<bool>,
    }

    /// Everything that can be asked of a column: comparisons with values of all types that it is
    /// compared with, and whether it is NULL.
    fn asked(
        (number, key_type): (usize, KeyType),
        family: pg_sys::Oid,
        values: &[Option<pg_sys::Datum>],
    ) -> Vec<Asked> {
        let of_column = |key| pg_sys::ScanKeyData { sk_attno: number as i16 + 1, ..key };
        let has_operators = |other: KeyType| {
            let (left, right) = (key_type.oid(), other.oid());
            // SAFETY: looks in the catalogs, within a transaction.
            let equal = unsafe { pg_sys::get_opfamily_member(family, left, right, 3) };
            equal != pg_sys::InvalidOid
        };
        let others = arguments().filter(|(other, _)| has_operators(*other));
        let conditions = others
            .flat_map(|(other, values)| values.into_iter().map(move |value| (other, value)))
            .flat_map(|(other, value)| STRATEGIES.map(|strategy| (strategy, other, value)));
        let compared = conditions.map(|condition| {
            let matches = |value: &Option<_>| {
                value.is_some_and(|value| holds(family, key_type, value, &condition) == Some(true))
            };
            let holds = values.iter().map(matches).collect();
            Asked { key: of_column(key_of(&condition)), holds }
        });
        let nulls = [pg_sys::SK_SEARCHNULL, pg_sys::SK_SEARCHNOTNULL].map(|flag| {
            let sk_flags = (flag | pg_sys::SK_ISNULL) as i32;
            let is_null = flag == pg_sys::SK_SEARCHNULL;
            Asked {
                key: of_column(pg_sys::ScanKeyData { sk_flags, ..Default::default() }),
                holds: values.iter().map(|value| value.is_none() == is_null).collect(),
            }
        });
        compared.chain(nulls).collect()
    }

    /// Asks both columns of an index for everything, one by one and together.
    fn ask<C: QualCode>(index: OpenIndex, types: [KeyType; 2]) {
        let columns = C::Columns::of_index(index);
        // SAFETY: an open index has an operator family for each column.
        let families = unsafe { std::slice::from_raw_parts((*index.raw()).rd_opfamily, 2) };
        let values = types.map(|key_type| {
            let values = samples().find(|(other, _)| *other == key_type).map(|(_, values)| values);
            values.unwrap_or_default().into_iter().map(Some).chain([None]).collect::<Vec<_>>()
        });
        let [firsts, seconds] =
            [0, 1].map(|number| asked((number, types[number]), families[number], &values[number]));
        let keys: Vec<Vec<Key<C>>> = values[0]
            .iter()
            .map(|&a| values[1].iter().map(|&b| key_in(&columns, &[a, b])).collect())
            .collect();
        let check = |first: Option<&Asked>, second: Option<&Asked>| {
            let scan_keys: Vec<_> = first.iter().chain(&second).map(|asked| asked.key).collect();
            let visited: Visited<C> = Visited::of(&columns, &scan_keys);
            for (a, keys) in keys.iter().enumerate() {
                for (b, &key) in keys.iter().enumerate() {
                    let holds = |asked: Option<&Asked>, at: usize| {
                        asked.is_none_or(|asked| asked.holds[at])
                    };
                    let expected = holds(first, a) && holds(second, b);
                    let has = visited.has(key);
                    assert!(
                        has == expected || has && visited.recheck,
                        "{types:?}: {scan_keys:?}: {:?}, {:?}",
                        values[0][a],
                        values[1][b]
                    );
                }
            }
        };
        for first in &firsts {
            check(Some(first), None);
            seconds.iter().for_each(|second| check(Some(first), Some(second)));
        }
        seconds.iter().for_each(|second| check(None, Some(second)));
    }

    #[pg_test]
    fn conditions_on_two_columns_select_what_their_operators_do() {
        Spi::run("SET LOCAL timezone = 'Europe/Berlin'").unwrap_or_else(|error| error!("{error}"));
        let pairs = [
            (KeyType::Int2, KeyType::Int8),
            (KeyType::Int8, KeyType::Timestamp),
            (KeyType::TimestampTz, KeyType::Uuid),
            (KeyType::Uuid, KeyType::Float8),
            (KeyType::Float8, KeyType::Float4),
            (KeyType::Float4, KeyType::Float8),
            (KeyType::Bool, KeyType::TimeTz),
            (KeyType::Oid, KeyType::Macaddr8),
            (KeyType::Numeric(2), KeyType::Inet),
            (KeyType::Interval, KeyType::Numeric(2)),
            (KeyType::Inet, KeyType::Interval),
        ];
        for (number, (first, second)) in pairs.into_iter().enumerate() {
            let names = [first, second].map(column_type);
            let order = ["ASC", "DESC", "ASC NULLS FIRST", "DESC NULLS LAST"];
            let (here, there) = (order[number % 4], order[(number + 2) % 4]);
            let [a, b] = names;
            let index = new_index(&format!(
                "CREATE TABLE t (a {a}, b {b});
                 CREATE INDEX i ON t USING learned (a {here}, b {there})"
            ));
            with_code!(index, C => ask::<C>(index, [first, second]));
        }
    }

    #[pg_test]
    fn conditions_are_met_together() {
        let index = new_index("CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k)");
        let column = Column::of_index(index);
        let value = |text| datums(KeyType::Int8, &[text])[0];
        let above = key_of(&(pg_sys::BTGreaterStrategyNumber, KeyType::Int8, value("5")));
        let below = key_of(&(pg_sys::BTLessEqualStrategyNumber, KeyType::Int8, value("9")));
        let expected = Interval {
            low: key_in(&column, &[Some(value("6"))]),
            high: key_in(&column, &[Some(value("9"))]),
        };
        assert_eq!(intervals(column, &[above, below]), (vec![expected], false));
        let never = key_of(&(pg_sys::BTGreaterStrategyNumber, KeyType::Int8, value("9")));
        assert_eq!(intervals(column, &[below, never]), (vec![], false));
        assert_eq!(intervals(column, &[]), (vec![Interval::ALL], false));
    }

    #[pg_test]
    fn nulls_are_found_by_is_null_alone() {
        let index = new_index("CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k)");
        let column = Column::of_index(index);
        let search = |flag: u32| {
            let flags = (flag | pg_sys::SK_ISNULL) as i32;
            intervals(
                column,
                &[pg_sys::ScanKeyData { sk_attno: 1, sk_flags: flags, ..Default::default() }],
            )
            .0
        };
        assert_eq!(search(pg_sys::SK_SEARCHNULL), [Interval::point(column.null_key())]);
        assert_eq!(search(pg_sys::SK_SEARCHNOTNULL), [Interval::VALUES]);
        let compared = pg_sys::ScanKeyData {
            sk_attno: 1,
            sk_flags: pg_sys::SK_ISNULL as i32,
            sk_strategy: pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber,
            ..Default::default()
        };
        assert_eq!(intervals(column, &[compared]).0, []);
    }

    #[pg_test(error = "access method \"learned\" cannot compare type bigint with type text")]
    fn a_value_of_a_foreign_type_is_refused() {
        let index = new_index("CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k)");
        let key = pg_sys::ScanKeyData {
            sk_attno: 1,
            sk_strategy: pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber,
            sk_subtype: pg_sys::TEXTOID,
            ..Default::default()
        };
        intervals(Column::of_index(index), &[key]);
    }
}
