//! Random writes of one session, against a map of what the table must hold.

use std::collections::BTreeMap;

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Script, Subject, access_method, learned_options, retrain, seed};

const STEPS: usize = 90;

/// Where new keys come from.
#[derive(Clone, Copy, Debug)]
enum Keys {
    Few,
    Appended,
    Scattered,
    Extreme,
}

/// The table, and beside it what it must hold: ids and their keys.
struct Model {
    rows: BTreeMap<i32, Option<i64>>,
    next: i32,
    keys: Keys,
}

impl Model {
    fn key(&self, rng: &mut StdRng) -> Option<i64> {
        if rng.random_bool(0.03) {
            return None;
        }
        Some(match self.keys {
            Keys::Few => rng.random_range(0..40),
            Keys::Appended => i64::from(self.next) + rng.random_range(-3..3),
            Keys::Scattered => rng.random(),
            Keys::Extreme => {
                let small = rng.random_range(0..200);
                [i64::MIN + small, i64::MAX - small, small][rng.random_range(0..3)]
            }
        })
    }

    fn insert(&mut self, rng: &mut StdRng) -> String {
        let number = [1, 1, 2, 30, 600][rng.random_range(0..5)];
        let values: Vec<String> = (0..number)
            .map(|_| {
                let (id, key) = (self.next, self.key(rng));
                self.next += 1;
                self.rows.insert(id, key);
                format!("({}, {id})", sql(key))
            })
            .collect();
        format!("INSERT INTO t VALUES {}", values.join(", "))
    }

    /// Some ids, and a condition that only they fulfil.
    fn some(&self, rng: &mut StdRng) -> (Vec<i32>, String) {
        let ids: Vec<i32> = self.rows.keys().copied().collect();
        if rng.random_bool(0.5) {
            let (modulus, rest) = (rng.random_range(5..60), rng.random_range(0..5));
            let chosen = ids.into_iter().filter(|id| id % modulus == rest).collect();
            return (chosen, format!("id % {modulus} = {rest}"));
        }
        let first = rng.random_range(0..self.next.max(1));
        let last = first + rng.random_range(0..300);
        let chosen = ids.into_iter().filter(|id| (first..=last).contains(id)).collect();
        (chosen, format!("id BETWEEN {first} AND {last}"))
    }

    fn delete(&mut self, rng: &mut StdRng) -> String {
        // By key, so that the index may find the victims.
        if rng.random_bool(0.3) {
            let Some(key) = self.rows.values().copied().nth(rng.random_range(0..50)) else {
                return "DELETE FROM t WHERE k = 17 AND false".to_owned();
            };
            self.rows.retain(|_, other| *other != key);
            return format!("DELETE FROM t WHERE k IS NOT DISTINCT FROM {}", sql(key));
        }
        let (ids, condition) = self.some(rng);
        self.rows.retain(|id, _| !ids.contains(id));
        format!("DELETE FROM t WHERE {condition}")
    }

    fn update(&mut self, rng: &mut StdRng) -> String {
        let (ids, condition) = self.some(rng);
        let key = self.key(rng);
        if rng.random_bool(0.3) {
            self.rows.extend(ids.iter().map(|id| (*id, key)));
            return format!("UPDATE t SET k = {} WHERE {condition}", sql(key));
        }
        let difference = rng.random_range(-9..9);
        for id in &ids {
            // Away from the edges, where the sum would not be an int8.
            let key = self.rows.get_mut(id).unwrap();
            *key = key.map(|key| key / 2 + difference);
        }
        format!("UPDATE t SET k = k / 2 + {difference} WHERE {condition}")
    }

    fn write(&mut self, rng: &mut StdRng) -> String {
        match rng.random_range(0..10) {
            0..=5 => self.insert(rng),
            6 | 7 => self.update(rng),
            _ => self.delete(rng),
        }
    }

    /// A step of one or more statements.
    fn step(&mut self, client: &mut Client, rng: &mut StdRng) {
        let statements = match rng.random_range(0..40) {
            0..=2 => {
                let rows = self.rows.clone();
                let writes = [self.write(rng), self.write(rng)].join(";");
                self.rows = rows;
                format!("BEGIN; {writes}; ROLLBACK")
            }
            3..=5 => {
                let first = self.write(rng);
                let rows = self.rows.clone();
                let second = self.write(rng);
                self.rows = rows;
                let third = self.write(rng);
                format!("BEGIN; {first}; SAVEPOINT s; {second}; ROLLBACK TO s; {third}; COMMIT")
            }
            6..=9 => "VACUUM t".to_owned(),
            10 => "VACUUM (INDEX_CLEANUP on, FREEZE) t".to_owned(),
            11..=15 => return retrain(client, "t_k"),
            16 => "REINDEX INDEX t_k".to_owned(),
            17 if rng.random_bool(0.2) => {
                self.rows.clear();
                "TRUNCATE t".to_owned()
            }
            _ => self.write(rng),
        };
        client.script(&statements).unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }
}

fn sql(key: Option<i64>) -> String {
    key.map_or("NULL".to_owned(), |key| format!("'{key}'::int8"))
}

#[test]
fn random_writes_leave_what_a_map_holds() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    println!("seed {}", seed());
    let orders = [("", false, false), (" DESC", true, true), (" NULLS FIRST", false, true)];
    for (number, keys) in
        [Keys::Few, Keys::Appended, Keys::Scattered, Keys::Extreme].into_iter().enumerate()
    {
        let mut rng = StdRng::seed_from_u64(seed() + number as u64);
        let (order, descending, nulls_first) = orders[rng.random_range(0..3)];
        let mut model = Model { rows: BTreeMap::new(), next: 0, keys };
        client.script("DROP TABLE IF EXISTS t; CREATE TABLE t (k int8, id int4)").unwrap();
        if number % 2 == 0 {
            for _ in 0..20 {
                client.script(&model.insert(&mut rng)).unwrap();
            }
        }
        let automatic = if rng.random_bool(0.5) { "on" } else { "off" };
        client
            .script(&format!(
                "CREATE INDEX t_k ON t USING {} (k{order}){}",
                access_method(),
                learned_options(&format!("auto_retrain = {automatic}, retrain_threshold = 5")),
            ))
            .unwrap();
        let subject = Subject::of("t").ordered(descending, nulls_first);
        for step in 0..STEPS {
            model.step(&mut client, &mut rng);
            subject.compare(&mut client, 2, &mut rng).unwrap();
            let mut found = subject.rows(&mut client).unwrap();
            found.sort_by_key(|row| row.1);
            let expected: Vec<_> = model.rows.iter().map(|(id, key)| (*key, *id)).collect();
            assert!(found == expected, "the table itself differs after step {step} of {keys:?}");
        }
    }
}
