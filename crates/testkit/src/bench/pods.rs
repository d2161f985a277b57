//! Rows of pods: CNI ADD, policies in force, the agent's memory and restart, the plugin itself.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kernel::{Maps, PinDirectory};
use serde_json::{Value, json};

use super::prober::Prober;
use super::statistics::{Target, median, percentile};
use super::table::Row;
use super::{Bench, Group, machine, traffic};
use crate::cluster::{Cluster, Node};
use crate::kubelet::RunningPod;
use crate::programs::program;

/// Pods that come, are ruled, and outlive their agent.
pub(super) const PODS: Group = Group {
    name: "pods",
    rows: &[
        "CNI ADD to policy in force, one at a time",
        "CNI ADD to policy in force, at once",
        "agent RSS",
        "maps",
        "first policy on a pod",
        "further change",
        "agent start to enforcing",
        "lost while the agent starts",
    ],
    run: pods,
};
/// The plugin by itself.
pub(super) const PLUGIN: Group = Group {
    name: "plugin",
    rows: &["axoneme-cni, size", "axoneme-cni, own time of a call"],
    run: plugin,
};

const LIMIT: Duration = Duration::from_mins(1);

fn millis(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1e3).collect()
}

/// A percentile of times as a row.
pub(super) fn at(
    name: String,
    times: &[Duration],
    percent: f64,
    target: f64,
) -> anyhow::Result<Row> {
    let value = percentile(&millis(times), percent).with_context(|| format!("{name}: no times"))?;
    Ok(Row::figure(name, value, "ms", times.len()).wanted(Target::AtMost(target)))
}

fn pods(bench: &mut Bench) -> anyhow::Result<()> {
    let number = if bench.options.quick { 10 } else { 100 };
    let mut cluster = Cluster::start(traffic::cluster(1))?;
    let (client, server) = (
        traffic::pod(&cluster, 0, "a")?,
        traffic::pod(&cluster, 0, "b")?,
    );
    memory(bench, &mut cluster, "2 pods", 40.0)?;
    let times = one_at_a_time(&cluster, number)?;
    bench.add([
        at(
            "CNI ADD to policy in force, one at a time, p50".into(),
            &times,
            50.0,
            20.0,
        )?,
        at(
            "CNI ADD to policy in force, one at a time, p99".into(),
            &times,
            99.0,
            50.0,
        )?,
    ]);
    let (others, all) = at_once(&cluster, number)?;
    let name = format!("CNI ADD to policy in force, {number} at once, all");
    bench.add([at(name, &[all], 100.0, 1500.0)?]);
    let what = format!("{number} pods");
    memory(bench, &mut cluster, &what, 80.0)?;
    let prober = Prober::start(&client, &server)?;
    policies(bench, &cluster, &prober, &what, 20.0)?;
    drop(prober);
    restarts(bench, &mut cluster, [&client, &server], number)?;
    drop(others);
    Ok(())
}

pub(super) fn node(cluster: &mut Cluster) -> anyhow::Result<&mut Node> {
    cluster.nodes.first_mut().context("a cluster without nodes")
}

/// The maps of the first node.
pub(super) fn maps(cluster: &Cluster) -> anyhow::Result<Maps> {
    let node = cluster.nodes.first().context("a cluster without nodes")?;
    let pins = PinDirectory::new(&node.machine.directory().join("bpf"));
    Ok(Maps::open_any_capacity(&pins)?)
}

/// The agent's memory and its maps', once it has nothing left to do.
pub(super) fn memory(
    bench: &mut Bench,
    cluster: &mut Cluster,
    what: &str,
    target: f64,
) -> anyhow::Result<()> {
    machine::settle(Duration::from_secs(2))?;
    let pid = node(cluster)?.agent()?.pid();
    let resident = Row::figure(
        format!("agent RSS, {what}"),
        machine::resident_mib(pid)?,
        "MiB",
        1,
    );
    let maps = Row::figure(format!("maps, {what}"), machine::maps_mib(pid)?, "MiB", 1);
    bench.add([resident.wanted(Target::AtMost(target)), maps]);
    Ok(())
}

/// The agent answers an ADD when the endpoint's policy is in the maps, so the plugin's time is the whole.
fn one_at_a_time(cluster: &Cluster, number: usize) -> anyhow::Result<Vec<Duration>> {
    let node = cluster.nodes.first().context("a cluster without nodes")?;
    let made: Vec<RunningPod> = (0..number)
        .map(|index| traffic::pod(cluster, 0, &format!("s{index}")))
        .collect::<anyhow::Result<_>>()?;
    let times = made.iter().map(|pod| pod.add_took).collect();
    for pod in made {
        node.kubelet.delete(&node.machine, pod)?;
    }
    Ok(times)
}

/// All sandboxes and objects by as many threads; from the first call of the plugin to the last answer.
pub(super) fn at_once(
    cluster: &Cluster,
    number: usize,
) -> anyhow::Result<(Vec<RunningPod>, Duration)> {
    let begun = Instant::now();
    let pods: Vec<RunningPod> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..number)
            .map(|index| scope.spawn(move || traffic::pod(cluster, 0, &format!("m{index}"))))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("an ADD panicked"))?
            })
            .collect::<anyhow::Result<_>>()
    })?;
    Ok((pods, begun.elapsed()))
}

/// Only pods of `from` may send to pod b.
fn policy(from: &str) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": "default", "name": "bench" },
        "spec": {
            "endpointSelector": { "matchLabels": { "app": "b" } },
            "ingress": [{ "fromEndpoints": [{ "matchLabels": { "app": from } }] }],
        },
    })
}

/// From the store's acknowledgement to the first or last datagram between the pods.
pub(super) fn policies(
    bench: &mut Bench,
    cluster: &Cluster,
    prober: &Prober,
    what: &str,
    target: f64,
) -> anyhow::Result<()> {
    let rounds = if bench.options.quick { 5 } else { 50 };
    let begun = Instant::now();
    let (mut first, mut further) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        if round >= 5 && begun.elapsed() > LIMIT {
            break;
        }
        cluster.apply(&policy("nobody"))?;
        first.push(prober.ends_after(Instant::now())?);
        cluster.apply(&policy("a"))?;
        further.push(prober.begins_after(Instant::now())?);
        cluster.apply(&policy("nobody"))?;
        further.push(prober.ends_after(Instant::now())?);
        cluster.delete(&policy("nobody"))?;
        prober.begins_after(Instant::now())?;
    }
    for (which, times) in [
        ("first policy on a pod", &first),
        ("further change", &further),
    ] {
        let name = format!("{which}, {what}, enforced, p99");
        bench.add([at(name, times, 99.0, target)?]);
    }
    Ok(())
}

/// The agent dies as in a crash, and starts again with all pods to restore, under traffic.
fn restarts(
    bench: &mut Bench,
    cluster: &mut Cluster,
    [client, server]: [&RunningPod; 2],
    pods: usize,
) -> anyhow::Result<()> {
    let rounds = if bench.options.quick { 1 } else { 5 };
    let prober = Prober::start(client, server)?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let node = node(cluster)?;
        node.kill_agent()?;
        let begun = Instant::now();
        node.start_agent()?;
        node.wait_ready(LIMIT)?;
        times.push(begun.elapsed());
    }
    let (sent, lost) = prober.finish();
    ensure!(sent > 100, "the prober hardly sent");
    let typical = median(&millis(&times)).context("no start")?;
    bench.add([
        Row::figure(
            format!("agent start to enforcing, {pods} pods"),
            typical,
            "ms",
            times.len(),
        )
        .wanted(Target::AtMost(1000.0)),
        Row::figure(
            "lost while the agent starts",
            lost as f64,
            "packets",
            sent as usize,
        )
        .wanted(Target::AtMost(0.0)),
    ]);
    Ok(())
}

/// Size of the file, and the time of a call that needs no agent: process, parsing, answer.
fn plugin(bench: &mut Bench) -> anyhow::Result<()> {
    let path = program("axoneme-cni")?;
    let size = fs::metadata(&path)
        .with_context(|| path.display().to_string())?
        .len();
    let mut times = Vec::new();
    for _ in 0..if bench.options.quick { 10 } else { 200 } {
        let begun = Instant::now();
        let mut child = Command::new(&path)
            .env("CNI_COMMAND", "VERSION")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| path.display().to_string())?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        std::io::Write::write_all(&mut stdin, br#"{"cniVersion":"1.1.0"}"#)?;
        drop(stdin);
        ensure!(child.wait()?.success(), "axoneme-cni VERSION failed");
        times.push(begun.elapsed());
    }
    let size = Row::figure("axoneme-cni, size", size as f64 / 1e6, "MB", 1);
    bench.add([
        size.wanted(Target::AtMost(5.0)),
        at(
            "axoneme-cni, own time of a call, p50".into(),
            &times,
            50.0,
            5.0,
        )?,
    ]);
    Ok(())
}
