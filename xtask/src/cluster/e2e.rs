//! `./x cluster e2e`: Kubernetes' own end-to-end tests of the network, against the cluster that runs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::arguments::{Choices, Selection};
use super::control::client;
use super::families::Families;
use super::layout::Layout;
use super::{daemon, golang, lifecycle, network};
use crate::place::Place;
use crate::process::typed;
use crate::ship::{self, Build};

#[cfg(test)]
mod tests;

/// What needs hardware, providers, protocols or address families that are not here, or the cluster for itself.
fn left_out(families: Families) -> String {
    let absent = match families {
        Families::Ipv4 => "IPv6DualStack|Networking-IPv6",
        Families::Dual => "Networking-IPv6",
        Families::Ipv6 => "IPv6DualStack|Networking-IPv4",
    };
    format!(r"\[Disruptive\]|\[Slow\]|\[Serial\]|\[Feature:(LoadBalancer|SCTP|{absent})")
}

/// Those of NetworkPolicy, and all conformance tests of the network but that of `HostPort`, which Axoneme has not got yet.
const OURS: &str = r"\[sig-network\] (Netpol|[^H].*\[Conformance\])";
/// What there is to see where both families are.
const DUAL: &str = r"\[sig-network\].*\[Feature:IPv6DualStack\]";

/// What became of one test.
#[derive(Debug, PartialEq)]
struct Outcome {
    name: String,
    status: String,
    seconds: f64,
}

/// From nothing to a cluster, all tests that need nothing we lack, and back.
pub(super) fn conformance(place: &Place, layout: &Layout, choices: &Choices) -> Result<()> {
    let layout = &lifecycle::spoken(layout, choices.families)?;
    ship::make(place, Build::Dev)?;
    let selection = Selection {
        focus: match layout.families {
            Families::Dual => DUAL.to_owned(),
            Families::Ipv4 | Families::Ipv6 => OURS.to_owned(),
        },
        processes: 3,
    };
    let result =
        lifecycle::up(place, layout, choices).and_then(|()| run(place, layout, &selection));
    lifecycle::down(layout)?;
    let (passed, failed) = result?;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    if failed > 0 {
        bail!("{failed} tests failed");
    }
    Ok(())
}

/// Runs the tests that a person selected.
pub(super) fn selected(place: &Place, layout: &Layout, selection: &Selection) -> Result<()> {
    match run(place, layout, selection)? {
        (_, 0) => Ok(()),
        (_, failed) => bail!("{failed} tests failed"),
    }
}

/// Runs the tests whose names the selection's expression finds; prints what became of each, and counts who passed and failed.
fn run(place: &Place, layout: &Layout, selection: &Selection) -> Result<(usize, usize)> {
    golang::build(place, layout, golang::E2E)?;
    let results = layout.built.join("results").join(&layout.name);
    if results.exists() {
        fs::remove_dir_all(&results)?;
    }
    fs::create_dir_all(&results)?;
    // The API server passes requests on to pods, from where no agent runs.
    let routes = network::route_pods(layout)?;
    let begun = Instant::now();
    let ended = tests(layout, selection, &results);
    network::remove_routes(layout, &routes)?;
    let report = results.join("junit.xml");
    if !report.exists() {
        bail!(
            "no report ({:?}):\n{}",
            ended?,
            daemon::tail(&results.join("log"), 30)
        );
    }
    let outcomes = outcomes(&fs::read_to_string(&report)?);
    table(&outcomes);
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.status != "passed")
        .count();
    println!(
        "{} ran, {failed} failed, {:.0} s; {}/log tells more",
        outcomes.len(),
        begun.elapsed().as_secs_f64(),
        results.display()
    );
    if outcomes.is_empty() {
        bail!("no test has a name like '{}'", selection.focus);
    }
    Ok((outcomes.len() - failed, failed))
}

fn tests(layout: &Layout, selection: &Selection, results: &Path) -> Result<()> {
    let log = fs::File::create(results.join("log"))?;
    let mut command = command(layout, selection, results);
    println!(
        "running '{}' in {} processes",
        selection.focus, selection.processes
    );
    let status = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .with_context(|| format!("cannot start '{}'", typed(&command)))?;
    if !status.success() {
        bail!("the tests ended with {status}");
    }
    Ok(())
}

fn command(layout: &Layout, selection: &Selection, results: &Path) -> Command {
    let flag = |name: &str, value: &Path| format!("--{name}={}", value.display());
    let processes = format!("--procs={}", selection.processes);
    let focus = format!("--focus={}", selection.focus);
    let skip = format!("--skip={}", left_out(layout.families));
    let mut command = client(layout, "ginkgo");
    command
        .args([
            "run",
            "--no-color",
            "-v",
            "--timeout=3h",
            "--junit-report=junit.xml",
        ])
        .args([&processes, &focus, &skip, &flag("output-dir", results)])
        .arg(layout.program("e2e.test"))
        .arg("--")
        .args([
            "--provider=skeleton",
            "--minStartupPods=0",
            "--disable-log-dump=true",
        ])
        .arg(format!("--num-nodes={}", layout.nodes().len()))
        .arg(flag("kubeconfig", &layout.kubeconfig("admin")))
        .arg(flag("kubectl-path", &layout.program("kubectl")))
        .arg(flag("report-dir", results))
        .env("HOME", results);
    command
}

/// The tests of a JUnit report that ran.
fn outcomes(report: &str) -> Vec<Outcome> {
    let ran = report.split("<testcase ").skip(1).filter_map(|text| {
        let head = text.split('>').next()?;
        let name = attribute(text, "name")?;
        let status = attribute(head, "status").or_else(|| attribute(text, "status"))?;
        // Set-up and tear-down of the suite are in it as well.
        let test = name.strip_prefix("[It] ")?;
        (status != "skipped" && status != "pending").then(|| Outcome {
            name: test.to_owned(),
            status,
            seconds: attribute(text, "time")
                .and_then(|time| time.parse().ok())
                .unwrap_or(0.0),
        })
    });
    ran.collect()
}

/// An attribute's value with its entities resolved.
fn attribute(text: &str, name: &str) -> Option<String> {
    let (_, after) = text.split_once(&format!("{name}=\""))?;
    let (value, _) = after.split_once('"')?;
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    Some(
        entities
            .iter()
            .fold(value.to_owned(), |text, (entity, sign)| {
                text.replace(entity, sign)
            }),
    )
}

fn table(outcomes: &[Outcome]) {
    for outcome in outcomes {
        println!(
            "{:<8} {:>7.1} s  {}",
            outcome.status, outcome.seconds, outcome.name
        );
    }
}
