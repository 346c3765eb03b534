//! Memory that runs out: the statement that asked gets an ERROR, and no other session notices.
//!
//! A backend's memory is limited to what it has and a little more. Before the next
//! statement another backend is there: memory that an earlier one has freed would do.

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{
    Cluster, Script, Subject, access_method, check, is_learned, learned_options, limit_memory,
    pid_of, retrain,
};

/// Kilobytes that a backend may have in addition.
const LIMITS: [u64; 14] =
    [0, 64, 256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 16384, 32768, 131_072];

/// What came of statements under limits.
#[derive(Debug, Default)]
struct Outcomes {
    succeeded: usize,
    /// In the server's own code, or in that of the index.
    failed: usize,
    failed_in_index: usize,
}

struct Limited {
    cluster: Cluster,
    /// Lives through everything, unlimited.
    witness: Client,
    started: String,
}

const STARTED: &str = "SELECT pg_postmaster_start_time()::text";

impl Limited {
    fn start() -> Self {
        let cluster = Cluster::start_with("max_worker_processes = 0");
        let mut witness = cluster.connect();
        witness
            .script(
                "CREATE TABLE t (k int8, id int4);
                 INSERT INTO t SELECT hashint8extended(g, 1), g FROM generate_series(1, 400000) g;
                 INSERT INTO t SELECT NULL, g FROM generate_series(1, 1000) g",
            )
            .unwrap();
        let started = witness.query_one(STARTED, &[]).unwrap().get(0);
        Self { cluster, witness, started }
    }

    /// Runs `statement` under each limit, after `prepare` in the same session without one.
    /// After each, everybody else goes on, and so does the session.
    fn under_limits(
        &mut self,
        prepare: &str,
        statement: &str,
        after: impl FnMut(&mut Client),
    ) -> Outcomes {
        self.under(&LIMITS, prepare, statement, after)
    }

    fn under(
        &mut self,
        limits: &[u64],
        prepare: &str,
        statement: &str,
        mut after: impl FnMut(&mut Client),
    ) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for &more in limits {
            let mut client = self.cluster.connect();
            let pid = pid_of(&mut client);
            if is_learned() {
                // Without the memory for it, the server does not load the library.
                client.script("LOAD 'omendb_learned'").unwrap();
            }
            client.script(prepare).unwrap();
            limit_memory(pid, Some(more));
            match client.script(statement) {
                Ok(()) => outcomes.succeeded += 1,
                Err(error) => {
                    let error = error.as_db_error().unwrap_or_else(|| {
                        panic!("{statement} with {more} kB more: the connection broke: {error}")
                    });
                    assert_eq!(error.code(), &SqlState::OUT_OF_MEMORY, "{error:?}");
                    outcomes.failed += 1;
                    let ours = |detail: &str| {
                        detail.starts_with("Failed on request of size")
                            && !detail.contains("memory context")
                    };
                    outcomes.failed_in_index += usize::from(error.detail().is_some_and(ours));
                }
            }
            limit_memory(pid, None);
            after(&mut client);
            let started: String = self.witness.query_one(STARTED, &[]).unwrap().get(0);
            assert_eq!(started, self.started);
        }
        let log = self.cluster.log();
        assert!(!log.contains("terminated by signal") && !log.contains("PANIC"), "{log}");
        println!("{statement}: {outcomes:?}");
        outcomes
    }
}

/// `CREATE INDEX` of a table's rows.
fn create(unique: &str) -> String {
    let options = learned_options("auto_retrain = off");
    format!("CREATE {unique} INDEX t_k ON t USING {} (k){options}", access_method())
}

impl Outcomes {
    /// Something failed in the index, and something succeeded.
    fn assert_both(&self) {
        assert!(self.succeeded > 0, "{self:?}");
        assert!(self.failed > 0 && (self.failed_in_index > 0 || !is_learned()), "{self:?}");
    }
}

#[test]
fn a_build_without_memory_fails_and_succeeds_later() {
    let mut limited = Limited::start();
    for unique in ["", "UNIQUE"] {
        for memory in ["1GB", "4MB"] {
            let prepare = format!("SET maintenance_work_mem = '{memory}'");
            let outcomes = limited.under_limits(&prepare, &create(unique), |client| {
                client.script("DROP INDEX IF EXISTS t_k").unwrap();
                client.script(&create(unique)).unwrap();
                check(client, "t_k");
                client.script("DROP INDEX t_k").unwrap();
            });
            assert!(outcomes.succeeded > 0 && outcomes.failed > 0, "{outcomes:?}");
        }
    }
}

#[test]
fn a_merge_without_memory_fails_and_goes_on_later() {
    let mut limited = Limited::start();
    limited.witness.script(&create("")).unwrap();
    if !is_learned() {
        return;
    }
    let waiting = "INSERT INTO t SELECT hashint8extended(g, 2), g FROM generate_series(1, 30000) g";
    let statement = "SELECT learned_retrain('t_k')";
    let outcomes = limited.under_limits(waiting, statement, |client| {
        check(client, "t_k");
    });
    outcomes.assert_both();
    retrain(&mut limited.witness, "t_k");
    limited.witness.script("VACUUM t").unwrap();
    assert_eq!(check(&mut limited.witness, "t_k").lost_pages, 0);
    Subject::of("t").assert_exact(&mut limited.witness);
}

#[test]
fn vacuum_without_memory_fails_and_removes_what_is_dead_later() {
    let mut limited = Limited::start();
    limited.witness.script(&create("")).unwrap();
    limited.witness.script("SET enable_seqscan = on; ANALYZE t").unwrap();
    let outcomes = limited.under_limits(
        "DELETE FROM t WHERE id % 10 = 3;
         INSERT INTO t SELECT hashint8extended(g, 3), g FROM generate_series(1, 40000) g",
        "VACUUM t",
        |client| {
            check(client, "t_k");
        },
    );
    assert!(outcomes.succeeded > 0 && outcomes.failed > 0, "{outcomes:?}");
    limited.witness.script("VACUUM t").unwrap();
    assert_eq!(check(&mut limited.witness, "t_k").lost_pages, 0);
    Subject::of("t").assert_exact(&mut limited.witness);
}

#[test]
fn a_session_without_memory_fails_to_read_and_to_write_and_goes_on() {
    let mut limited = Limited::start();
    limited.witness.script(&create("")).unwrap();
    limited
        .witness
        .script(
            "CREATE TABLE wanted AS SELECT array_agg(hashint8extended(g, 1)) AS keys FROM \
             generate_series(1, 100000) g; VACUUM ANALYZE t",
        )
        .unwrap();
    let index = "SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off";
    let list = "SELECT count(*) FROM t WHERE k = ANY ((SELECT keys FROM wanted)::int8[])";
    let before = "SELECT count(*) FROM wanted";
    for (prepare, statement) in [
        // Nothing of the index is known yet; or all of it.
        (format!("{index}; {before}"), list),
        (format!("{index}; {list}"), list),
        (format!("{index}; {before}"), "SELECT sum(id) FROM (SELECT id FROM t ORDER BY k) s"),
        (format!("{index}; {before}"), "SELECT learned_check('t_k', true)"),
    ] {
        if !is_learned() && statement.contains("learned") {
            continue;
        }
        limited.under_limits(&prepare, statement, |client| {
            let found: i64 = client.query_one(list, &[]).unwrap().get(0);
            assert_eq!(found, 100_000);
        });
    }
    let mut written = 0;
    let insert = "INSERT INTO t SELECT hashint8extended(g, 4), g FROM generate_series(1, 20000) g";
    let outcomes = limited.under_limits("SELECT 1", insert, |client| {
        written += 1;
        client
            .script("INSERT INTO t SELECT hashint8extended(g, 5), g FROM generate_series(1, 10) g")
            .unwrap();
        check(client, "t_k");
    });
    assert!(outcomes.succeeded > 0 && written == LIMITS.len(), "{outcomes:?}");
    Subject::of("t").assert_exact(&mut limited.witness);
}

#[test]
fn a_session_that_runs_out_of_memory_anywhere_goes_on() {
    let mut limited = Limited::start();
    limited.witness.script(&create("")).unwrap();
    limited.witness.script("VACUUM ANALYZE t").unwrap();
    // In steps of less than one small allocation.
    let limits: Vec<u64> = (0..520).step_by(8).collect();
    let index = "SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off";
    for statement in [
        "SELECT sum(id) FROM (SELECT id FROM t ORDER BY k) s",
        "INSERT INTO t SELECT hashint8extended(g, 6), g FROM generate_series(1, 3000) g",
    ] {
        let outcomes = limited.under(&limits, index, statement, |client| {
            let found = "SELECT count(*) FROM t WHERE k = hashint8extended(77, 1)";
            assert_eq!(client.query_one(found, &[]).unwrap().get::<_, i64>(0), 1);
        });
        assert!(outcomes.succeeded > 0 && outcomes.failed > 0, "{outcomes:?}");
    }
    check(&mut limited.witness, "t_k");
    Subject::of("t").assert_exact(&mut limited.witness);
}

#[test]
fn a_statement_without_memory_leaves_nothing_locked_or_pinned() {
    let mut limited = Limited::start();
    limited.witness.script(&create("")).unwrap();
    limited.witness.script("SET statement_timeout = '60s'").unwrap();
    let fill = "INSERT INTO t SELECT hashint8extended(g, 7), g FROM generate_series(1, 30000) g";
    let mut failed = 0;
    for more in [0, 600, 700, 800, 1_000, 1_500, 2_000, 3_000] {
        limited.witness.script(fill).unwrap();
        limited.witness.script("DELETE FROM t WHERE id % 50 = 7").unwrap();
        let mut client = limited.cluster.connect();
        let pid = pid_of(&mut client);
        let merge = if is_learned() { "SELECT learned_retrain('t_k')" } else { "SELECT 1" };
        client
            .script(
                "SET enable_seqscan = off; SET enable_sort = off; SELECT k FROM t LIMIT 1; BEGIN",
            )
            .unwrap();
        for statement in [
            "SELECT sum(id) FROM (SELECT id FROM t ORDER BY k) s",
            "INSERT INTO t SELECT hashint8extended(g, 8), g FROM generate_series(1, 5000) g",
            merge,
        ] {
            client.script("SAVEPOINT before").unwrap();
            limit_memory(pid, Some(more));
            let done = client.script(statement);
            limit_memory(pid, None);
            if let Err(error) = done {
                assert_eq!(error.code(), Some(&SqlState::OUT_OF_MEMORY), "{error:?}");
                client.script("ROLLBACK TO before").unwrap();
                failed += 1;
            }
        }
        // The transaction goes on, and nobody waits for it.
        limited.witness.script("VACUUM t").unwrap();
        retrain(&mut limited.witness, "t_k");
        client.script("COMMIT").unwrap();
        check(&mut limited.witness, "t_k");
    }
    assert!(failed > 3, "only {failed} statements ran out of memory");
    Subject::of("t").assert_exact(&mut limited.witness);
}

#[test]
fn a_build_in_the_least_memory_spills_hundreds_of_runs_and_is_whole() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let least: String = client
        .query_one(
            "SELECT min_val || unit FROM pg_settings WHERE name = 'maintenance_work_mem'",
            &[],
        )
        .unwrap()
        .get(0);
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4);
             INSERT INTO t SELECT hashint8extended(g, 1), g FROM generate_series(1, 1000000) g;
             SET maintenance_work_mem = '{least}'; {}; {}; RESET maintenance_work_mem",
            create(""),
            create("UNIQUE").replace("t_k", "t_u"),
        ))
        .unwrap();
    check(&mut client, "t_k");
    check(&mut client, "t_u");
    Subject::of("t").assert_exact(&mut client);
}
