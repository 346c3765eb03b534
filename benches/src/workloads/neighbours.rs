//! Hash and BRIN indexes, each with the queries that it is made for.

use indicatif::HumanCount;
use postgres::Client;

use crate::Result;
use crate::bench::Bench;
use crate::paired::{Pairs, Question, Scan};
use crate::table::Table;

use super::probes::PROBE_AND_FETCH;
use super::ranges::range_query;

const GROUP: &str = "neighbours";

/// Measures hash, and BRIN where the rows are in the order of their keys.
pub fn run(bench: &mut Bench, client: &mut Client, table: &Table, keys: &[i64]) -> Result<()> {
    let rounds = bench.options.rounds;
    table.build(client, "hash")?;
    let hash = Question {
        theirs: ("hash", Scan::Index),
        ..Question::new(table, PROBE_AND_FETCH, Scan::Index)
    };
    let pairs = hash.ask(client, rounds)?;
    bench.add(pairs.figure(GROUP, table, "point probes, row fetched", "ms", "hash"));
    size(bench, client, table, "hash")?;
    client.batch_execute(&format!("DROP INDEX {}", table.index("hash")))?;
    if !keys.is_sorted() {
        return Ok(());
    }
    table.build(client, "brin")?;
    // For ranges of 100 rows BRIN reads some hundred times as many, which takes long.
    let lengths: &[u64] = if bench.options.is_full() { &[100, 10_000] } else { &[10_000] };
    if !bench.options.wants("ranges") {
        table.add_ranges(client, keys, lengths)?;
    }
    for &rows in lengths {
        let query = range_query(rows, "sum(value)");
        let question = Question {
            theirs: ("brin", Scan::Bitmap),
            ..Question::new(table, &query, Scan::Index)
        };
        let pairs = question.ask(client, rounds)?;
        let what = format!("ranges of {} rows, rows fetched", HumanCount(rows));
        bench.add(pairs.figure(GROUP, table, &what, "ms", "brin"));
    }
    size(bench, client, table, "brin")?;
    client.batch_execute(&format!("DROP INDEX {}", table.index("brin")))?;
    Ok(())
}

fn size(bench: &mut Bench, client: &mut Client, table: &Table, method: &str) -> Result<()> {
    let theirs = table.bytes_a_row(client, &table.index(method))?;
    let ours = table.bytes_a_row(client, &table.index("learned"))?;
    bench.add(Pairs::once(theirs, ours).figure(GROUP, table, "index size", "bytes/row", method));
    Ok(())
}
