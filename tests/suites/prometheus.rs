//! `monitoring/`: every query gives the metrics that the file names, to a role that only monitors;
//! the dashboard asks for no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use postgres::{Client, SimpleQueryMessage};
use serde_json::Value;
use server_tests::{Cluster, Script, is_learned, major_version};

/// A query of the exporter's file.
#[derive(Default)]
struct Query {
    sql: String,
    /// Its columns, each with what it is: LABEL, GAUGE or COUNTER.
    columns: BTreeMap<String, String>,
}

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitoring").join(name))
        .unwrap()
}

/// The queries by their names.
fn queries() -> BTreeMap<String, Query> {
    let text = file("queries.yaml");
    let mut found: BTreeMap<String, Query> = BTreeMap::new();
    let (mut name, mut column) = (String::new(), String::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let word = line.trim().trim_start_matches("- ").trim_end_matches(':');
        match line.len() - line.trim_start().len() {
            0 => {
                name = word.to_owned();
                found.insert(name.clone(), Query::default());
            }
            2 => {}
            4 if line.trim().starts_with("- ") => column = word.to_owned(),
            8 if line.trim().starts_with("usage: ") => {
                let usage = line.split('"').nth(1).unwrap().to_owned();
                found.get_mut(&name).unwrap().columns.insert(column.clone(), usage);
            }
            8 if line.trim().starts_with("description: ") => {}
            _ => found.get_mut(&name).unwrap().sql.push_str(&format!("{line}\n")),
        }
    }
    found
}

/// The rows of a query, by the names of their columns.
fn rows(client: &mut Client, sql: &str) -> Vec<BTreeMap<String, Option<String>>> {
    let messages = client.simple_query(sql).unwrap();
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let value = |i| row.get(i).map(str::to_owned);
            let names = row.columns().iter().map(|column| column.name().to_owned());
            Some(names.enumerate().map(|(i, name)| (name, value(i))).collect())
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

#[test]
fn every_metric_is_there_for_a_role_that_only_monitors() {
    if !is_learned() {
        return println!("skipped: only learned indexes have these metrics");
    }
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "CREATE TABLE readings (ts int8, device int4);
             INSERT INTO readings SELECT g, g % 10 FROM generate_series(1, 10000) g;
             CREATE INDEX readings_ts ON readings USING learned (ts);
             CREATE INDEX readings_device ON readings USING learned (device, ts);
             INSERT INTO readings VALUES (10001, 1); SELECT learned_retrain('readings_device');
             CREATE ROLE watcher IN ROLE pg_monitor",
        )
        .unwrap();
    let is_monitored = major_version(&mut client) >= 17;
    if is_monitored {
        client.script("ALTER INDEX readings_ts SET (monitoring = on)").unwrap();
    }
    client.script("SET ROLE watcher").unwrap();
    let queries = queries();
    assert!(queries.len() > 1);
    for (name, Query { sql, columns }) in &queries {
        let found = rows(&mut client, sql);
        let expected = match name.as_str() {
            "learned_index_last_merge" => 1,
            // On all versions the query is right.
            "learned_index_activity" => usize::from(is_monitored),
            _ => 2,
        };
        assert_eq!(found.len(), expected, "{name}");
        for row in found {
            assert!(row.keys().eq(columns.keys()), "{name}: {:?} {:?}", row.keys(), columns.keys());
            for (column, value) in &row {
                let value = value.as_deref().unwrap_or_else(|| panic!("{name}: {column} is NULL"));
                let is_label = columns[column] == "LABEL";
                assert!(is_label || value.parse::<f64>().is_ok(), "{name}: {column} is {value}");
            }
        }
    }
    let of_index = |query: &str, column: &str, client: &mut Client| {
        let found = rows(client, &queries[query].sql);
        let row = found.iter().find(|row| row["indexrelname"].as_deref() == Some("readings_ts"));
        row.unwrap()[column].clone().unwrap()
    };
    assert_eq!(of_index("learned_index", "unmerged_entries", &mut client), "1");
    assert_eq!(of_index("learned_index", "entries", &mut client), "10000");
}

/// All texts under a key, anywhere.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(key).and_then(Value::as_str));
            members.values().for_each(|member| texts(member, key, found));
        }
        Value::Array(members) => members.iter().for_each(|member| texts(member, key, found)),
        _ => {}
    }
}

/// The metrics and labels that an expression of Prometheus names.
fn names_in(expression: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut unquoted = expression.split('"').step_by(2);
    unquoted
        .by_ref()
        .flat_map(|part| part.split(|c| !is_part(c)))
        .filter(|word| word.contains("learned") || word.ends_with("name"))
        .collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let mut known = BTreeSet::new();
    for (name, Query { columns, .. }) in queries() {
        for (column, usage) in columns {
            known.insert(if usage == "LABEL" { column } else { format!("{name}_{column}") });
        }
    }
    let dashboard: Value = serde_json::from_str(&file("grafana.json")).unwrap();
    let mut expressions = Vec::new();
    ["expr", "query"].iter().for_each(|key| texts(&dashboard, key, &mut expressions));
    let asked: Vec<&str> = expressions.iter().flat_map(|text| names_in(text)).collect();
    assert!(asked.len() > 20, "{asked:?}");
    for name in asked {
        assert!(known.contains(name), "the dashboard asks for {name}");
    }
}
