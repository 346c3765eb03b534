//! Tables with a key of one to three columns, beside which there are `id`, `note` and `p`.

use std::io::Write;

use postgres::Client;
use rand::Rng;
use rand::rngs::StdRng;
use server_tests::{Key, Script, SqlType, access_method, learned_options, retrain_all};

/// A column of the key.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) sql_type: SqlType,
    /// Whether its values grow with `id`.
    serial: bool,
    nulls: f64,
    /// How the index and queries spell the key: the column or an expression.
    pub(super) key: String,
}

/// What kind of table, and of index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Single(SqlType),
    Pair,
    Including,
    Three,
    Expression,
    Partial,
    Partitioned,
    Inherited,
}

use Shape::{Expression, Including, Inherited, Pair, Partial, Partitioned, Single, Three};

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) shape: Shape,
    pub(super) columns: Vec<Column>,
    pub(super) next_id: i64,
    /// Where rows are put.
    targets: Vec<&'static str>,
}

/// Values of a column that is not serial.
const SPAN: i64 = 400;

impl Column {
    fn new(number: usize, sql_type: SqlType, serial: bool, nulls: f64) -> Self {
        let name = format!("c{number}");
        Self { key: name.clone(), name, sql_type, serial, nulls }
    }

    /// A value by its number.
    fn value(&self, number: i64) -> Key {
        match self.sql_type {
            SqlType::Timestamptz => Key::Int(number * 6 * 3_600_000_000),
            SqlType::Date => Key::Int(number / 4),
            SqlType::Uuid => Key::Int(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)),
            sql_type => sql_type.wrap(number * 3),
        }
    }

    /// A value of the row with an `id`; `None` is NULL.
    fn of_row(&self, id: i64, rng: &mut StdRng) -> Option<Key> {
        if rng.random_bool(self.nulls) {
            return None;
        }
        let specials = self.sql_type.specials();
        Some(match rng.random_range(0..200) {
            0 => one_zero(specials[rng.random_range(0..specials.len())]),
            _ if self.serial => self.value(id / 2),
            _ => self.value(rng.random_range(0..SPAN)),
        })
    }

    /// A value for a condition: of a row, a neighbour of one, or an extreme.
    pub(super) fn constant(&self, ids: i64, rng: &mut StdRng) -> Key {
        let number = match self.serial {
            true => rng.random_range(-20..ids / 2 + 20),
            false => rng.random_range(-3..SPAN + 3),
        };
        let (value, specials) = (self.value(number), self.sql_type.specials());
        one_zero(match rng.random_range(0..16) {
            0 => specials[rng.random_range(0..specials.len())],
            1 | 2 => self.sql_type.neighbour(value, rng.random_range(-2..=2)),
            _ => value,
        })
    }

    /// A value that lies some others behind it, mostly.
    pub(super) fn behind(&self, key: Key, rng: &mut StdRng) -> Key {
        let numbers = [3, 30, 300, 3_000][rng.random_range(0..4)];
        match (key, self.value(rng.random_range(0..numbers))) {
            (Key::Int(key), Key::Int(more)) if self.sql_type != SqlType::Uuid => {
                self.sql_type.neighbour(Key::Int(key), more)
            }
            (Key::Float(key), Key::Float(more)) => Key::Float(key + more),
            _ => self.constant(2 * SPAN, rng),
        }
    }
}

/// Of the two zeros, which are equal, the one: an aggregate may return either.
fn one_zero(key: Key) -> Key {
    match key {
        Key::Float(number) => Key::Float(number + 0.0),
        Key::Int(_) => key,
    }
}

impl Table {
    /// One of the shape, with random columns and orders, and with its rows.
    pub(super) fn create(client: &mut Client, shape: Shape, rng: &mut StdRng) -> (Self, String) {
        let nulls = [0.0, 0.02, 0.2][rng.random_range(0..3)];
        let serial = rng.random_bool(0.7);
        let first = |sql_type| Column::new(0, sql_type, serial, nulls);
        let other = |number, sql_type| Column::new(number, sql_type, false, nulls);
        let columns = match shape {
            Single(sql_type) => vec![first(sql_type)],
            Pair => vec![Column::new(0, SqlType::Int4, false, nulls), {
                Column::new(1, SqlType::Timestamptz, true, nulls)
            }],
            Including => vec![first(SqlType::Int8), other(1, SqlType::Uuid)],
            Three => vec![
                other(0, SqlType::Date),
                other(1, SqlType::Int4),
                Column::new(2, SqlType::Float8, serial, nulls),
            ],
            Expression => {
                let mut column = first(SqlType::Int8);
                column.key = "(c0 / 2)".to_owned();
                vec![column]
            }
            Partial => vec![first(SqlType::Int8)],
            Partitioned | Inherited => vec![first(SqlType::Int8), other(1, SqlType::Date)],
        };
        let targets = match shape {
            Inherited => vec!["t", "t_a", "t_b", "t_c"],
            _ => vec!["t"],
        };
        let mut table = Self { shape, columns, next_id: 0, targets };
        let mut create = table.definition(rng);
        client.script(&create).unwrap_or_else(|error| panic!("{create}: {error:?}"));
        let indexes = table.indexes(rng);
        if rng.random_bool(0.5) {
            table.insert(client, 3_000, rng);
            client.script(&indexes).unwrap_or_else(|error| panic!("{indexes}: {error:?}"));
        } else {
            client.script(&indexes).unwrap_or_else(|error| panic!("{indexes}: {error:?}"));
            table.insert(client, 3_000, rng);
            retrain_all(client);
        }
        create.push_str(&indexes);
        client.script("VACUUM ANALYZE t").unwrap();
        (table, create)
    }

    /// The table that `concurrency::writers` writes.
    pub(super) fn of_writers() -> Self {
        let mut column = Column::new(0, SqlType::Int8, true, 0.0);
        (column.name, column.key) = ("k".to_owned(), "k".to_owned());
        let shape = Single(SqlType::Int8);
        Self { shape, columns: vec![column], next_id: 10_000, targets: vec!["t"] }
    }

    fn definition(&self, rng: &mut StdRng) -> String {
        let keys: Vec<_> = (self.columns.iter())
            .map(|column| format!("{} {}", column.name, column.sql_type.name()))
            .collect();
        let mut columns = vec!["gone text".to_owned()];
        columns.extend(keys.iter().cloned());
        columns.extend(["id int4 NOT NULL", "note int4", "p bool"].map(str::to_owned));
        let mut drop = "DROP TABLE IF EXISTS t CASCADE;".to_owned();
        let all = columns.join(", ");
        let fill = [100, 80, 50][rng.random_range(0..3)];
        if self.shape != Partitioned {
            drop.push_str(&format!(
                "CREATE TABLE t ({all}) WITH (fillfactor = {fill}); ALTER TABLE t DROP COLUMN gone;"
            ));
        }
        columns.reverse();
        let backwards = columns.join(", ");
        let others = match self.shape {
            Partitioned => format!(
                "CREATE TABLE t ({all}) PARTITION BY RANGE (c0); ALTER TABLE t DROP COLUMN gone;
                 CREATE TABLE t_a ({backwards}) WITH (fillfactor = {fill});
                 ALTER TABLE t_a DROP COLUMN gone;
                 ALTER TABLE t ATTACH PARTITION t_a FOR VALUES FROM (MINVALUE) TO (900);
                 CREATE TABLE t_b PARTITION OF t FOR VALUES FROM (900) TO (2400)
                     PARTITION BY HASH (id);
                 CREATE TABLE t_b0 PARTITION OF t_b FOR VALUES WITH (MODULUS 2, REMAINDER 0);
                 CREATE TABLE t_b1 (more int8, {backwards});
                 ALTER TABLE t_b1 DROP COLUMN more; ALTER TABLE t_b1 DROP COLUMN gone;
                 ALTER TABLE t_b ATTACH PARTITION t_b1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
                 CREATE TABLE t_none PARTITION OF t FOR VALUES FROM (1000000) TO (1000001);
                 CREATE TABLE t_rest PARTITION OF t DEFAULT;"
            ),
            Inherited => format!(
                "CREATE TABLE t_a (more int4) INHERITS (t);
                 CREATE TABLE t_b ({backwards}); ALTER TABLE t_b INHERIT t;
                 CREATE TABLE t_c (much int4) INHERITS (t_a);"
            ),
            _ => String::new(),
        };
        drop + &others
    }

    fn indexes(&self, rng: &mut StdRng) -> String {
        let tables: &[&str] = match self.shape {
            Partitioned if rng.random_bool(0.5) => &["t"],
            Partitioned => &["t_a", "t_b0", "t_b1", "t_none", "t_rest"],
            _ => &self.targets,
        };
        // Of one table the core counts the rows.
        let other = match self.shape {
            Partitioned | Inherited if rng.random_bool(0.5) => rng.random_range(0..tables.len()),
            _ => tables.len(),
        };
        let tables = tables.iter().enumerate().map(|(number, table)| {
            let mut keys: Vec<_> = (self.columns.iter())
                .map(|column| {
                    let orders = ["", " DESC", " NULLS FIRST", " DESC NULLS LAST"];
                    format!("{}{}", column.key, orders[rng.random_range(0..4)])
                })
                .collect();
            let fill = [10, 30, 100][rng.random_range(0..3)];
            let (method, options) = match number == other && tables.len() > 1 {
                true => ("btree".to_owned(), String::new()),
                false => (access_method(), learned_options(&format!("fillfactor = {fill}"))),
            };
            let included = if self.shape == Including { " INCLUDE (note)" } else { "" };
            let partial = if self.shape == Partial { " WHERE p" } else { "" };
            let create = format!("CREATE INDEX ON {table} USING {method}");
            let index = |keys: &[String]| {
                format!("{create} ({}){included}{options}{partial};", keys.join(", "))
            };
            let mut all = index(&keys);
            if keys.len() > 1 && rng.random_bool(0.4) {
                // Another one, which suits other conditions.
                keys.reverse();
                all.push_str(&index(&keys));
            }
            all
        });
        tables.collect()
    }

    fn insert(&mut self, client: &mut Client, rows: i64, rng: &mut StdRng) {
        let names: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let names = names.join(", ");
        for target in &self.targets {
            let copy = format!("COPY {target} ({names}, id, note, p) FROM STDIN");
            let mut copy = client.copy_in(&copy).unwrap();
            for _ in 0..rows / self.targets.len() as i64 {
                self.next_id += 1;
                for column in &self.columns {
                    let value = column.of_row(self.next_id, rng);
                    let value = value.map(|value| column.sql_type.text(value));
                    write!(copy, "{}\t", value.as_deref().unwrap_or("\\N")).unwrap();
                }
                let note = ["\\N", "0", "1"][rng.random_range(0..3)];
                let p = ["\\N", "t", "t", "t", "f"][rng.random_range(0..5)];
                writeln!(copy, "{}\t{note}\t{p}", self.next_id).unwrap();
            }
            copy.finish().unwrap();
        }
    }

    /// Writes some rows, and perhaps merges and vacuums.
    pub(super) fn change(&mut self, client: &mut Client, rng: &mut StdRng) {
        for _ in 0..rng.random_range(1..4) {
            self.write(client, rng);
        }
        let vacuum = ["", "(INDEX_CLEANUP on)", "(INDEX_CLEANUP off)", "(FREEZE)", "(ANALYZE)"];
        match rng.random_range(0..8) {
            0 | 1 => retrain_all(client),
            2..6 => {
                let vacuum = vacuum[rng.random_range(0..vacuum.len())];
                client.script(&format!("VACUUM {vacuum} t")).unwrap();
                if rng.random_bool(0.5) {
                    self.write(client, rng);
                }
            }
            6 => {
                client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
                retrain_all(client);
            }
            _ => {}
        }
    }

    fn write(&mut self, client: &mut Client, rng: &mut StdRng) {
        let some = rng.random_range(0..40);
        let statement = match rng.random_range(0..9) {
            0 | 1 => {
                let rows = [4, 60, 400][rng.random_range(0..3)];
                return self.insert(client, rows, rng);
            }
            2 => format!("DELETE FROM t WHERE id % 40 = {some}"),
            3 => {
                let first = rng.random_range(0..self.next_id);
                let last = first + rng.random_range(1..100);
                format!("DELETE FROM t WHERE id BETWEEN {first} AND {last}")
            }
            // Heap-only, where the page has room and no index has the column.
            4 | 5 => {
                let first = rng.random_range(0..self.next_id);
                format!("UPDATE t SET note = note + 1 WHERE id BETWEEN {first} AND {first} + 30")
            }
            6 => self.update_key(&format!("id % 80 = {some}"), rng),
            7 => {
                let update = self.update_key(&format!("id % 80 = {some}"), rng);
                format!("BEGIN; {update}; DELETE FROM t WHERE id % 40 = {some}; ROLLBACK")
            }
            _ => format!("UPDATE t SET p = NOT p WHERE id % 80 = {some}"),
        };
        client.script(&statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }

    /// An update of a column of the key.
    fn update_key(&self, rows: &str, rng: &mut StdRng) -> String {
        let column = &self.columns[rng.random_range(0..self.columns.len())];
        let value = match rng.random_range(0..8) {
            0 => "NULL".to_owned(),
            _ => column.sql_type.literal(column.constant(self.next_id, rng)),
        };
        format!("UPDATE t SET {} = {value} WHERE {rows}", column.name)
    }
}
