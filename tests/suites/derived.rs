//! Conditions that the planner derives from those of a query: generated queries for dates of
//! timestamps, and what they are truncated to, against a sequential scan. Around changes of the
//! clocks of many time zones, and at the ends of the calendar.

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Script, access_method, is_learned, plan_of, seed};

const TABLES: usize = 42;
const QUERIES: usize = 50;

/// Time zones, each with a day on which its clocks change. Some put them back over midnight, left
/// out a day, or had offsets that no others have.
const ZONES: [(&str, &str); 14] = [
    ("Europe/Berlin", "2024-10-27"),
    ("America/St_Johns", "2006-10-29"),
    ("America/Sao_Paulo", "2018-02-18"),
    ("Asia/Beirut", "2024-10-27"),
    ("Pacific/Apia", "2011-12-30"),
    ("America/Havana", "2018-11-04"),
    ("Antarctica/Casey", "2020-10-04"),
    ("Asia/Manila", "1844-12-31"),
    ("UTC", "2024-03-31"),
    ("<A>-100<B>-160,J60/0,J300/0", "2024-10-27"),
    ("America/Juneau", "1867-10-18"),
    ("Africa/Casablanca", "2024-04-14"),
    ("Asia/Amman", "2020-10-30"),
    ("<X>+167<Y>-167,J100/0,J200/0", "2024-07-18"),
];

/// The days around which the table has rows.
const DAYS: [&str; 14] = [
    "2024-03-31",
    "2024-10-27",
    "2006-10-29",
    "2006-04-02",
    "2018-11-04",
    "2018-02-18",
    "2011-12-30",
    "1844-12-31",
    "1867-10-18",
    "2020-10-30",
    "2020-10-04",
    "2024-04-14",
    "2024-07-18",
    "0001-01-01",
];

/// The first six are asked for most.
const UNITS: [&str; 15] = [
    "day",
    "day",
    "day",
    "week",
    "month",
    "hour",
    "quarter",
    "year",
    "minute",
    "second",
    "decade",
    "century",
    "DAY",
    "milliseconds",
    "millennium",
];

const INDEXES: [&str; 9] = [
    "(ts)",
    "(tz)",
    "(tz DESC)",
    "(device, tz)",
    "(device, ts DESC)",
    "(ts, device)",
    "(tz, id)",
    "(ts) INCLUDE (id)",
    "(tz DESC NULLS LAST) WHERE device < 4",
];

fn any<'a>(of: &[&'a str], rng: &mut StdRng) -> &'a str {
    of[rng.random_range(0..of.len())]
}

/// Mostly the day on which clocks change.
fn any_day(changing: &'static str, rng: &mut StdRng) -> &'static str {
    if rng.random_bool(0.7) { changing } else { any(&DAYS, rng) }
}

/// A date as SQL.
fn date(changing: &'static str, rng: &mut StdRng) -> String {
    let ends = ["infinity", "-infinity", "5874897-12-31", "4713-11-24 BC", "294277-01-01"];
    match rng.random_range(0..15) {
        0 => format!("'{}'::date", any(&ends, rng)),
        1 => "NULL::date".to_owned(),
        _ => {
            let days = [-3, -1, -1, 0, 0, 0, 1, 2][rng.random_range(0..8)];
            format!("('{}'::date + {days})", any_day(changing, rng))
        }
    }
}

/// A time as SQL, mostly one that something is truncated to.
fn time(of: &str, changing: &'static str, rng: &mut StdRng) -> String {
    let day = any_day(changing, rng);
    match rng.random_range(0..15) {
        0 => format!("'{}'::{of}", any(&["infinity", "-infinity", "0001-01-01 BC"], rng)),
        1 if of == "timestamp" => "'294276-12-31 23:59:59.999999'::timestamp".to_owned(),
        1..5 => format!("('{day}'::{of} + interval '{} min')", rng.random_range(-144..=144) * 30),
        _ => {
            let (unit, hours) = (any(&UNITS[..6], rng), rng.random_range(-30..=30));
            format!("date_trunc('{unit}', '{day}'::{of} + interval '{hours} hours')")
        }
    }
}

/// A condition on a column of this type.
fn condition(column: &str, changing: &'static str, rng: &mut StdRng) -> String {
    let of = if column == "ts" { "timestamp" } else { "timestamptz" };
    let operator = any(&["=", "=", "<", "<=", ">", ">="], rng);
    let (function, value) = match rng.random_bool(0.5) {
        true => (format!("{column}::date"), date(changing, rng)),
        false => {
            let units = if rng.random_bool(0.8) { &UNITS[..6] } else { &UNITS[..] };
            let value =
                if rng.random_bool(0.3) { date(changing, rng) } else { time(of, changing, rng) };
            (format!("date_trunc('{}', {column})", any(units, rng)), value)
        }
    };
    // Known only at run time.
    let value = if rng.random_bool(0.3) { format!("(SELECT {value})") } else { value };
    match rng.random_bool(0.2) {
        true => format!("{value} {operator} {function}"),
        false => format!("{function} {operator} {value}"),
    }
}

fn create_table(client: &mut Client) {
    let days = DAYS.map(|day| format!("'{day}'")).join(", ");
    client
        .script(&format!(
            "SET TimeZone = 'UTC';
             CREATE TABLE t (id int4, device int4, ts timestamp, tz timestamptz);
             INSERT INTO t SELECT g, g % 5, day + i, day + i FROM (
                 SELECT g, (ARRAY[{days}]::timestamp[])[1 + g % {}] AS day,
                     (hashint4(g) % 144) * interval '30 min'
                     + (hashint4(g + 1) % 2) * interval '1 microsecond' AS i
                 FROM generate_series(1, 20000) g) s;
             INSERT INTO t SELECT 100000 + g, g, v::timestamp, v::timestamptz
                 FROM generate_series(1, 3) g, unnest(ARRAY['infinity', '-infinity', NULL,
                     '294276-12-31 12:00', '294276-12-01', '0001-01-01 BC', '0101-01-01']) v;
             ANALYZE t",
            DAYS.len()
        ))
        .unwrap();
}

#[test]
fn derived_conditions_answer_as_a_sequential_scan() {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    println!("seed {}", seed());
    let mut rng = StdRng::seed_from_u64(seed());
    create_table(&mut client);
    let ways = ["seqscan, bitmapscan", "seqscan, indexscan, indexonlyscan"];
    let oracle = "indexscan, indexonlyscan, bitmapscan";
    let (mut answered, mut indexed) = (0, 0);
    for number in 0..TABLES {
        let index = any(&INDEXES, &mut rng);
        let (zone, changing) = ZONES[number % ZONES.len()];
        client
            .script(&format!(
                "DROP INDEX IF EXISTS t_k; SET TimeZone = '{zone}';
                 CREATE INDEX t_k ON t USING {} {index}; VACUUM t",
                access_method()
            ))
            .unwrap();
        let column = if index.contains("ts") { "ts" } else { "tz" };
        for _ in 0..QUERIES {
            let mut asked = condition(column, changing, &mut rng);
            if rng.random_bool(0.3) {
                asked = format!("{asked} AND {}", condition(column, changing, &mut rng));
            }
            if rng.random_bool(0.3) || index.contains("WHERE") {
                asked = format!("{asked} AND device < {}", rng.random_range(1..=4));
            }
            let query = format!("SELECT count(ts), coalesce(sum(id), 0) FROM t WHERE {asked}");
            let Some(expected) = answer(&mut client, oracle, &query).1 else { continue };
            answered += u32::from(expected.0 > 0);
            for off in ways {
                let (plan, found) = answer(&mut client, off, &query);
                indexed += u32::from(plan.contains("Index Cond"));
                assert_eq!(found, Some(expected), "{zone}, {index}: {query}\n{plan}");
            }
        }
    }
    println!("{answered} with rows, {indexed} plans by conditions of the index");
    assert!(answered > 300, "only {answered} answers have rows");
    // The core derives nothing for B-trees.
    assert!(indexed > 3000 || !is_learned(), "only {indexed} plans");
}

/// The plan and the answer of a query where some ways to scan are turned off. No answer where the
/// value of the query's condition is out of range.
fn answer(client: &mut Client, off: &str, query: &str) -> (String, Option<(i64, i64)>) {
    let settings: String = off.split(", ").map(|way| format!("SET enable_{way} = off; ")).collect();
    let reset: String = off.split(", ").map(|way| format!("RESET enable_{way}; ")).collect();
    client.script(&settings).unwrap();
    let plan = plan_of(client, query);
    let found = client.query_one(query, &[]);
    client.script(&reset).unwrap();
    let found = match found {
        Ok(row) => Some((row.get(0), row.get(1))),
        Err(error) => {
            let code = error.code().map(|code| code.code().to_owned());
            assert_eq!(code.as_deref(), Some("22008"), "{query}: {error}");
            None
        }
    };
    (plan, found)
}
