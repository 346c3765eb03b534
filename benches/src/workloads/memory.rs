//! The same when memory is short: `shared_buffers` hold a part of the table or the index.

use postgres::Client;
use rand::Rng;

use crate::Result;
use crate::bench::Bench;
use crate::data::DataSet;
use crate::paired::Question;
use crate::server::Server;
use crate::table::Table;

use super::probes::{LISTS, PROBES, ask_lists};
use super::writes::{Inserts, Twins, insert};

/// Lookups with the table five times `shared_buffers`, random inserts with the B-tree four times.
pub fn run(bench: &mut Bench) -> Result<()> {
    let sets: &[&str] =
        if bench.options.is_full() { &["timestamps", "uniform"] } else { &["uniform"] };
    for name in sets {
        probes(bench, &DataSet::generated(name, bench.options.rows)?)?;
    }
    let mut client = bench.connect()?;
    let set = DataSet::generated("uniform", bench.options.rows)?;
    let twins = Twins::load(&mut client, &set)?;
    let mut client = shrink(&bench.server, client, "theirs_btree", 4)?;
    let condition = ", the B-tree four times shared_buffers";
    let random = Inserts { group: "memory", kind: "random", condition, target: 3.0 };
    insert(bench, &mut client, &twins, &random, |rng, _| rng.random_range(0..1 << 62))?;
    twins.drop(&mut client)?;
    drop(client);
    bench.server.restart_with(&Server::lines_of_settings())
}

fn probes(bench: &mut Bench, set: &DataSet) -> Result<()> {
    let mut client = bench.connect()?;
    let table = Table::load(&mut client, "t", &set.name, &set.keys)?;
    table.add_probes(&mut client)?;
    for method in ["btree", "learned"] {
        table.build(&mut client, method)?;
    }
    let mut client = shrink(&bench.server, client, "t", 5)?;
    for ((how, scan, query), target) in PROBES.into_iter().zip([Some(2.5), None]) {
        let pairs = Question::new(&table, query, scan).ask(&mut client, bench.options.rounds)?;
        let what = format!("point probes, {how}, the table five times shared_buffers");
        let figure = pairs.figure("memory", &table, &what, "ms", "btree");
        bench.add(crate::result::Figure { target, ..figure });
    }
    let pairs = ask_lists(&mut client, &table, bench.options.rounds)?;
    let what = format!("{LISTS}, the table five times shared_buffers");
    bench.add(pairs.figure("memory", &table, &what, "ms", "btree"));
    table.drop(&mut client)?;
    drop(client);
    bench.server.restart_with(&Server::lines_of_settings())
}

/// Restarts the server with so small `shared_buffers` that the relation is `times` as large.
fn shrink(server: &Server, mut client: Client, relation: &str, times: i64) -> Result<Client> {
    let size = "SELECT pg_relation_size($1::text::regclass)";
    let bytes: i64 = client.query_one(size, &[&relation])?.get(0);
    drop(client);
    server.restart_with(&format!("shared_buffers = {}kB", (bytes / times / 1024).max(1024)))?;
    server.connect()
}
