//! The machine: what it is, and who uses its CPU, from `/proc`.

use std::path::Path;

use rustix::fs::statfs;
use serde_json::{Value, json};

/// The magic number of a tmpfs (linux/magic.h).
const TMPFS: i64 = 0x0102_1994;

/// CPU time used until now, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    process: Option<f64>,
    /// This program and the children that it waited for, such as wrk.
    own: f64,
    /// All that the machine did, and its idle time.
    busy: f64,
    all: f64,
}

impl Usage {
    pub(crate) fn now(process: Option<u32>) -> Self {
        let (busy, all) = machine_seconds();
        let own = fields_of("self").map_or(0.0, |fields| seconds(fields.iter().take(4).sum()));
        Self { process: process.and_then(process_seconds), own, busy, all }
    }

    /// What the process used since then.
    pub(crate) fn process_since(&self, before: &Self) -> Option<f64> {
        Some(self.process? - before.process?)
    }

    /// What this program used since then.
    pub(crate) fn own_since(&self, before: &Self) -> f64 {
        self.own - before.own
    }

    /// The share of all cores that others used since then.
    pub(crate) fn others_since(&self, before: &Self) -> f64 {
        let known = self.process_since(before).unwrap_or(0.0) + self.own - before.own;
        let others = self.busy - before.busy - known;
        (others / (self.all - before.all).max(0.01)).max(0.0)
    }
}

/// User and system time, its own and of children that it waited for, in ticks.
fn fields_of(process: &str) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may have spaces; user time is the 14th field.
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().skip(11).take(4).filter_map(|field| field.parse().ok()).collect())
}

fn process_seconds(process: u32) -> Option<f64> {
    let fields = fields_of(&process.to_string())?;
    Some(seconds(fields.iter().take(2).sum()))
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn machine_seconds() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal
    let fields: Vec<u64> = first.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
    let all: u64 = fields.iter().sum();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    (seconds(all - idle), seconds(all))
}

/// The memory of a process that is not backed by files, in KiB.
pub(crate) fn anonymous_kib(process: u32) -> Option<u64> {
    status_kib(process, "RssAnon:")
}

/// The most resident memory that a process has had, in KiB.
pub(crate) fn peak_kib(process: u32) -> Option<u64> {
    status_kib(process, "VmHWM:")
}

fn status_kib(process: u32, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The process that listens on a port of this machine, if this user may see it.
pub(crate) fn listener(port: u16) -> Option<u32> {
    let socket = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_it = fields.get(1)?.ends_with(&format!(":{port:04X}")) && *fields.get(3)? == "0A";
            is_it.then(|| format!("socket:[{}]", fields.get(9).copied().unwrap_or_default()))
        })
    })?;
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let id = process.file_name().to_str()?.parse().ok()?;
        let has = std::fs::read_dir(process.path().join("fd")).ok()?.flatten().any(|file| {
            std::fs::read_link(file.path()).is_ok_and(|link| link.to_str() == Some(socket.as_str()))
        });
        has.then_some(id)
    })
}

/// Whether files in a directory are only in memory, where a sync is free.
pub(crate) fn is_in_memory(directory: &Path) -> bool {
    statfs(directory).is_ok_and(|found| found.f_type == TMPFS)
}

/// Free bytes on the disk of a directory.
pub(crate) fn free_bytes(directory: &Path) -> u64 {
    statfs(directory).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_bsize as u64))
}

/// What the results say about the machine.
pub(crate) fn described() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory: u64 =
        field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    json!({
        "cpu": field(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "memory_mib": memory / 1024,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
}
