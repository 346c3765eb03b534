//! TPC-H: all 22 queries with their validation parameters, over B-trees and over learned indexes on
//! every key and date of the same tables. The planner sees those of one side at a time.

use std::fmt::Display;
use std::time::Instant;

use postgres::{Client, SimpleQueryMessage};
use server_tests::Script;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

use super::{GROUP, copy};
use crate::Result;
use crate::bench::Bench;
use crate::paired::{Pairs, Side, alternate};

const DATABASE: &str = "tpch";
/// Each under a line with its number.
const QUERIES: &str = include_str!("tpch.sql");
/// A query that takes fewer milliseconds is asked again, and the second time counts.
const SHORT: f64 = 200.0;
/// No query is to be slower than this, and the total is to be faster.
const SLOWEST: f64 = 0.95;

/// Tables, their columns, and the keys and dates to index, the unique ones marked.
const TABLES: [(&str, &str, &[&str]); 8] = [
    ("region", "r_regionkey int8, r_name text, r_comment text", &["unique r_regionkey"]),
    (
        "nation",
        "n_nationkey int8, n_name text, n_regionkey int8, n_comment text",
        &["unique n_nationkey", "n_regionkey"],
    ),
    (
        "supplier",
        "s_suppkey int8, s_name text, s_address text, s_nationkey int8, s_phone text,
        s_acctbal numeric(15, 2), s_comment text",
        &["unique s_suppkey", "s_nationkey"],
    ),
    (
        "customer",
        "c_custkey int8, c_name text, c_address text, c_nationkey int8, c_phone text,
        c_acctbal numeric(15, 2), c_mktsegment text, c_comment text",
        &["unique c_custkey", "c_nationkey"],
    ),
    (
        "part",
        "p_partkey int8, p_name text, p_mfgr text, p_brand text, p_type text, p_size int4,
        p_container text, p_retailprice numeric(15, 2), p_comment text",
        &["unique p_partkey"],
    ),
    (
        "partsupp",
        "ps_partkey int8, ps_suppkey int8, ps_availqty int4, ps_supplycost numeric(15, 2),
        ps_comment text",
        &["ps_partkey", "ps_suppkey"],
    ),
    (
        "orders",
        "o_orderkey int8, o_custkey int8, o_orderstatus text, o_totalprice numeric(15, 2),
        o_orderdate date, o_orderpriority text, o_clerk text, o_shippriority int4, o_comment text",
        &["unique o_orderkey", "o_custkey", "o_orderdate"],
    ),
    (
        "lineitem",
        "l_orderkey int8, l_partkey int8, l_suppkey int8, l_linenumber int4,
        l_quantity numeric(15, 2), l_extendedprice numeric(15, 2), l_discount numeric(15, 2),
        l_tax numeric(15, 2), l_returnflag text, l_linestatus text, l_shipdate date,
        l_commitdate date, l_receiptdate date, l_shipinstruct text, l_shipmode text,
         l_comment text",
        &["l_orderkey", "l_partkey", "l_suppkey", "l_shipdate", "l_commitdate", "l_receiptdate"],
    ),
];

/// Measures each query, and all of them together.
pub fn run(bench: &mut Bench) -> Result<()> {
    // At most a gigabyte.
    let scale = (bench.options.rows as f64 / 1e7).min(1.0);
    bench.connect()?.batch_execute(&format!("CREATE DATABASE {DATABASE}"))?;
    let mut client = bench.server.connect_to(DATABASE)?;
    let rows = load(&mut client, scale)?;
    let data = format!("TPC-H {scale}");
    let figure =
        |what: &str, pairs: &Pairs| pairs.figure(GROUP, (&data[..], rows), what, "ms", "btree");
    let queries = QUERIES.replace("{scale}", &scale.to_string());
    let mut total = Pairs::default();
    for (number, query) in (1..).zip(queries.split("-- ").skip(1)) {
        let query = query.split_once('\n').map_or("", |(_, query)| query.trim_end_matches(";\n"));
        let mut answer = None;
        let mut indexed = false;
        let pairs = alternate(bench.options.rounds, |side, _| {
            show(&mut client, side)?;
            let plan = ask(&mut client, &format!("EXPLAIN (COSTS OFF) {query}"))?.0;
            indexed |=
                plan.iter().any(|line| line.contains(" using ") || line.contains("Index Scan"));
            let (found, took) = match ask(&mut client, query)? {
                (_, took) if took < SHORT => ask(&mut client, query)?,
                asked => asked,
            };
            match answer.get_or_insert_with(|| found.clone()) {
                first if *first == found => Ok(took),
                _ => Err(format!("different answers to query {number} of TPC-H").into()),
            }
        })?
        .pairs(|took| *took);
        add(&mut total.theirs, &pairs.theirs);
        add(&mut total.ours, &pairs.ours);
        let what = match indexed {
            true => format!("query {number}"),
            false => format!("query {number}, no index used"),
        };
        bench.add(figure(&what, &pairs).with_target(SLOWEST));
    }
    bench.add(figure("all 22 queries", &total).with_target(1.0));
    drop(client);
    bench.connect()?.batch_execute(&format!("DROP DATABASE {DATABASE} WITH (FORCE)"))?;
    Ok(())
}

/// Adds the times of one more query, round by round.
fn add(total: &mut Vec<f64>, times: &[f64]) {
    total.resize(times.len(), 0.0);
    total.iter_mut().zip(times).for_each(|(total, time)| *total += time);
}

/// Lets the planner see the indexes of one side only.
///
/// Changing a row of `pg_index` makes every session look at that index anew.
fn show(client: &mut Client, side: Side) -> Result<()> {
    let valid = "UPDATE pg_index i SET indisvalid = NOT indisvalid
        FROM pg_class c JOIN pg_am a ON a.oid = c.relam
        WHERE c.oid = i.indexrelid AND c.relnamespace = 'public'::regnamespace
            AND indisvalid <> (a.amname = $1)";
    client.execute(valid, &[&side.method()])?;
    Ok(())
}

/// The rows of an answer, sorted since ties may come in any order, and the milliseconds it took.
fn ask(client: &mut Client, query: &str) -> Result<(Vec<String>, f64)> {
    let started = Instant::now();
    let messages = client.simple_query(query)?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    let mut rows: Vec<String> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let columns = (0..row.len()).map(|column| row.get(column).unwrap_or("NULL"));
                Some(columns.collect::<Vec<_>>().join("|"))
            }
            _ => None,
        })
        .collect();
    rows.sort_unstable();
    Ok((rows, took))
}

/// Creates and fills the tables, with both kinds of indexes. Returns the rows of the largest.
fn load(client: &mut Client, scale: f64) -> Result<u64> {
    client.batch_execute("CREATE EXTENSION IF NOT EXISTS omendb_learned")?;
    let mut largest = 0;
    for (table, columns, keys) in TABLES {
        client.batch_execute(&format!("CREATE TABLE {table} ({columns})"))?;
        let rows = fill(client, table, scale)?;
        for key in keys {
            let (unique, column) = key.split_once(' ').unwrap_or(("", key));
            for method in [Side::Theirs, Side::Ours].map(Side::method) {
                client.batch_execute(&format!(
                    "CREATE {unique} INDEX {column}_{method} ON {table} USING {method} ({column})"
                ))?;
            }
        }
        client.script(&format!("VACUUM (FREEZE, ANALYZE) {table}"))?;
        largest = rows.max(largest);
    }
    Ok(largest)
}

fn fill(client: &mut Client, table: &str, scale: f64) -> Result<u64> {
    match table {
        "region" => rows(client, table, RegionGenerator::new(scale, 1, 1).iter()),
        "nation" => rows(client, table, NationGenerator::new(scale, 1, 1).iter()),
        "supplier" => rows(client, table, SupplierGenerator::new(scale, 1, 1).iter()),
        "customer" => rows(client, table, CustomerGenerator::new(scale, 1, 1).iter()),
        "part" => rows(client, table, PartGenerator::new(scale, 1, 1).iter()),
        "partsupp" => rows(client, table, PartSuppGenerator::new(scale, 1, 1).iter()),
        "orders" => rows(client, table, OrderGenerator::new(scale, 1, 1).iter()),
        _ => rows(client, table, LineItemGenerator::new(scale, 1, 1).iter()),
    }
}

/// Loads rows that end in a bar, which PostgreSQL takes for one more column.
fn rows(client: &mut Client, table: &str, rows: impl Iterator<Item = impl Display>) -> Result<u64> {
    copy(client, table, rows.map(|row| row.to_string().trim_end_matches('|').to_owned()))
}
