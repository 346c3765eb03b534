//! Streaming standbys.

use std::time::{Duration, Instant};

use super::Cluster;
use super::cluster::text;

impl Cluster {
    /// A streaming standby of this cluster, taken by a base backup.
    pub fn standby(&self) -> Self {
        let standby = self.base_backup(&["--write-recovery-conf"]);
        standby.add_settings("hot_standby = on");
        standby.launch();
        standby
    }

    /// Waits until this standby has replayed all that its primary has written so far.
    pub fn catch_up(&self, primary: &Cluster) {
        let flushed = "SELECT pg_current_wal_flush_lsn()::text";
        let position: String = primary.connect().query_one(flushed, &[]).unwrap().get(0);
        let replayed = format!("SELECT coalesce(pg_last_wal_replay_lsn() >= '{position}', false)");
        let mut reader = self.connect();
        wait_until("the standby catches up", || reader.query_one(&replayed, &[]).unwrap().get(0));
    }

    /// Makes this cluster, which is stopped, a standby of the one that took over from it. It has not been
    /// started yet.
    pub fn rewind(&self, primary: &Cluster) {
        let (data, source) = (self.data(), primary.conninfo());
        let arguments = ["--target-pgdata", text(&data), "--source-server", &source];
        self.run("pg_rewind", &arguments, &["--write-recovery-conf", "--no-sync"]);
        // The settings file is the other's now.
        self.add_settings("");
    }

    /// Makes this standby a primary.
    pub fn promote(&self) {
        self.run("pg_ctl", &["--pgdata", text(&self.data())], &["--wait", "--silent", "promote"]);
    }
}

/// Asks again and again until the answer is yes.
///
/// # Panics
/// When it is not within a minute.
pub fn wait_until(what: &str, mut answer: impl FnMut() -> bool) {
    let start = Instant::now();
    while !answer() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited for a minute until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
