//! Lookups by how many rows wait in the delta: none, 1, 5 and 20 percent.

use super::{SCALE, rows};
use crate::Result;
use crate::bench::Bench;
use crate::data::DataSet;
use crate::paired::Question;
use crate::table::{Table, copy};
use crate::workloads::PROBES;

/// Percent of the rows that the table was loaded with.
const FILLS: [usize; 4] = [0, 1, 5, 20];

/// Measures point probes at each share.
pub fn run(bench: &mut Bench) -> Result<()> {
    let client = &mut bench.connect()?;
    let loaded = rows(&bench.options) as usize;
    let set = DataSet::generated("uniform", (loaded + loaded / 5) as u64)?;
    let mut table = Table::load(client, "t", &set.name, &set.keys[..loaded])?;
    for method in ["btree", "learned"] {
        table.build(client, method)?;
    }
    client.batch_execute("ALTER INDEX t_learned SET (auto_retrain = off)")?;
    let mut added = loaded;
    for fill in FILLS {
        let rows = loaded + loaded * fill / 100;
        copy(client, "t", &set.keys[added..rows])?;
        added = rows;
        table.rows = rows as u64;
        // A VACUUM of the index would merge.
        client.batch_execute("VACUUM (FREEZE, ANALYZE, INDEX_CLEANUP off) t")?;
        table.add_probes(client)?;
        for (how, scan, query) in PROBES {
            let pairs = Question::new(&table, query, scan).ask(client, bench.options.rounds)?;
            let what = format!("point probes, {how}, {fill}% of the rows in the delta");
            bench.add(pairs.figure(SCALE, &table, &what, "ms", "btree"));
        }
        client.batch_execute("DROP TABLE t_probes, t_tids")?;
    }
    table.drop(client)
}
