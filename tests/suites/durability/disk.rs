//! A full disk under the index.

use postgres::Client;
use postgres::error::SqlState;
use server_tests::{
    Cluster, Script, SmallDisk, Subject, access_method, is_learned, learned_options, retrain,
    try_retrain,
};

fn assert_full(error: &postgres::Error) {
    assert_eq!(error.code(), Some(&SqlState::DISK_FULL), "{error:?}");
}

fn insert(client: &mut Client, rows: u32) -> Result<(), postgres::Error> {
    client.script(&format!(
        "INSERT INTO t SELECT hashint8extended(nextval('ids'), 1), currval('ids')
         FROM generate_series(1, {rows})"
    ))
}

#[test]
fn a_full_disk_fails_inserts_and_merges_and_leaves_the_index_intact() {
    // Dropped after the cluster that uses it.
    let Some(disk) = SmallDisk::mount(64 << 10) else {
        return println!("skipped: a file system cannot be mounted here");
    };
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE TABLESPACE small LOCATION '{}';
             CREATE SEQUENCE ids; CREATE TABLE t (k int8, id int4);
             CREATE INDEX t_k ON t USING {} (k){} TABLESPACE small",
            disk.path().display(),
            access_method(),
            learned_options("auto_retrain = off"),
        ))
        .unwrap();
    let subject = Subject::of("t");
    insert(&mut client, 30_000).unwrap();
    client.script("REINDEX INDEX t_k; CHECKPOINT").unwrap();
    insert(&mut client, 30_000).unwrap();

    // No place for the pages that a merge makes.
    client.script("CHECKPOINT").unwrap();
    disk.leave(64);
    if is_learned() {
        for _ in 0..3 {
            assert_full(&try_retrain(&mut client, "t_k").expect_err("a merge without place"));
            subject.assert_exact(&mut client);
        }
    }
    // Small inserts, in pages that there are, may succeed; many do not.
    let mut failed = 0;
    for rows in [1, 100, 20_000, 100_000, 1, 100_000] {
        if let Err(error) = insert(&mut client, rows) {
            assert_full(&error);
            failed += 1;
        }
        subject.assert_exact(&mut client);
    }
    assert!(failed >= 2, "the disk was never full");
    client.script("DELETE FROM t WHERE id % 2 = 0").unwrap();
    // Noting which pages are free may take a page of the free space map.
    if let Err(error) = client.script("VACUUM t") {
        assert_full(&error);
    }
    subject.assert_exact(&mut client);

    disk.resize(256 << 10);
    insert(&mut client, 20_000).unwrap();
    subject.assert_exact(&mut client);
    retrain(&mut client, "t_k");
    subject.assert_exact(&mut client);
    client.script("VACUUM t; REINDEX INDEX t_k").unwrap();
    subject.assert_exact(&mut client);
    assert!(!cluster.log().contains("PANIC"), "{}", cluster.log());
}
