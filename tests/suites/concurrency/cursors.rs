//! Long scans, in pieces, both ways and with marks, while others write, merge and vacuum.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Job, Script, assert_plan, fetch, run_together, seed, test_duration};

use super::writers;
use crate::cursors::walk;

const SEQUENTIAL: &str = "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;
                          SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = on;
                          SET LOCAL enable_sort = on";
const INDEX: &str = "SET LOCAL enable_indexscan = on; SET LOCAL enable_seqscan = off;
                     SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off";

#[test]
#[expect(clippy::too_many_lines, reason = "one course of events")]
fn scans_in_pieces_return_their_snapshot_while_others_write_merge_and_vacuum() {
    let cluster = Cluster::start_with("deadlock_timeout = 50ms");
    let mut client = cluster.connect();
    writers::create(&mut client);
    let mut jobs = Vec::new();

    // Each piece after a pause, so that pages split, merge and are vacuumed in between.
    let mut slow = writers::session(&cluster);
    let mut rng = StdRng::seed_from_u64(seed());
    jobs.push(Job::endless("slow", move || {
        let order = ["k", "k DESC"][rng.random_range(0..2)];
        let id = ["id", "0"][rng.random_range(0..2)];
        let query =
            format!("SELECT k, {id} FROM t WHERE k BETWEEN 2000 AND 20000 ORDER BY {order}");
        slow.script(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {SEQUENTIAL}")).unwrap();
        let mut expected = fetch(&mut slow, &query).unwrap();
        slow.script(&format!("{INDEX}; SET LOCAL enable_indexonlyscan = {}", id == "0")).unwrap();
        slow.script(&format!("DECLARE c NO SCROLL CURSOR FOR {query}")).unwrap();
        let mut found = Vec::new();
        loop {
            let piece = fetch(&mut slow, "FETCH 400 FROM c").unwrap();
            if piece.is_empty() {
                break;
            }
            found.extend(piece);
            std::thread::sleep(std::time::Duration::from_millis(rng.random_range(0..10)));
        }
        slow.script("COMMIT").unwrap();
        let keys = |rows: &[server_tests::Row]| rows.iter().map(|row| row.0).collect::<Vec<_>>();
        assert!(keys(&found) == keys(&expected), "{}, not {} rows", found.len(), expected.len());
        found.sort_unstable();
        expected.sort_unstable();
        assert!(found == expected, "the same keys of other rows: {query}");
    }));

    // Equal keys have no order of their own, so that a walk needs a condition without any.
    let mut walker = writers::session(&cluster);
    walker
        .script(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
             CREATE TABLE distinct_keys (LIKE t);
             INSERT INTO distinct_keys SELECT g * 3, g, 0 FROM generate_series(1, 5000) g",
        )
        .unwrap();
    walker
        .script(&format!(
            "CREATE INDEX distinct_keys_k ON distinct_keys USING {} (k){}",
            server_tests::access_method(),
            server_tests::learned_options("retrain_threshold = 2"),
        ))
        .unwrap();
    let mut other = writers::session(&cluster);
    let mut round = 0;
    jobs.push(Job::endless("writer of distinct keys", move || {
        // The keys of a round take the places between those of the round before.
        round += 1;
        other
            .script(&format!(
                "DELETE FROM distinct_keys WHERE id % 40 = {round} % 40;
                 INSERT INTO distinct_keys
                     SELECT g * 120 + 3 * ({round} % 40), g * 40 + {round} % 40, 0
                     FROM generate_series(0, 124) g"
            ))
            .unwrap();
        server_tests::try_retrain(&mut other, "distinct_keys_k").unwrap();
        if round % 10 == 0 {
            other.script("VACUUM distinct_keys").unwrap();
        }
    }));
    let mut rng = StdRng::seed_from_u64(seed() + 1);
    jobs.push(Job::endless("walker", move || {
        let order = ["k", "k DESC"][rng.random_range(0..2)];
        let columns = ["k, id", "k"][rng.random_range(0..2)];
        let query = format!("SELECT {columns} FROM distinct_keys WHERE k > 3000 ORDER BY {order}");
        walk(&mut walker, &query, &mut rng);
    }));

    let mut joiner = writers::session(&cluster);
    jobs.push(Job::endless("merge join", move || {
        let query = "SELECT a.id, b.id FROM t a JOIN t b ON a.k = b.k WHERE a.k < 6000";
        let hash = "SET LOCAL enable_mergejoin = off; SET LOCAL enable_hashjoin = on;
                    SET LOCAL enable_nestloop = off";
        let merge = "SET LOCAL enable_mergejoin = on; SET LOCAL enable_hashjoin = off;
                     SET LOCAL enable_material = off";
        joiner
            .script(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {SEQUENTIAL}; {hash}"))
            .unwrap();
        let mut expected = fetch(&mut joiner, query).unwrap();
        joiner.script(&format!("{INDEX}; {merge}")).unwrap();
        assert_plan(&mut joiner, query, &["Merge Join", "t_k"], &["Sort", "Materialize"]);
        let mut found = fetch(&mut joiner, query).unwrap();
        joiner.script("COMMIT").unwrap();
        found.sort_unstable();
        expected.sort_unstable();
        assert!(found == expected, "{} rows instead of {}", found.len(), expected.len());
    }));

    let readers = jobs.len();
    jobs.extend(writers::jobs(&cluster));
    let steps = run_together(test_duration(0.3), jobs);
    println!("steps of slow, writer, walker, merge join, and the writers: {steps:?}");
    assert!(steps[..readers].iter().all(|steps| *steps > 0), "somebody did nothing: {steps:?}");
    writers::assert_exact_at_rest(&mut client);
}
