//! The server dies while a session is at a stop point, and comes back.

use server_tests::{Cluster, Script, Shutdown, Subject, check, in_background, pid_of, retrain};

use super::scenes::{SCENES, Scene};
use super::{add_rows, create, writer};

/// What is logged when the server dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logged {
    /// What a commit of another session has flushed: all records up to the stop point.
    Records,
    /// Also the pages themselves, by a checkpoint: recovery begins at the stop point.
    Pages,
    /// Nothing but what was flushed by chance.
    AsItCame,
}

fn prepare(cluster: &Cluster, scene: &Scene) {
    let mut client = cluster.connect();
    client.script("DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS u").unwrap();
    create(&mut client);
    client
        .script("CREATE TABLE u (k int8, id int4); CREATE UNIQUE INDEX u_k ON u USING learned (k)")
        .unwrap();
    client.script(scene.before).unwrap();
}

/// Crashes at a stop point, and asserts that everything committed is there, nothing else is, and
/// everything goes on.
fn crash_at(cluster: &Cluster, scene: &Scene, logged: Logged, how: Shutdown) {
    let Scene { point, passes, statement, .. } = *scene;
    let name = format!("{statement} at {point} ({passes}), {logged:?}");
    prepare(cluster, scene);
    let mut other = writer(cluster);
    let before = Subject::of("t").rows(&mut other).unwrap();
    let mut client = writer(cluster);
    let stop = cluster.stop_at(point, Some(pid_of(&mut client)), passes);
    let held = in_background(client, statement);
    stop.wait();
    let committed = i64::from(logged != Logged::AsItCame);
    if committed == 1 {
        other
            .script("CREATE TABLE IF NOT EXISTS flushed (); INSERT INTO flushed DEFAULT VALUES")
            .unwrap();
    }
    if logged == Logged::Pages {
        other.script("CHECKPOINT").unwrap();
    }
    cluster.stop(how);
    assert!(held.join().unwrap().1.is_err(), "{name}: the statement succeeded");
    stop.release();
    cluster.launch();
    let mut client = writer(cluster);
    let subject = Subject::of("t");
    let after = subject.rows(&mut client).unwrap();
    assert!(before == after, "{name}: {} rows instead of {}", after.len(), before.len());
    // What CONCURRENTLY has left.
    for row in client
        .query("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid", &[])
        .unwrap()
    {
        client.script(&format!("DROP INDEX {}", row.get::<_, String>(0))).unwrap();
    }
    subject.assert_exact(&mut client);
    Subject::of("u").assert_exact(&mut client);
    // Life goes on: inserts, merges, vacuum, and nothing stays lost.
    add_rows(&mut client, 900_000, 500);
    subject.assert_exact(&mut client);
    retrain(&mut client, "t_k");
    subject.assert_exact(&mut client);
    client.script("DELETE FROM t WHERE id % 5 = 0; VACUUM (INDEX_CLEANUP on) t").unwrap();
    add_rows(&mut client, 910_000, 3_000);
    subject.assert_exact(&mut client);
    client.script("VACUUM (INDEX_CLEANUP on) t").unwrap();
    assert_eq!(check(&mut client, "t_k").lost_pages, 0, "{name}");
}

fn crash_everywhere(cluster: &Cluster, logged: Logged, how: Shutdown) {
    for scene in SCENES {
        if logged != Logged::Pages || !scene.locked {
            println!("{} at {} ({})", scene.statement, scene.point, scene.passes);
            crash_at(cluster, scene, logged, how);
        }
    }
    assert!(!cluster.log().contains("PANIC"), "{}", cluster.log());
}

#[test]
fn a_crash_at_any_stop_point_loses_nothing_when_its_records_are_flushed() {
    let cluster = Cluster::start_with_stops("full_page_writes = off");
    crash_everywhere(&cluster, Logged::Records, Shutdown::Crash);
}

#[test]
fn a_crash_at_any_stop_point_loses_nothing_when_its_pages_are_written() {
    let cluster = Cluster::start_with_stops("");
    crash_everywhere(&cluster, Logged::Pages, Shutdown::Crash);
}

#[test]
fn a_crash_at_any_stop_point_loses_nothing_whatever_was_flushed() {
    let cluster = Cluster::start_with_stops("");
    crash_everywhere(&cluster, Logged::AsItCame, Shutdown::Crash);
}
