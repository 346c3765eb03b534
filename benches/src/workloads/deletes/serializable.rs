//! Serializable transactions of sessions that share no keys: none needs to fail.

use postgres::Client;
use postgres::error::SqlState;

use crate::Result;
use crate::bench::Bench;
use crate::paired::{Side, alternate, must_plan};

use super::{GROUP, ROWS, index_session, serial_twins};

const SESSIONS: usize = 4;

/// Transactions of all sessions in one round.
const TRANSACTIONS: usize = 600;

/// Counts those that pass. In each step all sessions begin one, then all read, write, and commit.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut client = index_session(bench)?;
    let twins = serial_twins(&mut client)?;
    let mut sessions = (0..SESSIONS).map(|_| index_session(bench)).collect::<Result<Vec<_>>>()?;
    let found = alternate(bench.options.rounds, |side, _| {
        let name = &twins.of(side).name;
        let scan = format!("Index Scan using {} ", twins.index(side));
        must_plan(&mut client, &read(name, 1), &[scan])?;
        let steps = TRANSACTIONS / SESSIONS;
        (0..steps).try_fold(0, |passed, step| Ok(passed + run_step(&mut sessions, name, step)?))
    })?;
    let what = format!(
        "{TRANSACTIONS} serializable transactions, {SESSIONS} sessions on keys of their own"
    );
    let passed = found.pairs(|passed| *passed as f64);
    let table = twins.of(Side::Ours);
    bench.add(passed.figure(GROUP, table, &what, "passed", "btree").with_target(1.0));
    drop(sessions);
    twins.drop(&mut client)
}

/// One transaction of each session. Returns how many pass.
fn run_step(sessions: &mut [Client], table: &str, step: usize) -> Result<usize> {
    let keys_of_one = ROWS as usize / SESSIONS;
    // In the middle half of the session's keys: no page of either index has keys of two sessions.
    let key = |session| keys_of_one * session + keys_of_one / 4 + step * 80;
    let mut fails = [false; SESSIONS];
    let statements: [&dyn Fn(usize) -> String; 4] = [
        &|_| "BEGIN ISOLATION LEVEL SERIALIZABLE".to_owned(),
        &|session| read(table, key(session)),
        &|session| format!("INSERT INTO {table} VALUES ({}, 0)", key(session)),
        &|_| "COMMIT".to_owned(),
    ];
    for statement in statements {
        for (session, client) in sessions.iter_mut().enumerate() {
            if fails[session] {
                continue;
            }
            if let Err(error) = client.batch_execute(&statement(session)) {
                if error.code() != Some(&SqlState::T_R_SERIALIZATION_FAILURE) {
                    return Err(error.into());
                }
                client.batch_execute("ROLLBACK")?;
                fails[session] = true;
            }
        }
    }
    Ok(fails.iter().filter(|fails| !**fails).count())
}

fn read(table: &str, key: usize) -> String {
    format!("SELECT value FROM {table} WHERE k BETWEEN {key} AND {}", key + 1)
}
