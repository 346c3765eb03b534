//! Random queries of every shape that an ordered index serves, with constants that hit keys, their
//! neighbours, gaps and extremes.

use rand::Rng;
use rand::rngs::StdRng;
use server_tests::{Key, SqlType};

/// What a query returns, which decides how answers are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Returns {
    /// Rows in any order.
    Rows,
    /// Rows ordered by the key; `sorted_by_index` when the index gives that order.
    Ordered { order_by: String, limit: String, sorted_by_index: bool },
    /// One row of aggregates; `{k}` stands for the key.
    Aggregate(&'static str),
}

/// One generated query.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Names the shape of the conditions.
    pub(crate) shape: &'static str,
    /// The WHERE clause over the key, if any.
    pub(crate) condition: Option<String>,
    pub(crate) returns: Returns,
    /// Whether only a bitmap scan can use the index for it.
    pub(crate) bitmap_only: bool,
}

impl Query {
    /// Whether the planner has a use for the index's order.
    pub(crate) fn wants_order(&self) -> bool {
        match &self.returns {
            Returns::Rows => false,
            Returns::Ordered { .. } => true,
            Returns::Aggregate(list) => list.starts_with("min"),
        }
    }
}

/// Makes the queries of one table and index.
pub(crate) struct Generator<'a> {
    pub(crate) sql_type: SqlType,
    /// The keys in the table in SQL order, with duplicates.
    pub(crate) sorted: &'a [Key],
    /// How queries spell the key: a column or an expression.
    pub(crate) key: &'a str,
    pub(crate) index_descending: bool,
    pub(crate) index_nulls_first: bool,
    pub(crate) rng: &'a mut StdRng,
}

const INEQUALITIES: [&str; 4] = ["<", "<=", ">=", ">"];

impl Generator<'_> {
    pub(crate) fn query(&mut self) -> Query {
        let (shape, condition) = self.condition();
        let bitmap_only = shape == "or";
        let returns = match self.rng.random_range(0..10) {
            _ if bitmap_only => Returns::Rows,
            0..5 => Returns::Rows,
            5..8 => self.ordered(shape),
            8 => Returns::Aggregate("count(*), count({k})"),
            _ => self.ends(),
        };
        let returns = match (&condition, returns) {
            (None, Returns::Rows) => self.ordered(shape),
            (None, Returns::Aggregate(_)) if self.sql_type.has_ends() => self.ends(),
            (None, Returns::Aggregate(_)) => self.ordered(shape),
            (_, returns) => returns,
        };
        Query { shape, condition, returns, bitmap_only }
    }

    /// The least and the greatest key, of types that have functions for these.
    fn ends(&self) -> Returns {
        Returns::Aggregate(match self.sql_type {
            SqlType::Bool => "bool_and({k}), bool_or({k})",
            _ if self.sql_type.has_ends() => "min({k}), max({k})",
            _ => "count(*), count({k})",
        })
    }

    fn ordered(&mut self, shape: &str) -> Returns {
        let sorted_by_index = shape == "none" || self.rng.random_bool(0.9);
        let reversed = self.rng.random_bool(0.5);
        let descending = self.index_descending != reversed;
        let nulls_first = (self.index_nulls_first != reversed) == sorted_by_index;
        let order_by = format!(
            "{} {} NULLS {}",
            self.key,
            if descending { "DESC" } else { "ASC" },
            if nulls_first { "FIRST" } else { "LAST" }
        );
        let few = shape == "none" || self.rng.random_bool(0.7);
        let limit = if few {
            let offset = if self.rng.random_bool(0.6) { 0 } else { self.rng.random_range(0..300) };
            format!(" LIMIT {} OFFSET {offset}", self.rng.random_range(0..40))
        } else {
            String::new()
        };
        Returns::Ordered { order_by, limit, sorted_by_index }
    }

    #[expect(clippy::too_many_lines, reason = "a kind of condition in each arm")]
    fn condition(&mut self) -> (&'static str, Option<String>) {
        let k = self.key.to_owned();
        let (shape, condition) = match self.rng.random_range(0..15) {
            0..2 => ("equal", format!("{k} = {}", self.operand())),
            2..4 => return self.one_sided(),
            4..6 => {
                let (low, high) = self.narrow();
                if self.rng.random_bool(0.9) {
                    ("between", format!("{k} BETWEEN {low} AND {high}"))
                } else {
                    ("between swapped", format!("{k} BETWEEN {high} AND {low}"))
                }
            }
            6 => {
                let (low, high) = self.narrow();
                let more = (0..self.rng.random_range(1..4)).map(|_| {
                    let operator = INEQUALITIES[self.rng.random_range(0..4)];
                    format!(" AND {k} {operator} {}", self.operand())
                });
                ("redundant", format!("{k} >= {low} AND {k} < {high}{}", more.collect::<String>()))
            }
            // Not two equalities: the planner compares their constants and leaves the index out.
            7 => {
                let (low, high) = self.narrow();
                let operator = INEQUALITIES[self.rng.random_range(0..4)];
                match self.rng.random_range(0..2) {
                    0 => ("contradictory", format!("{k} > {high} AND {k} <= {low}")),
                    _ => ("equal and more", format!("{k} = {low} AND {k} {operator} {high}")),
                }
            }
            8 => {
                // The parser casts such a list to a type common with the column, and not every date
                // survives that.
                let other = match self.sql_type {
                    SqlType::Timestamp | SqlType::Timestamptz => self.sql_type,
                    _ => self.other_type(),
                };
                let count = self.rng.random_range(2..30);
                let elements = self.elements(other, count).join(", ");
                ("in", format!("{k} IN ({elements})"))
            }
            9 => ("any", format!("{k} = ANY ({})", self.array())),
            10 => {
                let operator = if self.rng.random_bool(0.5) { "<" } else { ">=" };
                let (low, high) = self.narrow();
                (
                    "any and range",
                    format!(
                        "{k} = ANY ({}) AND {k} {operator} {low} AND {k} <= {high}",
                        self.array()
                    ),
                )
            }
            11 => (
                "two arrays",
                format!("{k} = ANY ({}) AND {k} = ANY ({})", self.array(), self.array()),
            ),
            12 => {
                let operator = INEQUALITIES[self.rng.random_range(0..4)];
                let (low, high) = self.narrow();
                (
                    "inequality any",
                    format!(
                        "{k} {operator} ANY ({}) AND {k} BETWEEN {low} AND {high}",
                        self.array()
                    ),
                )
            }
            13 => match self.rng.random_range(0..4) {
                0 => ("is null", format!("{k} IS NULL")),
                1 => {
                    let (low, high) = self.narrow();
                    ("is not null", format!("{k} IS NOT NULL AND {k} > {low} AND {k} < {high}"))
                }
                2 => ("null and not", format!("{k} IS NULL AND {k} = {}", self.operand())),
                _ => return ("none", None),
            },
            _ => (
                "or",
                format!("{k} = {} OR {k} = {} OR {k} IS NULL", self.operand(), self.operand()),
            ),
        };
        (shape, Some(condition))
    }

    /// One inequality, mostly near the end that leaves few rows.
    fn one_sided(&mut self) -> (&'static str, Option<String>) {
        let operator = INEQUALITIES[self.rng.random_range(0..4)];
        let operand = if self.rng.random_bool(0.85) && !self.sorted.is_empty() {
            let few = self.rng.random_range(0..self.sorted.len().min(40));
            let rank = if operator.starts_with('<') { few } else { self.sorted.len() - 1 - few };
            let key = self.near(self.sorted[rank]);
            self.spell(key)
        } else {
            self.operand()
        };
        ("inequality", Some(format!("{} {operator} {operand}", self.key)))
    }

    /// Two operands with few keys between them.
    fn narrow(&mut self) -> (String, String) {
        if self.sorted.is_empty() || self.rng.random_bool(0.05) {
            return (self.operand(), self.operand());
        }
        let rank = self.rng.random_range(0..self.sorted.len());
        let width = self.rng.random_range(0..60);
        let high = self.sorted[(rank + width).min(self.sorted.len() - 1)];
        let (low, high) = (self.near(self.sorted[rank]), self.near(high));
        (self.spell(low), self.spell(high))
    }

    fn near(&mut self, key: Key) -> Key {
        match self.rng.random_range(0..4) {
            0 => self.sql_type.neighbour(key, self.rng.random_range(-3..=3)),
            _ => key,
        }
    }

    /// A constant: a key of the table, a neighbour of one, the middle of a gap, or an extreme.
    fn constant(&mut self) -> Key {
        let specials = self.sql_type.specials();
        if self.sorted.is_empty() || self.rng.random_bool(0.12) {
            return specials[self.rng.random_range(0..specials.len())];
        }
        let rank = self.rng.random_range(0..self.sorted.len());
        let key = self.sorted[rank];
        match self.rng.random_range(0..6) {
            0 => self.sql_type.neighbour(key, self.rng.random_range(-3..=3)),
            1 => {
                let middle = middle(key, self.sorted[(rank + 1) % self.sorted.len()]);
                self.sql_type.neighbour(middle, 0)
            }
            _ => key,
        }
    }

    fn operand(&mut self) -> String {
        let key = self.constant();
        self.spell(key)
    }

    /// A key as a literal of its own type or another of the family; sometimes as a value known
    /// only at run time, which may be NULL.
    fn spell(&mut self, key: Key) -> String {
        let other = self.other_type();
        let literal = self.literal(key, other);
        match self.rng.random_range(0..50) {
            0 => format!("(SELECT NULL::{})", other.name()),
            1..8 => format!("(SELECT {literal})"),
            _ => literal,
        }
    }

    fn other_type(&mut self) -> SqlType {
        let family = self.sql_type.family();
        if self.rng.random_bool(0.6) {
            self.sql_type
        } else {
            family[self.rng.random_range(0..family.len())]
        }
    }

    fn literal(&mut self, key: Key, other: SqlType) -> String {
        let mut converted = self.sql_type.convert(key, other);
        // Between local and absolute time a key is met only at the zone's offset from it.
        let zoned = |t| matches!(t, SqlType::Timestamp | SqlType::Timestamptz);
        if other != self.sql_type && zoned(other) && self.rng.random_bool(0.7) {
            let half_hours = self.rng.random_range(-28..=28);
            converted = other.neighbour(converted, half_hours * 1_800_000_000);
        } else if other != self.sql_type && self.rng.random_bool(0.2) {
            converted = other.neighbour(converted, self.rng.random_range(-1..=1));
        }
        other.literal(converted)
    }

    fn elements(&mut self, other: SqlType, count: usize) -> Vec<String> {
        let mut elements: Vec<String> = Vec::new();
        for _ in 0..count {
            let element = match self.rng.random_range(0..20) {
                0 => format!("NULL::{}", other.name()),
                1..4 if !elements.is_empty() => {
                    elements[self.rng.random_range(0..elements.len())].clone()
                }
                _ => {
                    let key = self.constant();
                    self.literal(key, other)
                }
            };
            elements.push(element);
        }
        elements
    }

    /// An array of up to 40 elements: empty ones, duplicates, NULLs and NULL itself included.
    fn array(&mut self) -> String {
        let other = self.other_type();
        let name = other.name();
        let count = match self.rng.random_range(0..20) {
            0 => 0,
            1 => return format!("(SELECT NULL::{name}[])::{name}[]"),
            2..5 => self.rng.random_range(15..40),
            _ => self.rng.random_range(1..8),
        };
        let array = format!("ARRAY[{}]::{name}[]", self.elements(other, count).join(", "));
        if self.rng.random_bool(0.2) { format!("(SELECT {array})::{name}[]") } else { array }
    }
}

fn middle(a: Key, b: Key) -> Key {
    match (a, b) {
        (Key::Int(a), Key::Int(b)) => Key::Int(i128::midpoint(a.into(), b.into()) as i64),
        _ => a,
    }
}
