//! Plans as text, for proving which index answered.

use postgres::{Client, SimpleQueryMessage};

/// The EXPLAIN text of a query, without costs, one line a node.
pub fn plan_of(client: &mut Client, query: &str) -> String {
    try_plan_of(client, query).unwrap()
}

/// The same, where the server may refuse.
pub(super) fn try_plan_of(client: &mut Client, query: &str) -> Result<String, postgres::Error> {
    explained(client, &format!("EXPLAIN (COSTS OFF) {query}"))
}

fn explained(client: &mut Client, explain: &str) -> Result<String, postgres::Error> {
    let rows = client.simple_query(explain)?;
    let lines = rows.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// How many rows the planner expects of a query.
pub fn planned_rows(client: &mut Client, query: &str) -> i64 {
    let plan = explained(client, &format!("EXPLAIN {query}")).unwrap();
    let rows = plan.split("rows=").nth(1).and_then(|rest| rest.split(' ').next());
    rows.and_then(|rows| rows.parse().ok()).unwrap_or_else(|| panic!("no rows in {plan}"))
}

/// Asserts that the plan of `query` has every text in `wanted` and none in `unwanted`; returns it.
pub fn assert_plan(client: &mut Client, query: &str, wanted: &[&str], unwanted: &[&str]) -> String {
    let plan = plan_of(client, query);
    for part in wanted {
        assert!(plan.contains(part), "no {part:?} in the plan of {query}\n{plan}");
    }
    for part in unwanted {
        assert!(!plan.contains(part), "{part:?} in the plan of {query}\n{plan}");
    }
    plan
}

/// Shared buffers that the execution of a statement touched, an index-only scan.
pub fn buffers(client: &mut Client, statement: &str) -> u64 {
    let messages = client
        .simple_query(&format!("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {statement}"))
        .unwrap();
    let lines: Vec<String> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .collect();
    assert!(lines.iter().any(|line| line.contains("Index Only Scan")), "{lines:?}");
    let line = lines.iter().find(|line| line.contains("Buffers:")).unwrap();
    let shared = line.split_once("shared").unwrap().1;
    ["hit=", "read="]
        .iter()
        .filter_map(|name| shared.split_once(name))
        .map(|(_, rest)| {
            rest.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
                .parse::<u64>()
                .unwrap()
        })
        .sum()
}
