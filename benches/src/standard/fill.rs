//! Lookups by how many rows wait in the delta: none, 1, 5 and 20 percent.

use postgres::Client;

use super::{Extent, SCALE};
use crate::Result;
use crate::data::DataSet;
use crate::paired::Question;
use crate::result::Figure;
use crate::server::Server;
use crate::table::{Table, copy};
use crate::workloads::PROBES;

/// Percent of the rows that the table was loaded with.
const FILLS: [usize; 4] = [0, 1, 5, 20];

/// Measures point probes at each fill.
pub fn run(server: &Server, extent: &Extent) -> Result<Vec<Figure>> {
    let client = &mut server.connect()?;
    let set = DataSet::generated("uniform", extent.rows + extent.rows / 5)?;
    let loaded = extent.rows as usize;
    let mut table = Table::load(client, "t", &set.name, &set.keys[..loaded])?;
    for method in ["btree", "learned"] {
        table.build(client, method)?;
    }
    client.batch_execute("ALTER INDEX t_learned SET (auto_retrain = off)")?;
    let mut figures = Vec::new();
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
            let pairs = Question::new(&table, query, scan).ask(client, extent.rounds)?;
            let what = format!("point probes, {how}, {fill}% of the rows in the delta");
            figures.push(pairs.figure(SCALE, &table, &what, "ms", "btree"));
        }
        drop_probes(client)?;
    }
    table.drop(client)?;
    Ok(figures)
}

fn drop_probes(client: &mut Client) -> Result<()> {
    Ok(client.batch_execute("DROP TABLE t_probes, t_tids")?)
}
