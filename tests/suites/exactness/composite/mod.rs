//! Indexes of one to four columns of any types, some of which include others: queries against a
//! sequential scan, and unique indexes against a B-tree of a twin table.

mod queries;
mod table;

use std::collections::{HashMap, HashSet};

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Script, check, plan_of, seed};

use super::runner::{Rows, rows, same_multiset};
use queries::{Generator, Query, Returns};
use table::Table;

const TABLES: u64 = 45;
const ROUNDS: usize = 3;
const QUERIES_A_ROUND: usize = 155;
const JOINS_A_ROUND: usize = 5;
/// EXPLAIN shows the plan of every fourth query.
const QUERIES_A_PLAN: u64 = 4;

const ZONES: [&str; 4] = ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"];

/// A way to execute a query, with a connection that is set to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Sequential,
    Plain,
    IndexOnly,
    Bitmap,
    NestedLoop,
    Merge,
}

const PATHS: [(Path, &str); 6] = [
    (Path::Sequential, "indexscan indexonlyscan bitmapscan"),
    (Path::Plain, "seqscan indexonlyscan bitmapscan sort"),
    (Path::IndexOnly, "seqscan bitmapscan sort"),
    (Path::Bitmap, "seqscan indexscan indexonlyscan"),
    (Path::NestedLoop, "seqscan bitmapscan sort hashjoin mergejoin material"),
    (Path::Merge, "seqscan bitmapscan sort hashjoin nestloop"),
];

struct Runner {
    clients: Vec<(Path, Client)>,
    queries: u64,
    plans: u64,
    indexed: u64,
    answered: u64,
}

impl Runner {
    fn connect(cluster: &Cluster) -> Self {
        let connect = |(path, off): (Path, &str)| {
            let mut client = cluster.connect();
            for name in off.split(' ') {
                client.batch_execute(&format!("SET enable_{name} = off")).unwrap();
            }
            (path, client)
        };
        let clients = PATHS.into_iter().map(connect).collect();
        Self { clients, queries: 0, plans: 0, indexed: 0, answered: 0 }
    }

    fn main(&mut self) -> &mut Client {
        &mut self.clients[0].1
    }

    /// Compares the answers of a query by some paths with that of the sequential scan.
    fn compare(&mut self, query: &Query, paths: &[Path], contents: &Rows, context: &str) {
        let oracle = rows(self.main(), &query.text);
        self.queries += 1;
        self.answered += u64::from(!oracle.is_empty());
        for (path, client) in &mut self.clients[1..] {
            let never = *path == Path::Bitmap && !query.has_conditions;
            if !paths.contains(path) || never {
                continue;
            }
            if self.queries.is_multiple_of(QUERIES_A_PLAN) {
                let plan = plan_of(client, &query.text);
                if !plan.contains("One-Time Filter: false") {
                    self.plans += 1;
                    self.indexed += u64::from(plan.contains(" t_k"));
                }
            }
            let answer = rows(client, &query.text);
            if let Err(difference) = same(query, &oracle, &answer, contents) {
                let plan = plan_of(client, &query.text);
                panic!("{path:?}: {difference}\n{};\n{plan}\n{context}", query.text);
            }
        }
    }

    fn round(&mut self, table: &Table, rng: &mut StdRng, context: &str) {
        let keys = table.keys().join(", ");
        let beside = table.beside_keys();
        let contents = rows(self.main(), &format!("SELECT {keys}, {beside} FROM t"));
        let scans = [Path::Plain, Path::IndexOnly, Path::Bitmap];
        let joins = JOINS_A_ROUND;
        for _ in 0..QUERIES_A_ROUND {
            let query = Generator { table, rng }.query();
            self.compare(&query, &scans, &contents, context);
        }
        for _ in 0..joins {
            let query = Generator { table, rng }.nested_loop();
            self.compare(&query, &[Path::NestedLoop], &contents, context);
            let query = Generator { table, rng }.merge_join();
            self.compare(&query, &[Path::Merge], &contents, context);
        }
        check(self.main(), "t_k");
    }

    /// Goes back and forth in the answers of some queries.
    fn walk(&mut self, table: &Table, rng: &mut StdRng) {
        for (path, client) in &mut self.clients {
            if table.rows > 5_000 || !matches!(path, Path::Plain | Path::IndexOnly) {
                continue;
            }
            let query = Generator { table, rng }.query();
            if !query.text.contains("GROUP BY") && !query.text.contains("DISTINCT") {
                crate::cursors::walk(client, &query.text, rng);
            }
        }
    }
}

fn same(query: &Query, oracle: &Rows, answer: &Rows, contents: &Rows) -> Result<(), String> {
    let few = |rows: Rows| format!("{:?} differ", rows.into_iter().take(5).collect::<Vec<_>>());
    if oracle.len() != answer.len() {
        return Err(format!("{} rows instead of {}", answer.len(), oracle.len()));
    }
    if let Returns::Ordered { columns, limited } = query.returns {
        let ordered =
            |rows: &Rows| rows.iter().map(|row| row[..columns].to_vec()).collect::<Rows>();
        if ordered(oracle) != ordered(answer) {
            return Err("keys, or their order".to_owned());
        }
        // Which of several equal keys a limit cuts off is free, but each row must exist, once.
        if limited && query.has_id {
            let contents: HashSet<_> = contents.iter().collect();
            let mut found = HashSet::new();
            let wrong = answer.iter().find(|row| !contents.contains(row) || !found.insert(*row));
            return wrong.map_or(Ok(()), |row| Err(format!("{row:?} is not there, or twice")));
        }
        if limited {
            return Ok(());
        }
    }
    same_multiset(oracle, answer).map_err(few)
}

#[test]
fn indexes_of_several_columns_answer_as_a_sequential_scan() {
    let cluster = Cluster::start();
    let mut runner = Runner::connect(&cluster);
    println!("seed {}", seed());
    let mut types = HashMap::<_, u64>::new();
    for number in 0..TABLES {
        let mut rng = StdRng::seed_from_u64(seed().wrapping_add(number << 32));
        let zone = ZONES[rng.random_range(0..ZONES.len())];
        for (_, client) in &mut runner.clients {
            client.script(&format!("SET TimeZone = '{zone}'")).unwrap();
        }
        let mut table = Table::random(&mut rng);
        table.create(runner.main(), &mut rng);
        let create = table.index(runner.main(), &mut rng);
        let context = format!("{create}; -- table {number}, TimeZone {zone}");
        for round in 0..ROUNDS {
            if round > 0 {
                table.change(runner.main(), &mut rng);
            }
            if rng.random_bool(0.5) {
                runner.main().script("VACUUM ANALYZE t").unwrap();
            }
            runner.round(&table, &mut rng, &context);
        }
        runner.walk(&table, &mut rng);
        table.parts.iter().for_each(|part| *types.entry(part.sql_type).or_default() += 1);
    }
    let Runner { queries, plans, indexed, answered, .. } = runner;
    println!("{queries} queries, {answered} with rows; {indexed} of {plans} plans use the index");
    println!("columns: {types:?}");
    assert!(queries >= 20_000, "only {queries} queries were generated");
    assert!(indexed * 10 >= plans * 7, "{indexed} of {plans} plans use the index");
}
