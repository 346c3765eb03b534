//! A session alone: thousands of statements over tables of every kind, between writes, merges and
//! vacuums.

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Script, check_all, seed};

use super::both_ways::{Tally, compare};
use super::statements::Generator;
use super::table::{Change, Table, all};

const STATEMENTS_A_ROUND: usize = 40;

/// Compares statements over a table while it changes.
fn differ(client: &mut Client, table: &mut Table, rng: &mut StdRng) -> Tally {
    let create = table.create(client, rng);
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
        let context = format!("{create} -- round {round} of {states:?}");
        let statements = match state[..] {
            [Change::DeleteAll] => STATEMENTS_A_ROUND / 4,
            _ => STATEMENTS_A_ROUND,
        };
        let level = ["REPEATABLE READ", "REPEATABLE READ", "SERIALIZABLE"][round % 3];
        let begin = format!("BEGIN ISOLATION LEVEL {level}");
        let statements = Generator::new(table, rng).statements(statements);
        tally.add(&compare(client, &begin, &statements, &context).unwrap());
    }
    check_all(client);
    tally
}

#[test]
fn thousands_of_first_rows_of_groups_agree_with_a_sequential_scan_of_the_same_snapshot() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client.script("SET plan_cache_mode = force_generic_plan").unwrap();
    println!("seed {}", seed());
    let mut sum = Tally::default();
    for (number, mut table) in (0..).zip(all()) {
        let mut rng = StdRng::seed_from_u64(seed().wrapping_add(number << 32));
        let tally = differ(&mut client, &mut table, &mut rng);
        tally.assert_used(&format!("{:?}, {:?}", table.columns[0], table.more));
        sum.add(&tally);
    }
    sum.assert_exhaustive("all");
    assert!(sum.statements >= 4_000, "only {} statements", sum.statements);
}
