//! How many workers there are, for whom, and what they do about an index that cannot be merged.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{
    Cluster, Job, LEFT_UNMERGED, Script, Shutdown, SmallDisk, Subject, check, is_learned,
    run_together, wait_until,
};

/// Says so, where there is no worker to test.
fn skipped() -> bool {
    if !is_learned() {
        println!("skipped: only a learned index has a worker");
    }
    !is_learned()
}

/// A table whose index is merged by a worker from 50,000 rows on.
fn create(client: &mut Client, table: &str) {
    client
        .script(&format!(
            "CREATE TABLE {table} (k int8, id int4);
             INSERT INTO {table} SELECT hashint8extended(g, 1), g FROM generate_series(1, 10000) g;
             CREATE INDEX {table}_k ON {table} USING learned (k) WITH (retrain_threshold = 1)"
        ))
        .unwrap();
}

fn insert(client: &mut Client, table: &str, rows: u32) -> Result<(), postgres::Error> {
    client.script(&format!(
        "INSERT INTO {table} SELECT hashint8extended((random() * 1e15)::int8, 1), g
             FROM generate_series(10001, 10000 + {rows}) g"
    ))
}

fn number(client: &mut Client, query: &str) -> i64 {
    client.query_one(query, &[]).unwrap().get(0)
}

fn wait_until_merged(client: &mut Client, index: &str) {
    wait_until(&format!("{index} is merged"), || check(client, index).unmerged <= LEFT_UNMERGED);
}

const WORKERS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'learned retrain'";

/// The workers that are merging now.
const MERGING: &str = "SELECT count(*) FROM pg_stat_activity
                       WHERE backend_type = 'learned retrain' AND state = 'active'";

#[test]
#[expect(clippy::too_many_lines, reason = "one course of events")]
fn twelve_tables_loaded_at_once_are_all_merged_by_few_workers_and_leave_slots_to_queries() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start_with("max_worker_processes = 8");
    let mut client = cluster.connect();
    client.script("CREATE TABLE facts AS SELECT g FROM generate_series(1, 300000) g").unwrap();
    let tables: Vec<String> = (0..12).map(|i| format!("t{i}")).collect();
    tables.iter().for_each(|table| create(&mut client, table));
    let (most, seen) = (AtomicI64::new(0), AtomicI64::new(0));
    let loading = AtomicI64::new(12);
    let (mut watcher, mut queries) = (cluster.connect(), cluster.connect());
    queries
        .script(
            "SET max_parallel_workers_per_gather = 4; SET parallel_setup_cost = 0;
             SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0",
        )
        .unwrap();
    let mut short = Vec::new();
    let mut left = tables.clone();
    std::thread::scope(|scope| {
        for table in &tables {
            let (mut client, loading) = (cluster.connect(), &loading);
            scope.spawn(move || {
                insert(&mut client, table, 80_000).unwrap();
                loading.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let start = Instant::now();
        while !left.is_empty() {
            let merging = number(&mut watcher, MERGING);
            most.fetch_max(merging, Ordering::Relaxed);
            seen.fetch_add(merging, Ordering::Relaxed);
            let plan = queries
                .query("EXPLAIN (ANALYZE, TIMING off, SUMMARY off) SELECT count(*) FROM facts", &[])
                .unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get::<_, String>(0)).collect();
            let workers = |what: &str| {
                let line = plan.iter().find_map(|line| line.trim().strip_prefix(what));
                line.unwrap_or_else(|| panic!("{plan:?}")).trim().parse::<i64>().unwrap()
            };
            let (planned, launched) = (workers("Workers Planned:"), workers("Workers Launched:"));
            assert!(planned >= 2, "{plan:?}");
            if launched < planned {
                short.push((planned, launched));
            }
            if loading.load(Ordering::Relaxed) == 0 {
                let merged = |table: &String| {
                    check(&mut watcher, &format!("{table}_k")).unmerged <= LEFT_UNMERGED
                };
                if left.first().is_some_and(merged) {
                    left.remove(0);
                }
            }
            assert!(start.elapsed() < Duration::from_secs(120), "{left:?} are never merged");
        }
    });
    let (most, seen) = (most.into_inner(), seen.into_inner());
    assert!(seen > 0, "no worker was ever seen");
    assert!(most <= 2, "{most} workers merged at the same time");
    assert!(short.is_empty(), "planned and launched: {short:?}");
    for table in tables {
        check(&mut client, &format!("{table}_k"));
    }
}

#[test]
fn rows_that_come_right_after_a_worker_has_ended_are_merged_without_another_insert() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "t");
    for _ in 0..10 {
        // The last page that fills up is the last time that the session looks.
        insert(&mut client, "t", 75_000).unwrap();
        wait_until_merged(&mut client, "t_k");
    }
    wait_until("no worker has stayed", || number(&mut client, WORKERS) == 0);
}

#[test]
fn an_index_is_merged_when_the_session_that_loads_it_unlocks_its_table() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start_with("omendb_learned.max_merge_workers = 1");
    let (mut client, mut other) = (cluster.connect(), cluster.connect());
    create(&mut client, "t");
    create(&mut client, "u");
    client.script("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    insert(&mut client, "t", 80_000).unwrap();
    // The worker does not wait for the lock while others need it.
    insert(&mut other, "u", 80_000).unwrap();
    wait_until_merged(&mut other, "u_k");
    insert(&mut client, "t", 5_000).unwrap();
    client.script("COMMIT").unwrap();
    wait_until_merged(&mut client, "t_k");
}

#[test]
fn the_limit_of_workers_is_the_servers_and_can_be_changed() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start_with("omendb_learned.max_merge_workers = 0");
    let mut client = cluster.connect();
    create(&mut client, "t");
    let error = client.script("SET omendb_learned.max_merge_workers = 3").expect_err("a SET");
    assert_eq!(error.code(), Some(&SqlState::CANT_CHANGE_RUNTIME_PARAM), "{error:?}");
    insert(&mut client, "t", 80_000).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(check(&mut client, "t_k").unmerged, 80_000);
    client
        .script("ALTER SYSTEM SET omendb_learned.max_merge_workers = 1; SELECT pg_reload_conf()")
        .unwrap();
    wait_until("the limit is known", || {
        insert(&mut client, "t", 1_000).unwrap();
        check(&mut client, "t_k").unmerged <= LEFT_UNMERGED
    });
    Subject::of("t").assert_exact(&mut client);
}

#[test]
fn a_database_gets_its_turn_while_another_is_loaded_all_the_time() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start_with("omendb_learned.max_merge_workers = 1");
    let mut client = cluster.connect();
    client.script("CREATE DATABASE other").unwrap();
    let mut other = cluster.connect_to("other");
    other.script("CREATE EXTENSION omendb_learned").unwrap();
    create(&mut other, "t");
    for table in ["a", "b", "c"] {
        create(&mut client, table);
    }
    // This one is due all the time and cannot be merged, so that there is always something left to
    // do in its database.
    let mut locker = cluster.connect();
    locker.script("BEGIN; LOCK TABLE a IN ACCESS EXCLUSIVE MODE").unwrap();
    insert(&mut locker, "a", 80_000).unwrap();
    let mut jobs = Vec::new();
    for table in ["b", "c"] {
        let mut client = cluster.connect();
        jobs.push(Job::endless(table, move || insert(&mut client, table, 60_000).unwrap()));
    }
    let mut turns = 0;
    jobs.push(Job::new("other", || {
        // Nobody asks again after that.
        insert(&mut other, "t", 80_000).unwrap();
        wait_until_merged(&mut other, "t_k");
        turns += 1;
        if turns == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }));
    run_together(Duration::from_secs(180), jobs);
    assert_eq!(turns, 2, "the other database was not merged");
    insert(&mut locker, "a", 5_000).unwrap();
    locker.script("COMMIT").unwrap();
    for table in ["a", "b", "c"] {
        wait_until_merged(&mut client, &format!("{table}_k"));
    }
}

#[test]
fn a_database_can_be_dropped_and_copied_at_once_while_it_is_merged() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for round in 0..4u64 {
        client.script("CREATE DATABASE brief").unwrap();
        let mut inside = cluster.connect_to("brief");
        inside.script("CREATE EXTENSION omendb_learned").unwrap();
        for table in ["a", "b", "c", "d", "e", "f"] {
            create(&mut inside, table);
            insert(&mut inside, table, 60_000).unwrap();
        }
        drop(inside);
        std::thread::sleep(Duration::from_millis(20 * round));
        // Both wait for five seconds at most, until no session is connected.
        client.script("CREATE DATABASE copy TEMPLATE brief").unwrap();
        client.script("DROP DATABASE brief; DROP DATABASE copy").unwrap();
    }
}

/// Lines of the server's log that say that an index could not be merged.
fn failures(cluster: &Cluster) -> usize {
    cluster.log().lines().filter(|line| line.contains("could not merge index public.t_k")).count()
}

/// Inserts by three sessions, new ones again and again, into an index that cannot be merged, until
/// the merge was tried `attempts` times; asserts that the pauses grow.
fn insert_in_vain(cluster: &Cluster, rows: u32, attempts: usize, meanwhile: impl FnMut() + Send) {
    let (before, start) = (failures(cluster), Instant::now());
    let job = |name: &str| {
        Job::endless(name, || {
            let _ = insert(&mut cluster.connect(), "t", rows);
            std::thread::sleep(Duration::from_millis(5));
        })
    };
    let mut jobs = vec![job("one"), job("two"), job("three"), Job::endless("meanwhile", meanwhile)];
    jobs.push(Job::new("watcher", || {
        std::thread::sleep(Duration::from_millis(10));
        if failures(cluster) - before < attempts {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }));
    run_together(Duration::from_secs(60), jobs);
    let failed = failures(cluster) - before;
    // After 1, 2, 4 seconds: whatever the machine, there were not more attempts than that.
    let most = (start.elapsed().as_secs() + 2).ilog2() as usize + 1;
    assert!(failed >= attempts, "{failed} attempts: {}", cluster.log());
    assert!(failed <= most, "{failed} attempts in {:?}:\n{}", start.elapsed(), cluster.log());
}

#[test]
fn a_damaged_index_is_tried_more_and_more_seldom_and_merged_once_it_is_rebuilt() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "t");
    create(&mut client, "healthy");
    let path = cluster.file_of(&mut client, "t_k");
    cluster.stop(Shutdown::Clean);
    let mut bytes = std::fs::read(&path).unwrap();
    // The first leaf.
    bytes[8192 + 200..8192 + 210].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    cluster.launch();
    let mut client = cluster.connect();
    client.script("ALTER INDEX t_k SET (auto_retrain = off)").unwrap();
    insert(&mut client, "t", 60_000).unwrap();
    client.script("ALTER INDEX t_k SET (auto_retrain = on)").unwrap();
    insert_in_vain(&cluster, 400, 4, || std::thread::sleep(Duration::from_millis(200)));
    let log = cluster.log();
    assert!(log.contains("index \"t_k\" is corrupted at block 1"), "{log}");
    assert!(log.contains("Please REINDEX it."), "{log}");
    // It holds no other up.
    insert(&mut client, "healthy", 80_000).unwrap();
    wait_until_merged(&mut client, "healthy_k");
    // At once after that, however long it would have been left alone.
    let failed = failures(&cluster);
    client.script("REINDEX INDEX t_k").unwrap();
    insert(&mut client, "t", 80_000).unwrap();
    wait_until_merged(&mut client, "t_k");
    assert_eq!(failures(&cluster), failed, "{}", cluster.log());
    Subject::of("t").assert_exact(&mut client);
}

#[test]
fn a_full_disk_is_tried_more_and_more_seldom_and_again_when_there_is_space() {
    if skipped() {
        return;
    }
    // Dropped after the cluster that uses it.
    let Some(disk) = SmallDisk::mount(64 << 10) else {
        return println!("skipped: a file system cannot be mounted here");
    };
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "t");
    client
        .script(&format!(
            "CREATE TABLESPACE small LOCATION '{}'; ALTER INDEX t_k SET TABLESPACE small;
             ALTER INDEX t_k SET (auto_retrain = off)",
            disk.path().display()
        ))
        .unwrap();
    insert(&mut client, "t", 60_000).unwrap();
    client.script("CHECKPOINT").unwrap();
    // Room for two pages now and then, less than a range of a merge needs: a session asks when its
    // insert takes one.
    let make_room = || {
        std::thread::sleep(Duration::from_millis(200));
        disk.leave(16);
    };
    // Inserts fail too, once the page is full that they go to.
    client.script("ALTER INDEX t_k SET (auto_retrain = on)").unwrap();
    insert_in_vain(&cluster, 1_000, 3, make_room);
    assert!(cluster.log().contains("No space left on device"), "{}", cluster.log());
    disk.resize(64 << 10);
    // By itself, at the next attempt.
    wait_until("it is merged", || {
        insert(&mut client, "t", 1_000).unwrap();
        check(&mut client, "t_k").unmerged <= LEFT_UNMERGED
    });
    // At once after it was merged otherwise, though it would have been left alone for 8 s: no
    // insert comes later.
    for statement in ["SELECT learned_retrain('t_k')", "VACUUM t"] {
        client.script("ALTER INDEX t_k SET (auto_retrain = off)").unwrap();
        insert(&mut client, "t", 80_000).unwrap();
        client.script("CHECKPOINT").unwrap();
        disk.leave(8);
        client.script("ALTER INDEX t_k SET (auto_retrain = on)").unwrap();
        insert_in_vain(&cluster, 1_000, 4, make_room);
        disk.resize(64 << 10);
        client.script(statement).unwrap();
        insert(&mut client, "t", 90_000).unwrap();
        wait_until_merged(&mut client, "t_k");
    }
    Subject::of("t").assert_exact(&mut client);
}

#[test]
fn a_worker_loads_the_library_of_the_session_that_asks_for_it() {
    if skipped() {
        return;
    }
    let pg_config = std::env::var("PG_CONFIG").unwrap_or_else(|_| "pg_config".to_owned());
    let output = std::process::Command::new(pg_config).arg("--pkglibdir").output().unwrap();
    let directory = String::from_utf8(output.stdout).unwrap();
    let cluster = Cluster::bare("dynamic_library_path = '/nowhere'");
    // A copy, and the one of the installation.
    let elsewhere = cluster.new_directory("elsewhere");
    let copy = elsewhere.join("omendb_learned.so");
    std::fs::copy(std::path::Path::new(directory.trim()).join("omendb_learned.so"), copy).unwrap();
    for (database, path) in [("one", elsewhere.to_str().unwrap()), ("two", "$libdir")] {
        cluster
            .connect()
            .script(&format!(
                "CREATE DATABASE {database}; ALTER ROLE postgres SET dynamic_library_path = \
                 '{path}'"
            ))
            .unwrap();
        let mut client = cluster.connect_to(database);
        client.script("CREATE EXTENSION omendb_learned").unwrap();
        create(&mut client, "t");
        insert(&mut client, "t", 80_000).unwrap();
        wait_until_merged(&mut client, "t_k");
        Subject::of("t").assert_exact(&mut client);
    }
    assert!(!cluster.log().contains("could not"), "{}", cluster.log());
}
