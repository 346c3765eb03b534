//! Asking statements by `LearnedDistinct`, and by a sequential scan, under one snapshot.

use std::collections::BTreeMap;

use postgres::{Client, Error};
use server_tests::{Script, is_learned};

use super::statements::Statement;
use crate::counts::snapshot::answers;

/// What was compared, and how it was answered.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) statements: u64,
    /// Those that the node could answer, and those that it did, of each kind.
    kinds: BTreeMap<&'static str, (u64, u64)>,
    /// Of those that it did: with an index-only scan, backward, with rows that a filter removed.
    index_only: u64,
    backward: u64,
    filtered: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
        self.statements += other.statements;
        self.index_only += other.index_only;
        self.backward += other.backward;
        self.filtered += other.filtered;
        for (kind, (could, used)) in &other.kinds {
            let sum = self.kinds.entry(kind).or_default();
            *sum = (sum.0 + could, sum.1 + used);
        }
    }

    fn note(&mut self, statement: &Statement, plan: &str) {
        self.statements += 1;
        // The planner knows that there are no rows.
        if !statement.applies || plan.contains("One-Time Filter: false") {
            return;
        }
        let used = plan.contains("LearnedDistinct");
        let kind = self.kinds.entry(statement.kind).or_default();
        *kind = (kind.0 + 1, kind.1 + u64::from(used));
        if used {
            self.index_only += u64::from(plan.contains("Index Only Scan"));
            self.backward += u64::from(plan.contains("Scan Backward"));
            self.filtered += u64::from(plan.contains("Rows Removed by Filter"));
        }
    }

    /// Asserts that the node answered most of what it could.
    pub(super) fn assert_used(&self, name: &str) {
        println!("{name}: {self:?}");
        let sum = |of: fn(&(u64, u64)) -> u64| self.kinds.values().map(of).sum::<u64>();
        let (could, used) = (sum(|kind| kind.0), sum(|kind| kind.1));
        if is_learned() {
            assert!(could > 0 && used * 10 >= could * 6, "{name}: {used} of {could} by the node");
        }
    }

    /// Asserts besides that it did so in each of its ways.
    pub(super) fn assert_exhaustive(&self, name: &str) {
        self.assert_used(name);
        if is_learned() {
            let ways = [self.index_only, self.backward, self.filtered];
            assert!(ways.iter().all(|way| *way > 0), "{name}: a way that was not gone");
            assert!(self.kinds.values().all(|kind| kind.1 > 0), "{name}: a kind without the node");
        }
    }
}

/// Has statements answered by the node, or by a sequential scan.
pub(super) fn switch(client: &mut Client, node: bool) -> Result<(), Error> {
    let (node, others) = if node { ("on", "off") } else { ("off", "on") };
    client.batch_execute(&format!(
        "SET LOCAL omendb_learned.enable_distinct = {node};
         SET LOCAL omendb_learned.enable_count = off; SET LOCAL enable_bitmapscan = off;
         SET LOCAL enable_indexscan = {node}; SET LOCAL enable_indexonlyscan = {node};
         SET LOCAL enable_seqscan = {others}; SET LOCAL enable_hashagg = {others}"
    ))
}

/// Compares the answers to some statements in one transaction, which begins by `begin`.
///
/// # Errors
/// Those of the server. The transaction has ended all the same.
pub(super) fn compare(
    client: &mut Client,
    begin: &str,
    statements: &[Statement],
    context: &str,
) -> Result<Tally, Error> {
    client.script(begin)?;
    let outcome = compare_within(client, statements, context);
    // What was cancelled may have left a statement prepared.
    client.script(if outcome.is_ok() { "ROLLBACK" } else { "ROLLBACK; DEALLOCATE ALL" })?;
    outcome
}

fn compare_within(
    client: &mut Client,
    statements: &[Statement],
    context: &str,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    switch(client, true)?;
    let texts: Vec<_> = statements.iter().map(|statement| statement.text.as_str()).collect();
    let explains: Vec<_> = statements.iter().map(|statement| statement.explain.as_str()).collect();
    let plans = answers(client, &explains, context)?;
    let found = answers(client, &texts, context)?;
    switch(client, false)?;
    let expected = answers(client, &texts, context)?;
    let answers = found.into_iter().zip(expected);
    for ((statement, plan), (mut found, mut expected)) in statements.iter().zip(plans).zip(answers)
    {
        if statement.unordered {
            found.sort();
            expected.sort();
        }
        let lines: Vec<_> = plan.into_iter().filter_map(|mut row| row.swap_remove(0)).collect();
        let (plan, text) = (lines.join("\n"), &statement.text);
        assert!(found == expected, "{found:?} instead of {expected:?}\n{text};\n{plan}\n{context}");
        tally.note(statement, &plan);
    }
    Ok(tally)
}
