//! Files that were damaged while the server was down.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use postgres::Client;
use postgres::error::{DbError, SqlState};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server_tests::{Cluster, Script, Shutdown};

const PAGE: u64 = 8192;

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn corruptible() -> (Cluster, std::path::PathBuf) {
    let cluster = Cluster::start();
    let mut client = cluster.connect();
    client
        .script(
            "SELECT setseed(0.25);
             CREATE TABLE t (k int8, id int4);
             INSERT INTO t SELECT (random() * 1e15)::int8, g FROM generate_series(1, 60000) g;
             INSERT INTO t SELECT g / 30, g FROM generate_series(60001, 70000) g;
             CREATE INDEX t_k ON t USING learned (k);
             VACUUM ANALYZE t; CHECKPOINT;",
        )
        .unwrap();
    let path = cluster.file_of(&mut client, "t_k");
    (cluster, path)
}

const READS: [&str; 6] = [
    "SELECT count(*), sum(id) FROM t WHERE k > 0",
    "SELECT count(*), sum(id) FROM t WHERE k = 2100",
    "SELECT count(*), sum(id) FROM t WHERE k BETWEEN 500000000000000 AND 600000000000000",
    "SELECT count(*), sum(id) FROM (SELECT id FROM t ORDER BY k DESC LIMIT 500) s",
    "SELECT count(*), sum(k % 1000003)::int8 FROM t WHERE k < 900000000000000",
    "SELECT count(*), sum(id) FROM t WHERE k = ANY ('{2100,2101,2222,5}')",
];

/// Runs the reads and returns the errors; whatever answers must answer right.
fn read_all(client: &mut Client, truth: &[(i64, Option<i64>)]) -> Vec<DbError> {
    let mut errors = Vec::new();
    for bitmap in ["on", "off"] {
        let settings = format!(
            "SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = {bitmap};
                                SET enable_indexscan = {}",
            if bitmap == "on" { "off" } else { "on" }
        );
        client.script(&settings).unwrap();
        for (query, expected) in READS.iter().zip(truth) {
            match client.query_one(*query, &[]) {
                Ok(row) => {
                    assert_eq!(&(row.get(0), row.get(1)), expected, "a wrong answer: {query}")
                }
                Err(error) => errors.push(
                    error
                        .as_db_error()
                        .unwrap_or_else(|| panic!("{query}: the connection broke: {error}"))
                        .clone(),
                ),
            }
        }
    }
    errors
}

fn truth(client: &mut Client) -> Vec<(i64, Option<i64>)> {
    client
        .script(
            "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = \
             off",
        )
        .unwrap();
    let answers = READS.iter().map(|query| client.query_one(*query, &[]).unwrap());
    let answers = answers.map(|row| (row.get(0), row.get(1))).collect();
    client.script("RESET ALL").unwrap();
    answers
}

fn assert_all_corrupted(errors: &[DbError]) {
    for error in errors {
        assert_eq!(error.code(), &SqlState::INDEX_CORRUPTED, "{error:?}");
        assert!(error.message().contains("t_k"), "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("REINDEX")), "{error:?}");
    }
}

#[test]
fn a_broken_metapage_is_reported_and_reindex_repairs_it() {
    let (cluster, path) = corruptible();
    let truth = truth(&mut cluster.connect());
    let whole = read(&path);
    let special = u64::from(u16::from_le_bytes([whole[16], whole[17]]));
    let damages: [(&str, u64, Vec<u8>); 4] = [
        ("zeros after the header", 24, vec![0; 512]),
        ("another magic", 24, vec![0xA5; 8]),
        ("ones everywhere", 24, vec![0xFF; (special - 24) as usize]),
        ("another access method's page", 24, b"GIN or whatever else lies here".to_vec()),
    ];
    for (damage, offset, bytes) in damages {
        cluster.stop(Shutdown::Clean);
        std::fs::write(&path, &whole).unwrap();
        overwrite(&path, offset, &bytes);
        cluster.launch();
        let mut client = cluster.connect();
        let errors = read_all(&mut client, &truth);
        assert!(!errors.is_empty(), "{damage}: nobody noticed");
        assert_all_corrupted(&errors);
    }
    let mut client = cluster.connect();
    client.script("REINDEX INDEX t_k").unwrap();
    assert!(read_all(&mut client, &truth).is_empty());
}

#[test]
fn random_bytes_in_the_pages_give_an_error_or_the_right_answer() {
    let (cluster, path) = corruptible();
    let truth = truth(&mut cluster.connect());
    let whole = read(&path);
    let pages = whole.len() as u64 / PAGE;
    let mut rng = StdRng::seed_from_u64(7);
    let mut noticed = 0;
    for round in 0..24 {
        cluster.stop(Shutdown::Clean);
        std::fs::write(&path, &whole).unwrap();
        for _ in 0..rng.random_range(1..6) {
            let page = rng.random_range(1..pages);
            let length =
                if round % 2 == 0 { rng.random_range(1..9) } else { rng.random_range(9..4000) };
            // Headers and the starts of the contents decide most.
            let offset = if rng.random_bool(0.6) {
                rng.random_range(24..120)
            } else {
                rng.random_range(24..PAGE - length as u64)
            };
            let bytes: Vec<u8> = (0..length).map(|_| rng.random()).collect();
            overwrite(&path, page * PAGE + offset, &bytes);
        }
        cluster.launch();
        let errors = read_all(&mut cluster.connect(), &truth);
        for error in &errors {
            let known = [&SqlState::INDEX_CORRUPTED, &SqlState::DATA_CORRUPTED];
            assert!(known.contains(&error.code()), "round {round}: {error:?}");
        }
        noticed += errors.len();
        assert!(
            !cluster.log().contains("terminated by signal"),
            "a backend crashed:\n{}",
            cluster.log()
        );
    }
    assert!(noticed > 0, "no damage was ever noticed");
}

#[test]
fn a_truncated_index_is_reported_and_reindex_repairs_it() {
    let (cluster, path) = corruptible();
    let truth = truth(&mut cluster.connect());
    let length = read(&path).len() as u64;
    for pages in [length / PAGE / 2, 1, 0] {
        cluster.stop(Shutdown::Clean);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(pages * PAGE).unwrap();
        cluster.launch();
        let errors = read_all(&mut cluster.connect(), &truth);
        assert!(!errors.is_empty(), "{pages} pages left: nobody noticed");
    }
    let mut client = cluster.connect();
    client.script("REINDEX INDEX t_k").unwrap();
    assert!(read_all(&mut client, &truth).is_empty());
}
