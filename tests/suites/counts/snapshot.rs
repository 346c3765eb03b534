//! Asking statements by `LearnedCount` and by a sequential scan, under one snapshot.

use std::collections::BTreeMap;

use postgres::{Client, Error, SimpleQueryMessage};
use server_tests::{Script, is_learned};

use super::statements::Statement;

/// The rows of a statement, as text.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// Statements that are sent together, which takes less time than to wait for each.
const STATEMENTS_AT_ONCE: usize = 10;
/// What is selected between two of them.
const NEXT: &str = "the next statement";
const SCANS: [&str; 4] = ["seqscan", "indexscan", "indexonlyscan", "bitmapscan"];

/// What was compared, and how it was answered.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) statements: u64,
    /// Those that the node could answer, and those that it did.
    pub(crate) could: u64,
    pub(crate) used: u64,
    /// Of those that it did: by leaves alone, with entries decoded, with rows looked up.
    leaves_alone: u64,
    decoded: u64,
    looked_up: u64,
    /// How many of each kind the node answered.
    kinds: BTreeMap<&'static str, (u64, u64)>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.statements += other.statements;
        self.could += other.could;
        self.used += other.used;
        self.leaves_alone += other.leaves_alone;
        self.decoded += other.decoded;
        self.looked_up += other.looked_up;
        for (kind, (could, used)) in &other.kinds {
            let sum = self.kinds.entry(kind).or_default();
            *sum = (sum.0 + could, sum.1 + used);
        }
    }

    /// Asserts that the node answered most of what it could.
    pub(crate) fn assert_used(&self, name: &str) {
        let Tally { statements, could, used, leaves_alone, decoded, looked_up, kinds } = self;
        println!(
            "{name}: {statements} statements; LearnedCount answered {used} of {could} that it \
             could: {leaves_alone} by leaves alone, {decoded} with entries decoded, {looked_up} \
             with rows looked up; of each kind: {kinds:?}"
        );
        if is_learned() {
            assert!(*could > 0 && used * 10 >= could * 6, "{name}: {used} of {could} by the node");
        }
    }

    /// Asserts besides that it answered statements of every kind, in each of its ways.
    pub(crate) fn assert_exhaustive(&self, name: &str) {
        self.assert_used(name);
        let Tally { leaves_alone, decoded, looked_up, kinds, .. } = self;
        if is_learned() {
            let ways = [leaves_alone, decoded, looked_up];
            assert!(ways.iter().all(|way| **way > 0), "{name}: a way that was not gone");
            assert!(kinds.values().all(|kind| kind.1 > 0), "{name}: a kind without the node");
        }
    }

    pub(crate) fn note(&mut self, statement: &Statement, plan: &str) {
        self.statements += 1;
        // The planner knows that there are no rows.
        if plan.contains("One-Time Filter: false") {
            return;
        }
        let used = plan.contains("LearnedCount");
        if statement.applies {
            self.could += 1;
            self.used += u64::from(used);
            let kind = self.kinds.entry(statement.kind).or_default();
            *kind = (kind.0 + 1, kind.1 + u64::from(used));
        }
        let sum = |label: &str| -> u64 {
            let numbers = plan.lines().filter_map(|line| line.trim().strip_prefix(label));
            numbers.map(|number| number.trim().parse::<u64>().unwrap()).sum()
        };
        let leaves = sum("Leaves Counted:");
        let (decoded, looked_up) = (sum("Entries Decoded:"), sum("Rows Looked Up:"));
        self.leaves_alone += u64::from(leaves > 0 && decoded + looked_up == 0);
        self.decoded += u64::from(decoded > 0);
        self.looked_up += u64::from(looked_up > 0);
    }
}

/// Turns the node and other scans on or off, to the end of the transaction.
pub(crate) fn switch(client: &mut Client, node: bool) -> Result<(), Error> {
    let on = |is_on: bool| if is_on { "on" } else { "off" };
    let mut switches = format!("SET LOCAL omendb_learned.enable_count = {};", on(node));
    for scan in SCANS {
        let is_on = !node && scan == "seqscan";
        switches.push_str(&format!("SET LOCAL enable_{scan} = {};", on(is_on)));
    }
    client.batch_execute(&switches)
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
    for ((statement, plan), (found, expected)) in statements.iter().zip(plans).zip(answers) {
        let lines: Vec<_> = plan.into_iter().filter_map(|mut row| row.swap_remove(0)).collect();
        let (plan, text) = (lines.join("\n"), &statement.text);
        assert!(found == expected, "{found:?} instead of {expected:?}\n{text};\n{plan}\n{context}");
        tally.note(statement, &plan);
    }
    Ok(tally)
}

/// The rows of each of some statements.
pub(crate) fn answers(
    client: &mut Client,
    texts: &[&str],
    context: &str,
) -> Result<Vec<Rows>, Error> {
    let mut answers = Vec::new();
    for texts in texts.chunks(STATEMENTS_AT_ONCE) {
        let all = texts.join(&format!("; SELECT '{NEXT}'; "));
        let messages = client.simple_query(&all);
        if let Err(error) = &messages {
            println!("{error:?}\n{all};\n{context}");
        }
        let first = answers.len();
        answers.push(Rows::new());
        for message in messages? {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let row: Vec<_> =
                (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect();
            match answers.last_mut() {
                Some(rows) if row[0].as_deref() != Some(NEXT) => rows.push(row),
                _ => answers.push(Rows::new()),
            }
        }
        assert_eq!(answers.len() - first, texts.len(), "{all}");
    }
    Ok(answers)
}
