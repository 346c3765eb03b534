//! Paired measuring: A B B A A B in one session, and the first round dropped.

use std::time::Instant;

use postgres::Client;

use crate::Result;
use crate::result::{Figure, median};
use crate::server::column;
use crate::table::Table;

/// One of the two that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The other index.
    Theirs,
    /// The learned index.
    Ours,
}

impl Side {
    /// As SQL names what belongs to it.
    pub fn name(self) -> &'static str {
        match self {
            Side::Theirs => "theirs",
            Side::Ours => "ours",
        }
    }

    /// The access method, where the other index is a B-tree.
    pub fn method(self) -> &'static str {
        match self {
            Side::Theirs => "btree",
            Side::Ours => "learned",
        }
    }
}

/// Paired measurements, a round each.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// Of the other index.
    pub theirs: Vec<f64>,
    /// Of the learned index.
    pub ours: Vec<f64>,
    /// Of the floor, where there is one.
    pub floor: Vec<f64>,
}

impl Pairs {
    /// Of what was measured once.
    pub fn once(theirs: f64, ours: f64) -> Self {
        Self { theirs: vec![theirs], ours: vec![ours], floor: Vec::new() }
    }

    /// The figure of them, for a data set and its rows: the medians of both and of the ratios.
    pub fn figure<'a>(
        &self,
        group: &str,
        of: impl Into<(&'a str, u64)>,
        what: &str,
        unit: &str,
        against: &str,
    ) -> Figure {
        let more_is_better = unit.ends_with("/s") || unit == "passed";
        let ratios = |ours: &[f64]| -> Vec<f64> {
            let ratio = |(a, b): (&f64, &f64)| if more_is_better { b / a } else { a / b };
            self.theirs.iter().zip(ours).map(ratio).collect()
        };
        let (floor, ratios) = (ratios(&self.floor), ratios(&self.ours));
        let (data, rows) = of.into();
        Figure {
            group: group.to_owned(),
            data: data.to_owned(),
            rows,
            what: what.to_owned(),
            unit: unit.to_owned(),
            against: against.to_owned(),
            theirs: median(&self.theirs),
            ours: median(&self.ours),
            ratio: median(&ratios),
            low: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            high: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ceiling: (!floor.is_empty()).then(|| median(&floor)),
            target: None,
            rounds: ratios.len(),
        }
    }

    /// Both without the time of the floor.
    pub fn less_floor(&self) -> Self {
        let less = |of: &[f64]| {
            of.iter().zip(&self.floor).map(|(took, floor)| (took - floor).max(1e-3)).collect()
        };
        Self { theirs: less(&self.theirs), ours: less(&self.ours), floor: Vec::new() }
    }

    /// The figure of their means and the means' ratio: medians do not show what comes in bursts.
    pub fn figure_of_means(&self, group: &str, table: &Table, what: &str, unit: &str) -> Figure {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (theirs, ours) = (mean(&self.theirs), mean(&self.ours));
        let figure = self.figure(group, table, what, unit, "btree");
        Figure { theirs, ours, ratio: theirs / ours, ..figure }
    }
}

/// What each side gave, a round each.
pub struct Rounds<T>([Vec<T>; 2]);

impl<T> Rounds<T> {
    /// One number of each.
    pub fn pairs(&self, number: impl Fn(&T) -> f64) -> Pairs {
        let [theirs, ours] = self.0.each_ref().map(|side| side.iter().map(&number).collect());
        Pairs { theirs, ours, floor: Vec::new() }
    }
}

/// Measures both sides in turn, and one round that is not counted before.
pub fn alternate<T>(
    rounds: usize,
    mut measure: impl FnMut(Side, usize) -> Result<T>,
) -> Result<Rounds<T>> {
    let mut found = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        let mut order = [Side::Theirs, Side::Ours];
        order.rotate_left(round % 2);
        for side in order {
            let measured = measure(side, round)?;
            if round > 0 {
                found[side as usize].push(measured);
            }
        }
    }
    Ok(Rounds(found))
}

/// The kind of plan that a question is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// An index-only scan.
    IndexOnly,
    /// An index scan, which fetches rows.
    Index,
    /// A bitmap scan.
    Bitmap,
}

impl Scan {
    /// The settings that leave the planner this plan and no other.
    fn settings(self) -> String {
        let on = |scan| if self == scan { "on" } else { "off" };
        let index = if self == Scan::Bitmap { "off" } else { "on" };
        format!(
            "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off;
            SET enable_seqscan = off; SET enable_indexscan = {index};
            SET enable_indexonlyscan = {}; SET enable_bitmapscan = {}",
            on(Scan::IndexOnly),
            on(Scan::Bitmap)
        )
    }

    /// What EXPLAIN says of it.
    fn node(self, index: &str) -> String {
        match self {
            Scan::IndexOnly => format!("Index Only Scan using {index} on "),
            Scan::Index => format!("Index Scan using {index} on "),
            Scan::Bitmap => format!("Bitmap Index Scan on {index}"),
        }
    }

    fn node_backward(self, index: &str) -> String {
        self.node(index).replace("Scan using", "Scan Backward using")
    }
}

/// What an index that costs nothing would take.
#[derive(Clone, Copy, Debug)]
pub struct Floor<'a> {
    /// The query.
    pub query: &'a str,
    /// What its plan has in place of the index.
    pub node: &'a str,
    /// Whether it has the same answer: not where keys repeat and the floor gives each once.
    pub is_checked: bool,
}

/// A query that two indexes of one table answer, with one row.
pub struct Question<'a> {
    /// The table that has both.
    pub table: &'a Table,
    /// The query.
    pub query: &'a str,
    /// The short name of the other index, and how it is to be scanned.
    pub theirs: (&'a str, Scan),
    /// The same of the learned index.
    pub ours: (&'a str, Scan),
    /// What is asked of no index beside it.
    pub floor: Option<Floor<'a>>,
}

impl<'a> Question<'a> {
    /// A question to the B-tree and the learned index, scanned alike.
    pub fn new(table: &'a Table, query: &'a str, scan: Scan) -> Self {
        Self { table, query, theirs: ("btree", scan), ours: ("learned", scan), floor: None }
    }

    /// Asks both in turn: milliseconds. Each is asked once unmeasured after the planner was shown
    /// its index, since that empties the session's caches of it. Fails on other plans or answers.
    pub fn ask(&self, client: &mut Client, rounds: usize) -> Result<Pairs> {
        let mut answer = None;
        let mut same = |found: String, query: &str| match answer.replace(found.clone()) {
            Some(before) if before != found => {
                Err(format!("different answers: {before} and {found} to {query}"))
            }
            _ => Ok(()),
        };
        let mut floors = Vec::new();
        let found = alternate(rounds, |side, round| {
            let (short, scan) = match side {
                Side::Theirs => self.theirs,
                Side::Ours => self.ours,
            };
            let index = self.table.index(short);
            self.table.show_only(client, short)?;
            client.batch_execute(&scan.settings())?;
            must_plan(client, self.query, &[scan.node(&index), scan.node_backward(&index)])?;
            same(answer_of(client, self.query)?.0, self.query)?;
            let (found, took) = answer_of(client, self.query)?;
            same(found, self.query)?;
            if let (Some(floor), Side::Theirs) = (self.floor, side) {
                must_plan(client, floor.query, &[floor.node.to_owned()])?;
                let (found, took) = answer_of(client, floor.query)?;
                if floor.is_checked {
                    same(found, floor.query)?;
                }
                if round > 0 {
                    floors.push(took);
                }
            }
            Ok(took)
        });
        self.table.show_all(client)?;
        client.batch_execute("RESET ALL")?;
        Ok(Pairs { floor: floors, ..found?.pairs(|took| *took) })
    }
}

/// Fails unless the plan of the query has one of these texts.
pub fn must_plan(client: &mut Client, query: &str, wanted: &[String]) -> Result<()> {
    let plan = column(client, &format!("EXPLAIN (COSTS OFF) {query}"))?.join("\n");
    match wanted.iter().any(|text| plan.contains(text)) {
        true => Ok(()),
        false => Err(format!("no {:?} in the plan of {query}\n{plan}", wanted[0]).into()),
    }
}

/// The only row of the answer as text, and the milliseconds it took.
fn answer_of(client: &mut Client, query: &str) -> Result<(String, f64)> {
    let started = Instant::now();
    let answer = column(client, &format!("SELECT s::text FROM ({query}) s"))?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    Ok((answer.into_iter().next().ok_or("no answer")?, took))
}
