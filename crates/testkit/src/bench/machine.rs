//! The machine that is measured on: what it is, what its processors did, what a process holds.

#[cfg(test)]
mod tests;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::table::Conditions;

/// `/proc/stat` counts in hundredths of a second (`USER_HZ`, the same on every architecture we run on).
const TICKS_PER_SECOND: f64 = 100.0;

/// Times of all processors together since boot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Processors {
    /// How many there are.
    count: usize,
    /// Seconds in which they had nothing to do, or were not ours (steal).
    unused: f64,
}

impl Processors {
    /// Reads them.
    pub fn now() -> anyhow::Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        Self::parse(&text).context("/proc/stat has no line for all processors")
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let fields: Vec<f64> = line
            .split_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal
        let unused = fields.get(3)? + fields.get(4)? + fields.get(7)?;
        let is_one = |line: &&str| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        Some(Self {
            count: text.lines().filter(is_one).count(),
            unused: unused / TICKS_PER_SECOND,
        })
    }

    /// Seconds that they worked in the `elapsed` time since `before`: what was not idle. Idle time is counted exactly,
    /// while user, system and softirq are only sampled at ticks.
    pub fn busy_since(&self, before: &Self, elapsed: Duration) -> f64 {
        let whole = elapsed.as_secs_f64() * self.count as f64;
        (whole - (self.unused - before.unused)).max(0.0)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Waits until the processors have little to do, at most that long: what the last measurement left to be done, such as
/// flows still being told, is not to burden the next one.
pub fn settle(limit: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    loop {
        let (begun, before) = (Instant::now(), Processors::now()?);
        std::thread::sleep(Duration::from_millis(50));
        let (elapsed, after) = (begun.elapsed(), Processors::now()?);
        let share = after.busy_since(&before, elapsed) / elapsed.as_secs_f64();
        if share < 0.2 * after.count as f64 || Instant::now() > end {
            return Ok(());
        }
    }
}

/// Seconds that a process has had of the processors, its own and the kernel's for it; told in hundredths.
pub fn worked(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    worked_of(&text).with_context(|| format!("{path} has no times"))
}

/// User and system time behind the name, which may hold spaces, the state and ten other fields (`proc_pid_stat(5)`).
fn worked_of(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Resident memory of a process, MiB.
pub fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    kibibytes(&text, "VmRSS:")
        .map(|kib| kib / 1024.0)
        .with_context(|| format!("{path} has no VmRSS"))
}

pub(crate) fn kibibytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The most that it ever was, MiB.
pub fn most_resident_mib(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    kibibytes(&text, "VmHWM:")
        .map(|kib| kib / 1024.0)
        .with_context(|| format!("{path} has no VmHWM"))
}

/// Memory of all eBPF maps that a process holds, MiB; each map once.
pub fn maps_mib(pid: u32) -> anyhow::Result<f64> {
    let directory = format!("/proc/{pid}/fdinfo");
    let mut maps = std::collections::BTreeMap::new();
    for entry in fs::read_dir(&directory)
        .with_context(|| format!("list {directory}"))?
        .flatten()
    {
        // A descriptor may be closed between listing and reading.
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if let Some((id, bytes)) = map_of(&text) {
            maps.insert(id, bytes);
        }
    }
    // The sum of nothing is -0.
    Ok((maps.values().sum::<f64>() + 0.0) / (1024.0 * 1024.0))
}

/// Number and octets of the map that a descriptor stands for.
fn map_of(fdinfo: &str) -> Option<(u64, f64)> {
    let field = |name: &str| {
        let mut values = fdinfo.lines().filter_map(|line| line.strip_prefix(name));
        values.next().map(str::trim)
    };
    field("map_type:")?;
    Some((
        field("map_id:")?.parse().ok()?,
        field("memlock:")?.parse().ok()?,
    ))
}

/// Where the run takes place; the commit is told by who starts it.
pub fn conditions(commit: &str, rounds: usize) -> anyhow::Result<Conditions> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
    let model = read("/proc/cpuinfo")?
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned());
    let load = read("/proc/loadavg")?;
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    Ok(Conditions {
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        cpu: model,
        cpus: Processors::now()?.count(),
        memory_mib: kibibytes(&read("/proc/meminfo")?, "MemTotal:").unwrap_or(0.0) as u64 / 1024,
        commit: commit.to_owned(),
        profile: profile.to_owned(),
        load_before: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        duration_s: 0,
        rounds,
    })
}
