//! What the command line asks for.

use std::path::PathBuf;

use crate::Result;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Half a million rows, and less of what takes long.
    Quick,
    /// Everything, at ten million rows, and up to a hundred million.
    Full,
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much is measured.
    pub mode: Mode,
    /// Rows of each generated data set.
    pub rows: u64,
    /// Paired rounds that are counted, of each figure.
    pub rounds: usize,
    /// Seconds that the clients of each index work, where time is given and not a number of rows.
    pub seconds: u64,
    /// The only group to measure, by its name in [`Figure::group`](crate::result::Figure).
    pub only: Option<String>,
    /// The only data sets to measure what is measured on each; all if there are none.
    pub data: Vec<String>,
    /// Files of real keys with their names: one integer a line, in the order of the table.
    pub keys: Vec<(String, PathBuf)>,
    /// The command that repeats the run, without the paths that differ from one machine to the next.
    pub command: String,
    /// Where `benchmarks.md` and its files are; `None` prints only.
    pub out: Option<PathBuf>,
}

const USAGE: &str = "usage: learned_bench quick|full [--only GROUP] [--data NAME]... [--rows N] \
    [--rounds N] [--seconds N] [--keys NAME=FILE]... [--out DIRECTORY]";

impl Options {
    /// Reads the arguments of the program, without its name.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mode = match arguments.next().as_deref() {
            Some("quick") => Mode::Quick,
            Some("full") => Mode::Full,
            _ => return Err(USAGE.into()),
        };
        let (rows, rounds, seconds) = match mode {
            Mode::Quick => (500_000, 5, 8),
            Mode::Full => (10_000_000, 5, 60),
        };
        let command = match mode {
            Mode::Quick => "scripts/bench quick".to_owned(),
            Mode::Full => "scripts/bench full".to_owned(),
        };
        let (only, data, keys, out) = (None, Vec::new(), Vec::new(), None);
        let mut options = Self { mode, rows, rounds, seconds, only, data, keys, command, out };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(USAGE)?;
            if name != "--keys" && name != "--out" {
                options.command += &format!(" {name} {value:?}");
            }
            match name.as_str() {
                "--only" => options.only = Some(value),
                "--data" => options.data.push(value),
                "--rows" => options.rows = value.parse()?,
                "--rounds" => options.rounds = value.parse()?,
                "--seconds" => options.seconds = value.parse()?,
                "--keys" => {
                    let (name, file) = value.split_once('=').ok_or(USAGE)?;
                    options.keys.push((name.to_owned(), PathBuf::from(file)));
                }
                "--out" => options.out = Some(PathBuf::from(value)),
                _ => return Err(USAGE.into()),
            }
        }
        if options.rows < 10_000 || options.rounds == 0 || options.seconds == 0 {
            return Err("--rows is at least 10000, --rounds and --seconds at least 1".into());
        }
        Ok(options)
    }

    /// Whether a group of figures is to be measured.
    pub fn wants(&self, group: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == group)
    }

    /// Whether what is measured on each data set is to be measured on this one.
    pub fn wants_data(&self, name: &str) -> bool {
        self.data.is_empty() || self.data.iter().any(|wanted| wanted == name)
    }

    /// Whether everything is to be measured.
    pub fn is_full(&self) -> bool {
        self.mode == Mode::Full
    }
}
