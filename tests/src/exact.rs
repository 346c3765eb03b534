//! Index scans of every kind against a sequential scan of the same table.

use std::cmp::Ordering;

use postgres::{Client, SimpleQueryMessage};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Script;
use super::method::check;
use super::plan::try_plan_of;

/// A key and the row's `id`.
pub type Row = (Option<i64>, i32);

/// What queries ask of the key.
#[derive(Clone, Debug)]
enum Condition {
    All,
    Null,
    Point(i64),
    Range(i64, i64),
    Below(i64),
    From(i64),
    In(Vec<i64>),
}

use Condition::{All, Below, From, In, Null, Point, Range};

impl Condition {
    /// One around the keys that there are.
    fn random(rows: &[Row], rng: &mut StdRng) -> Self {
        let mut near = || {
            let key = if rows.is_empty() { None } else { rows[rng.random_range(0..rows.len())].0 };
            key.unwrap_or(0).saturating_add([0, 0, 0, -1, 1, 1000][rng.random_range(0..6)])
        };
        let (key, other) = (near(), near());
        let list = (0..8).map(|_| near()).collect();
        match rng.random_range(0..7) {
            0 | 1 => Point(key),
            2 => Range(key.min(other), key.max(other)),
            3 => Range(key, key.saturating_add(rng.random_range(0..300))),
            4 => Below(key),
            5 => From(key),
            _ => In(list),
        }
    }

    fn holds(&self, key: Option<i64>) -> bool {
        match (self, key) {
            (All, _) | (Null, None) => true,
            (_, None) | (Null, _) => false,
            (Point(point), Some(key)) => key == *point,
            (Range(least, greatest), Some(key)) => (*least..=*greatest).contains(&key),
            (Below(bound), Some(key)) => key < *bound,
            (From(bound), Some(key)) => key >= *bound,
            (In(list), Some(key)) => list.contains(&key),
        }
    }

    fn sql(&self, key: &str) -> String {
        match self {
            All => "true".to_owned(),
            Null => format!("{key} IS NULL"),
            Point(point) => format!("{key} = '{point}'::int8"),
            Range(least, greatest) => {
                format!("{key} BETWEEN '{least}'::int8 AND '{greatest}'::int8")
            }
            Below(bound) => format!("{key} < '{bound}'::int8"),
            From(bound) => format!("{key} >= '{bound}'::int8"),
            In(list) => {
                let list = list.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
                format!("{key} = ANY ('{{{list}}}'::int8[])")
            }
        }
    }
}

/// A way to execute a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Plain,
    IndexOnly,
    Bitmap,
    /// Index-only, needing no column; slowly, so that others get to do something meanwhile.
    Columnless,
}

/// The planner's switches for a path, or for the sequential scan.
fn switches(path: Option<Path>) -> String {
    let on =
        |name: &str, on: bool| format!("SET enable_{name} = {}", if on { "on" } else { "off" });
    [
        on("seqscan", path.is_none()),
        on("sort", path.is_none()),
        on("indexscan", matches!(path, Some(Path::Plain | Path::IndexOnly | Path::Columnless))),
        on("indexonlyscan", matches!(path, Some(Path::IndexOnly | Path::Columnless))),
        on("bitmapscan", path == Some(Path::Bitmap)),
    ]
    .join("; ")
}

/// The key of an index over a table `(k int8, id int4, ...)`, as queries must spell it.
#[derive(Clone, Debug)]
pub struct Subject {
    table: String,
    key: String,
    predicate: String,
    descending: bool,
    nulls_first: bool,
}

impl Subject {
    /// An ascending index of `k`.
    pub fn of(table: &str) -> Self {
        let (key, predicate) = ("k".to_owned(), "true".to_owned());
        Self { table: table.to_owned(), key, predicate, descending: false, nulls_first: false }
    }

    /// The same index in another order.
    pub fn ordered(self, descending: bool, nulls_first: bool) -> Self {
        Self { descending, nulls_first, ..self }
    }

    /// The same index of an expression.
    pub fn keyed(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }

    /// The same index with a predicate.
    pub fn restricted(self, predicate: &str) -> Self {
        Self { predicate: predicate.to_owned(), ..self }
    }

    /// What a sequential scan finds, in the order of the index and of `id`.
    ///
    /// # Errors
    /// Those of the server.
    pub fn rows(&self, client: &mut Client) -> Result<Vec<Row>, postgres::Error> {
        client.script(&switches(None))?;
        let query = self.query(&All, "id", "");
        let plan = try_plan_of(client, &query)?;
        assert!(plan.contains("Seq Scan") && !plan.contains("Index"), "{query}:\n{plan}");
        let mut rows = fetch(client, &query)?;
        rows.sort_by(|a, b| self.compare_rows(a, b));
        Ok(rows)
    }

    /// Asserts that index scans of every kind, forwards and backwards, agree with a sequential
    /// scan, and that the table's learned indexes are whole. Other sessions must not write
    /// meanwhile.
    pub fn assert_exact(&self, client: &mut Client) {
        self.compare(client, 6, &mut StdRng::seed_from_u64(1)).unwrap();
        let indexes = format!(
            "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class c ON c.oid = indexrelid
             JOIN pg_am a ON a.oid = relam
             WHERE indrelid = '{}'::regclass AND amname = 'learned' AND indisvalid",
            self.table.trim_start_matches("ONLY ")
        );
        for index in client.query(&indexes, &[]).unwrap() {
            check(client, index.get(0));
        }
    }

    /// Compares a number of random conditions, and the conditions on everything and on NULL, by
    /// every kind of scan with a sequential scan. While others write, this belongs into a
    /// transaction that keeps its snapshot. Returns the number of index scans.
    ///
    /// # Errors
    /// Those of the server.
    ///
    /// # Panics
    /// When an answer differs.
    pub fn compare(
        &self,
        client: &mut Client,
        conditions: usize,
        rng: &mut StdRng,
    ) -> Result<usize, postgres::Error> {
        let rows = self.rows(client)?;
        let mut all = vec![All, Null];
        all.extend((0..conditions).map(|_| Condition::random(&rows, rng)));
        let mut scans = 0;
        for path in [Path::Plain, Path::IndexOnly, Path::Bitmap, Path::Columnless] {
            client.script(&switches(Some(path)))?;
            for condition in &all {
                let expected: Vec<Row> =
                    rows.iter().filter(|row| condition.holds(row.0)).copied().collect();
                let orders: &[bool] = match (path, condition) {
                    // The planner makes no bitmap of all rows.
                    (Path::Bitmap, All) => &[],
                    (Path::Bitmap, _) => &[false],
                    _ => &[false, true],
                };
                if path == Path::Columnless {
                    self.count(client, condition, expected.len())?;
                    scans += 1;
                    continue;
                }
                for backwards in orders {
                    self.one(client, path, condition, *backwards, &expected)?;
                    scans += 1;
                }
            }
        }
        client.script(
            "RESET enable_seqscan; RESET enable_sort; RESET enable_indexscan;
             RESET enable_indexonlyscan; RESET enable_bitmapscan",
        )?;
        Ok(scans)
    }

    /// Counts rows by a scan that needs no column and now and then sleeps for a millisecond.
    fn count(
        &self,
        client: &mut Client,
        condition: &Condition,
        expected: usize,
    ) -> Result<(), postgres::Error> {
        let Self { table, key, predicate, .. } = self;
        let sleepy = "random() > 0.002 OR pg_sleep(0.001)::text IS NOT NULL";
        let condition = condition.sql(key);
        let query = format!(
            "SELECT count(*) FILTER (WHERE {sleepy}), 0 FROM {table} WHERE {condition} AND \
             {predicate}"
        );
        let plan = try_plan_of(client, &query)?;
        let scans = plan.contains("Index") || plan.contains("One-Time Filter: false");
        assert!(scans && !plan.contains("Seq Scan"), "{query}:\n{plan}");
        let found = fetch(client, &query)?;
        assert_eq!(found, [(Some(expected as i64), 0)], "{query}");
        Ok(())
    }

    fn one(
        &self,
        client: &mut Client,
        path: Path,
        condition: &Condition,
        backwards: bool,
        expected: &[Row],
    ) -> Result<(), postgres::Error> {
        let order = if path == Path::Bitmap { String::new() } else { self.order_by(backwards) };
        let id = if path == Path::IndexOnly { "0" } else { "id" };
        let query = self.query(condition, id, &order);
        let plan = try_plan_of(client, &query)?;
        // NULL in a column that is NOT NULL needs no scan.
        let scans = plan.contains("Index") || plan.contains("One-Time Filter: false");
        assert!(scans && !plan.contains("Seq Scan"), "{query}:\n{plan}");
        let mut found = fetch(client, &query)?;
        let mut expected = expected.to_vec();
        if path == Path::IndexOnly {
            expected.iter_mut().for_each(|row| row.1 = 0);
        }
        if path != Path::Bitmap {
            let mut keys: Vec<_> = expected.iter().map(|row| row.0).collect();
            if backwards {
                keys.reverse();
            }
            let in_order = found.iter().map(|row| row.0).eq(keys);
            assert!(in_order, "{}", self.difference(path, &query, &expected, &found));
        }
        found.sort_by(|a, b| self.compare_rows(a, b));
        assert!(found == expected, "{}", self.difference(path, &query, &expected, &found));
        Ok(())
    }

    fn difference(&self, path: Path, query: &str, expected: &[Row], found: &[Row]) -> String {
        let only = |some: &[Row], others: &[Row]| {
            let others: std::collections::HashSet<_> = others.iter().collect();
            some.iter().filter(|row| !others.contains(row)).take(5).copied().collect::<Vec<_>>()
        };
        format!(
            "{path:?} differs from the sequential scan: {} rows instead of {}, missing {:?}, too \
             many {:?}, or their order or number\n{query}",
            found.len(),
            expected.len(),
            only(expected, found),
            only(found, expected)
        )
    }

    fn query(&self, condition: &Condition, id: &str, order: &str) -> String {
        let Self { table, key, predicate, .. } = self;
        let condition = condition.sql(key);
        format!("SELECT {key}, {id} FROM {table} WHERE {condition} AND {predicate}{order}")
    }

    fn order_by(&self, backwards: bool) -> String {
        let direction = if self.descending == backwards { "ASC" } else { "DESC" };
        let nulls = if self.nulls_first == backwards { "LAST" } else { "FIRST" };
        format!(" ORDER BY {} {direction} NULLS {nulls}", self.key)
    }

    fn compare_rows(&self, a: &Row, b: &Row) -> Ordering {
        let keys = match (a.0, b.0) {
            (Some(a), Some(b)) if self.descending => b.cmp(&a),
            (Some(a), Some(b)) => a.cmp(&b),
            (None, None) => Ordering::Equal,
            (None, _) if self.nulls_first => Ordering::Less,
            (None, _) => Ordering::Greater,
            (_, None) if self.nulls_first => Ordering::Greater,
            (_, None) => Ordering::Less,
        };
        keys.then(a.1.cmp(&b.1))
    }
}

/// The rows of a query of a key and an id.
///
/// # Errors
/// Those of the server.
pub fn fetch(client: &mut Client, query: &str) -> Result<Vec<Row>, postgres::Error> {
    let messages = client.simple_query(query)?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((row.get(0).map(|key| key.parse().unwrap()), row.get(1).unwrap().parse().unwrap()))
        }
        _ => None,
    });
    Ok(rows.collect())
}
