//! What the command line asks for.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum, value_parser};

use crate::data::SETS;
use crate::result::GROUPS;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Half a million rows, and less of what takes long: up to 15 minutes
    Quick,
    /// Everything, at ten million rows and up to a hundred million: hours, and room on the disk
    Full,
    /// Nothing: writes the tables and pictures in DIRECTORY again, from the results there
    Redraw,
    /// What one HTML page shows in pictures, report.html in DIRECTORY: a minute or two
    Report,
}

/// Measures learned indexes against those of PostgreSQL, in a throwaway server.
///
/// The environment variable PG_CONFIG names the pg_config of the PostgreSQL to measure, in which
/// the extension is installed.
#[derive(Clone, Debug, Parser)]
#[command(version, after_long_help = list_of_sets())]
pub struct Options {
    /// How much is measured
    pub mode: Mode,
    /// The only group of figures to measure
    #[arg(long, value_name = "GROUP")]
    #[arg(value_parser = PossibleValuesParser::new(GROUPS.map(|(name, _)| name)))]
    pub only: Option<String>,
    /// Measure only this data set, in the groups that are measured on each. May be repeated
    #[arg(long, value_name = "NAME")]
    pub data: Vec<String>,
    /// Rows of each generated data set, 10,000 to a billion; ten million by default if full
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(10_000..=1_000_000_000))]
    #[arg(default_value = "500000", default_value_if("mode", "full", "10000000"))]
    pub rows: u64,
    /// Rounds that count for each figure, 1 to 1,000
    #[arg(long, value_name = "N", default_value = "5")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000))]
    pub rounds: usize,
    /// Seconds that clients of "deletes" work on each index, 1 to 86,400; 60 by default if full
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=86_400))]
    #[arg(default_value = "8", default_value_if("mode", "full", "60"))]
    pub seconds: u64,
    /// One more data set: a file of integers, one a line in the table's order. May be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    pub keys: Vec<(String, PathBuf)>,
    /// Where benchmarks.md is, to write its tables, pictures and results; none by default
    #[arg(long, value_name = "DIRECTORY")]
    #[arg(required_if_eq_any([("mode", "redraw"), ("mode", "report")]))]
    pub out: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments of the program, the first of which is its name.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let options = Self::try_parse_from(arguments)?;
        let known = options.sets();
        let is_unknown = |name: &&String| !known.contains(name);
        let Some(name) = options.data.iter().find(is_unknown) else { return Ok(options) };
        let known = known.join("; ");
        let message = format!("no data set '{name}' for '--data <NAME>'; there are: {known}");
        Err(Self::command().error(ErrorKind::InvalidValue, message))
    }

    /// The data sets that there are.
    pub fn sets(&self) -> Vec<String> {
        let mut sets: Vec<String> = SETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        for (name, _) in &self.keys {
            sets.push(name.clone());
            sets.extend(self.is_full().then(|| resampled(name)));
        }
        sets
    }

    /// The command that repeats the run, without paths, which differ between machines.
    pub fn repeated_by(&self) -> String {
        let mode = if self.is_full() { "full" } else { "quick" };
        let only = self.only.iter().map(|group| format!(" --only {group:?}"));
        let data = self.data.iter().map(|name| format!(" --data {name:?}"));
        format!(
            "scripts/bench {mode}{} --rows {} --rounds {} --seconds {}",
            only.chain(data).collect::<String>(),
            self.rows,
            self.rounds,
            self.seconds
        )
    }

    /// Whether a group of figures is to be measured.
    pub fn wants(&self, group: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == group)
    }

    /// Whether this data set is to be measured, in the groups that are measured on each.
    pub fn wants_data(&self, name: &str) -> bool {
        self.data.is_empty() || self.data.iter().any(|wanted| wanted == name)
    }

    /// Whether everything is to be measured.
    pub fn is_full(&self) -> bool {
        self.mode == Mode::Full
    }
}

/// The name of the data set that has more keys like those of another.
pub fn resampled(name: &str) -> String {
    format!("{name}, resampled")
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("it has to be NAME=FILE")?;
    match SETS.iter().any(|(generated, _)| *generated == name) {
        true => Err(format!("a generated data set has the name {name}")),
        false => Ok((name.to_owned(), file.into())),
    }
}

fn list_of_sets() -> String {
    let sets = SETS.map(|(name, keys)| format!("  {name:<13}{keys}"));
    format!("Generated data sets:\n{}", sets.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options, String> {
        Options::read(["learned_bench"].iter().chain(arguments).map(OsString::from))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_full_run_is_larger_unless_it_is_told_its_size() {
        let extent = |arguments: &[&str]| read(arguments).map(|o| (o.rows, o.rounds, o.seconds));
        assert_eq!(extent(&["quick"]), Ok((500_000, 5, 8)));
        assert_eq!(extent(&["full"]), Ok((10_000_000, 5, 60)));
        assert_eq!(extent(&["full", "--rows", "20000", "--seconds", "3"]), Ok((20_000, 5, 3)));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        let wrong = [
            (vec![], "<MODE>"),
            (vec!["slow"], "[possible values: quick, full, redraw, report]"),
            (vec!["quick", "--only", "writing"], "build, space, \"point probes\", ranges"),
            (vec!["quick", "--data", "flights"], "--data <NAME>'; there are: serial;"),
            (vec!["redraw"], "--out <DIRECTORY>"),
            (vec!["report"], "--out <DIRECTORY>"),
            (vec!["quick", "--rows", "9999"], "9999 is not in 10000..=1000000000"),
            (vec!["quick", "--rounds", "0"], "0 is not in 1..=1000"),
            (vec!["quick", "--seconds", "x"], "--seconds <N>"),
            (vec!["quick", "--keys", "flights"], "it has to be NAME=FILE"),
        ];
        for (arguments, part) in wrong {
            let message = read(&arguments).expect_err(part);
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn the_command_of_a_run_repeats_it() {
        let arguments = "full|--keys|flights=/x|--data|flights, resampled|--only|point probes";
        let first = read(&arguments.split('|').collect::<Vec<_>>()).unwrap();
        let expected = "scripts/bench full --only \"point probes\" --data \"flights, resampled\" \
            --rows 10000000 --rounds 5 --seconds 60";
        assert_eq!(first.repeated_by(), expected);
    }
}
