//! Tables whose index begins with groups: columns of the key, and `id`, `note`, `v`, `p` besides.

use postgres::Client;
use rand::Rng;
use rand::rngs::StdRng;
use server_tests::{Script, access_method, learned_options, retrain_all};

/// A column of the key.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) sql_type: &'static str,
    /// Its order in the index.
    pub(super) order: &'static str,
    /// What rows have in it, as SQL spells it.
    pub(super) pool: Vec<String>,
}

/// What the table or its index has besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Nothing,
    Included,
    Predicate,
    Partitions,
    Children,
    Unique,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) more: More,
    next_id: i64,
}

/// What is done to a table between statements.
#[derive(Clone, Copy, Debug)]
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

const ROWS: i64 = 1_500;

fn column(name: &'static str, sql_type: &'static str, order: &'static str) -> Column {
    let numbers = |range: std::ops::Range<i64>| range.map(|n| n.to_string()).collect();
    let pool: Vec<String> = match (name, sql_type) {
        // What distinguishes all rows.
        ("id", _) => Vec::new(),
        (_, "bool") => vec!["false".into(), "true".into()],
        (_, "int2") => numbers(-2..2),
        (_, "int8") => ["-9223372036854775808", "-9223372036854775807", "-1", "0", "7"]
            .into_iter()
            .chain(["9223372036854775806", "9223372036854775807"])
            .map(|n| format!("'{n}'::int8"))
            .collect(),
        ("d", "int4") => {
            numbers(-8..12).into_iter().chain([i32::MIN, i32::MAX].map(|n| n.to_string())).collect()
        }
        (_, "int4") => numbers(0..150),
        (_, "float8") => ["0", "-0", "1.5", "-3", "NaN", "Infinity", "-Infinity", "1e-300"]
            .map(|x| format!("'{x}'::float8"))
            .into(),
        (_, "interval") => {
            ["30 days", "1 mon", "720:00", "0", "-1 mon", "1 year", "360 days", "1 us"]
                .map(|x| format!("'{x}'::interval"))
                .into()
        }
        (_, "numeric(10, 2)") => ["0", "-1.25", "1.25", "99999999.99", "NaN", "3"]
            .map(|x| format!("'{x}'::numeric(10, 2)"))
            .into(),
        (_, "uuid") => (0..9)
            .map(|n| format!("'0000000{}-0000-0000-0000-00000000000{n}'::uuid", n % 3))
            .chain(["'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid".to_owned()])
            .collect(),
        _ => (0..200)
            .map(|n| format!("('2025-01-01'::timestamptz + {n} * interval '17 min')"))
            .chain(["infinity", "-infinity"].map(|time| format!("'{time}'::timestamptz")))
            .collect(),
    };
    Column { name, sql_type, order, pool }
}

/// The tables to be tried.
pub(super) fn all() -> Vec<Table> {
    use More::{Children, Included, Nothing, Partitions, Predicate, Unique};
    let table = |columns: &[(&'static str, &'static str, &'static str)], more| Table {
        columns: columns.iter().map(|(name, kind, order)| column(name, kind, order)).collect(),
        more,
        next_id: 0,
    };
    vec![
        table(&[("d", "int4", ""), ("k", "timestamptz", "DESC"), ("id", "int4", "")], Nothing),
        table(&[("d", "int4", ""), ("k", "timestamptz", ""), ("id", "int4", "")], Nothing),
        table(
            &[
                ("d", "int8", "DESC NULLS LAST"),
                ("k", "int4", "NULLS FIRST"),
                ("id", "int4", "DESC"),
            ],
            Nothing,
        ),
        table(
            &[
                ("c", "int2", "NULLS FIRST"),
                ("d", "int4", ""),
                ("k", "timestamptz", "DESC"),
                ("id", "int4", ""),
            ],
            Nothing,
        ),
        table(&[("d", "float8", ""), ("k", "int4", "DESC"), ("id", "int4", "")], Nothing),
        table(&[("d", "interval", "DESC"), ("id", "int4", "")], Nothing),
        table(&[("d", "uuid", ""), ("id", "int4", "DESC")], Nothing),
        table(&[("d", "uuid", "NULLS FIRST")], Nothing),
        table(&[("d", "int4", "NULLS FIRST")], Nothing),
        table(&[("d", "int8", "")], Nothing),
        table(&[("d", "float8", "DESC")], Nothing),
        table(&[("d", "numeric(10, 2)", ""), ("k", "bool", "DESC"), ("id", "int4", "")], Nothing),
        table(&[("d", "int4", ""), ("k", "timestamptz", "DESC"), ("id", "int4", "")], Predicate),
        table(&[("d", "int4", ""), ("k", "timestamptz", "DESC")], Included),
        table(&[("d", "float8", ""), ("k", "int4", "")], Included),
        table(&[("d", "int4", "DESC"), ("id", "int4", "")], Unique),
        table(&[("d", "int4", ""), ("k", "timestamptz", "DESC"), ("id", "int4", "")], Partitions),
        table(&[("d", "int4", ""), ("k", "timestamptz", "DESC"), ("id", "int4", "")], Children),
    ]
}

impl Column {
    pub(super) fn any(&self, rng: &mut StdRng) -> String {
        match self.pool.is_empty() {
            true => rng.random_range(1..ROWS).to_string(),
            false => self.pool[rng.random_range(0..self.pool.len())].clone(),
        }
    }

    pub(super) fn is_descending(&self) -> bool {
        self.order.contains("DESC")
    }

    pub(super) fn has_nulls_first(&self) -> bool {
        self.order.contains("NULLS FIRST")
            || (self.is_descending() && !self.order.contains("NULLS LAST"))
    }

    /// The column such that equal values are spelled alike.
    pub(super) fn normal(&self) -> String {
        match self.sql_type {
            "float8" => format!("{} + 0.0", self.name),
            "interval" => format!("justify_interval({})", self.name),
            _ => self.name.to_owned(),
        }
    }
}

impl Table {
    /// Whether the key tells all rows apart, so that each group has a certain first row.
    pub(super) fn has_id(&self) -> bool {
        self.columns.iter().any(|column| column.name == "id")
    }

    /// Makes the table anew, with rows. Returns what made it.
    pub(super) fn create(&mut self, client: &mut Client, rng: &mut StdRng) -> String {
        let own: String = (self.columns.iter().filter(|column| column.name != "id"))
            .map(|column| format!("{} {}, ", column.name, column.sql_type))
            .collect();
        let all = format!("gone text, {own}id int4 NOT NULL, note int4, v float8, p bool");
        let other = format!("v float8, more int4, p bool, {own}note int4, id int4 NOT NULL");
        let table = match self.more {
            More::Partitions => format!(
                "CREATE TABLE t ({all}) PARTITION BY LIST (note);
                 ALTER TABLE t DROP COLUMN gone;
                 CREATE TABLE t_0 PARTITION OF t FOR VALUES IN (0);
                 CREATE TABLE t_1 ({other}); ALTER TABLE t_1 DROP COLUMN more;
                 ALTER TABLE t ATTACH PARTITION t_1 FOR VALUES IN (1);
                 CREATE TABLE t_2 PARTITION OF t DEFAULT PARTITION BY RANGE (id);
                 CREATE TABLE t_2a PARTITION OF t_2 FOR VALUES FROM (MINVALUE) TO (700);
                 CREATE TABLE t_2b PARTITION OF t_2 DEFAULT;"
            ),
            More::Children => format!(
                "CREATE TABLE t ({all}); ALTER TABLE t DROP COLUMN gone;
                 CREATE TABLE t_1 (more int4) INHERITS (t);
                 CREATE TABLE t_2 ({other}); ALTER TABLE t_2 DROP COLUMN more;
                 ALTER TABLE t_2 INHERIT t;"
            ),
            _ => format!("CREATE TABLE t ({all}) WITH (fillfactor = 70); ALTER TABLE t DROP gone;"),
        };
        let keys: Vec<_> = (self.columns.iter())
            .map(|column| format!("{} {}", column.name, column.order).trim().to_owned())
            .collect();
        let (keys, method) = (keys.join(", "), access_method());
        let options =
            learned_options(["fillfactor = 10", "fillfactor = 100"][rng.random_range(0..2)]);
        let indexes: String = match self.more {
            // One child has no such index.
            More::Children => ["t", "t_1"]
                .map(|table| format!("CREATE INDEX ON {table} USING {method} ({keys}){options};"))
                .concat(),
            More::Included => {
                format!("CREATE INDEX ON t USING {method} ({keys}) INCLUDE (id, v){options};")
            }
            More::Predicate => {
                format!("CREATE INDEX ON t USING {method} ({keys}){options} WHERE p;")
            }
            More::Unique => format!("CREATE UNIQUE INDEX ON t USING {method} ({keys}){options};"),
            _ => format!("CREATE INDEX ON t USING {method} ({keys}){options};"),
        };
        let create = format!("DROP TABLE IF EXISTS t CASCADE; {table} {indexes}");
        client.script(&create).unwrap_or_else(|error| panic!("{create}: {error:?}"));
        self.next_id = 0;
        self.insert(client, ROWS, rng);
        retrain_all(client);
        client.script("VACUUM ANALYZE t").unwrap();
        create
    }

    fn insert(&mut self, client: &mut Client, number: i64, rng: &mut StdRng) {
        let own: Vec<_> = self.columns.iter().filter(|column| column.name != "id").collect();
        let names: String = own.iter().map(|column| format!("{}, ", column.name)).collect();
        let mut rows: [Vec<String>; 3] = Default::default();
        for _ in 0..number {
            self.next_id += 1;
            let mut row = String::new();
            for column in &own {
                let value = if rng.random_bool(0.05) { "NULL".into() } else { column.any(rng) };
                row.push_str(&value);
                row.push_str(", ");
            }
            let note = ["NULL", "0", "1", "2"][rng.random_range(0..4)];
            let p = ["NULL", "true", "true", "true", "false"][rng.random_range(0..5)];
            let child = if self.more == More::Children { rng.random_range(0..3) } else { 0 };
            let v = rng.random_range(0..1000);
            rows[child].push(format!("({row}{}, {note}, {v}, {p})", self.next_id));
        }
        for (table, rows) in ["t", "t_1", "t_2"].into_iter().zip(rows) {
            for rows in rows.chunks(500) {
                let rows = rows.join(", ");
                let insert = format!("INSERT INTO {table} ({names}id, note, v, p) VALUES {rows}");
                client.script(&insert).unwrap_or_else(|error| panic!("{insert}: {error:?}"));
            }
        }
    }

    pub(super) fn change(&mut self, client: &mut Client, change: Change, rng: &mut StdRng) {
        let some = rng.random_range(0..40);
        let column = &self.columns[0];
        let statements = match change {
            Change::Vacuum => "VACUUM (INDEX_CLEANUP on) t".to_owned(),
            Change::Insert => {
                let rows = [4, 60, 400][rng.random_range(0..3)];
                return self.insert(client, rows, rng);
            }
            Change::InsertAndAbort => {
                client.script("BEGIN").unwrap();
                self.insert(client, 150, rng);
                "ROLLBACK".to_owned()
            }
            Change::Update => {
                let (first, value) = (rng.random_range(1..self.next_id), column.any(rng));
                format!(
                    "UPDATE t SET v = -v WHERE id BETWEEN {first} AND {first} + 60;
                     UPDATE t SET {} = {value} WHERE id % 40 = {some}",
                    column.name
                )
            }
            Change::DeleteMany => format!("DELETE FROM t WHERE id % 3 = {}", some % 3),
            Change::DeleteGroups => {
                let (name, one, other) = (column.name, column.any(rng), column.any(rng));
                format!("DELETE FROM t WHERE {name} IN ({one}, {other}) OR {name} IS NULL")
            }
            Change::DeleteAll => "DELETE FROM t".to_owned(),
            Change::Retrain => return retrain_all(client),
        };
        client.script(&statements).unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// Writes of a transaction that reads afterwards.
    pub(super) fn own_writes(&self, rng: &mut StdRng) -> String {
        let first = rng.random_range(1..=self.next_id.max(1));
        let (name, value) = (self.columns[0].name, self.columns[0].any(rng));
        format!(
            "DELETE FROM t WHERE id BETWEEN {first} AND {first} + 90 AND id % 3 = 0;
             UPDATE t SET {name} = {value} WHERE id BETWEEN {first} AND {first} + 90 AND id % 3 = 1"
        )
    }
}
