//! Results as a file, as tables and as plots.

mod plot;
mod run;
mod tables;

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Result;
use crate::bench::Bench;
use crate::result::Figure;
use run::Run;

/// Between these lines the tool writes, and nobody else.
const BEGIN: &str = "<!-- written by the tool from here -->";
const END: &str = "<!-- to here -->";

#[derive(Serialize)]
struct Results<'a> {
    run: &'a Run,
    figures: &'a [Figure],
}

/// Writes `benchmarks/results.json`, `plots/*.svg` and the tables in `benchmarks.md`, where the options name a directory.
pub fn write(bench: &Bench) -> Result<()> {
    let Some(out) = &bench.options.out else { return Ok(()) };
    let run = Run::of(bench)?;
    let results = Results { run: &run, figures: &bench.figures };
    fs::create_dir_all(out.join("benchmarks"))?;
    let json = serde_json::to_string_pretty(&results)? + "\n";
    fs::write(out.join("benchmarks/results.json"), json)?;
    let plots = write_plots(&bench.figures, &out.join("plots"))?;
    let page = out.join("benchmarks.md");
    let text = fs::read_to_string(&page)?;
    let parts = text
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)))
        .ok_or_else(|| format!("{} lacks the lines {BEGIN} and {END}", page.display()))?;
    let tables = tables::markdown(&run, &bench.figures, &plots);
    fs::write(page, format!("{}{BEGIN}\n{tables}\n{END}{}", parts.0, parts.1))?;
    Ok(())
}

/// The groups of the figures, in their order.
fn groups(figures: &[Figure]) -> Vec<&str> {
    let mut groups: Vec<&str> = Vec::new();
    for figure in figures {
        if !groups.contains(&figure.group.as_str()) {
            groups.push(&figure.group);
        }
    }
    groups
}

/// One plot for each group; the names of the groups that have one.
fn write_plots(figures: &[Figure], directory: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(directory)?;
    let mut written = Vec::new();
    for group in groups(figures) {
        let members: Vec<&Figure> = figures.iter().filter(|f| f.group == group).collect();
        let svg = match group {
            "scale" => plot::curves(&members),
            _ => plot::bars(group, &members),
        };
        fs::write(directory.join(file_name(group)), svg)?;
        written.push(group.to_owned());
    }
    Ok(written)
}

/// The plot's file of a group.
fn file_name(group: &str) -> String {
    format!("{}.svg", group.replace(' ', "_"))
}
