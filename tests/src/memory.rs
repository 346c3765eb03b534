//! What a session's process takes of memory.

use postgres::Client;

/// Memory of one session at one moment, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// Writable memory of its own that the process has asked the kernel for, PostgreSQL's and
    /// Rust's alike: VmData of `/proc/PID/status`.
    pub data: i64,
    /// How much of that has ever been written: RssAnon.
    pub resident: i64,
    /// In use of PostgreSQL's memory contexts.
    pub contexts: i64,
}

impl Footprint {
    /// Of the session now.
    pub fn of(client: &mut Client) -> Self {
        // A session collects what it counted for a second, or hands it over when it is told to.
        client.query_one("SELECT pg_stat_force_next_flush()", &[]).unwrap();
        let row = "SELECT pg_backend_pid(), sum(used_bytes)::int8 FROM pg_backend_memory_contexts";
        let row = client.query_one(row, &[]).unwrap();
        let process: i32 = row.get(0);
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.unwrap().trim_start_matches(':').split_whitespace().next().unwrap();
            number.parse::<i64>().unwrap()
        };
        Self {
            data: kilobytes("VmData") * 1024,
            resident: kilobytes("RssAnon") * 1024,
            contexts: row.get(1),
        }
    }

    /// By how much the later one is larger, wherever it is most.
    pub fn growth(self, later: Self) -> i64 {
        let grown = [
            later.data - self.data,
            later.resident - self.resident,
            later.contexts - self.contexts,
        ];
        grown.into_iter().max().unwrap()
    }
}
