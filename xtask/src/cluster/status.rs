//! What of a cluster runs, since when, and with how much memory.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Result;

use super::layout::Layout;
use super::{cgroups, daemon};

#[cfg(test)]
mod tests;

pub(super) fn print(layout: &Layout) -> Result<()> {
    let names = daemon::recorded(layout);
    if names.is_empty() {
        println!("no cluster '{}' runs", layout.name);
        return Ok(());
    }
    println!("{:<26} {:>8} {:>9} {:>7}", "process", "pid", "age", "MiB");
    for name in names {
        let Some(record) = daemon::running(layout, &name) else {
            println!("{name:<26} ended");
            continue;
        };
        let age = daemon::age(record).map_or_else(|| "?".to_owned(), |age| clock(age.as_secs()));
        println!(
            "{name:<26} {:>8} {age:>9} {:>7}",
            record.pid,
            memory(record.pid) >> 20
        );
    }
    let hierarchies = cgroups::hierarchies()?;
    let mut sum = 0;
    for node in layout.nodes() {
        let mut programs: BTreeMap<String, (u32, u64)> = BTreeMap::new();
        for pid in cgroups::members(&hierarchies, &format!("{}/{}", layout.name, node.name)) {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let entry = programs.entry(name.trim().to_owned()).or_default();
            entry.0 += 1;
            entry.1 += memory(pid);
        }
        let total: u64 = programs.values().map(|(_, bytes)| bytes).sum();
        println!("\n{} {} MiB", node.name, total >> 20);
        for (name, (count, bytes)) in programs {
            println!(
                "  {name:<20} {count:>3} × {:>6} MiB",
                (bytes >> 20) / u64::from(count.max(1))
            );
        }
    }
    for pid in cgroups::members(&hierarchies, &layout.name) {
        sum += memory(pid);
    }
    println!("\nall {} MiB", sum >> 20);
    Ok(())
}

/// Resident memory of a process in bytes; 0 if there is none.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    resident(&status).unwrap_or(0)
}

/// `VmRSS` of a status (proc(5)), which is in kibibytes.
fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()
        .map(|kibibytes| kibibytes << 10)
}

/// Seconds as hours, minutes and seconds.
fn clock(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}
