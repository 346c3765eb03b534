//! Sessions that run out of memory.

use std::fs;

use super::cluster::{as_server, output};

/// Limits a process's own memory to what it has now and this many kilobytes more. `None` removes
/// the limit. The stack does not count: where that cannot grow the kernel ends the process, whose
/// code is never asked.
pub fn limit_memory(pid: i32, more: Option<u64>) {
    let limit = match more {
        None => "--data=unlimited:".to_owned(),
        Some(more) => format!("--data={}:", (memory_of(pid) + more) * 1024),
    };
    output(as_server("prlimit").args(["--pid", &pid.to_string(), &limit]));
}

/// Kilobytes of memory of its own that a process has asked for.
fn memory_of(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmData:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
