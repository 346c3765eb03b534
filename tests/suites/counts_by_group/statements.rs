//! Random statements that count the rows of groups.

use rand::Rng;
use rand::rngs::StdRng;
use server_tests::SqlType;

use super::groups::{Grouping, beyond};
use super::table::{Column, MEASURES, More, Table};
use super::zones::ZONES;
use crate::counts::statements::Statement;

/// A statement, and how its answers are compared.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) statement: Statement,
    /// Whether its rows come in any order.
    pub(super) unordered: bool,
    /// Whether it may fail, in both ways alike.
    pub(super) may_fail: bool,
}

const INEQUALITIES: [&str; 4] = ["<", "<=", ">=", ">"];

/// A query without its ORDER BY.
struct Query {
    text: String,
    /// How many columns it selects.
    width: usize,
}

impl Query {
    /// In the order of all that it selects.
    fn ordered(&self) -> String {
        format!("{} {}", self.text, order_by(self.width))
    }
}

fn order_by(width: usize) -> String {
    let all: Vec<_> = (1..=width).map(|number| number.to_string()).collect();
    format!("ORDER BY {}", all.join(", "))
}

pub(super) struct Generator<'a> {
    table: &'a Table,
    rng: &'a mut StdRng,
    /// The session's time zone.
    zone: &'a str,
    /// Types and values of parameters, while a statement with parameters is made.
    params: Option<Vec<(String, String)>>,
    /// As in the statement.
    applies: bool,
}

impl<'a> Generator<'a> {
    pub(super) fn new(table: &'a Table, zone: &'a str, rng: &'a mut StdRng) -> Self {
        Self { table, rng, zone, params: None, applies: true }
    }

    /// Some statements. Those that write come last: others find blocks of the table as VACUUM has
    /// left them.
    pub(super) fn statements(&mut self, number: usize) -> Vec<Asked> {
        let mut all: Vec<_> = (0..number).map(|_| self.asked()).collect();
        all.sort_by_key(|asked| asked.statement.text.contains("DELETE FROM"));
        all
    }

    fn asked(&mut self) -> Asked {
        self.applies = true;
        let kind = self.rng.random_range(0..26);
        let statement = match kind {
            0..8 => {
                let query = self.select();
                let text = if kind < 4 { query.ordered() } else { query.text };
                let kind = if kind < 4 { "ordered" } else { "unordered" };
                self.plain(kind, text)
            }
            8..12 => self.prepared(),
            12..15 => self.lateral(),
            15..18 => self.cursor(),
            18..22 => self.around(),
            22 => self.two(),
            23 => self.amid_writes(),
            _ => self.beyond(),
        };
        let unordered = matches!(statement.kind, "unordered" | "cursor");
        Asked { statement, unordered, may_fail: self.table.may_fail }
    }

    fn explain(&self) -> &'static str {
        match self.table.may_fail {
            true => "EXPLAIN (COSTS OFF)",
            false => "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)",
        }
    }

    fn plain(&self, kind: &'static str, text: String) -> Statement {
        let explain = format!("{} {text}", self.explain());
        Statement { kind, text, explain, applies: self.applies }
    }

    fn select(&mut self) -> Query {
        let grouping = Grouping::random(self.table, self.rng);
        if self.rng.random_bool(0.08) {
            return self.distinct(&grouping);
        }
        self.select_by(&grouping, Vec::new())
    }

    /// The groups alone.
    fn distinct(&mut self, grouping: &Grouping) -> Query {
        self.applies &= grouping.applies;
        let (shown, conditions) = (named(&grouping.exprs), self.conditions(grouping));
        let text = format!("SELECT DISTINCT {} FROM t{}", shown.join(", "), filter(&conditions));
        Query { text, width: grouping.exprs.len() }
    }

    /// A query by some groups, of rows that meet some conditions and others.
    fn select_by(&mut self, grouping: &Grouping, mut conditions: Vec<String>) -> Query {
        self.applies &= grouping.applies;
        conditions.extend(self.conditions(grouping));
        let aggregates = self.aggregates(grouping);
        let having = self.having(grouping);
        let mut shown = self.shown(grouping);
        shown.extend(aggregates);
        let distinct = if self.rng.random_bool(0.08) { "DISTINCT " } else { "" };
        let named = named(&shown);
        let text = format!(
            "SELECT {distinct}{} FROM t{} GROUP BY {}{having}",
            named.join(", "),
            filter(&conditions),
            grouping.exprs.join(", ")
        );
        Query { text, width: shown.len() }
    }

    /// What is grouped by, and expressions over it.
    fn shown(&mut self, grouping: &Grouping) -> Vec<String> {
        let mut shown = Vec::new();
        for expr in &grouping.exprs {
            match self.rng.random_range(0..14) {
                0 => shown.push(format!("({expr})::text")),
                1 => shown.push(format!("({expr}) IS NULL")),
                2 => shown.push(format!("coalesce(({expr})::text, count(*)::text)")),
                3 if expr.starts_with("date_") => {
                    shown.push(format!("extract(epoch FROM {expr})"));
                }
                4 => {}
                5 => shown.extend([expr.clone(), format!("({expr}) = ({expr})")]),
                _ => shown.push(expr.clone()),
            }
        }
        shown
    }

    /// Something that counts.
    fn count(&mut self) -> String {
        let columns = &self.table.columns;
        match self.rng.random_range(0..8) {
            0 => "count(1)".to_owned(),
            1 | 2 => format!("count({})", columns[self.rng.random_range(0..columns.len())].name),
            3 => "count(*) * 2 - 1".to_owned(),
            _ => "count(*)".to_owned(),
        }
    }

    fn aggregates(&mut self, grouping: &Grouping) -> Vec<String> {
        let mut all = vec![self.count()];
        for _ in 0..self.rng.random_range(0..4) {
            let known = self.table.columns.len().min(grouping.alike + 1);
            let column = &self.table.columns[self.rng.random_range(0..known)];
            let function = ["min", "max"][self.rng.random_range(0..2)];
            match self.rng.random_range(0..10) {
                0..5 if column.sql_type.has_ends() => {
                    all.push(format!("{function}({})", column.name));
                }
                5 | 6 => all.push(self.of_measure()),
                7 => all.push(self.of_key()),
                _ => all.push(self.count()),
            }
        }
        // No group without an aggregate is a count, but the index tells it, too.
        if self.rng.random_bool(0.03) {
            all.clear();
            all.push("1".to_owned());
        }
        all
    }

    /// An aggregate over a measure: of those that the index includes, mostly.
    fn of_measure(&mut self) -> String {
        let included = &self.table.included;
        let (name, sql_type) = MEASURES[self.rng.random_range(0..MEASURES.len())];
        if included.is_empty() && self.rng.random_bool(0.8) {
            return self.count();
        }
        if !included.contains(&name) && self.rng.random_bool(0.9) && !included.is_empty() {
            return self.of_measure();
        }
        self.applies &= included.contains(&name);
        let functions: &[&str] = match sql_type {
            "date" | "timestamptz" => &["min", "max", "count"],
            "text" => &["count"],
            _ => &["min", "max", "count", "sum", "sum", "avg", "avg"],
        };
        let function = functions[self.rng.random_range(0..functions.len())];
        // Sums of floats of several tables are not put together.
        let adds_floats = sql_type.starts_with("float") && ["sum", "avg"].contains(&function);
        self.applies &= !adds_floats || self.table.more != More::Partitions;
        format!("{function}({name})")
    }

    /// An aggregate over a column of the key, whichever place it has there.
    fn of_key(&mut self) -> String {
        let columns = &self.table.columns;
        let column = &columns[self.rng.random_range(0..columns.len())];
        let functions: &[&str] = match () {
            () if column.has_sums() => &["sum", "avg", "min", "max"],
            () if column.sql_type.has_ends() => &["min", "max"],
            () => &["count"],
        };
        let function = functions[self.rng.random_range(0..functions.len())];
        format!("{function}({})", column.name)
    }

    fn having(&mut self, grouping: &Grouping) -> String {
        if self.rng.random_bool(0.75) {
            return String::new();
        }
        let expr = &grouping.exprs[self.rng.random_range(0..grouping.exprs.len())];
        let column = self.table.columns.iter().find(|column| column.name == *expr);
        let some = self.rng.random_range(0..4);
        let condition = match (self.rng.random_range(0..5), column) {
            (0 | 1, _) => format!("count(*) > {some}"),
            (2, Some(column)) => self.condition(column),
            (3, _) => format!("count(*) <= {some} OR ({expr}) IS NULL"),
            (4, _) => format!("count({}) = count(*)", self.table.columns[0].name),
            // It becomes a condition on rows, which a scan may evaluate before the others.
            _ if self.table.may_fail => "count(*) > 0".to_owned(),
            _ => {
                self.applies = false;
                format!("({expr}) IS NOT NULL")
            }
        };
        format!(" HAVING {condition}")
    }

    fn conditions(&mut self, grouping: &Grouping) -> Vec<String> {
        let table = self.table;
        let mut found = Vec::new();
        if table.more == More::Predicate {
            found.push("p".to_owned());
        }
        for (number, column) in table.columns.iter().enumerate() {
            if grouping.fixed.contains(&number) {
                let value = column.any(self.rng);
                found.push(format!("{} = {}", column.name, self.operand(column, value)));
            } else if self.rng.random_bool(0.3) {
                found.push(self.condition(column));
            }
        }
        found
    }

    fn condition(&mut self, column: &Column) -> String {
        let name = &column.name;
        let (one, other) = (column.near(self.rng), column.near(self.rng));
        let (one, other) = (self.operand(column, one), self.operand(column, other));
        let [this, that] = [(); 2].map(|()| INEQUALITIES[self.rng.random_range(0..4)]);
        match self.rng.random_range(0..12) {
            0 => format!("{name} = {one}"),
            1..4 => format!("{name} {this} {one}"),
            4..7 => format!("{name} {this} {one} AND {name} {that} {other}"),
            7 => format!("{name} BETWEEN {one} AND {other}"),
            8 | 9 => {
                let some: Vec<_> =
                    (0..self.rng.random_range(1..12)).map(|_| column.any(self.rng)).collect();
                format!("{name} IN ({})", some.join(", "))
            }
            10 => format!("{name} IS NULL"),
            _ => format!("{name} IS NOT NULL"),
        }
    }

    /// A value, as a parameter if the statement has some.
    fn operand(&mut self, column: &Column, value: String) -> String {
        match &mut self.params {
            Some(params) if self.rng.random_bool(0.8) => {
                params.push((column.sql_type.name().to_owned(), value));
                format!("${}", params.len())
            }
            _ if self.rng.random_bool(0.03) => format!("(SELECT {value})"),
            _ => value,
        }
    }

    /// A statement with parameters, under a plan for any values, executed twice: the second time
    /// perhaps in another time zone.
    fn prepared(&mut self) -> Statement {
        self.params = Some(Vec::new());
        let text = self.select().ordered();
        let params = self.params.take().unwrap_or_default();
        let list = |parts: Vec<&str>| match parts.is_empty() {
            true => String::new(),
            false => format!("({})", parts.join(", ")),
        };
        let types = list(params.iter().map(|(sql_type, _)| sql_type.as_str()).collect());
        let values = list(params.iter().map(|(_, value)| value.as_str()).collect());
        let others = params
            .iter()
            .map(|(_, value)| if self.rng.random_bool(0.1) { "NULL" } else { value.as_str() });
        let others = list(others.collect());
        let prepare = format!("PREPARE s {types} AS {text}");
        let zone = ZONES[self.rng.random_range(0..ZONES.len())];
        let (to, back) = match self.rng.random_bool(0.5) {
            true => (
                format!("SET LOCAL TimeZone = '{zone}';"),
                format!("SET LOCAL TimeZone = '{}';", self.zone),
            ),
            false => (String::new(), String::new()),
        };
        let text =
            format!("{prepare}; EXECUTE s {values}; {to} EXECUTE s {others}; {back} DEALLOCATE s");
        let explain = self.explain();
        let explain = format!("{prepare}; {explain} EXECUTE s {values}; DEALLOCATE s");
        Statement { kind: "prepared", text, explain, applies: self.applies }
    }

    fn lateral(&mut self) -> Statement {
        let grouping = Grouping::random(self.table, self.rng);
        let columns = &self.table.columns;
        // A column of which the outer query asks for one value, or another.
        let number = match grouping.fixed.first() {
            Some(fixed) => *fixed,
            None => self.rng.random_range(0..columns.len()),
        };
        let column = &columns[number];
        let (name, of_type) = (&column.name, column.sql_type.name());
        let rows: Vec<_> = (0..self.rng.random_range(1..5))
            .map(|n| {
                let (low, high) = match self.rng.random_range(0..10) {
                    0 => (format!("NULL::{of_type}"), column.near(self.rng)),
                    _ => (column.near(self.rng), column.near(self.rng)),
                };
                format!("({n}, {low}, {high})")
            })
            .collect();
        let outer = match self.rng.random_range(0..4) {
            0 => format!("{name} = v.low"),
            1 => format!("{name} = ANY (ARRAY[v.low, v.high])"),
            2 => format!("{name} {} v.low", INEQUALITIES[self.rng.random_range(0..4)]),
            _ => format!("{name} BETWEEN least(v.low, v.high) AND greatest(v.low, v.high)"),
        };
        let query = self.select_by(&grouping, vec![outer]);
        let inner = match self.rng.random_bool(0.3) {
            true => format!("{} LIMIT {}", query.ordered(), self.rng.random_range(1..5)),
            false => query.text,
        };
        let text = format!(
            "SELECT n, x.* FROM (VALUES {}) v (n, low, high) \
             LEFT JOIN LATERAL ({inner}) x ON true {}",
            rows.join(", "),
            order_by(query.width + 1)
        );
        self.plain("lateral", text)
    }

    /// A cursor of which some rows are fetched, then the rest.
    fn cursor(&mut self) -> Statement {
        let query = self.select();
        let query = if self.rng.random_bool(0.3) { query.ordered() } else { query.text };
        let explain = format!("{} {query}", self.explain());
        let writes = match self.rng.random_bool(0.2) {
            true => self.table.own_writes(self.rng),
            false => String::new(),
        };
        let scroll = ["", "NO SCROLL ", "SCROLL "][self.rng.random_range(0..3)];
        let back = if scroll == "SCROLL " { "FETCH BACKWARD ALL FROM c;" } else { "" };
        let (some, more) = (self.rng.random_range(1..6), self.rng.random_range(1..40));
        let text = format!(
            "SAVEPOINT a; DECLARE c {scroll}CURSOR FOR {query}; FETCH {some} FROM c; {writes} \
             FETCH {more} FROM c; FETCH ALL FROM c; {back} CLOSE c; ROLLBACK TO a; RELEASE a"
        );
        Statement { kind: "cursor", text, explain, applies: self.applies }
    }

    /// A query around one by groups, or with more to it.
    fn around(&mut self) -> Statement {
        let query = self.select();
        let (text, width) = (&query.text, query.width);
        let some = self.rng.random_range(1..9);
        let text = match self.rng.random_range(0..8) {
            // Others may not come to the rows for which functions fail.
            2 | 6 if self.table.may_fail => query.ordered(),
            0 => format!("{} LIMIT {some}", query.ordered()),
            1 => format!("{} LIMIT {some} OFFSET 2", query.ordered()),
            2 => format!("SELECT count(*) FROM ({text} LIMIT {some}) x"),
            3 => format!("SELECT count(*), min(x::text), max(x::text) FROM ({text}) x"),
            4 => format!("SELECT DISTINCT x.* FROM ({text}) x {}", order_by(width)),
            5 => format!(
                "SELECT x.*, row_number() OVER (ORDER BY x::text) FROM ({text}) x {}",
                order_by(width)
            ),
            6 => format!("SELECT EXISTS ({text}), (SELECT x::text FROM ({text} LIMIT 0) x)"),
            _ => {
                let all: Vec<_> = (1..=width).rev().map(|n| format!("{n} DESC")).collect();
                format!("{text} ORDER BY {} LIMIT {some}", all.join(", "))
            }
        };
        self.plain("around", text)
    }

    /// Two queries by groups in one.
    fn two(&mut self) -> Statement {
        let (one, other) = (self.select(), self.select());
        let text = match self.rng.random_bool(0.5) {
            true => format!(
                "SELECT x::text FROM ({}) x UNION ALL SELECT x::text FROM ({}) x ORDER BY 1",
                one.text, other.text
            ),
            false => format!(
                "WITH a AS MATERIALIZED ({}), b AS NOT MATERIALIZED ({}) \
                 SELECT a::text, (SELECT count(*) FROM b) FROM a ORDER BY 1",
                one.text, other.text
            ),
        };
        self.plain("two", text)
    }

    /// A query of what the transaction itself has written.
    fn amid_writes(&mut self) -> Statement {
        let (writes, query) = (self.table.own_writes(self.rng), self.select().ordered());
        let explain = format!("{} {query}", self.explain());
        let text = format!("SAVEPOINT a; {writes} {query}; ROLLBACK TO a; RELEASE a");
        Statement { kind: "amid writes", text, explain, applies: self.applies }
    }

    /// What the node must leave alone, or has no need to know.
    fn beyond(&mut self) -> Statement {
        let mut grouping = Grouping::random(self.table, self.rng);
        let mut more = Vec::new();
        let column = &self.table.columns[0];
        match self.rng.random_range(0..7) {
            0 => more.push("note = 1".to_owned()),
            1 => more.push(format!("{} <> {}", column.name, column.any(self.rng))),
            2 => {
                let (one, other) = (column.any(self.rng), column.near(self.rng));
                more.push(format!("({} = {one} OR {0} > {other})", column.name));
            }
            3 if column.sql_type != SqlType::Uuid => {
                more.push(format!("{}::text LIKE '%1%'", column.name));
            }
            _ => grouping.exprs = beyond(self.table, self.rng),
        }
        let query = self.select_by(&grouping, more);
        self.applies = false;
        let sum = match self.rng.random_range(0..4) {
            0 => ", sum(id)",
            1 => ", count(DISTINCT note)",
            2 => ", count(*) FILTER (WHERE note = 1)",
            _ => "",
        };
        let width = query.width + usize::from(!sum.is_empty());
        let text = query.text.replacen(" FROM t", &format!("{sum} FROM t"), 1);
        self.plain("beyond", Query { text, width }.ordered())
    }
}

/// Columns of a query, with names.
fn named(shown: &[String]) -> Vec<String> {
    shown.iter().enumerate().map(|(number, one)| format!("{one} AS x{number}")).collect()
}

fn filter(conditions: &[String]) -> String {
    match conditions {
        [] => String::new(),
        all => format!(" WHERE {}", all.join(" AND ")),
    }
}
