//! A primary that went on after its standby took over, and is made that one's standby by
//! `pg_rewind`.

use postgres::Client;
use server_tests::{
    Cluster, Script, Shutdown, Subject, access_method, check, learned_options, retrain,
};

const SETTINGS: &str = "wal_level = replica
max_wal_senders = 4
wal_keep_size = 1GB
wal_log_hints = on
wal_consistency_checking = 'generic'
wal_retrieve_retry_interval = 100ms
hot_standby = on";

/// Leaves nothing of the index as it was: other leaves, other delta trees, tombstones.
fn change(client: &mut Client, first: i32) {
    client
        .script(&format!(
            "INSERT INTO t SELECT hashint4({first} + g), {first} + g
                 FROM generate_series(1, 5000) g;
             DELETE FROM t WHERE id % 7 = {first} % 7"
        ))
        .unwrap();
    retrain(client, "t_k");
    client
        .script(&format!(
            "VACUUM (INDEX_CLEANUP on) t;
             INSERT INTO t SELECT {first} + g, -{first} - g FROM generate_series(1, 5000) g;
             UPDATE t SET k = k / 3 WHERE id % 11 = {first} % 11"
        ))
        .unwrap();
}

fn assert_sound(server: &Cluster) {
    let mut client = server.connect();
    check(&mut client, "t_k");
    Subject::of("t").assert_exact(&mut client);
}

#[test]
fn a_rewound_primary_follows_the_one_that_took_over() {
    let mut old = Cluster::start_with(SETTINGS);
    let mut client = old.connect();
    client
        .script(&format!(
            "CREATE TABLE t (k int8, id int4);
             INSERT INTO t SELECT g * 3, g FROM generate_series(1, 20000) g;
             CREATE INDEX t_k ON t USING {} (k){}",
            access_method(),
            learned_options("auto_retrain = off"),
        ))
        .unwrap();
    drop(client);
    let mut new = old.standby();
    // Back and forth: stopped cleanly, and killed, which leaves recovery to pg_rewind.
    for (round, how) in (1..).zip([Shutdown::Clean, Shutdown::Kill]) {
        change(&mut old.connect(), round * 100_000);
        new.catch_up(&old);
        new.promote();
        // Before PostgreSQL 16, pg_rewind learns of the new timeline by a checkpoint only.
        new.connect().script("CHECKPOINT").unwrap();
        // Both change the same pages, each in its way.
        change(&mut old.connect(), round * 100_000 + 20_000);
        change(&mut new.connect(), round * 100_000 + 50_001);
        old.connect().script("REINDEX INDEX t_k").unwrap();
        if how == Shutdown::Kill {
            new.connect().script("REINDEX INDEX CONCURRENTLY t_k").unwrap();
        }
        old.stop(how);
        old.rewind(&new);
        old.launch();
        change(&mut new.connect(), round * 100_000 + 70_000);
        old.catch_up(&new);
        assert_sound(&old);
        assert_sound(&new);
        let subject = Subject::of("t");
        let here = subject.rows(&mut old.connect()).unwrap();
        assert!(here == subject.rows(&mut new.connect()).unwrap(), "other rows");
        std::mem::swap(&mut old, &mut new);
    }
    // The one that was rewound last takes over in turn.
    new.promote();
    let mut client = new.connect();
    change(&mut client, 900_000);
    retrain(&mut client, "t_k");
    client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
    assert_sound(&new);
    assert_eq!(check(&mut client, "t_k").lost_pages, 0);
    for server in [&old, &new] {
        assert!(!server.log().contains("PANIC"), "{}", server.log());
    }
}
