//! Holding sessions at stop points of the extension, which only a build for tests has.

use std::fs;
use std::path::PathBuf;
use std::thread::JoinHandle;

use postgres::{Client, Row};

use super::cluster::give_to_server;
use super::{Cluster, wait_until};

/// A stop point at which a session is held, or will be, as long as this lives.
pub struct Stop {
    order: PathBuf,
    reached: PathBuf,
}

impl Cluster {
    /// A fresh cluster whose sessions can be held.
    ///
    /// # Panics
    /// If the installed build has no stop points.
    pub fn start_with_stops(settings: &str) -> Self {
        let cluster = Self::start_with(settings);
        let stops = cluster.data().join("learned_stops");
        fs::create_dir(&stops).unwrap();
        give_to_server(&stops);
        let build = "LOAD 'omendb_learned'; SHOW omendb_learned.stop_points";
        let built = cluster.connect().batch_execute(build);
        assert!(built.is_ok(), "needs a build with stop points: scripts/install --test");
        cluster
    }

    /// Holds a session at a stop point of `learned_index::stop::StopPoint` when it comes there
    /// for the `passes + 1`-th time: the one with this process ID, or any.
    pub fn stop_at(&self, point: &str, session: Option<i32>, passes: u32) -> Stop {
        let order = self.data().join("learned_stops").join(point);
        let reached = order.with_extension("reached");
        let _ = fs::remove_file(&reached);
        let who = session.map_or("any".to_owned(), |pid| pid.to_string());
        // A reader never sees half of it.
        let draft = order.with_extension("draft");
        fs::write(&draft, format!("{who} {passes}")).unwrap();
        give_to_server(&draft);
        fs::rename(&draft, &order).unwrap();
        Stop { order, reached }
    }
}

impl Stop {
    /// Whether a session is held.
    pub fn is_reached(&self) -> bool {
        self.reached.exists()
    }

    /// Waits until a session is held.
    pub fn wait(&self) {
        wait_until(&format!("a session is held at {:?}", self.order), || self.is_reached());
    }

    /// Lets the session go on.
    pub fn release(self) {}
}

impl Drop for Stop {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.order);
    }
}

/// The process of a session.
pub fn pid_of(client: &mut Client) -> i32 {
    client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0)
}

/// What a statement gave, and the session that it ran in.
pub type Outcome = (Client, Result<Vec<Row>, postgres::Error>);

/// Runs a statement in a thread of its own.
pub fn in_background(mut client: Client, statement: &str) -> JoinHandle<Outcome> {
    let statement = statement.to_owned();
    std::thread::spawn(move || {
        let outcome = client.query(&statement, &[]);
        (client, outcome)
    })
}

/// The type of event that a session waits for, as `pg_stat_activity` has it.
pub fn waits_for(client: &mut Client, pid: i32) -> Option<String> {
    let event = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $1";
    client.query_opt(event, &[&pid]).unwrap().and_then(|row| row.get(0))
}
