//! Upgrades of clusters to the PostgreSQL under test.

use std::process::Command;

use super::Cluster;
use super::cluster::{output, text};

/// Names the `pg_config` of an older PostgreSQL that the extension is installed in.
const OLD: &str = "OMENDB_LEARNED_OLD_PG_CONFIG";

impl Cluster {
    /// A fresh running cluster of the older PostgreSQL that `OMENDB_LEARNED_OLD_PG_CONFIG` names,
    /// with the extension; `Err` says why there is none.
    ///
    /// # Errors
    /// Where the variable is not set, or names a PostgreSQL that is not older, or one whose
    /// catalogs have column options (`pg_attver`, in Debian's 15.20) that `pg_upgrade` of later
    /// versions refuses.
    pub fn start_old(settings: &str) -> Result<Self, String> {
        let pg_config = std::env::var(OLD).map_err(|_| format!("{OLD} is not set"))?;
        let old = Self::directory_of(pg_config);
        let (before, now) = (old.major(), Self::directory().major());
        if before >= now {
            return Err(format!("PostgreSQL {now} is not newer than {before}"));
        }
        let old = Self::initialised(old, settings);
        old.launch();
        let mut client = old.connect();
        let private = "SELECT count(*) FROM pg_attribute WHERE attoptions::text LIKE '%pg_attver%'";
        if client.query_one(private, &[]).unwrap().get::<_, i64>(0) > 0 {
            return Err("it writes column options that no later version knows".to_owned());
        }
        if super::is_learned() {
            client.batch_execute("CREATE EXTENSION omendb_learned").unwrap();
        }
        drop(client);
        Ok(old)
    }

    /// The major version of this cluster's programs.
    fn major(&self) -> u32 {
        let version = output(Command::new(self.bin().join("postgres")).arg("--version"));
        let number =
            version.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok());
        number.unwrap_or_else(|| panic!("a version without a number: {version}"))
    }

    /// This cluster, which is stopped, upgraded by `pg_upgrade` with an option of its (`--copy`,
    /// `--link`). The result has not been started yet.
    pub fn upgraded(&self, how: &str, settings: &str) -> Self {
        let new = Self::initialised(Self::directory(), settings);
        let (old_data, new_data) = (self.data(), new.data());
        let paths = [
            ["--old-bindir", text(self.bin())],
            ["--new-bindir", text(new.bin())],
            ["--old-datadir", text(&old_data)],
            ["--new-datadir", text(&new_data)],
            ["--socketdir", text(new.socket())],
            ["--username", "postgres"],
        ];
        new.run("pg_upgrade", &paths.concat(), &[how, "--no-sync"]);
        new
    }
}
