//! What a run was made with.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::bench::Bench;
use crate::server::SETTINGS;

/// What one needs to know to repeat a run.
#[derive(Serialize, Deserialize)]
pub struct Run {
    /// The command that repeats it.
    pub command: String,
    /// The day, in UTC.
    pub date: String,
    /// The version of the extension.
    pub version: String,
    /// The commit of the repository; "-dirty" where files had changes.
    pub commit: String,
    /// The server's version.
    pub postgresql: String,
    /// The processor's model.
    pub cpu: String,
    /// How many of it the system has.
    pub cpus: usize,
    /// Rows of the generated data sets.
    pub rows: u64,
    /// Rounds that count for each figure.
    pub rounds: usize,
    /// What could not be measured.
    pub failures: Vec<String>,
    /// Settings that differ from the defaults.
    pub settings: BTreeMap<String, String>,
}

impl Run {
    /// Of this run.
    pub fn of(bench: &Bench) -> Result<Self> {
        let mut client = bench.connect()?;
        let asked =
            "SELECT current_setting('server_version'), (now() AT TIME ZONE 'UTC')::date::text,
            (SELECT extversion FROM pg_extension WHERE extname = 'omendb_learned')";
        let row = client.query_one(asked, &[])?;
        let options = &bench.options;
        Ok(Self {
            command: options.repeated_by(),
            date: row.get(1),
            version: row.get(2),
            commit: bench.commit.clone(),
            postgresql: row.get(0),
            cpu: cpu(),
            cpus: std::thread::available_parallelism()?.get(),
            rows: options.rows,
            rounds: options.rounds,
            failures: bench.failures.clone(),
            settings: SETTINGS.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        })
    }
}

fn cpu() -> String {
    let lines = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = lines.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or("unknown".to_owned(), |(_, model)| model.trim().to_owned())
}
