//! Random statements for the first row of each group.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::table::{Column, More, Table};

/// A statement, and how its answers are compared.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) explain: String,
    /// Whether its rows come in any order.
    pub(super) unordered: bool,
    /// Whether the node could answer it.
    pub(super) applies: bool,
}

/// A query for groups, and in which columns its rows are certain.
struct Query {
    text: String,
    /// Whether its rows are in a certain order.
    ordered: bool,
    applies: bool,
}

pub(super) struct Generator<'a> {
    table: &'a Table,
    rng: &'a mut StdRng,
    /// Types and values of parameters, while a statement with parameters is made.
    params: Option<Vec<(String, String)>>,
}

const EXPLAIN: &str = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)";

impl<'a> Generator<'a> {
    pub(super) fn new(table: &'a Table, rng: &'a mut StdRng) -> Self {
        Self { table, rng, params: None }
    }

    /// Some statements. Those that write come last.
    pub(super) fn statements(&mut self, number: usize) -> Vec<Statement> {
        let mut all: Vec<_> = (0..number).map(|_| self.statement()).collect();
        all.sort_by_key(|statement| statement.kind == "amid writes");
        all
    }

    fn statement(&mut self) -> Statement {
        match self.rng.random_range(0..16) {
            0..7 => {
                let query = self.query("");
                self.plain("plain", query)
            }
            7 | 8 => self.prepared(),
            9 | 10 => self.around(),
            11 | 12 => self.lateral(),
            13 | 14 => self.cursor(),
            _ => self.amid_writes(),
        }
    }

    fn plain(&self, kind: &'static str, query: Query) -> Statement {
        let Query { text, ordered, applies } = query;
        let explain = format!("{EXPLAIN} {text}");
        Statement { kind, text, explain, unordered: !ordered, applies }
    }

    /// A query, with one more condition.
    fn query(&mut self, more: &str) -> Query {
        let columns = &self.table.columns;
        // All but the column that tells all rows apart may make groups.
        let most = columns.iter().take_while(|column| column.name != "id").count();
        let alike = if self.rng.random_bool(0.75) { 1 } else { self.rng.random_range(1..=most) };
        let alike = if most > 2 && self.rng.random_bool(0.6) { 2 } else { alike };
        let mut conditions = self.conditions(alike);
        if !more.is_empty() {
            conditions.push(more.to_owned());
        }
        let mut groups: Vec<&Column> = columns[..alike].iter().collect();
        // The first columns may be bound to a value.
        if alike > 1 && self.rng.random_bool(0.5) {
            let bound = groups.remove(0);
            let value = bound.any(self.rng);
            conditions.push(format!("{} = {}", bound.name, self.operand(bound, value)));
        }
        if self.rng.random_bool(0.15) {
            groups.shuffle(self.rng);
        }
        let backward = self.rng.random_bool(0.4);
        let turned = self.rng.random_bool(0.2);
        let mut order: Vec<_> =
            groups.iter().map(|column| ordered(column, backward ^ turned)).collect();
        let last = match self.table.has_id() && self.rng.random_bool(0.7) {
            true => columns.len(),
            false => self.rng.random_range(alike..=columns.len()),
        };
        order.extend(columns[alike..last].iter().map(|column| ordered(column, backward)));
        let certain = last == columns.len() && self.table.has_id();
        let filter = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let names: Vec<_> = groups.iter().map(|column| column.name).collect();
        let names = names.join(", ");
        if !certain {
            // Of rows that are alike in all of that, any may be the first.
            let known: Vec<_> = columns[..last].iter().collect();
            let shown: Vec<_> = known.iter().map(|column| column.normal()).collect();
            let raw: Vec<_> = known.iter().map(|column| column.name).collect();
            let is_plain = last == alike && groups.len() == alike && self.rng.random_bool(0.4);
            let on = if is_plain { String::new() } else { format!(" ON ({names})") };
            let text = format!(
                "SELECT {} FROM (SELECT DISTINCT{on} {} FROM t{filter} ORDER BY {}) x",
                shown.join(", "),
                raw.join(", "),
                order.join(", ")
            );
            return Query { text, ordered: false, applies: !is_plain };
        }
        let (shown, limit) = self.shown_and_limit();
        let text = format!(
            "SELECT DISTINCT ON ({names}) {shown} FROM t{filter} ORDER BY {}{limit}",
            order.join(", ")
        );
        Query { text, ordered: true, applies: true }
    }

    /// What a query shows of rows that are certain, and how many of them.
    fn shown_and_limit(&mut self) -> (String, String) {
        let columns = &self.table.columns;
        let shown = match self.rng.random_range(0..6) {
            0 => "*".to_owned(),
            1 => format!("{}, id", columns[0].normal()),
            2 => "t".to_owned(),
            3 => "id, v * 2 AS twice, ctid, tableoid::regclass".to_owned(),
            4 => "id, (SELECT count(*) FROM generate_series(1, id % 3)) AS n".to_owned(),
            _ => columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", "),
        };
        let limit = match self.rng.random_range(0..6) {
            0 => format!(" LIMIT {}", self.rng.random_range(1..6)),
            1 => format!(" LIMIT {} OFFSET 2", self.rng.random_range(1..6)),
            _ => String::new(),
        };
        (shown, limit)
    }

    fn conditions(&mut self, alike: usize) -> Vec<String> {
        let table = self.table;
        let mut found = Vec::new();
        if table.more == More::Predicate {
            found.push("p".to_owned());
        }
        for (number, column) in table.columns.iter().enumerate() {
            if self.rng.random_bool(if number < alike { 0.25 } else { 0.2 }) {
                found.push(self.condition(column));
            }
        }
        if self.rng.random_bool(0.35) {
            let some = self.rng.random_range(0..1000);
            found.push(match self.rng.random_range(0..5) {
                0 => "note = 1".to_owned(),
                1 => format!("v < {some}"),
                2 => "id % 7 = 3".to_owned(),
                3 => "note IS NULL".to_owned(),
                _ => format!("(v > {some} OR note <> 0)"),
            });
        }
        found
    }

    fn condition(&mut self, column: &Column) -> String {
        let name = column.name;
        let (one, other) = (column.any(self.rng), column.any(self.rng));
        let (one, other) = (self.operand(column, one), self.operand(column, other));
        match self.rng.random_range(0..8) {
            0 => format!("{name} > {one}"),
            1 => format!("{name} <= {one}"),
            2 => format!("{name} BETWEEN {one} AND {other}"),
            3 | 4 => {
                let all: Vec<_> =
                    (0..self.rng.random_range(2..6)).map(|_| column.any(self.rng)).collect();
                format!("{name} IN ({})", all.join(", "))
            }
            5 => format!("{name} IS NULL"),
            6 => format!("{name} IS NOT NULL"),
            _ => format!("{name} <> {one}"),
        }
    }

    /// A value, as a parameter if the statement has some.
    fn operand(&mut self, column: &Column, value: String) -> String {
        match &mut self.params {
            Some(params) if self.rng.random_bool(0.8) => {
                params.push((column.sql_type.to_owned(), value));
                format!("${}", params.len())
            }
            _ => value,
        }
    }

    /// A statement with parameters, under a plan for any values.
    fn prepared(&mut self) -> Statement {
        self.params = Some(Vec::new());
        let query = self.query("");
        let params = self.params.take().unwrap_or_default();
        let list = |parts: Vec<&str>| match parts.is_empty() {
            true => String::new(),
            false => format!("({})", parts.join(", ")),
        };
        let types = list(params.iter().map(|(sql_type, _)| sql_type.as_str()).collect());
        let values = list(params.iter().map(|(_, value)| value.as_str()).collect());
        let prepare = format!("PREPARE s {types} AS {}", query.text);
        Statement {
            kind: "prepared",
            text: format!("{prepare}; EXECUTE s {values}; EXECUTE s {values}; DEALLOCATE s"),
            explain: format!("{prepare}; {EXPLAIN} EXECUTE s {values}; DEALLOCATE s"),
            unordered: !query.ordered,
            applies: query.applies,
        }
    }

    /// A query around one for groups.
    fn around(&mut self) -> Statement {
        let query = self.query("");
        let Query { text, applies, .. } = query;
        let text = match self.rng.random_range(0..4) {
            0 => format!("SELECT count(*) FROM ({text}) x"),
            1 => format!("SELECT x::text FROM ({text}) x UNION ALL SELECT 'end'"),
            2 => format!("WITH x AS MATERIALIZED ({text}) SELECT count(*) FROM x, x AS y"),
            _ => {
                format!("SELECT m, count(x.*) FROM generate_series(1, 2) m, ({text}) x GROUP BY m")
            }
        };
        self.plain("around", Query { text, ordered: false, applies })
    }

    /// A query for each of some values.
    fn lateral(&mut self) -> Statement {
        let column = self.table.columns[self.rng.random_range(0..self.table.columns.len())].clone();
        let values: Vec<_> = (0..self.rng.random_range(1..4))
            .map(|n| format!("({n}, ({})::{})", column.any(self.rng), column.sql_type))
            .collect();
        let operator = ["<", ">=", ">"][self.rng.random_range(0..3)];
        let query = self.query(&format!("t.{} {operator} o.a", column.name));
        let text = format!(
            "SELECT o.m, x::text FROM (VALUES {}) o (m, a) LEFT JOIN LATERAL ({}) x ON true",
            values.join(", "),
            query.text
        );
        self.plain("lateral", Query { text, ordered: false, applies: query.applies })
    }

    /// A cursor of which some rows are fetched, then the rest, and perhaps some again.
    fn cursor(&mut self) -> Statement {
        let query = self.query("");
        let scroll = ["NO SCROLL", "SCROLL"][self.rng.random_range(0..2)];
        let back = if scroll == "SCROLL" { "FETCH BACKWARD 3 FROM c; FETCH 2 FROM c;" } else { "" };
        let some = self.rng.random_range(1..6);
        let text = format!(
            "DECLARE c {scroll} CURSOR FOR {}; FETCH {some} FROM c; {back} FETCH ALL FROM c; \
             CLOSE c",
            query.text
        );
        let (explain, unordered) = (format!("{EXPLAIN} {}", query.text), !query.ordered);
        let text = match unordered {
            // What comes twice is not certain.
            true => text.replace(back, ""),
            false => text,
        };
        Statement { kind: "cursor", text, explain, unordered, applies: query.applies }
    }

    /// A query of what the transaction itself has written.
    fn amid_writes(&mut self) -> Statement {
        let mut query = self.query("");
        // What is written has other places each time.
        query.text = query.text.replace("ctid", "ctid IS NULL AS here");
        let writes = self.table.own_writes(self.rng);
        let text = format!("SAVEPOINT a; {writes}; {}; ROLLBACK TO a; RELEASE a", query.text);
        let explain = format!("{EXPLAIN} {}", query.text);
        let (unordered, applies) = (!query.ordered, query.applies);
        Statement { kind: "amid writes", text, explain, unordered, applies }
    }
}

/// A column in the order of the index, or against it.
fn ordered(column: &Column, backward: bool) -> String {
    let way = if column.is_descending() ^ backward { "DESC" } else { "ASC" };
    let nulls = if column.has_nulls_first() ^ backward { "FIRST" } else { "LAST" };
    format!("{} {way} NULLS {nulls}", column.name)
}
