//! `./x cluster move`: identities, nodes and addresses from objects of the API server to an etcd and back, while pods ask each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, bail};

use super::arguments::{Choices, Store};
use super::control::{self, kubectl};
use super::images::AGNHOST;
use super::layout::Layout;
use super::steps::{Steps, Wait, wait_until};
use super::{golang, install, lifecycle, smoke};
use crate::place::Place;
use crate::ship::{self, Build};

#[cfg(test)]
mod tests;

const NAMESPACE: &str = "axoneme-move";
const SERVERS: &str = include_str!("transfer/pods.yaml");
const ASKING: &str = include_str!("transfer/asking.yaml");

/// The way there and back, as docs/install.md has it; each step is a roll-out of all agents.
const MODES: &[&str] = &[
    "doublewrite-readcrd",
    "doublewrite-readkvstore",
    "kvstore",
    "doublewrite-readkvstore",
    "doublewrite-readcrd",
    "crd",
];
/// Seconds until a client gives up: less than a resolver waits before it asks again.
const LIMIT: &str = "4";
/// What is asked after each step before the next begins.
const SETTLE: Duration = Duration::from_secs(10);

/// From nothing to a cluster, the way there and back, and down.
pub(super) fn run(place: &Place, layout: &Layout) -> Result<()> {
    ship::make(place, Build::Dev)?;
    let result = lifecycle::up(place, layout, &Choices::default())
        .and_then(|()| there_and_back(place, layout));
    if result.is_err() {
        smoke::show(layout);
    }
    let ended = lifecycle::down(layout);
    result.and(ended)?;
    println!("test result: ok. 1 passed; 0 failed; 0 ignored");
    Ok(())
}

fn there_and_back(place: &Place, layout: &Layout) -> Result<()> {
    let steps = Steps::begin();
    steps.step("an etcd for Axoneme", || {
        let folder = golang::tool(place, layout, "etcd")?;
        layout.link(&folder.join("etcd"), control::STORE)?;
        control::start_store(layout)
    })?;
    steps.step("servers, clients, strangers", || start(layout))?;
    let before = identities(layout)?;
    for mode in MODES {
        steps.step(mode, || {
            let old = agents(layout)?;
            install::axoneme(place, layout, Store::Crd, &values(layout, mode)?)?;
            lifecycle::all_ready(layout)?;
            if let Some(agent) = agents(layout)?.intersection(&old).next() {
                bail!("{agent} is still the one of the step before");
            }
            std::thread::sleep(SETTLE);
            judge(layout)?;
            let now = identities(layout)?;
            if now != before {
                bail!("identities of the pods are not what they were:\n{before}\nand now\n{now}");
            }
            Ok(())
        })?;
    }
    let (clients, strangers) = (sums(layout, "client")?, sums(layout, "stranger")?);
    println!(
        "figure: {} steps, {} of {} requests answered, {} of {} denied ones",
        MODES.len(),
        clients.answered,
        clients.sent,
        strangers.answered,
        strangers.sent
    );
    Ok(())
}

/// How the chart is told.
fn values(layout: &Layout, mode: &str) -> Result<Vec<String>> {
    let mut values = vec![
        format!("identityAllocationMode={mode}"),
        "rollOutCiliumPods=true".to_owned(),
        "operator.rollOutPods=true".to_owned(),
    ];
    if mode != "crd" {
        values.push("etcd.enabled=true".to_owned());
        values.push(format!(
            "etcd.endpoints={{{}}}",
            control::store_url(layout)?
        ));
    }
    Ok(values)
}

fn start(layout: &Layout) -> Result<()> {
    apply(layout, "servers", SERVERS)?;
    ready(layout, "server")?;
    wait_until(Duration::from_mins(1), || {
        let condition = "jsonpath={.status.conditions[?(@.type==\"InForce\")].status}";
        let words = [
            "get",
            "ciliumnetworkpolicy",
            "clients-alone",
            "--output",
            condition,
        ];
        let status = here(layout, &words)?;
        Ok(match status.as_str() {
            "True" => Wait::Done,
            _ => Wait::For(format!("the policy's condition InForce is '{status}'")),
        })
    })?;
    for (who, limit) in [("client", LIMIT), ("stranger", "0.5")] {
        apply(
            layout,
            who,
            &ASKING.replace("WHO", who).replace("LIMIT", limit),
        )?;
        ready(layout, who)?;
    }
    // What is asked while pods start is no part of the test.
    std::thread::sleep(SETTLE);
    judge(layout)
}

fn apply(layout: &Layout, name: &str, manifest: &str) -> Result<()> {
    let file = layout.run.join(format!("move-{name}.yaml"));
    let text = manifest
        .replace("IMAGE", AGNHOST)
        .replace("NAMESPACE", NAMESPACE);
    std::fs::write(&file, text)?;
    kubectl(
        layout,
        &["apply", "--filename", &file.display().to_string()],
    )
    .map(drop)
}

fn ready(layout: &Layout, daemon_set: &str) -> Result<()> {
    let name = format!("daemonset/{daemon_set}");
    here(layout, &["rollout", "status", &name, "--timeout=120s"]).map(drop)
}

fn here(layout: &Layout, words: &[&str]) -> Result<String> {
    kubectl(layout, &[&["--namespace", NAMESPACE], words].concat())
}

/// Names of the agents' pods.
fn agents(layout: &Layout) -> Result<BTreeSet<String>> {
    let words = [
        "--namespace=kube-system",
        "get",
        "pods",
        "--selector=k8s-app=cilium",
        "--output=name",
    ];
    Ok(kubectl(layout, &words)?
        .lines()
        .map(str::to_owned)
        .collect())
}

/// Each pod's identity by its number, as its CiliumEndpoint has it.
fn identities(layout: &Layout) -> Result<String> {
    let format = "jsonpath={range .items[*]}{.metadata.name} {.status.identity.id}{\"\\n\"}{end}";
    here(layout, &["get", "ciliumendpoints", "--output", format])
}

/// What became of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    sent: u64,
    answered: u64,
}

/// Fails when a client was not answered, or a stranger was, or nobody asked.
fn judge(layout: &Layout) -> Result<()> {
    for (who, wrong) in [("client", "silence"), ("stranger", "answer")] {
        let log = log(layout, who)?;
        let found = told(&log, wrong);
        if !found.is_empty() {
            bail!("{} times of {who}s:\n{}", found.len(), found.join("\n"));
        }
        if sums(layout, who)?.sent == 0 {
            bail!("no {who} asked anything");
        }
    }
    Ok(())
}

/// Lines whose first word after the pod's name is this one: a silence tells of the answer that did not come, too.
fn told<'a>(log: &'a str, word: &str) -> Vec<&'a str> {
    let is_told = |line: &&str| line.split_whitespace().nth(1) == Some(word);
    log.lines().filter(is_told).collect()
}

fn sums(layout: &Layout, who: &str) -> Result<Sums> {
    Ok(total(&log(layout, who)?))
}

/// The logs of all pods of a name, each line with its pod's name before it.
fn log(layout: &Layout, who: &str) -> Result<String> {
    let label = format!("--selector=app={who}");
    here(layout, &["logs", &label, "--prefix", "--tail=-1"])
}

/// The sum of the last sums of all pods.
fn total(log: &str) -> Sums {
    let mut pods = BTreeMap::new();
    for line in log.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [pod, "sum", answered, "of", sent] = words[..]
            && let (Ok(answered), Ok(sent)) = (answered.parse(), sent.parse())
        {
            pods.insert(pod, Sums { sent, answered });
        }
    }
    pods.values().fold(Sums::default(), |all, one: &Sums| Sums {
        sent: all.sent + one.sent,
        answered: all.answered + one.answered,
    })
}
