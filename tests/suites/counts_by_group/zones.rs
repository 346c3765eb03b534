//! Time zones, and when their clocks change.

use postgres::Client;
use rand::Rng;
use rand::rngs::StdRng;

/// Zones with changes of every kind: over midnight, by half an hour, by a day, by hours, by a few
/// seconds, and none; by days the last ones, which nobody uses.
pub(super) const ZONES: [&str; 14] = [
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Juneau",
    "Africa/Monrovia",
    "Europe/Dublin",
    "America/Sao_Paulo",
    "America/Creston",
    "Antarctica/Troll",
    "America/Toronto",
    "UTC",
    "<-03>3",
    "AAA-13BBB11,M3.2.0,M11.1.0/0:30",
    "A-100B100,M3.2.0,M11.1.0",
];

/// Seconds from 1970 to 2000.
const EPOCH_DIFFERENCE: i64 = 946_684_800;
const WEEK: i64 = 7 * 86_400;
const QUARTER: i64 = 900;
/// The changes that are looked for: of 200 years, up to 2045.
const END: i64 = 2_366_841_600;
const WEEKS: i64 = 200 * 52;
/// Of these, the first ones and some others are found to the second.
const FIRST: usize = 10;
const OTHERS: usize = 16;

/// Some of a zone's changes, in microseconds since 2000.
pub(super) fn changes(client: &mut Client, zone: &str, rng: &mut StdRng) -> Vec<i64> {
    client.batch_execute(&format!("SET TimeZone = '{zone}'")).unwrap();
    let weeks = ends(client, &[END], WEEKS * WEEK, WEEK);
    let mut chosen: Vec<_> = weeks.iter().take(FIRST).copied().collect();
    if weeks.len() > FIRST {
        chosen.extend((0..OTHERS).map(|_| weeks[rng.random_range(FIRST..weeks.len())]));
    }
    let quarters = ends(client, &chosen, WEEK, QUARTER);
    let seconds = ends(client, &quarters, QUARTER, 1);
    client.batch_execute("RESET TimeZone").unwrap();
    seconds.into_iter().map(|second| (second - EPOCH_DIFFERENCE) * 1_000_000).collect()
}

/// Of some spans of time that end at given seconds: the ends of their steps in which the offset
/// changes.
fn ends(client: &mut Client, spans: &[i64], width: i64, step: i64) -> Vec<i64> {
    let query = format!(
        "SELECT DISTINCT s FROM unnest($1::int8[]) span,
             generate_series(span - {width} + {step}, span, {step}) s
         WHERE extract(timezone FROM to_timestamp(s))
             <> extract(timezone FROM to_timestamp(s - {step})) ORDER BY s"
    );
    client.query(&query, &[&spans]).unwrap().iter().map(|row| row.get(0)).collect()
}
