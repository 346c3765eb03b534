//! Servers that die without a chance to tidy up.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Cluster;

/// How long it may take until the process that inherited a dead one reaps it.
const REAPED_AFTER: Duration = Duration::from_secs(20);

impl Cluster {
    /// SIGKILL for the postmaster and for every process that it has started. What stays is what a
    /// power cut of a machine with a battery-backed disk leaves: files, a stale lock file, and
    /// shared memory that nobody is attached to.
    ///
    /// # Panics
    /// When the server is not running.
    pub(super) fn kill(&self) {
        let postmaster = self.postmaster();
        // It starts no more processes then, nor does it see those die that go before it.
        signal("STOP", &[postmaster]);
        let mut family = children(postmaster);
        family.push(postmaster);
        signal("KILL", &family);
        let start = Instant::now();
        while family.iter().any(|&process| exists(process)) {
            if start.elapsed() > REAPED_AFTER {
                // Dead, but nobody asks for its exit status: the next start would take it for
                // alive.
                println!(
                    "process {postmaster} is not reaped here: its lock file is removed by hand"
                );
                fs::remove_file(self.data().join("postmaster.pid")).unwrap();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The process id of the running postmaster.
    fn postmaster(&self) -> u32 {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        file.lines().next().unwrap().trim().parse().unwrap()
    }
}

fn exists(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

/// The processes whose parent is this one.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        // "pid (name) state parent ...", and the name may hold anything.
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let parent_of: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        (parent_of == parent).then_some(process)
    });
    processes.collect()
}

/// Sends a signal to processes of which some may be gone.
fn signal(name: &str, processes: &[u32]) {
    let numbers = processes.iter().map(u32::to_string);
    // The shell's own: a program of this name need not be there.
    let sent =
        Command::new("sh").args(["-c", "kill -s \"$0\" \"$@\"", name]).args(numbers).output();
    sent.unwrap_or_else(|error| panic!("kill: {error}"));
}
