//! Stop points in a server: what a session does at one. Only in builds for tests.
//!
//! A test holds a session by a file in the directory `learned_stops` of the data directory, named
//! like the stop point. The file says whom to hold: a process ID or `any`, and then, if it is a
//! number, how often to pass before stopping. The session that is held writes `NAME.reached` with
//! its process ID, and goes on when the file of the stop point is gone. Files work in every
//! process, under every lock, on standbys, and need nothing to be set up.

use std::fs;
use std::path::Path;
use std::time::Duration;

use learned_index::stop::{StopPoint, set_hook};
use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

const DIRECTORY: &str = "learned_stops";

/// Tells a test that this is a build that it can use.
static STOP_POINTS: GucSetting<bool> = GucSetting::<bool>::new(true);

pub(crate) fn register() {
    GucRegistry::define_bool_guc(
        c"omendb_learned.stop_points",
        c"Whether this is a build for tests, with stop points.",
        c"",
        &STOP_POINTS,
        GucContext::Internal,
        GucFlags::DISALLOW_IN_FILE,
    );
    // Servers run in their data directory.
    if Path::new(DIRECTORY).is_dir() {
        set_hook(stop);
    }
}

fn stop(point: StopPoint) {
    let stop = Path::new(DIRECTORY).join(format!("{point:?}"));
    if !holds_me(&stop) {
        return;
    }
    let reached = stop.with_extension("reached");
    let _ = fs::write(&reached, std::process::id().to_string());
    while stop.exists() {
        // Does nothing while a page is locked, as elsewhere.
        check_for_interrupts!();
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = fs::remove_file(&reached);
}

/// Whether a stop point's file names this session; counts down the times that it may pass.
fn holds_me(stop: &Path) -> bool {
    let Ok(order) = fs::read_to_string(stop) else { return false };
    let mut words = order.split_whitespace();
    let who = words.next().unwrap_or_default();
    if who != "any" && who.parse() != Ok(std::process::id()) {
        return false;
    }
    match words.next().and_then(|passes| passes.parse::<u64>().ok()) {
        None | Some(0) => true,
        Some(passes) => {
            let _ = fs::write(stop, format!("{who} {}", passes - 1));
            false
        }
    }
}
