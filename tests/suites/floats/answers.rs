//! What queries over an index on floats answer. The oracle is a sequential scan.

use postgres::Client;
use rand::rngs::StdRng;
use server_tests::{
    Cluster, Script, access_method, assert_plan, check_all, is_learned, retrain_all,
};

use super::{BITMAP, INDEX, INDEX_ONLY, SEQUENTIAL, fill, floats, in_order, rng, rows};
use crate::cursors::walk;

/// Keys whose last column, `k`, is a float, and how many columns there are besides.
const KEYS: [(&str, bool); 10] = [
    ("(k)", false),
    ("(k DESC)", false),
    ("(k NULLS FIRST)", false),
    ("(k DESC NULLS LAST)", false),
    ("(k) INCLUDE (id)", true),
    ("(k DESC) INCLUDE (id, a)", true),
    ("(a, k)", true),
    ("(a DESC, k DESC)", true),
    ("(a, k NULLS FIRST) INCLUDE (id)", true),
    ("(a, id, k DESC NULLS LAST)", true),
];

/// Values to compare with: of both types, and between neighbours of `float4`.
const VALUES: [&str; 17] = [
    "0::float8",
    "'-0'::float8",
    "'-0'::float4",
    "'NaN'::float8",
    "'NaN'::float4",
    "'infinity'::float8",
    "'-infinity'::float4",
    "0.1::float4",
    "0.1::float8",
    "0.10000000149011613::float8",
    "5e-324::float8",
    "-5e-324::float8",
    "1e-45::float4",
    "1::float4",
    "-3.125::float8",
    "1e300::float8",
    "(SELECT k FROM odd)",
];

/// A table of floats with an index on them; half of the rows come behind its build.
fn table(client: &mut Client, float: &str, (key, beside): (&str, bool), rng: &mut StdRng) {
    let bits = floats(float, beside, rng);
    client
        .script(&format!(
            "DROP TABLE IF EXISTS t, odd; CREATE TABLE t (id int4, a int4, k {float});
             CREATE TABLE odd (id int4, a int4, k {float})"
        ))
        .unwrap();
    let odd = if float == "float8" { 0x7FF0_0000_0000_1001 } else { 0x7F80_1001 };
    fill(client, "odd", float, &[odd]);
    client.script("DELETE FROM odd WHERE k IS NULL").unwrap();
    let (before, behind) = bits.split_at(bits.len() / 2);
    fill(client, "t", float, before);
    client.script(&format!("CREATE INDEX i ON t USING {} {key}", access_method())).unwrap();
    fill(client, "t", float, behind);
    client.script("VACUUM ANALYZE t").unwrap();
}

/// Runs a query by each kind of scan. `only`: an index-only scan can answer it.
fn compare(client: &mut Client, query: &str, only: bool) {
    client.script(SEQUENTIAL).unwrap();
    let expected = rows(client, query);
    let (mut paths, nodes) = (vec![INDEX, BITMAP], ["Index Scan", "Bitmap Index Scan"]);
    let mut nodes = nodes.to_vec();
    if only {
        paths.push(INDEX_ONLY);
        nodes.push("Index Only Scan");
    }
    for (path, node) in paths.into_iter().zip(nodes) {
        client.script(path).unwrap();
        assert_plan(client, query, &[node], &["Seq Scan on t"]);
        assert_eq!(rows(client, query), expected, "{node}: {query}");
    }
}

#[test]
fn index_only_scans_return_every_bit_of_what_conditions_select() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let mut rng = rng();
    client.script("SET omendb_learned.enable_count = off").unwrap();
    for float in ["float8", "float4"] {
        for key in KEYS {
            table(&mut client, float, key, &mut rng);
            let send = format!("encode({float}send(k), 'hex')");
            for condition in conditions(key.0) {
                let query = format!("SELECT {send}, a FROM t WHERE {condition}");
                let has_a = key.0.contains('a');
                compare(&mut client, &query, has_a);
                let query = format!("SELECT {send} FROM t WHERE {condition}");
                compare(&mut client, &query, true);
            }
            check_all(&mut client);
            retrain_all(&mut client);
            let query = format!("SELECT {send} FROM t WHERE k >= 'NaN' OR k = 0");
            client.script(SEQUENTIAL).unwrap();
            let expected = rows(&mut client, &query);
            client.script(BITMAP).unwrap();
            assert_eq!(rows(&mut client, &query), expected, "{float} {key:?}");
            check_all(&mut client);
        }
    }
}

fn conditions(key: &str) -> Vec<String> {
    let mut all = Vec::new();
    for value in VALUES {
        for operator in ["<", "<=", "=", ">=", ">"] {
            all.push(format!("k {operator} {value}"));
        }
    }
    all.extend(
        [
            "k = ANY ('{0,-0,0,NaN,NaN,1}'::float8[])",
            "k = ANY ('{-0,NULL,-infinity}'::float4[])",
            "k IN (0, '-0', 1.5)",
            "k IS NULL",
            "k IS NOT NULL",
            "k > 0 AND k < 0",
            "k >= '-0' AND k <= 0",
            "k >= 'NaN' AND k <= 'NaN'",
            "k > 'infinity'",
        ]
        .map(str::to_owned),
    );
    if key.contains("(a") {
        let more = all.iter().step_by(3).map(|condition| format!("a = 3 AND {condition}"));
        let more: Vec<String> = more.collect();
        all.extend(more);
        all.push("a IN (1, 2) AND k = ANY ('{0,-0,NaN}'::float8[])".to_owned());
    }
    all
}

#[test]
fn scans_in_order_give_each_row_once_whichever_way_they_go() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let mut rng = rng();
    for float in ["float8", "float4"] {
        for key in [("(k)", false), ("(k DESC)", false), ("(a, k) INCLUDE (id)", true)] {
            table(&mut client, float, key, &mut rng);
            let columns = if key.1 { "a, k" } else { "k" };
            let descending = if key.0.contains("DESC") { " DESC" } else { "" };
            let send = format!("encode({float}send(k), 'hex')");
            let ordered = format!("SELECT {send}, k FROM t ORDER BY {columns}{descending}");
            client.script(SEQUENTIAL).unwrap();
            let expected = in_order(&mut client, &ordered);
            client.script(&format!("{INDEX_ONLY}; SET enable_sort = off")).unwrap();
            assert_plan(&mut client, &ordered, &["Index Only Scan"], &["Sort"]);
            let found = in_order(&mut client, &ordered);
            let keys = |rows: &[Vec<String>]| -> Vec<String> {
                let zero = |text: &str| if text == "-0" { "0" } else { text }.to_owned();
                rows.iter().map(|row| zero(&row[1])).collect()
            };
            if !key.1 {
                assert_eq!(keys(&found), keys(&expected), "{float} {key:?}");
            }
            walk(&mut client, &ordered, &mut rng);
            let sorted = |mut rows: Vec<Vec<String>>| {
                rows.sort();
                rows
            };
            assert_eq!(sorted(found), sorted(expected));
            client.script("RESET enable_sort").unwrap();
            joins(&mut client, columns);
        }
    }
}

/// Merge joins go back to the first of several equal rows.
fn joins(client: &mut Client, columns: &str) {
    let same_a = if columns.contains('a') { "AND t.a = u.a" } else { "" };
    let query = format!("SELECT t.id, u.id FROM t, t u WHERE t.k = u.k {same_a}");
    client.script("SET enable_nestloop = off; SET enable_mergejoin = off").unwrap();
    client.script(SEQUENTIAL).unwrap();
    let expected = rows(client, &query);
    client.script("RESET enable_mergejoin; SET enable_hashjoin = off").unwrap();
    client.script(INDEX).unwrap();
    client.script("SET enable_sort = off; SET enable_material = off").unwrap();
    assert_plan(client, &query, &["Merge Join", "Index Scan"], &["Seq Scan"]);
    assert_eq!(rows(client, &query), expected);
    client.script("RESET enable_nestloop; RESET enable_hashjoin; RESET enable_sort").unwrap();
    client.script("RESET enable_material").unwrap();
}

#[test]
fn counts_put_equal_floats_into_one_group() {
    if !is_learned() {
        return;
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    let mut rng = rng();
    for float in ["float8", "float4"] {
        for key in KEYS {
            table(&mut client, float, key, &mut rng);
            client.script("SET max_parallel_workers_per_gather = 0").unwrap();
            let groups = if key.0.contains("(a, id") || key.0.contains("(a DESC, id") {
                "a, id, k"
            } else if key.0.contains("(a") {
                "a, k"
            } else {
                "k"
            };
            // Which of two zeros, or NaNs, a group shows is open.
            let shown = groups.replace('k', "k + 0.0::float4");
            let counted = [
                format!("SELECT {shown}, count(*), count(k) FROM t GROUP BY {groups}"),
                format!("SELECT count(*) FROM (SELECT DISTINCT {groups} FROM t) s"),
                "SELECT count(*) FROM t WHERE k = 0".to_owned(),
                "SELECT count(*) FROM t WHERE k >= 'NaN'".to_owned(),
                "SELECT count(*), count(k) FROM t WHERE k > '-0' AND k < 'NaN'".to_owned(),
                "SELECT count(*) FROM t WHERE k = ANY ('{0,-0,1,NaN}'::float8[])".to_owned(),
                "SELECT count(*) FROM t WHERE k IS NULL".to_owned(),
            ];
            for query in counted {
                client.script("SET omendb_learned.enable_count = off").unwrap();
                client.script(SEQUENTIAL).unwrap();
                let expected = rows(&mut client, &query);
                client.script("SET omendb_learned.enable_count = on").unwrap();
                client.script("RESET enable_seqscan; SET enable_seqscan = off").unwrap();
                assert_plan(&mut client, &query, &["LearnedCount"], &["Seq Scan"]);
                assert_eq!(rows(&mut client, &query), expected, "{float} {key:?}: {query}");
            }
            sums(&mut client, float, key.0);
        }
    }
}

/// Sums, averages and extremes are those of an index-only scan, bit by bit.
fn sums(client: &mut Client, float: &str, key: &str) {
    let condition = "k > -1000 AND k < 1000";
    let by = if key.contains("(a,") { ("a, ", " GROUP BY a") } else { ("", "") };
    let query = format!(
        "SELECT {}encode({float}send(sum(k)), 'hex'), avg(k), count(*) FROM t WHERE {condition}{}",
        by.0, by.1
    );
    let ends = "SELECT min(k) + 0.0::float4, max(k) + 0.0::float4, count(*) FROM t";
    for query in [query.as_str(), ends] {
        client.script("SET omendb_learned.enable_count = off").unwrap();
        client.script(INDEX_ONLY).unwrap();
        client.script("SET enable_hashagg = off; SET enable_sort = off").unwrap();
        assert_plan(client, query, &["Index Only Scan"], &["Seq Scan"]);
        let expected = rows(client, query);
        client.script("SET omendb_learned.enable_count = on").unwrap();
        assert_plan(client, query, &["LearnedCount"], &["Seq Scan"]);
        assert_eq!(rows(client, query), expected, "{query}");
        client.script("RESET enable_hashagg; RESET enable_sort").unwrap();
    }
}

#[test]
fn a_first_column_of_floats_has_one_code_for_equal_values() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(&format!(
            "CREATE TABLE t (k float8, b int4);
             CREATE INDEX i ON t USING {} (k, b);
             INSERT INTO t SELECT CASE WHEN g % 3 = 0 THEN '-0' ELSE '0' END::float8, g
                 FROM generate_series(1, 300) g;
             INSERT INTO t SELECT 'NaN', g FROM generate_series(1, 300) g;
             VACUUM ANALYZE t; SET enable_seqscan = off; SET enable_bitmapscan = off;
             SET enable_sort = off",
            access_method()
        ))
        .unwrap();
    let query = "SELECT b FROM t WHERE k = 0 ORDER BY k, b";
    assert_plan(&mut client, query, &["Index"], &["Sort"]);
    let expected: Vec<Vec<String>> = (1..=300).map(|b: i32| vec![b.to_string()]).collect();
    assert_eq!(in_order(&mut client, query), expected);
    // Only the last column is returned.
    let query = "SELECT k FROM t WHERE k = 0";
    if is_learned() {
        assert_plan(&mut client, query, &["Index Scan"], &["Index Only"]);
    }
    assert_eq!(rows(&mut client, query).iter().filter(|row| row[0] == "-0").count(), 100);
}
