//! After the oldest rows of a table were deleted: the oldest that is left, and planning a join.

use std::time::Instant;

use postgres::Client;
use serde_json::Value;

use crate::Result;
use crate::bench::Bench;
use crate::paired::{Side, alternate, must_plan};
use crate::result::median;
use crate::server::column;

use super::super::writes::Twins;
use super::{GROUP, ROWS, index_session, serial_twins};

/// Rows that are deleted, the oldest ones: 60%.
const DELETED: u64 = ROWS * 60 / 100;

/// Times that one thing is asked in one round, of which the median counts.
const TIMES: usize = 20;

/// Looks the oldest row up often. A session's first time is not counted: it finds what is dead.
pub fn oldest(bench: &mut Bench) -> Result<()> {
    let mut client = index_session(bench)?;
    let client = &mut client;
    let twins = behead(client)?;
    let query = |side| format!("SELECT k, value FROM {} ORDER BY k LIMIT 1", twins.of(side).name);
    let found = alternate(bench.options.rounds, |side, _| {
        let query = query(side);
        must_plan(client, &query, &[format!("Index Scan using {} ", twins.index(side))])?;
        let statement = client.prepare(&query)?;
        let mut took = Vec::new();
        for _ in 0..TIMES {
            let started = Instant::now();
            let oldest: i64 = client.query_one(&statement, &[])?.get(0);
            took.push(started.elapsed().as_secs_f64() * 1e3);
            if oldest != DELETED as i64 + 1 {
                return Err(format!("the oldest row has key {oldest}").into());
            }
        }
        Ok((median(&took), buffers(client, &query)?))
    })?;
    let table = twins.of(Side::Ours);
    let what = "oldest row after 60% were deleted, ORDER BY LIMIT 1, from the second time on";
    let times = found.pairs(|(took, _)| *took);
    bench.add(times.figure(GROUP, table, what, "ms", "btree").with_target(0.9));
    let read = found.pairs(|(_, buffers)| *buffers);
    let what = format!("{what}: buffers");
    bench.add(read.figure(GROUP, table, &what, "buffers", "btree").with_target(0.9));
    // What others found dead must be known to a session that comes later.
    let found = alternate(1, |side, _| buffers(&mut index_session(bench)?, &query(side)))?;
    let what = "oldest row after 60% were deleted, the first time of a later session: buffers";
    let read = found.pairs(|buffers| *buffers);
    bench.add(read.figure(GROUP, table, what, "buffers", "btree"));
    twins.drop(client)
}

/// Plans a join, for which the planner looks up the least and the greatest key that are left.
pub fn planning(bench: &mut Bench) -> Result<()> {
    let mut client = bench.connect()?;
    let client = &mut client;
    let twins = behead(client)?;
    let found = alternate(bench.options.rounds, |side, _| {
        let name = &twins.of(side).name;
        let query = format!(
            "EXPLAIN (SUMMARY, FORMAT JSON) SELECT a.value, b.value FROM {name} a JOIN {name} b \
             USING (k)"
        );
        let took = (0..TIMES)
            .map(|_| number(&explained(client, &query)?["Planning Time"]))
            .collect::<Result<Vec<f64>>>()?;
        Ok(median(&took))
    })?;
    let times = found.pairs(|took| *took);
    let what = "planning a join after the oldest 60% were deleted";
    // At most 1.2 times as long.
    let table = twins.of(Side::Ours);
    bench.add(times.figure(GROUP, table, what, "ms", "btree").with_target(0.83));
    twins.drop(client)
}

/// Twins without their oldest rows, which are still in the indexes.
fn behead(client: &mut Client) -> Result<Twins> {
    let twins = serial_twins(client)?;
    for side in [Side::Theirs, Side::Ours] {
        let name = &twins.of(side).name;
        client.batch_execute(&format!("DELETE FROM {name} WHERE k <= {DELETED}"))?;
    }
    Ok(twins)
}

/// Shared buffers that running the query asks for.
fn buffers(client: &mut Client, query: &str) -> Result<f64> {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {query}");
    let plan = &explained(client, &explain)?["Plan"];
    Ok(number(&plan["Shared Hit Blocks"])? + number(&plan["Shared Read Blocks"])?)
}

/// What EXPLAIN says as JSON.
fn explained(client: &mut Client, explain: &str) -> Result<Value> {
    let plans: Value = serde_json::from_str(&column(client, explain)?.concat())?;
    Ok(plans[0].clone())
}

fn number(value: &Value) -> Result<f64> {
    Ok(value.as_f64().ok_or("EXPLAIN lacks a number")?)
}
