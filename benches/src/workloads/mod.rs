//! What is measured on the data sets.

mod build;
mod composite;
mod counts;
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

pub use probes::PROBES;

use crate::Result;
use crate::bench::{Bench, Measure, Step};
use crate::data::{DataSet, MEAN_OF};
use crate::options::Options;
use crate::table::Table;

/// Groups that make tables of their own: group, name, function.
const OTHERS: [(&str, &str, Measure); 7] = [
    (composite::GROUP, "keys of several columns", composite::run),
    (counts::GROUP, "counts", counts::run),
    (model::GROUP, "the model alone", model::run),
    ("writes", "writes", writes::run),
    ("writes", "delta", writes::delta),
    ("memory", "memory", memory::run),
    ("scale", "scale", scale::run),
];

/// The steps that are asked for.
pub fn steps(options: &Options) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for name in options.sets() {
        let groups = groups_of(options, &name);
        if !groups.is_empty() {
            let set = name.clone();
            steps.push((name, Box::new(move |bench| of_set(bench, &set, &groups))));
        }
    }
    if options.wants("point probes") {
        steps.push(("geometric means".to_owned(), Box::new(probes::add_means)));
    }
    let deletes = deletes::STEPS.map(|(name, measure)| (deletes::GROUP, name, measure));
    let others = OTHERS.into_iter().chain(deletes).filter(|(group, ..)| options.wants(group));
    steps.extend(others.map(|(_, name, measure)| (name.to_owned(), Box::new(measure) as _)));
    steps
}

/// The groups that are measured on this data set.
fn groups_of(options: &Options, set: &str) -> Vec<&'static str> {
    // Those that stand for the others, where everything is too much.
    let stands = MEAN_OF.contains(&set);
    let ordered_or_not = ["timestamps", "uniform"].contains(&set);
    let real = options.keys.iter().any(|(name, _)| *name == set);
    // The quick form leaves sets out, unless it was asked for these figures only.
    let more = options.is_full() || options.only.is_some();
    let groups = [
        ("build", ordered_or_not || more && stands),
        ("space", true),
        ("point probes", stands || real || more),
        ("ranges", ordered_or_not || more && stands),
        ("neighbours", ordered_or_not),
        ("routing", ordered_or_not || more && stands),
    ];
    let is_wanted = |(group, of_this_set): &(&str, bool)| {
        *of_this_set && options.wants_data(set) && options.wants(group)
    };
    groups.into_iter().filter(is_wanted).map(|(group, _)| group).collect()
}

/// Measures these groups on one table, and only reads it.
fn of_set(bench: &mut Bench, name: &str, groups: &[&str]) -> Result<()> {
    let set = &DataSet::of(name, &bench.options)?;
    let wants = |group| groups.contains(&group);
    let mut client = bench.connect()?;
    let client = &mut client;
    let table = Table::load(client, "t", &set.name, &set.keys)?;
    table.add_probes(client)?;
    if wants("build") {
        build::run(bench, client, &table)?;
    }
    for method in ["btree", "learned"] {
        table.build(client, method)?;
    }
    if wants("space") {
        space::run(bench, client, &table)?;
    }
    if wants("point probes") {
        probes::run(bench, client, &table)?;
        if set.name == "serial" {
            single::run(bench, client, &table)?;
        }
    }
    if wants("ranges") {
        ranges::run(bench, client, &table, &set.keys)?;
    }
    if wants("neighbours") {
        neighbours::run(bench, client, &table, &set.keys)?;
    }
    if wants("routing") {
        routing::run(bench, client, &table)?;
    }
    table.drop(client)
}
