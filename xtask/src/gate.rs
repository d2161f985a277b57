//! `./x test`: every step of the gate in turn, with its time, and one line at the end that sums all test results.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process::typed;
use crate::{Verb, ebpf, machine, setup};

mod count;
#[cfg(test)]
mod tests;

use count::Count;

pub(crate) const VERB: Verb = Verb {
    name: "test",
    about: "the gate: format, lints, tidy, eBPF build, all tests, demo --check",
    run: |place, _| run(place),
};

/// A test that needs root and a kernel with eBPF lives in a module of this name.
const PRIVILEGED: &str = "privileged";

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

fn run(place: &Place) -> Result<()> {
    setup::ensure(place)?;
    let refusal = machine::refuses_ebpf();
    let mut gate = Gate {
        outcomes: Vec::new(),
        left_out: Vec::new(),
    };
    gate.step("format", || cargo(place, &["fmt", "--all", "--check"]));
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
    gate.step("ebpf", || {
        let object = ebpf::object(&place.repo, &place.cache).map_err(anyhow::Error::msg)?;
        println!("{}", object.display());
        Ok(Count::default())
    });
    tests(place, &mut gate, refusal.as_deref())?;
    gate.close(refusal.as_deref())
}

/// All tests of the workspace; without root or eBPF those that need neither.
fn tests(place: &Place, gate: &mut Gate, refusal: Option<&str>) -> Result<()> {
    let mut words = vec!["test", "--quiet", "--workspace", "--no-fail-fast"];
    if refusal.is_some() {
        gate.left_out.extend(privileged(place)?);
        words.extend(["--", "--skip", PRIVILEGED]);
    }
    gate.step("tests", || cargo(place, &words));
    Ok(())
}

/// Names of the tests that need root and eBPF.
fn privileged(place: &Place) -> Result<Vec<String>> {
    let output = Command::new("cargo")
        .current_dir(&place.repo)
        .args(["test", "--quiet", "--workspace", "--", "--list", PRIVILEGED])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect())
}

/// Runs cargo, shows what it prints, and counts the test results in it.
fn cargo(place: &Place, words: &[&str]) -> Result<Count> {
    let mut command = Command::new("cargo");
    command.current_dir(&place.repo).args(words);
    counted(&mut command)
}

/// Runs a program, shows what it prints, and counts the test results in it.
fn counted(command: &mut Command) -> Result<Count> {
    let what = typed(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start '{what}'"))?;
    let mut count = Count::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            count.add(&Count::read(&line));
        }
    }
    let status = child.wait()?;
    if !status.success() && count.failed == 0 {
        bail!("'{what}' failed ({status})");
    }
    Ok(count)
}

impl Gate {
    fn step(&mut self, step: &'static str, work: impl FnOnce() -> Result<Count>) {
        println!("== {step}");
        let begun = Instant::now();
        let result = work();
        let time = begun.elapsed();
        let (count, failure) = match result {
            Ok(count) if count.failed > 0 => (count, Some("tests failed".into())),
            Ok(count) => (count, None),
            // What ended without any test result is one failure, or the sum would hide it.
            Err(error) => (
                Count {
                    failed: 1,
                    ..Count::default()
                },
                Some(format!("{error:#}")),
            ),
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
    fn close(self, refusal: Option<&str>) -> Result<()> {
        println!("\n{:<10} {:>8}  result", "step", "seconds");
        let mut sum = Count::default();
        for outcome in &self.outcomes {
            let result = outcome.failure.as_deref().map_or("ok", |_| "FAILED");
            println!(
                "{:<10} {:>8.1}  {result}",
                outcome.step,
                outcome.time.as_secs_f64()
            );
            sum.add(&outcome.count);
        }
        let left_out = self.left_out.len() as u64;
        sum.skipped += left_out;
        if let Some(why) = refusal {
            println!("\nleft out, because {why}:");
            for name in &self.left_out {
                println!("  {name}");
            }
        }
        println!("\n{sum}");
        if sum.failed > 0 {
            let names: Vec<_> = self
                .outcomes
                .iter()
                .filter(|outcome| outcome.failure.is_some())
                .map(|outcome| outcome.step)
                .collect();
            bail!("failed: {}", names.join(", "));
        }
        if machine::nobody_watches() && sum.skipped > 0 {
            bail!(
                "with CI=true nothing may be left out, and {} were",
                sum.skipped
            );
        }
        Ok(())
    }
}
