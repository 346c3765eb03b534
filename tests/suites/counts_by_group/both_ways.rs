//! Asking statements by `LearnedCount` and by a sequential scan, under one snapshot.

use postgres::{Client, SimpleQueryMessage};
use server_tests::Script;

use super::statements::Asked;
use crate::counts::snapshot::{Rows, Tally, answers, switch};
use crate::counts::statements::Statement;

/// Rows, or the error's message.
type Outcome = Result<Rows, String>;

/// Compares the answers to some statements in one transaction, which begins by `begin`.
pub(super) fn compare(client: &mut Client, begin: &str, all: &[Asked], context: &str) -> Tally {
    client.script(begin).unwrap();
    let mut tally = Tally::default();
    switch(client, true).unwrap();
    let explains: Vec<_> = all.iter().map(|asked| asked.statement.explain.as_str()).collect();
    let plans = answers(client, &explains, context).unwrap();
    let found = outcomes(client, all, context);
    switch(client, false).unwrap();
    let expected = outcomes(client, all, context);
    for ((asked, plan), (found, expected)) in all.iter().zip(plans).zip(found.zip(expected)) {
        let lines: Vec<_> = plan.into_iter().filter_map(|mut row| row.swap_remove(0)).collect();
        let (plan, text) = (lines.join("\n"), &asked.statement.text);
        if !agree(&found, &expected) {
            let difference = difference(&found, &expected);
            panic!("{difference}\n{text};\n{plan}\n{begin}; {context}");
        }
        tally.note(&asked.statement, &plan);
    }
    client.script("ROLLBACK").unwrap();
    tally
}

/// What each statement gives, in a certain order.
fn outcomes(
    client: &mut Client,
    all: &[Asked],
    context: &str,
) -> impl Iterator<Item = Outcome> + use<> {
    let texts: Vec<_> = all.iter().map(|asked| asked.statement.text.as_str()).collect();
    let mut outcomes: Vec<Outcome> = match all.iter().any(|asked| asked.may_fail) {
        true => texts.iter().map(|text| outcome(client, text)).collect(),
        false => answers(client, &texts, context).unwrap().into_iter().map(Ok).collect(),
    };
    for (outcome, asked) in outcomes.iter_mut().zip(all) {
        if let (Ok(rows), true) = (outcome, asked.unordered) {
            rows.sort();
        }
    }
    outcomes.into_iter()
}

/// What a statement gives that may fail, within a transaction.
pub(super) fn outcome(client: &mut Client, text: &str) -> Outcome {
    client.batch_execute("SAVEPOINT outcome").unwrap();
    match client.simple_query(text) {
        Ok(messages) => {
            client.batch_execute("RELEASE outcome").unwrap();
            let rows = messages.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            });
            let values = rows.map(|row| {
                (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()
            });
            Ok(values.collect())
        }
        Err(error) => {
            client.batch_execute("ROLLBACK TO outcome; RELEASE outcome; DEALLOCATE ALL").unwrap();
            Err(error.as_db_error().unwrap().message().to_owned())
        }
    }
}

/// Whether two outcomes are one. Of several rows for which functions fail, any may come first.
fn agree(found: &Outcome, expected: &Outcome) -> bool {
    match (found, expected) {
        (Err(one), Err(other)) if one.ends_with("out of range") => other.ends_with("out of range"),
        _ => found == expected,
    }
}

/// The rows of one outcome that the other has not.
fn difference(found: &Outcome, expected: &Outcome) -> String {
    let (Ok(found), Ok(expected)) = (found, expected) else {
        return format!("{found:?} instead of {expected:?}");
    };
    let only = |these: &Rows, those: &Rows| -> Rows {
        these.iter().filter(|row| !those.contains(row)).take(12).cloned().collect()
    };
    let (more, less) = (only(found, expected), only(expected, found));
    let (some, others) = (found.len(), expected.len());
    format!("{some} rows instead of {others}; found {more:?}, expected {less:?}")
}

/// A statement by itself.
pub(super) fn single(kind: &'static str, text: &str) -> Asked {
    let explain = format!("EXPLAIN (COSTS OFF) {text}");
    let statement = Statement { kind, text: text.to_owned(), explain, applies: true };
    Asked { statement, unordered: true, may_fail: true }
}
