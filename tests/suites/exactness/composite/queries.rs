//! Random queries on several columns.

use rand::Rng;
use rand::rngs::StdRng;
use server_tests::{Key, SqlType};

use super::table::{KeyPart, Table};

/// What is compared of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    /// All rows, in any order.
    Rows,
    /// The values of the first `columns` columns, in order; without a limit, all rows besides.
    Ordered { columns: usize, limited: bool },
}

/// A query of the table.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) text: String,
    pub(super) returns: Returns,
    /// Whether the rows are those of the table, with `id` and what the index includes behind the
    /// key's columns.
    pub(super) has_id: bool,
    /// Whether a condition on the key is asked.
    pub(super) has_conditions: bool,
}

pub(super) struct Generator<'a> {
    pub(super) table: &'a Table,
    pub(super) rng: &'a mut StdRng,
}

const INEQUALITIES: [&str; 4] = ["<", "<=", ">=", ">"];

impl Generator<'_> {
    /// A query by conditions on some of the columns.
    pub(super) fn query(&mut self) -> Query {
        let (conditions, equal) = self.conditions();
        let has_conditions = !conditions.is_empty();
        let mut all = conditions;
        if self.table.partial {
            all.push("p".to_owned());
        }
        let filter =
            if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
        let keys = self.table.keys();
        let rows = |text: String, returns, has_id| Query { text, returns, has_id, has_conditions };
        let has_id = self.rng.random_bool(0.5);
        let mut list = keys.join(", ");
        if has_id {
            list = format!("{list}, {}", self.table.beside_keys());
        }
        match self.rng.random_range(0..20) {
            0 => rows(format!("SELECT count(*) FROM t{filter}"), Returns::Rows, false),
            1 => rows(format!("SELECT {} FROM t{filter}", self.ends()), Returns::Rows, false),
            2 => {
                let some = keys[..self.rng.random_range(1..=keys.len())].join(", ");
                rows(format!("SELECT DISTINCT {some} FROM t{filter}"), Returns::Rows, false)
            }
            3 => {
                let some = keys[..self.rng.random_range(1..=keys.len())].join(", ");
                let text = format!("SELECT {some}, count(*) FROM t{filter} GROUP BY {some}");
                rows(text, Returns::Rows, false)
            }
            4..9 => {
                let columns = keys.len();
                let (order, limit) = self.order_and_limit(columns, equal);
                let text = format!("SELECT {list} FROM t{filter} ORDER BY {order}{limit}");
                let limited = !limit.is_empty();
                rows(text, Returns::Ordered { columns, limited }, has_id)
            }
            9 => {
                let columns = self.rng.random_range(1..=keys.len());
                let (order, limit) = self.order_and_limit(columns, 0);
                let text = format!("SELECT {list} FROM t{filter} ORDER BY {order}{limit}");
                let limited = !limit.is_empty();
                rows(text, Returns::Ordered { columns, limited }, has_id)
            }
            _ => rows(format!("SELECT {list} FROM t{filter}"), Returns::Rows, has_id),
        }
    }

    /// The index's order of its first `columns` columns, or the reverse; sometimes without the
    /// `equal` first ones, which have one value. And a limit.
    fn order_and_limit(&mut self, columns: usize, equal: usize) -> (String, String) {
        let backwards = self.rng.random_bool(0.5);
        let skipped = if equal < columns && self.rng.random_bool(0.5) { equal } else { 0 };
        let ordered: Vec<_> =
            self.table.parts[skipped..columns].iter().map(|part| part.ordered(backwards)).collect();
        let limit = match self.rng.random_range(0..10) {
            0..3 => String::new(),
            3..8 => format!(" LIMIT {}", self.rng.random_range(0..40)),
            _ => {
                let (limit, offset) = (self.rng.random_range(1..40), self.rng.random_range(0..300));
                format!(" LIMIT {limit} OFFSET {offset}")
            }
        };
        (ordered.join(", "), limit)
    }

    fn ends(&mut self) -> String {
        let part = &self.table.parts[self.rng.random_range(0..self.table.parts.len())];
        let key = &part.key;
        match part.sql_type {
            SqlType::Bool => format!("bool_and({key}), bool_or({key})"),
            sql_type if sql_type.has_ends() => match self.rng.random_range(0..3) {
                0 => format!("min({key})"),
                1 => format!("max({key})"),
                _ => format!("min({key}), max({key})"),
            },
            _ => format!("count({key})"),
        }
    }

    /// Conditions, and how many columns from the first are asked for one value.
    fn conditions(&mut self) -> (Vec<String>, usize) {
        let columns = self.table.parts.len();
        let mut found = Vec::new();
        let (mut equal, mut asked) = (0, vec![0.5; columns]);
        match self.rng.random_range(0..10) {
            0..5 => {
                equal = self.rng.random_range(0..=columns);
                for part in &self.table.parts[..equal] {
                    let operand = self.operand(part);
                    found.push(format!("{} = {operand}", part.key));
                }
                asked[..equal].fill(0.03);
                if let Some(next) = asked.get_mut(equal) {
                    *next = 0.8;
                }
            }
            5..8 => {}
            8 => asked[0] = 0.0,
            _ => asked.fill(0.1),
        }
        for (part, asked) in self.table.parts.iter().zip(asked) {
            if self.rng.random_bool(asked) {
                let condition = self.condition(part);
                found.push(condition);
            }
        }
        for _ in 0..[0, 0, 0, 1, 1, 2][self.rng.random_range(0..6)] {
            let condition = self.row_condition();
            found.push(condition);
        }
        (found, equal)
    }

    /// A comparison of rows, of the first columns in order or of any.
    fn row_condition(&mut self) -> String {
        let parts = &self.table.parts;
        let length = self.rng.random_range(2..=3);
        let columns: Vec<usize> = match self.rng.random_range(0..3) {
            0 => (0..length).map(|_| self.rng.random_range(0..parts.len())).collect(),
            _ => {
                let first = self.rng.random_range(0..parts.len()).min(self.rng.random_range(0..3));
                (first..first + length).map(|column| column % parts.len()).collect()
            }
        };
        let keys: Vec<_> = columns.iter().map(|&column| parts[column].key.as_str()).collect();
        let values: Vec<_> = columns.iter().map(|&column| self.operand(&parts[column])).collect();
        let (keys, values) = (keys.join(", "), values.join(", "));
        let operator = INEQUALITIES[self.rng.random_range(0..4)];
        match self.rng.random_range(0..3) {
            0 => format!("ROW({values}) {operator} ROW({keys})"),
            _ => format!("ROW({keys}) {operator} ROW({values})"),
        }
    }

    fn condition(&mut self, part: &KeyPart) -> String {
        let k = &part.key;
        let operator = INEQUALITIES[self.rng.random_range(0..4)];
        let (low, high) = (self.operand(part), self.operand(part));
        match self.rng.random_range(0..14) {
            0 => format!("{k} = {low}"),
            1..3 => format!("{k} {operator} {low}"),
            3..5 => {
                let (low, high) = self.between(part);
                format!("{k} >= {low} AND {k} <= {high}")
            }
            5 => format!("{k} > {low} AND {k} <= {high} AND {k} {operator} {low}"),
            6 => format!("{k} IN ({})", self.elements(part, part.sql_type, 10).join(", ")),
            7 => format!("{k} = ANY ({})", self.array(part)),
            8 => format!("{k} = ANY ({}) AND {k} {operator} {low}", self.array(part)),
            9 => format!("{k} = ANY ({}) AND {k} = ANY ({})", self.array(part), self.array(part)),
            10 => format!("{k} {operator} ANY ({})", self.array(part)),
            11 => format!("{k} IS NULL"),
            12 => match self.rng.random_range(0..2) {
                0 => format!("{k} IS NOT NULL"),
                _ => format!("{k} IS NOT NULL AND {k} {operator} {low}"),
            },
            _ => match self.rng.random_range(0..3) {
                0 => format!("{k} IS NULL AND {k} = {low}"),
                1 => format!("{k} IS NULL AND {k} IS NOT NULL"),
                _ => format!("{k} > {low} AND {k} < {low}"),
            },
        }
    }

    /// Two operands, the lower one first.
    fn between(&mut self, part: &KeyPart) -> (String, String) {
        let (one, other) = (self.constant(part), self.constant(part));
        let is_before = match (one, other) {
            (Key::Int(one), Key::Int(other)) => one <= other,
            (Key::Float(one), Key::Float(other)) => one <= other,
            _ => true,
        };
        let (low, high) = if is_before { (one, other) } else { (other, one) };
        (self.spell(part, low), self.spell(part, high))
    }

    /// A value of the column, a neighbour of one, or an extreme.
    fn constant(&mut self, part: &KeyPart) -> Key {
        let specials = part.sql_type.specials();
        let value = part.pool[self.rng.random_range(0..part.pool.len())];
        match self.rng.random_range(0..12) {
            0 => specials[self.rng.random_range(0..specials.len())],
            1 => part.sql_type.neighbour(value, self.rng.random_range(-2..=2)),
            _ => value,
        }
    }

    pub(super) fn operand(&mut self, part: &KeyPart) -> String {
        let key = self.constant(part);
        self.spell(part, key)
    }

    /// A literal of the column's type or another of the family, sometimes known only at run time.
    fn spell(&mut self, part: &KeyPart, key: Key) -> String {
        let other = self.other_type(part);
        let literal = self.literal(part, key, other);
        match self.rng.random_range(0..60) {
            0 => format!("(SELECT NULL::{})", other.name()),
            1..8 => format!("(SELECT {literal})"),
            _ => literal,
        }
    }

    fn other_type(&mut self, part: &KeyPart) -> SqlType {
        let family = part.sql_type.family();
        match self.rng.random_bool(0.6) {
            true => part.sql_type,
            false => family[self.rng.random_range(0..family.len())],
        }
    }

    fn literal(&mut self, part: &KeyPart, key: Key, other: SqlType) -> String {
        let mut converted = part.sql_type.convert(key, other);
        // Between local and absolute time a key is met only at the zone's offset from it.
        let zoned = |t| matches!(t, SqlType::Timestamp | SqlType::Timestamptz);
        if other != part.sql_type && zoned(other) && self.rng.random_bool(0.7) {
            let half_hours = self.rng.random_range(-28..=28);
            converted = other.neighbour(converted, half_hours * 1_800_000_000);
        }
        other.literal(converted)
    }

    fn elements(&mut self, part: &KeyPart, other: SqlType, most: usize) -> Vec<String> {
        let mut elements: Vec<String> = Vec::new();
        for _ in 0..self.rng.random_range(1..most) {
            let element = match self.rng.random_range(0..20) {
                0 => format!("NULL::{}", other.name()),
                1..4 if !elements.is_empty() => {
                    elements[self.rng.random_range(0..elements.len())].clone()
                }
                _ => {
                    let key = self.constant(part);
                    self.literal(part, key, other)
                }
            };
            elements.push(element);
        }
        elements
    }

    fn array(&mut self, part: &KeyPart) -> String {
        let other = self.other_type(part);
        let name = other.name();
        let most = if self.rng.random_bool(0.1) { 400 } else { 12 };
        match self.rng.random_range(0..30) {
            0 => format!("ARRAY[]::{name}[]"),
            1 => format!("(SELECT NULL::{name}[])::{name}[]"),
            _ => format!("ARRAY[{}]::{name}[]", self.elements(part, other, most).join(", ")),
        }
    }

    /// A join that looks rows up by values of some columns.
    pub(super) fn nested_loop(&mut self) -> Query {
        let table = self.table;
        let columns = self.rng.random_range(1..=table.parts.len());
        let types: Vec<_> =
            table.parts[..columns].iter().map(|part| self.other_type(part)).collect();
        let rows: Vec<String> = (0..self.rng.random_range(1..12))
            .map(|number| {
                let mut row = vec![number.to_string()];
                for (part, other) in table.parts.iter().zip(&types) {
                    let key = self.constant(part);
                    row.push(match self.rng.random_range(0..15) {
                        0 => format!("NULL::{}", other.name()),
                        _ => self.literal(part, key, *other),
                    });
                }
                format!("({})", row.join(", "))
            })
            .collect();
        let names: Vec<_> = (0..columns).map(|column| format!("v{column}")).collect();
        let mut conditions: Vec<_> = (table.parts.iter().zip(&names))
            .map(|(part, name)| format!("{} = {name}", part.key))
            .collect();
        if self.rng.random_bool(0.4) {
            let last = format!("{} {} v{}", table.parts[columns - 1].key, ">=", columns - 1);
            conditions[columns - 1] = last;
        }
        if table.partial {
            conditions.push("p".to_owned());
        }
        let (keys, filter) = (table.keys().join(", "), conditions.join(" AND "));
        let order = table.order(table.parts.len(), self.rng.random_bool(0.5));
        let limit = ["", " LIMIT 3"][self.rng.random_range(0..2)];
        let text = format!(
            "SELECT n, x.* FROM (VALUES {}) v (n, {}) \
             LEFT JOIN LATERAL (SELECT {keys} FROM t WHERE {filter} ORDER BY {order}{limit}) x \
             ON true",
            rows.join(", "),
            names.join(", ")
        );
        Query { text, returns: Returns::Rows, has_id: false, has_conditions: true }
    }

    /// A join of the table with itself by some columns.
    pub(super) fn merge_join(&mut self) -> Query {
        let table = self.table;
        let columns = self.rng.random_range(1..=table.parts.len());
        let equal: Vec<_> =
            (0..columns).map(|column| format!("a.k{column} = b.k{column}")).collect();
        let keys: Vec<_> = (table.keys().iter().enumerate())
            .map(|(column, key)| format!("{key} AS k{column}"))
            .collect();
        let predicate = if table.partial { "p" } else { "true" };
        let side = |rest| {
            format!(
                "(SELECT {}, id FROM t WHERE {predicate} AND id % 12 = {rest})",
                keys.join(", ")
            )
        };
        let text = format!(
            "SELECT count(*), sum(a.id), sum(b.id) FROM {} a JOIN {} b ON {}",
            side(self.rng.random_range(0..12)),
            side(self.rng.random_range(0..12)),
            equal.join(" AND ")
        );
        Query { text, returns: Returns::Rows, has_id: false, has_conditions: true }
    }
}
