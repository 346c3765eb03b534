//! The intervals of a scan's keys, inside a server. The oracle is the operator itself.

use learned_index::key::{Interval, Intervals};
use pgrx::prelude::*;

use super::quals::set_intervals;
use crate::column::Column;
use crate::column::key_type::KeyType;
use crate::column::tests::{datums, key as key_in, samples};
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

fn intervals(column: Column, keys: &[pg_sys::ScanKeyData]) -> (Vec<Interval>, bool) {
    let mut found = Intervals::new();
    // SAFETY: the keys are those of a scan of an index on this column.
    let recheck = unsafe { set_intervals(keys, column, &mut found) };
    (found.as_slice().to_vec(), recheck)
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
            let name = crate::column::key_type::type_name(key_type.oid());
            for order in ["ASC", "DESC"] {
                let index = new_index(&format!(
                    "CREATE TABLE t (k {name}); CREATE INDEX i ON t USING learned (k {order})"
                ));
                let column = Column::of_index(index);
                // SAFETY: an open index has an operator family for its column.
                let family = unsafe { *(*index.raw()).rd_opfamily };
                let arguments =
                    samples().filter(|(other, _)| key_type.of_value(other.oid()).is_some());
                let conditions: Vec<Condition> = arguments
                    .flat_map(|(other, values)| values.into_iter().map(move |value| (other, value)))
                    .flat_map(|(other, value)| STRATEGIES.map(|strategy| (strategy, other, value)))
                    .collect();
                for condition in conditions {
                    let (found, recheck) = intervals(column, &[key_of(&condition)]);
                    for &value in &values {
                        let Some(expected) = holds(family, key_type, value, &condition) else {
                            continue;
                        };
                        let key = key_in(column, value);
                        let contains = found.iter().any(|interval| interval.contains(key));
                        assert!(
                            contains == expected || contains && recheck,
                            "{name} {order}: {value:?}, {condition:?}: {found:?}"
                        );
                        compared += 1;
                    }
                    let null = column.null_key();
                    assert!(!found.iter().any(|interval| interval.contains(null)), "{condition:?}");
                }
            }
        }
        assert!(compared > 5_000, "{compared}");
    }

    #[pg_test]
    fn conditions_are_met_together() {
        let index = new_index("CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k)");
        let column = Column::of_index(index);
        let value = |text| datums(KeyType::Int8, &[text])[0];
        let above = key_of(&(pg_sys::BTGreaterStrategyNumber, KeyType::Int8, value("5")));
        let below = key_of(&(pg_sys::BTLessEqualStrategyNumber, KeyType::Int8, value("9")));
        let expected =
            Interval { low: key_in(column, value("6")), high: key_in(column, value("9")) };
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
