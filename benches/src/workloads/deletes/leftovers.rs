//! What dead entries leave of an index's size, without VACUUM.

use postgres::Client;
use server_tests::Script;

use crate::Result;
use crate::bench::Bench;
use crate::paired::{Pairs, Side};

use super::super::writes::wait_for_worker;
use super::{GROUP, ROWS};

/// Rows of a load.
const LOADED: u64 = 10_001;

/// Loads that are rolled back.
const ROLLED_BACK: usize = 8;

/// Updates of all rows.
const UPDATES: usize = 10;

/// Both sets of unique keys, as SQL expressions of the numbers from 1 on.
const KEYS: [(&str, &str); 2] = [("serial", "i"), ("random", "i * 1103515245 % 2147483647")];

/// Loads of the same unique keys that are rolled back, and one that is not.
pub fn rolled_back(bench: &mut Bench) -> Result<()> {
    let what = format!("unique index after {ROLLED_BACK} loads rolled back and one not");
    for (data, key) in KEYS {
        let pages = pages_of_both(bench, |client, name, method| {
            client.script(&format!(
                "CREATE TABLE {name} (k int8 NOT NULL);
                CREATE UNIQUE INDEX {name}_k ON {name} USING {method} (k)"
            ))?;
            let load = format!(
                "INSERT INTO {name} SELECT {key} FROM generate_series(1::int8, {LOADED}) i"
            );
            for _ in 0..ROLLED_BACK {
                client.batch_execute(&format!("BEGIN; {load}; ROLLBACK"))?;
            }
            Ok(client.batch_execute(&load)?)
        })?;
        // At most 1.5 times the pages.
        let figure = pages.figure(GROUP, (data, LOADED), &what, "pages", "btree");
        bench.add(figure.with_target(0.67));
    }
    Ok(())
}

/// Updates of another column that has an index too.
pub fn unchanged(bench: &mut Bench) -> Result<()> {
    let what =
        format!("index of an unchanged column after {UPDATES} updates of another indexed one");
    for (data, key) in KEYS {
        let pages = pages_of_both(bench, |client, name, method| {
            client.script(&format!(
                "CREATE TABLE {name} (k int8 NOT NULL, other int8 NOT NULL);
                INSERT INTO {name} SELECT {key}, i FROM generate_series(1::int8, {ROWS}) i;
                CREATE INDEX {name}_k ON {name} USING {method} (k);
                CREATE INDEX {name}_other ON {name} USING {method} (other);
                VACUUM (FREEZE, ANALYZE) {name}"
            ))?;
            for _ in 0..UPDATES {
                client.batch_execute(&format!("UPDATE {name} SET other = other + 1"))?;
            }
            Ok(())
        })?;
        let figure = pages.figure(GROUP, (data, ROWS), &what, "pages", "btree");
        bench.add(figure.with_target(1.0));
    }
    Ok(())
}

/// Pages of the index "k" of a table that this makes, named after its side.
fn pages_of_both(
    bench: &Bench,
    mut make: impl FnMut(&mut Client, &str, &str) -> Result<()>,
) -> Result<Pairs> {
    let mut client = bench.connect()?;
    let mut pages = |side: Side| -> Result<f64> {
        let name = side.name();
        make(&mut client, name, side.method())?;
        wait_for_worker(&mut client)?;
        let size = "SELECT pg_relation_size($1::text::regclass) / 8192";
        let pages: i64 = client.query_one(size, &[&format!("{name}_k")])?.get(0);
        client.batch_execute(&format!("DROP TABLE {name}"))?;
        Ok(pages as f64)
    };
    Ok(Pairs::once(pages(Side::Theirs)?, pages(Side::Ours)?))
}
