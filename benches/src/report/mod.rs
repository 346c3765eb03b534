//! Results as a file, as tables and as pictures.

mod plot;
mod run;
mod tables;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::bench::Bench;
use crate::result::Figure;
use run::Run;

/// Between these lines the tool writes, and nobody else.
const BEGIN: &str = "<!-- written by the tool from here -->";
const END: &str = "<!-- to here -->";
const RESULTS: &str = "benchmarks/results.json";

#[derive(Serialize, Deserialize)]
struct Results {
    run: Run,
    figures: Vec<Figure>,
}

/// Writes the results, the pictures and the tables, where the options name a directory.
pub fn write(bench: &Bench) -> Result<()> {
    let Some(out) = &bench.options.out else { return Ok(()) };
    let results = Results { run: Run::of(bench)?, figures: bench.figures.clone() };
    fs::create_dir_all(out.join("benchmarks"))?;
    fs::write(out.join(RESULTS), serde_json::to_string_pretty(&results)? + "\n")?;
    results.show(out)
}

/// Writes the tables and pictures anew, of the results that are in this directory.
pub fn redraw(out: &Path) -> Result<()> {
    serde_json::from_str::<Results>(&fs::read_to_string(out.join(RESULTS))?)?.show(out)
}

impl Results {
    fn show(&self, out: &Path) -> Result<()> {
        fs::create_dir_all(out.join("plots"))?;
        let pictures = plot::pictures(&self.figures);
        for picture in &pictures {
            let mut svg = String::new();
            picture.draw(&mut svg)?;
            fs::write(out.join("plots").join(&picture.file), svg)?;
        }
        let page = out.join("benchmarks.md");
        let text = fs::read_to_string(&page)?;
        let parts = text
            .split_once(BEGIN)
            .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)))
            .ok_or_else(|| format!("{} lacks the lines {BEGIN} and {END}", page.display()))?;
        let tables = tables::markdown(&self.run, &self.figures, &pictures);
        fs::write(page, format!("{}{BEGIN}\n{tables}\n{END}{}", parts.0, parts.1))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At most as wide as a letter is on average, in the widest of the usual fonts.
    const LETTER: f64 = 0.62;

    fn attribute<'a>(tag: &'a str, name: &str) -> &'a str {
        let (_, value) = tag.split_once(&format!(" {name}=\"")).unwrap();
        value.split_once('"').unwrap().0
    }

    #[test]
    fn no_text_of_the_recorded_results_pictures_is_cut_off() {
        let results = include_str!("../../../docs/benchmarks/results.json");
        let results: Results = serde_json::from_str(results).unwrap();
        let pictures = plot::pictures(&results.figures);
        assert!(pictures.len() > 10);
        for picture in pictures {
            let mut svg = String::new();
            picture.draw(&mut svg).unwrap();
            let number = |tag: &str, name| attribute(tag, name).parse::<f64>().unwrap();
            let (width, height) = (number(&svg, "width"), number(&svg, "height"));
            for text in svg.split("<text").skip(1) {
                let content = text.split(['>', '<']).nth(1).unwrap().trim();
                let (x, y, size) =
                    (number(text, "x"), number(text, "y"), number(text, "font-size"));
                let length = content.chars().count() as f64 * size * LETTER;
                let start = match attribute(text, "text-anchor") {
                    "start" => x,
                    "middle" => x - length / 2.0,
                    _ => x - length,
                };
                assert!(start >= 0.0 && start + length <= width, "{}: {content}", picture.file);
                assert!(y >= size / 2.0 && y <= height, "{}: {content}", picture.file);
            }
        }
    }
}
