//! `report`: one HTML page with pictures of what a learned index is and what it does, from a
//! server that runs for it.
//!
//! - `measure`: what is asked of the server
//! - `chart`: pictures of it
//! - this file: the page

mod chart;
mod measure;

use std::fs;
use std::path::{Path, PathBuf};

use chart::{Bars, Chart, Marks, Series};
use measure::{Life, Portrait};

use crate::Result;
use crate::bench::commit;
use crate::options::Options;
use crate::server::{Server, column};

/// The file that the page is written to.
const FILE: &str = "report.html";

/// Measures, and writes the page. Returns where it is.
pub fn write(options: &Options, out: &Path) -> Result<PathBuf> {
    let server = Server::start()?;
    let mut client = server.connect()?;
    let version = column(&mut client, "SHOW server_version")?.concat();
    let portraits = measure::SETS
        .iter()
        .map(|name| Portrait::of(&mut client, name, options))
        .collect::<Result<Vec<Portrait>>>()?;
    let life = Life::of(&server, options)?;
    let about = format!(
        "PostgreSQL {version}, {} rows in each table, commit {}. Medians of {} paired rounds.",
        options.rows,
        commit(),
        options.rounds
    );
    fs::create_dir_all(out)?;
    let file = out.join(FILE);
    fs::write(&file, page(&about, &portraits, &life)?)?;
    Ok(file)
}

/// The page. What it shows is in it: a browser fetches nothing.
fn page(about: &str, portraits: &[Portrait], life: &Life) -> Result<String> {
    let mut sections = vec![
        section("Space", SPACE, &[space(portraits)?]),
        section("Time", TIME, &[time(portraits)?]),
        section("The model", MODEL, &[]),
    ];
    for portrait in portraits {
        let Portrait { data, keys, model, segments, pages, .. } = portrait;
        let heading = format!("The model of {data}");
        let (segments, pages) = (segments.len(), pages.len());
        let text = format!("Keys: {keys}. Model: {model}. Segments: {segments}, pages: {pages}.");
        let pictures = [places(portrait)?, errors(portrait)?];
        sections.push(section(&heading, &text, &pictures));
    }
    sections.push(section("Writes", WRITES, &[unmerged(life)?, sizes(life)?]));
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Learned indexes beside B-trees</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>Learned indexes beside B-trees</h1>\n<p>{about}</p>\n{}\n</body>\n</html>\n",
        sections.concat()
    ))
}

const STYLE: &str = "body { font-family: sans-serif; max-width: 960px; margin: 2em auto; \
    padding: 0 1em; color: #222 } svg { max-width: 100%; height: auto } p { line-height: 1.5 }";
const SPACE: &str = "What each index takes for a row of the table, its inner pages included.";
const TIME: &str = "What one look-up of 100,000 random keys takes in a nested loop, the time \
    of the loop included: from the index alone, and with the row of the table.";
const MODEL: &str = "The model says for a key in which page of the index it is. Each dot above is \
    the first key of a page; the line is what the model predicts; marks on the axis are where the \
    model's segments begin. Below: by how many pages it is off. A search looks at the pages that \
    the model promised, most often at one.";
const WRITES: &str = "Rows that are inserted wait in a small B-tree within the index. When the \
    threshold is reached, a background worker merges them into new pages and trains the model \
    anew, while the inserts go on.";

fn section(heading: &str, text: &str, pictures: &[String]) -> String {
    format!("<section>\n<h2>{heading}</h2>\n<p>{text}</p>\n{}\n</section>\n", pictures.join("\n"))
}

fn space(portraits: &[Portrait]) -> Result<String> {
    let row = |portrait: &Portrait| (portrait.data.clone(), portrait.bytes);
    Bars { unit: "bytes a row", rows: portraits.iter().map(row).collect() }.draw()
}

fn time(portraits: &[Portrait]) -> Result<String> {
    let rows = portraits.iter().flat_map(|portrait| {
        let row = |(what, pair)| (format!("{}, {what}", portrait.data), pair);
        portrait.lookups.clone().into_iter().map(row)
    });
    Bars { unit: "microseconds a look-up", rows: rows.collect() }.draw()
}

/// Where the keys are, and where the model looks for them.
fn places(portrait: &Portrait) -> Result<String> {
    let pages = &portrait.pages;
    let predicted = pages.iter().map(|page| (page.key, page.predicted)).collect();
    let found = pages.iter().map(|page| (page.key, page.page)).collect();
    let starts = portrait.segments.iter().map(|key| (*key, 0.0)).collect();
    let series = vec![
        Series { name: "predicted page", marks: Marks::Line, points: predicted },
        Series { name: "page that has the key", marks: Marks::Dots, points: found },
        Series { name: "a segment begins", marks: Marks::Ticks, points: starts },
    ];
    Chart { x: "key, less the first one", y: "page of the index", height: 340, series }.draw()
}

fn errors(portrait: &Portrait) -> Result<String> {
    let points = portrait.pages.iter().map(|page| (page.key, page.error)).collect();
    let series = vec![Series { name: "error of the model", marks: Marks::Dots, points }];
    Chart { x: "key, less the first one", y: "pages", height: 170, series }.draw()
}

fn unmerged(life: &Life) -> Result<String> {
    let of = |value: fn(&measure::Moment) -> f64| {
        life.0.iter().map(|moment| (moment.seconds, value(moment))).collect()
    };
    let unmerged = of(|moment| moment.unmerged / 1e3);
    let threshold = of(|moment| moment.threshold / 1e3);
    let series = vec![
        Series { name: "rows not merged yet", marks: Marks::Line, points: unmerged },
        Series { name: "threshold of a merge", marks: Marks::Line, points: threshold },
    ];
    Chart { x: "seconds of inserts", y: "thousand rows", height: 260, series }.draw()
}

fn sizes(life: &Life) -> Result<String> {
    let of = |value: fn(&measure::Moment) -> f64| {
        life.0.iter().map(|moment| (moment.seconds, value(moment) / f64::from(1 << 20))).collect()
    };
    let series = vec![
        Series { name: "learned index", marks: Marks::Line, points: of(|moment| moment.bytes) },
        Series { name: "B-tree", marks: Marks::Line, points: of(|moment| moment.btree_bytes) },
    ];
    Chart { x: "seconds of inserts", y: "MiB", height: 260, series }.draw()
}
