//! Point probes: nested loops over a table of keys, and `= ANY`.

use postgres::Client;

use crate::Result;
use crate::bench::Bench;
use crate::data::MEAN_OF;
use crate::paired::{Floor, Pairs, Question, Scan};
use crate::result::Figure;
use crate::table::Table;

const GROUP: &str = "point probes";
const INDEX_ONLY: &str = "index-only";
const FETCHED: &str = "row fetched";
const CALLS_ALONE: &str = "index-only, less the time of the same loop over no index";

/// The nested loops that probe each key of `t_probes`, index-only.
pub const PROBE: &str = "SELECT sum(t.k) FROM t_probes p JOIN t ON t.k = p.k";
/// The same with the row.
pub const PROBE_AND_FETCH: &str = "SELECT sum(t.value) FROM t_probes p JOIN t ON t.k = p.k";

/// How both are scanned.
pub const PROBES: [(&str, Scan, &str); 2] =
    [(INDEX_ONLY, Scan::IndexOnly, PROBE), (FETCHED, Scan::Index, PROBE_AND_FETCH)];

/// Measures them on one table.
pub fn run(bench: &mut Bench, client: &mut Client, table: &Table) -> Result<()> {
    let rounds = bench.options.rounds;
    let floors = [
        Floor {
            query: "SELECT sum(t.k) FROM t_probes p, LATERAL (SELECT p.k OFFSET 0) t",
            node: "->  Result",
            is_checked: false,
        },
        Floor {
            query: "SELECT sum(t.value) FROM t_tids p JOIN t ON t.ctid = p.tid",
            node: "Tid Scan on ",
            is_checked: true,
        },
    ];
    let forms = PROBES.into_iter().zip(floors).zip([3.5, 2.2]);
    for (((what, scan, query), floor), target) in forms {
        let question = Question { floor: Some(floor), ..Question::new(table, query, scan) };
        let pairs = question.ask(client, rounds)?;
        let figure = pairs.figure(GROUP, table, what, "ms", "btree");
        let in_mean = MEAN_OF.contains(&table.data.as_str());
        bench.add(if in_mean { figure.with_target(target) } else { figure });
        if in_mean && scan == Scan::IndexOnly {
            let alone = pairs.less_floor();
            bench.add(alone.figure(GROUP, table, CALLS_ALONE, "ms", "btree"));
        }
    }
    if MEAN_OF.contains(&table.data.as_str()) || bench.options.is_full() {
        let pairs = ask_lists(client, table, rounds)?;
        bench.add(pairs.figure(GROUP, table, LISTS, "ms", "btree").with_target(3.0));
    }
    Ok(())
}

/// What [`ask_lists`] measures.
pub const LISTS: &str = "100 times = ANY of 1,000 random keys, rows fetched";

/// Measures lists of keys.
pub fn ask_lists(client: &mut Client, table: &Table, rounds: usize) -> Result<Pairs> {
    client.batch_execute(
        "CREATE TABLE t_arrays AS SELECT array_agg(k) AS keys FROM
            (SELECT k, row_number() OVER () AS n FROM t_probes) p GROUP BY (n - 1) / 1000;
        ANALYZE t_arrays",
    )?;
    let query = "SELECT sum(s) FROM t_arrays a,
        LATERAL (SELECT sum(value) AS s FROM t WHERE k = ANY (a.keys)) t";
    let pairs = Question::new(table, query, Scan::Index).ask(client, rounds)?;
    client.batch_execute("DROP TABLE t_arrays")?;
    Ok(pairs)
}

/// The geometric means over five sets, where all of them were measured.
pub fn add_means(bench: &mut Bench) -> Result<()> {
    for (what, target) in [(INDEX_ONLY, 5.0), (CALLS_ALONE, 10.0), (FETCHED, 2.6)] {
        let of_set = |name: &&str| {
            bench.figures.iter().find(|f| f.group == GROUP && f.what == what && f.data == **name)
        };
        let figures: Option<Vec<&Figure>> = MEAN_OF.iter().map(of_set).collect();
        let Some(figures) = figures else { continue };
        let mean = |value: fn(&Figure) -> f64| {
            let logarithms: f64 = figures.iter().map(|figure| value(figure).ln()).sum();
            (logarithms / figures.len() as f64).exp()
        };
        let ratios = || figures.iter().map(|figure| figure.ratio);
        let figure = Figure {
            data: format!("geometric mean of {}", MEAN_OF.join(", ")),
            theirs: mean(|figure| figure.theirs),
            ours: mean(|figure| figure.ours),
            ratio: mean(|figure| figure.ratio),
            low: ratios().fold(f64::INFINITY, f64::min),
            high: ratios().fold(0.0, f64::max),
            ceiling: figures[0].ceiling.map(|_| mean(|figure| figure.ceiling.unwrap_or(f64::NAN))),
            target: Some(target),
            ..figures[0].clone()
        };
        bench.add(figure);
    }
    Ok(())
}
