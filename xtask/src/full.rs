//! `./x full`: the suites that take too long for the gate. Prints a table, and writes it to docs/full.md with the commit it ran on.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::gate::{Count, counted};
use crate::place::Place;
use crate::process::answer;
use crate::{Verb, cargo, ebpf, machine, setup};

pub(crate) const VERB: Verb = Verb {
    name: "full",
    about: "the long suites; with names, only those; writes docs/full.md",
    run,
};

/// One long suite: a program that prints test results as cargo does.
struct Suite {
    name: &'static str,
    /// What it shows, for the table.
    shows: &'static str,
    command: fn(&Place) -> Command,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "tests",
        shows: "every test of the workspace, as in the gate",
        command: |place| {
            let mut command = cargo::cargo(place);
            command.args(["test", "--workspace", "--no-fail-fast"]);
            command.args(["--", "--quiet", "--show-output"]);
            command
        },
    },
    Suite {
        name: "properties",
        shows: "every property with 20,000 cases",
        command: |place| {
            let mut command = cargo::cargo(place);
            command.args(["test", "--workspace", "--no-fail-fast"]);
            command.args(["--", "--quiet", "--show-output"]);
            command.env("PROPTEST_CASES", "20000");
            command
        },
    },
];

/// A row of the table.
struct Row {
    suite: &'static Suite,
    time: Duration,
    count: Count,
    /// Why it failed, if it did.
    failure: Option<String>,
}

fn run(place: &Place, words: &[String]) -> Result<()> {
    let chosen = choose(words)?;
    if let Some(why) = machine::refuses_ebpf() {
        bail!("the long suites cannot run: {why}");
    }
    setup::ensure(place)?;
    ebpf::object(&place.repo, &place.cache).map_err(anyhow::Error::msg)?;
    let rows: Vec<Row> = chosen.iter().map(|suite| measure(place, suite)).collect();
    let table = table(&rows);
    println!("\n{table}");
    // A part of the suites is no record of all of them.
    if words.is_empty() {
        record(place, &table)?;
    }
    if rows.iter().any(|row| row.failure.is_some()) {
        bail!("a suite failed");
    }
    Ok(())
}

fn choose(words: &[String]) -> Result<Vec<&'static Suite>> {
    if words.is_empty() {
        return Ok(SUITES.iter().collect());
    }
    words
        .iter()
        .map(|word| {
            let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
            SUITES
                .iter()
                .find(|suite| suite.name == word)
                .with_context(|| format!("no suite '{word}'; there are {}", names.join(", ")))
        })
        .collect()
}

fn measure(place: &Place, suite: &'static Suite) -> Row {
    println!("== {}: {}", suite.name, suite.shows);
    let begun = Instant::now();
    let result = counted(&mut (suite.command)(place));
    let (count, failure) = match result {
        Ok((count, skipped)) if skipped.is_empty() && count.failed == 0 => (count, None),
        Ok((count, skipped)) if count.failed == 0 => {
            (count, Some(format!("left out: {}", skipped.join(", "))))
        }
        Ok((count, _)) => (count, Some(format!("{} failed", count.failed))),
        Err(error) => (Count::default(), Some(format!("{error:#}"))),
    };
    Row {
        suite,
        time: begun.elapsed(),
        count,
        failure,
    }
}

fn table(rows: &[Row]) -> String {
    let mut text =
        "| suite | what it shows | result | tests | seconds |\n|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let result = row
            .failure
            .as_deref()
            .unwrap_or("ok")
            .replace(['|', '\n'], " ");
        let seconds = row.time.as_secs_f64();
        let (name, shows, count) = (row.suite.name, row.suite.shows, row.count);
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {name} | {shows} | {result} | {count} | {seconds:.0} |"
        );
    }
    text
}

/// Writes the table with the commit and the machine it belongs to.
fn record(place: &Place, table: &str) -> Result<()> {
    let repo = place.repo.to_string_lossy();
    let git = |words: &[&str]| answer("git", &[&["-C", &repo], words].concat());
    let commit = git(&["rev-parse", "HEAD"]).context("no commit to name in docs/full.md")?;
    let changed = git(&["status", "--porcelain"]).is_none_or(|text| !text.trim().is_empty());
    let changed = if changed {
        ", with changes that are not committed"
    } else {
        ""
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let text = format!(
        "# The long suites\n\nWritten by `./x full`.\n\nCommit {}{changed}; kernel {}; {processors} processors.\n\n{table}",
        commit.trim(),
        kernel.trim(),
    );
    let path = place.repo.join("docs/full.md");
    fs::write(&path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_suite_is_refused_and_the_known_ones_are_named() {
        let error = choose(&["nosuch".into()])
            .err()
            .expect("there is no such suite");
        assert!(error.to_string().contains("properties"), "{error}");
    }

    #[test]
    fn a_row_says_why_its_suite_failed() {
        let row = Row {
            suite: &SUITES[0],
            time: Duration::from_secs(3),
            count: Count::default(),
            failure: Some("2 failed".into()),
        };
        assert!(table(&[row]).contains("| 2 failed | 0 passed, 0 failed, 0 skipped | 3 |"));
    }
}
