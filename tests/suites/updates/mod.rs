//! Writes of one session, and what else changes a table under its index.

mod constraints;
mod cursors;
mod dead_rows;
mod definitions;
mod inserts;
mod killed;
mod random;
mod rebuilds;
mod transactions;
mod types;

use postgres::Client;
use server_tests::{Script, access_method, learned_options};

/// Makes `table (k int8, id int4)` with rows `1..=rows` of a NULL in a hundred, and its index
/// `{table}_k`, which merges early.
fn create(client: &mut Client, kind: &str, table: &str, rows: u32) {
    client
        .script(&format!(
            "CREATE {kind} TABLE {table} (k int8, id int4);
             INSERT INTO {table} SELECT CASE WHEN g % 100 = 0 THEN NULL ELSE g END, g
                 FROM generate_series(1, {rows}) g;
             CREATE INDEX {table}_k ON {table} USING {} (k){};
             ANALYZE {table}",
            access_method(),
            learned_options("retrain_threshold = 5"),
        ))
        .unwrap();
}
