//! Measures learned indexes against those of PostgreSQL, and reports what it found.
//!
//! `PG_CONFIG` names the PostgreSQL to measure, with the extension already installed in it.
// A program exports nothing.
#![allow(unreachable_pub)]

mod bench;
mod data;
mod options;
mod paired;
mod report;
mod result;
mod server;
mod standard;
mod table;
mod workloads;

use std::time::Instant;

use options::{Mode, Options};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let options = Options::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    if let (Mode::Redraw, Some(out)) = (options.mode, &options.out) {
        return report::redraw(out);
    }
    let started = Instant::now();
    let mut bench = bench::Bench::new(options)?;
    workloads::run(&mut bench)?;
    // The rest takes long: whoever does not wait for it has this.
    report::write(&bench)?;
    bench.attempt("standard workloads", standard::run)?;
    report::write(&bench)?;
    println!("measured in {} seconds", started.elapsed().as_secs());
    match bench.failures.len() {
        0 => Ok(()),
        n => Err(format!("{n} could not be measured: {}", bench.failures.join("; ")).into()),
    }
}
