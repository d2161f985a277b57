//! A process in a namespace and a cgroup, ended when dropped.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use netlink::Namespace;
use rustix::process::{Pid, Signal, kill_process};

/// Joins the cgroup before the program's first instruction, so that programs at its sockets see all of them.
const JOIN: &str = "echo 0 > \"$1\" && shift && exec \"$@\"";

/// Where and what to start.
pub struct Started<'a> {
    /// Network namespace.
    pub namespace: &'a Namespace,
    /// Cgroup, which exists.
    pub cgroup: &'a Path,
    /// Where output goes, as `<name>.log`.
    pub directory: &'a Path,
    /// Name for messages and the output file.
    pub name: &'a str,
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub args: &'a [String],
}

/// A running process of ours.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; standard output and standard error go to one file, which is begun anew.
    pub fn start(what: &Started<'_>) -> anyhow::Result<Self> {
        let log = what.directory.join(format!("{}.log", what.name));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open {}", log.display()))?;
        let errors = output.try_clone().context("duplicate the output file")?;
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(JOIN)
            .arg("sh")
            .arg(what.cgroup.join("cgroup.procs"))
            .arg(what.program)
            .args(what.args)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // A person's Ctrl-C is for the one who started it all.
            .process_group(0);
        // A child is born in the namespace of the thread that makes it.
        let child = what
            .namespace
            .run(|| command.spawn())?
            .with_context(|| format!("start {} ({})", what.name, what.program.display()))?;
        Ok(Self {
            name: what.name.to_owned(),
            child,
            log,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it still runs; if not, how it ended.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("wait for {}", self.name))
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > end {
                bail!("{} still runs after {limit:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child
            .kill()
            .with_context(|| format!("kill {}", self.name))?;
        self.child
            .wait()
            .with_context(|| format!("wait for {}", self.name))?;
        Ok(())
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id of 0")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("end {}", self.name))?;
        self.wait(limit)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
