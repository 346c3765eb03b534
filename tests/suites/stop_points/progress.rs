//! What `pg_stat_progress_create_index` shows at chosen points of a build.

use postgres::Client;
use server_tests::{Cluster, Script, Stop, in_background, pid_of};

const ROWS: i64 = 200_000;
/// With many pages.
const CREATE: &str = "CREATE INDEX t_k ON t USING learned (k) WITH (fillfactor = 10)";

/// A cluster with a table of keys in order or not.
fn cluster_of(keys: &str) -> Cluster {
    let cluster = Cluster::start_with_stops("");
    cluster
        .connect()
        .script(&format!(
            "CREATE TABLE t (k int8);
             INSERT INTO t SELECT {keys} FROM generate_series(1, {ROWS}) g"
        ))
        .unwrap();
    cluster
}

/// Phase, rows done and in all, blocks done and in all.
fn progress(client: &mut Client) -> (String, [i64; 4]) {
    let query = "SELECT phase, tuples_done, tuples_total, blocks_done, blocks_total
                 FROM pg_stat_progress_create_index WHERE relid = 't'::regclass";
    let row = client.query_one(query, &[]).unwrap();
    (row.get(0), [1, 2, 3, 4].map(|column| row.get(column)))
}

/// Runs a statement, and looks at its progress when it is held at some points, one after the other.
fn progress_at(
    cluster: &Cluster,
    statement: &str,
    points: &[(&str, u32)],
) -> Vec<(String, [i64; 4])> {
    let (mut worker, mut watcher) = (cluster.connect(), cluster.connect());
    let pid = Some(pid_of(&mut worker));
    let hold = |&(point, passes): &(&str, u32)| cluster.stop_at(point, pid, passes);
    let mut points = points.iter();
    let mut held: Option<Stop> = points.next().map(hold);
    let build = in_background(worker, statement);
    let mut seen = Vec::new();
    while let Some(stop) = held {
        stop.wait();
        seen.push(progress(&mut watcher));
        held = points.next().map(hold);
        stop.release();
    }
    build.join().unwrap().1.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    seen
}

#[test]
fn a_build_tells_the_rows_that_it_wrote_and_the_pages_that_it_logged() {
    // Rows in order are written while the table is scanned, others behind that.
    let last = format!("CASE WHEN g < {ROWS} THEN g * 100 + g % 7 ELSE 0 END");
    for (keys, written) in [
        ("g * 100 + g % 7", 1..ROWS),
        ("hashint8extended(g, 1)", 0..1),
        // For the sake of the last one all are sorted, and written anew.
        (&last, 1..ROWS),
    ] {
        let cluster = cluster_of(keys);
        let points = [("BuildScanned", 0), ("BuildWritten", 0), ("BuildLogged", 0)];
        for statement in [CREATE, "REINDEX INDEX t_k"] {
            let seen = progress_at(&cluster, statement, &points);
            let pages: i64 = cluster
                .connect()
                .query_one("SELECT pages FROM learned_check('t_k')", &[])
                .unwrap()
                .get(0);
            let [(scanned, rows), (written_to, all), (logged, last)] = &seen[..] else {
                panic!("{seen:?}")
            };
            println!("{statement} of {keys}: {seen:?}");
            assert_eq!(scanned, "building index: sorting, training and writing pages");
            assert!(written.contains(&rows[0]), "{written:?}, {seen:?}");
            assert_eq!(rows[1], ROWS, "{seen:?}");
            assert!(rows[2] == rows[3] && rows[3] > 100, "blocks of the table: {seen:?}");
            assert_eq!(written_to, "building index: logging pages");
            assert_eq!(all[..2], [ROWS, ROWS], "{seen:?}");
            assert_eq!(logged, "building index: logging pages");
            assert_eq!(last[2..], [pages, pages], "{seen:?}");
        }
    }
}

#[test]
fn the_scan_that_validates_an_index_tells_the_entries_that_it_listed() {
    let cluster = cluster_of("hashint8extended(g, 1)");
    let create = CREATE.replace("INDEX", "INDEX CONCURRENTLY");
    let seen = progress_at(&cluster, &create, &[("VacuumBeforePage", 300)]);
    println!("{seen:?}");
    let (phase, [done, total, ..]) = &seen[0];
    assert_eq!(phase, "index validation: scanning index");
    assert_eq!(*total, ROWS);
    assert!(*done > 0 && *done < ROWS, "{seen:?}");
}
