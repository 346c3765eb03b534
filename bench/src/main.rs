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

use options::Options;
use server::Server;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let mut bench = bench::Bench { server: Server::start()?, options, figures: Vec::new() };
    workloads::run(&mut bench)?;
    standard::run(&mut bench)?;
    report::write(&bench)
}
