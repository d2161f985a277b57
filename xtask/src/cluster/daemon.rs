//! Processes that outlive the command that starts them: started in the cluster's own groups, recorded, found again, ended.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::cgroups::{self, Hierarchy};
use super::layout::{Layout, MARKER};
use crate::process::answer;

#[cfg(test)]
mod tests;

/// A process as it was recorded: a number alone may by now be another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) pid: u32,
    /// Clock ticks from the machine's start to its own (proc(5), field 22).
    pub(super) started: u64,
}

impl Record {
    fn parse(text: &str) -> Option<Record> {
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Record {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }

    fn text(self) -> String {
        format!("{} {}\n", self.pid, self.started)
    }
}

/// Starts a program in a part's groups, with its output in the log of that name, unless it runs.
pub(super) fn start(layout: &Layout, name: &str, command: &[&OsStr]) -> Result<()> {
    if running(layout, name).is_some() {
        return Ok(());
    }
    let logs = layout.logs();
    fs::create_dir_all(&logs)?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(logs.join(format!("{name}.log")))?;
    // A session of its own: neither Ctrl-C nor the end of the terminal reaches it.
    let mut child = Command::new("setsid")
        .args(command)
        .env(MARKER, layout.mark())
        .env("PATH", path(layout))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let started = started(child.id()).with_context(|| format!("{name} ended at once"))?;
    let record = Record {
        pid: child.id(),
        started,
    };
    fs::create_dir_all(folder(layout))?;
    fs::write(file(layout, name), record.text())?;
    // Who ends before we do must not seem alive as a zombie of ours.
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// Programs of the cluster come first.
pub(super) fn path(layout: &Layout) -> String {
    let before = std::env::var("PATH").unwrap_or_default();
    format!("{}:{before}", layout.programs().display())
}

fn folder(layout: &Layout) -> PathBuf {
    layout.run.join("processes")
}

fn file(layout: &Layout, name: &str) -> PathBuf {
    folder(layout).join(name)
}

/// Names of all that were recorded.
pub(super) fn recorded(layout: &Layout) -> Vec<String> {
    let entries = fs::read_dir(folder(layout)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The process recorded under a name, if it still is that one and bears our mark.
pub(super) fn running(layout: &Layout, name: &str) -> Option<Record> {
    let record = Record::parse(&fs::read_to_string(file(layout, name)).ok()?)?;
    let same = started(record.pid) == Some(record.started);
    (same && is_marked(layout, record.pid)).then_some(record)
}

fn is_marked(layout: &Layout, pid: u32) -> bool {
    let mark = format!("{MARKER}={}", layout.mark());
    // While a process becomes another program it has no environment for a moment.
    for _ in 0..100 {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if !environment.is_empty() || started(pid).is_none() {
            return environment
                .split(|byte| *byte == 0)
                .any(|one| one == mark.as_bytes());
        }
        sleep(Duration::from_millis(5));
    }
    false
}

/// When a process started; nothing if there is none, or only its exit code.
fn started(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    start_of(&text)
}

/// Field 22 of a stat line; the second field may hold anything, parentheses too.
fn start_of(text: &str) -> Option<u64> {
    let (_, after) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    (*fields.first()? != "Z").then(|| fields.get(19)?.parse().ok())?
}

/// How long a process has been running.
pub(super) fn age(record: Record) -> Option<Duration> {
    let ticks: u64 = answer("getconf", &["CLK_TCK"])?.trim().parse().ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let up: u64 = uptime.split('.').next()?.parse().ok()?;
    Some(Duration::from_secs(
        up.saturating_sub(record.started / ticks),
    ))
}

/// The first process of a node, which is the only child of the recorded one.
pub(super) fn first_process(record: Record) -> Option<u32> {
    let pid = record.pid;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Ends all that was started; what it kept is removed next, so that nobody is asked to put it in order. Our own groups also
/// hold what was started and not recorded before somebody killed the command. A node ends with its first process, which
/// `unshare` takes along.
pub(super) fn end_all(layout: &Layout, hierarchies: &[Hierarchy]) -> Result<()> {
    let names = recorded(layout);
    let begun = Instant::now();
    loop {
        let mut left = cgroups::members(hierarchies, &layout.name);
        left.extend(
            names
                .iter()
                .filter_map(|name| Some(running(layout, name)?.pid)),
        );
        if left.is_empty() {
            break;
        }
        if begun.elapsed() > Duration::from_secs(20) {
            bail!("processes {left:?} do not end");
        }
        for pid in left {
            kill(pid);
        }
        sleep(Duration::from_millis(50));
    }
    for name in names {
        fs::remove_file(file(layout, &name))?;
    }
    Ok(())
}

/// Ends a process; who is gone already needs no end.
fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The last lines of a log.
pub(super) fn tail(file: &Path, lines: usize) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
