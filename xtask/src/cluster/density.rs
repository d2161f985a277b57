//! `./x cluster density`: nodes full of pods, and what of a pod's start on them is ours.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::control::kubectl;
use super::images::AGNHOST;
use super::layout::{Layout, Node};
use super::steps::{Steps, Wait, wait_until};
use super::{cgroups, lifecycle};
use crate::place::Place;
use crate::ship::{self, Build};

#[cfg(test)]
mod tests;

const NAMESPACE: &str = "axoneme-density";
const MANIFEST: &str = include_str!("density/pods.yaml");
/// On each node; the kubelet's limit is 110.
const PODS: usize = 100;
/// Pods that are started one at a time beside them: as many as a 99th percentile needs to be none of the slowest alone. Every other
/// one has labels that no pod has, for which an identity is made while it waits.
const SINGLE: usize = 200;

/// Steps of the plugin, in their order.
const STEPS: [&str; 5] = ["configuration", "addresses", "interface", "endpoint", "pod"];

/// What one pod's start took on its node.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Start {
    /// From the sandbox's begin to the container's.
    all: Duration,
    /// Of it, the network plugin.
    plugin: Duration,
    /// Of that, its steps.
    steps: [Duration; STEPS.len()],
}

/// From nothing to nodes full of pods, and back.
pub(super) fn run(place: &Place, layout: &Layout) -> Result<()> {
    // What a pod waits for is what is shipped.
    ship::make(place, Build::Release)?;
    let result = lifecycle::up(place, layout, &super::arguments::Choices::default())
        .and_then(|()| measure(layout));
    lifecycle::down(layout)?;
    result?;
    println!("test result: ok. 1 passed; 0 failed; 0 ignored");
    Ok(())
}

fn measure(layout: &Layout) -> Result<()> {
    let steps = Steps::begin();
    let nodes = layout.nodes();
    let before = agents(layout)?;
    let begun = Instant::now();
    steps.step("nodes full of pods", || fill(layout, PODS * nodes.len()))?;
    let filled = begun.elapsed();
    let spent = agents(layout)?.saturating_sub(before);
    let pods = u32::try_from(PODS * nodes.len())?;
    println!(
        "figure: {PODS} pods on each of {} nodes at once: all Ready after {:.1} s; agents used {:.1} ms of CPU for each",
        nodes.len(),
        filled.as_secs_f64(),
        (spent / pods).as_secs_f64() * 1e3
    );
    let node = nodes.first().context("a cluster without nodes")?;
    steps.step("pods one at a time", || {
        (0..SINGLE).try_for_each(|number| single(layout, node, number))
    })?;
    tell(&starts(
        &containerd_log(layout, node)?,
        &plugin_log(layout, node)?,
    ))?;
    steps.step("pods removed", || {
        kubectl(
            layout,
            &["delete", "namespace", NAMESPACE, "--timeout=300s"],
        )
        .map(drop)
    })
}

/// What the steps took in the mean of the slowest twentieth.
fn slowest(mut starts: Vec<Start>) -> String {
    starts.sort_by_key(|start| std::cmp::Reverse(start.plugin));
    starts.truncate(starts.len().div_ceil(20));
    let mean = |step: usize| {
        let all: Duration = starts.iter().map(|start| start.steps[step]).sum();
        let count = u32::try_from(starts.len()).unwrap_or(u32::MAX);
        all.checked_div(count).unwrap_or_default().as_secs_f64() * 1e3
    };
    let told = STEPS
        .iter()
        .enumerate()
        .map(|(step, name)| format!("{name} {:.1} ms", mean(step)));
    told.collect::<Vec<_>>().join(", ")
}

/// The figures of pods that were started alone.
fn tell(starts: &[(String, Start)]) -> Result<()> {
    let alone: Vec<Start> = starts
        .iter()
        .filter(|(name, _)| has_own_labels(name).is_some())
        .map(|(_, start)| *start)
        .collect();
    if alone.len() != SINGLE {
        bail!(
            "{SINGLE} pods were started and {} are in the logs",
            alone.len()
        );
    }
    let with = |own: bool| -> Vec<Start> {
        let starts = starts
            .iter()
            .filter(|(name, _)| has_own_labels(name) == Some(own));
        starts.map(|(_, start)| *start).collect()
    };
    for (what, own) in [("labels of others", false), ("labels of their own", true)] {
        let mut plugin: Vec<Duration> = with(own).iter().map(|start| start.plugin).collect();
        println!(
            "figure: with {what}: CNI ADD p50 {:.1} ms, p99 {:.1} ms",
            part(&mut plugin, 50),
            part(&mut plugin, 99)
        );
    }
    let mut plugin: Vec<Duration> = alone.iter().map(|start| start.plugin).collect();
    let mut all: Vec<Duration> = alone.iter().map(|start| start.all).collect();
    println!(
        "figure: {SINGLE} more, one at a time: CNI ADD p50 {:.1} ms, p99 {:.1} ms; from sandbox to running container p50 {:.0} ms, of which ADD is {:.1} %",
        part(&mut plugin, 50),
        part(&mut plugin, 99),
        part(&mut all, 50),
        100.0 * sum(&plugin) / sum(&all)
    );
    println!("figure: of the slowest 5 %: {}", slowest(alone));
    Ok(())
}

/// So many pods at once, spread over the nodes.
fn fill(layout: &Layout, pods: usize) -> Result<()> {
    let file = layout.run.join("density.yaml");
    let text = MANIFEST
        .replace("IMAGE", AGNHOST)
        .replace("NAMESPACE", NAMESPACE);
    fs::write(&file, text.replace("REPLICAS", &pods.to_string()))?;
    kubectl(
        layout,
        &["apply", "--filename", &file.display().to_string()],
    )?;
    let status = ["rollout", "status", "deployment/full", "--timeout=600s"];
    kubectl(layout, &[&["--namespace", NAMESPACE], &status[..]].concat()).map(drop)
}

/// Whether a pod that was started alone has labels of its own; none of another pod.
fn has_own_labels(name: &str) -> Option<bool> {
    let number: usize = name.strip_prefix("single-")?.parse().ok()?;
    Some(number % 2 == 1)
}

/// One pod on one node, from its making to its end.
fn single(layout: &Layout, node: &Node, number: usize) -> Result<()> {
    let name = format!("single-{number}");
    let pinned = format!(
        r#"{{"spec":{{"nodeName":"{}","terminationGracePeriodSeconds":0}}}}"#,
        node.name
    );
    let image = format!("--image={AGNHOST}");
    let labels = if has_own_labels(&name) == Some(true) {
        format!("--labels=run={name}")
    } else {
        "--labels=run=single".to_owned()
    };
    let run = [
        "run",
        &name,
        &image,
        &labels,
        "--image-pull-policy=Never",
        "--restart=Never",
    ];
    let with = ["--overrides", &pinned, "--", "pause"];
    let space: &[&str] = &["--namespace", NAMESPACE];
    kubectl(layout, &[space, &run, &with].concat())?;
    let phase = ["get", "pod", &name, "--output", "jsonpath={.status.phase}"];
    wait_until(Duration::from_mins(1), || {
        Ok(match kubectl(layout, &[space, &phase].concat())?.trim() {
            "Running" => Wait::Done,
            other => Wait::For(format!("pod {name}, which is {other}")),
        })
    })?;
    let delete = ["delete", "pod", &name, "--force", "--grace-period=0"];
    kubectl(layout, &[space, &delete].concat()).map(drop)
}

/// CPU time that the agents used so far.
fn agents(layout: &Layout) -> Result<Duration> {
    let mut ticks = 0;
    for node in layout.nodes() {
        let stat = fs::read_to_string(format!(
            "/proc/{}/stat",
            process(layout, &node, "axoneme-agent")?
        ))?;
        ticks += stat_ticks(&stat).context("a process without times")?;
    }
    // USER_HZ is 100 on all architectures that Linux has today.
    Ok(Duration::from_millis(ticks * 10))
}

/// User and system time of a line of /proc/PID/stat, in ticks (proc(5), fields 14 and 15).
fn stat_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// The process of that name on a node.
fn process(layout: &Layout, node: &Node, name: &str) -> Result<u32> {
    let hierarchies = cgroups::hierarchies()?;
    let all = cgroups::members(&hierarchies, &format!("{}/{}", layout.name, node.name));
    let named = |pid: &u32| {
        let found = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        found.trim() == name
    };
    all.into_iter()
        .find(named)
        .with_context(|| format!("no {name} on {}", node.name))
}

fn containerd_log(layout: &Layout, node: &Node) -> Result<String> {
    let path = layout
        .run
        .join("logs")
        .join(format!("containerd-{}.log", node.name));
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The plugin's log lies where only the node sees it.
fn plugin_log(layout: &Layout, node: &Node) -> Result<String> {
    let containerd = process(layout, node, "containerd")?;
    let path = format!("/proc/{containerd}/root/run/cilium/cilium-cni.log");
    fs::read_to_string(&path).with_context(|| path.clone())
}

/// Starts of pods by name: the runtime's log has the times of sandboxes and containers, the plugin's what it took.
fn starts(runtime: &str, plugin: &str) -> Vec<(String, Start)> {
    let added: BTreeMap<&str, &str> = plugin
        .lines()
        .filter(|line| line.contains("msg=\"done\" command=ADD"))
        .filter_map(|line| {
            let sandbox = between(line, "attachment=", ":")?;
            Some((sandbox, line))
        })
        .collect();
    let mut begun: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut sandboxes: BTreeMap<&str, &str> = BTreeMap::new();
    let mut containers: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for line in runtime.lines() {
        let Some(time) = between(line, "time=\"", "\"").and_then(clock) else {
            continue;
        };
        if let Some(sandbox) = between(line, "returns sandbox id \\\"", "\\\"") {
            if let Some(name) = between(line, "Name:", ",") {
                sandboxes.insert(sandbox, name);
            }
        } else if line.contains("msg=\"RunPodSandbox for") {
            if let Some(name) = between(line, "Name:", ",") {
                begun.insert(name, time);
            }
        } else if let Some(container) = between(line, "returns container id \\\"", "\\\"") {
            if let Some(sandbox) = between(line, "within sandbox \\\"", "\\\"") {
                containers.insert(container, sandbox);
            }
        } else if line.contains("returns successfully") {
            let start = between(line, "StartContainer for \\\"", "\\\"").and_then(|container| {
                let sandbox = containers.get(container)?;
                let name = sandboxes.get(sandbox)?;
                let all = time.checked_sub(*begun.get(name)?)?;
                let line = added.get(sandbox)?;
                let plugin = micros(line, "elapsed")?;
                let steps = STEPS.map(|step| micros(line, step).unwrap_or_default());
                Some(((*name).to_owned(), Start { all, plugin, steps }))
            });
            found.extend(start);
        }
    }
    found
}

/// A time of a line of the plugin's log.
fn micros(line: &str, name: &str) -> Option<Duration> {
    let mut words = line.split_whitespace();
    let found = words.find_map(|word| word.strip_prefix(name)?.strip_prefix("-us="));
    found?.parse().ok().map(Duration::from_micros)
}

/// The time of day of an RFC 3339 timestamp in UTC. A pod that starts before midnight and runs after it is left out.
fn clock(timestamp: &str) -> Option<Duration> {
    let (_, time) = timestamp.strip_suffix('Z')?.split_once('T')?;
    let mut parts = time.split(':');
    let mut whole = || parts.next()?.parse::<u32>().ok();
    let minutes = whole()? * 60 + whole()?;
    let seconds: f64 = parts.next()?.parse().ok()?;
    Duration::try_from_secs_f64(f64::from(minutes * 60) + seconds).ok()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// A percentile in milliseconds.
fn part(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).max(1);
    times
        .get(rank - 1)
        .map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

fn sum(times: &[Duration]) -> f64 {
    times.iter().sum::<Duration>().as_secs_f64()
}
