//! Asking statements by `LearnedCount` and by a sequential scan, under one snapshot.

use std::collections::BTreeMap;

use postgres::{Client, Error, SimpleQueryMessage};
use server_tests::{Script, is_learned};

use super::statements::Statement;

/// The rows of a statement, as text.
type Rows = Vec<Vec<Option<String>>>;

const SCANS: [&str; 4] = ["seqscan", "indexscan", "indexonlyscan", "bitmapscan"];

/// What was compared, and how it was answered.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) statements: u64,
    /// Those that the node could answer, and those that it did.
    could: u64,
    used: u64,
    /// Of those that it did: by leaves alone, with entries decoded, with rows looked up.
    leaves_alone: u64,
    decoded: u64,
    looked_up: u64,
    /// How many of each kind the node answered.
    kinds: BTreeMap<&'static str, (u64, u64)>,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
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

    /// Asserts that the node was at work, in each of its ways.
    pub(super) fn assert_used(&self, name: &str) {
        let Tally { statements, could, used, leaves_alone, decoded, looked_up, kinds } = self;
        println!(
            "{name}: {statements} statements; LearnedCount answered {used} of {could} that it \
             could: {leaves_alone} by leaves alone, {decoded} with entries decoded, {looked_up} \
             with rows looked up; of each kind: {kinds:?}"
        );
        if is_learned() {
            assert!(used * 10 >= could * 6, "{name}: only {used} of {could} used the node");
            assert!(leaves_alone * decoded * looked_up > 0, "{name}: not every way was gone");
            assert!(kinds.values().all(|kind| kind.1 > 0), "{name}: a kind without the node");
        }
    }

    fn note(&mut self, statement: &Statement, plan: &str) {
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
fn switch(client: &mut Client, node: bool) -> Result<(), Error> {
    let on = |is_on: bool| if is_on { "on" } else { "off" };
    let mut switches = format!("SET LOCAL omendb_learned.enable_count = {};", on(node));
    for scan in SCANS {
        let is_on = !node && scan == "seqscan";
        switches.push_str(&format!("SET LOCAL enable_{scan} = {};", on(is_on)));
    }
    client.script(&switches)
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
    client.script("ROLLBACK")?;
    outcome
}

fn compare_within(
    client: &mut Client,
    statements: &[Statement],
    context: &str,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    switch(client, true)?;
    let mut found = Vec::new();
    for statement in statements {
        let answer = rows(client, &statement.text, context)?;
        let plan: Vec<_> = rows(client, &statement.explain, context)?
            .into_iter()
            .filter_map(|mut row| row.swap_remove(0))
            .collect();
        let plan = plan.join("\n");
        tally.note(statement, &plan);
        found.push((answer, plan));
    }
    switch(client, false)?;
    for (statement, (answer, plan)) in statements.iter().zip(found) {
        let text = &statement.text;
        let expected = rows(client, text, context)?;
        assert!(
            answer == expected,
            "{answer:?} instead of {expected:?}\n{text};\n{plan}\n{context}"
        );
    }
    Ok(tally)
}

fn rows(client: &mut Client, text: &str, context: &str) -> Result<Rows, Error> {
    let messages = client.simple_query(text);
    if let Err(error) = &messages {
        println!("{error:?}\n{text};\n{context}");
    }
    let rows = messages?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}
