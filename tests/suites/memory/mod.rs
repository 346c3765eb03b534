//! A session may use learned indexes for months: what it needs of memory depends on what it does, and not
//! on how often. `OMENDB_LEARNED_TEST_SECONDS` sets how often.

mod ddl;
mod directories;
mod rescans;

use postgres::Client;
use server_tests::{Footprint, test_duration};

/// How often something is done in one of the halves that are compared: so many times for each second that
/// tests may take.
fn times(each_second: f64) -> u32 {
    (test_duration(1.0).as_secs_f64() * each_second) as u32
}

/// Does something so many times to warm up, and then twice as often as given; asserts that the session
/// takes at most so many bytes more for each time of the second half.
fn assert_flat(
    client: &mut Client,
    what: &str,
    times: u32,
    allowed: f64,
    mut step: impl FnMut(&mut Client, u32),
) {
    step(client, times);
    let first = Footprint::of(client);
    step(client, times);
    let second = Footprint::of(client);
    let growth = first.growth(second);
    let each = growth as f64 / f64::from(times);
    println!("{what}: {} kB, {growth} bytes more after {times} more times", second.data / 1024);
    assert!(
        each <= allowed,
        "{what}: {each:.1} bytes more each time, from {first:?} to {second:?}"
    );
}
