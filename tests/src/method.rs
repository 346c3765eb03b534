//! The access method under test, and what only the learned one has.

use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::SqlState;

use crate::value::SqlType;

/// The access method under test. `OMENDB_LEARNED_TEST_AM=btree` runs a suite against nbtree, which
/// shows whether a failure is the test's own.
pub fn access_method() -> String {
    std::env::var("OMENDB_LEARNED_TEST_AM").unwrap_or_else(|_| "learned".to_owned())
}

/// Whether the learned index is under test. A test of what only it has says so and returns else.
pub fn is_learned() -> bool {
    access_method() == "learned"
}

/// A `WITH` clause of options that only learned indexes have; nothing for others.
pub fn learned_options(options: &str) -> String {
    if is_learned() { format!(" WITH ({options})") } else { String::new() }
}

/// The server's major version.
pub fn major_version(client: &mut Client) -> i32 {
    let number = "SELECT current_setting('server_version_num')::int4 / 10000";
    client.query_one(number, &[]).unwrap().get(0)
}

/// Whether ON CONFLICT and foreign keys accept a UNIQUE index of the access method: before version
/// 18 PostgreSQL takes only nbtree's.
pub fn is_arbiter(client: &mut Client) -> bool {
    !is_learned() || major_version(client) >= 18
}

/// Whether an index of the access method serves `k = ...` on a column of this type: before version
/// 16 the planner turns `k = true` into `k`, which it matches with its own index types only.
pub fn serves_equality(client: &mut Client, sql_type: SqlType) -> bool {
    sql_type != SqlType::Bool || !is_learned() || major_version(client) >= 16
}

/// Merges what was inserted into the index now, unless somebody else is at it. Tells whether it
/// did.
///
/// # Errors
/// Every error of the server but that the index is busy.
pub fn try_retrain(client: &mut Client, index: &str) -> Result<bool, postgres::Error> {
    if !is_learned() {
        return Ok(false);
    }
    let busy = [SqlState::LOCK_NOT_AVAILABLE, SqlState::OBJECT_IN_USE];
    match client.query_one(&format!("SELECT learned_retrain('{index}'::regclass)"), &[]) {
        Ok(_) => Ok(true),
        Err(error) if error.code().is_some_and(|code| busy.contains(code)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Merges what was inserted into the index, and waits while another session merges it. Does nothing
/// for other access methods.
pub fn retrain(client: &mut Client, index: &str) {
    let start = Instant::now();
    while is_learned() && !try_retrain(client, index).unwrap() {
        assert!(start.elapsed() < Duration::from_secs(60), "{index} stays busy for a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// [`retrain`] of every learned index of the database.
pub fn retrain_all(client: &mut Client) {
    for index in learned_indexes(client) {
        retrain(client, &index);
    }
}

/// The learned indexes that have entries: not those of partitioned tables.
fn learned_indexes(client: &mut Client) -> Vec<String> {
    let indexes = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_am a ON a.oid = relam
                   WHERE amname = 'learned' AND relkind = 'i'";
    client.query(indexes, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// What `learned_check` counts in an index.
#[derive(Debug)]
pub struct Checked {
    /// Entries of leaves, dead ones included.
    pub entries: i64,
    /// Entries of delta trees.
    pub unmerged: i64,
    /// Pages that nothing refers to.
    pub lost_pages: i64,
}

/// The most entries that a worker leaves unmerged in an index of less than a million rows. It
/// counts pages, takes each for 70% full, and does not merge fewer than 50,000 entries.
pub const LEFT_UNMERGED: i64 = 72_000;

/// Has the index check itself, and looks every visible row of its table up in it.
///
/// # Errors
/// What the check finds.
pub fn try_check(client: &mut Client, index: &str) -> Result<Checked, postgres::Error> {
    if !is_learned() {
        return Ok(Checked { entries: 0, unmerged: 0, lost_pages: 0 });
    }
    let row = client.query_one(
        "SELECT entries, unmerged_entries, lost_pages FROM learned_check($1::text::regclass, true)",
        &[&index],
    )?;
    Ok(Checked { entries: row.get(0), unmerged: row.get(1), lost_pages: row.get(2) })
}

/// The same for an index that must be whole. Does nothing to an index of another access method.
pub fn check(client: &mut Client, index: &str) -> Checked {
    try_check(client, index).unwrap_or_else(|error| panic!("{index}: {error:?}"))
}

/// [`check`] of every learned index of the database.
pub fn check_all(client: &mut Client) {
    for index in learned_indexes(client) {
        check(client, &index);
    }
}
