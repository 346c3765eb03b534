//! What is measured on the data sets.

mod build;
mod deletes;
mod memory;
mod model;
mod neighbours;
mod probes;
mod ranges;
mod routing;
mod scale;
mod single;
mod space;
mod stall;
mod writes;

pub use probes::{PROBE, PROBE_AND_FETCH};

use crate::Result;
use crate::bench::Bench;
use crate::data::{DataSet, MEAN_OF, SETS};
use crate::table::Table;

/// Measures everything that is asked for.
pub fn run(bench: &mut Bench) -> Result<()> {
    let wants = |bench: &Bench, groups: &[&str]| groups.iter().any(|g| bench.options.wants(g));
    if wants(bench, &["point probes", "ranges", "build", "space", "routing", "neighbours"]) {
        for (name, _) in SETS {
            bench.attempt(name, |bench| {
                let set = DataSet::generated(name, bench.options.rows)?;
                of_set(bench, &set)
            })?;
        }
        for (name, path) in bench.options.keys.clone() {
            bench.attempt(&name, |bench| {
                let set = DataSet::of_file(&name, &path)?;
                of_set(bench, &set)?;
                let resampled = set.resampled(bench.options.rows);
                if bench.options.is_full() { of_set(bench, &resampled) } else { Ok(()) }
            })?;
        }
        probes::add_means(bench);
    }
    if wants(bench, &[model::GROUP]) {
        bench.attempt("the model alone", model::run)?;
    }
    if wants(bench, &["writes"]) {
        bench.attempt("writes", writes::run)?;
        bench.attempt("delta", writes::delta)?;
    }
    if wants(bench, &[deletes::GROUP]) {
        deletes::run(bench)?;
    }
    if wants(bench, &["memory"]) {
        bench.attempt("memory", memory::run)?;
    }
    if wants(bench, &["scale"]) {
        bench.attempt("scale", scale::run)?;
    }
    Ok(())
}

/// All that is measured on one table, which only reads it.
fn of_set(bench: &mut Bench, set: &DataSet) -> Result<()> {
    // Those that stand for the others, where everything is too much.
    let stands = MEAN_OF.contains(&set.name.as_str());
    let ordered_or_not = ["timestamps", "uniform"].contains(&set.name.as_str());
    let real = bench.options.keys.iter().any(|(name, _)| *name == set.name);
    let this = bench.options.wants_data(&set.name);
    let wants = |group: &str, of_this_set: bool| this && of_this_set && bench.options.wants(group);
    // The quick form leaves sets out, unless it was asked for these figures only.
    let more = bench.options.is_full() || bench.options.only.is_some();
    let build = wants("build", ordered_or_not || more && stands);
    let space = wants("space", true);
    let probes = wants("point probes", stands || real || more);
    let ranges = wants("ranges", ordered_or_not || more && stands);
    let neighbours = wants("neighbours", ordered_or_not);
    let routing = wants("routing", ordered_or_not || more && stands);
    if ![build, space, probes, ranges, neighbours, routing].contains(&true) {
        return Ok(());
    }
    let mut client = bench.connect()?;
    let client = &mut client;
    let table = Table::load(client, "t", &set.name, &set.keys)?;
    table.add_probes(client)?;
    if build {
        build::run(bench, client, &table)?;
    }
    for method in ["btree", "learned"] {
        table.build(client, method)?;
    }
    if space {
        space::run(bench, client, &table)?;
    }
    if probes {
        probes::run(bench, client, &table)?;
        if set.name == "serial" {
            single::run(bench, client, &table)?;
        }
    }
    if ranges {
        ranges::run(bench, client, &table, &set.keys)?;
    }
    if neighbours {
        neighbours::run(bench, client, &table, &set.keys)?;
    }
    if routing {
        routing::run(bench, client, &table)?;
    }
    table.drop(client)
}
