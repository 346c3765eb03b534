//! Base backups, and recovery of them to a point in time.

use std::path::Path;
use std::process::Command;

use super::cluster::text;
use super::{Cluster, wait_until};

impl Cluster {
    /// A base backup of this running cluster: a cluster that has not been started yet.
    pub fn backup(&self) -> Self {
        let backup = self.base_backup(&[]);
        backup.add_settings("");
        backup
    }

    /// The same, with further options of `pg_basebackup`, and this cluster's settings as they are.
    pub(super) fn base_backup(&self, options: &[&str]) -> Self {
        let backup = Self::directory();
        let (data, socket) = (backup.data(), text(self.socket()));
        let arguments = ["--pgdata", text(&data), "--host", socket, "--username", "postgres"];
        let quick = ["--checkpoint", "fast", "--no-sync"];
        backup.run("pg_basebackup", &[&arguments[..], &quick[..]].concat(), options);
        backup
    }

    /// Another cluster with the files that this one, which is stopped, has now.
    pub fn duplicate(&self) -> Self {
        let copy = Self::directory();
        let done = Command::new("cp").arg("-a").arg(self.data()).arg(copy.data()).status();
        assert!(done.unwrap().success(), "cp {}", self.data().display());
        copy.add_settings("");
        copy
    }

    /// Starts this backup, and recovers it from the archive of its primary up to a restore point,
    /// after which it is a primary of its own.
    pub fn recover(&self, archive: &Path, restore_point: &str) {
        self.add_settings(&format!(
            "archive_mode = off
restore_command = 'cp {}/%f %p'
recovery_target_name = '{restore_point}'
recovery_target_action = 'promote'",
            text(archive)
        ));
        std::fs::write(self.data().join("recovery.signal"), "").unwrap();
        self.launch();
        let mut client = self.connect();
        wait_until("recovery ends", || {
            !client.query_one("SELECT pg_is_in_recovery()", &[]).unwrap().get::<_, bool>(0)
        });
    }
}
