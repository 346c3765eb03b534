//! Few rows that many sessions update over and over, so that inserts take out dead entries all the
//! time.

use std::sync::atomic::{AtomicI64, Ordering};

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Job, Script, Subject, access_method, learned_options, run_together, seed,
    test_duration, try_retrain,
};

use super::writers::session;

const KEYS: i64 = 600;
const HOT: i64 = 12;

fn create(client: &mut Client) {
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4);
             INSERT INTO t SELECT g, 0 FROM generate_series(1, {KEYS}) g;
             CREATE UNIQUE INDEX t_k ON t USING {} (k){}; CREATE INDEX t_id ON t (id);
             ANALYZE t",
            access_method(),
            learned_options("retrain_threshold = 1"),
        ))
        .unwrap();
}

#[test]
fn every_snapshot_sees_each_row_once_while_many_sessions_update_a_few() {
    let cluster = Cluster::start_with("deadlock_timeout = 50ms");
    let mut client = cluster.connect();
    create(&mut client);
    let updates = AtomicI64::new(0);
    let updates = &updates;
    let mut jobs: Vec<Job<'_>> = (0..4)
        .map(|number| {
            let mut client = session(&cluster);
            let mut rng = StdRng::seed_from_u64(seed() + number);
            Job::endless("updater", move || {
                let key = match rng.random_range(0..4) {
                    0 => rng.random_range(1..=KEYS),
                    _ => rng.random_range(1..=HOT) * KEYS / HOT,
                };
                let update = format!("UPDATE t SET id = id + 1 WHERE k = {key}");
                match rng.random_range(0..5) {
                    0 => client.script(&format!("BEGIN; {update}; ROLLBACK")).unwrap(),
                    _ => {
                        assert_eq!(client.execute(&update, &[]).unwrap(), 1, "key {key}");
                        updates.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for number in 0..2 {
        let mut reader = session(&cluster);
        let mut rng = StdRng::seed_from_u64(seed() + 100 + number);
        jobs.push(Job::endless("reader", move || {
            reader.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
            // The second time others have changed everything since the snapshot was taken.
            for _ in 0..2 {
                assert_eq!(Subject::of("t").rows(&mut reader).unwrap().len() as i64, KEYS);
                Subject::of("t").compare(&mut reader, 4, &mut rng).unwrap();
            }
            reader.script("COMMIT").unwrap();
        }));
    }
    let mut other = session(&cluster);
    let mut rng = StdRng::seed_from_u64(seed() + 200);
    jobs.push(Job::endless("merge and vacuum", move || {
        try_retrain(&mut other, "t_k").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(rng.random_range(0..200)));
        if rng.random_bool(0.3) {
            other.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
        }
    }));
    let steps = run_together(test_duration(0.3), jobs);
    println!("steps: {steps:?}");
    let rows = Subject::of("t").rows(&mut client).unwrap();
    let sum: i64 = rows.iter().map(|row| i64::from(row.1)).sum();
    assert_eq!((rows.len() as i64, sum), (KEYS, updates.load(Ordering::Relaxed)));
    Subject::of("t").assert_exact(&mut client);
}
