//! A session may use learned indexes for months: what it needs of memory depends on what it does,
//! and not on how often. `OMENDB_LEARNED_TEST_SECONDS` sets how often.

mod ddl;
mod directories;
mod rescans;

use postgres::Client;
use server_tests::{Footprint, test_duration};

/// How often each half repeats something, by the seconds that tests may take.
fn times(each_second: f64) -> u32 {
    (test_duration(1.0).as_secs_f64() * each_second) as u32
}

/// Repeats something to warm up, then as often again; asserts that the second half takes at most
/// this many bytes more for each repetition. What loses memory does so every time, while
/// PostgreSQL's contexts double their blocks: a half that takes too much is followed by another,
/// twice at most.
fn assert_flat(
    client: &mut Client,
    what: &str,
    times: u32,
    allowed: f64,
    mut step: impl FnMut(&mut Client, u32),
) {
    step(client, times);
    let mut first = Footprint::of(client);
    let mut grown = Vec::new();
    while grown.len() < 3 {
        step(client, times);
        let second = Footprint::of(client);
        let growth = first.growth(second);
        println!("{what}: {} kB, {growth} bytes more after {times} more times", second.data / 1024);
        if growth as f64 / f64::from(times) <= allowed {
            return;
        }
        grown.push(second);
        first = second;
    }
    panic!("{what}: more than {allowed} bytes more each of {times} times, up to {grown:?}");
}
