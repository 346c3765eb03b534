//! The tables of the report, in Markdown.

use std::fmt::Write;

use indicatif::HumanCount;

use crate::result::{Figure, GROUPS};

use super::plot::Picture;
use super::run::Run;

/// All between the marks: what the run was, the groups, and where the learned index is worse.
pub fn markdown(run: &Run, figures: &[Figure], pictures: &[Picture<'_>]) -> String {
    let mut text = format!(
        "\n`{}` on {}: version {}, commit {}, PostgreSQL {}, {} x {}, {} rows unless said, {} \
         rounds.\n\nSettings: {}.\n",
        run.command,
        run.date,
        run.version,
        run.commit,
        run.postgresql,
        run.cpus,
        run.cpu,
        thousands(run.rows as f64),
        run.rounds,
        run.settings.iter().map(|(n, v)| format!("`{n} = {v}`")).collect::<Vec<_>>().join(", "),
    );
    for failure in &run.failures {
        let _ = writeln!(text, "\nNot measured, it failed: {failure}.");
    }
    let _ = write!(text, "\n{}", summary(figures));
    for (group, heading) in GROUPS {
        let members: Vec<&Figure> = figures.iter().filter(|f| f.group == group).collect();
        let worst = members.iter().min_by(|a, b| a.ratio.total_cmp(&b.ratio));
        let Some(Figure { data, what, ratio, .. }) = worst else { continue };
        let _ = writeln!(text, "\n### {heading}\n");
        for Picture { title, file, .. } in pictures.iter().filter(|p| p.group == group) {
            let _ = writeln!(text, "![{title}](plots/{file})\n");
        }
        let _ = writeln!(text, "The lowest ratio is {}: {data}, {what}.\n", number(*ratio));
        text.push_str(&table(&members));
    }
    text.push_str(&better_without(figures));
    text
}

/// How many targets are reached, and those that are not.
fn summary(figures: &[Figure]) -> String {
    let aimed: Vec<&Figure> = figures.iter().filter(|f| f.target.is_some()).collect();
    let missed: Vec<&Figure> = aimed.iter().copied().filter(|f| !f.is_reached()).collect();
    let (all, reached) = (aimed.len(), aimed.len() - missed.len());
    let mut text =
        format!("Targets, which are for ten million rows, reached: {reached} of {all}. ");
    if !missed.is_empty() {
        text.push_str("Not reached:\n\n");
        text.push_str(&table(&missed));
    }
    text.push('\n');
    text
}

/// The section of the figures in which another kind of index is better.
fn better_without(figures: &[Figure]) -> String {
    // Not where a learned index is compared with another one, nor where nothing is.
    let is_of_index = |figure: &&Figure| {
        !figure.against.starts_with("learned") && !figure.what.starts_with("training")
    };
    let worse: Vec<&Figure> =
        figures.iter().filter(is_of_index).filter(|figure| figure.ratio < 1.0).collect();
    let rows = match worse.is_empty() {
        true => "No row of this run.\n".to_owned(),
        false => table(&worse),
    };
    format!(
        "\n## Where a B-tree is the better choice\n\nEvery row above against another kind of \
         index whose ratio is below 1. Where the spread reaches over 1 the two cannot be told \
         apart.\n\n{rows}"
    )
}

fn table(figures: &[&Figure]) -> String {
    let mut text = "| keys | measured | unit | against | theirs | learned | ratio | spread | \
                    ceiling | target |\n|---|---|---|---|---:|---:|---:|---|---:|---:|\n"
        .to_owned();
    for figure in figures {
        let optional = |value: Option<f64>| value.map(number).unwrap_or_default();
        let spread = match figure.high > figure.low {
            true => format!("{} to {}", number(figure.low), number(figure.high)),
            false => String::new(),
        };
        let target = match figure.target_is_of_ours() {
            true => {
                figure.target.map(|t| format!("{} {}", number(t), figure.unit)).unwrap_or_default()
            }
            false => optional(figure.target),
        };
        let _ = writeln!(
            text,
            "| {} ({}) | {} | {} | {} | {} | {} | {} | {spread} | {} | {target} |",
            figure.data,
            thousands(figure.rows as f64),
            figure.what,
            figure.unit,
            figure.against,
            number(figure.theirs),
            number(figure.ours),
            number(figure.ratio),
            optional(figure.ceiling),
        );
    }
    text
}

/// Three digits that mean something.
pub fn number(value: f64) -> String {
    match value.abs() {
        v if v.is_nan() => String::new(),
        v if v >= 1_000.0 => thousands(value),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// With commas.
pub fn thousands(value: f64) -> String {
    HumanCount(value.round() as u64).to_string()
}
