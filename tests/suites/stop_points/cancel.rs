//! A statement is cancelled, or its session ended, while it is at a stop point.

use postgres::error::SqlState;
use server_tests::{Cluster, Script, Subject, check, in_background, pid_of, retrain};

use super::scenes::{SCENES, Scene};
use super::{add_rows, create, writer};

/// Interrupts a statement at a stop point, and asserts that it leaves nothing behind: no lock, no
/// pin, no page for good.
fn interrupt_at(cluster: &Cluster, scene: &Scene, interrupt: &str) {
    let Scene { point, passes, before, statement, locked } = *scene;
    let name = format!("{interrupt} of {statement} at {point} ({passes})");
    let mut other = writer(cluster);
    other
        .script(
            "DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS u; CREATE TABLE u (k int8, id int4);
             -- Before version 18 a unique index warns of ON CONFLICT.
             SET log_min_messages = error; CREATE UNIQUE INDEX u_k ON u USING learned (k);
                 RESET log_min_messages",
        )
        .unwrap();
    create(&mut other);
    other.script(before).unwrap();
    let rows = Subject::of("t").rows(&mut other).unwrap();
    let mut client = writer(cluster);
    client.script("SET enable_seqscan = off").unwrap();
    let pid = pid_of(&mut client);
    let stop = cluster.stop_at(point, Some(pid), passes);
    let held = in_background(client, statement);
    stop.wait();
    other.query(&format!("SELECT {interrupt}({pid})"), &[]).unwrap();
    // Nothing interrupts a session while it has a page locked; elsewhere it is while it is held.
    let stop = (!locked).then_some(stop);
    let (client, outcome) = held.join().unwrap();
    drop(stop);
    let error = outcome.expect_err(&name);
    let expected = [SqlState::QUERY_CANCELED, SqlState::ADMIN_SHUTDOWN];
    assert!(error.code().is_none_or(|code| expected.contains(code)), "{name}: {error:?}");

    // The session is still of use, with the directory that it knows.
    let mut sessions = vec![writer(cluster)];
    if interrupt == "pg_cancel_backend" {
        sessions.push(client);
    }
    let subject = Subject::of("t");
    for client in &mut sessions {
        let after = subject.rows(client).unwrap();
        assert!(rows == after, "{name}: {} rows instead of {}", after.len(), rows.len());
        let invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid";
        for row in client.query(invalid, &[]).unwrap() {
            client.script(&format!("DROP INDEX {}", row.get::<_, String>(0))).unwrap();
        }
        subject.assert_exact(client);
        Subject::of("u").assert_exact(client);
    }
    for client in &mut sessions {
        add_rows(client, 900_000, 300);
        retrain(client, "t_k");
        client.script("DELETE FROM t WHERE id >= 900000; VACUUM (INDEX_CLEANUP on) t").unwrap();
        subject.assert_exact(client);
        assert_eq!(check(client, "t_k").lost_pages, 0, "{name}");
    }
}

#[test]
fn a_statement_cancelled_at_any_stop_point_leaves_nothing_behind() {
    let cluster = Cluster::start_with_stops("");
    for scene in SCENES {
        interrupt_at(&cluster, scene, "pg_cancel_backend");
    }
    assert!(!cluster.log().contains("WARNING"), "{}", cluster.log());
}

#[test]
fn a_session_ended_at_any_stop_point_leaves_nothing_behind() {
    let cluster = Cluster::start_with_stops("");
    for scene in SCENES {
        interrupt_at(&cluster, scene, "pg_terminate_backend");
    }
    assert!(!cluster.log().contains("WARNING"), "{}", cluster.log());
}
