//! Backups taken while others write, merge, vacuum and make indexes; and recovery to moments among
//! all that.

use std::ops::ControlFlow;
use std::time::Duration;

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{
    Cluster, Job, Script, Subject, check, retrain, run_together, seed, test_duration, wait_until,
};

use super::crash::upkeep;
use super::ddl;
use super::ledger::{self, Committed, Ledger};

const SETTINGS: &str = "wal_level = replica\nmax_wal_senders = 4\ndeadlock_timeout = 50ms";

/// Asserts that all indexes of a server that has just recovered are sound, stay so, and have lost
/// nothing after vacuum.
fn assert_usable(client: &mut Client, rng: &mut StdRng) {
    ddl::repair(client, rng);
    ddl::assert_all_exact(client);
    client.script("INSERT INTO t SELECT hashint4(g), -g FROM generate_series(1, 1000) g").unwrap();
    retrain(client, "t_k");
    client.script("DELETE FROM t WHERE id % 3 = 0; VACUUM (INDEX_CLEANUP on) t").unwrap();
    ddl::assert_all_exact(client);
    for name in ddl::names(client) {
        assert_eq!(check(client, &name).lost_pages, 0, "of {name} after VACUUM");
    }
}

#[test]
fn a_base_backup_taken_amid_writes_merges_and_vacuum_holds_some_moment_of_each_writer() {
    let cluster = Cluster::start_with(SETTINGS);
    ledger::create(&mut cluster.connect());
    let ledger = Ledger::new();
    let mut rng = StdRng::seed_from_u64(seed());
    for round in 0..2 {
        ledger.remember();
        let mut taken = None;
        let mut jobs = ledger.writers(&cluster, round);
        jobs.extend(upkeep(&cluster));
        jobs.extend(ddl::jobs(&cluster, round));
        jobs.push(Job::new("backup", || {
            std::thread::sleep(test_duration(0.03));
            taken = Some(cluster.backup());
            ControlFlow::Break(())
        }));
        run_together(Duration::from_secs(120), jobs);
        let backup = taken.unwrap();
        backup.launch();
        let mut client = backup.connect();
        let rows = Subject::of("t").rows(&mut client).unwrap();
        let transactions = ledger.assert_some_moment(&rows);
        println!("{} rows restored, {transactions} transactions of this round", rows.len());
        assert!(transactions > 0, "nobody wrote before the backup's end");
        assert_usable(&mut client, &mut rng);
        assert!(!backup.log().contains("PANIC"), "{}", backup.log());
    }
}

/// Writes, merges, vacuums and rebuilds, and makes restore points meanwhile.
fn name_moments(cluster: &Cluster, ledger: &Ledger, rng: &mut StdRng) -> Vec<(String, Committed)> {
    let number = 3;
    let mut moments: Vec<(String, Committed)> = Vec::new();
    let mut jobs = ledger.writers(cluster, 7);
    jobs.extend(upkeep(cluster));
    jobs.extend(ddl::jobs(cluster, 7));
    let mut client = cluster.connect();
    let named = &mut moments;
    jobs.push(Job::new("restore points", move || {
        std::thread::sleep(test_duration(rng.random_range(0.02..0.06)));
        let name = format!("moment_{}", named.len());
        let point = format!("SELECT pg_create_restore_point('{name}')::text");
        let (_, committed) = ledger.between(|| client.query_one(&point, &[]).unwrap());
        named.push((name, committed));
        if named.len() < number { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }));
    run_together(Duration::from_secs(60) + test_duration(1.0), jobs);
    assert_eq!(moments.len(), number, "the moments took too long");
    moments
}

#[test]
fn recovery_to_a_point_in_time_gives_what_was_committed_by_then_and_sound_indexes() {
    let cluster = Cluster::start_with(&format!("{SETTINGS}\narchive_mode = on"));
    let archive = cluster.new_directory("archive");
    let mut client = cluster.connect();
    client
        .script(&format!(
            "ALTER SYSTEM SET archive_command = 'cp %p {0}/%f.part && mv {0}/%f.part {0}/%f';
             SELECT pg_reload_conf()",
            archive.display()
        ))
        .unwrap();
    ledger::create(&mut client);
    let ledger = Ledger::new();
    let mut rng = StdRng::seed_from_u64(seed());
    let backup = cluster.backup();
    let moments = name_moments(&cluster, &ledger, &mut rng);
    let last: String =
        client.query_one("SELECT pg_walfile_name(pg_switch_wal())", &[]).unwrap().get(0);
    let archived = "SELECT coalesce(last_archived_wal, '') >= $1 FROM pg_stat_archiver";
    wait_until("all WAL is archived", || client.query_one(archived, &[&last]).unwrap().get(0));
    drop(client);

    for (name, committed) in &moments {
        let restored = backup.duplicate();
        restored.recover(&archive, name);
        let mut client = restored.connect();
        let rows = Subject::of("t").rows(&mut client).unwrap();
        println!("{name}: {} rows", rows.len());
        committed.assert_same(&rows);
        assert_usable(&mut client, &mut rng);
        assert!(!restored.log().contains("PANIC"), "{}", restored.log());
    }
}
