//! A session alone: thousands of statements over tables of every kind, between writes, merges and
//! vacuums.

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Script, SqlType, access_method, check_all, is_learned, seed};

use super::both_ways::{compare, single};
use super::statements::Generator;
use super::table::{Change, More, Shape, Table};
use super::values::Spread;
use super::zones::{ZONES, changes};
use crate::counts::snapshot::Tally;

const STATEMENTS_A_ROUND: usize = 35;
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";

use More::{Included, Nothing, Partitions, Predicate, Unique};
use Spread::{Around, Clustered, Dense, Far, Few, Sparse};
use SqlType::{Date, Int2, Int4, Int8, Money, Numeric, Timestamp, Timestamptz, Uuid};

/// Those that do not depend on a time zone, or not much.
fn shapes() -> Vec<Shape> {
    let d = || (Int4, "", Few);
    let shape = |keys, more| Shape { keys, more };
    vec![
        shape(vec![(Timestamp, "", Dense)], Nothing),
        shape(vec![(Timestamp, "NULLS FIRST", Sparse)], Nothing),
        shape(vec![(Timestamp, "", Clustered)], Included),
        shape(vec![(Timestamp, "", Far)], Nothing),
        shape(vec![(Timestamptz, "", Far)], Nothing),
        shape(vec![(Timestamptz, "DESC", Dense)], Nothing),
        shape(vec![d(), (Timestamp, "", Clustered)], Nothing),
        shape(vec![d(), (Timestamp, "", Far)], Predicate),
        shape(vec![(Int8, "", Few), (Uuid, "", Few), (Timestamptz, "", Dense)], Nothing),
        shape(vec![(Int2, "", Far)], Nothing),
        shape(vec![(Int4, "", Far)], Nothing),
        shape(vec![(Int8, "", Far)], Included),
        shape(vec![(Int8, "NULLS FIRST", Dense)], Nothing),
        shape(vec![(Int4, "", Sparse)], Predicate),
        shape(vec![(Int8, "", Clustered)], Partitions),
        shape(vec![(Timestamptz, "", Dense)], Partitions),
        shape(vec![(Timestamp, "NULLS FIRST", Far)], Partitions),
        shape(vec![d(), (Timestamp, "", Clustered)], Partitions),
        shape(vec![(Money, "", Few), (Int4, "", Dense)], Partitions),
        shape(vec![d(), (Numeric, "", Far)], Nothing),
        shape(vec![(Numeric, "DESC", Clustered), (Int4, "", Dense)], Partitions),
        shape(vec![(Numeric, "NULLS FIRST", Sparse), (Timestamp, "", Dense)], Partitions),
        shape(vec![(Int8, "", Dense)], Unique),
        shape(vec![d(), (Timestamptz, "", Dense)], Unique),
        shape(vec![d(), (Int4, "", Clustered)], Nothing),
        shape(vec![(Int4, "DESC", Few), (Int8, "NULLS FIRST", Far)], Nothing),
        shape(vec![d(), (Timestamp, "DESC", Dense)], Nothing),
        shape(vec![(Date, "", Few), (Int2, "", Far), (Timestamp, "NULLS FIRST", Dense)], Nothing),
        shape(vec![d(), (Timestamptz, "", Clustered)], Predicate),
        shape(vec![d(), (Timestamptz, "", Dense)], Included),
        shape(vec![(Timestamptz, "DESC", Clustered)], Included),
        shape(vec![(Int8, "NULLS FIRST", Few), (Int4, "", Dense)], Included),
    ]
}

/// With timestamps around the changes of a zone's clocks.
fn shape_of_zone(client: &mut Client, number: usize, rng: &mut StdRng) -> Shape {
    let around = Around(changes(client, ZONES[number], rng));
    let order = if number % 3 == 2 { "NULLS FIRST" } else { "" };
    let key = (Timestamptz, order, around);
    let keys = if number % 2 == 1 { vec![(Int4, "", Few), key] } else { vec![key] };
    Shape { keys, more: if number % 4 == 1 { Partitions } else { Nothing } }
}

/// Compares statements over a table of a shape while it changes.
fn differ(client: &mut Client, shape: &Shape, own_zone: Option<&str>, rng: &mut StdRng) -> Tally {
    let (mut table, create) = Table::create(client, shape, rng);
    let mut states = vec![
        vec![],
        vec![Change::Insert],
        vec![Change::DeleteMany, Change::Insert],
        vec![Change::InsertAndAbort, Change::Update],
        vec![Change::DeleteGroups],
        vec![Change::Retrain, Change::Vacuum],
        vec![Change::DeleteAll],
    ];
    // Some order of all but the first and the last.
    for last in (2..states.len() - 1).rev() {
        states.swap(last, rng.random_range(1..=last));
    }
    let mut tally = Tally::default();
    for (round, state) in states.iter().enumerate() {
        for change in state {
            table.change(client, *change, rng);
        }
        let zone = match own_zone {
            Some(zone) if rng.random_bool(0.85) => zone,
            _ => ZONES[rng.random_range(0..ZONES.len())],
        };
        let sort = if round % 7 == 3 { "SET LOCAL enable_hashagg = off;" } else { "" };
        let begin = format!("{BEGIN}; {sort} SET LOCAL TimeZone = '{zone}'");
        let context = format!("{create} -- round {round} of {states:?}");
        let statements = match state[..] {
            [Change::DeleteAll] => STATEMENTS_A_ROUND / 4,
            _ => STATEMENTS_A_ROUND,
        };
        let statements = Generator::new(&table, zone, rng).statements(statements);
        tally.add(&compare(client, &begin, &statements, &context));
    }
    check_all(client);
    tally
}

#[test]
fn thousands_of_counts_by_group_agree_with_a_sequential_scan_of_the_same_snapshot() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client.script("SET plan_cache_mode = force_generic_plan").unwrap();
    println!("seed {}", seed());
    let mut all = Tally::default();
    let rng = |number: u64| StdRng::seed_from_u64(seed().wrapping_add(number << 32));
    for (number, shape) in (0..).zip(shapes()) {
        let tally = differ(&mut client, &shape, None, &mut rng(number));
        tally.assert_used(&format!("{shape:?}"));
        all.add(&tally);
    }
    for (number, zone) in ZONES.iter().enumerate() {
        let mut rng = rng(1000 + number as u64);
        let shape = shape_of_zone(&mut client, number, &mut rng);
        let tally = differ(&mut client, &shape, Some(zone), &mut rng);
        tally.assert_used(zone);
        all.add(&tally);
    }
    all.assert_exhaustive("all");
    assert!(all.statements >= 7_000, "only {} statements", all.statements);
    if is_learned() {
        let (could, used) = (all.could, all.used);
        assert!(used * 10 >= could * 7, "{used} of {could} by the node");
    }
}

#[test]
fn what_is_known_of_groups_is_forgotten_where_other_columns_begin() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    // The last number of the first `d` is in the only group of the second, behind another one.
    client
        .script(&format!(
            "CREATE TABLE t (d int4, k int8);
             INSERT INTO t SELECT 1, i * 7 FROM generate_series(0, 10) i;
             INSERT INTO t VALUES (1, 78), (2, 77), (2, 78), (3, 77), (3, 83), (4, 78), (4, 83);
             CREATE INDEX ON t USING {} (d, k); VACUUM ANALYZE t",
            access_method()
        ))
        .unwrap();
    let texts = ["count(*)", "count(*), min(k), max(k)"]
        .map(|asked| format!("SELECT d, k / 7, {asked} FROM t GROUP BY d, k / 7"));
    let all = texts.map(|text| single("prefixes", &text));
    compare(&mut client, BEGIN, &all, "groups of several prefixes").assert_used("prefixes");
}
