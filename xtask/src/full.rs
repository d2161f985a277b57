//! `./x full`: the suites that take too long for the gate. Prints a table, and writes its rows to docs/full.md with the commit they ran on.

use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail};

use crate::gate::{Found, counted};
use crate::place::Place;
use crate::process::answer;
use crate::{Verb, cargo, ebpf, fuzz, machine, previous, setup};

pub(crate) const VERB: Verb = Verb {
    name: "full",
    about: "the long suites; with names, only those; writes docs/full.md",
    run,
};

/// One long suite: a program that prints test results as cargo does, and lines `figure: …` for the table.
struct Suite {
    name: &'static str,
    /// What it shows, for the table.
    shows: &'static str,
    command: fn(&Place) -> Result<Command>,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "fuzz",
        shows: "every fuzz target for 10 minutes",
        command: |place| {
            let mut command = fuzz::program(place)?;
            command.env("AXONEME_FUZZ_SECONDS", "600");
            Ok(command)
        },
    },
    Suite {
        name: "oracle",
        shows: "1,000,000 policy cases, engine against oracle",
        command: |place| {
            let words = ["--workspace", "--test", "policy_oracle"];
            Ok(tests(place, &words, "", ("AXONEME_CASES", "1000000")))
        },
    },
    Suite {
        name: "packets",
        shows: "1,000,000 random packets, loaded object against `World`",
        command: |place| {
            let words = ["--workspace", "--test", "loaded"];
            Ok(tests(
                place,
                &words,
                "",
                ("AXONEME_RANDOM_PACKETS", "1000000"),
            ))
        },
    },
    Suite {
        name: "kills",
        shows: "agents, API server, operator, relay and plugins killed at random, 200 times, under probers while pods come and go",
        command: |place| {
            let words = ["--workspace", "--test", "nodes"];
            Ok(tests(
                place,
                &words,
                "kills_of_every_component",
                ("AXONEME_KILLS", "200"),
            ))
        },
    },
    Suite {
        name: "churn",
        shows: "500 pods made and deleted, the agent killed at every fifth",
        command: |place| {
            let words = ["--workspace", "--test", "nodes"];
            Ok(tests(
                place,
                &words,
                "adding_and_deleting",
                ("AXONEME_CHURN", "500"),
            ))
        },
    },
    Suite {
        name: "soak",
        shows: "ten minutes of pods, policies, backends, an agent and the store that come and go under probers",
        command: |place| {
            let words = ["--workspace", "--test", "nodes"];
            Ok(tests(
                place,
                &words,
                "a_busy_life",
                ("AXONEME_SOAK_SECONDS", "600"),
            ))
        },
    },
    Suite {
        name: "upgrade",
        shows: "agents and plugins of the previous release, of this one and of the previous again, three times, under connections",
        command: |place| {
            let words = ["--workspace", "--test", "nodes"];
            let folder = previous::programs(place)?;
            let folder = folder.to_string_lossy();
            Ok(tests(
                place,
                &words,
                "another_release_and_back",
                ("AXONEME_PREVIOUS", &folder),
            ))
        },
    },
    Suite {
        name: "scale",
        shows: "two agents and an operator among 1,000 nodes whose pods, labels, policies and selves change all the time, for \
                five minutes each with single endpoints and with slices; release build",
        command: |place| {
            let mut command = cargo::release_program(place, "axoneme-bench")?;
            command.arg("scale");
            Ok(command)
        },
    },
    Suite {
        name: "kubernetes",
        shows: "Kubernetes' own tests of the network on a real cluster: conformance and NetworkPolicy",
        command: |_| kubernetes(&[]),
    },
    Suite {
        name: "kubernetes-ipv6",
        shows: "the same on a cluster of IPv6 alone",
        command: |_| kubernetes(&["--family", "ipv6"]),
    },
    Suite {
        name: "kubernetes-dual",
        shows: "Kubernetes' own tests of dual stack on a cluster of both families",
        command: |_| kubernetes(&["--family", "dual"]),
    },
    Suite {
        name: "kubernetes-etcd",
        shows: "Kubernetes' own tests of the network where agents share identities, nodes and addresses over etcd",
        command: |_| kubernetes(&["--store", "etcd"]),
    },
    Suite {
        name: "move",
        shows: "a real cluster moves from objects of the API server to etcd and back, step by step, under connections",
        command: |_| cluster("move"),
    },
    Suite {
        name: "options",
        shows: "smoke and connectivity test of a real cluster with slices of endpoints, pools of addresses, identities by need, and nodes as members of CIDRs",
        command: |_| {
            let mut command = cluster("test")?;
            command.args(OPTIONS.iter().flat_map(|value| ["--set", value]));
            Ok(command)
        },
    },
    Suite {
        name: "image",
        shows: "smoke and connectivity test of a real cluster with the image that is shipped, static and optimised",
        command: |_| {
            let mut command = cluster("test")?;
            command.args(["--release", "--set", "policyCIDRMatchMode={nodes}"]);
            Ok(command)
        },
    },
    Suite {
        name: "density",
        shows: "100 pods on each node of a real cluster with the image that is shipped, and what of a pod's start is ours",
        command: |_| cluster("density"),
    },
    Suite {
        name: "truth",
        shows: "1,000,000 connections of every outcome and what is said on them, each record, count and answer against what was sent",
        command: |place| {
            Ok(tests(
                place,
                &["--workspace", "--lib"],
                "every_record_and_every_count",
                ("AXONEME_CONNECTIONS", "1000000"),
            ))
        },
    },
    Suite {
        name: "week",
        shows: "seven days and three hours of counts and records in simulated time: answers, bytes on disk, memory",
        command: |place| {
            Ok(tests(
                place,
                &["--workspace", "--lib"],
                "a_week_is_answered",
                ("AXONEME_MINUTES", "10260"),
            ))
        },
    },
    Suite {
        name: "properties",
        shows: "every property with 20,000 cases, and every other test",
        command: |place| {
            Ok(tests(
                place,
                &["--workspace"],
                "",
                ("PROPTEST_CASES", "20000"),
            ))
        },
    },
];

/// Values of the chart that are not its defaults.
const OPTIONS: &[&str] = &[
    "ciliumEndpointSlice.enabled=true",
    "extraConfig.enable-identity-by-need=true",
    "ipam.mode=multi-pool",
    "ipam.operator.autoCreateCiliumPodIPPools.default.ipv4.cidrs={10.60.0.0/16}",
    "ipam.operator.autoCreateCiliumPodIPPools.default.ipv4.maskSize=27",
    "policyCIDRMatchMode={nodes}",
];

/// Kubernetes' own tests on a cluster that is started with these words.
fn kubernetes(words: &[&str]) -> Result<Command> {
    let mut command = cluster("conformance")?;
    command.args(words);
    Ok(command)
}

/// A verb of a cluster that nothing else runs on.
fn cluster(verb: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["cluster", "--name", "axfull", verb]);
    Ok(command)
}

/// Tests of the workspace, as the fast gate builds them (a part of it would be built with other features), with one variable that makes
/// them long.
fn tests(place: &Place, which: &[&str], filter: &str, variable: (&str, &str)) -> Command {
    let mut command = cargo::cargo(place);
    command
        .args(["test", "--no-fail-fast"])
        .args(which)
        .args(["--", "--quiet", "--show-output", filter])
        .env(variable.0, variable.1);
    command
}

/// A row of the table.
struct Row {
    suite: &'static Suite,
    time: Duration,
    found: Found,
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
    cargo::build_demo(place)?;
    let commit = commit(place)?;
    let rows: Vec<Row> = chosen.iter().map(|suite| measure(place, suite)).collect();
    let lines: Vec<String> = rows.iter().map(|row| line(row, &commit)).collect();
    println!("\n{HEAD}{}", lines.concat());
    record(place, &lines)?;
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
    let (ended, waits) = channel::<()>();
    let result = thread::scope(|scope| {
        // Tests say nothing until they end.
        scope.spawn(move || {
            while waits.recv_timeout(Duration::from_mins(1)) == Err(RecvTimeoutError::Timeout) {
                println!("   {}: {} min", suite.name, begun.elapsed().as_secs() / 60);
            }
        });
        let result = (suite.command)(place).and_then(|mut command| counted(&mut command));
        drop(ended);
        result
    });
    let (found, failure) = match result {
        Ok(found) => {
            let failure = failure(&found);
            (found, failure)
        }
        Err(error) => (Found::default(), Some(format!("{error:#}"))),
    };
    Row {
        suite,
        time: begun.elapsed(),
        found,
        failure,
    }
}

/// Why what was counted is no success: a filter that names no test any more must not look like one.
fn failure(found: &Found) -> Option<String> {
    match found.count {
        count if count.failed > 0 => Some(format!("{} failed", count.failed)),
        _ if !found.skipped.is_empty() => Some(format!("left out: {}", found.skipped.join(", "))),
        count if count.skipped > 0 => Some(format!("{} left out", count.skipped)),
        count if count.passed == 0 => Some("no test ran".into()),
        _ => None,
    }
}

const HEAD: &str = "| suite | what it shows | result | tests | figures | seconds | commit, kernel, day |\n\
    |---|---|---|---|---|---|---|\n";

fn line(row: &Row, commit: &str) -> String {
    let result = row.failure.as_deref().unwrap_or("ok");
    let plain = |text: &str| text.replace(['|', '\n'], " ");
    let (name, shows, count) = (row.suite.name, row.suite.shows, row.found.count);
    let (result, figures) = (plain(result), plain(&row.found.figures.join("; ")));
    let seconds = row.time.as_secs_f64();
    format!("| {name} | {shows} | {result} | {count} | {figures} | {seconds:.0} | {commit} |\n")
}

/// What the rows of this run belong to: commit, kernel, day.
fn commit(place: &Place) -> Result<String> {
    let repo = place.repo.to_string_lossy();
    let git = |words: &[&str]| answer("git", &[&["-C", &repo], words].concat());
    let commit =
        git(&["rev-parse", "--short=12", "HEAD"]).context("no commit to name in docs/full.md")?;
    let changed = git(&["status", "--porcelain"]).is_none_or(|text| !text.trim().is_empty());
    let changed = if changed { " with changes" } else { "" };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let day = answer("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default();
    Ok(format!(
        "{}{changed}, {}, {}",
        commit.trim(),
        kernel.trim(),
        day.trim()
    ))
}

/// Writes the rows; those of suites that did not run now stay as they were, with the commit they ran on.
fn record(place: &Place, lines: &[String]) -> Result<()> {
    let path = place.repo.join("docs/full.md");
    let before = fs::read_to_string(&path).unwrap_or_default();
    let processors = thread::available_parallelism().map_or(0, usize::from);
    let text = format!(
        "# The long suites\n\nWritten by `./x full`, which ran on {processors} processors; each row says what it ran on.\n\n{HEAD}{}",
        merged(&before, lines),
    );
    fs::write(&path, text).with_context(|| path.display().to_string())
}

/// One row for each suite that has one, in the order of the list; a new row takes the place of the old one.
fn merged(before: &str, new: &[String]) -> String {
    let old: Vec<String> = before.lines().map(|line| format!("{line}\n")).collect();
    let row = |suite: &Suite| {
        let begin = format!("| {} |", suite.name);
        let mut rows = new.iter().chain(&old);
        rows.find(|line| line.starts_with(&begin)).cloned()
    };
    SUITES.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Count;

    fn row(count: Count, figures: &[&str]) -> Row {
        let found = Found {
            count,
            figures: figures.iter().map(|figure| (*figure).to_owned()).collect(),
            ..Found::default()
        };
        let failure = failure(&found);
        Row {
            suite: &SUITES[0],
            time: Duration::from_secs(3),
            found,
            failure,
        }
    }

    fn passed(passed: u64) -> Count {
        Count {
            passed,
            ..Count::default()
        }
    }

    #[test]
    fn an_unknown_suite_is_refused_and_the_known_ones_are_named() {
        let error = choose(&["nosuch".into()])
            .err()
            .expect("there is no such suite");
        assert!(error.to_string().contains("properties"), "{error}");
    }

    #[test]
    fn a_row_says_why_its_suite_failed_and_what_it_measured() {
        let failed = Count {
            failed: 2,
            ..passed(1)
        };
        let text = line(
            &row(failed, &["9 of 9 arrived", "0 denied"]),
            "abc, 6.18, today",
        );
        let end = "| 2 failed | 1 passed, 2 failed, 0 skipped | 9 of 9 arrived; 0 denied | 3 | abc, 6.18, today |\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn a_suite_in_which_no_test_ran_has_failed() {
        assert_eq!(row(passed(0), &[]).failure.as_deref(), Some("no test ran"));
        assert_eq!(row(passed(1), &[]).failure, None);
    }

    #[test]
    fn rows_of_suites_that_did_not_run_keep_their_commit() {
        let before =
            "# x\n| oracle | a | ok | old |\n| fuzz | b | ok | old |\n| gone | c | ok | old |\n";
        let after = merged(before, &["| fuzz | b | ok | new |\n".to_owned()]);
        assert_eq!(
            after,
            "| fuzz | b | ok | new |\n| oracle | a | ok | old |\n"
        );
    }
}
