//! Cursors and prepared statements of a session that changes its time zone.

use postgres::Client;
use rand::SeedableRng;
use rand::rngs::StdRng;
use server_tests::{Cluster, Script, SqlType, access_method, is_learned, plan_of, seed};

use super::both_ways::outcome;
use super::values::{Spread, pool};
use super::zones::{ZONES, changes};
use crate::counts::snapshot::{Rows, switch};

const QUERY: &str = "SELECT tz::date, count(*), count(tz), extract(epoch FROM min(tz)) FROM t \
                     GROUP BY tz::date";

/// A table of timestamps around the changes of two zones.
fn create(client: &mut Client) {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut around = changes(client, "America/St_Johns", &mut rng);
    around.extend(changes(client, "Pacific/Apia", &mut rng));
    let keys = pool(SqlType::Timestamptz, &Spread::Around(around), &mut rng);
    let rows: Vec<_> =
        keys.iter().map(|key| format!("('{}')", SqlType::Timestamptz.text(*key))).collect();
    client
        .script(&format!(
            "CREATE TABLE t (tz timestamptz); INSERT INTO t VALUES {}, (NULL), (NULL);
             CREATE INDEX ON t USING {} (tz); VACUUM ANALYZE t",
            rows.join(", "),
            access_method()
        ))
        .unwrap();
}

fn sorted(client: &mut Client, text: &str) -> Rows {
    let mut rows = outcome(client, text).unwrap();
    rows.sort();
    rows
}

#[test]
fn a_cursor_keeps_the_time_zone_in_which_it_began() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    for (number, zone) in ZONES.iter().enumerate() {
        let other = ZONES[(number + 3) % ZONES.len()];
        client.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
        client.batch_execute(&format!("SET LOCAL TimeZone = '{zone}'")).unwrap();
        switch(&mut client, false).unwrap();
        let expected = sorted(&mut client, QUERY);
        switch(&mut client, true).unwrap();
        let plan = plan_of(&mut client, QUERY);
        assert_eq!(plan.contains("LearnedCount"), is_learned(), "{plan}");
        for some in [1, 2, 7, 50] {
            let text = format!(
                "SET LOCAL TimeZone = '{zone}'; DECLARE c CURSOR FOR {QUERY}; FETCH {some} FROM c;
                 SET LOCAL TimeZone = '{other}'; FETCH {some} FROM c; {QUERY} LIMIT 0;
                 SET LOCAL TimeZone = 'UTC'; FETCH ALL FROM c; CLOSE c"
            );
            assert_eq!(sorted(&mut client, &text), expected, "{zone}, then {other}");
            // One that is closed early, in the middle of another.
            let text = format!(
                "SET LOCAL TimeZone = '{zone}';
                 DECLARE c CURSOR FOR {QUERY}; MOVE {some} FROM c;
                 DECLARE d CURSOR FOR {QUERY}; MOVE 3 FROM d; CLOSE c; MOVE 3 FROM d; CLOSE d;
                 DECLARE c CURSOR FOR {QUERY}; FETCH ALL FROM c; CLOSE c"
            );
            assert_eq!(sorted(&mut client, &text), expected, "{zone}");
        }
        client.script("ROLLBACK").unwrap();
    }
}

#[test]
fn rows_that_are_fetched_first_are_groups_of_the_whole_answer() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client);
    for zone in ZONES {
        client.script("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
        client.batch_execute(&format!("SET LOCAL TimeZone = '{zone}'")).unwrap();
        switch(&mut client, false).unwrap();
        let expected = sorted(&mut client, QUERY);
        switch(&mut client, true).unwrap();
        for some in [1, 5, 20, 60] {
            let rows = sorted(&mut client, &format!("{QUERY} LIMIT {some}"));
            assert_eq!(rows.len(), expected.len().min(some), "{zone}");
            assert!(rows.iter().all(|row| expected.contains(row)), "{zone}: {rows:?}");
            assert!(rows.windows(2).all(|pair| pair[0] != pair[1]), "{zone}: {rows:?}");
        }
        client.script("ROLLBACK").unwrap();
    }
}

/// Of the functions that tell groups apart, some allocate at each call.
#[test]
fn however_many_groups_there_are_they_take_no_memory() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE TABLE s (d uuid, ts timestamp NOT NULL);
             INSERT INTO s SELECT gen_random_uuid(), '2024-01-01'::timestamp + i * interval '1 s'
                 FROM generate_series(1, 20000) i;
             CREATE INDEX ON s USING {0} (ts); CREATE INDEX ON s USING {0} (d, ts);
             VACUUM ANALYZE s; BEGIN",
            access_method()
        ))
        .unwrap();
    switch(&mut client, true).unwrap();
    for columns in ["date_trunc('second', ts)", "d, date_trunc('day', ts)"] {
        let query = format!("SELECT {columns}, count(*), max(ts) FROM s GROUP BY {columns}");
        let plan = plan_of(&mut client, &query);
        if !is_learned() {
            continue;
        }
        assert!(plan.contains("LearnedCount"), "{plan}");
        client.script(&format!("DECLARE c NO SCROLL CURSOR FOR {query}; MOVE 10 FROM c")).unwrap();
        let used = |client: &mut Client| -> i64 {
            let all = "SELECT sum(used_bytes)::int8 FROM pg_backend_memory_contexts";
            client.query_one(all, &[]).unwrap().get(0)
        };
        used(&mut client);
        let before = used(&mut client);
        client.script("MOVE 19000 FROM c").unwrap();
        let more = used(&mut client) - before;
        assert!(more < 200_000, "{more} bytes more after 19,000 groups of {columns}");
        client.script("CLOSE c").unwrap();
    }
}
