//! What fails fails as it does without the node, and nothing fails for rows that nobody sees.

use postgres::Client;
use server_tests::{Cluster, Script, access_method, is_learned};

use super::both_ways::{compare, outcome, single};

/// Functions that fail for all values of `ts`, `tz` or `k`.
const FAILING: [&str; 14] = [
    "date_bin('0 s', ts, '2000-01-01')",
    "date_bin('-1 day', ts, '2000-01-01')",
    "date_bin('1 month', ts, '2000-01-01')",
    "date_bin('1 year 1 day', ts, '2000-01-01')",
    "date_bin('0 s', tz, '2000-01-01')",
    "date_bin('-1 day', tz, '2000-01-01')",
    "date_bin('1 month', tz, '2000-01-01')",
    "date_bin('1 day', ts, 'infinity')",
    "date_trunc('fortnight', ts)",
    "date_trunc('fortnight', tz)",
    "date_trunc('timezone', ts)",
    "date_trunc('', tz)",
    "date_trunc('epoch', ts)",
    "k / 0",
];
/// Functions that fail for some.
const DOUBTFUL: [&str; 9] = [
    "date_trunc('millennium', ts)",
    "date_trunc('century', tz)",
    "date_trunc('week', ts)",
    "date_bin('7 days', ts, '2000-01-01')",
    "date_bin('300000 days', tz, '2000-01-01')",
    "ts::date",
    "tz::date",
    "k / -1",
    "k / 7",
];
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";

fn create(client: &mut Client, name: &str) {
    let method = access_method();
    client
        .script(&format!(
            "CREATE TABLE {name} (ts timestamp, tz timestamptz, k int8);
             CREATE INDEX ON {name} USING {method} (ts);
             CREATE INDEX ON {name} USING {method} (tz);
             CREATE INDEX ON {name} USING {method} (k)"
        ))
        .unwrap();
}

fn fill(client: &mut Client, name: &str) {
    client
        .script(&format!(
            "INSERT INTO {name} SELECT '2020-01-01'::timestamp + i * interval '1 hour',
                 '2020-01-01'::timestamptz + i * interval '1 hour', i
             FROM generate_series(1, 500) i"
        ))
        .unwrap();
}

/// Rows for which functions fail.
fn add_extremes(client: &mut Client, name: &str) {
    client
        .script(&format!(
            "INSERT INTO {name} VALUES ('4713-11-24 BC', '4713-11-24 00:00+00 BC', {}),
                 ('294276-12-31 23:59:59', '294276-12-31 23:59:59+00', {})",
            "-9223372036854775808",
            i64::MAX
        ))
        .unwrap();
}

fn query(function: &str, table: &str) -> String {
    format!("SELECT {function}, count(*) FROM {table} GROUP BY 1")
}

#[test]
fn what_fails_without_the_node_fails_alike_with_it_and_only_for_rows_that_are_there() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    for table in ["filled", "empty", "dead", "extreme", "was_extreme"] {
        create(&mut client, table);
        if table != "empty" {
            fill(&mut client, table);
        }
        if table.ends_with("extreme") {
            add_extremes(&mut client, table);
        }
    }
    client
        .script(
            "ANALYZE; DELETE FROM dead;
             DELETE FROM was_extreme WHERE k < 0 OR k > 1000",
        )
        .unwrap();
    let (mut failed, mut succeeded) = (0, 0);
    for zone in ["UTC", "America/St_Johns", "Australia/Lord_Howe"] {
        let begin = format!("{BEGIN}; SET LOCAL TimeZone = '{zone}'");
        for table in ["filled", "empty", "dead", "extreme", "was_extreme"] {
            let texts = FAILING.iter().chain(&DOUBTFUL).map(|function| query(function, table));
            let all: Vec<_> = texts.map(|text| single("errors", &text)).collect();
            compare(&mut client, &begin, &all, table);
            client.script(&begin).unwrap();
            for function in FAILING {
                let outcome = outcome(&mut client, &query(function, table));
                let is_empty = ["empty", "dead"].contains(&table);
                assert_eq!(outcome.is_ok(), is_empty, "{table}, {function}: {outcome:?}");
            }
            for function in DOUBTFUL {
                let outcome = outcome(&mut client, &query(function, table));
                let is_ok = outcome.is_ok();
                assert!(is_ok || table == "extreme", "{table}, {function}: {outcome:?}");
                (failed, succeeded) = (failed + i32::from(!is_ok), succeeded + i32::from(is_ok));
            }
            client.script("ROLLBACK").unwrap();
        }
    }
    println!("of functions that may fail {failed} did, {succeeded} did not");
    assert!(failed > 0 && succeeded > 0);
}

#[test]
fn functions_that_fail_for_no_row_are_asked_by_the_node() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    create(&mut client, "filled");
    fill(&mut client, "filled");
    client.script("VACUUM ANALYZE filled").unwrap();
    let fit = DOUBTFUL.iter().filter(|function| !function.ends_with("-1"));
    let all: Vec<_> = fit.map(|function| single("node", &query(function, "filled"))).collect();
    let tally = compare(&mut client, BEGIN, &all, "filled");
    assert!(!is_learned() || tally.used == tally.could, "{tally:?}");
}
