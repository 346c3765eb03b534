//! Ranges of few and many rows, ordered scans with a limit, least and greatest keys, bitmap scans.

use indicatif::HumanCount;
use postgres::Client;

use crate::Result;
use crate::bench::Bench;
use crate::paired::{Question, Scan};
use crate::table::Table;

const GROUP: &str = "ranges";

/// A range in a query over `t_ranges` and `t`.
const WITHIN: &str = "t.k >= r.low AND t.k < r.high";

/// Measures them on one table.
pub fn run(bench: &mut Bench, client: &mut Client, table: &Table, keys: &[i64]) -> Result<()> {
    let long = (table.rows / 2).min(1_000_000);
    let hundredth = table.rows / 100;
    let mut sizes = vec![100, 10_000, long, hundredth];
    sizes.sort_unstable();
    sizes.dedup();
    table.add_ranges(client, keys, &sizes)?;
    let rounds = bench.options.rounds;
    let mut lengths = vec![(100, 1.9), (10_000, 1.4), (long, 1.4)];
    lengths.dedup_by_key(|(rows, _)| *rows);
    for (rows, target) in lengths {
        let forms = [
            ("index-only", Scan::IndexOnly, "count(*)", target),
            ("rows fetched", Scan::Index, "sum(value)", 1.15),
        ];
        for (how, scan, of, target) in forms {
            let query = range_query(rows, of);
            let pairs = Question::new(table, &query, scan).ask(client, rounds)?;
            let what = format!("ranges of {} rows, {how}", HumanCount(rows));
            bench.add(pairs.figure(GROUP, table, &what, "ms", "btree").with_target(target));
        }
    }
    let others = [
        (
            "20,000 times the next ten rows, ORDER BY LIMIT 10",
            Scan::Index,
            "SELECT sum(t.value) FROM (SELECT k FROM t_probes LIMIT 20000) p,
                LATERAL (SELECT value FROM t WHERE t.k >= p.k ORDER BY t.k LIMIT 10) t"
                .to_owned(),
        ),
        (
            "20,000 times the last row before, ORDER BY DESC LIMIT 1",
            Scan::Index,
            "SELECT sum(t.k) FROM (SELECT k FROM t_probes LIMIT 20000) p,
                LATERAL (SELECT k, value FROM t WHERE t.k < p.k ORDER BY t.k DESC LIMIT 1) t"
                .to_owned(),
        ),
        (
            "20,000 times the least key above and the greatest below",
            Scan::IndexOnly,
            "SELECT sum(a.k), sum(b.k) FROM (SELECT k FROM t_probes LIMIT 20000) p,
                LATERAL (SELECT min(k) AS k FROM t WHERE t.k > p.k) a,
                LATERAL (SELECT max(k) AS k FROM t WHERE t.k < p.k) b"
                .to_owned(),
        ),
        ("bitmap scans of 1% of the rows", Scan::Bitmap, range_query(hundredth, "sum(value)")),
    ];
    for (what, scan, query) in others {
        let pairs = Question::new(table, &query, scan).ask(client, rounds)?;
        bench.add(pairs.figure(GROUP, table, what, "ms", "btree"));
    }
    Ok(())
}

/// Aggregates the rows of each range that has this many rows.
pub fn range_query(rows: u64, of: &str) -> String {
    format!(
        "SELECT sum(s) FROM t_ranges r, LATERAL (SELECT {of} AS s FROM t WHERE {WITHIN}) t WHERE \
         r.rows = {rows}"
    )
}
