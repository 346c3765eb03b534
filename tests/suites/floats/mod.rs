//! Floats that are equal and not the same: the two zeros, and NaNs with any bits. What an index
//! returns are the bits of the table; what is equal is one key, one group and one value.

mod answers;
mod equal;

use std::io::{Read, Write};

use postgres::{Client, SimpleQueryMessage};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use server_tests::{Script, seed};

/// The bits of the `float8` that are like no other, each with those next to it. The last NaN is one
/// that an index on several columns refuses.
const SPECIAL8: [u64; 14] = [
    0,
    1 << 63,
    1,
    1 << 63 | 1,
    0x3FF0_0000_0000_0000,
    0x3FB9_9999_A000_0000,
    0x3FB9_9999_9999_999A,
    0x7FF0_0000_0000_0000,
    0xFFF0_0000_0000_0000,
    0x7FF8_0000_0000_0000,
    0xFFF8_0000_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF,
    0xFFFF_FFFF_FFFF_FFFF,
    0xFFF0_0000_0000_0004,
];
const REFUSED: std::ops::RangeInclusive<u64> = 0xFFF0_0000_0000_0001..=0xFFF0_0000_0000_0003;

const SPECIAL4: [u32; 12] = [
    0,
    1 << 31,
    1,
    1 << 31 | 1,
    0x3F80_0000,
    0x3DCC_CCCD,
    0x7F80_0000,
    0xFF80_0000,
    0x7FC0_0000,
    0xFFC0_0000,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
];

fn rng() -> StdRng {
    StdRng::seed_from_u64(seed())
}

/// Bits of many floats, as integers of the same width: some of all kinds, in no order.
fn floats(float: &str, several_columns: bool, rng: &mut StdRng) -> Vec<i64> {
    let mut bits: Vec<i64> = Vec::new();
    for step in -1i64..=1 {
        match float {
            "float8" => {
                let near = SPECIAL8.iter().map(|bits| bits.wrapping_add_signed(step));
                let held = near.filter(|bits| !several_columns || !REFUSED.contains(bits));
                bits.extend(held.map(|bits| bits as i64));
            }
            _ => {
                let near = SPECIAL4.iter().map(|bits| bits.wrapping_add_signed(step as i32));
                bits.extend(near.map(|bits| i64::from(bits as i32)));
            }
        }
    }
    bits.extend(bits.clone());
    for _ in 0..1_500 {
        bits.push(match (float, rng.random_range(0..4)) {
            ("float8", 0) => rng.random(),
            ("float8", _) => (rng.random_range(-50..50) as f64 / 8.0).to_bits() as i64,
            (_, 0) => i64::from(rng.random::<i32>()),
            _ => i64::from((rng.random_range(-50..50) as f32 / 8.0).to_bits() as i32),
        });
    }
    bits.shuffle(rng);
    bits
}

/// Puts floats with these bits into a table `(id int4, a int4, k FLOAT)`, and some NULLs. Binary
/// COPY takes the bytes of an integer for those of a float.
fn fill(client: &mut Client, table: &str, float: &str, bits: &[i64]) {
    let integer = float.replace("float", "int");
    client.script("CREATE TEMP TABLE bits (id int4, a int4, k int8)").unwrap();
    let mut copy = client.copy_in("COPY bits FROM STDIN").unwrap();
    for (id, bits) in bits.iter().enumerate() {
        writeln!(copy, "{id}\t{}\t{bits}", id % 7).unwrap();
        if id % 40 == 0 {
            writeln!(copy, "{}\t{}\t\\N", id + 1_000_000, id % 7).unwrap();
        }
    }
    copy.finish().unwrap();
    let mut image = Vec::new();
    let copy_out = format!("COPY (SELECT id, a, k::{integer} FROM bits) TO STDOUT BINARY");
    client.copy_out(&copy_out).unwrap().read_to_end(&mut image).unwrap();
    let mut copy = client.copy_in(&format!("COPY {table} (id, a, k) FROM STDIN BINARY")).unwrap();
    copy.write_all(&image).unwrap();
    copy.finish().unwrap();
    client.script("DROP TABLE bits").unwrap();
}

/// The rows of a query as text, sorted.
fn rows(client: &mut Client, query: &str) -> Vec<Vec<String>> {
    let mut found = in_order(client, query);
    found.sort();
    found
}

/// The same, as they come.
fn in_order(client: &mut Client, query: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL").to_owned()).collect())
        }
        _ => None,
    });
    rows.collect()
}

/// Settings under which a query has one kind of plan.
const SEQUENTIAL: &str = "SET enable_seqscan = on; SET enable_indexscan = off;
     SET enable_indexonlyscan = off; SET enable_bitmapscan = off";
const INDEX_ONLY: &str = "SET enable_seqscan = off; SET enable_indexscan = on;
     SET enable_indexonlyscan = on; SET enable_bitmapscan = off";
const INDEX: &str = "SET enable_seqscan = off; SET enable_indexscan = on;
     SET enable_indexonlyscan = off; SET enable_bitmapscan = off";
const BITMAP: &str = "SET enable_seqscan = off; SET enable_indexscan = off;
     SET enable_indexonlyscan = off; SET enable_bitmapscan = on";
