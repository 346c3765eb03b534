//! Sessions that run out of memory.

use std::fs;

use super::cluster::{as_server, output};

/// Limits the address space of a process to what it has, and so many kilobytes more. `None`: as
/// much as it likes.
pub fn limit_memory(pid: i32, more: Option<u64>) {
    let limit = match more {
        None => "--as=unlimited:".to_owned(),
        Some(more) => format!("--as={}:", (memory_of(pid) + more) * 1024),
    };
    output(as_server("prlimit").args(["--pid", &pid.to_string(), &limit]));
}

/// Kilobytes of address space that a process has.
fn memory_of(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmSize:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
