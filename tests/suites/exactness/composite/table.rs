//! Tables of one to four key columns, their indexes, which may include others, and what is done to
//! both.

use std::io::Write;

use postgres::Client;
use postgres::error::SqlState;
use rand::Rng;
use rand::rngs::StdRng;
use server_tests::{Key, Script, SqlType, access_method, is_learned, retrain};

/// The words that an index's key may have.
const MOST_WORDS: usize = 8;

/// One column of a table, and of the key.
#[derive(Debug)]
pub(super) struct KeyPart {
    pub(super) sql_type: SqlType,
    /// The column's values.
    pub(super) pool: Vec<Key>,
    nulls: f64,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
    /// How the index and queries spell the key: a column or an expression.
    pub(super) key: String,
}

/// Types of included columns: how many words they take at least and whether they are wide, and a
/// value for each id. Some are too long for an index.
const INCLUDED: [(&str, usize, bool, &str); 22] = [
    ("int2", 1, false, "(id % 50 - 25)::int2"),
    ("int4", 1, false, "id * 70001 - 3"),
    ("int8", 1, true, "id * 5000000000"),
    ("bool", 1, false, "id % 3 = 0"),
    ("\"char\"", 1, false, "(id % 256 - 128)::int4::\"char\""),
    ("float4", 1, false, "((id % 97) / 7.0 - 5)::float4"),
    ("float8", 1, true, "sqrt(id) * (id % 3 - 1)"),
    ("interval", 2, true, "make_interval(0, id % 40 - 20, 0, id % 7, 0, 0, id)"),
    ("uuid", 2, true, "md5(id::text)::uuid"),
    ("macaddr", 1, false, "lpad(to_hex(id * 65537::int8), 12, '0')::macaddr"),
    ("macaddr8", 1, true, "lpad(to_hex(id * 65537::int8), 16, '0')::macaddr8"),
    ("timetz", 2, true, "timetz '12:00+01' + make_interval(secs => id)"),
    ("point", 2, true, "point(id, -id)"),
    ("text", 1, false, "left(repeat(md5(id::text), 1 + id % 40), id * 7 % (id % 9 * 9 + 1))"),
    ("text", 1, false, "repeat(chr(48 + id % 5000), id * id % 2000)"),
    ("text COLLATE \"C\"", 1, false, "left(md5((id / 5)::text), 6)"),
    ("varchar(20)", 1, false, "left(md5(id::text), id % 21)"),
    ("char(12)", 1, false, "(id % 7)::text"),
    ("bytea", 1, false, "decode(left(md5(id::text), id % 16 * 2) || '0000', 'hex')"),
    ("numeric", 1, false, "(id - 300)::numeric * 12345678901234567 / (1 + id % 9)"),
    ("name", 1, false, "repeat(md5(id::text), 1 + id % 3)::name"),
    ("int4[]", 1, false, "CASE WHEN id % 2 = 0 THEN array[id, NULL, -id] ELSE array[id] END"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unique {
    No,
    NullsDistinct,
    NullsNotDistinct,
}

/// A table `t (id int4, p bool, c0, ..., e0, ...)` with the index `t_k`.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) parts: Vec<KeyPart>,
    pub(super) partial: bool,
    pub(super) rows: usize,
    unique: Unique,
    /// What the index includes besides `id`: types, as indexes of [`INCLUDED`], of columns of which
    /// every so many-th row has NULL. `None` if it includes nothing.
    included: Option<Vec<(usize, i32)>>,
    next_id: usize,
}

impl KeyPart {
    fn random(column: usize, last: bool, rng: &mut StdRng) -> Self {
        let sql_type = SqlType::ALL[rng.random_range(0..SqlType::ALL.len())];
        let few = if last { [5, 100, 2000, 30_000] } else { [1, 2, 5, 300] };
        let size = few[rng.random_range(0..few.len())];
        let (start, step) = (rng.random_range(-1000..1_000_000i64), rng.random_range(1..9i64));
        let step = if rng.random_bool(0.3) { step * 40_000_000_000 } else { step };
        let specials = sql_type.specials();
        let special = if rng.random_bool(0.5) { 0.3 } else { 0.0 };
        let clocks_change = rng.random_bool(0.5);
        let value = |number: i64| match rng.random_bool(special) {
            true => specials[rng.random_range(0..specials.len())],
            false if clocks_change => changing_clocks(sql_type, number, start),
            false => sql_type.wrap(start.wrapping_add(number * step)),
        };
        let pool = (0..size).map(value).collect();
        let descending = rng.random_bool(0.4);
        let key = match rng.random_range(0..12) {
            0 => format!("coalesce(c{column}, {})", sql_type.literal(sql_type.wrap(start))),
            1 => format!("nullif(c{column}, {})", sql_type.literal(sql_type.wrap(start))),
            _ => format!("c{column}"),
        };
        let nulls_first = if rng.random_bool(0.5) { descending } else { rng.random_bool(0.5) };
        let nulls = [0.0, 0.0, 0.1, 0.5, 0.95][rng.random_range(0..5)];
        Self { sql_type, pool, nulls, descending, nulls_first, key }
    }

    /// How many words the column takes in a key of several columns.
    fn words(&self) -> usize {
        match self.sql_type {
            SqlType::Uuid => 3,
            SqlType::Int8
            | SqlType::Money
            | SqlType::Macaddr8
            | SqlType::PgLsn
            | SqlType::Xid8
            | SqlType::Inet => 2,
            _ => 1,
        }
    }

    /// A value of the column; `None` is NULL.
    fn value(&self, rng: &mut StdRng) -> Option<Key> {
        let value = self.pool[rng.random_range(0..self.pool.len())];
        (!rng.random_bool(self.nulls)).then_some(value)
    }

    /// The key as a column of the index, or backwards.
    pub(super) fn ordered(&self, backwards: bool) -> String {
        let direction = if self.descending == backwards { "ASC" } else { "DESC" };
        let nulls = if self.nulls_first == backwards { "LAST" } else { "FIRST" };
        format!("{} {direction} NULLS {nulls}", self.key)
    }
}

impl Table {
    /// One whose key is not too wide.
    pub(super) fn random(rng: &mut StdRng) -> Self {
        let columns = [1, 2, 2, 2, 3, 3, 4][rng.random_range(0..7)];
        let (parts, included) = loop {
            let parts: Vec<_> = (0..columns)
                .map(|column| KeyPart::random(column, column + 1 == columns, rng))
                .collect();
            let any = |rng: &mut StdRng| {
                (rng.random_range(0..INCLUDED.len()), [1, 2, 9, i32::MAX][rng.random_range(0..4)])
            };
            let included = rng.random_bool(0.4).then(|| {
                let count = rng.random_range(0..4);
                (0..count).map(|_| any(rng)).collect::<Vec<_>>()
            });
            // One is of `id`.
            let words_of = |included: &Vec<(usize, i32)>| {
                let types = included.iter().map(|(number, _)| INCLUDED[*number]);
                let nulls = types.clone().any(|(_, _, wide, _)| wide);
                1 + types.map(|(_, words, ..)| words).sum::<usize>() + usize::from(nulls)
            };
            let beside = included.as_ref().map_or(0, words_of);
            if parts.iter().map(KeyPart::words).sum::<usize>() + beside <= MOST_WORDS {
                break (parts, included);
            }
        };
        let rows = match rng.random_range(0..10) {
            0 => 20_000,
            1 => rng.random_range(0..3),
            _ => rng.random_range(300..2_000),
        };
        let unique = match rng.random_range(0..6) {
            0 => Unique::NullsDistinct,
            1 => Unique::NullsNotDistinct,
            _ => Unique::No,
        };
        Self { parts, partial: rng.random_bool(0.15), rows, unique, included, next_id: 0 }
    }

    /// `id`, and the columns that the index includes besides it.
    pub(super) fn beside_keys(&self) -> String {
        let included = self.included.iter().flatten().enumerate();
        "id".to_owned() + &included.map(|(number, _)| format!(", e{number}")).collect::<String>()
    }

    fn columns(&self) -> String {
        let column =
            |(number, part): (usize, &KeyPart)| format!(", c{number} {}", part.sql_type.name());
        self.parts.iter().enumerate().map(column).collect()
    }

    /// The key's columns as queries spell them.
    pub(super) fn keys(&self) -> Vec<&str> {
        self.parts.iter().map(|part| part.key.as_str()).collect()
    }

    pub(super) fn order(&self, columns: usize, backwards: bool) -> String {
        let ordered: Vec<_> =
            self.parts[..columns].iter().map(|part| part.ordered(backwards)).collect();
        ordered.join(", ")
    }

    /// Makes the table, with rows in random order or in that of the index.
    pub(super) fn create(&mut self, client: &mut Client, rng: &mut StdRng) {
        client
            .script(&format!(
                "DROP TABLE IF EXISTS t, o, loaded; CREATE TABLE loaded (id int4, p bool{})",
                self.columns()
            ))
            .unwrap();
        let mut copy = client.copy_in("COPY loaded FROM STDIN (NULL '')").unwrap();
        for _ in 0..self.rows {
            let row = self.row(rng, |_, key| key.unwrap_or_default());
            writeln!(copy, "{}", row.join("\t").replace('\\', "\\\\")).unwrap();
        }
        copy.finish().unwrap();
        let order = match rng.random_range(0..3) {
            0 => format!(" ORDER BY {}", self.order(self.parts.len(), false)),
            1 => format!(" ORDER BY {}", self.order(self.parts.len(), true)),
            _ => String::new(),
        };
        client.script(&format!("CREATE TABLE t AS SELECT * FROM loaded{order}")).unwrap();
        for (number, (kind, nth)) in self.included.iter().flatten().enumerate() {
            let (sql_type, _, _, value) = INCLUDED[*kind];
            client
                .script(&format!(
                    "ALTER TABLE t ADD e{number} {sql_type} GENERATED ALWAYS AS \
                     (CASE WHEN id % {nth} <> 0 THEN {value} END) STORED"
                ))
                .unwrap();
        }
        client.script("ANALYZE t").unwrap();
    }

    /// A new row: its id, `p` and keys, spelled as told.
    fn row(
        &mut self,
        rng: &mut StdRng,
        spell: impl Fn(SqlType, Option<String>) -> String,
    ) -> Vec<String> {
        self.next_id += 1;
        let p = if rng.random_bool(0.7) { "t" } else { "f" };
        let mut row = vec![self.next_id.to_string(), p.to_owned()];
        row.extend(self.parts.iter().map(|part| {
            let text = part.value(rng).map(|key| part.sql_type.text(key));
            spell(part.sql_type, text)
        }));
        row
    }

    /// A new row as SQL.
    fn values(&mut self, rng: &mut StdRng) -> String {
        let literal = |sql_type: SqlType, text: Option<String>| match text {
            Some(text) => format!("'{text}'::{}", sql_type.name()),
            None => "NULL".to_owned(),
        };
        let mut row = self.row(rng, literal);
        row[1] = format!("'{}'", row[1]);
        format!("({})", row.join(", "))
    }

    fn create_index(&self, table: &str, access_method: &str, options: &str) -> String {
        let unique = if self.unique == Unique::No { "" } else { "UNIQUE " };
        let nulls =
            if self.unique == Unique::NullsNotDistinct { " NULLS NOT DISTINCT" } else { "" };
        let ordered = |part: &KeyPart| {
            let spelled = part.ordered(false);
            spelled.replacen(&part.key, &format!("({})", part.key), 1)
        };
        let columns: Vec<_> = self.parts.iter().map(ordered).collect();
        let predicate = if self.partial { " WHERE p" } else { "" };
        let include = match self.included {
            Some(_) => format!(" INCLUDE ({})", self.beside_keys()),
            None => String::new(),
        };
        format!(
            "CREATE {unique}INDEX {table}_k ON {table} USING {access_method} \
             ({}){include}{nulls}{options}{predicate}",
            columns.join(", ")
        )
    }

    /// Creates the index; where it is unique, like a B-tree of a twin table, which refuses the same
    /// rows. Returns the statement.
    pub(super) fn index(&mut self, client: &mut Client, rng: &mut StdRng) -> String {
        let memory = if rng.random_bool(0.7) { "1MB" } else { "64MB" };
        client.script(&format!("SET maintenance_work_mem = '{memory}'")).unwrap();
        let options = match is_learned() {
            true => {
                let models = ["auto", "linear", "rmi", "pgm", "radix_spline"];
                let model = models[rng.random_range(0..models.len())];
                let fillfactor = [10, 50, 100][rng.random_range(0..3)];
                format!(" WITH (model = {model}, fillfactor = {fillfactor})")
            }
            // nbtree returns the heap TIDs of a posting list upwards in both directions.
            false => " WITH (deduplicate_items = off)".to_owned(),
        };
        if self.unique != Unique::No {
            client.script("CREATE TABLE o AS SELECT * FROM t").unwrap();
            let first = self.twins(client, &options);
            if first.is_some() {
                self.delete_duplicates(client);
                assert_eq!(self.twins(client, &options), None, "{self:?}");
            }
            return self.create_index("t", &access_method(), &options);
        }
        let create = self.create_index("t", &access_method(), &options);
        client.script(&create).unwrap_or_else(|error| panic!("{create}: {error:?}"));
        create
    }

    /// Creates the unique indexes of both tables, or neither. The error, if there is one.
    fn twins(&self, client: &mut Client, options: &str) -> Option<SqlState> {
        let ours = self.create_index("t", &access_method(), options);
        let both = [self.create_index("o", "btree", ""), ours];
        let errors = both.each_ref().map(|create| code_of(client.batch_execute(create)));
        assert_eq!(errors[0], errors[1], "as the B-tree: {}", both[1]);
        errors[0].clone()
    }

    fn delete_duplicates(&self, client: &mut Client) {
        let keys = self.keys();
        let mut counted = if self.partial { "p".to_owned() } else { "true".to_owned() };
        if self.unique == Unique::NullsDistinct {
            keys.iter().for_each(|key| counted.push_str(&format!(" AND {key} IS NOT NULL")));
        }
        for table in ["t", "o"] {
            client
                .script(&format!(
                    "DELETE FROM {table} WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER \
                     (PARTITION BY {} ORDER BY id) n FROM {table} WHERE {counted}) s WHERE n > 1)",
                    keys.join(", ")
                ))
                .unwrap();
        }
    }

    /// Inserts, updates, deletes, merges or vacuums.
    pub(super) fn change(&mut self, client: &mut Client, rng: &mut StdRng) {
        if self.unique == Unique::No {
            let count = rng.random_range(1..600);
            let rows: Vec<_> = (0..count).map(|_| self.values(rng)).collect();
            client.script(&format!("INSERT INTO t VALUES {}", rows.join(", "))).unwrap();
            let column = rng.random_range(0..self.parts.len());
            let part = &self.parts[column];
            let value = part.value(rng).map_or("NULL".to_owned(), |key| part.sql_type.literal(key));
            let some = rng.random_range(0..17);
            client
                .script(&format!("UPDATE t SET c{column} = {value} WHERE id % 17 = {some}"))
                .unwrap();
        } else {
            self.insert_twice(client, rng);
        }
        if rng.random_bool(0.5) {
            let some = rng.random_range(0..10);
            client.script(&format!("DELETE FROM t WHERE id % 10 = {some}")).unwrap();
            if self.unique != Unique::No {
                client.script(&format!("DELETE FROM o WHERE id % 10 = {some}")).unwrap();
            }
        }
        if rng.random_bool(0.5) {
            retrain(client, "t_k");
        }
        if rng.random_bool(0.5) {
            client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
        }
    }

    /// Inserts and updates rows of both tables one by one: the indexes refuse the same.
    fn insert_twice(&mut self, client: &mut Client, rng: &mut StdRng) {
        for _ in 0..150 {
            let statement = if rng.random_bool(0.8) {
                format!("INSERT INTO TABLE VALUES {}", self.values(rng))
            } else {
                let column = rng.random_range(0..self.parts.len());
                let id = rng.random_range(0..=self.next_id);
                let part = &self.parts[column];
                let key =
                    part.value(rng).map_or("NULL".to_owned(), |key| part.sql_type.literal(key));
                format!("UPDATE TABLE SET c{column} = {key} WHERE id = {id}")
            };
            let outcomes = ["o", "t"]
                .map(|table| code_of(client.batch_execute(&statement.replace("TABLE", table))));
            assert_eq!(outcomes[0], outcomes[1], "as the B-tree: {statement}\n{:?}", self.parts);
        }
    }
}

/// Of dates and timestamps, one around a day on which some zone's clocks change: there the core has
/// to check comparisons between the types.
fn changing_clocks(sql_type: SqlType, number: i64, start: i64) -> Key {
    const DAYS: [i64; 6] = [8835, 9073, 8856, 9066, 8863, 9045];
    let day = DAYS[(start + number).rem_euclid(6) as usize];
    let half_hour = number % 144 - 48;
    match sql_type {
        SqlType::Date => Key::Int(day + number % 5 - 2),
        SqlType::Timestamp | SqlType::Timestamptz => {
            Key::Int((day * 48 + half_hour) * 1_800_000_000)
        }
        _ => sql_type.wrap(start + number),
    }
}

fn code_of(outcome: Result<(), postgres::Error>) -> Option<SqlState> {
    outcome.err().map(|error| error.code().unwrap_or_else(|| panic!("{error:?}")).clone())
}
