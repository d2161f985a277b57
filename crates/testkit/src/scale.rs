//! A thousand nodes of which two are here: real agents and an operator among many nodes, pods and policies that change all the
//! time. What each of them costs, how soon a policy is in force, and whether everything is exact afterwards.
//!
//! Real are: the API server (ours), the operator with its ranges, taints, collections and slices, two agents with their pods. Of
//! the others there are the objects that kubelets and agents write: Node with its lease (each 10 s) and conditions (each 5 min),
//! CiliumNode, agent pod, pods with CiliumEndpoints, CiliumIdentities. Not there: services, probes of node health, and what kubelets read.
#![allow(clippy::print_stdout, reason = "figures are the suite's output")]
#![allow(
    clippy::cast_precision_loss,
    reason = "counts and octets here are far below 2^52"
)]

mod churn;
mod crowd;
mod exact;
mod gauges;
mod objects;
mod policies;
mod requests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::json;

use crate::bench::prober::Prober;
use crate::bench::statistics::percentile;
use crate::cluster::{Cluster, OPERATOR_METRICS, Options, underlay_v4};
use crate::kubelet::{Pod, RunningPod};
use crate::scrape;
use crate::streams::{Stream, Way};
use churn::switch;
use crowd::Crowd;
use gauges::{Seen, Watched};
use objects::Kind;
use requests::Requests;

/// Port of the agents' metrics.
const AGENT_METRICS: u16 = 9962;
/// What an agent may hold, MiB.
const MOST_MEMORY: f64 = 150.0;
/// From all that is in the store to all that is in the agents.
const SETTLED: Duration = Duration::from_mins(3);

/// How large, and for how long.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Size {
    /// Seconds of churn
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Nodes that are not here
    #[arg(long, default_value_t = 998)]
    nodes: usize,
    /// Pods of each of them
    #[arg(long, default_value_t = 20)]
    per_node: usize,
    /// Pods of each node that is here, each selected by other policies
    #[arg(long, default_value_t = 100)]
    own: usize,
    /// Identities at the begin
    #[arg(long, default_value_t = 10_000)]
    identities: usize,
    /// Policies, a fifth of each kind
    #[arg(long, default_value_t = 1000)]
    policies: usize,
}

/// Runs both stories.
pub fn run(size: Size) -> anyhow::Result<()> {
    if let Some(why) = crate::demo::refusal() {
        bail!("the suite cannot run: {why}");
    }
    let mut failed = 0;
    for (letter, slices) in [('e', false), ('s', true)] {
        if let Err(error) = story(&size, letter, slices) {
            let what = if slices { "slices" } else { "single endpoints" };
            println!("figure: with {what}: FAILED: {error:#}");
            failed += 1;
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {word}. {} passed; {failed} failed; 0 ignored",
        2 - failed
    );
    ensure!(failed == 0, "{failed} of 2 failed");
    Ok(())
}

fn options(letter: char, slices: bool) -> Options {
    let operator = [
        ("cluster-pool-ipv4-cidr", "10.128.0.0/9"),
        (
            "enable-cilium-endpoint-slice",
            if slices { "true" } else { "false" },
        ),
        // More often than by default, so that both are at work within minutes.
        ("identity-gc-interval", "1m"),
        ("identity-heartbeat-timeout", "2m"),
        ("cilium-endpoint-gc-interval", "1m"),
    ];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    Options {
        ipv6: false,
        operator: operator.map(owned).into(),
        ..Options::named(&format!("ax{letter}{}", std::process::id() % 100_000))
    }
    .with("ipam", "cluster-pool")
    .with(
        "enable-cilium-endpoint-slice",
        if slices { "true" } else { "false" },
    )
    .with("prometheus-serve-addr", &format!(":{AGENT_METRICS}"))
}

/// From an empty cluster to exact tables after churn and restarts.
fn story(size: &Size, letter: char, slices: bool) -> anyhow::Result<()> {
    let what = if slices { "slices" } else { "single" };
    let mut cluster = Cluster::start(options(letter, slices))?;
    let mut crowd = Crowd::new(size);
    let _own = begin(&cluster, &mut crowd, size, what)?;
    let probe = Probe::start(&cluster)?;
    let (changes, rate) = (Requests::to(&cluster), size.seconds);
    let (seen, times) = during(&cluster, &mut crowd, &changes, (rate, what))?;
    let made = changes.changes();
    scrapes(&cluster, what)?;
    let (took, expected) = exact::wait(&cluster, &changes, SETTLED)?;
    println!(
        "figure: {what}: {made} changes in {rate} s ({:.1}/s) beside heartbeats; all tables exact {:.1} s after the last: {}",
        made as f64 / rate as f64,
        took.as_secs_f64(),
        expected.summary()
    );
    drop(expected);
    restarts(&mut cluster, what)?;
    exact::wait(&cluster, &Requests::to(&cluster), SETTLED).context("after restarts")?;
    probe.finish(what)?;
    let at = |percent| percentile(&times, percent).unwrap_or_default();
    println!(
        "figure: {what}: a policy's change is in force after p50 {:.1} ms, p99 {:.1} ms, of {} at both nodes",
        at(50.0),
        at(99.0),
        times.len()
    );
    memory_is_kept(&mut cluster, &seen, what)
}

/// Fills the store and the nodes, and waits until every agent has it all.
fn begin(
    cluster: &Cluster,
    crowd: &mut Crowd,
    size: &Size,
    what: &str,
) -> anyhow::Result<Vec<RunningPod>> {
    let requests = Requests::to(cluster);
    for (node, host) in cluster.nodes.iter().zip(11..) {
        requests.create(&objects::agent_pod(&node.kubelet.node, underlay_v4(host)))?;
    }
    let begun = Instant::now();
    let ranges = crowd.fill(&requests)?;
    let filled = begun.elapsed();
    let places: Vec<(usize, usize)> = (0..cluster.nodes.len())
        .flat_map(|place| (0..size.own).map(move |number| (place, number)))
        .collect();
    let mut own = Vec::new();
    for some in places.chunks(8) {
        let made: Vec<anyhow::Result<RunningPod>> = std::thread::scope(|scope| {
            let run = |&(place, number): &(usize, usize)| {
                // In all namespaces and teams.
                let kind = Kind((place * size.own + number) * 53 % size.identities);
                scope.spawn(move || {
                    churn::run(cluster, place, &format!("own{place}-{number}"), kind)
                })
            };
            let all: Vec<_> = some.iter().map(run).collect();
            all.into_iter().map(joined).collect()
        });
        own.extend(made.into_iter().collect::<anyhow::Result<Vec<_>>>()?);
    }
    let (_, expected) = exact::wait(cluster, &requests, SETTLED)?;
    println!(
        "figure: {what}: {} nodes had their ranges {:.0} s after the first was made, the store was full after {:.0} s, \
         every agent had it all after {:.0} s: {}",
        crowd.nodes.len(),
        ranges.as_secs_f64(),
        filled.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        expected.summary()
    );
    Ok(own)
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}

/// Streams across nodes that a policy allows and denies.
struct Probe {
    allowed: Stream,
    denied: Stream,
    _pods: [RunningPod; 3],
}

impl Probe {
    fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        cluster.create(&objects::namespace("probe"))?;
        let pods = [
            pod(cluster, 0, "allowed", "allowed")?,
            pod(cluster, 0, "denied", "denied")?,
            pod(cluster, 1, "server", "server")?,
        ];
        let [allowed, denied, server] = &pods;
        cluster.create(&json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
            "metadata": { "namespace": "probe", "name": "server" },
            "spec": {
                "endpointSelector": { "matchLabels": { "app": "server" } },
                "ingress": [{ "fromEndpoints": [{ "matchLabels": { "app": "allowed" } }] }],
            },
        }))?;
        let end = Instant::now() + Duration::from_secs(30);
        // What went out before the policy was in force says nothing.
        while !arrives(allowed, server)? || arrives(denied, server)? {
            ensure!(Instant::now() < end, "the probers' policy is not in force");
        }
        Ok(Self {
            allowed: stream(allowed, server)?,
            denied: stream(denied, server)?,
            _pods: pods,
        })
    }

    fn finish(self, what: &str) -> anyhow::Result<()> {
        let (allowed, denied) = (self.allowed.finish()?, self.denied.finish()?);
        println!(
            "figure: {what}: {} of {} allowed arrived, {} of {} denied",
            allowed.arrived.len(),
            allowed.sent,
            denied.arrived.len(),
            denied.sent
        );
        ensure!(
            allowed.sent > 1000 && denied.sent > 1000,
            "the probers hardly sent"
        );
        let missing = allowed.missing();
        ensure!(
            missing.is_empty(),
            "allowed datagrams were lost: {missing:?}"
        );
        ensure!(denied.arrived.is_empty(), "denied datagrams were delivered");
        Ok(())
    }
}

fn arrives(from: &RunningPod, to: &RunningPod) -> anyhow::Result<bool> {
    let stream = stream(from, to)?;
    std::thread::sleep(Duration::from_millis(200));
    Ok(!stream.finish()?.arrived.is_empty())
}

/// In a new flow each fifty datagrams: so each of those is judged anew.
fn stream(from: &RunningPod, to: &RunningPod) -> anyhow::Result<Stream> {
    let way = Way {
        of_a_flow: Some(50),
        ..Way::default()
    };
    Stream::by(way, &from.sandbox, to)
}

/// A pod of the namespace of the probers.
fn pod(cluster: &Cluster, place: usize, name: &str, app: &str) -> anyhow::Result<RunningPod> {
    let node = cluster.nodes.get(place).context("no such node")?;
    let pod = Pod::new("probe", name, app);
    node.kubelet
        .run(&node.machine, cluster.topology.name(), pod)
}

/// Everything at once for some time: changes, heartbeats, a policy whose effect is waited for; what processes cost meanwhile.
fn during(
    cluster: &Cluster,
    crowd: &mut Crowd,
    changes: &Requests<'_>,
    (seconds, what): (u64, &str),
) -> anyhow::Result<(Vec<Seen>, Vec<f64>)> {
    let switching = pod(cluster, 0, "switching", "switching")?;
    let switched = [
        pod(cluster, 0, "near", "switched")?,
        pod(cluster, 1, "far", "switched")?,
    ];
    cluster.create(&switch("switching"))?;
    let probers = [
        Prober::start(&switching, &switched[0])?,
        Prober::start(&switching, &switched[1])?,
    ];
    let nodes = crowd.nodes.clone();
    let watched = watched(cluster)?;
    let (stop, calm) = (AtomicBool::new(false), AtomicBool::new(false));
    let before = pages(cluster)?;
    let (seen, times) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let looking = scope.spawn(|| gauges::look(&watched, &calm));
        let heartbeats = scope.spawn(|| churn::heartbeats(&nodes, changes, &calm));
        let others = scope.spawn(|| churn::changes(crowd, changes, &stop));
        let own = scope.spawn(|| churn::own_pods(cluster, &stop));
        let effects = scope.spawn(|| churn::effects(&probers, changes, &stop));
        std::thread::sleep(Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        let times = joined(effects);
        let (others, own) = (joined(others), joined(own));
        calm.store(true, Ordering::Relaxed);
        let (seen, beats) = (joined(looking)?, joined(heartbeats)?);
        others.context("the crowd")?;
        let (own, times) = (
            own.context("pods of nodes that are here")?,
            times.context("effects")?,
        );
        println!(
            "figure: {what}: beside it {beats} leases were renewed, {own} pods came and went on the two nodes"
        );
        Ok((seen, times))
    })?;
    for ((seen, before), after) in seen.iter().zip(before).zip(pages(cluster)?) {
        let calls = |page: &str| gauges::counted(page, family(page), "method");
        let (before, mut after) = (calls(&before), calls(&after));
        for (method, number) in before {
            *after.entry(method).or_default() -= number;
        }
        let rates = after
            .iter()
            .map(|(method, number)| format!("{method} {:.2}", number / seconds as f64));
        let rates = rates.collect::<Vec<_>>().join(", ");
        println!(
            "figure: {what}, {}, requests a second: {rates}",
            seen.figure()
        );
    }
    Ok((seen, times))
}

/// The family of requests on an agent's page, or on the operator's.
fn family(page: &str) -> &'static str {
    if page.contains("cilium_operator_") {
        "cilium_operator_k8s_client_api_calls_total"
    } else {
        "cilium_k8s_client_api_calls_total"
    }
}

/// The operator, then the agents.
fn watched(cluster: &Cluster) -> anyhow::Result<Vec<Watched<'_>>> {
    let server = gauges::server(underlay_v4(10));
    let operator = cluster.operator.as_ref().context("no operator")?;
    let mut all = vec![Watched {
        name: "operator".to_owned(),
        pid: operator.pid(),
        namespace: cluster.control().namespace(),
        server,
    }];
    for node in &cluster.nodes {
        all.push(Watched {
            name: format!("agent of {}", node.machine.name()),
            pid: node.pid().context("no agent")?,
            namespace: node.machine.namespace(),
            server,
        });
    }
    Ok(all)
}

/// Pages of metrics, in the same order.
fn pages(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let control = (
        cluster.control().namespace(),
        underlay_v4(10),
        OPERATOR_METRICS,
    );
    let nodes = cluster.nodes.iter().zip(11..);
    let agents =
        nodes.map(|(node, host)| (node.machine.namespace(), underlay_v4(host), AGENT_METRICS));
    std::iter::once(control)
        .chain(agents)
        .map(|(from, address, port)| scrape::fetch(from, address.into(), port))
        .collect()
}

/// Times and sizes of scrapes.
fn scrapes(cluster: &Cluster, what: &str) -> anyhow::Result<()> {
    for place in 0..=cluster.nodes.len() {
        let (mut times, mut octets) = (Vec::new(), 0);
        for _ in 0..20 {
            // Only the one in question is timed.
            let (from, address, port) = match place.checked_sub(1) {
                None => (
                    cluster.control().namespace(),
                    underlay_v4(10),
                    OPERATOR_METRICS,
                ),
                Some(of) => {
                    let node = cluster.nodes.get(of).context("no such node")?;
                    let host = 11 + u8::try_from(of)?;
                    (node.machine.namespace(), underlay_v4(host), AGENT_METRICS)
                }
            };
            let begun = Instant::now();
            octets = scrape::fetch(from, address.into(), port)?.len();
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let name = match place {
            0 => "the operator".to_owned(),
            place => format!("agent {place}"),
        };
        let at = |percent| percentile(&times, percent).unwrap_or_default();
        println!(
            "figure: {what}: a scrape of {name}: median {:.1} ms, most {:.1} ms, {octets} octets",
            at(50.0),
            at(100.0)
        );
    }
    Ok(())
}

/// Agents die and start again with all that there is.
fn restarts(cluster: &mut Cluster, what: &str) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for node in &mut cluster.nodes {
        for _ in 0..3 {
            node.kill_agent()?;
            let begun = Instant::now();
            node.start_agent()?;
            node.wait_ready(Duration::from_mins(1))?;
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    let at = |percent| percentile(&times, percent).unwrap_or_default();
    println!(
        "figure: {what}: a killed agent is ready again after {:.2} s in the median of {}, {:.2} s at most",
        at(50.0),
        times.len(),
        at(100.0)
    );
    Ok(())
}

/// No agent held more than it may at any time of the churn, nor since it was started again with everything at once.
fn memory_is_kept(cluster: &mut Cluster, seen: &[Seen], what: &str) -> anyhow::Result<()> {
    for seen in seen.iter().filter(|seen| seen.name.starts_with("agent")) {
        let (name, peak) = (&seen.name, seen.peak());
        ensure!(peak <= MOST_MEMORY, "the {name} held {peak:.0} MiB");
    }
    for node in &mut cluster.nodes {
        let pid = node.agent()?.pid();
        let most = crate::bench::machine::most_resident_mib(pid)?;
        println!(
            "figure: {what}: the most memory of an agent that started with all of it: {most:.0} MiB"
        );
        ensure!(most <= MOST_MEMORY, "a started agent held {most:.0} MiB");
    }
    Ok(())
}
