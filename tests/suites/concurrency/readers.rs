//! Readers that compare index scans with a sequential scan of the same snapshot.

use rand::SeedableRng;
use rand::rngs::StdRng;
use server_tests::{Cluster, Job, Script, Subject, run_together, seed, test_duration};

use super::writers;

#[test]
fn a_reader_never_misses_a_row_while_others_write_merge_and_vacuum() {
    read_amid_writes("(k)", 0.8);
}

#[test]
fn so_it_is_with_an_index_on_two_columns() {
    read_amid_writes("(k, note)", 0.3);
}

fn read_amid_writes(columns: &str, share: f64) {
    let cluster = Cluster::start_with("deadlock_timeout = 50ms");
    let mut client = cluster.connect();
    writers::create_on(&mut client, columns);
    let mut jobs = Vec::new();
    // The first keeps a snapshot for one comparison, the second for several.
    for (number, times) in [(0u64, 1), (1, 4)] {
        let mut client = writers::session(&cluster);
        let mut rng = StdRng::seed_from_u64(seed() + 10 + number);
        jobs.push(Job::endless(&format!("reader {number}"), move || {
            client.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").unwrap();
            for _ in 0..times {
                Subject::of("t").compare(&mut client, 4, &mut rng).unwrap();
            }
            client.script("COMMIT").unwrap();
        }));
    }
    jobs.extend(writers::jobs(&cluster));
    let steps = run_together(test_duration(share), jobs);
    println!("steps of 2 readers, inserter, appender, updater, deleter, vacuum, merge: {steps:?}");
    assert!(steps.iter().all(|steps| *steps > 0), "somebody did nothing: {steps:?}");
    writers::assert_exact_at_rest(&mut client);
    assert!(!cluster.log().contains("terminated by signal"), "{}", cluster.log());
}

#[test]
fn keys_that_never_change_are_found_once_by_every_statement() {
    // READ COMMITTED: every statement has a snapshot of its own. Rows of negative ids keep their
    // keys, while others come and go around them.
    let cluster = Cluster::start_with("deadlock_timeout = 50ms");
    let mut client = cluster.connect();
    writers::create(&mut client);
    client.script("INSERT INTO t SELECT g * 11, -g, 0 FROM generate_series(1, 1000) g").unwrap();
    let mut jobs = writers::jobs(&cluster);
    for (path, order) in [
        ("SET enable_bitmapscan = off", "ORDER BY k"),
        ("SET enable_bitmapscan = off", "ORDER BY k DESC"),
        ("SET enable_indexscan = off", ""),
    ] {
        let mut client = writers::session(&cluster);
        client.script(&format!("SET enable_seqscan = off; {path}")).unwrap();
        jobs.push(Job::endless("reader", move || {
            let query = format!("SELECT k, id FROM t WHERE k BETWEEN 11 AND 11000 {order}");
            let rows = server_tests::fetch(&mut client, &query).unwrap();
            let mut kept: Vec<_> = rows.into_iter().filter(|row| row.1 < 0).collect();
            kept.sort_unstable();
            let expected: Vec<_> = (1..=1_000i32).map(|g| (Some(i64::from(g) * 11), -g)).collect();
            assert!(kept == expected, "{} rows by {path} {order}", kept.len());
        }));
    }
    // Heap-only and other updates that leave the key alone: the row moves, the key stays.
    let mut mover = writers::session(&cluster);
    let mut round = 0;
    jobs.push(Job::endless("mover", move || {
        round += 1;
        let update =
            format!("UPDATE t SET note = note + 1 WHERE id < 0 AND id % 50 = -{}", round % 50);
        mover.script(&update).unwrap();
    }));
    let steps = run_together(test_duration(0.2), jobs);
    assert!(steps.iter().all(|steps| *steps > 0), "somebody did nothing: {steps:?}");
}
