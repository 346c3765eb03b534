//! Random statements that count rows, most of which an index alone could answer.

use rand::Rng;
use rand::rngs::StdRng;
use server_tests::{Key, SqlType};

use super::table::{Column, Shape, Table};

/// What is compared.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) kind: &'static str,
    /// Commands whose rows are the answer, in a certain order.
    pub(crate) text: String,
    /// Commands whose rows are the plan.
    pub(crate) explain: String,
    /// Whether the node could answer.
    pub(crate) applies: bool,
}

const EXPLAIN: &str = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)";
const INEQUALITIES: [&str; 4] = ["<", "<=", ">=", ">"];

pub(super) struct Generator<'a> {
    table: &'a Table,
    rng: &'a mut StdRng,
    /// Whether statements may write, too.
    writes: bool,
    /// Types and values of parameters, while a statement with parameters is made.
    params: Option<Vec<(String, String)>>,
    /// As in the statement.
    applies: bool,
}

impl<'a> Generator<'a> {
    pub(super) fn new(table: &'a Table, writes: bool, rng: &'a mut StdRng) -> Self {
        Self { table, rng, writes, params: None, applies: true }
    }

    /// Some statements. Those that write come last: others find blocks of the table as VACUUM has
    /// left them.
    pub(super) fn statements(&mut self, number: usize) -> Vec<Statement> {
        let mut statements: Vec<_> = (0..number).map(|_| self.statement()).collect();
        statements.sort_by_key(|statement| statement.text.contains("DELETE FROM"));
        statements
    }

    fn statement(&mut self) -> Statement {
        self.applies = true;
        match self.rng.random_range(0..24) {
            0..7 => {
                let text = self.select();
                self.plain("plain", text)
            }
            7..10 => self.prepared(),
            10 | 11 => self.lateral(),
            12 => self.scalar(),
            13 => self.correlated(),
            14 | 15 => self.common(),
            16 | 17 => self.union(),
            18 => self.cursor(),
            19 | 20 => self.around(),
            21 if self.writes && self.rng.random_bool(0.5) => self.amid_writes(),
            _ => self.beyond(),
        }
    }

    fn plain(&self, kind: &'static str, text: String) -> Statement {
        let explain = format!("{EXPLAIN} {text}");
        Statement { kind, text, explain, applies: self.applies }
    }

    fn select(&mut self) -> String {
        let (conditions, equal) = self.conditions();
        let aggregates = self.aggregates(equal);
        format!("SELECT {aggregates} FROM {}{}", self.from(), filter(&conditions))
    }

    /// A statement with parameters, under a plan for any values, executed twice.
    fn prepared(&mut self) -> Statement {
        self.params = Some(Vec::new());
        let text = self.select();
        let params = self.params.take().unwrap_or_default();
        let list = |parts: Vec<&str>| match parts.is_empty() {
            true => String::new(),
            false => format!("({})", parts.join(", ")),
        };
        let types = list(params.iter().map(|(sql_type, _)| sql_type.as_str()).collect());
        let values: Vec<_> = params.iter().map(|(_, value)| value.as_str()).collect();
        let others: Vec<_> = (params.iter())
            .map(|(_, value)| if self.rng.random_bool(0.1) { "NULL" } else { value })
            .collect();
        let (values, others) = (list(values), list(others));
        let prepare = format!("PREPARE s {types} AS {text}");
        let text = format!("{prepare}; EXECUTE s {values}; EXECUTE s {others}; DEALLOCATE s");
        let explain = format!("{prepare}; {EXPLAIN} EXECUTE s {values}; DEALLOCATE s");
        Statement { kind: "prepared", text, explain, applies: self.applies }
    }

    /// A few ranges of the first column, as rows of `v (n, low, high)`.
    fn ranges(&mut self) -> String {
        let table = self.table;
        let column = &table.columns[0];
        let name = column.sql_type.name();
        let rows: Vec<_> = (0..self.rng.random_range(1..7))
            .map(|number| {
                let low = column.constant(table.next_id, self.rng);
                let high = column.behind(low, self.rng);
                let [low, high] = [low, high].map(|key| match self.rng.random_range(0..20) {
                    0 => format!("NULL::{name}"),
                    _ => column.sql_type.literal(key),
                });
                format!("({number}, {low}, {high})")
            })
            .collect();
        format!("(VALUES {}) v (n, low, high)", rows.join(", "))
    }

    /// Conditions that compare the first column with a range of the outer query.
    fn of_outer(&mut self) -> Vec<String> {
        let key = &self.table.columns[0].key;
        let outer = match self.rng.random_range(0..4) {
            0 => format!("{key} = v.low"),
            1 => format!("{key} = ANY (ARRAY[v.low, v.high, NULL])"),
            _ => format!("{key} >= v.low AND {key} < v.high"),
        };
        let mut conditions = self.partial();
        conditions.push(outer);
        if self.table.columns.len() > 1 && self.rng.random_bool(0.4) {
            conditions.push(self.condition(&self.table.columns[1]));
        }
        conditions
    }

    fn lateral(&mut self) -> Statement {
        let (ranges, conditions) = (self.ranges(), self.of_outer());
        let (aggregates, from) = (self.aggregates(0), self.from());
        let filter = filter(&conditions);
        let text = format!(
            "SELECT n, x.* FROM {ranges} LEFT JOIN LATERAL \
             (SELECT {aggregates} FROM {from}{filter}) x ON true ORDER BY n"
        );
        self.plain("lateral", text)
    }

    fn scalar(&mut self) -> Statement {
        let (ranges, conditions) = (self.ranges(), self.of_outer());
        let (from, filter) = (self.from(), filter(&conditions));
        let text = format!(
            "SELECT n, (SELECT count(*) FROM {from}{filter}), v.low FROM {ranges} ORDER BY n"
        );
        self.plain("scalar", text)
    }

    /// For some rows of the table, how many are near.
    fn correlated(&mut self) -> Statement {
        let table = self.table;
        let (key, name) = (&table.columns[0].key, &table.columns[0].name);
        let first = self.rng.random_range(1..=table.next_id);
        let operator = INEQUALITIES[self.rng.random_range(0..4)];
        let mut conditions = self.partial();
        conditions.push(format!("{key} {operator} o.{name}"));
        if self.rng.random_bool(0.5) {
            conditions.push(format!("{key} IS NOT NULL"));
        }
        let (from, filter) = (self.from(), filter(&conditions));
        let text = format!(
            "SELECT o.id, o.{name}, (SELECT count(*) FROM {from}{filter}) FROM t o \
             WHERE o.id BETWEEN {first} AND {first} + 4 ORDER BY o.id, o.tableoid, o.ctid"
        );
        self.plain("correlated", text)
    }

    fn common(&mut self) -> Statement {
        let (one, other) = (self.select(), self.select());
        let how = ["", "MATERIALIZED ", "NOT MATERIALIZED "][self.rng.random_range(0..3)];
        let text = format!(
            "WITH a AS {how}({one}), b AS {how}({other}) SELECT a.*, b.*, c.* FROM a, b, a c"
        );
        self.plain("common", text)
    }

    fn union(&mut self) -> Statement {
        let parts: Vec<_> = (0..self.rng.random_range(2..5))
            .map(|number| {
                let (conditions, _) = self.conditions();
                let (from, filter) = (self.from(), filter(&conditions));
                let count = self.count();
                format!("SELECT {number} AS n, {count} AS counted FROM {from}{filter}")
            })
            .collect();
        let all = parts.join(" UNION ALL ");
        let text = match self.rng.random_bool(0.5) {
            true => format!("SELECT sum(counted), max(n), count(*) FROM ({all}) u"),
            false => format!("{all} ORDER BY n"),
        };
        self.plain("union", text)
    }

    fn cursor(&mut self) -> Statement {
        let query = self.select();
        let explain = format!("{EXPLAIN} {query}");
        let writes = match self.writes && self.rng.random_bool(0.3) {
            true => self.own_writes(),
            false => String::new(),
        };
        let scroll = ["", "NO SCROLL ", "SCROLL "][self.rng.random_range(0..3)];
        let back = if scroll == "SCROLL " { "FETCH BACKWARD ALL FROM c;" } else { "" };
        let text = format!(
            "SAVEPOINT a; DECLARE c {scroll}CURSOR FOR {query}; {writes} FETCH ALL FROM c; {back} \
             CLOSE c; ROLLBACK TO a; RELEASE a"
        );
        Statement { kind: "cursor", text, explain, applies: self.applies }
    }

    /// A count of what the transaction itself has written.
    fn amid_writes(&mut self) -> Statement {
        let (writes, query) = (self.own_writes(), self.select());
        let explain = format!("{EXPLAIN} {query}");
        let text = format!("SAVEPOINT a; {writes} {query}; ROLLBACK TO a; RELEASE a");
        Statement { kind: "amid writes", text, explain, applies: self.applies }
    }

    fn own_writes(&mut self) -> String {
        let first = self.rng.random_range(1..=self.table.next_id);
        let names: Vec<_> = self.table.columns.iter().map(|column| column.name.as_str()).collect();
        let (names, rows) = (names.join(", "), format!("BETWEEN {first} AND {first} + 9"));
        format!(
            "DELETE FROM t WHERE id {rows} AND id % 3 = 0;
             INSERT INTO t ({names}, id, note, p) SELECT {names}, id, note, p FROM t
                 WHERE id {rows};
             UPDATE t SET note = 5 WHERE id {rows} AND id % 3 = 1;"
        )
    }

    /// A query around one that counts, or with more to it.
    fn around(&mut self) -> Statement {
        let query = self.select();
        let text = match self.rng.random_range(0..6) {
            0 => format!("{query} ORDER BY 1 LIMIT 1"),
            1 => format!("SELECT count(*), min(x::text) FROM ({query}) x"),
            2 => format!("SELECT * FROM ({query} OFFSET 0) x WHERE x IS NOT NULL"),
            3 => {
                let (conditions, _) = self.conditions();
                let (from, filter) = (self.from(), filter(&conditions));
                format!(
                    "SELECT count(*), sum(count(*)) OVER (), (SELECT count(*) FROM {from}{filter}) \
                     FROM {from}{filter}"
                )
            }
            4 => format!("SELECT DISTINCT * FROM ({query}) x, generate_series(1, 3) ORDER BY 1"),
            _ => format!("SELECT (SELECT x::text FROM ({query}) x), EXISTS ({query})"),
        };
        self.plain("around", text)
    }

    /// What the node must leave alone, or has no need to know.
    fn beyond(&mut self) -> Statement {
        let (mut conditions, _) = self.conditions();
        self.applies = false;
        let column = &self.table.columns[self.rng.random_range(0..self.table.columns.len())];
        let k = &column.key;
        let (one, other) = (self.operand(column), self.operand(column));
        let mut aggregates = "count(*)".to_owned();
        let mut rest = String::new();
        match self.rng.random_range(0..12) {
            0 => conditions.push("note = 1".to_owned()),
            1 => conditions.push("id % 3 = 1".to_owned()),
            2 => conditions.push(format!("({k} = {one} OR {k} = {other})")),
            3 => conditions.push(format!("({k} < {one} OR {k} IS NULL)")),
            4 => conditions.push(format!("{k} <> {one}")),
            5 => conditions.push(format!("{k} IS DISTINCT FROM {one}")),
            6 => aggregates = format!("count(*) FILTER (WHERE {k} > {one})"),
            7 => aggregates = format!("count(DISTINCT {k}), count(*)"),
            8 => rest = " HAVING count(*) > 7".to_owned(),
            9 => aggregates = "count(note), count(*), count(NULL), sum(id)".to_owned(),
            10 => {
                let all = [(); 2].map(|()| {
                    let key = column.constant(self.table.next_id, self.rng);
                    column.sql_type.literal(key)
                });
                conditions.push(format!("{k} <> ALL (ARRAY[{}])", all.join(", ")));
            }
            _ => {
                let columns = &self.table.columns;
                let keys: Vec<_> = columns.iter().map(|column| column.key.clone()).collect();
                let values: Vec<_> = columns.iter().map(|column| self.operand(column)).collect();
                conditions.push(format!("({}) > ({})", keys.join(", "), values.join(", ")));
            }
        }
        let (from, filter) = (self.from(), filter(&conditions));
        self.plain("beyond", format!("SELECT {aggregates} FROM {from}{filter}{rest}"))
    }

    fn from(&mut self) -> &'static str {
        match self.table.shape {
            Shape::Inherited if self.rng.random_bool(0.2) => "ONLY t",
            _ => "t",
        }
    }

    /// What a partial index asks for.
    fn partial(&self) -> Vec<String> {
        match self.table.shape {
            Shape::Partial => vec!["p".to_owned()],
            _ => Vec::new(),
        }
    }

    /// Something that counts.
    fn count(&mut self) -> String {
        let columns = &self.table.columns;
        match self.rng.random_range(0..8) {
            0 => "count(1)".to_owned(),
            1 if self.table.shape != Shape::Expression => {
                format!("count({})", columns[self.rng.random_range(0..columns.len())].name)
            }
            2 if self.table.shape != Shape::Single(SqlType::Int8) => "count(id)".to_owned(),
            _ => "count(*)".to_owned(),
        }
    }

    /// One to three aggregates, and expressions around them, where the first columns are asked for
    /// one value each.
    fn aggregates(&mut self, equal: usize) -> String {
        let mut all = vec![self.count()];
        for _ in 0..self.rng.random_range(0..3) {
            let column = &self.table.columns
                [self.rng.random_range(0..=equal.min(1)).min(self.table.columns.len() - 1)];
            if self.rng.random_bool(0.6) || !column.sql_type.has_ends() {
                all.push(self.count());
                continue;
            }
            let is_first = column.name == self.table.columns[0].name;
            let is_plain = column.key == column.name;
            self.applies &= is_plain && (is_first || equal > 0);
            let function = ["min", "max"][self.rng.random_range(0..2)];
            all.push(format!("{function}({})", column.name));
        }
        let all: Vec<_> = all
            .into_iter()
            .enumerate()
            .map(|(number, one)| {
                let counts = one.starts_with("count");
                let expression = match self.rng.random_range(0..10) {
                    0 if counts => format!("{one} * 2 - count(*)"),
                    1 if counts => format!("{one}::float8 / nullif(count(*), 0)"),
                    2 if counts => format!("CASE WHEN {one} > 10 THEN 'many' END"),
                    3 => format!("coalesce({one}::text, 'none')"),
                    4 => format!("({one} IS NULL)"),
                    _ => one,
                };
                format!("{expression} AS a{number}")
            })
            .collect();
        all.join(", ")
    }

    /// Conditions, and how many columns from the first are asked for one value.
    fn conditions(&mut self) -> (Vec<String>, usize) {
        let columns = &self.table.columns;
        let equal = match self.rng.random_range(0..10) {
            0..3 => self.rng.random_range(0..=columns.len()),
            _ => 0,
        };
        let mut found = self.partial();
        for column in &columns[..equal] {
            found.push(format!("{} = {}", column.key, self.operand(column)));
        }
        for (number, column) in columns.iter().enumerate().skip(equal) {
            let asked = if number == equal { 0.75 } else { 0.35 };
            if self.rng.random_bool(asked) {
                found.push(self.condition(column));
            }
        }
        (found, equal)
    }

    fn condition(&mut self, column: &Column) -> String {
        let k = &column.key;
        let operator = INEQUALITIES[self.rng.random_range(0..4)];
        match self.rng.random_range(0..18) {
            0 => format!("{k} = {}", self.operand(column)),
            1..3 => format!("{k} {operator} {}", self.operand(column)),
            3..9 => {
                let low = column.constant(self.table.next_id, self.rng);
                let high = column.behind(low, self.rng);
                let (low, high) = (self.spell(column, low), self.spell(column, high));
                match self.rng.random_range(0..8) {
                    0 => format!("{k} > {high} AND {k} <= {low}"),
                    1 => format!("{k} > {low} AND {k} < {low}"),
                    2 => format!("{k} >= {low} AND {k} < {high} AND {k} {operator} {low}"),
                    3 => format!("{k} > {low} AND {k} < {high}"),
                    _ => format!("{k} >= {low} AND {k} <= {high}"),
                }
            }
            9 => {
                let elements: Vec<_> = (0..self.rng.random_range(1..9))
                    .map(|_| {
                        let key = column.constant(self.table.next_id, self.rng);
                        column.sql_type.literal(key)
                    })
                    .collect();
                format!("{k} IN ({})", elements.join(", "))
            }
            10 | 11 => format!("{k} = ANY ({})", self.array(column)),
            12 => {
                let (array, operand) = (self.array(column), self.operand(column));
                format!("{k} = ANY ({array}) AND {k} {operator} {operand}")
            }
            13 => {
                let (one, other) = (self.array(column), self.array(column));
                format!("{k} = ANY ({one}) AND {k} = ANY ({other})")
            }
            14 => format!("{k} {operator} ANY ({})", self.array(column)),
            15 => format!("{k} IS NULL"),
            16 => format!("{k} IS NOT NULL"),
            _ => match self.rng.random_range(0..4) {
                0 => format!("{k} IS NULL AND {k} IS NOT NULL"),
                1 => format!("{k} IS NULL AND {k} {operator} {}", self.operand(column)),
                2 => format!("NOT ({k} {operator} {})", self.operand(column)),
                _ => format!("{} {operator} {k}", self.operand(column)),
            },
        }
    }

    fn operand(&mut self, column: &Column) -> String {
        let key = column.constant(self.table.next_id, self.rng);
        self.spell(column, key)
    }

    /// A value of the column's type or another of the family: a literal, a parameter, or known only
    /// when the statement is executed.
    fn spell(&mut self, column: &Column, key: Key) -> String {
        let other = self.other_type(column);
        let literal = self.literal(column, key, other);
        match self.rng.random_range(0..60) {
            0 => format!("(SELECT NULL::{})", other.name()),
            1..6 => format!("(SELECT {literal})"),
            _ => self.param(other.name().to_owned(), literal),
        }
    }

    /// A value, as a parameter if the statement has some.
    fn param(&mut self, sql_type: String, value: String) -> String {
        if let Some(params) = &mut self.params
            && self.rng.random_bool(0.8)
        {
            params.push((sql_type, value));
            return format!("${}", params.len());
        }
        value
    }

    fn other_type(&mut self, column: &Column) -> SqlType {
        let family = column.sql_type.family();
        let other = match self.rng.random_bool(0.75) {
            true => column.sql_type,
            false => family[self.rng.random_range(0..family.len())],
        };
        // Codes do not tell how these compare, by the changes of the zone's offset.
        let local = matches!(column.sql_type, SqlType::Date | SqlType::Timestamp);
        self.applies &= !(local && other == SqlType::Timestamptz);
        other
    }

    fn literal(&mut self, column: &Column, key: Key, other: SqlType) -> String {
        let mut converted = column.sql_type.convert(key, other);
        let zoned = |t| matches!(t, SqlType::Timestamp | SqlType::Timestamptz);
        if other != column.sql_type && zoned(other) && self.rng.random_bool(0.7) {
            let half_hours = self.rng.random_range(-28..=28);
            converted = other.neighbour(converted, half_hours * 1_800_000_000);
        }
        other.literal(converted)
    }

    fn array(&mut self, column: &Column) -> String {
        let other = self.other_type(column);
        let name = other.name();
        let most = if self.rng.random_bool(0.05) { 200 } else { 10 };
        let elements: Vec<_> = (0..self.rng.random_range(1..most))
            .map(|_| match self.rng.random_range(0..12) {
                0 => format!("NULL::{name}"),
                _ => {
                    let key = column.constant(self.table.next_id, self.rng);
                    self.literal(column, key, other)
                }
            })
            .collect();
        match self.rng.random_range(0..20) {
            0 => format!("ARRAY[]::{name}[]"),
            1 => format!("(SELECT NULL::{name}[])::{name}[]"),
            2 => format!("(SELECT ARRAY[{}])::{name}[]", elements.join(", ")),
            _ => {
                let array = format!("ARRAY[{}]::{name}[]", elements.join(", "));
                self.param(format!("{name}[]"), array)
            }
        }
    }
}

fn filter(conditions: &[String]) -> String {
    match conditions {
        [] => String::new(),
        all => format!(" WHERE {}", all.join(" AND ")),
    }
}
