//! `pg_upgrade` from an older PostgreSQL, which `OMENDB_LEARNED_OLD_PG_CONFIG` names: the files of
//! the indexes are taken over as they are.

use server_tests::{Cluster, Script, Shutdown, Subject};

use super::zoo;

fn upgrade(how: &str) {
    let old = match Cluster::start_old("") {
        Ok(old) => old,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let mut client = old.connect();
    zoo::create(&mut client);
    zoo::assert_exact(&mut client);
    let before = zoo::rows(&mut client);
    let definitions = zoo::definitions(&mut client);
    drop(client);
    old.stop(Shutdown::Clean);

    let new = old.upgraded(how, "");
    new.launch();
    let mut client = new.connect();
    assert!(zoo::rows(&mut client) == before, "other rows than before");
    // What PostgreSQL 17 and later say NULL for was -1.
    let after = zoo::definitions(&mut client);
    assert_eq!(after.len(), definitions.len(), "{after:#?} instead of {definitions:#?}");
    zoo::assert_exact(&mut client);
    zoo::change(&mut client, 0);
    zoo::assert_exact(&mut client);
    drop(client);

    // Replay over files of the old server, and an init fork that the new one has made.
    new.restart(Shutdown::Kill);
    let mut client = new.connect();
    assert!(Subject::of("unlogged").rows(&mut client).unwrap().is_empty());
    zoo::assert_exact(&mut client);
    client.script("REINDEX DATABASE postgres").unwrap();
    zoo::change(&mut client, 1);
    zoo::assert_exact(&mut client);
    assert!(!new.log().contains("PANIC"), "{}", new.log());
}

#[test]
fn indexes_that_pg_upgrade_copies_are_sound_and_go_on() {
    upgrade("--copy");
}

#[test]
fn indexes_that_pg_upgrade_links_are_sound_and_go_on() {
    upgrade("--link");
}
