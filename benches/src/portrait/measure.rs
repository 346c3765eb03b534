//! What the pictures show: of indexes as they were built, and of one that is written to.

use std::time::{Duration, Instant};

use postgres::Client;

use crate::Result;
use crate::data::{self, DataSet};
use crate::options::Options;
use crate::paired::Question;
use crate::server::Server;
use crate::table::{PROBES, Table};
use crate::workloads::PROBES as QUESTIONS;

/// Sets whose keys lie ever less regularly.
pub const SETS: [&str; 3] = ["timestamps", "lognormal", "osm-like"];
/// The most pages whose places are shown, spread over all.
const PAGES: u64 = 600;
/// For the picture of writes: the number of statements that insert, and by how many the table's
/// rows are divided for each.
const STATEMENTS: u64 = 120;
const PART: u64 = 120;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(40);

/// The first key of a page, and what the model says of it.
pub struct Page {
    /// Less the first key of the index.
    pub key: f64,
    pub page: f64,
    pub predicted: f64,
    /// In pages.
    pub error: f64,
}

/// An index as it was built, beside a B-tree of the same keys.
pub struct Portrait {
    /// The data set, and what its keys are.
    pub data: String,
    pub keys: String,
    pub model: String,
    /// Where the model's lines begin, less the first key.
    pub segments: Vec<f64>,
    pub pages: Vec<Page>,
    /// Bytes a row, of the B-tree and of the learned index.
    pub bytes: [f64; 2],
    /// Microseconds a look-up, of both.
    pub lookups: Vec<(&'static str, [f64; 2])>,
}

impl Portrait {
    /// Builds and measures both indexes of a generated set.
    pub fn of(client: &mut Client, name: &str, options: &Options) -> Result<Self> {
        let keys = DataSet::generated(name, options.rows)?.keys;
        let table = Table::load(client, "t", name, &keys)?;
        table.build(client, "btree")?;
        table.build(client, "learned")?;
        table.add_probes(client)?;
        let bytes =
            [table.bytes_a_row(client, "t_btree")?, table.bytes_a_row(client, "t_learned")?];
        let mut lookups = Vec::new();
        for (what, scan, query) in QUESTIONS {
            let pairs = Question::new(&table, query, scan).ask(client, options.rounds)?;
            let figure = pairs.figure("report", &table, what, "ms", "btree");
            let each = |milliseconds: f64| milliseconds * 1e3 / PROBES.min(table.rows) as f64;
            lookups.push((what, [each(figure.theirs), each(figure.ours)]));
        }
        let model = client.query_one("SELECT model FROM learned_index_stats('t_learned')", &[])?;
        let is_of_set = |set: &&(&str, &str)| set.0 == name;
        let portrait = Portrait {
            data: name.to_owned(),
            keys: data::SETS.iter().find(is_of_set).map_or("", |set| set.1).to_owned(),
            model: model.get(0),
            segments: segments(client)?,
            pages: pages(client)?,
            bytes,
            lookups,
        };
        table.drop(client)?;
        Ok(portrait)
    }
}

/// The first key of each segment.
fn segments(client: &mut Client) -> Result<Vec<f64>> {
    let query = "SELECT (first_key::int8 - (SELECT min(k) FROM t))::float8
        FROM learned_segments('t_learned') WHERE first_key IS NOT NULL ORDER BY segment";
    Ok(client.query(query, &[])?.iter().map(|row| row.get(0)).collect())
}

/// Pages that are spread over all, by their first keys.
fn pages(client: &mut Client) -> Result<Vec<Page>> {
    let query = format!(
        "SELECT (first_key::int8 - (SELECT min(k) FROM t))::float8, p.page::float8,
            p.predicted_page::float8, abs(p.error)::float8
        FROM (SELECT *, count(*) OVER () AS pages FROM learned_blocks('t_learned')) b,
            LATERAL learned_predict('t_learned', first_key) p
        WHERE b.page % greatest(1, pages / {PAGES}) = 0 ORDER BY b.page"
    );
    let page = |row: &postgres::Row| Page {
        key: row.get(0),
        page: row.get(1),
        predicted: row.get(2),
        error: row.get(3),
    };
    Ok(client.query(&query, &[])?.iter().map(page).collect())
}

/// A moment in the life of an index that is written to.
pub struct Moment {
    pub seconds: f64,
    pub unmerged: f64,
    /// How many unmerged rows make a merge worth it.
    pub threshold: f64,
    pub bytes: f64,
    /// Of a B-tree that has the same rows.
    pub btree_bytes: f64,
}

/// The life of an index whose table takes rows of random keys.
pub struct Life(pub Vec<Moment>);

impl Life {
    /// Inserts, and looks at the index after each statement, until the last merge is over.
    pub fn of(server: &Server, options: &Options) -> Result<Self> {
        let mut client = server.connect()?;
        let keys = DataSet::generated("random", options.rows)?.keys;
        let table = Table::load(&mut client, "t", "random", &keys)?;
        table.build(&mut client, "btree")?;
        table.build(&mut client, "learned")?;
        let insert = client.prepare(&format!(
            "INSERT INTO t SELECT (random() * {})::int8, g FROM generate_series(1, {}) g",
            10 * options.rows,
            options.rows / PART
        ))?;
        let look = client.prepare(
            "SELECT unmerged_entries::float8, merge_threshold::float8, size::float8,
                pg_relation_size('t_btree')::float8 FROM learned_index_stats('t_learned')",
        )?;
        let started = Instant::now();
        let mut moments = Vec::new();
        for _ in 0..STATEMENTS {
            client.execute(&insert, &[])?;
            let row = client.query_one(&look, &[])?;
            moments.push(Moment {
                seconds: started.elapsed().as_secs_f64(),
                unmerged: row.get(0),
                threshold: row.get(1),
                bytes: row.get(2),
                btree_bytes: row.get(3),
            });
            std::thread::sleep(PAUSE);
        }
        table.drop(&mut client)?;
        Ok(Life(moments))
    }
}
