//! Runs each query by a sequential scan and by every scan of the index, and compares the answers.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use postgres::{Client, SimpleQueryMessage};
use rand::Rng;
use rand::rngs::StdRng;
use server_tests::{Cluster, Key, SqlType, access_method, plan_of, serves_equality};

use super::keys::Distribution;
use super::queries::{Generator, Query, Returns};

/// Rows as text.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// Runs a query by the simple protocol; the two zeros of floats, equal in SQL, become one text.
pub(crate) fn rows(client: &mut Client, query: &str) -> Rows {
    with_one_zero(&raw_rows(client, query))
}

fn with_one_zero(rows: &Rows) -> Rows {
    let zero = |field: &Option<String>| match field.as_deref() {
        Some("-0") => Some("0".to_owned()),
        _ => field.clone(),
    };
    rows.iter().map(|row| row.iter().map(zero).collect()).collect()
}

/// The same, with both zeros.
fn raw_rows(client: &mut Client, query: &str) -> Rows {
    let messages = client.simple_query(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
        }
        _ => None,
    });
    rows.collect()
}

/// A table `(id int4, k TYPE, p bool)` of generated keys.
pub(crate) struct Table {
    name: String,
    sql_type: SqlType,
    distribution: Distribution,
    keys: Vec<Key>,
}

impl Table {
    pub(crate) fn create(
        cluster: &Cluster,
        sql_type: SqlType,
        distribution: Distribution,
        rng: &mut StdRng,
    ) -> Self {
        let name = format!("{}_{distribution:?}", sql_type.label()).to_lowercase();
        let keys = distribution.generate(sql_type, rng);
        let mut client = cluster.connect();
        client
            .batch_execute(&format!("CREATE TABLE {name} (id int4, k {}, p bool)", sql_type.name()))
            .unwrap();
        let mut copy = client.copy_in(&format!("COPY {name} FROM STDIN (NULL '')")).unwrap();
        for (id, key) in keys.iter().enumerate() {
            let key = key.map_or_else(String::new, |key| sql_type.text(key).replace('\\', "\\\\"));
            let p = if rng.random_bool(0.7) { 't' } else { 'f' };
            writeln!(copy, "{id}\t{key}\t{p}").unwrap();
        }
        copy.finish().unwrap();
        client.batch_execute(&format!("ANALYZE {name}")).unwrap();
        Self { name, sql_type, distribution, keys: in_order(keys.into_iter().flatten().collect()) }
    }
}

fn in_order(mut keys: Vec<Key>) -> Vec<Key> {
    keys.sort_by(|a, b| match (a, b) {
        (Key::Int(a), Key::Int(b)) => a.cmp(b),
        (Key::Float(a), Key::Float(b)) => a.total_cmp(b),
        _ => unreachable!("a table has keys of one type"),
    });
    keys
}

/// How an index is declared.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexOptions {
    descending: bool,
    /// `None`: the default of the direction.
    nulls_first: Option<bool>,
    model: Option<&'static str>,
    fillfactor: Option<u32>,
    partial: bool,
    /// The value that an expression index puts in the place of NULL.
    expression: bool,
}

impl IndexOptions {
    pub(crate) fn random(rng: &mut StdRng) -> Self {
        let models =
            [None, Some("auto"), Some("linear"), Some("rmi"), Some("pgm"), Some("radix_spline")];
        Self {
            descending: rng.random_bool(0.4),
            nulls_first: [None, Some(true), Some(false)][rng.random_range(0..3)],
            model: models[rng.random_range(0..models.len())],
            fillfactor: [None, Some(10), Some(50), Some(100)][rng.random_range(0..4)],
            partial: rng.random_bool(0.2),
            expression: rng.random_bool(0.15),
        }
    }

    /// How queries spell the indexed key.
    fn key(&self, sql_type: SqlType) -> String {
        if self.expression {
            format!("coalesce(k, {})", sql_type.literal(sql_type.wrap(7)))
        } else {
            "k".to_owned()
        }
    }

    fn nulls_first(&self) -> bool {
        self.nulls_first.unwrap_or(self.descending)
    }

    pub(crate) fn create_index(&self, table: &str, sql_type: SqlType) -> String {
        let access_method = access_method();
        let direction = if self.descending { " DESC" } else { "" };
        let nulls = match self.nulls_first {
            None => "",
            Some(true) => " NULLS FIRST",
            Some(false) => " NULLS LAST",
        };
        let mut options = Vec::new();
        if let Some(model) = self.model.filter(|_| access_method == "learned") {
            options.push(format!("model = {model}"));
        }
        if let Some(fillfactor) = self.fillfactor {
            options.push(format!("fillfactor = {fillfactor}"));
        }
        let with = if options.is_empty() {
            String::new()
        } else {
            format!(" WITH ({})", options.join(", "))
        };
        let predicate = if self.partial { " WHERE p" } else { "" };
        let key = self.key(sql_type);
        format!(
            "CREATE INDEX {table}_k ON {table} USING {access_method} \
             (({key}){direction}{nulls}){with}{predicate}"
        )
    }
}

/// A way to execute a query, with a connection that is set to allow no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Path {
    Sequential,
    Plain,
    IndexOnly,
    Bitmap,
}

const PATHS: [(Path, &str); 4] = [
    (
        Path::Sequential,
        "enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off",
    ),
    (
        Path::Plain,
        "enable_seqscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SET \
         enable_sort = off",
    ),
    (Path::IndexOnly, "enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off"),
    (
        Path::Bitmap,
        "enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off",
    ),
];

const ZONES: [&str; 5] =
    ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"];

/// How often a shape's plan is looked at: the first times, and then now and then.
const PLANS_A_SHAPE: u64 = 2;
const PLANS_AFTER: u64 = 16;

/// The connections, and what has been compared through them.
#[derive(Default)]
pub(crate) struct Runner {
    clients: Vec<(Path, Client)>,
    queries: u64,
    comparisons: u64,
    plans: u64,
    rows: u64,
    answered: u64,
}

impl Runner {
    pub(crate) fn connect(cluster: &Cluster) -> Self {
        let connect = |(path, settings): &(Path, &str)| {
            let mut client = cluster.connect();
            client.batch_execute(&format!("SET {settings}")).unwrap();
            (*path, client)
        };
        Self { clients: PATHS.iter().map(connect).collect(), ..Self::default() }
    }

    pub(crate) fn queries(&self) -> u64 {
        self.queries
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.queries += other.queries;
        self.comparisons += other.comparisons;
        self.plans += other.plans;
        self.rows += other.rows;
        self.answered += other.answered;
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "{} queries, {} of them with {} rows; {} index scans compared, {} plans checked",
            self.queries, self.answered, self.rows, self.comparisons, self.plans
        )
    }

    /// Creates the index, compares `queries` answers through it, and drops it.
    pub(crate) fn compare(
        &mut self,
        table: &Table,
        options: &IndexOptions,
        queries: usize,
        rng: &mut StdRng,
    ) {
        let name = &table.name;
        let create_index = options.create_index(name, table.sql_type);
        let zone = ZONES[rng.random_range(0..ZONES.len())];
        for (_, client) in &mut self.clients {
            client.batch_execute(&format!("SET TimeZone = '{zone}'")).unwrap();
        }
        let client = &mut self.clients[0].1;
        client
            .batch_execute(&create_index)
            .unwrap_or_else(|error| panic!("{create_index}: {error:?}"));
        if rng.random_bool(0.3) {
            let rest = rng.random_range(0..20);
            client.batch_execute(&format!("DELETE FROM {name} WHERE id % 20 = {rest}")).unwrap();
        }
        if rng.random_bool(0.5) {
            client.batch_execute(&format!("VACUUM {name}")).unwrap();
        }

        let key = options.key(table.sql_type);
        let contents = raw_rows(client, &format!("SELECT id, {key} FROM {name}"));
        let contents: HashMap<_, _> =
            contents.into_iter().map(|mut row| (row[0].take(), row[1].take())).collect();
        let mut seen = HashMap::new();
        for _ in 0..queries {
            let query = Generator {
                sql_type: table.sql_type,
                sorted: &table.keys,
                key: &key,
                index_descending: options.descending,
                index_nulls_first: options.nulls_first(),
                rng,
            }
            .query();
            let context = format!("{create_index}; -- {:?}, TimeZone {zone}", table.distribution);
            self.one(table, options, &key, &query, &contents, &mut seen, &context);
        }
        self.clients[0].1.batch_execute(&format!("DROP INDEX {name}_k")).unwrap();
    }

    #[allow(clippy::too_many_arguments)]
    fn one(
        &mut self,
        table: &Table,
        options: &IndexOptions,
        key: &str,
        query: &Query,
        contents: &HashMap<Option<String>, Option<String>>,
        seen: &mut HashMap<(Path, &'static str, bool), u64>,
        context: &str,
    ) {
        self.queries += 1;
        let oracle_text = query_text(query, &table.name, key, options.partial, false);
        let oracle = raw_rows(&mut self.clients[0].1, &oracle_text);
        self.rows += oracle.len() as u64;
        self.answered += u64::from(!oracle.is_empty());
        for (path, client) in &mut self.clients[1..] {
            let path = *path;
            let impossible = match path {
                // The planner makes no bitmap path where the order is of use and all rows match.
                Path::Bitmap => {
                    // A whole partial index may look cheaper than the three parts of an OR.
                    let whole = query.bitmap_only && options.partial;
                    query.condition.is_none() || query.wants_order() || whole
                }
                Path::IndexOnly => query.bitmap_only || options.expression,
                _ => query.bitmap_only,
            };
            if impossible {
                continue;
            }
            let text =
                query_text(query, &table.name, key, options.partial, path == Path::IndexOnly);
            let ordered = matches!(query.returns, Returns::Ordered { .. });
            let times = seen.entry((path, query.shape, ordered)).or_default();
            *times += 1;
            if *times <= PLANS_A_SHAPE || times.is_multiple_of(PLANS_AFTER) {
                self.plans += 1;
                check_plan(client, path, table, query, &text, context);
            }
            let answer = raw_rows(client, &text);
            self.comparisons += 1;
            if let Err(difference) = same(query, path, &oracle, &answer, contents) {
                panic!(
                    "{path:?} differs from the sequential scan: {difference}\n{text};\n{context}"
                );
            }
        }
    }
}

fn query_text(query: &Query, table: &str, key: &str, partial: bool, key_only: bool) -> String {
    let mut conditions: Vec<String> =
        query.condition.iter().map(|condition| format!("({condition})")).collect();
    if partial {
        conditions.push("p".to_owned());
    }
    let condition = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    let columns = if key_only { key.to_owned() } else { format!("{key}, id") };
    match &query.returns {
        Returns::Rows => format!("SELECT {columns} FROM {table}{condition}"),
        Returns::Ordered { order_by, limit, .. } => {
            format!("SELECT {columns} FROM {table}{condition} ORDER BY {order_by}{limit}")
        }
        Returns::Aggregate(list) => {
            format!("SELECT {} FROM {table}{condition}", list.replace("{k}", key))
        }
    }
}

fn check_plan(
    client: &mut Client,
    path: Path,
    table: &Table,
    query: &Query,
    text: &str,
    context: &str,
) {
    let equal = text.replace(" = ANY", "").contains(" = ");
    if equal && !serves_equality(client, table.sql_type) {
        return;
    }
    let plan = plan_of(client, text);
    let index = format!("{}_k", table.name);
    let node = match path {
        // Keys of intervals do not tell equal ones apart.
        Path::IndexOnly if table.sql_type.is_returned() || access_method() != "learned" => {
            "Index Only Scan"
        }
        Path::Bitmap => "Bitmap Index Scan",
        _ => "Index Scan",
    };
    let uses = |line: &str| {
        line.contains(node)
            && (line.ends_with(&format!("on {index}")) || line.contains(&format!("using {index} ")))
    };
    assert!(plan.lines().any(uses), "no {node} of {index}:\n{plan}\n{text};\n{context}");
    assert!(!plan.contains("Seq Scan"), "a sequential scan:\n{plan}\n{text};\n{context}");
    if query.condition.is_some() {
        assert!(plan.contains("Index Cond:"), "no index condition:\n{plan}\n{text};\n{context}");
    }
    if path != Path::Bitmap {
        assert!(!plan.contains("Filter:"), "a filter:\n{plan}\n{text};\n{context}");
        if matches!(query.returns, Returns::Ordered { sorted_by_index: true, .. }) {
            assert!(!plan.contains("Sort"), "a sort:\n{plan}\n{text};\n{context}");
        }
    }
}

fn same(
    query: &Query,
    path: Path,
    oracle: &Rows,
    answer: &Rows,
    contents: &HashMap<Option<String>, Option<String>>,
) -> Result<(), String> {
    if oracle.len() != answer.len() {
        return Err(format!("{} rows instead of {}", answer.len(), oracle.len()));
    }
    let keys = |rows: &Rows| rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>();
    let first = |rows: Rows| format!("{:?}", rows.into_iter().take(5).collect::<Vec<_>>());
    match &query.returns {
        Returns::Aggregate(_) if with_one_zero(oracle) == with_one_zero(answer) => Ok(()),
        Returns::Aggregate(_) => Err(format!("{answer:?} instead of {oracle:?}")),
        Returns::Ordered { limit, .. } => {
            // Equal keys come in any order.
            if keys(&with_one_zero(oracle)) != keys(&with_one_zero(answer)) {
                return Err("keys or their order".to_owned());
            }
            if path == Path::IndexOnly {
                return Ok(());
            }
            if limit.is_empty() {
                return same_multiset(oracle, answer).map_err(first);
            }
            // Which of several equal keys a limit cuts off is free, but each row must exist, once.
            let mut returned = HashSet::new();
            for row in answer {
                if contents.get(&row[1]) != Some(&row[0]) || !returned.insert(&row[1]) {
                    return Err(format!("{row:?} is not in the table, or there twice"));
                }
            }
            Ok(())
        }
        Returns::Rows if path == Path::IndexOnly => {
            let single =
                |rows: &Rows| keys(rows).into_iter().map(|key| vec![key]).collect::<Rows>();
            same_multiset(&single(oracle), &single(answer)).map_err(first)
        }
        Returns::Rows => same_multiset(oracle, answer).map_err(first),
    }
}

/// The rows that only one side has, if any.
pub(crate) fn same_multiset(oracle: &Rows, answer: &Rows) -> Result<(), Rows> {
    let mut counts: HashMap<&Vec<Option<String>>, i64> = HashMap::new();
    for row in oracle {
        *counts.entry(row).or_default() += 1;
    }
    for row in answer {
        *counts.entry(row).or_default() -= 1;
    }
    let different: Rows =
        counts.into_iter().filter(|(_, count)| *count != 0).map(|(row, _)| row.clone()).collect();
    if different.is_empty() { Ok(()) } else { Err(different) }
}
