//! `./x test`: every step of the gate in turn, with its time, and one line at the end that sums all test results.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process::typed;
use crate::{Verb, ebpf, machine, setup, tidy};

mod count;
#[cfg(test)]
mod tests;

pub(crate) use count::{Count, Found};
use count::{Reader, Shown};

pub(crate) const VERB: Verb = Verb {
    name: "test",
    about: "the gate: format, lints, tidy, eBPF build, all tests",
    run: |place, _| run(place),
};

/// What a step came to.
struct Outcome {
    step: &'static str,
    time: Duration,
    count: Count,
    /// Why it failed, if it did.
    failure: Option<String>,
}

/// What the gate has found so far.
struct Gate {
    outcomes: Vec<Outcome>,
    /// Names of what this machine cannot run.
    left_out: Vec<String>,
}

/// Whether the change may land.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Open,
    Closed,
}

fn run(place: &Place) -> Result<()> {
    let mut gate = Gate {
        outcomes: Vec::new(),
        left_out: Vec::new(),
    };
    gate.step("set-up", || setup::ensure(place).map(|()| Found::default()));
    if gate
        .outcomes
        .iter()
        .all(|outcome| outcome.failure.is_none())
    {
        steps(place, &mut gate);
    }
    match gate.close(machine::nobody_watches()) {
        Verdict::Open => Ok(()),
        // All is said, and the sum must stay the last line.
        Verdict::Closed => std::process::exit(1),
    }
}

fn steps(place: &Place, gate: &mut Gate) {
    let refusal = machine::refuses_ebpf();
    // Tests find out for themselves what they can do here; this only says it first.
    if let Some(why) = &refusal {
        println!("leaving out what needs root and eBPF: {why}");
    }
    gate.step("format", || {
        cargo(place, &["fmt", "--all", "--check"])?;
        // Not a member of the workspace, so the line above passes it by.
        let manifest = "crates/datapath-ebpf/Cargo.toml";
        cargo(place, &["fmt", "--check", "--manifest-path", manifest])
    });
    gate.step("lints", || {
        let words = [
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-Dwarnings",
        ];
        cargo(place, &words)
    });
    gate.step("tidy", || {
        let findings = tidy::findings(place)?;
        for finding in &findings {
            println!("{finding}");
        }
        match findings.len() {
            0 => Ok(Found::default()),
            number => bail!("{number} findings"),
        }
    });
    gate.step("ebpf", || {
        let object = ebpf::object(&place.repo, &place.cache).map_err(anyhow::Error::msg)?;
        println!("{}", object.display());
        Ok(Found::default())
    });
    gate.step("programs", || {
        crate::cargo::build_demo(place).map(|()| Found::default())
    });
    tests(place, gate);
    gate.step("fuzz", || counted(&mut crate::fuzz::program(place)?));
    if refusal.is_none() {
        gate.step("demo", || {
            let mut command = crate::cargo::demo_command(place)?;
            counted(command.arg("--check"))
        });
    }
}

/// The tests, with an etcd for those that need one.
fn tests(place: &Place, gate: &mut Gate) {
    let mut etcd = None;
    gate.step("etcd", || {
        match crate::cluster::tool(place, "etcd") {
            Ok(folder) => etcd = Some(folder.join("etcd")),
            Err(error) if machine::nobody_watches() => return Err(error),
            Err(error) => println!("leaving out what needs etcd: {error:#}"),
        }
        Ok(Found::default())
    });
    gate.step("tests", || {
        let words = [
            "test",
            "--workspace",
            "--no-fail-fast",
            "--",
            "--quiet",
            "--show-output",
        ];
        let mut command = crate::cargo::cargo(place);
        command.args(words);
        counted(command.envs(etcd.as_ref().map(|path| ("AXONEME_ETCD", path))))
    });
}

/// Runs cargo, shows what it prints, and counts the test results in it.
fn cargo(place: &Place, words: &[&str]) -> Result<Found> {
    counted(crate::cargo::cargo(place).args(words))
}

/// Runs a program, shows what it prints, and counts the test results in it.
pub(crate) fn counted(command: &mut Command) -> Result<Found> {
    let what = typed(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start '{what}'"))?;
    let mut reader = Reader::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            if reader.take(&line) == Shown::Yes {
                println!("{line}");
            }
        }
    }
    let status = child.wait()?;
    if !status.success() && reader.count.failed == 0 {
        bail!("'{what}' failed ({status})");
    }
    Ok(reader.close())
}

impl Gate {
    fn step(&mut self, step: &'static str, work: impl FnOnce() -> Result<Found>) {
        println!("== {step}");
        let begun = Instant::now();
        let result = work();
        let time = begun.elapsed();
        let (count, failure) = match result {
            Ok(Found { count, skipped, .. }) => {
                self.left_out.extend(skipped);
                let failure = (count.failed > 0).then(|| "tests failed".to_owned());
                (count, failure)
            }
            // What ended without any test result is one failure, or the sum would hide it.
            Err(error) => {
                let one = Count {
                    failed: 1,
                    ..Count::default()
                };
                (one, Some(format!("{error:#}")))
            }
        };
        if let Some(why) = &failure {
            println!("{step}: {why}");
        }
        println!("== {step}: {:.1} s", time.as_secs_f64());
        self.outcomes.push(Outcome {
            step,
            time,
            count,
            failure,
        });
    }

    /// Prints times, what was left out, and the closing line.
    fn close(self, nobody_watches: bool) -> Verdict {
        println!("\n{:<10} {:>8}  result", "step", "seconds");
        let mut sum = Count::default();
        for outcome in &self.outcomes {
            let result = if outcome.failure.is_some() {
                "FAILED"
            } else {
                "ok"
            };
            let seconds = outcome.time.as_secs_f64();
            println!("{:<10} {seconds:>8.1}  {result}", outcome.step);
            sum.add(&outcome.count);
        }
        if !self.left_out.is_empty() {
            println!("\nleft out:");
            for name in &self.left_out {
                println!("  {name}");
            }
        }
        let failed: Vec<_> = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.failure.is_some())
            .map(|outcome| outcome.step)
            .collect();
        let mut verdict = Verdict::Open;
        if !failed.is_empty() {
            println!("\nfailed: {}", failed.join(", "));
            verdict = Verdict::Closed;
        }
        if nobody_watches && sum.skipped > 0 {
            println!("\nwith CI=true nothing may be left out");
            verdict = Verdict::Closed;
        }
        println!("\n{sum}");
        verdict
    }
}
