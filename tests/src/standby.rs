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
        self.catch_up_unless(primary, || false);
    }

    /// The same, or until something keeps it from that; whether it has replayed all.
    pub fn catch_up_unless(&self, primary: &Cluster, mut is_kept: impl FnMut() -> bool) -> bool {
        let mut client = primary.connect();
        // VACUUM does not flush what it logs; the commit of a transaction that logged something
        // does.
        let log = "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, '', '')";
        client.batch_execute(log).unwrap();
        let flushed = "SELECT pg_current_wal_flush_lsn()::text";
        let position: String = client.query_one(flushed, &[]).unwrap().get(0);
        let replayed = format!("SELECT coalesce(pg_last_wal_replay_lsn() >= '{position}', false)");
        let mut reader = self.connect();
        let mut is_through = || reader.query_one(&replayed, &[]).unwrap().get::<_, bool>(0);
        wait_until("the standby catches up", || is_through() || is_kept());
        is_through()
    }

    /// Makes this cluster, which is stopped, a standby of the one that took over from it. It has
    /// not been started yet.
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
