//! Tables with a key of one to three columns, `c0` and so on, beside which there are `id`, `note`,
//! `p`, and columns to be added up.

use std::io::Write;

use postgres::Client;
use rand::Rng;
use rand::rngs::StdRng;
use server_tests::{Key, Script, SqlType, access_method, learned_options, retrain_all};

use super::values::{Spread, pool};

/// A column of the key.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) sql_type: SqlType,
    /// Its order in the index.
    pub(super) order: &'static str,
    /// What rows have in it.
    pub(super) pool: Vec<Key>,
}

/// What the index has besides its key, or the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Nothing,
    Included,
    Predicate,
    Partitions,
    Unique,
}

/// What kind of table, and of index: types, orders and values of the key's columns.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) keys: Vec<(SqlType, &'static str, Spread)>,
    pub(super) more: More,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) more: More,
    pub(super) next_id: i64,
    /// Whether functions may fail for its values.
    pub(super) may_fail: bool,
    nulls: f64,
    /// The measures that the index includes.
    pub(super) included: Vec<&'static str>,
}

/// What is done to a table between statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Vacuum,
    Insert,
    InsertAndAbort,
    Update,
    DeleteMany,
    DeleteGroups,
    DeleteAll,
    Retrain,
}

const ROWS: i64 = 1_300;

/// Columns whose sums do not depend on the order of the rows: name, and type.
pub(super) const MEASURES: [(&str, &str); 9] = [
    ("m2", "int2"),
    ("m4", "int4"),
    ("m8", "int8"),
    ("f4", "float4"),
    ("f8", "float8"),
    ("md", "date"),
    ("mt", "timestamptz"),
    ("mn", "numeric(9,2)"),
    ("mx", "text"),
];

/// A value of a measure, as COPY reads it.
fn measure(sql_type: &str, rng: &mut StdRng) -> String {
    if rng.random_bool(0.1) {
        return "\\N".to_owned();
    }
    let is_special = rng.random_bool(0.004);
    let special = rng.random_range(0..3);
    match sql_type {
        "int2" => rng.random::<i16>().to_string(),
        "int4" => rng.random::<i32>().to_string(),
        "int8" => (rng.random::<i64>() >> rng.random_range(0..40)).to_string(),
        "date" => format!("{}-05-{}", rng.random_range(1900..2100), rng.random_range(10..30)),
        "timestamptz" if is_special => ["infinity", "-infinity", "epoch"][special].to_owned(),
        "timestamptz" => format!("{}-05-17 12:00:00.5", rng.random_range(1900..2100)),
        "numeric(9,2)" if is_special => "NaN".to_owned(),
        "numeric(9,2)" => format!("{}.{}", rng.random::<i32>() >> 8, rng.random_range(0..100)),
        "text" => "long".repeat(rng.random_range(0..20)),
        _ if is_special => ["NaN", "Infinity", "-Infinity"][special].to_owned(),
        // Multiples of a power of two that are exact in a float4, and so are their sums.
        _ => (f64::from(rng.random_range(-200..=200)) / 4.0 + 0.0).to_string(),
    }
}

impl Table {
    pub(super) fn create(client: &mut Client, shape: &Shape, rng: &mut StdRng) -> (Self, String) {
        let nulls = [0.0, 0.02, 0.2][rng.random_range(0..3)];
        let keys = shape.keys.iter().enumerate();
        let columns = keys.map(|(number, (sql_type, order, spread))| Column {
            name: format!("c{number}"),
            sql_type: *sql_type,
            order,
            pool: pool(*sql_type, spread, rng),
        });
        let is_far = |(sql_type, _, spread): &(SqlType, _, _)| {
            matches!(spread, Spread::Far)
                && matches!(sql_type, SqlType::Timestamp | SqlType::Timestamptz)
        };
        let may_fail = shape.keys.iter().any(is_far);
        let columns: Vec<_> = columns.collect();
        let mut included: Vec<_> = MEASURES.iter().map(|(name, _)| *name).collect();
        let count = match shape.more {
            More::Included => 3,
            More::Partitions if rng.random_bool(0.7) => 3,
            _ => 0,
        };
        while included.len() > count {
            included.remove(rng.random_range(0..included.len()));
        }
        let more = shape.more;
        let mut table = Self { columns, more, next_id: 0, may_fail, nulls, included };
        let create = table.definition(rng);
        client.script(&create).unwrap_or_else(|error| panic!("{create}: {error:?}"));
        table.insert(client, ROWS, rng);
        if rng.random_bool(0.3) {
            client.script("REINDEX TABLE t").unwrap();
        } else {
            retrain_all(client);
        }
        client.script("VACUUM ANALYZE t").unwrap();
        (table, create)
    }

    fn definition(&self, rng: &mut StdRng) -> String {
        let columns: Vec<_> = (self.columns.iter())
            .map(|column| format!("{} {}", column.name, column.sql_type.name()))
            .collect();
        let columns = columns.join(", ");
        let measures = MEASURES.map(|(name, sql_type)| format!("{name} {sql_type}")).join(", ");
        let all = format!("gone text, {columns}, id int4 NOT NULL, note int4, p bool, {measures}");
        let fill = [100, 60][rng.random_range(0..2)];
        let table = match self.more {
            More::Partitions => self.partitions(&all, &format!("{columns}, {measures}"), rng),
            _ => format!("CREATE TABLE t ({all}) WITH (fillfactor = {fill});"),
        };
        let keys: Vec<_> = (self.columns.iter())
            .map(|column| format!("{} {}", column.name, column.order).trim().to_owned())
            .collect();
        let unique = if self.more == More::Unique { "UNIQUE " } else { "" };
        let included = match self.included.is_empty() {
            true => String::new(),
            false => format!(" INCLUDE (note, {})", self.included.join(", ")),
        };
        let predicate = if self.more == More::Predicate { " WHERE p" } else { "" };
        let options = learned_options(["fillfactor = 10", "fillfactor = 100"][fill / 100]);
        let (method, all) = (access_method(), keys.join(", "));
        // Of money, which cannot be hashed, the core puts no groups of its own beside the node's.
        let is_hashed = self.columns.iter().all(|column| column.sql_type != SqlType::Money);
        let indexes = match self.more {
            More::Partitions if is_hashed && rng.random_bool(0.5) => {
                self.unlike_indexes(keys, &format!("{included}{options}"), rng)
            }
            _ => format!(
                "CREATE {unique}INDEX ON t USING {method} ({all}){included}{options}{predicate};"
            ),
        };
        format!("DROP TABLE IF EXISTS t; {table} ALTER TABLE t DROP COLUMN gone; {indexes}")
    }

    /// A table of partitions, some of them in partitions of a partition, with columns at other
    /// places; one has no rows.
    fn partitions(&self, all: &str, columns: &str, rng: &mut StdRng) -> String {
        let Column { name, sql_type, .. } = &self.columns[0];
        let pool = &self.columns[0].pool;
        let bound = sql_type.literal(pool[rng.random_range(1..pool.len())]);
        format!(
            "CREATE TABLE t ({all}) PARTITION BY RANGE ({name});
             CREATE TABLE t_0 PARTITION OF t FOR VALUES FROM (MINVALUE) TO ({bound});
             CREATE TABLE t_1 PARTITION OF t DEFAULT PARTITION BY LIST (note);
             CREATE TABLE t_1a PARTITION OF t_1 FOR VALUES IN (0);
             CREATE TABLE t_1b
                 (p bool, note int4, more text, id int4 NOT NULL, gone text, {columns});
             ALTER TABLE t_1b DROP COLUMN more;
             ALTER TABLE t_1 ATTACH PARTITION t_1b DEFAULT;
             CREATE TABLE t_1c PARTITION OF t_1 FOR VALUES IN (1);
             CREATE TABLE t_none PARTITION OF t_1 FOR VALUES IN (1000);"
        )
    }

    /// An index on each partition, which are not alike: of one of them the core may have to count
    /// the rows, or of none.
    fn unlike_indexes(&self, mut keys: Vec<String>, options: &str, rng: &mut StdRng) -> String {
        let mut all = String::new();
        let other = rng.random_range(0..6);
        for (number, partition) in ["t_0", "t_1a", "t_1b", "t_1c"].into_iter().enumerate() {
            let (own, method) = (keys.join(", "), access_method());
            all.push_str(&match number == other {
                true if rng.random_bool(0.5) => String::new(),
                true => format!("CREATE INDEX ON {partition} ({own});"),
                false => format!("CREATE INDEX ON {partition} USING {method} ({own}){options};"),
            });
            let order = ["DESC", "NULLS FIRST"][number % 2];
            if let (Some(last), Some(column)) = (keys.last_mut(), self.columns.last()) {
                *last = format!("{} {order}", column.name);
            }
        }
        all
    }

    /// A value of a row: in a unique index each `id` has its own in the last column.
    fn value(&self, number: usize, rng: &mut StdRng) -> Option<Key> {
        if rng.random_bool(self.nulls) {
            return None;
        }
        let pool = &self.columns[number].pool;
        if self.more == More::Unique && number + 1 == self.columns.len() {
            return match self.columns[number].sql_type {
                SqlType::Timestamp | SqlType::Timestamptz => {
                    Some(Key::Int((self.next_id - 600) * 1_234_567_890))
                }
                _ => Some(Key::Int(self.next_id - 600)),
            };
        }
        Some(pool[rng.random_range(0..pool.len())])
    }

    /// Rows as COPY reads them.
    fn rows(&mut self, number: i64, rng: &mut StdRng) -> String {
        let mut rows = String::new();
        for _ in 0..number {
            self.next_id += 1;
            for column in 0..self.columns.len() {
                let sql_type = self.columns[column].sql_type;
                let value = self.value(column, rng).map(|value| sql_type.text(value));
                rows.push_str(value.as_deref().unwrap_or("\\N"));
                rows.push('\t');
            }
            let note = ["\\N", "0", "1"][rng.random_range(0..3)];
            let p = ["\\N", "t", "t", "t", "f"][rng.random_range(0..5)];
            rows.push_str(&format!("{}\t{note}\t{p}", self.next_id));
            for (_, sql_type) in MEASURES {
                rows.push('\t');
                rows.push_str(&measure(sql_type, rng));
            }
            rows.push('\n');
        }
        rows
    }

    fn insert(&mut self, client: &mut Client, number: i64, rng: &mut StdRng) {
        let rows = self.rows(number, rng);
        let copy = format!("COPY t ({}) FROM STDIN", self.names());
        let mut copy = client.copy_in(&copy).unwrap();
        copy.write_all(rows.as_bytes()).unwrap();
        copy.finish().unwrap();
    }

    /// All columns, with commas.
    fn names(&self) -> String {
        let names = self.columns.iter().map(|column| column.name.as_str());
        let measures = MEASURES.iter().map(|(name, _)| *name);
        names.chain(["id", "note", "p"]).chain(measures).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn change(&mut self, client: &mut Client, change: Change, rng: &mut StdRng) {
        let some = rng.random_range(0..40);
        let statements = match change {
            Change::Vacuum => "VACUUM (INDEX_CLEANUP on) t".to_owned(),
            Change::Insert => {
                let rows = [4, 60, 300][rng.random_range(0..3)];
                return self.insert(client, rows, rng);
            }
            Change::InsertAndAbort => {
                client.script("BEGIN").unwrap();
                self.insert(client, 150, rng);
                "ROLLBACK".to_owned()
            }
            Change::Update => {
                let first = rng.random_range(1..self.next_id);
                let last = first + 60;
                let key = match self.more {
                    More::Unique => "DELETE FROM t WHERE id % 97 = 3".to_owned(),
                    _ => {
                        let column = &self.columns[rng.random_range(0..self.columns.len())];
                        let value = column.any(rng);
                        format!("UPDATE t SET {} = {value} WHERE id % 40 = {some}", column.name)
                    }
                };
                format!("UPDATE t SET note = 7 WHERE id BETWEEN {first} AND {last}; {key}")
            }
            Change::DeleteMany => format!("DELETE FROM t WHERE id % 3 = {}", some % 3),
            Change::DeleteGroups => {
                let column = &self.columns[rng.random_range(0..self.columns.len())];
                let (one, other) = (column.any(rng), column.any(rng));
                let (name, third) = (&column.name, column.any(rng));
                format!(
                    "DELETE FROM t WHERE ({name} BETWEEN {one} AND {other} AND id % 100 > 5)
                         OR {name} = {third}"
                )
            }
            Change::DeleteAll => "DELETE FROM t".to_owned(),
            Change::Retrain => return retrain_all(client),
        };
        client.script(&statements).unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// Writes of a transaction that reads afterwards.
    pub(super) fn own_writes(&self, rng: &mut StdRng) -> String {
        let first = rng.random_range(1..=self.next_id);
        let rows = format!("BETWEEN {first} AND {first} + 29");
        let names = self.names();
        let insert = match self.more {
            More::Unique => String::new(),
            _ => format!("INSERT INTO t ({names}) SELECT {names} FROM t WHERE id {rows};"),
        };
        format!(
            "DELETE FROM t WHERE id {rows} AND id % 3 = 0; {insert}
             UPDATE t SET note = 5 WHERE id {rows} AND id % 3 = 1;"
        )
    }
}

impl Column {
    /// A value of a row, as SQL spells it.
    pub(super) fn any(&self, rng: &mut StdRng) -> String {
        self.sql_type.literal(self.pool[rng.random_range(0..self.pool.len())])
    }

    /// One of a row, or next to it.
    pub(super) fn near(&self, rng: &mut StdRng) -> String {
        let key = self.pool[rng.random_range(0..self.pool.len())];
        let steps = [0, 0, 0, 1, -1, 60_000_000][rng.random_range(0..6)];
        self.sql_type.literal(self.sql_type.neighbour(key, steps))
    }

    pub(super) fn is_time(&self) -> bool {
        matches!(self.sql_type, SqlType::Timestamp | SqlType::Timestamptz)
    }

    pub(super) fn is_integer(&self) -> bool {
        matches!(self.sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8)
    }

    pub(super) fn has_sums(&self) -> bool {
        self.is_integer() || self.sql_type == SqlType::Numeric
    }

    pub(super) fn is_descending(&self) -> bool {
        self.order.contains("DESC")
    }
}
