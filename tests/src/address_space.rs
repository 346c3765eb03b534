//! Sessions that run out of memory.

use std::fs;

use postgres::Client;

use super::cluster::{as_server, output};
use super::{Script, pid_of};

/// Kilobytes of stack that a statement may need.
const STACK: u64 = 768;

/// Limits the address space of a process to what it has, and so many kilobytes more. `None`: as
/// much as it likes.
pub fn limit_memory(pid: i32, more: Option<u64>) {
    let limit = match more {
        None => "--as=unlimited:".to_owned(),
        Some(more) => format!("--as={}:", (memory_of(pid) + more) * 1024),
    };
    output(as_server("prlimit").args(["--pid", &pid.to_string(), &limit]));
}

/// Makes the stack of a session as deep as statements may need. It grows page by page and never
/// shrinks; where a limit keeps it from growing the kernel ends the process, whose code is never asked.
pub fn deepen_stack(client: &mut Client) {
    let pid = pid_of(client);
    let mut terms = 500;
    while kilobytes(pid, "VmStk:") < STACK {
        let sum = vec!["1"; terms].join(" + ");
        client.script(&format!("SELECT {sum}")).unwrap();
        terms += 250;
    }
}

/// Kilobytes of address space that a process has.
fn memory_of(pid: i32) -> u64 {
    kilobytes(pid, "VmSize:")
}

fn kilobytes(pid: i32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
