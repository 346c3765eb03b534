//! Disks small enough to be filled.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::cluster::{create_for_server, give_to_server};

/// A file system in memory, unmounted when dropped. Drop the cluster that uses it before.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of this many kilobytes; `None` if this process is not allowed to.
    pub fn mount(kilobytes: u64) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("learned_disk_{}_{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        create_for_server(&path);
        let disk = Self { path };
        disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"])?;
        give_to_server(&disk.path);
        Some(disk)
    }

    /// Makes it smaller or larger.
    pub fn resize(&self, kilobytes: u64) {
        assert!(self.try_resize(kilobytes), "{kilobytes} kB");
    }

    /// Leaves this many kilobytes free. Tries again if the server took more space meanwhile.
    pub fn leave(&self, kilobytes: u64) {
        let done = (0..100).any(|_| self.try_resize(self.used() + kilobytes));
        assert!(done, "{kilobytes} kB");
    }

    fn try_resize(&self, kilobytes: u64) -> bool {
        self.run("mount", &["-o", &format!("remount,size={kilobytes}k")]).is_some()
    }

    /// Kilobytes in use.
    pub fn used(&self) -> u64 {
        let table = self.run("df", &["-k", "--output=used"]).unwrap();
        table.lines().last().unwrap().trim().parse().unwrap()
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a command on the mount point, and returns its output if it succeeds.
    fn run(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output = Command::new(program).args(arguments).arg(&self.path).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &["--lazy"]);
        let _ = std::fs::remove_dir(&self.path);
    }
}
