//! Measures learned indexes against those of PostgreSQL, and reports what it found.
//!
//! `PG_CONFIG` names the PostgreSQL to measure, with the extension already installed in it.
// A program exports nothing.
#![allow(unreachable_pub)]

mod bench;
mod data;
mod drawing;
mod options;
mod paired;
mod portrait;
mod report;
mod result;
mod server;
mod standard;
mod table;
mod workloads;

use options::{Mode, Options};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let options = Options::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    if let (Mode::Redraw, Some(out)) = (options.mode, &options.out) {
        return report::redraw(out);
    }
    if let (Mode::Report, Some(out)) = (options.mode, &options.out) {
        println!("{}", portrait::write(&options, out)?.display());
        return Ok(());
    }
    // The second part takes long. The first part's report is written before it begins.
    let parts = [workloads::steps(&options), standard::steps(&options)];
    let mut bench = bench::Bench::new(options, parts.iter().map(Vec::len).sum())?;
    for steps in parts {
        steps.into_iter().try_for_each(|step| bench.run(step))?;
        report::write(&bench)?;
    }
    bench.finish()
}
