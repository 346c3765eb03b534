//! Every kind of page, damaged in every way, and everything that can be done with the index after
//! that.

use std::cell::Cell;
use std::path::PathBuf;

use postgres::Client;
use postgres::error::{DbError, SqlState};
use rand::SeedableRng;
use rand::rngs::StdRng;
use server_tests::{Cluster, Script, is_learned, seed};

use super::damage::{DAMAGES, Damage, ROLES, Role, blocks, inflict};

/// A database with an index that has every kind of page. Cases are copies of it, which nobody has
/// read before their files are damaged.
struct Template {
    cluster: Cluster,
    client: Client,
    /// The file in a directory of a database.
    file: PathBuf,
    whole: Vec<u8>,
    foreign: Vec<u8>,
    cases: usize,
}

/// A table whose index has two levels of directory, full leaves with a map of their dead slots,
/// sparse ones with a list, free pages, and a delta tree of two levels.
fn build(table: &str, hash: u32) -> String {
    format!(
        "CREATE TABLE {table} (k int8, id int4);
         INSERT INTO {table} SELECT hashint8extended(g, {hash}), g FROM generate_series(1, 26000) \
         g;
         INSERT INTO {table} SELECT NULL, g FROM generate_series(1, 300) g;
         CREATE UNIQUE INDEX {table}_k ON {table} USING learned (k)
             WITH (fillfactor = 10, auto_retrain = off);
         ALTER INDEX {table}_k SET (fillfactor = 100);
         INSERT INTO {table} SELECT hashint8extended(g, {hash}) >> 4, g
             FROM generate_series(40001, 43000) g;
         SELECT learned_retrain('{table}_k');
         DELETE FROM {table} WHERE id % 13 = 5 AND k > -4000000000000000000;
         VACUUM {table};
         INSERT INTO {table} SELECT hashint8extended(g, {hash}), g
             FROM generate_series(50001, 52000) g;
         ANALYZE {table}"
    )
}

/// Of the table, or of a copy of its rows.
const READS: [&str; 8] = [
    "SELECT count(*), sum(id) FROM {table} AS t WHERE k IS NOT NULL",
    "SELECT count(*), sum(id) FROM {table} AS t WHERE k IS NULL",
    "SELECT count(*), sum(id) FROM {table} AS t WHERE k BETWEEN 0 AND 100000000000000000",
    "SELECT count(*), sum(id) FROM (SELECT id FROM {table} ORDER BY k DESC NULLS LAST LIMIT 3000) \
     s",
    "SELECT count(*), sum(id) FROM (SELECT id FROM {table} ORDER BY k LIMIT 3000) s",
    "SELECT count(*), sum(k % 1000003)::int8 FROM {table} AS t WHERE k < 900000000000000",
    "SELECT count(*), sum(id) FROM {table} AS t WHERE k = ANY (ARRAY(SELECT k FROM wanted))",
    "SELECT count(*), sum(t.id) FROM wanted JOIN {table} AS t USING (k)",
];

impl Template {
    fn new(settings: &str) -> Self {
        let cluster = Cluster::start_with(settings);
        let mut client = cluster.connect();
        client.script("CREATE DATABASE template").unwrap();
        let mut subject = cluster.connect_to("template");
        subject.script("CREATE EXTENSION omendb_learned").unwrap();
        subject.script(&build("t", 1)).unwrap();
        subject.script(&build("foreigner", 2)).unwrap();
        subject
            .script(
                "CREATE TABLE wanted AS SELECT k FROM t WHERE id % 20 = 0 AND k IS NOT NULL;
                 ANALYZE wanted; CHECKPOINT",
            )
            .unwrap();
        let path = cluster.file_of(&mut subject, "t_k");
        let whole = std::fs::read(&path).unwrap();
        let foreign = std::fs::read(cluster.file_of(&mut subject, "foreigner_k")).unwrap();
        for role in ROLES {
            assert!(!blocks(&whole, role).is_empty(), "no page is a {role:?}");
            assert!(!blocks(&foreign, role).is_empty(), "no other page is a {role:?}");
        }
        let file = PathBuf::from(path.file_name().unwrap());
        Self { cluster, client, file, whole, foreign, cases: 0 }
    }

    /// Drives the pages of all other databases out of the buffers. One that is read often survives
    /// several rounds of the clock (`PM_MAX_USAGE_COUNT` in `buf_internals.h`), and each reading of
    /// `other` is two or three.
    fn drive_out(&mut self) {
        self.client.script("CHECKPOINT").unwrap();
        for _ in 0..6 {
            self.client.script("SELECT count(k) FROM other WHERE k > 0").unwrap();
        }
    }

    /// A copy of the database, its name and where its index is.
    fn copy(&mut self) -> (String, PathBuf) {
        self.cases += 1;
        let name = format!("case_{}", self.cases);
        self.client
            .script(&format!("CREATE DATABASE {name} TEMPLATE template STRATEGY file_copy"))
            .unwrap();
        let oid: u32 = self
            .client
            .query_one("SELECT oid FROM pg_database WHERE datname = $1", &[&name])
            .unwrap()
            .get(0);
        (name, self.cluster.data().join("base").join(oid.to_string()).join(&self.file))
    }
}

/// A session in a damaged database.
struct Session {
    client: Client,
    case: String,
    /// Errors so far that tell a number that was found.
    numbers: Cell<usize>,
}

type Answers = Vec<(i64, Option<i64>)>;

impl Session {
    fn new(cluster: &Cluster, name: &str, case: String) -> Self {
        let mut client = cluster.connect_to(name);
        client.script("SET statement_timeout = '10s'").unwrap();
        Self { client, case, numbers: Cell::new(0) }
    }

    /// An error that says what is the matter.
    fn expect_clear(&self, statement: &str, error: &postgres::Error) -> DbError {
        let case = &self.case;
        let error = error
            .as_db_error()
            .unwrap_or_else(|| panic!("{case}: {statement}: the connection broke: {error}"));
        if error.code() == &SqlState::INDEX_CORRUPTED {
            let hint = error.hint().unwrap_or_default();
            assert!(hint.contains("REINDEX"), "{case}: {statement}: {error:?}");
            let message = error.message();
            let clear = ["\"t_k\"", "expected"];
            assert!(clear.iter().all(|part| message.contains(part)), "{case}: {error:?}");
            self.numbers.set(self.numbers.get() + usize::from(message.contains(", found ")));
        } else {
            // The server's own, for a page that is not there or whose header is none.
            assert_eq!(error.code(), &SqlState::DATA_CORRUPTED, "{case}: {statement}: {error:?}");
        }
        error.clone()
    }

    /// Runs a statement. Returns whether it succeeded.
    fn run(&mut self, statement: &str) -> bool {
        match self.client.script(statement) {
            Ok(()) => true,
            Err(error) => {
                self.expect_clear(statement, &error);
                false
            }
        }
    }

    /// What the reads must give. The planner may look into the index of a table that it reads
    /// sequentially; of a copy it cannot.
    fn truth(&mut self) -> Answers {
        self.client
            .script(
                "RESET ALL; SET statement_timeout = '10s'; SET enable_indexscan = off;
                 SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
                 DROP TABLE IF EXISTS rows; CREATE TEMPORARY TABLE rows AS TABLE t",
            )
            .unwrap();
        let queries = READS.iter().map(|query| query.replace("{table}", "rows"));
        let answers = queries.map(|query| self.client.query_one(&query, &[]).unwrap());
        answers.map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Reads in every way. What is answered is right. Returns how many reads failed.
    fn read(&mut self) -> usize {
        let truth = self.truth();
        let mut failed = 0;
        for (index, bitmap) in [("on", "off"), ("off", "on")] {
            self.client
                .script(&format!(
                    "SET enable_seqscan = off; SET enable_sort = off; SET enable_hashjoin = off;
                     SET enable_mergejoin = off; SET enable_indexscan = {index};
                     SET enable_indexonlyscan = {index}; SET enable_bitmapscan = {bitmap}"
                ))
                .unwrap();
            for (query, expected) in READS.iter().zip(&truth) {
                let query = query.replace("{table}", "t");
                match self.client.query_one(&query, &[]) {
                    Ok(row) => {
                        let answer = (row.get(0), row.get(1));
                        assert_eq!(&answer, expected, "{}: wrong answer of {query}", self.case);
                    }
                    Err(error) => {
                        self.expect_clear(&query, &error);
                        failed += 1;
                    }
                }
            }
        }
        failed
    }

    /// No key comes twice, and other rows may be refused.
    fn write(&mut self) {
        let keys = "SELECT k FROM wanted ORDER BY k OFFSET 7 LIMIT 5";
        let keys: Vec<i64> =
            self.client.query(keys, &[]).unwrap().iter().map(|row| row.get(0)).collect();
        for key in keys {
            let insert = format!("INSERT INTO t VALUES ({key}, 1)");
            let error = self.client.script(&insert).expect_err(&insert);
            if error.code() != Some(&SqlState::UNIQUE_VIOLATION) {
                self.expect_clear(&insert, &error);
            }
        }
        for row in 0..10 {
            self.run(&format!("INSERT INTO t VALUES (hashint8extended({row}, 9), {row})"));
        }
        self.run("INSERT INTO t VALUES (NULL, 3)");
        self.run("INSERT INTO t SELECT hashint8extended(g, 8), g FROM generate_series(1, 2000) g");
    }
}

/// Everything that can be done with a damaged index. `meant`: the check must find the damage.
fn use_index(session: &mut Session, meant: bool) {
    let check = "SELECT learned_check('t_k')";
    let found = !session.run(check);
    assert!(found || !meant, "{}: the check does not find it", session.case);
    session.read();
    session.write();
    session.run("DELETE FROM t WHERE id % 7 = 2");
    session.run("VACUUM t");
    session.read();
    session.run("SELECT learned_retrain('t_k')");
    session.read();
    let case = session.case.clone();
    session.client.script("REINDEX INDEX t_k").unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(session.read(), 0, "{case}: REINDEX does not repair it");
    session.client.script("SELECT learned_check('t_k', true)").unwrap();
}

/// A sixth of all cases, another one for other seeds; all with `OMENDB_LEARNED_DAMAGES`, as `make
/// test-long` sets it.
fn each_case() -> impl Iterator<Item = (Role, Damage)> {
    let step = if std::env::var_os("OMENDB_LEARNED_DAMAGES").is_some() { 1 } else { 6 };
    let first = seed() as usize % step;
    // Each kind of page meets other damages, and together they meet all.
    ROLES.into_iter().enumerate().flat_map(move |(at, role)| {
        DAMAGES
            .into_iter()
            .skip((first + at) % step)
            .step_by(step)
            .map(move |damage| (role, damage))
    })
}

fn assert_no_crash(cluster: &Cluster) {
    let log = cluster.log();
    assert!(!log.contains("terminated by signal") && !log.contains("PANIC"), "{log}");
}

#[test]
fn a_damaged_page_of_any_kind_gives_an_error_or_right_answers_and_reindex_repairs_it() {
    if !is_learned() {
        return;
    }
    let mut template = Template::new("max_worker_processes = 0");
    let mut numbers = 0;
    let mut random = StdRng::seed_from_u64(seed());
    for (role, damage) in each_case() {
        let (name, path) = template.copy();
        let (file, meant) = inflict(&template.whole, &template.foreign, role, damage, &mut random);
        std::fs::write(&path, file).unwrap();
        let case = format!("{role:?} {damage:?} {}", template.cases);
        let mut session = Session::new(&template.cluster, &name, case);
        use_index(&mut session, meant);
        numbers += session.numbers.get();
        drop(session);
        template.client.script(&format!("DROP DATABASE {name} (FORCE)")).unwrap();
    }
    assert!(numbers > 0, "no error tells what was found");
    assert_no_crash(&template.cluster);
}

#[test]
fn a_session_that_has_used_an_index_notices_what_was_damaged_on_disk_since() {
    if !is_learned() {
        return;
    }
    // So few buffers that reading something else drives all pages of the index out.
    let mut template = Template::new("max_worker_processes = 0\nshared_buffers = 1MB");
    template
        .client
        .script(
            "CREATE TABLE other AS SELECT g AS k FROM generate_series(1, 100000) g;
             CREATE INDEX ON other (k); VACUUM ANALYZE other; CHECKPOINT;
             SET enable_seqscan = off; SET enable_bitmapscan = off",
        )
        .unwrap();
    let mut random = StdRng::seed_from_u64(seed() + 1);
    let damages = [Damage::Bytes, Damage::Zeros, Damage::Copied, Damage::Swapped, Damage::Foreign];
    for (role, damage) in each_case().filter(|(_, damage)| damages.contains(damage)) {
        let (name, path) = template.copy();
        let case = format!("used before: {role:?} {damage:?} {}", template.cases);
        let mut session = Session::new(&template.cluster, &name, case);
        assert_eq!(session.read(), 0);
        template.drive_out();
        let (file, meant) = inflict(&template.whole, &template.foreign, role, damage, &mut random);
        std::fs::write(&path, file).unwrap();
        use_index(&mut session, meant);
        drop(session);
        template.client.script(&format!("DROP DATABASE {name} (FORCE)")).unwrap();
    }
    assert_no_crash(&template.cluster);
}

#[test]
fn an_error_of_a_damaged_page_leaves_nothing_locked_or_pinned() {
    if !is_learned() {
        return;
    }
    let mut template = Template::new("max_worker_processes = 0");
    let mut random = StdRng::seed_from_u64(seed() + 2);
    for role in ROLES {
        let (name, path) = template.copy();
        let (file, _) =
            inflict(&template.whole, &template.foreign, role, Damage::Noise, &mut random);
        std::fs::write(&path, file).unwrap();
        let case = format!("in a transaction: {role:?}");
        let mut session = Session::new(&template.cluster, &name, case.clone());
        let mut other = Session::new(&template.cluster, &name, format!("{case}: another session"));
        other.run("DELETE FROM t WHERE id % 5 = 3");
        session
            .client
            .script("SET enable_seqscan = off; SET enable_sort = off; SET enable_hashjoin = off")
            .unwrap();
        // Errors are caught, and the transaction goes on.
        session.client.script("BEGIN").unwrap();
        let reads = READS.iter().map(|query| query.replace("{table}", "t"));
        let writes =
            (0..20).map(|row| format!("INSERT INTO t VALUES (hashint8extended({row}, 9))"));
        let merge = "SELECT learned_retrain('t_k')".to_owned();
        for statement in reads.chain(writes).chain([merge]) {
            session.client.script("SAVEPOINT before").unwrap();
            let end = match session.run(&statement) {
                true => "RELEASE before",
                false => "ROLLBACK TO before",
            };
            session.client.script(end).unwrap();
        }
        // Takes a cleanup lock on each page up to the damaged one, and then the exclusion anew. A
        // pin or a lock that was left would let the time run out.
        other.run("VACUUM t");
        other.run("INSERT INTO t VALUES (hashint8extended(21, 9))");
        other.run("SELECT learned_retrain('t_k')");
        session.client.script("ROLLBACK").unwrap();
        drop((session, other));
        template.client.script(&format!("DROP DATABASE {name} (FORCE)")).unwrap();
    }
    assert_no_crash(&template.cluster);
}
