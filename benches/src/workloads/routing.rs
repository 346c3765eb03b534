//! What routing by the model contributes, and what denser pages contribute.

use postgres::Client;

use crate::Result;
use crate::bench::Bench;
use crate::paired::{Question, Scan};
use crate::table::Table;

use super::probes::PROBE;

const GROUP: &str = "routing";

/// Measures the learned index against others with another model or density, and a sparse one
/// against the B-tree, where only the routing is left.
pub fn run(bench: &mut Bench, client: &mut Client, table: &Table) -> Result<()> {
    // As many bytes a row as the B-tree has, as far as the option goes.
    let dense = table.bytes_a_row(client, &table.index("learned"))?;
    let theirs = table.bytes_a_row(client, &table.index("btree"))?;
    let fillfactor = format!("fillfactor = {:.0}", (100.0 * dense / theirs).clamp(10.0, 100.0));
    let variants = [("linear", "model = 'linear'"), ("sparse", &fillfactor)];
    let what = "point probes, index-only";
    for (short, options) in variants {
        table.build_as(client, short, "learned", options)?;
        let question = Question {
            theirs: (short, Scan::IndexOnly),
            ..Question::new(table, PROBE, Scan::IndexOnly)
        };
        let pairs = question.ask(client, bench.options.rounds)?;
        bench.add(pairs.figure(GROUP, table, what, "ms", &format!("learned, {short}")));
    }
    let question = Question {
        ours: ("sparse", Scan::IndexOnly),
        ..Question::new(table, PROBE, Scan::IndexOnly)
    };
    let pairs = question.ask(client, bench.options.rounds)?;
    bench.add(pairs.figure(GROUP, table, &format!("{what}, sparse"), "ms", "btree"));
    for (short, _) in variants {
        client.batch_execute(&format!("DROP INDEX {}", table.index(short)))?;
    }
    Ok(())
}
